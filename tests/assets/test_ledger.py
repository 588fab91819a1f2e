"""The ledger on a real PostgreSQL: balances are the sums of postings, and nothing else moves
them.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from alphintra import assets
from alphintra.assets import Bucket, Journal, LedgerAccount, PostingKind, ledger_account
from alphintra.platform.database import Database

D = Decimal
AT = datetime(2024, 1, 2, tzinfo=UTC)
ASSETS = ("USD", "BTC", "SPY")
Q = D("0.00000001")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    one = Database(database_url, pool_size=4)
    yield one
    await one.close()


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await database.connect_raw() as one:
        yield one


async def write(connection: psycopg.AsyncConnection, journal: Journal) -> None:
    async with connection.transaction():
        await assets.write(
            connection, accounts=journal.accounts.values(), postings=journal.postings
        )


def move(
    journal: Journal, source: LedgerAccount, destination: LedgerAccount, amount: Decimal
) -> None:
    journal.move(
        transaction_id=uuid4(),
        kind=PostingKind.TRADE,
        source=source,
        destination=destination,
        amount=amount,
        at=AT,
    )


async def balances_of(
    connection: psycopg.AsyncConnection, owners: list[UUID]
) -> dict[UUID, Decimal]:
    cursor = await connection.execute(
        "SELECT id, balance FROM assets.accounts WHERE owner_id = ANY(%s)", [owners]
    )
    found: dict[UUID, Decimal] = dict(await cursor.fetchall())
    await connection.rollback()
    return found


async def sums_of_postings(connection: psycopg.AsyncConnection) -> dict[UUID, Decimal]:
    cursor = await connection.execute(
        "SELECT account, sum(amount) FROM (SELECT destination AS account, amount FROM"
        " assets.postings UNION ALL SELECT source, -amount FROM assets.postings) AS legs GROUP BY 1"
    )
    found: dict[UUID, Decimal] = dict(await cursor.fetchall())
    await connection.rollback()
    return found


async def sums_by_asset(connection: psycopg.AsyncConnection) -> set[Decimal]:
    cursor = await connection.execute("SELECT sum(balance) FROM assets.accounts GROUP BY asset")
    found = {row[0] for row in await cursor.fetchall()}
    await connection.rollback()
    return found


@pytest.mark.parametrize("seed", range(20))
async def test_balances_are_the_sums_of_random_postings(
    connection: psycopg.AsyncConnection, seed: int
) -> None:
    """Against a model of a dictionary; a transaction that would overdraw HELD leaves no trace."""
    rng = random.Random(seed)
    owners = [UUID(int=rng.getrandbits(128)) for _ in range(4)]
    model: dict[UUID, Decimal] = defaultdict(D)
    refused = 0
    for _ in range(30):
        journal, after = Journal(), dict(model)
        for _ in range(rng.randint(1, 6)):
            asset = rng.choice(ASSETS)
            source, destination = (
                ledger_account(owner, asset, bucket)
                for owner, bucket in rng.sample(
                    [(owner, bucket) for owner in owners for bucket in Bucket], 2
                )
            )
            amount = Q * rng.choice((0, 1, 7, rng.randint(1, 10**14)))
            move(journal, source, destination, amount)
            after[source.id] = after.get(source.id, D(0)) - amount
            after[destination.id] = after.get(destination.id, D(0)) + amount
        overdrawn = any(
            after.get(one.id, D(0)) < 0
            for one in journal.accounts.values()
            if not one.may_be_negative
        )
        if overdrawn:
            with pytest.raises(psycopg.errors.CheckViolation):
                await write(connection, journal)
            refused += 1
        else:
            await write(connection, journal)
            model = defaultdict(D, after)
    assert refused
    found = await balances_of(connection, owners)
    assert found == {key: model[key] for key in found}
    assert not any(amount for key, amount in model.items() if key not in found)
    sums = await sums_of_postings(connection)
    assert {key: sums.get(key, D(0)) for key in found} == found
    assert await sums_by_asset(connection) == {D(0)}


async def test_writers_of_the_same_accounts_neither_lose_nor_block(
    database: Database, connection: psycopg.AsyncConnection
) -> None:
    """Eight writers, each in its own order of accounts: no deadlock, no lost update."""
    owners = [uuid4() for _ in range(6)]
    ring = [ledger_account(owner, "USD", Bucket.AVAILABLE) for owner in owners]

    async def work(seed: int) -> None:
        rng = random.Random(seed)
        async with await database.connect_raw() as own:
            for _ in range(15):
                journal = Journal()
                for _ in range(4):
                    source, destination = rng.sample(ring, 2)
                    move(journal, source, destination, D(1))
                await write(own, journal)

    async with asyncio.timeout(60):
        await asyncio.gather(*map(work, range(8)))
    found = await balances_of(connection, owners)
    sums = await sums_of_postings(connection)
    assert found == {key: sums[key] for key in found}
    assert sum(found.values()) == 0


async def opened(connection: psycopg.AsyncConnection) -> tuple[LedgerAccount, LedgerAccount]:
    """Return two accounts with money in one and none in the other."""
    owner_id = uuid4()
    free = ledger_account(owner_id, "USD", Bucket.AVAILABLE)
    held = ledger_account(owner_id, "USD", Bucket.HELD)
    journal = Journal()
    move(journal, ledger_account(uuid4(), "USD", Bucket.FUNDING), free, D(10))
    move(journal, free, held, D(4))
    await write(connection, journal)
    return free, held


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE assets.accounts SET balance = balance + 1",
        "UPDATE assets.accounts SET may_be_negative = true",
        "UPDATE assets.accounts SET owner_id = gen_random_uuid()",
        "DELETE FROM assets.accounts",
        "TRUNCATE assets.accounts",
        "UPDATE assets.postings SET amount = amount * 2",
        "DELETE FROM assets.postings",
        "TRUNCATE assets.postings",
    ],
)
async def test_neither_balances_nor_postings_can_be_changed(
    connection: psycopg.AsyncConnection, statement: str
) -> None:
    free, held = await opened(connection)
    with pytest.raises(psycopg.errors.RaiseException, match=r"append-only|only by a posting"):
        await connection.execute(sql.SQL(statement))
    await connection.rollback()
    found = await balances_of(connection, [free.owner_id])
    assert found == {free.id: D(6), held.id: D(4)}


@pytest.mark.parametrize("amount", ["0", "-1"])
async def test_posting_moves_a_positive_amount(
    connection: psycopg.AsyncConnection, amount: str
) -> None:
    free, held = await opened(connection)
    with pytest.raises(psycopg.errors.CheckViolation):
        await insert(connection, free.id, held.id, "USD", amount)
    await connection.rollback()


async def insert(
    connection: psycopg.AsyncConnection,
    source: UUID,
    destination: UUID,
    asset: str,
    amount: str = "1",
) -> None:
    """Write a posting past the Journal, as a mistaken program would."""
    await connection.execute(
        "INSERT INTO assets.postings (transaction_id, kind, source, destination, asset, amount)"
        " VALUES (gen_random_uuid(), 'TRADE', %s, %s, %s, %s)",
        [source, destination, asset, amount],
    )


async def test_posting_names_accounts_that_exist(connection: psycopg.AsyncConnection) -> None:
    free, _ = await opened(connection)
    with pytest.raises(psycopg.errors.RaiseException, match="does not exist"):
        await insert(connection, free.id, uuid4(), "USD")
    await connection.rollback()


async def test_posting_is_of_the_asset_of_its_accounts(connection: psycopg.AsyncConnection) -> None:
    free, held = await opened(connection)
    with pytest.raises(psycopg.errors.RaiseException, match="does not exist for its asset"):
        await insert(connection, free.id, held.id, "BTC")
    await connection.rollback()


async def test_posting_has_two_accounts(connection: psycopg.AsyncConnection) -> None:
    free, _ = await opened(connection)
    with pytest.raises(psycopg.errors.CheckViolation):
        await insert(connection, free.id, free.id, "USD")
    await connection.rollback()


async def test_held_is_overdrawn_by_no_last_place(connection: psycopg.AsyncConnection) -> None:
    free, held = await opened(connection)
    with pytest.raises(psycopg.errors.CheckViolation):
        await insert(connection, held.id, free.id, "USD", "4.00000001")
    await connection.rollback()
    await insert(connection, held.id, free.id, "USD", "4")
    await connection.commit()
    assert (await balances_of(connection, [free.owner_id]))[held.id] == 0


async def test_new_account_starts_at_zero(connection: psycopg.AsyncConnection) -> None:
    """Nobody can open an account with money in it."""
    owner_id = uuid4()
    with pytest.raises(psycopg.errors.RaiseException, match="only by a posting"):
        await connection.execute(
            "INSERT INTO assets.accounts (id, owner_id, asset, bucket, balance, may_be_negative)"
            " VALUES (gen_random_uuid(), %s, 'USD', 'AVAILABLE', 1000000, true)",
            [owner_id],
        )
    await connection.rollback()


async def test_balances_are_shown_by_asset(
    database: Database, connection: psycopg.AsyncConnection
) -> None:
    free, _ = await opened(connection)
    async with database.reading() as session:
        assert await assets.balances(session, free.owner_id) == [assets.Balance("USD", D(6), D(4))]
        assert await assets.totals(session, [free.owner_id]) == {(free.owner_id, "USD"): D(10)}
        assert await session.scalar(text("SELECT count(*) FROM assets.accounts")) > 0


def test_journal_refuses_what_is_no_movement() -> None:
    owner_id = uuid4()
    free = ledger_account(owner_id, "USD", Bucket.AVAILABLE)
    held = ledger_account(owner_id, "USD", Bucket.HELD)
    coins = ledger_account(owner_id, "BTC", Bucket.AVAILABLE)
    journal = Journal()
    with pytest.raises(ValueError, match="positive"):
        move(journal, free, held, D(-1))
    with pytest.raises(ValueError, match="cannot become"):
        move(journal, free, coins, D(1))
    move(journal, free, held, D(0))
    assert not journal.postings
    assert not journal.accounts
