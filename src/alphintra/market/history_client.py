"""Our own client of the history service."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import grpc
import msgspec

from alphintra.core.errors import BadRequest, NotFound
from alphintra.market.errors import HistoryServiceUnavailable, InvalidTimeRange, UnknownInstrument
from alphintra.market.history_wire import (
    CHANNEL_OPTIONS,
    CREDENTIAL_KEY,
    history_wire,
    internal_token,
)
from alphintra.platform import correlation
from alphintra.platform.settings import Settings

TIMEOUT_S: Final = 10.0

_REFUSALS: Final[dict[Any, type[NotFound] | type[BadRequest]]] = {
    grpc.StatusCode.NOT_FOUND: UnknownInstrument,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidTimeRange,
}


class HistoryEntry(msgspec.Struct, frozen=True):
    """One day: ISO date and close, a decimal string."""

    date: str
    value: str


async def get_historical_data(
    settings: Settings, *, symbol: str, start: date, end: date
) -> Sequence[HistoryEntry]:
    """Return the daily closes from `start` to `end`, both included.

    Raises:
        UnknownInstrument, InvalidTimeRange: the service refused the request.
        HistoryServiceUnavailable: it does not answer.
    """
    wire = history_wire()
    token = internal_token(settings)
    metadata = [("x-request-id", correlation.current())]
    if token:
        metadata.append((CREDENTIAL_KEY, f"Bearer {token}"))
    address = f"{settings.history_host}:{settings.history_port}"
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        stub = wire.services.HistoricalDataServiceStub(channel)
        request = wire.messages.HistoricalDataRequest(
            symbol=symbol, start_date=start.isoformat(), end_date=end.isoformat()
        )
        try:
            answer = await stub.GetHistoricalData(request, timeout=TIMEOUT_S, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            refusal = _REFUSALS.get(error.code())
            if refusal is not None:
                raise refusal(error.details() or "refused") from error
            raise HistoryServiceUnavailable(
                f"the history service at {address} does not answer"
            ) from error
    return [HistoryEntry(entry.date, entry.value) for entry in answer.entries]
