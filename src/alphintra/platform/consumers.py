"""Durable consumers: an event has its effect once, however often it is delivered.

A handler's writes and the inbox row that remembers the event commit together. An event that keeps
failing is parked in the dead letters after `TRIES_MAX` tries, so that it does not block those
behind it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec
import nats.errors
import structlog
from nats.aio.msg import Msg
from prometheus_client import Counter
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from alphintra.core.errors import Problem, Unavailable
from alphintra.platform import correlation
from alphintra.platform.bus import Bus, BusUnavailable
from alphintra.platform.database import Base, Database, Timestamp
from alphintra.platform.events import ReceivedEvent, Topic, decode_batch

TRIES_MAX = 5
FETCH_MESSAGES = 16
FETCH_WAIT_S = 1.0
RETRY_S = 0.5

HANDLED = Counter("alphintra_events_handled_total", "Events that a consumer handled", ["consumer"])
PARKED = Counter("alphintra_events_parked_total", "Events sent to the dead letters", ["consumer"])
log = structlog.get_logger(__name__)

EventHandler = Callable[[AsyncSession, ReceivedEvent], Awaitable[None]]
EventsHandler = Callable[[AsyncSession, Sequence[ReceivedEvent]], Awaitable[None]]


class InboxRow(Base):
    """An event that a consumer has dealt with."""

    __tablename__ = "inbox"
    __table_args__ = {"schema": "platform"}  # noqa: RUF012

    consumer: Mapped[str] = mapped_column(primary_key=True)
    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    handled_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class DeadLetter(Base):
    """A message that could not be handled, kept as it came until an administrator decides."""

    __tablename__ = "dead_letters"
    __table_args__ = {"schema": "platform"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    consumer: Mapped[str]
    topic: Mapped[str]
    body: Mapped[str]
    error: Mapped[str]
    parked_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """A named reader of topics. The name is the identity of its position and of its inbox.

    With several `lanes` so many events are handled at a time; those of one key stay in order.
    With `handle_together` all that were fetched are handled at once, in one transaction; should
    that fail, each is handled by itself.
    """

    name: str
    topics: tuple[Topic, ...]
    handle: EventHandler
    lanes: int = 1
    handle_together: EventsHandler | None = None


async def run_consumer(
    consumer: Consumer, database: Database, bus: Bus, stop: asyncio.Event
) -> None:
    """Feed the consumer until `stop` is set; outlives restarts of the database and of the bus."""
    while not stop.is_set():
        try:
            subscription = await bus.pull(consumer.name, list(consumer.topics))
            while not stop.is_set():
                try:
                    messages = await subscription.fetch(FETCH_MESSAGES, timeout=FETCH_WAIT_S)
                except (TimeoutError, nats.errors.TimeoutError):
                    continue
                await _handle_messages(consumer, database, messages)
        except (BusUnavailable, Unavailable, nats.errors.Error, OSError) as error:
            log.warning("consumer_interrupted", consumer=consumer.name, error=str(error))
            await asyncio.sleep(RETRY_S)


async def _handle_messages(consumer: Consumer, database: Database, messages: Sequence[Msg]) -> None:
    """Handle what was fetched; what cannot be handled now is asked for again at once."""
    try:
        if await _handle_together(consumer, database, messages):
            return
        if consumer.lanes == 1:
            for message in messages:
                for event in await _read(consumer, database, message):
                    await _handle_event(consumer, database, message.subject, event)
                await message.ack()
        else:
            await _handle_in_lanes(consumer, database, messages)
    except (Unavailable, OSError, nats.errors.Error):
        with suppress(nats.errors.Error, OSError):
            for message in messages:
                if not message.is_acked:
                    await message.nak()
        raise


async def _handle_together(consumer: Consumer, database: Database, messages: Sequence[Msg]) -> bool:
    """Handle all of them at once; false: it has to be done one by one."""
    if consumer.handle_together is None:
        return False
    try:
        events = [event for message in messages for event in decode_batch(message.data)]
        async with database.transaction() as session:
            known = await _known(session, consumer.name, events)
            new: dict[UUID, ReceivedEvent] = {}
            for event in events:
                if event.id not in known:
                    new.setdefault(event.id, event)  # one that came twice: where it came first
            if new:
                await consumer.handle_together(session, list(new.values()))
                # Noted last: from the first write on, the transaction holds back what the relay
                # publishes, and a handler may have to wait for somebody before it writes.
                if await first_times(session, consumer.name, new) != new.keys():
                    raise LookupError("another process has handled some of them meanwhile")
    except (Problem, ValueError, LookupError, TypeError, ArithmeticError) as error:
        # Also where somebody did not answer: what does not need him is to go on.
        log.info("events_not_handled_together", consumer=consumer.name, error=str(error))
        return False
    for message in messages:
        await message.ack()
    HANDLED.labels(consumer.name).inc(len(events))
    return True


async def _handle_in_lanes(consumer: Consumer, database: Database, messages: Sequence[Msg]) -> None:
    by_key: dict[str, list[tuple[str, ReceivedEvent]]] = {}
    for message in messages:
        for event in await _read(consumer, database, message):
            by_key.setdefault(event.partitionkey, []).append((message.subject, event))
    free = asyncio.Semaphore(consumer.lanes)

    async def handle_key(events: Sequence[tuple[str, ReceivedEvent]]) -> None:
        async with free:
            for topic, event in events:
                await _handle_event(consumer, database, topic, event)

    try:
        async with asyncio.TaskGroup() as tasks:
            for events in by_key.values():
                tasks.create_task(handle_key(events))
    except ExceptionGroup as group:
        # Who is away is away for all; one of them speaks for the others.
        raise group.exceptions[0] from group
    for message in messages:
        await message.ack()


async def _read(consumer: Consumer, database: Database, message: Msg) -> list[ReceivedEvent]:
    """Return the events of a message; none of one that is not readable, which is parked."""
    try:
        return decode_batch(message.data)
    except msgspec.DecodeError as error:
        await _park(consumer, database, message.subject, message.data, error)
        return []


async def _handle_event(
    consumer: Consumer, database: Database, topic: str, event: ReceivedEvent
) -> None:
    correlation.begin(event.correlationid)
    for attempt in range(1, TRIES_MAX + 1):
        try:
            async with database.transaction() as session:
                if await first_time(session, consumer.name, event.id):
                    await consumer.handle(session, event)
        except Unavailable:
            raise  # not the event's fault: it is delivered again once the dependency is back
        except (Problem, ValueError, LookupError, TypeError, ArithmeticError) as error:
            if attempt == TRIES_MAX:
                body = msgspec.json.encode([event])
                await _park(consumer, database, topic, body, error, event.id)
                return
            await asyncio.sleep(0.05 * 2**attempt)
        else:
            HANDLED.labels(consumer.name).inc()
            return


async def first_time(session: AsyncSession, consumer: str, event_id: UUID) -> bool:
    """Note in this transaction that `consumer` has seen the event; say whether it is new to it."""
    return bool(await first_times(session, consumer, [event_id]))


async def first_times(session: AsyncSession, consumer: str, event_ids: Iterable[UUID]) -> set[UUID]:
    """Note in this transaction that `consumer` has seen events; return which are new to it."""
    found = await session.scalars(
        insert(InboxRow)
        # In one order, so that two that are given the same do not wait for each other.
        .values([{"consumer": consumer, "event_id": one} for one in sorted(event_ids)])
        .on_conflict_do_nothing()
        .returning(InboxRow.event_id)
    )
    return set(found)


async def _known(
    session: AsyncSession, consumer: str, events: Sequence[ReceivedEvent]
) -> set[UUID]:
    """Return which events `consumer` has seen."""
    found = await session.scalars(
        select(InboxRow.event_id).where(
            InboxRow.consumer == consumer, InboxRow.event_id.in_([event.id for event in events])
        )
    )
    return set(found)


async def _park(
    consumer: Consumer,
    database: Database,
    topic: str,
    body: bytes,
    error: Exception,
    *event_ids: UUID,
) -> None:
    log.error("event_parked", consumer=consumer.name, topic=topic, error=str(error))
    PARKED.labels(consumer.name).inc()
    async with database.transaction() as session:
        if event_ids:  # with others of its message it may come again
            await first_times(session, consumer.name, event_ids)
        await session.execute(
            insert(DeadLetter).values(
                consumer=consumer.name,
                topic=topic,
                body=body.decode(errors="backslashreplace"),
                error=f"{type(error).__name__}: {error}",
            )
        )
