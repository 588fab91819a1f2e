"""What a live strategy is told of its own orders: their states, and what they have traded."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

#: Ids, names and symbols are short; what is longer is none.
Text = Annotated[str, msgspec.Meta(max_length=160)]
#: A decimal as the API writes it: "0.015".
DecimalText = Annotated[str, msgspec.Meta(max_length=40, pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
Reason = Annotated[str, msgspec.Meta(max_length=2_000)]


class OrderState(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the server tells it: the fields of the API's order that a strategy goes by.

    `msgspec.convert(view, OrderState)` reads it from the JSON of the API; further fields are left
    out.
    """

    id: Text
    client_order_id: Text
    symbol: Text
    side: Literal["BUY", "SELL"]
    type: Text
    quantity: DecimalText
    status: Text
    version: int
    parent_id: Text | None = None
    reject_reason: Reason | None = None
    #: The same in words, where it is known.
    reject_detail: Reason | None = None
    updated_at: datetime | None = None
    #: Of an order of the past: when the newest candle closed that the strategy had seen as it was
    #: told of the order's end, in nanoseconds. None: worked out from `updated_at`.
    after_ns: int | None = None


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """A fill as the server tells it. `id` is that of the trade."""

    id: Text
    order_id: Text
    symbol: Text
    side: Literal["BUY", "SELL"]
    quantity: DecimalText
    price: DecimalText
    fee: DecimalText
    liquidity: Text
    executed_at: datetime
    #: As in `OrderState`, for the fill. None: worked out from `executed_at`.
    after_ns: int | None = None
