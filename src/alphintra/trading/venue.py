"""What a venue is told and what it answers: orders, events and fees in exact decimals."""

from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from alphintra.core import money
from alphintra.core.ids import OrderId, TradeId
from alphintra.core.orders import OrderType, Side, TimeInForce

_BPS: Final = 10_000


class Liquidity(StrEnum):
    """Whether a fill gave the market an offer or took one."""

    MAKER = "MAKER"
    TAKER = "TAKER"


class VenueRefusal(StrEnum):
    """Why the venue did not take an order or a change, in the order the checks run."""

    INSTRUMENT_UNKNOWN = "instrument_unknown"
    ORDER_EXISTS = "order_exists"
    ORDER_NOT_OPEN = "order_not_open"
    CHANGE_NOT_ALLOWED = "change_not_allowed"
    QUANTITY_NOT_ON_LOT = "quantity_not_on_lot"
    QUANTITY_NOT_ABOVE_FILLED = "quantity_not_above_filled"
    QUANTITY_OUT_OF_RANGE = "quantity_out_of_range"
    PRICE_MISSING = "price_missing"
    PRICE_NOT_ALLOWED = "price_not_allowed"
    PRICE_NOT_ON_TICK = "price_not_on_tick"
    PRICE_OUT_OF_RANGE = "price_out_of_range"
    TRAIL_INVALID = "trail_invalid"
    EXPIRY_MISSING = "expiry_missing"
    POST_ONLY_NOT_ALLOWED = "post_only_not_allowed"
    POST_ONLY_WOULD_TAKE = "post_only_would_take"
    AUCTION_NOT_ALLOWED = "auction_not_allowed"


class CancelReason(StrEnum):
    """Why an open order left the market without being filled."""

    REQUESTED = "requested"
    IMMEDIATE_OR_CANCEL = "immediate_or_cancel"
    FILL_OR_KILL = "fill_or_kill"
    POST_ONLY_WOULD_TAKE = "post_only_would_take"


class VenueOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the venue needs it.

    `expires_ns` ends DAY and GTD orders, and is the time of the auction that an OPG or CLS order is
    for; the desk knows the sessions, the venue does not.
    `trail_percent` is in percent, in steps of 0.01. Only `PaperVenue.restore` reads the last three.
    """

    order_id: OrderId
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    accepted_ns: int
    price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    expires_ns: int | None = None
    post_only: bool = False
    filled_quantity: Decimal = money.ZERO
    triggered: bool = False
    water_mark: Decimal | None = None


class VenueFill(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an order, or all that was left of it, has traded.

    `fill_id` follows from the order and `filled_quantity`, all that has been filled up to here: a
    repeat has the same id.
    """

    order_id: OrderId
    fill_id: TradeId
    quantity: Decimal
    price: Decimal
    fee: Decimal
    liquidity: Liquidity
    filled_quantity: Decimal
    ts_ns: int


class VenueTriggered(msgspec.Struct, frozen=True, kw_only=True):
    """A stop price was reached: the order is active."""

    order_id: OrderId
    ts_ns: int


class VenueModified(msgspec.Struct, frozen=True, kw_only=True):
    """The order has its new terms."""

    order_id: OrderId
    ts_ns: int


class VenueCanceled(msgspec.Struct, frozen=True, kw_only=True):
    """What remained of the order is cancelled."""

    order_id: OrderId
    reason: CancelReason
    ts_ns: int


class VenueExpired(msgspec.Struct, frozen=True, kw_only=True):
    """The order's time has ended."""

    order_id: OrderId
    ts_ns: int


class VenueRejected(msgspec.Struct, frozen=True, kw_only=True):
    """The order, the change or the cancellation was not accepted; what was open stays as it was."""

    order_id: OrderId
    reason: VenueRefusal
    ts_ns: int


VenueEvent = (
    VenueFill | VenueTriggered | VenueModified | VenueCanceled | VenueExpired | VenueRejected
)


class FeeSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """What a fill costs: basis points of its value and an amount per unit, at least `minimum`.

    A negative `maker_bps` is a rebate; the minimum is for fees, it does not take a rebate away.
    """

    maker_bps: Decimal = money.ZERO
    taker_bps: Decimal = money.ZERO
    per_share: Decimal = money.ZERO
    minimum: Decimal = money.ZERO

    def fee(self, *, quantity: Decimal, price: Decimal, liquidity: Liquidity) -> Decimal:
        """Return the fee of one fill, rounded once, half to even, to eight places."""
        bps = self.maker_bps if liquidity is Liquidity.MAKER else self.taker_bps
        per_unit = price * bps / _BPS + self.per_share
        fee = money.multiply(quantity, per_unit)
        return max(fee, self.minimum) if self.minimum and fee >= 0 else fee
