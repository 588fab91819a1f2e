"""The asynchronous pair of the stock-broker design: asked now, answered by id soon after.

`POST /trade` publishes a `place_trade_request`, `GET /historical_data` a `historical_data_request`;
workers do what they ask for. Both paths stand at the root and under `/api/v1`.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator, Field

from alphintra import market, trading
from alphintra.core import money
from alphintra.core.clock import NS_PER_SECOND
from alphintra.core.errors import BadRequest
from alphintra.core.ids import OrderId
from alphintra.core.instruments import SYMBOL_LENGTH_MAX
from alphintra.core.orders import Side
from alphintra.platform.http import DecimalString, ProblemDocument, Schema
from alphintra.platform.security import Permission, Principal, requires
from alphintra.platform.services import Services

#: An id of ours that is younger than this may still become an order.
PENDING_MAX_S = 3_600

router = APIRouter(tags=["stock broker"])


class QuantityNotOnLot(BadRequest):
    """The quantity is not a whole number of the instrument's lots. See its `lot_size`."""

    code = "quantity_not_on_lot"


class TradeRequest(Schema):
    """A market order."""

    symbol: str = Field(min_length=1, max_length=SYMBOL_LENGTH_MAX, pattern=r"^[A-Za-z0-9._\-]+$")
    quantity: Annotated[DecimalString, Field(gt=0, lt=money.LIMIT, allow_inf_nan=False)]
    action: Literal["BUY", "SELL"]


class TradeAccepted(Schema):
    """The request is published. The order will have this id."""

    status: Literal["ACCEPTED"] = "ACCEPTED"
    message: str
    order_id: UUID


class TradeResult(Schema):
    """What became of a request; the order as soon as there is one."""

    status: Literal["PENDING", "PLACED", "REJECTED"]
    message: str
    order_id: UUID
    order: trading.OrderView | None = None


def _services(request: Request) -> tuple[Services, market.MarketService]:
    state = request.app.state
    return state.services, state.market


@router.post(
    "/trade",
    status_code=202,
    responses={404: {"model": ProblemDocument}},
)
async def request_trade(
    body: TradeRequest,
    request: Request,
    principal: Annotated[Principal, requires(Permission.ORDERS_WRITE)],
) -> TradeAccepted:
    """Publish a market order to be placed, and return the id that it will have."""
    _, instruments = _services(request)
    # What can never become an order is refused here, where someone still listens.
    instrument = await instruments.instrument(body.symbol)
    if not instrument.quantity_is_on_lot(body.quantity):
        raise QuantityNotOnLot(
            f"{money.text(body.quantity)} is not a multiple of {money.text(instrument.lot_size)}"
        )
    order_id = await trading.trading(request).request_trade(
        trading.caller_of(principal),
        symbol=body.symbol,
        quantity=Decimal(body.quantity),
        side=Side(body.action),
    )
    return TradeAccepted(
        message=f"the trade request was published; ask GET /trade/{order_id} for the order",
        order_id=order_id,
    )


@router.get("/trade/{order_id}", responses={404: {"model": ProblemDocument}})
async def trade_result(
    order_id: UUID,
    request: Request,
    principal: Annotated[Principal, requires(Permission.ORDERS_READ)],
) -> TradeResult:
    """Return the order of a request, or that it is still pending."""
    services, _ = _services(request)
    try:
        async with services.database.reading() as session:
            found = await trading.order_detail(session, principal.user_id, OrderId(order_id))
    except trading.NoSuchOrder:
        # Nothing is kept of who asked for what: an id that is ours and young counts as pending for
        # whoever asks, so that another user's looks like one that does not exist.
        if not _is_young(order_id, services.clock.now_ns()):
            raise
        return TradeResult(
            status="PENDING", message="the order is not placed yet", order_id=order_id
        )
    order = trading.OrderView.model_validate(
        {name: found[name] for name in trading.OrderView.model_fields if name in found}
    )
    if order.status == "REJECTED":
        return TradeResult(
            status="REJECTED",
            message=order.reject_reason or "the order was refused",
            order_id=order_id,
            order=order,
        )
    return TradeResult(
        status="PLACED", message="the order is placed", order_id=order_id, order=order
    )


def _is_young(order_id: UUID, now_ns: int) -> bool:
    """Say whether this is an id as we make them (version 7, time in front), of the last hour."""
    made_s = (order_id.int >> 80) / 1_000
    age_s = now_ns / NS_PER_SECOND - made_s
    return order_id.version == 7 and -1 < age_s < PENDING_MAX_S


class HistoryAccepted(Schema):
    """The request is published. Its result will be under this id."""

    status: Literal["ACCEPTED"] = "ACCEPTED"
    message: str
    request_id: UUID


class HistoryEntry(Schema):
    """One day's close."""

    date: str
    value: str


class HistoryResult(Schema):
    """What became of a request; `entries` once it is DONE."""

    status: Literal["PENDING", "DONE", "FAILED"]
    message: str
    request_id: UUID
    symbol: str
    start_timestamp: datetime
    end_timestamp: datetime
    entries: list[HistoryEntry] | None = None


def _utc(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


#: A time without an offset is in UTC: a `+` in an address means a blank, and clients forget that.
Timestamp = Annotated[
    datetime, AfterValidator(_utc), Query(description="ISO 8601 or UNIX seconds; UTC if it is bare")
]


@router.get("/historical_data", status_code=202, responses={404: {"model": ProblemDocument}})
async def request_historical_data(
    request: Request,
    principal: Annotated[Principal, requires(Permission.MARKET_READ)],
    symbol: Annotated[str, Query(min_length=1, max_length=SYMBOL_LENGTH_MAX)],
    start_timestamp: Timestamp,
    end_timestamp: Timestamp,
) -> HistoryAccepted:
    """Publish a request for daily closes, and return the id that its result will have."""
    services, _ = _services(request)
    request_id = await market.request_history(
        services,
        user_id=principal.user_id,
        symbol=symbol,
        start=start_timestamp,
        end=end_timestamp,
    )
    return HistoryAccepted(
        message=f"the request was published; ask GET /historical_data/{request_id} for the result",
        request_id=request_id,
    )


@router.get("/historical_data/{request_id}", responses={404: {"model": ProblemDocument}})
async def historical_data_result(
    request_id: UUID,
    request: Request,
    principal: Annotated[Principal, requires(Permission.MARKET_READ)],
) -> HistoryResult:
    """Return the result of a request, or that it is still pending."""
    services, _ = _services(request)
    found = await market.history_result(services, request_id, principal.user_id)
    messages = {"PENDING": "the result is not there yet", "DONE": "the result is complete"}
    return HistoryResult(
        status=found.status,
        message=found.detail or messages.get(found.status, "the request failed"),
        request_id=found.id,
        symbol=found.symbol,
        start_timestamp=found.start_timestamp,
        end_timestamp=found.end_timestamp,
        entries=None
        if found.entries is None
        else [HistoryEntry.model_validate(entry) for entry in found.entries],
    )
