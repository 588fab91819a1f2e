"""The asynchronous history pair: a request is an event, its result waits to be fetched.

request_history     row PENDING + event `historical_data_request`, one transaction
consumer            asks the gRPC service and writes the result: DONE, or FAILED with the reason
history_result      the row, for its owner
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, cast
from uuid import UUID

import msgspec
from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import now
from alphintra.core.errors import BadRequest, NotFound
from alphintra.core.ids import EventId, UserId
from alphintra.market.errors import InvalidTimeRange, UnknownHistoryRequest
from alphintra.market.instruments import load_instrument
from alphintra.market.models import HistoricalRequestRow
from alphintra.platform import outbox
from alphintra.platform.consumers import Consumer
from alphintra.platform.events import Event, ReceivedEvent, Topic
from alphintra.platform.services import Services

EVENT_TYPE: Final = "historical_data_request.v1"
CONSUMER: Final = "market-history"

Status = Literal["PENDING", "DONE", "FAILED"]


class HistoricalDataRequested(msgspec.Struct, frozen=True, kw_only=True):
    """`historical_data_request.v1`: somebody wants the daily closes of a symbol in some time."""

    request_id: UUID
    user_id: UUID
    symbol: str
    start_timestamp: datetime
    end_timestamp: datetime


class HistoryResult(msgspec.Struct, frozen=True, kw_only=True):
    """A request and, once it is DONE, its entries: ISO date and close as a decimal string."""

    id: UUID
    symbol: str
    start_timestamp: datetime
    end_timestamp: datetime
    status: Status
    detail: str | None
    entries: list[dict[str, str]] | None


async def request_history(
    services: Services, *, user_id: UserId, symbol: str, start: datetime, end: datetime
) -> UUID:
    """Ask for the daily closes of a symbol; return the id under which the result will be.

    Raises:
        UnknownInstrument: there is no such symbol.
        InvalidTimeRange: a time without a zone, or an end before the start.
    """
    if start.tzinfo is None or end.tzinfo is None:
        raise InvalidTimeRange("start and end need an offset, e.g. 2024-01-31T00:00:00Z")
    if end < start:
        raise InvalidTimeRange("the end has to be after the start")
    request_id = services.ids()
    asked_at = now(services.clock)
    data = HistoricalDataRequested(
        request_id=request_id,
        user_id=user_id,
        symbol=symbol,
        start_timestamp=start,
        end_timestamp=end,
    )
    async with services.database.transaction() as session:
        await load_instrument(session, symbol)
        await _insert(session, data, asked_at)
        await outbox.add(
            session,
            Event(
                id=EventId(services.ids()),
                topic=Topic.HISTORICAL_DATA_REQUEST,
                type=EVENT_TYPE,
                key=str(user_id),
                occurred_at_ns=services.clock.now_ns(),
                data=data,
            ),
        )
    return request_id


async def history_result(services: Services, request_id: UUID, user_id: UserId) -> HistoryResult:
    """Return a request of this user.

    Raises:
        UnknownHistoryRequest: there is none of that id, or it is somebody else's.
    """
    async with services.database.reading() as session:
        row = await session.get(HistoricalRequestRow, request_id)
    if row is None or row.user_id != user_id:
        raise UnknownHistoryRequest("there is no such request for historical data")
    return HistoryResult(
        id=row.id,
        symbol=row.symbol,
        start_timestamp=row.start_at,
        end_timestamp=row.end_at,
        status=cast(Status, row.status),  # only this module writes it
        detail=row.detail,
        entries=row.result,
    )


def consumers(services: Services) -> Sequence[Consumer]:
    """Return what market listens to."""

    async def answer(session: AsyncSession, event: ReceivedEvent) -> None:
        await _answer(services, session, event)

    return [Consumer(name=CONSUMER, topics=(Topic.HISTORICAL_DATA_REQUEST,), handle=answer)]


async def _answer(services: Services, session: AsyncSession, event: ReceivedEvent) -> None:
    from alphintra.market.history_client import get_historical_data

    asked = msgspec.json.decode(event.data, type=HistoricalDataRequested)
    # Whoever published the event may not have written the row.
    await _insert(session, asked, now(services.clock))
    values: dict[str, object]
    try:
        entries = await get_historical_data(
            services.settings,
            symbol=asked.symbol,
            start=asked.start_timestamp.date(),
            end=asked.end_timestamp.date(),
        )
    except (NotFound, BadRequest) as error:
        values = {"status": "FAILED", "detail": error.detail}
    else:
        values = {"status": "DONE", "result": msgspec.to_builtins(entries)}
    await session.execute(
        update(HistoricalRequestRow)
        .where(
            HistoricalRequestRow.id == asked.request_id,
            HistoricalRequestRow.user_id == asked.user_id,
        )
        .values(finished_at=now(services.clock), **values)
    )


async def _insert(session: AsyncSession, asked: HistoricalDataRequested, at: datetime) -> None:
    await session.execute(
        insert(HistoricalRequestRow)
        .values(
            id=asked.request_id,
            user_id=asked.user_id,
            symbol=asked.symbol,
            start_at=asked.start_timestamp,
            end_at=asked.end_timestamp,
            status="PENDING",
            created_at=at,
        )
        .on_conflict_do_nothing()
    )
