"""How fast the relay takes events from the outbox to the stream.

    python benchmarks/relay.py

Beside it, in the same run: the same messages published straight from memory, which is what the bus
and its disk allow, and one event in each message, which is what packing saves.
"""

import asyncio
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alphintra.core.clock import SystemClock
from alphintra.core.ids import EventId, OrderId, UserId
from alphintra.core.orders import OrderEventType
from alphintra.platform import migrations, outbox
from alphintra.platform.bus import Bus
from alphintra.platform.database import Database
from alphintra.platform.embedded import temporary_servers
from alphintra.platform.events import Event, Topic
from alphintra.platform.relay import EVENTS_PER_MESSAGE, Relay
from alphintra.trading.events import OrderEventData
from benchmarks.harness import milliseconds, rate

ROUNDS = 3
EVENTS = 20_000
SINGLE = 500
ORDER = b'{"id":"%s","status":"ACCEPTED","filler":"%s"}' % (str(uuid4()).encode(), b"x" * 650)
PAUSED_EVENTS = 200
PAUSE_S = 0.01


def events(number: int) -> list[Event]:
    """Return order events as large as real ones."""
    clock = SystemClock()
    made = []
    for sequence in range(1, number + 1):
        event_id = EventId(uuid4())
        data = OrderEventData(
            event_id=event_id,
            user_id=UserId(uuid4()),
            order_id=OrderId(uuid4()),
            event_type=OrderEventType.CREATED,
            symbol="SPY",
            quantity="1",
            price="100",
            timestamp=datetime.now(UTC),
            order=msgspec.Raw(ORDER),
        )
        made.append(
            Event(
                id=event_id,
                topic=Topic.ORDER_EVENTS,
                type="order_event.v1",
                key=str(uuid4()),
                occurred_at_ns=clock.now_ns(),
                data=data,
                sequence=sequence,
            )
        )
    return made


async def copied(database: Database, new: list[Event]) -> None:
    """Write events into the outbox in one transaction."""
    async with await database.connect_raw() as connection, connection.cursor() as cursor:
        columns = "event_id, topic, key, body, created_at"
        async with cursor.copy(f"COPY platform.outbox ({columns}) FROM STDIN") as copy:
            for one in new:
                await copy.write_row(tuple(outbox.outbox_values(one).values()))


async def until_relayed(database: Database) -> None:
    """Wait until the checkpoint stands at the end of the outbox."""
    query = """SELECT NOT EXISTS (
        SELECT FROM platform.outbox o LEFT JOIN platform.relay_checkpoint c ON true
        WHERE (o.xid, o.seq) > (coalesce(c.xid, '0'::xid8), coalesce(c.seq, 0)))"""
    async with await database.connect_raw(autocommit=True) as connection:
        while True:
            row = await (await connection.execute(query)).fetchone()
            if row is not None and row[0]:
                return
            await asyncio.sleep(0.01)


async def relayed_per_s(database: Database, bus: Bus) -> float:
    """Return events/s from the outbox to the stream."""
    await copied(database, events(EVENTS))
    stop = asyncio.Event()
    began_s = time.perf_counter()
    relay = asyncio.create_task(Relay(database, bus).run(stop))
    await until_relayed(database)
    took_s = time.perf_counter() - began_s
    stop.set()
    await relay
    return EVENTS / took_s


async def straight_per_s(bus: Bus, *, number: int, per_message: int) -> float:
    """Return events/s published from memory, one message after the other."""
    bodies = [str(outbox.outbox_values(one)["body"]) for one in events(number)]
    began_s = time.perf_counter()
    for at in range(0, number, per_message):
        body = f"[{','.join(bodies[at : at + per_message])}]".encode()
        await bus.publish_durable(Topic.ORDER_EVENTS, body, message_id=str(uuid4()))
    return number / (time.perf_counter() - began_s)


async def delays_s(database: Database, bus: Bus) -> list[float]:
    """Return seconds from a commit to the arrival at a subscriber, one event at a time."""
    arrived: asyncio.Queue[float] = asyncio.Queue()

    async def note(_: str, __: bytes) -> None:
        arrived.put_nowait(time.perf_counter())

    subscription = await bus.subscribe(Topic.ORDER_EVENTS, note)
    stop = asyncio.Event()
    relay = asyncio.create_task(Relay(database, bus).run(stop))
    took_s = []
    for one in events(PAUSED_EVENTS):
        async with database.transaction() as session:
            await outbox.add(session, one)
        committed_s = time.perf_counter()
        took_s.append(await arrived.get() - committed_s)
        await asyncio.sleep(PAUSE_S)
    stop.set()
    await relay
    await subscription.unsubscribe()
    return took_s[PAUSED_EVENTS // 10 :]


async def main() -> None:
    with temporary_servers() as servers:
        await asyncio.to_thread(migrations.upgrade, servers.database_url)
        database, bus = Database(servers.database_url), Bus(servers.bus_url)
        await bus.connect()
        ours, straight, single = [], [], []
        for _ in range(ROUNDS):
            ours.append(await relayed_per_s(database, bus))
            straight.append(
                await straight_per_s(bus, number=EVENTS, per_message=EVENTS_PER_MESSAGE)
            )
            single.append(await straight_per_s(bus, number=SINGLE, per_message=1))
        delays = await delays_s(database, bus)
        await bus.close()
        await database.close()
    share = statistics.median(ours) / statistics.median(straight)
    print(
        f"outbox to stream: {rate(ours)} events; straight from memory {rate(straight)}"
        f" ({share:.2f} of it); one event in a message {rate(single)}"
    )
    print(f"commit to subscriber, one event at a time: {milliseconds(delays)}")


if __name__ == "__main__":
    uvloop.run(main())
