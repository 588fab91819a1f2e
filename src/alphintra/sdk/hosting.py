"""What a strategy runs in: a backtest or a live session. The strategy does not see which."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from alphintra.sdk.feed import Feed
from alphintra.sdk.lines import Line, Timeline
from alphintra.sdk.views import Position


class Status(StrEnum):
    """How an order stands."""

    OPEN = "open"  #: waits, rests, or has filled in part
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"


class Lifetime(StrEnum):
    """How long an order stays."""

    GTC = "gtc"  #: until it fills or is cancelled
    DAY = "day"  #: until the session ends; without a calendar, the UTC day the market goes on
    IOC = "ioc"  #: what does not fill at once is cancelled
    FOK = "fok"  #: all of it at once, or nothing
    OPG = "opg"  #: for the opening auction of the next session; what does not fill expires
    CLS = "cls"  #: the same for the closing auction of this session, or of the next one

    @property
    def is_for_auction(self) -> bool:
        """Whether the order trades in an auction only."""
        return self in (Lifetime.OPG, Lifetime.CLS)


@dataclass(frozen=True, slots=True)
class Terms:
    """What an order is to do. Prices and quantities are as the strategy gave them.

    Either `quantity` or `weight` is given; `weight` is a target share of equity.
    """

    symbol: int
    is_buy: bool
    quantity: float = 0.0
    weight: float | None = None
    limit: float | None = None
    stop: float | None = None
    trail: float | None = None
    trail_percent: float | None = None
    lifetime: Lifetime = Lifetime.GTC
    post_only: bool = False
    reduce_only: bool = False
    parent: "Order | None" = None
    sibling: "Order | None" = None
    tag: str = ""
    confidence: float = 1.0  #: as the strategy says, from 0 to 1; fills do not depend on it


class Order:
    """An order that a strategy has given, and how it stands."""

    __slots__ = ("_host", "id", "is_buy", "symbol", "tag")

    def __init__(
        self, host: "Host", order_id: int | str, symbol: str, is_buy: bool, tag: str
    ) -> None:
        self._host = host
        self.id = order_id
        self.symbol = symbol
        self.is_buy = is_buy  #: of a target weight: whether that is above what was held
        self.tag = tag

    @property
    def status(self) -> Status:
        """How it stands."""
        return self._host.state_of(self)[0]

    @property
    def is_open(self) -> bool:
        """Whether it can still fill."""
        return self.status is Status.OPEN

    @property
    def filled(self) -> float:
        """How much of it has traded, in units."""
        return self._host.state_of(self)[1]

    @property
    def average_price(self) -> float:
        """At which price it has traded, on average; NaN before the first fill."""
        return self._host.state_of(self)[2]

    def cancel(self) -> None:
        """Take back what has not filled."""
        if self.is_open:
            self._host.cancel(self)

    def __repr__(self) -> str:
        return f"Order({self.id}: {'buy' if self.is_buy else 'sell'} {self.symbol}, {self.status})"


class Host(Protocol):
    """What a strategy needs of its surroundings."""

    feed: Feed
    positions: tuple[Position, ...]
    lines: list[Line]  #: what the strategy has declared

    def submit(self, terms: Terms) -> Order:
        """Give an order; it can fill from the next event on."""

    def whole_lots(self, symbol: int, quantity: float) -> float:
        """Return a quantity as an order takes it: rounded down to whole lots."""

    def timeline(self, pinned: int | None, timeframe: str | None) -> Timeline:
        """Return the bars that lines go with."""

    def submit_weight(self, symbol: int, weight: float, tag: str, confidence: float) -> Order:
        """Give an order that brings a position to a share of equity, sized as it fills."""

    def cancel(self, order: Order) -> None:
        """Take back an order."""

    def state_of(self, order: Order) -> tuple[Status, float, float]:
        """Return an order's status, how much of it has filled, and at which average price."""

    def open_orders(self, symbol: int) -> list[Order]:
        """Return the orders of a symbol that can still fill, oldest first."""

    def cash(self) -> float:
        """Return the money at hand, in the account's currency."""

    def equity(self) -> float:
        """Return what the account is worth at the latest prices."""

    def every(self, length_ns: int, name: str) -> None:
        """Call `on_timer` whenever a stretch of this length has gone by."""

    def note(self, message: str) -> None:
        """Keep a line of the strategy's log, with its time."""
