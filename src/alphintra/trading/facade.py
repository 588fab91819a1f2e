"""The asynchronous order of the stock-broker design: published now, placed by a worker soon
after.
"""

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import msgspec

from alphintra.core.ids import OrderId, UserId
from alphintra.core.orders import OrderType, Side, TimeInForce
from alphintra.platform.events import ReceivedEvent
from alphintra.trading.commands import PlaceOrder, Terms

PLACE_TRADE_REQUEST = "place_trade_request.v1"


class PlaceTradeData(msgspec.Struct, frozen=True, kw_only=True):
    """`place_trade_request.v1`: a market order that was promised the id `order_id`."""

    order_id: UUID
    user_id: UUID
    actor: str
    symbol: str
    quantity: Decimal
    action: Literal["BUY", "SELL"]
    requested_at: datetime


def order_of(event: ReceivedEvent) -> PlaceOrder:
    """Return the order that a request asks for; delivered again, it is the same order.

    Raises:
        msgspec.ValidationError: the event carries something else.
    """
    request = msgspec.json.decode(event.data, type=PlaceTradeData)
    return PlaceOrder(
        user_id=UserId(request.user_id),
        actor=request.actor,
        correlation_id=event.correlationid or "",
        order_id=OrderId(request.order_id),
        client_order_id=str(request.order_id),
        terms=Terms(
            symbol=request.symbol,
            side=Side(request.action),
            type=OrderType.MARKET,
            quantity=request.quantity,
            time_in_force=TimeInForce.DAY,
        ),
    )
