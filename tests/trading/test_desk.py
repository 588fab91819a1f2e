"""The desk on a real PostgreSQL: what is answered is on disk, a retry trades once, a restart
forgets nothing.
"""

import asyncio
from contextlib import AsyncExitStack
from decimal import Decimal
from uuid import uuid4

import msgspec
import psycopg
import pytest
from sqlalchemy import text

from alphintra.core.clock import ManualClock
from alphintra.core.ids import UserId
from alphintra.core.orders import OrderType, Side
from alphintra.platform.database import Database
from alphintra.trading import leases, store
from alphintra.trading.commands import Done, Refused, Unknown

from .conftest import Bench, place, start

D = Decimal


async def rows(
    database: Database, query: str, user_id: UserId | None = None
) -> list[tuple[object, ...]]:
    async with database.reading() as session:
        found = await session.execute(text(query), {"user_id": user_id} if user_id else {})
        return [tuple(row) for row in found]


async def test_market_order_is_accepted_filled_and_settled(
    bench: Bench, database: Database, user_id: UserId
) -> None:
    bench.quote("99.99", "100.00")
    answer = await bench.submit(place(user_id, quantity=D(10)))
    assert isinstance(answer, Done)
    first = msgspec.json.decode(answer.body)
    assert first["status"] == "ACCEPTED"
    await bench.settle()
    assert await rows(database, "SELECT status, filled_quantity, fees FROM trading.orders") == [
        ("FILLED", D(10), D("0.5"))
    ]
    assert await rows(database, "SELECT quantity, cost_basis FROM trading.positions") == [
        (D(10), D(1000))
    ]
    assert await rows(
        database,
        "SELECT asset, bucket, balance FROM assets.accounts WHERE bucket IN ('AVAILABLE','HELD')"
        " ORDER BY 1, 2",
    ) == [
        ("SPY", "AVAILABLE", D(10)),
        ("USD", "AVAILABLE", D("98999.5")),
        ("USD", "HELD", D(0)),
    ]
    assert await rows(
        database, "SELECT asset, sum(balance) FROM assets.accounts GROUP BY 1 ORDER BY 1"
    ) == [
        ("SPY", D(0)),
        ("USD", D(0)),
    ]
    assert await rows(
        database, "SELECT topic, count(*) FROM platform.outbox GROUP BY 1 ORDER BY 1"
    ) == [("order_events", 2), ("position_events", 1), ("trade_executions", 1)]


async def test_retry_with_same_client_order_id_trades_once(
    bench: Bench, database: Database, clock: ManualClock, user_id: UserId
) -> None:
    bench.quote("99.99", "100.00")
    answers = await asyncio.gather(
        *(bench.submit(place(user_id, client_order_id="once")) for _ in range(20))
    )
    await bench.settle()
    assert len({bytes(answer.body) for answer in answers if isinstance(answer, Done)}) == 1
    assert all(isinstance(answer, Done) for answer in answers)
    async with AsyncExitStack() as stack:
        # Another desk, with an empty memory, gives the same first answer byte for byte.
        other = await start_after_expiry(stack, database, clock)
        again = await other.submit(place(user_id, client_order_id="once"))
        assert again == answers[0]
        different = await other.submit(place(user_id, client_order_id="once", quantity=D(2)))
        assert isinstance(different, Refused)
        assert different.code == "client_order_id_exists_with_different_terms"
    assert await rows(
        database, "SELECT count(*) FROM trading.orders WHERE user_id = :user_id", user_id
    ) == [(1,)]


async def start_after_expiry(
    stack: AsyncExitStack, database: Database, clock: ManualClock
) -> Bench:
    async with database.transaction() as session:
        await session.execute(
            text("UPDATE trading.desk_leases SET expires_at = now() - interval '1 s'")
        )
    return await start(stack, database, clock)


async def test_overtaken_desk_cannot_write(
    bench: Bench, database: Database, clock: ManualClock, user_id: UserId
) -> None:
    bench.quote("99.99", "100.00")
    async with AsyncExitStack() as stack:
        other = await start_after_expiry(stack, database, clock)
        other.quote("99.99", "100.00")
        stale = await bench.submit(place(user_id, client_order_id="stale"))
        assert isinstance(stale, Unknown)
        fresh = await other.submit(place(user_id, client_order_id="fresh"))
        assert isinstance(fresh, Done)
    assert await rows(
        database, "SELECT client_order_id FROM trading.orders WHERE user_id = :user_id", user_id
    ) == [("fresh",)]


async def test_desk_that_hangs_in_a_transaction_is_disconnected(database: Database) -> None:
    async with await store.connect(database) as hung, await store.connect(database) as other:
        shards = range(64)
        await leases.take(hung, desk_id=uuid4(), address="", shards=shards)
        async with database.transaction() as session:
            await session.execute(
                text("UPDATE trading.desk_leases SET expires_at = now() - interval '1 s'")
            )
        await hung.execute("SELECT FROM trading.desk_leases FOR SHARE")
        async with asyncio.timeout(3):
            taken = await leases.take(other, desk_id=uuid4(), address="", shards=shards)
        assert len(taken) == len(shards)
        with pytest.raises(psycopg.OperationalError):
            await hung.execute("SELECT 1")


async def test_bracket_exits_activate_and_one_cancels_the_other(
    bench: Bench, database: Database, user_id: UserId
) -> None:
    from alphintra.core.orders import OrderClass
    from alphintra.trading.commands import StopLoss, TakeProfit

    bench.quote("99.99", "100.00")
    answer = await bench.submit(
        place(
            user_id,
            quantity=D(10),
            order_class=OrderClass.BRACKET,
            take_profit=TakeProfit(D(110)),
            stop_loss=StopLoss(D(95)),
        )
    )
    assert isinstance(answer, Done)
    await bench.settle()
    bench.quote("110.00", "110.01")
    await bench.settle()
    assert await rows(
        database,
        "SELECT type, side, status FROM trading.orders WHERE user_id = :user_id ORDER BY type",
        user_id,
    ) == [
        ("LIMIT", "SELL", "FILLED"),
        ("MARKET", "BUY", "FILLED"),
        ("STOP", "SELL", "CANCELED"),
    ]
    assert await rows(
        database, "SELECT quantity FROM trading.positions WHERE user_id = :user_id", user_id
    ) == [(D(0),)]


async def test_instrument_that_was_added_a_moment_ago_can_be_traded(
    bench: Bench, user_id: UserId
) -> None:
    bench.quote("99.99", "100.00", symbol="QQQ")
    del bench.around.instruments["QQQ"]
    assert isinstance(await bench.submit(place(user_id, "QQQ")), Done)
    nowhere = await bench.submit(place(user_id, "NOWHERE"))
    assert isinstance(nowhere, Refused)
    assert nowhere.code == "unknown_symbol"


async def test_risk_names_rule_limit_and_value(bench: Bench, user_id: UserId) -> None:
    bench.quote("99.99", "100.00")
    answer = await bench.submit(place(user_id, quantity=D(2_000)))
    assert isinstance(answer, Refused)
    assert answer.code == "risk_buying_power"
    check = msgspec.json.decode(answer.extra["check"])
    assert check["limit"] == "100000"
    assert check["value"] == "204102"
    short = await bench.submit(place(user_id, side=Side.SELL))
    assert isinstance(short, Refused)
    assert short.code == "risk_short_selling"


async def test_resting_limit_survives_a_restart(
    bench: Bench, database: Database, clock: ManualClock, user_id: UserId
) -> None:
    bench.quote("99.99", "100.00")
    await bench.submit(place(user_id, type=OrderType.LIMIT, price=D("99.50"), quantity=D(3)))
    async with AsyncExitStack() as stack:
        other = await start_after_expiry(stack, database, clock)
        other.quote("99.40", "99.50")
        await other.settle()
    assert await rows(
        database,
        "SELECT status, filled_value FROM trading.orders WHERE user_id = :user_id",
        user_id,
    ) == [("FILLED", D("298.5"))]
