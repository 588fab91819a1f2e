"""The life of an order: its words, and the table of what may follow what."""

from enum import StrEnum
from typing import Final


class Side(StrEnum):
    """Which way an order trades."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for BUY, -1 for SELL."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """How an order finds its price."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"
    TRAILING_STOP = "TRAILING_STOP"

    @property
    def has_limit(self) -> bool:
        return self in {OrderType.LIMIT, OrderType.STOP_LIMIT}

    @property
    def has_stop(self) -> bool:
        return self in {OrderType.STOP, OrderType.STOP_LIMIT}


class TimeInForce(StrEnum):
    """How long an order stays in the market."""

    DAY = "DAY"  #: until the end of the session
    GTC = "GTC"  #: until cancelled
    GTD = "GTD"  #: until the given time
    IOC = "IOC"  #: what fills at once; the rest is cancelled
    FOK = "FOK"  #: all at once or nothing
    OPG = "OPG"  #: for the opening auction of the next session
    CLS = "CLS"  #: for the closing auction of this session, or of the next one

    @property
    def is_for_auction(self) -> bool:
        return self in {TimeInForce.OPG, TimeInForce.CLS}


class OrderClass(StrEnum):
    """How orders of one group depend on each other."""

    SIMPLE = "SIMPLE"
    BRACKET = "BRACKET"  #: entry; when it fills, take-profit and stop-loss, of which one fills
    OCO = "OCO"  #: two exits; when one fills, the other is cancelled
    OTO = "OTO"  #: entry; when it fills, one exit


class OrderStatus(StrEnum):
    """Where an order is in its life."""

    PENDING = "PENDING"  #: recorded, not yet in the market: a bracket's leg before its entry fills
    ACCEPTED = "ACCEPTED"  #: in the market
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    REPLACED = "REPLACED"  #: a broker took a successor in its place

    @property
    def is_open(self) -> bool:
        """Whether the order can still trade."""
        return self in OPEN


OPEN: Final = frozenset({OrderStatus.PENDING, OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED})

TRANSITIONS: Final = frozenset(
    {
        (OrderStatus.PENDING, OrderStatus.ACCEPTED),
        (OrderStatus.PENDING, OrderStatus.CANCELED),
        (OrderStatus.PENDING, OrderStatus.REJECTED),
        (OrderStatus.PENDING, OrderStatus.EXPIRED),
        (OrderStatus.ACCEPTED, OrderStatus.ACCEPTED),  # modified
        (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED),
        (OrderStatus.ACCEPTED, OrderStatus.FILLED),
        (OrderStatus.ACCEPTED, OrderStatus.CANCELED),
        (OrderStatus.ACCEPTED, OrderStatus.REJECTED),  # a venue may refuse what we accepted
        (OrderStatus.ACCEPTED, OrderStatus.EXPIRED),
        (OrderStatus.ACCEPTED, OrderStatus.REPLACED),
        (OrderStatus.PARTIALLY_FILLED, OrderStatus.PARTIALLY_FILLED),
        (OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED),
        (OrderStatus.PARTIALLY_FILLED, OrderStatus.CANCELED),
        (OrderStatus.PARTIALLY_FILLED, OrderStatus.EXPIRED),
        (OrderStatus.PARTIALLY_FILLED, OrderStatus.REPLACED),
    }
)


def may_follow(before: OrderStatus, after: OrderStatus) -> bool:
    """Say whether an order may go from `before` to `after`."""
    return (before, after) in TRANSITIONS


class OrderEventType(StrEnum):
    """What happened to an order; the `event_type` of `order_events`."""

    CREATED = "CREATED"
    REJECTED = "REJECTED"
    ACTIVATED = "ACTIVATED"  #: a bracket's leg entered the market
    TRIGGERED = "TRIGGERED"  #: a stop price was reached
    MODIFIED = "MODIFIED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


class TradingState(StrEnum):
    """What an account, a strategy or the whole platform may do."""

    ACTIVE = "ACTIVE"
    REDUCE_ONLY = "REDUCE_ONLY"  #: only orders that make a position smaller
    HALTED = "HALTED"  #: nothing new; cancelling is always allowed
