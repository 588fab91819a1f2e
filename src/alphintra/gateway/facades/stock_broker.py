"""The asynchronous pair of the stock-broker design: asked now, answered by id soon after.

`POST /trade` publishes a `place_trade_request`, `GET /historical_data` a `historical_data_request`;
workers do what they ask for. Both paths stand at the root and under `/api/v1`.
"""

from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import Field

from alphintra import trading
from alphintra.core import money
from alphintra.core.clock import NS_PER_SECOND
from alphintra.core.errors import BadRequest
from alphintra.core.ids import OrderId
from alphintra.core.instruments import SYMBOL_LENGTH_MAX
from alphintra.core.orders import Side
from alphintra.market import MarketService
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


def _services(request: Request) -> tuple[Services, MarketService]:
    state = request.app.state
    return state.services, state.market


@router.post(
    "/trade",
    status_code=202,
    operation_id="request_trade",
    responses={404: {"model": ProblemDocument}},
)
async def request_trade(
    body: TradeRequest,
    request: Request,
    principal: Annotated[Principal, requires(Permission.ORDERS_WRITE)],
) -> TradeAccepted:
    """Publish a market order to be placed, and return the id that it will have."""
    _, market = _services(request)
    # What can never become an order is refused here, where someone still listens.
    instrument = await market.instrument(body.symbol)
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


@router.get(
    "/trade/{order_id}", operation_id="trade_result", responses={404: {"model": ProblemDocument}}
)
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
