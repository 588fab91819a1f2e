"""The role `history`: the gRPC service of historical data."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal

import grpc
import structlog

from alphintra.core import money
from alphintra.core.clock import to_datetime, to_ns
from alphintra.core.errors import Problem, Unavailable
from alphintra.market.errors import InvalidTimeRange
from alphintra.market.history_wire import (
    CHANNEL_OPTIONS,
    CREDENTIAL_KEY,
    PROBLEM_KEY,
    health_wire,
    history_wire,
    internal_token,
    status_of,
    token_is_valid,
)
from alphintra.market.models import TickRow
from alphintra.market.service import MarketService
from alphintra.platform import correlation
from alphintra.platform.services import Services

SERVICE: Final = "alphintra.market.v1.HistoricalDataService"
#: Daily closes of one answer: eighty years.
ENTRIES_MAX: Final = 30_000
BATCH: Final = 1_000
STOP_GRACE_S: Final = 2.0
CONCURRENT_MAX: Final = 64
_AMOUNTS: Final = ("bid", "ask", "bid_size", "ask_size", "price", "size")

log = structlog.get_logger(__name__)


async def serve_history(services: Services, stop: asyncio.Event) -> None:
    """Serve until `stop` is set.

    Raises:
        HistoryServiceUnprotected: it would be reachable from other machines without a secret.
    """
    settings = services.settings
    token = internal_token(settings)
    server = grpc.aio.server(
        interceptors=[_TokenCheck(token)],
        options=CHANNEL_OPTIONS,
        maximum_concurrent_rpcs=CONCURRENT_MAX,
    )
    wire, health = history_wire(), health_wire()
    wire.services.add_HistoricalDataServiceServicer_to_server(
        HistoricalData(MarketService(services)), server
    )
    health.services.add_HealthServicer_to_server(Health(services), server)
    address = f"{settings.history_host}:{settings.history_port}"
    server.add_insecure_port(address)
    await server.start()
    log.info("history_serving", address=address, protected=bool(token))
    try:
        await stop.wait()
    finally:
        await server.stop(STOP_GRACE_S)


class HistoricalData:
    """`HistoricalDataService`. Method names are those of the protocol."""

    def __init__(self, market: MarketService) -> None:
        self._market = market
        self._messages = history_wire().messages

    async def GetHistoricalData(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Return daily closes; both dates are included."""
        async with _refusing(context):
            start, end = _day(request.start_date), _day(request.end_date)
            if end < start:
                raise InvalidTimeRange("end_date is before start_date")
            entries = [
                self._messages.Entry(date=f"{at:%Y-%m-%d}", value=value)
                async for at, value in self._closes(request.symbol, start, end)
            ]
            return self._messages.HistoricalDataResponse(entries=entries)

    async def StreamCandles(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """Yield candles in batches, oldest first."""
        cursor: str | None = None
        async with _refusing(context):
            start, end = _edge(request.start_ns), _edge(request.end_ns)
            while True:
                candles, cursor = await self._market.candles(
                    request.symbol,
                    request.timeframe,
                    start=start,
                    end=end,
                    limit=BATCH,
                    cursor=cursor,
                )
                yield self._messages.CandleBatch(
                    candles=[
                        self._messages.Candle(
                            starts_at_ns=to_ns(candle.starts_at),
                            open=money.text(candle.open),
                            high=money.text(candle.high),
                            low=money.text(candle.low),
                            close=money.text(candle.close),
                            volume="" if candle.volume is None else money.text(candle.volume),
                        )
                        for candle in candles
                    ]
                )
                if cursor is None:
                    return

    async def StreamTicks(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """Yield stored quotes or prints in batches, oldest first."""
        cursor: str | None = None
        kind: Literal["Q", "T"] = "T" if request.kind else "Q"
        async with _refusing(context):
            start, end = _edge(request.start_ns), _edge(request.end_ns)
            while True:
                ticks, cursor = await self._market.ticks(
                    request.symbol, kind, start=start, end=end, limit=BATCH, cursor=cursor
                )
                yield self._messages.TickBatch(ticks=[self._tick(tick) for tick in ticks])
                if cursor is None:
                    return

    def _tick(self, row: TickRow) -> Any:
        amounts = {name: getattr(row, name) for name in _AMOUNTS}
        return self._messages.Tick(
            at_ns=to_ns(row.at),
            source=row.source,
            side=row.side or "",
            **{name: money.text(one) for name, one in amounts.items() if one is not None},
        )

    async def _closes(
        self, symbol: str, start: datetime, end: datetime
    ) -> AsyncIterator[tuple[datetime, str]]:
        cursor: str | None = None
        count = 0
        while True:
            candles, cursor = await self._market.candles(
                symbol,
                "1d",
                start=start,
                end=end + timedelta(days=1),
                limit=BATCH,
                cursor=cursor,
            )
            for candle in candles:
                yield candle.starts_at, money.text(candle.close)
            count += len(candles)
            if count > ENTRIES_MAX:
                raise InvalidTimeRange(f"more than {ENTRIES_MAX:,} days; ask for fewer at once")
            if cursor is None:
                return


class Health:
    """The standard health service; SERVING means that the database answers too."""

    def __init__(self, services: Services) -> None:
        self._database = services.database
        self._messages = health_wire().messages

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Say whether the service can do its work."""
        if request.service not in {"", SERVICE}:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        status = self._messages.HealthCheckResponse.SERVING
        try:
            await self._database.ping()
        except Unavailable:
            status = self._messages.HealthCheckResponse.NOT_SERVING
        return self._messages.HealthCheckResponse(status=status)


class _TokenCheck(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Lets in who shows the internal token; the health service is for everybody."""

    def __init__(self, token: str) -> None:
        self._token = token

        async def refuse(_: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "show the internal token")

        self._refusal = grpc.unary_unary_rpc_method_handler(refuse)

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        """Refuse a call without the token before it reaches its method."""
        metadata = dict(details.invocation_metadata)
        shown = metadata.get(CREDENTIAL_KEY, "")
        is_health = details.method.startswith("/grpc.health.v1.")
        if not is_health and not token_is_valid(str(shown), self._token):
            return self._refusal
        correlation.begin(str(metadata.get("x-request-id", "")))
        return await continuation(details)


class _refusing:  # noqa: N801 - reads as a word where it is used
    """Turns a problem into the status of the call, with its code beside it."""

    def __init__(self, context: Any) -> None:
        self._context = context

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Problem):
            self._context.set_trailing_metadata(((PROBLEM_KEY, error.code),))
            await self._context.abort(status_of(error), error.detail)


def _day(text: str) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InvalidTimeRange(f"{text[:40]!r} is not an ISO date such as 2013-02-28") from error
    if not 1970 <= day.year <= 9990:
        raise InvalidTimeRange("dates lie between 1970 and 9990")
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _edge(at_ns: int) -> datetime | None:
    try:
        return to_datetime(at_ns) if at_ns else None
    except OverflowError as error:
        raise InvalidTimeRange(f"{at_ns} ns is outside the calendar") from error
