"""From the outbox to consumers on real servers: commit order, nothing lost, effects once.

The tests share one stream with others of this process, so each speaks with keys of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import SystemClock
from alphintra.core.ids import EventId
from alphintra.platform import bus as bus_module
from alphintra.platform import outbox, relay
from alphintra.platform.bus import STREAM, Bus
from alphintra.platform.consumers import TRIES_MAX, Consumer, run_consumer
from alphintra.platform.database import Database, DatabaseUnavailable
from alphintra.platform.events import Event, ReceivedEvent, Topic, decode_batch
from alphintra.platform.relay import Relay

TOPIC = Topic.SYSTEM_METRICS
DEADLINE_S = 30


class Number(msgspec.Struct):
    number: int


def event(number: int, *, key: str = "test") -> Event:
    return Event(
        id=EventId(uuid4()),
        topic=TOPIC,
        type="number.v1",
        key=key,
        occurred_at_ns=SystemClock().now_ns(),
        data=Number(number),
    )


def number_of(received: ReceivedEvent) -> int:
    return msgspec.json.decode(received.data, type=Number).number


@pytest.fixture
async def database(make_database: Callable[[], str]) -> AsyncIterator[Database]:
    """A database of its own for each test: a relay's checkpoint is for the whole of it."""
    one = Database(make_database(), pool_size=6)
    yield one
    await one.close()


@pytest.fixture
async def bus(bus_url: str) -> AsyncIterator[Bus]:
    one = await bus_module.connect(bus_url)
    yield one
    await one.close()


@asynccontextmanager
async def relaying(database: Database, bus: Bus) -> AsyncIterator[None]:
    """Run a relay as long as the block lasts."""
    stop = asyncio.Event()
    task = asyncio.create_task(Relay(database, bus).run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


class Reader:
    """Reads the stream as any consumer would, from the beginning, without an inbox."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.events: list[ReceivedEvent] = []

    async def read_until(self, ids: set[EventId]) -> list[ReceivedEvent]:
        """Read until all of `ids` have come; return what came of them, in order, with repeats."""
        subscription = await self._bus.pull(f"reader-{uuid4().hex}", [TOPIC])
        async with asyncio.timeout(DEADLINE_S):
            while not ids <= {one.id for one in self.events}:
                for message in await subscription.fetch(16, timeout=DEADLINE_S):
                    self.events += decode_batch(message.data)
                    await message.ack()
        return [one for one in self.events if one.id in ids]


async def add(database: Database, *events: Event) -> set[EventId]:
    async with database.transaction() as session:
        await outbox.add(session, *events)
    return {one.id for one in events}


async def test_events_come_in_the_order_of_commits_of_one_key(database: Database, bus: Bus) -> None:
    numbers = [event(number) for number in range(60)]
    async with relaying(database, bus):
        for one in numbers:
            await add(database, one)
        found = await Reader(bus).read_until({one.id for one in numbers})
    assert [number_of(one) for one in found] == list(range(60))


async def test_event_behind_an_open_older_transaction_waits_for_it(
    database: Database, bus: Bus
) -> None:
    """The elder has the lower id and commits last: it must not appear behind the checkpoint."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(relaying(database, bus))
        elder = await stack.enter_async_context(await database.connect_raw())
        elder_event, younger_event = event(1), event(2)
        await insert(elder, elder_event)
        await add(database, younger_event)
        reader = Reader(bus)
        await until_relay_has_looked(database)
        position = await checkpoint(database)
        assert position is None or position[0] < await xid_of(database, younger_event)
        await elder.commit()
        found = await reader.read_until({elder_event.id, younger_event.id})
    assert [number_of(one) for one in found] == [1, 2]


async def test_event_goes_out_when_the_older_transaction_ends_without_a_word(
    database: Database, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "IDLE_POLL_S", 1.5 * DEADLINE_S)
    stop = asyncio.Event()
    async with await database.connect_raw() as elder:
        await elder.execute("SELECT pg_current_xact_id()")
        ids = await add(database, event(1))
        task = asyncio.create_task(Relay(database, bus).run(stop))
        await until_relay_has_looked(database)
        assert await checkpoint(database) == (0, 0)
        await elder.rollback()
        await Reader(bus).read_until(ids)
        stop.set()
        await add(database, event(2))  # wakes the relay for its end
        await task


async def insert(connection: psycopg.AsyncConnection, one: Event) -> None:
    """Write an outbox row in the connection's open transaction."""
    values = outbox.outbox_values(one)
    await connection.execute(
        "INSERT INTO platform.outbox (event_id, topic, key, body, created_at)"
        " VALUES (%(event_id)s, %(topic)s, %(key)s, %(body)s, %(created_at)s)",
        values,
    )


async def until_relay_has_looked(database: Database) -> None:
    """Wait until the relay has fetched after now: it is the only one that reads the outbox."""
    async with database.reading() as session:
        before = await scans(session)
    async with asyncio.timeout(DEADLINE_S):
        while True:
            async with database.reading() as session:
                if await scans(session) > before + 3:  # a look takes two
                    return


async def scans(session: AsyncSession) -> int:
    await session.execute(text("SELECT pg_stat_clear_snapshot()"))
    count = await session.scalar(
        text(
            "SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_stat_user_tables"
            " WHERE schemaname = 'platform' AND relname = 'outbox'"
        )
    )
    return int(count or 0)


async def checkpoint(database: Database) -> tuple[int, int] | None:
    async with database.reading() as session:
        row = (
            await session.execute(
                text("SELECT xid::text::bigint, seq FROM platform.relay_checkpoint")
            )
        ).first()
        return None if row is None else (row[0], row[1])


async def xid_of(database: Database, one: Event) -> int:
    async with database.reading() as session:
        found = await session.scalar(
            text("SELECT xid::text::bigint FROM platform.outbox WHERE event_id = :id"),
            {"id": one.id},
        )
        assert found is not None
        return int(found)


async def test_rolled_back_event_is_never_published(database: Database, bus: Bus) -> None:
    ghost, real = event(1), event(2)
    async with relaying(database, bus):
        async with await database.connect_raw() as connection:
            await insert(connection, ghost)
            await connection.rollback()
        await add(database, real)
        reader = Reader(bus)
        await reader.read_until({real.id})
    assert ghost.id not in {one.id for one in reader.events}


async def test_deleted_stream_is_filled_again_and_effects_stay_single(
    database: Database, bus: Bus
) -> None:
    """Relay and consumer are at work while the stream disappears under them."""
    key, handled = uuid4().hex, Handled()
    consumer = counting_consumer(handled, key=key)
    async with relaying(database, bus), consuming(consumer, database, bus):
        ids = await add(database, *(event(number, key=key) for number in range(40)))
        await handled.until(40)
        await bus._context().delete_stream(STREAM)
        ids |= await add(database, event(40, key=key))
        await handled.until(41)
        again = await Reader(bus).read_until(ids)
    assert [number_of(one) for one in again] == list(range(41))
    assert handled.numbers == list(range(41))
    assert await count(database, "platform.inbox", consumer.name) >= 41


class Handled:
    """What a consumer has handled, to be waited for."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._came = asyncio.Event()

    def add(self, number: int) -> None:
        self.numbers.append(number)
        self._came.set()

    async def until(self, size: int) -> None:
        """Wait until so many have been handled."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.numbers) < size:
                await self._came.wait()
                self._came.clear()


def counting_consumer(handled: Handled, *, key: str) -> Consumer:
    """A consumer whose effect can be counted."""

    async def handle(_: AsyncSession, received: ReceivedEvent) -> None:
        if received.partitionkey == key:
            handled.add(number_of(received))

    return Consumer(name=f"counting-{uuid4().hex}", topics=(TOPIC,), handle=handle)


@asynccontextmanager
async def consuming(consumer: Consumer, database: Database, bus: Bus) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(run_consumer(consumer, database, bus, stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def count(database: Database, table: str, consumer: str) -> int:
    async with database.reading() as session:
        found = await session.scalar(
            text(f"SELECT count(*) FROM {table} WHERE consumer = :consumer"),  # noqa: S608
            {"consumer": consumer},
        )
        return int(found or 0)


async def publish(bus: Bus, *events: Event | bytes) -> None:
    """Publish past the outbox, as a relay does that repeats itself or is broken."""
    for one in events:
        body = one if isinstance(one, bytes) else b"[" + event_body(one) + b"]"
        await bus.publish_durable(TOPIC, body, message_id=uuid4().hex)


def event_body(one: Event) -> bytes:
    return str(outbox.outbox_values(one)["body"]).encode()


async def test_event_that_comes_again_has_its_effect_once(database: Database, bus: Bus) -> None:
    key, handled = uuid4().hex, Handled()
    events = [event(number, key=key) for number in range(20)]
    end = event(20, key=key)
    await publish(bus, *events, *events[::-1], *events, end)
    async with consuming(counting_consumer(handled, key=key), database, bus):
        await handled.until(21)
    assert handled.numbers == list(range(21))


async def test_poison_is_parked_and_those_behind_it_go_on(database: Database, bus: Bus) -> None:
    key, tries, handled = uuid4().hex, list[int](), Handled()

    async def handle(_: AsyncSession, received: ReceivedEvent) -> None:
        if received.partitionkey != key:
            return
        number = number_of(received)
        if number == 1:
            tries.append(number)
            raise ValueError("poison")
        handled.add(number)

    consumer = Consumer(name=f"poisoned-{uuid4().hex}", topics=(TOPIC,), handle=handle)
    poison = event(1, key=key)
    await publish(bus, event(0, key=key), poison, b"this is no JSON", event(2, key=key))
    async with consuming(consumer, database, bus):
        await handled.until(2)
    assert handled.numbers == [0, 2]
    assert len(tries) == TRIES_MAX
    async with database.reading() as session:
        rows = (
            await session.execute(
                text(
                    "SELECT body, error FROM platform.dead_letters WHERE consumer = :consumer"
                    " ORDER BY id"
                ),
                {"consumer": consumer.name},
            )
        ).all()
    assert [one.id for one in decode_batch(rows[0].body.encode())] == [poison.id]
    assert rows[0].error == "ValueError: poison"
    assert rows[1].body == "this is no JSON"
    assert len(rows) == 2


async def test_effect_and_inbox_are_one_transaction(database: Database, bus: Bus) -> None:
    """A handler that fails after writing leaves nothing, so its next try starts from nothing."""
    key, seen = uuid4().hex, Handled()
    stored = UUID(int=7)

    async def handle(session: AsyncSession, received: ReceivedEvent) -> None:
        if received.partitionkey != key:
            return
        await session.execute(
            text("INSERT INTO platform.inbox (consumer, event_id) VALUES (:consumer, :id)"),
            {"consumer": key, "id": stored},
        )
        seen.add(number_of(received))
        if len(seen.numbers) < 3:
            raise ValueError("not yet")

    consumer = Consumer(name=f"retrying-{uuid4().hex}", topics=(TOPIC,), handle=handle)
    one = event(0, key=key)
    await publish(bus, one)
    async with consuming(consumer, database, bus):
        await seen.until(3)
    assert await count(database, "platform.inbox", key) == 1
    async with database.reading() as session:
        parked = await session.scalars(text("SELECT body FROM platform.dead_letters"))
        assert not [body for body in parked if str(one.id) in body]


async def test_lanes_keep_the_order_of_each_key(database: Database, bus: Bus) -> None:
    """One key that has to wait holds up nobody else, and nothing overtakes within a key."""
    slow, quick = uuid4().hex, uuid4().hex
    handled, order, all_quick = Handled(), list[tuple[str, int]](), asyncio.Event()

    async def handle(_: AsyncSession, received: ReceivedEvent) -> None:
        key, number = received.partitionkey, number_of(received)
        if key not in {slow, quick}:
            return
        if key == slow and number == 0:
            await all_quick.wait()
        order.append((key, number))
        handled.add(number)
        if [one for one in order if one[0] == quick] == [(quick, one) for one in range(5)]:
            all_quick.set()

    consumer = Consumer(name=f"lanes-{uuid4().hex}", topics=(TOPIC,), handle=handle, lanes=3)
    mixed = [event(number, key=key) for number in range(5) for key in (slow, quick)]
    await publish(bus, *mixed, mixed[0])
    async with consuming(consumer, database, bus):
        await handled.until(10)
    assert [number for key, number in order if key == slow] == list(range(5))
    assert order[:5] == [(quick, number) for number in range(5)]


async def test_lanes_park_poison_and_deliver_again_what_was_not_handled(
    database: Database, bus: Bus
) -> None:
    key, handled, tries = uuid4().hex, Handled(), list[int]()

    async def handle(_: AsyncSession, received: ReceivedEvent) -> None:
        if received.partitionkey != key:
            return
        number = number_of(received)
        tries.append(number)
        if number == 1:
            raise ValueError("poison")
        if number == 2 and tries.count(2) == 1:
            raise DatabaseUnavailable("away for a moment")
        handled.add(number)

    consumer = Consumer(name=f"lanes-{uuid4().hex}", topics=(TOPIC,), handle=handle, lanes=3)
    await publish(bus, *(event(number, key=key) for number in range(4)))
    async with consuming(consumer, database, bus):
        await handled.until(3)
    assert handled.numbers == [0, 2, 3]
    assert tries.count(1) == TRIES_MAX


async def test_what_is_handled_together_has_its_effect_once_and_in_order(
    database: Database, bus: Bus
) -> None:
    key, handled, sizes = uuid4().hex, Handled(), list[int]()

    async def handle_all(_: AsyncSession, received: Sequence[ReceivedEvent]) -> None:
        mine = [number_of(one) for one in received if one.partitionkey == key]
        sizes.append(len(mine))
        for number in mine:
            handled.add(number)

    async def handle(session: AsyncSession, received: ReceivedEvent) -> None:
        await handle_all(session, [received])  # the stream has what is not readable, too

    consumer = Consumer(
        name=f"together-{uuid4().hex}", topics=(TOPIC,), handle=handle, handle_together=handle_all
    )
    events = [event(number, key=key) for number in range(40)]
    await publish(bus, *events[:20], *events[5:], *events[::-1])
    async with consuming(consumer, database, bus):
        await handled.until(40)
    assert handled.numbers == list(range(40))
    assert max(sizes) > 1


async def test_what_cannot_be_handled_together_is_handled_one_by_one(
    database: Database, bus: Bus
) -> None:
    key, handled = uuid4().hex, Handled()

    async def handle(_: AsyncSession, received: ReceivedEvent) -> None:
        if received.partitionkey != key:
            return
        if number_of(received) == 2:
            raise ValueError("poison")
        handled.add(number_of(received))

    async def handle_all(session: AsyncSession, received: Sequence[ReceivedEvent]) -> None:
        if any(one.partitionkey == key and number_of(one) == 2 for one in received):
            raise ValueError("poison")
        for one in received:
            await handle(session, one)

    consumer = Consumer(
        name=f"together-{uuid4().hex}", topics=(TOPIC,), handle=handle, handle_together=handle_all
    )
    await publish(bus, b"this is no JSON", *(event(number, key=key) for number in range(5)))
    async with consuming(consumer, database, bus):
        await handled.until(4)
    assert handled.numbers == [0, 1, 3, 4]
    async with database.reading() as session:
        parked = await session.scalars(
            text("SELECT body FROM platform.dead_letters WHERE consumer = :consumer"),
            {"consumer": consumer.name},
        )
        assert len([body for body in parked if key in body]) == 1
