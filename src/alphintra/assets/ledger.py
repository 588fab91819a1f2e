"""The double-entry ledger: every posting takes from one account what it gives to another.

A row that names source, destination and one amount cannot be out of balance, so each asset sums to
zero by construction. The database keeps the balances in the same statement, refuses a posting that
names an unknown account, and refuses an account that must not be overdrawn. Postings are never
changed or deleted.

Writers that commit in bulk (the desk) collect postings in a `Journal` and write it with `write`.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from uuid import UUID

import msgspec
import psycopg
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.assets.models import LedgerAccountRow, PostingRow
from alphintra.core.ids import derived_id


class Bucket(StrEnum):
    """What an amount is for."""

    AVAILABLE = "AVAILABLE"  #: free to use; cash may be overdrawn by a gap or a margin loan
    HELD = "HELD"  #: set aside for open orders
    VENUE = "VENUE"  #: the other side of paper trades
    FEES = "FEES"  #: what trading cost
    FUNDING = "FUNDING"  #: where paper money comes from


class PostingKind(StrEnum):
    """Why an amount moved."""

    DEPOSIT = "DEPOSIT"
    HOLD = "HOLD"
    RELEASE = "RELEASE"
    TRADE = "TRADE"
    FEE = "FEE"


#: Users' HELD must be covered; the others are counterparties, or may owe (AVAILABLE).
_NEVER_NEGATIVE = frozenset({Bucket.HELD})


class LedgerAccount(msgspec.Struct, frozen=True):
    """The identity of a ledger account; the id follows from it."""

    id: UUID
    owner_id: UUID
    asset: str
    bucket: Bucket
    may_be_negative: bool


class Posting(msgspec.Struct, frozen=True):
    """One movement, as a row of `assets.postings`."""

    transaction_id: UUID
    kind: PostingKind
    source: UUID
    destination: UUID
    asset: str
    amount: Decimal
    created_at: datetime


@lru_cache(maxsize=262_144)
def ledger_account(owner_id: UUID, asset: str, bucket: Bucket) -> LedgerAccount:
    """Return the account of `owner_id` for `asset` and `bucket`; the same arguments, the
    same id.
    """
    return LedgerAccount(
        id=derived_id("ledger", owner_id, asset, bucket),
        owner_id=owner_id,
        asset=asset,
        bucket=bucket,
        may_be_negative=bucket not in _NEVER_NEGATIVE,
    )


class Journal:
    """Postings of one database transaction, and the accounts that they may be the first to use."""

    __slots__ = ("accounts", "postings")

    def __init__(self) -> None:
        self.accounts: dict[UUID, LedgerAccount] = {}
        self.postings: list[Posting] = []

    def move(
        self,
        *,
        transaction_id: UUID,
        kind: PostingKind,
        source: LedgerAccount,
        destination: LedgerAccount,
        amount: Decimal,
        at: datetime,
    ) -> None:
        """Note a movement; nothing for an amount of zero.

        Raises:
            ValueError: a negative amount (turn source and destination round), or two assets.
        """
        if amount < 0:
            raise ValueError(f"a posting moves a positive amount, not {amount}")
        if source.asset != destination.asset:
            raise ValueError(f"{source.asset} cannot become {destination.asset} in one posting")
        if amount == 0:
            return
        self.accounts[source.id] = source
        self.accounts[destination.id] = destination
        self.postings.append(
            Posting(transaction_id, kind, source.id, destination.id, source.asset, amount, at)
        )


_encode = msgspec.json.Encoder(decimal_format="string").encode

_INSERT_ACCOUNTS = """
INSERT INTO assets.accounts (id, owner_id, asset, bucket, may_be_negative)
SELECT id, owner_id, asset, bucket, may_be_negative
FROM json_populate_recordset(NULL::assets.accounts, %s::json)
ON CONFLICT DO NOTHING
"""
_INSERT_POSTINGS = """
INSERT INTO assets.postings (transaction_id, kind, source, destination, asset, amount, created_at)
SELECT transaction_id, kind, source, destination, asset, amount, created_at
FROM json_populate_recordset(NULL::assets.postings, %s::json)
"""


async def write(
    connection: psycopg.AsyncConnection,
    *,
    accounts: Iterable[LedgerAccount],
    postings: list[Posting],
) -> None:
    """Write postings within the connection's open transaction, after opening `accounts`.

    Raises:
        psycopg.errors.RaiseException: a posting names an account that does not exist.
        psycopg.errors.CheckViolation: an account would be overdrawn that must not be.
    """
    # In one order for all writers: two that open the same new accounts wait, and do not deadlock.
    if opened := sorted(accounts, key=lambda account: account.id):
        await connection.execute(_INSERT_ACCOUNTS, [_encode(opened).decode()])
    if postings:
        await connection.execute(_INSERT_POSTINGS, [_encode(postings).decode()])


class Balance(msgspec.Struct, frozen=True):
    """What an owner has of an asset."""

    asset: str
    available: Decimal
    held: Decimal


async def balances(session: AsyncSession, owner_id: UUID) -> list[Balance]:
    """Return the owner's balances, by asset."""
    rows = await session.execute(
        select(LedgerAccountRow.asset, LedgerAccountRow.bucket, LedgerAccountRow.balance)
        .where(LedgerAccountRow.owner_id == owner_id)
        .order_by(LedgerAccountRow.asset)
    )
    by_asset: dict[str, dict[str, Decimal]] = {}
    for asset, bucket, balance in rows:
        by_asset.setdefault(asset, {})[bucket] = balance
    zero = Decimal(0)
    return [
        Balance(asset, buckets.get(Bucket.AVAILABLE, zero), buckets.get(Bucket.HELD, zero))
        for asset, buckets in by_asset.items()
    ]


class Line(msgspec.Struct, frozen=True):
    """A posting as its owner sees it: positive amounts come in, negative go out."""

    id: int
    transaction_id: UUID
    kind: PostingKind
    bucket: Bucket
    asset: str
    amount: Decimal
    created_at: datetime


async def lines_of(
    session: AsyncSession, owner_id: UUID, transaction_ids: Collection[UUID]
) -> list[Line]:
    """Return what these transactions did to the owner's accounts, oldest first."""
    if not transaction_ids:
        return []
    lines: list[Line] = []
    for side, sign in ((PostingRow.source, -1), (PostingRow.destination, 1)):
        rows = await session.execute(
            select(PostingRow, LedgerAccountRow.bucket)
            .join(LedgerAccountRow, LedgerAccountRow.id == side)
            .where(
                LedgerAccountRow.owner_id == owner_id,
                PostingRow.transaction_id.in_(transaction_ids),
            )
        )
        lines += [
            Line(
                id=posting.id,
                transaction_id=posting.transaction_id,
                kind=PostingKind(posting.kind),
                bucket=Bucket(bucket),
                asset=posting.asset,
                amount=sign * posting.amount,
                created_at=posting.created_at,
            )
            for posting, bucket in rows
        ]
    return sorted(lines, key=lambda line: (line.id, line.amount))


async def totals(
    session: AsyncSession, owner_ids: Collection[UUID]
) -> dict[tuple[UUID, str], Decimal]:
    """Return what each owner has of each asset, free and held together."""
    rows = await session.execute(
        select(
            LedgerAccountRow.owner_id, LedgerAccountRow.asset, func.sum(LedgerAccountRow.balance)
        )
        .where(LedgerAccountRow.owner_id.in_(owner_ids))
        .group_by(LedgerAccountRow.owner_id, LedgerAccountRow.asset)
    )
    return {(owner_id, asset): total for owner_id, asset, total in rows}
