"""The desk's PostgreSQL: load accounts, remember answers, commit a unit in one transaction and one
round trip.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import dict_row

from alphintra import assets
from alphintra.assets import Bucket, LedgerAccount, Posting
from alphintra.core.ids import AccountId
from alphintra.core.orders import TradingState
from alphintra.platform.database import Database
from alphintra.platform.outbox import outbox_values
from alphintra.trading import leases
from alphintra.trading.commands import Done
from alphintra.trading.errors import StoreFailed
from alphintra.trading.events import RiskFinding
from alphintra.trading.limits import Limits
from alphintra.trading.placing import refusal
from alphintra.trading.state import Account, Known, Order, Position
from alphintra.trading.surroundings import Scope
from alphintra.trading.unit import Unit


@dataclass(frozen=True, slots=True)
class Sealed:
    """A unit as rows, encoded; later decisions cannot change it any more."""

    shards: dict[int, None]
    ledger_accounts: list[LedgerAccount]
    postings: list[Posting]
    rows: dict[str, str] = field(default_factory=dict)


#: Shorter than a lease; a transaction of the desk is never idle for long.
IDLE_IN_TRANSACTION_MS = 4_000

ClientIds = Sequence[tuple[AccountId, str]]


class Store(Protocol):
    """What the desk needs of its database."""

    async def load(self, account_ids: Sequence[AccountId]) -> list[Account]: ...

    async def load_open(self) -> list[Account]: ...

    async def known(self, client_ids: ClientIds) -> dict[tuple[AccountId, str], Known]: ...

    async def states(self) -> dict[tuple[Scope, str], TradingState]: ...

    async def commit(self, sealed: Sealed) -> None: ...


_encode = msgspec.json.Encoder(decimal_format="string").encode
_limits_decoder = msgspec.json.Decoder(Limits)

_ORDER_COLUMNS = Order.__struct_fields__
_ORDER_IDENTITY = frozenset(
    {"id", "account_id", "user_id", "client_order_id", "terms_hash", "symbol", "side", "created_at"}
)
_POSITION_COLUMNS = Position.__struct_fields__
_ACCOUNT_COLUMNS = (
    "id",
    "user_id",
    "shard",
    "venue",
    "currency",
    "leverage",
    "short_selling",
    "state",
    "limits",
    "day",
    "day_start_equity",
    "order_sequence",
    "trade_sequence",
    "position_sequence",
    "opened_at",
)


def _insert(table: str, columns: Iterable[str]) -> str:
    names = ", ".join(columns)
    return (
        f"INSERT INTO {table} ({names}) SELECT {names}"  # noqa: S608 - constants of this file
        f" FROM json_populate_recordset(NULL::{table}, %s::json)"
    )


def _upsert(table: str, columns: Sequence[str], fixed: Iterable[str]) -> str:
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in fixed)
    return f"{_insert(table, columns)} ON CONFLICT (id) DO UPDATE SET {changes}"


_STATEMENTS = {
    "accounts": _upsert("trading.accounts", _ACCOUNT_COLUMNS, {"id", "user_id", "opened_at"}),
    "orders": _upsert("trading.orders", _ORDER_COLUMNS, _ORDER_IDENTITY),
    "history": _insert(
        "trading.order_history",
        ("order_id", "version", "event_type", "actor", "reason", "data", "at"),
    ),
    "trades": _insert(
        "trading.trades",
        (
            "id",
            "order_id",
            "account_id",
            "user_id",
            "symbol",
            "side",
            "quantity",
            "price",
            "fee",
            "liquidity",
            "realized_pnl",
            "strategy_id",
            "executed_at",
        ),
    ),
    "positions": _upsert(
        "trading.positions", _POSITION_COLUMNS, {"id", "account_id", "user_id", "symbol"}
    ),
    "outbox": _insert("platform.outbox", ("event_id", "topic", "key", "body", "created_at")),
}


def seal(unit: Unit) -> Sealed:
    """Encode the unit's changes as they are at this moment."""
    rows = {
        "accounts": [_account_row(account) for account in unit.accounts.values()],
        "orders": list(unit.orders.values()),
        "history": unit.history,
        "trades": unit.executions,
        "positions": list(unit.positions.values()),
        "outbox": [outbox_values(event) for event in unit.events],
    }
    shards = {account.shard: None for account in unit.accounts.values()}
    return Sealed(
        shards=shards,
        ledger_accounts=list(unit.journal.accounts.values()),
        postings=unit.journal.postings,
        rows={name: _encode(values).decode() for name, values in rows.items() if values},
    )


def _account_row(account: Account) -> dict[str, Any]:
    return {name: getattr(account, name) for name in _ACCOUNT_COLUMNS}


class PostgresStore:
    """The store of one desk: one connection to write with, which also carries its leases, one to
    read.
    """

    def __init__(
        self,
        writing: psycopg.AsyncConnection,
        reading: psycopg.AsyncConnection,
        *,
        desk_id: UUID,
        epochs: dict[int, int],
    ) -> None:
        self._writing = writing
        self._reading = reading
        self._one_reader = asyncio.Lock()
        self._desk_id = desk_id
        self._epochs = epochs
        #: Ledger accounts that are known to exist, so that they are not offered again.
        self._opened: set[UUID] = set()

    async def commit(self, sealed: Sealed) -> None:
        """Write everything or nothing, if this desk still holds the leases of all shards concerned.

        Raises:
            StoreFailed: refused, or the outcome is unknown.
        """
        connection = self._writing
        shards = list(sealed.shards)
        new_accounts = [one for one in sealed.ledger_accounts if one.id not in self._opened]
        try:
            async with connection.pipeline(), connection.transaction():
                await connection.execute(
                    "SELECT trading.check_leases(%s, %s::smallint[], %s::bigint[])",
                    [self._desk_id, shards, [self._epochs.get(shard, -1) for shard in shards]],
                )
                await assets.write(connection, accounts=new_accounts, postings=sealed.postings)
                for name, body in sealed.rows.items():
                    await connection.execute(_STATEMENTS[name], [body])
        except psycopg.Error as error:
            raise StoreFailed(str(error)) from error
        self._opened.update(one.id for one in new_accounts)

    async def load(self, account_ids: Sequence[AccountId]) -> list[Account]:
        """Return those of the accounts that exist, with balances, positions and open orders.

        Raises:
            StoreFailed: the database is away.
        """
        return await self._load("a.id = ANY(%s)", [list(account_ids)])

    async def load_open(self) -> list[Account]:
        """Return the accounts of this desk's shards that have open orders.

        Raises:
            StoreFailed: the database is away.
        """
        return await self._load(
            """a.shard = ANY(%s) AND EXISTS (
                 SELECT FROM trading.orders o WHERE o.account_id = a.id
                 AND o.status IN ('PENDING', 'ACCEPTED', 'PARTIALLY_FILLED'))""",
            [list(self._epochs)],
        )

    async def _load(self, condition: str, parameters: list[Any]) -> list[Account]:
        try:
            rows = await self._query(
                f"SELECT a.*, a.limits::text AS limits FROM trading.accounts a WHERE {condition}",  # noqa: S608
                parameters,
            )
            accounts = {row["id"]: _account(row) for row in rows}
            ids = list(accounts)
            if not ids:
                return []
            for row in await self._query(
                "SELECT * FROM trading.positions WHERE account_id = ANY(%s)", [ids]
            ):
                position = msgspec.convert(row, Position)
                accounts[row["account_id"]].positions[position.symbol] = position
            for row in await self._query(
                """SELECT * FROM trading.orders WHERE account_id = ANY(%s)
                   AND status IN ('PENDING', 'ACCEPTED', 'PARTIALLY_FILLED') ORDER BY id""",
                [ids],
            ):
                order = msgspec.convert(row, Order)
                accounts[row["account_id"]].open_orders[order.id] = order
            await self._load_cash(accounts)
        except psycopg.Error as error:
            raise StoreFailed(str(error)) from error
        return list(accounts.values())

    async def _load_cash(self, accounts: dict[UUID, Account]) -> None:
        rows = await self._query(
            "SELECT owner_id, asset, bucket, balance FROM assets.accounts WHERE owner_id = ANY(%s)",
            [list(accounts)],
        )
        for row in rows:
            account = accounts[row["owner_id"]]
            if row["asset"] != account.currency:
                continue
            if row["bucket"] == Bucket.AVAILABLE:
                account.cash_available = row["balance"]
            elif row["bucket"] == Bucket.HELD:
                account.cash_held = row["balance"]

    async def known(self, client_ids: ClientIds) -> dict[tuple[AccountId, str], Known]:
        """Return the first answers to client order ids that were used before.

        Raises:
            StoreFailed: the database is away.
        """
        try:
            rows = await self._query(
                """SELECT o.id, o.account_id, o.client_order_id, o.terms_hash, h.data::text AS data
                   FROM unnest(%s::uuid[], %s::text[]) AS asked (account_id, client_order_id)
                   JOIN trading.orders o USING (account_id, client_order_id)
                   JOIN trading.order_history h ON h.order_id = o.id AND h.version = 1""",
                [[one[0] for one in client_ids], [one[1] for one in client_ids]],
            )
        except psycopg.Error as error:
            raise StoreFailed(str(error)) from error
        return {(row["account_id"], row["client_order_id"]): _known(row) for row in rows}

    async def states(self) -> dict[tuple[Scope, str], TradingState]:
        """Return the kill switches of platform and strategies that are set.

        Raises:
            StoreFailed: the database is away.
        """
        try:
            rows = await self._query("SELECT scope, subject, state FROM trading.trading_states", [])
        except psycopg.Error as error:
            raise StoreFailed(str(error)) from error
        return {(Scope(row["scope"]), row["subject"]): TradingState(row["state"]) for row in rows}

    async def renew_leases(self) -> int:
        """Prolong the leases and return how many shards this desk still holds.

        Raises:
            StoreFailed: the database is away.
        """
        async with self._one_reader:
            return await leases.renew(self._reading, desk_id=self._desk_id)

    async def _query(self, query: str, parameters: list[Any]) -> list[dict[str, Any]]:
        async with (
            self._one_reader,
            self._reading.transaction(),
            self._reading.cursor(row_factory=dict_row) as cursor,
        ):
            await cursor.execute(query.encode(), parameters)
            return await cursor.fetchall()


def _account(row: dict[str, Any]) -> Account:
    row = {**row, "limits": _limits_decoder.decode(row["limits"])}
    return msgspec.convert(row, Account)


class _FirstAnswer(msgspec.Struct):
    id: UUID
    check: RiskFinding | None = None


def _known(row: dict[str, Any]) -> Known:
    data: str = row["data"]
    first = msgspec.json.decode(data, type=_FirstAnswer)
    if first.check is not None:
        return Known(row["id"], row["terms_hash"], refusal(row["id"], first.check))
    return Known(row["id"], row["terms_hash"], Done(msgspec.Raw(data.encode())))


async def connect(database: Database, *, autocommit: bool = False) -> psycopg.AsyncConnection:
    """Return a connection of the desk's own.

    Raises:
        StoreFailed: the database is away.
    """
    try:
        return await database.connect_raw(
            autocommit=autocommit,
            # A desk that hangs in a transaction must not hold its rows against the next desk.
            options=f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_MS}",
        )
    except psycopg.Error as error:
        raise StoreFailed(str(error)) from error
