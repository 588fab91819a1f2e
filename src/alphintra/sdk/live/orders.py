"""From what a strategy says to what the API takes, and what is known of each order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import nan
from typing import Any, Final

from alphintra.sdk.hosting import Order, Status, Terms
from alphintra.sdk.live.told import OrderState
from alphintra.sdk.ticks import Ticks

#: What the server's states are to a strategy.
STATUSES: Final[Mapping[str, Status]] = {
    "PENDING": Status.OPEN,
    "ACCEPTED": Status.OPEN,
    "PARTIALLY_FILLED": Status.OPEN,
    "FILLED": Status.FILLED,
    "CANCELED": Status.CANCELED,
    "REPLACED": Status.CANCELED,
    "REJECTED": Status.REJECTED,
    "EXPIRED": Status.EXPIRED,
}


class LiveOrder(Order):
    """An order as a strategy holds it; how it stands is known as long as somebody holds it."""

    __slots__ = ("known",)

    known: "Known"


@dataclass(slots=True, eq=False)
class Known:
    """An order of this session or of one before it, as far as the server has told of it."""

    order: LiveOrder
    symbol: int
    kind: str = "MARKET"
    quantity: float = 0.0
    status: Status = Status.OPEN
    filled: float = 0.0
    value: float = 0.0  #: of what has filled
    confidence: float = 1.0
    server_id: str = ""  #: empty until the server has it
    state: OrderState | None = None  #: the newest that the server told
    in_doubt: bool = False  #: it was sent and no answer came
    leaving: bool = False  #: the strategy has taken it back, and stands at the same event

    def __post_init__(self) -> None:
        self.order.known = self

    @property
    def name(self) -> str:
        """Our name for it; of an entry its client order id."""
        return str(self.order.id)

    @property
    def average_price(self) -> float:
        """Of what has filled; NaN before."""
        return self.value / self.filled if self.filled else nan

    @property
    def unfilled(self) -> float:
        """What can still trade, signed."""
        left = self.quantity - self.filled if self.status is Status.OPEN else 0.0
        return left if self.order.is_buy else -left

    def learn(self, state: OrderState, *, booked: bool = False) -> None:
        """Take the state that the server tells.

        It is filled when its fills are: until they are told, `booked` says that they all were, a
        filled order stays open.
        """
        if self.state is not None and state.version < self.state.version:
            return
        self.identify(state)
        status = STATUSES[state.status]
        if status is not Status.FILLED or booked:
            self.status = status

    def identify(self, state: OrderState) -> None:
        """Take what the server tells, except how the order stands."""
        self.state = state
        self.server_id = state.id
        self.quantity = float(state.quantity)
        self.kind = state.type
        self.in_doubt = False


#: What is at hand, for names: a time in nanoseconds with a mark behind it, or a text.
Event = str | tuple[int, str]


class Names:
    """The client order ids of one strategy: what was at hand, and a counter.

    Whoever lives through the same events again gives the same names, and the server trades a name
    once. `SmaCross/SPY/1m/20260331T143000Z/0` was given when the candles of that time had closed,
    `…/fill-<id of the trade>/0` in answer to a fill.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._event: Event = ""
        self._count = 0

    def begin(self, event: Event) -> None:
        """Go on to an event; one that is still at hand goes on counting."""
        if event != self._event:
            self._event, self._count = event, 0

    def next(self) -> str:
        """Return the next name at the event."""
        event = self._event
        if not isinstance(event, str):
            event = f"{name_of_time(event[0])}{event[1]}"
        name = f"{self.prefix}{event}/{self._count}"
        self._count += 1
        return name

    def event_of(self, name: str) -> str:
        """Return the event in one of these names."""
        return name.removeprefix(self.prefix).split("/")[0]


def name_of_time(at_ns: int) -> str:
    """Return a time as it stands in a client order id: 20260331T143000Z, and what is finer."""
    seconds, rest = divmod(at_ns, 1_000_000_000)
    at = datetime.fromtimestamp(seconds, UTC)
    # Not strftime: it costs as much as everything else that is done for a candle.
    text = f"{at.year:04}{at.month:02}{at.day:02}T{at.hour:02}{at.minute:02}{at.second:02}"
    return f"{text}.{rest:09}Z" if rest else f"{text}Z"


def time_of_name(event: str) -> int | None:
    """Return the time of an event in a name, in nanoseconds; None for one without a time."""
    text, _, rest = event.rstrip("Zqts").partition(".")
    try:
        at = datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        return int(at.timestamp()) * 1_000_000_000 + int(rest or 0)
    except ValueError:
        return None


class Grid:
    """The steps of an instrument, for the API's decimal strings."""

    def __init__(self, tick_size: str, lot_size: str) -> None:
        self._tick = Decimal(tick_size)
        self._lot = Decimal(lot_size)
        self._ticks = Ticks(float(self._tick), float(self._lot))

    def lots(self, quantity: float) -> int:
        """Return a quantity in whole lots, rounded down."""
        return self._ticks.lots(quantity)

    def units(self, lots: int) -> float:
        """Return lots as a quantity."""
        return float(lots * self._lot)

    def rounded(self, quantity: float) -> float:
        """Return a sum of fills without what adding floats has left."""
        return self.units(round(quantity / float(self._lot)))

    def quantity(self, quantity: float) -> str:
        """Return a quantity as the API takes it."""
        return f"{self.lots(quantity) * self._lot:f}"

    def price(self, price: float, *, up: bool) -> str:
        """Return a price as the API takes it; what lies between two ticks goes up or down."""
        return f"{self._ticks.of(price, up=up) * self._tick:f}"


def kind_of(terms: Terms) -> str:
    """Return the API's type of an order."""
    if terms.trail is not None or terms.trail_percent is not None:
        return "TRAILING_STOP"
    if terms.stop is not None:
        return "STOP" if terms.limit is None else "STOP_LIMIT"
    return "MARKET" if terms.limit is None else "LIMIT"


def body_of(
    terms: Terms, exits: Sequence[Terms], *, symbol: str, name: str, grid: Grid
) -> dict[str, Any]:
    """Return the body of `POST /orders` for an order and the exits that follow it.

    Raises:
        ValueError: the API has no such group; the text says what it has.
    """
    body: dict[str, Any] = {
        "symbol": symbol,
        "side": "BUY" if terms.is_buy else "SELL",
        "type": kind_of(terms),
        "quantity": grid.quantity(terms.quantity),
        "time_in_force": terms.lifetime.upper(),
        "client_order_id": name,
    }
    if terms.limit is not None:
        body["price"] = grid.price(terms.limit, up=not terms.is_buy)
    if terms.stop is not None:
        body["stop_price"] = grid.price(terms.stop, up=terms.is_buy)
    if terms.trail is not None:
        body["trail"] = grid.price(terms.trail, up=True)
    if terms.trail_percent is not None:
        body["trail_percent"] = f"{max(1, round(terms.trail_percent * 100)) / 100:.2f}"
    if terms.post_only:
        body["post_only"] = True
    if terms.reduce_only:
        body["reduce_only"] = True
    return body | _group(terms, exits, grid)


def _group(terms: Terms, exits: Sequence[Terms], grid: Grid) -> dict[str, Any]:
    group: dict[str, Any] = {}
    for leg in exits:
        stops = leg.stop is not None
        known = "stop_loss" if stops else "take_profit"
        if (
            leg.is_buy == terms.is_buy
            or kind_of(leg) not in {"STOP", "STOP_LIMIT", "LIMIT"}
            or known in group
            or (leg.quantity and leg.quantity != terms.quantity)
        ):
            raise ValueError(
                "an order may have one stop loss and one take profit, of its own quantity"
            )
        exit_: dict[str, Any] = {}
        if leg.limit is not None:
            exit_["price"] = grid.price(leg.limit, up=not leg.is_buy)
        if leg.stop is not None:
            exit_["stop_price"] = grid.price(leg.stop, up=leg.is_buy)
        group[known] = exit_
    if group:
        group["order_class"] = "BRACKET" if len(group) == 2 else "OTO"
    return group
