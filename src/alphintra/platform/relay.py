"""Outbox to bus, in commit order, at least once.

A row is published only when no older transaction is still open (`xid` below the snapshot's `xmin`),
so no row can appear behind the checkpoint. The checkpoint names the stream that it is true of: a
stream that was lost, re-created or cut short is filled again from the outbox, and consumers drop
what they know already.
"""

import asyncio
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import psycopg
import structlog
from prometheus_client import Counter, Gauge
from psycopg.rows import class_row

from alphintra.platform.bus import STREAM, Bus, BusUnavailable
from alphintra.platform.database import Database
from alphintra.platform.outbox import CHANNEL

ROWS_PER_ROUND = 2_000
EVENTS_PER_MESSAGE = 500
BYTES_PER_MESSAGE = 1_000_000
IDLE_POLL_S = 1.0
#: How soon rows are looked at again that an older transaction holds back: its end tells nobody.
HELD_BACK_POLL_S = 0.01
RETRY_S = 0.5
#: Two relays would repeat, not harm; the lock spares the work.
ADVISORY_LOCK = 0x616C_7068_01

PUBLISHED = Counter("alphintra_relay_events_total", "Events published from the outbox", ["topic"])
LAG = Gauge("alphintra_relay_lag_seconds", "Age of the oldest event that is not yet published")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """What the relay reads of an outbox row."""

    xid: int
    seq: int
    topic: str
    body: str
    age_s: float


@dataclass(frozen=True, slots=True)
class Message:
    """One bus message: consecutive events of one topic."""

    topic: str
    message_id: str
    body: bytes
    event_count: int


def pack(rows: list[Row]) -> list[Message]:
    """Cut rows into messages; within a topic the order stays, and a message stays under its
    bounds.
    """
    messages = []
    for topic, of_topic in groupby(sorted(rows, key=attrgetter("topic")), key=attrgetter("topic")):
        chunk: list[Row] = []
        size = 0
        for row in of_topic:
            if chunk and (
                len(chunk) >= EVENTS_PER_MESSAGE or size + len(row.body) > BYTES_PER_MESSAGE
            ):
                messages.append(_message(topic, chunk))
                chunk, size = [], 0
            chunk.append(row)
            size += len(row.body)
        messages.append(_message(topic, chunk))
    return messages


def _message(topic: str, rows: list[Row]) -> Message:
    return Message(
        topic=topic,
        message_id=f"{rows[0].xid}.{rows[0].seq}-{rows[-1].xid}.{rows[-1].seq}",
        body=f"[{','.join(row.body for row in rows)}]".encode(),
        event_count=len(rows),
    )


class Relay:
    """Publishes what the outbox holds; one per deployment is at work, others wait for its lock."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._position = (0, 0)

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop` is set; outlives restarts of the database and of the bus."""
        while not stop.is_set():
            try:
                async with await self._database.connect_raw(autocommit=True) as connection:
                    await self._work(connection, stop)
            except (psycopg.Error, BusUnavailable) as error:
                log.warning("relay_interrupted", error=str(error).strip())
                await _wait(stop, RETRY_S)

    async def _work(self, connection: psycopg.AsyncConnection, stop: asyncio.Event) -> None:
        while not await self._is_leader(connection):
            if await _wait(stop, IDLE_POLL_S):
                return
        await connection.execute(f"LISTEN {CHANNEL}")
        await self._load_checkpoint(connection)
        while not stop.is_set():
            # Asked before: what is let go in between is fetched.
            is_held_back = await self._is_held_back(connection)
            rows = await self._fetch(connection)
            LAG.set(rows[0].age_s if rows else 0)
            if rows:
                await self._publish(connection, rows)
            if len(rows) < ROWS_PER_ROUND:
                timeout_s = HELD_BACK_POLL_S if is_held_back else IDLE_POLL_S
                await self._next_notification(connection, stop, timeout_s)

    async def _is_leader(self, connection: psycopg.AsyncConnection) -> bool:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s)", [ADVISORY_LOCK])
        row = await cursor.fetchone()
        return bool(row and row[0])

    async def _load_checkpoint(self, connection: psycopg.AsyncConnection) -> None:
        stream = await self._bus.ensure_stream()
        cursor = await connection.execute(
            """SELECT stream_identity, stream_sequence, xid::text::bigint, seq,
                      xid > pg_snapshot_xmax(pg_current_snapshot())
               FROM platform.relay_checkpoint WHERE stream = %s""",
            [STREAM],
        )
        row = await cursor.fetchone()
        self._position = (0, 0)
        if row is not None:
            identity, sequence, xid, seq, is_from_another_cluster = row
            same_stream = identity == stream.identity and sequence <= stream.last_sequence
            if same_stream and not is_from_another_cluster:
                self._position = (xid, seq)
                return
            log.warning("relay_refills_stream", stream=STREAM, expected=sequence, found=stream)
        await self._save_checkpoint(connection, stream.identity, stream.last_sequence)

    async def _fetch(self, connection: psycopg.AsyncConnection) -> list[Row]:
        cursor = connection.cursor(row_factory=class_row(Row))
        await cursor.execute(
            """SELECT xid::text::bigint AS xid, seq, topic, body,
                      extract(epoch FROM clock_timestamp() - created_at)::float8 AS age_s
               FROM platform.outbox
               WHERE (xid, seq) > (%s::text::xid8, %s::bigint)
                 AND xid < pg_snapshot_xmin(pg_current_snapshot())
               ORDER BY xid, seq LIMIT %s""",
            [str(self._position[0]), self._position[1], ROWS_PER_ROUND],
        )
        return await cursor.fetchall()

    async def _is_held_back(self, connection: psycopg.AsyncConnection) -> bool:
        """Say whether there are rows that have to wait for an older transaction."""
        cursor = await connection.execute(
            """SELECT EXISTS (SELECT FROM platform.outbox
                              WHERE xid >= pg_snapshot_xmin(pg_current_snapshot()))"""
        )
        row = await cursor.fetchone()
        return bool(row and row[0])

    async def _publish(self, connection: psycopg.AsyncConnection, rows: list[Row]) -> None:
        by_topic: dict[str, list[Message]] = {}
        for message in pack(rows):
            by_topic.setdefault(message.topic, []).append(message)
        sequences = await asyncio.gather(*map(self._publish_topic, by_topic.values()))
        stream = await self._bus.ensure_stream()
        self._position = (rows[-1].xid, rows[-1].seq)
        await self._save_checkpoint(
            connection, stream.identity, min(max(sequences), stream.last_sequence)
        )

    async def _publish_topic(self, messages: list[Message]) -> int:
        sequence = 0
        for message in messages:
            sequence = await self._bus.publish_durable(
                message.topic, message.body, message_id=message.message_id
            )
            PUBLISHED.labels(message.topic).inc(message.event_count)
        return sequence

    async def _save_checkpoint(
        self, connection: psycopg.AsyncConnection, identity: str, sequence: int
    ) -> None:
        await connection.execute(
            """INSERT INTO platform.relay_checkpoint
                 (stream, stream_identity, stream_sequence, xid, seq)
               VALUES (%s, %s, %s, %s::text::xid8, %s)
               ON CONFLICT (stream) DO UPDATE SET
                 stream_identity = excluded.stream_identity,
                 stream_sequence = excluded.stream_sequence,
                 xid = excluded.xid, seq = excluded.seq""",
            [STREAM, identity, sequence, str(self._position[0]), self._position[1]],
        )

    async def _next_notification(
        self, connection: psycopg.AsyncConnection, stop: asyncio.Event, timeout_s: float
    ) -> None:
        # A plain wait on the generator: it returns at the first notification or after the time-out.
        if not stop.is_set():
            async for _ in connection.notifies(timeout=timeout_s, stop_after=1):
                pass


async def _wait(stop: asyncio.Event, seconds: float) -> bool:
    """Sleep, but not through `stop`; say whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True
