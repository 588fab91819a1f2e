"""However often the same order is sent, it is one order with one answer: at once, later, after a
crash, after a restart.
"""

import asyncio
from contextlib import AsyncExitStack
from decimal import Decimal
from uuid import uuid4

import msgspec
from sqlalchemy import text

from alphintra.core.clock import ManualClock
from alphintra.core.ids import OrderId, UserId
from alphintra.core.orders import OrderType
from alphintra.platform.database import Database
from alphintra.trading.book import account_id_of
from alphintra.trading.commands import (
    Answer,
    ClosePosition,
    Done,
    OpenAccount,
    PlaceOrder,
    Refused,
    SetLimits,
    Unknown,
)
from alphintra.trading.limits import Limits

from .conftest import Bench, place, start

D = Decimal
KEYS = 50
REPEATS = 20
NO_RATE = Limits(orders_per_second_max=1_000_000, open_orders_max=1_000_000)


async def let_loose(bench: Bench, user_id: UserId) -> None:
    """Lift the limits of the account that a burst would run into."""
    answer = await bench.submit(SetLimits(user_id=user_id, actor="test", limits=NO_RATE))
    assert isinstance(answer, Done)


def resting(user_id: UserId, key: str) -> PlaceOrder:
    """A new request for the same resting order."""
    return place(user_id, type=OrderType.LIMIT, price=D(50), client_order_id=key)


async def take_over(stack: AsyncExitStack, database: Database, clock: ManualClock) -> Bench:
    """Start another desk, whose memory is empty, in the place of the one at work."""
    async with database.transaction() as session:
        await session.execute(
            text("UPDATE trading.desk_leases SET expires_at = now() - interval '1 s'")
        )
    bench = await start(stack, database, clock)
    bench.quote("99.99", "100.00")
    return bench


async def orders_by_key(database: Database, user_id: UserId) -> dict[str, int]:
    async with database.reading() as session:
        rows = await session.execute(
            text(
                "SELECT client_order_id, count(*) FROM trading.orders WHERE account_id = :account"
                " GROUP BY 1"
            ),
            {"account": account_id_of(user_id)},
        )
        return {row[0]: row[1] for row in rows}


async def burst(bench: Bench, user_id: UserId) -> dict[str, list[Answer]]:
    """Send every key's order many times at once; return the different answers by key."""
    commands = [resting(user_id, f"key-{key}") for key in range(KEYS) for _ in range(REPEATS)]
    answers = await asyncio.gather(*map(bench.submit, commands))
    by_key: dict[str, list[Answer]] = {}
    for command, answer in zip(commands, answers, strict=True):
        different = by_key.setdefault(command.client_order_id or "", [])
        if answer not in different:
            different.append(answer)
    return by_key


async def test_identical_orders_at_once_are_one_order_with_one_answer(
    bench: Bench, database: Database, clock: ManualClock, user_id: UserId
) -> None:
    bench.quote("99.99", "100.00")
    await let_loose(bench, user_id)
    first = await burst(bench, user_id)
    assert {len(found) for found in first.values()} == {1}
    assert all(isinstance(found[0], Done) for found in first.values())
    assert await orders_by_key(database, user_id) == {f"key-{key}": 1 for key in range(KEYS)}
    async with AsyncExitStack() as stack:
        other = await take_over(stack, database, clock)
        again = await burst(other, user_id)
    assert again == first
    assert await orders_by_key(database, user_id) == {f"key-{key}": 1 for key in range(KEYS)}


async def test_crash_in_the_middle_of_a_burst_places_every_order_once(
    bench: Bench, database: Database, clock: ManualClock, user_id: UserId
) -> None:
    bench.quote("99.99", "100.00")
    await let_loose(bench, user_id)
    asked = asyncio.gather(
        *(bench.submit(resting(user_id, f"key-{key}")) for key in range(KEYS)),
        *(bench.submit(resting(user_id, f"late-{key}")) for key in range(KEYS)),
    )
    async with AsyncExitStack() as stack:
        # The old desk has the burst in its queue or on its way when another takes its leases.
        other = await take_over(stack, database, clock)
        before = await asked
        keys = [f"key-{key}" for key in range(KEYS)] + [f"late-{key}" for key in range(KEYS)]
        after = await asyncio.gather(*(other.submit(resting(user_id, key)) for key in keys))
    assert all(isinstance(answer, Done) for answer in after)
    told = [(old, new) for old, new in zip(before, after, strict=True) if isinstance(old, Done)]
    assert [old for old, _ in told] == [new for _, new in told]
    assert await orders_by_key(database, user_id) == dict.fromkeys(keys, 1)


async def test_same_key_with_other_terms_is_refused(
    bench: Bench, database: Database, clock: ManualClock, user_id: UserId
) -> None:
    bench.quote("99.99", "100.00")
    await bench.submit(resting(user_id, "mine"))
    other_terms = place(user_id, type=OrderType.LIMIT, price=D(51), client_order_id="mine")
    from_memory = await bench.submit(other_terms)
    async with AsyncExitStack() as stack:
        from_database = await (await take_over(stack, database, clock)).submit(other_terms)
    for answer in (from_memory, from_database):
        assert isinstance(answer, Refused)
        assert answer.code == "client_order_id_exists_with_different_terms"
        assert answer.status == 422
    assert await orders_by_key(database, user_id) == {"mine": 1}


async def test_same_order_sized_anew_is_the_same_order(
    bench: Bench, database: Database, clock: ManualClock, user_id: UserId
) -> None:
    bench.quote("99.99", "100.00")
    asked = resting(user_id, "signal-1")
    first = await bench.submit(asked)
    anew = msgspec.structs.replace(
        asked, terms=msgspec.structs.replace(asked.terms, quantity=D("0.5"))
    )
    from_memory = await bench.submit(anew)
    async with AsyncExitStack() as stack:
        from_database = await (await take_over(stack, database, clock)).submit(anew)
    assert isinstance(first, Done)
    assert first == from_memory == from_database
    assert await orders_by_key(database, user_id) == {"signal-1": 1}


async def test_keys_of_different_users_are_different_keys(bench: Bench, database: Database) -> None:
    bench.quote("99.99", "100.00")
    users = [UserId(uuid4()) for _ in range(5)]
    answers = await asyncio.gather(
        *(bench.submit(resting(one, "the-same-word")) for one in users for _ in range(4))
    )
    ids = {msgspec.json.decode(one.body)["id"] for one in answers if isinstance(one, Done)}
    assert len(ids) == len(users)
    for one in users:
        assert await orders_by_key(database, one) == {"the-same-word": 1}


async def test_refused_order_is_refused_again_with_the_same_answer(
    bench: Bench, database: Database, clock: ManualClock, user_id: UserId
) -> None:
    bench.quote("99.99", "100.00")
    too_dear = place(user_id, quantity=D(5_000), client_order_id="dear")
    first = await bench.submit(too_dear)
    assert isinstance(first, Refused)
    assert first.code == "risk_buying_power"
    async with AsyncExitStack() as stack:
        other = await take_over(stack, database, clock)
        # Cheap enough by now: the answer is about the order that was asked for then.
        other.quote("0.99", "1.00")
        again = await other.submit(place(user_id, quantity=D(5_000), client_order_id="dear"))
    assert again == first


async def test_closing_twice_under_one_key_closes_once(
    bench: Bench, database: Database, clock: ManualClock, user_id: UserId
) -> None:
    def close() -> ClosePosition:
        return ClosePosition(
            user_id=user_id,
            actor="test",
            symbol="SPY",
            order_id=OrderId(uuid4()),
            client_order_id="close",
        )

    bench.quote("99.99", "100.00")
    await bench.submit(place(user_id, quantity=D(7), client_order_id="open"))
    await bench.settle()
    first = await bench.submit(close())
    await bench.settle()
    assert isinstance(first, Done)
    assert await bench.submit(close()) == first
    async with AsyncExitStack() as stack:
        other = await take_over(stack, database, clock)
        assert await other.submit(close()) == first
    assert await orders_by_key(database, user_id) == {"open": 1, "close": 1}


async def test_desk_that_lost_its_leases_answers_unknown(
    bench: Bench, database: Database, clock: ManualClock, user_id: UserId
) -> None:
    bench.quote("99.99", "100.00")
    await bench.submit(OpenAccount(user_id=user_id, actor="test"))
    async with AsyncExitStack() as stack:
        await take_over(stack, database, clock)
        answers = [await bench.submit(resting(user_id, f"stale-{one}")) for one in range(3)]
    assert all(isinstance(answer, Unknown) for answer in answers)
    assert await orders_by_key(database, user_id) == {}
