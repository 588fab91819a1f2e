"""A desk that starts where another stopped: nothing that was promised is forgotten, and only one
desk writes.
"""

from contextlib import AsyncExitStack
from decimal import Decimal
from uuid import uuid4

import msgspec
import psycopg
import pytest
from sqlalchemy import text

from alphintra.core.clock import ManualClock
from alphintra.core.ids import UserId
from alphintra.core.orders import OrderClass, OrderType, Side, TimeInForce
from alphintra.platform.database import Database
from alphintra.trading import leases, store
from alphintra.trading.book import account_id_of
from alphintra.trading.commands import Done, StopLoss, TakeProfit, Unknown
from alphintra.trading.errors import StoreFailed

from .conftest import Bench, place, start

D = Decimal


async def take_over(stack: AsyncExitStack, database: Database, clock: ManualClock) -> Bench:
    """Start a desk with an empty memory in the place of the one at work."""
    async with database.transaction() as session:
        await session.execute(
            text("UPDATE trading.desk_leases SET expires_at = now() - interval '1 s'")
        )
    return await start(stack, database, clock)


async def orders(database: Database, user_id: UserId) -> list[tuple[object, ...]]:
    """Return (type, side, status, filled) of the user's orders, oldest first."""
    async with database.reading() as session:
        rows = await session.execute(
            text(
                "SELECT type, side, status, filled_quantity FROM trading.orders"
                " WHERE account_id = :account ORDER BY created_at, type"
            ),
            {"account": account_id_of(user_id)},
        )
        return [tuple(row) for row in rows]


async def ledger(database: Database, user_id: UserId) -> dict[tuple[str, str], Decimal]:
    async with database.reading() as session:
        rows = await session.execute(
            text("SELECT asset, bucket, balance FROM assets.accounts WHERE owner_id = :account"),
            {"account": account_id_of(user_id)},
        )
        return {(row.asset, row.bucket): row.balance for row in rows}


@pytest.mark.parametrize(
    ("bid", "ask", "filled"),
    [("110.00", "110.01", "LIMIT"), ("94.99", "95.00", "STOP")],
)
async def test_exits_of_a_bracket_survive_a_restart(
    bench: Bench,
    database: Database,
    clock: ManualClock,
    user_id: UserId,
    bid: str,
    ask: str,
    filled: str,
) -> None:
    bench.quote("99.99", "100.00")
    await bench.submit(
        place(
            user_id,
            quantity=D(10),
            order_class=OrderClass.BRACKET,
            take_profit=TakeProfit(D(110)),
            stop_loss=StopLoss(D(95)),
        )
    )
    await bench.settle()
    async with AsyncExitStack() as stack:
        other = await take_over(stack, database, clock)
        other.quote(bid, ask)
        await other.settle()
    unfilled = "STOP" if filled == "LIMIT" else "LIMIT"
    assert sorted(await orders(database, user_id)) == sorted(
        [
            ("MARKET", "BUY", "FILLED", D(10)),
            (filled, "SELL", "FILLED", D(10)),
            (unfilled, "SELL", "CANCELED", D(0)),
        ]
    )
    balances = await ledger(database, user_id)
    assert balances["SPY", "AVAILABLE"] == balances["SPY", "HELD"] == 0
    assert balances["USD", "HELD"] == 0


async def test_waiting_exits_of_a_resting_entry_survive_a_restart(
    bench: Bench, database: Database, clock: ManualClock, user_id: UserId
) -> None:
    bench.quote("99.99", "100.00")
    await bench.submit(
        place(
            user_id,
            type=OrderType.LIMIT,
            price=D(98),
            quantity=D(4),
            order_class=OrderClass.BRACKET,
            take_profit=TakeProfit(D(110)),
            stop_loss=StopLoss(D(95)),
        )
    )
    assert [row[2] for row in await orders(database, user_id)].count("PENDING") == 2
    async with AsyncExitStack() as stack:
        other = await take_over(stack, database, clock)
        other.quote("97.99", "98.00")
        await other.settle()
        assert [row[2] for row in await orders(database, user_id)].count("ACCEPTED") == 2
        assert (await ledger(database, user_id))["SPY", "HELD"] == 4
        other.quote("94.00", "94.01")
        await other.settle()
    assert ("STOP", "SELL", "FILLED", D(4)) in await orders(database, user_id)


async def test_one_of_two_exits_that_was_partly_filled_survives_a_restart(
    bench: Bench, database: Database, clock: ManualClock, user_id: UserId
) -> None:
    bench.quote("99.99", "100.00")
    await bench.submit(place(user_id, quantity=D(10)))
    await bench.settle()
    await bench.submit(
        place(
            user_id,
            side=Side.SELL,
            type=OrderType.LIMIT,
            price=D(110),
            quantity=D(10),
            order_class=OrderClass.OCO,
            stop_loss=StopLoss(D(95)),
        )
    )
    bench.quote("110.00", "110.01", size="4")
    await bench.settle()
    async with AsyncExitStack() as stack:
        other = await take_over(stack, database, clock)
        assert (await ledger(database, user_id))["SPY", "HELD"] == 6
        other.quote("94.99", "95.00")
        await other.settle()
    found = await orders(database, user_id)
    assert ("LIMIT", "SELL", "CANCELED", D(4)) in found
    assert ("STOP", "SELL", "FILLED", D(6)) in found
    balances = await ledger(database, user_id)
    assert balances["SPY", "AVAILABLE"] == balances["SPY", "HELD"] == 0


async def test_trailing_stop_keeps_its_water_mark(
    bench: Bench, database: Database, clock: ManualClock, user_id: UserId
) -> None:
    bench.quote("99.99", "100.00")
    await bench.submit(place(user_id, quantity=D(3)))
    await bench.settle()
    await bench.submit(
        place(user_id, side=Side.SELL, type=OrderType.TRAILING_STOP, trail=D(5), quantity=D(3))
    )
    bench.quote("120.00", "120.01")
    bench.desk.tick()
    await bench.settle()
    async with AsyncExitStack() as stack:
        other = await take_over(stack, database, clock)
        other.quote("115.01", "115.02")
        await other.settle()
        assert ("TRAILING_STOP", "SELL", "ACCEPTED", D(0)) in await orders(database, user_id)
        # Five below 120, the best that was seen before the restart; 110 would be five below 115.01.
        other.quote("115.00", "115.01")
        await other.settle()
    assert ("TRAILING_STOP", "SELL", "FILLED", D(3)) in await orders(database, user_id)


async def test_order_whose_time_came_while_no_desk_was_at_work_expires(
    bench: Bench, database: Database, clock: ManualClock, user_id: UserId
) -> None:
    bench.quote("99.99", "100.00")
    await bench.submit(
        place(
            user_id,
            type=OrderType.LIMIT,
            price=D(90),
            time_in_force=TimeInForce.DAY,
            quantity=D(2),
        )
    )
    clock.advance(2 * 86_400)
    async with AsyncExitStack() as stack:
        other = await take_over(stack, database, clock)
        other.desk.tick()
        await other.settle()
    assert await orders(database, user_id) == [("LIMIT", "BUY", "EXPIRED", D(0))]
    assert (await ledger(database, user_id))["USD", "HELD"] == 0


async def test_of_two_desks_only_the_younger_writes(
    bench: Bench, database: Database, clock: ManualClock, user_id: UserId
) -> None:
    """The elder was frozen past its lease and wakes up: nothing that it sends arrives."""
    bench.quote("99.99", "100.00")
    await bench.submit(place(user_id, type=OrderType.LIMIT, price=D(99), quantity=D(1)))
    async with AsyncExitStack() as stack:
        other = await take_over(stack, database, clock)
        # Both see the market; the resting order is in both memories.
        other.quote("98.99", "99.00")
        await other.settle()
        bench.quote("98.99", "99.00")
        assert isinstance(await bench.submit(place(user_id)), Unknown)
        assert isinstance(await other.submit(place(user_id, client_order_id="after")), Done)
        await other.settle()
    async with database.reading() as session:
        trades = await session.scalars(
            text("SELECT quantity FROM trading.trades WHERE account_id = :account"),
            {"account": account_id_of(user_id)},
        )
        assert sorted(trades) == [D(1), D(1)]
    assert len(await orders(database, user_id)) == 2


async def test_stale_epoch_is_refused_by_the_database_itself(
    bench: Bench, database: Database, clock: ManualClock, user_id: UserId
) -> None:
    bench.quote("99.99", "100.00")
    async with AsyncExitStack() as stack:
        await take_over(stack, database, clock)
        connection = await stack.enter_async_context(await store.connect(database))
        async with database.reading() as session:
            row = (
                await session.execute(text("SELECT shard, desk_id, epoch FROM trading.desk_leases"))
            ).first()
        assert row is not None
        check = "SELECT trading.check_leases(%s, %s::smallint[], %s::bigint[])"
        await connection.execute(check, [row.desk_id, [row.shard], [row.epoch]])
        with pytest.raises(psycopg.errors.RaiseException, match="stale lease"):
            await connection.execute(check, [row.desk_id, [row.shard], [row.epoch - 1]])


async def test_living_desk_cannot_be_robbed_of_its_shards(
    bench: Bench, database: Database, user_id: UserId
) -> None:
    bench.quote("99.99", "100.00")
    async with await store.connect(database) as connection:
        epochs = await leases.take(connection, desk_id=uuid4(), address="", shards=range(64))
    assert epochs == {}
    answer = await bench.submit(place(user_id))
    assert isinstance(answer, Done)
    assert msgspec.json.decode(answer.body)["status"] == "ACCEPTED"


async def test_database_that_is_away_is_a_store_failure() -> None:
    nowhere = Database("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(StoreFailed):
        await store.connect(nowhere)
    await nowhere.close()
