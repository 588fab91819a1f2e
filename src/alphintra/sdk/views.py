"""What a strategy is shown: the bar, quote or print at hand, its fills, its positions.

A run has one object of each and fills it anew for every event, because a million new objects cost
more than the strategy. `copy()` keeps what is in one. Attributes that the strategy's code never
names are not filled; they are read from the columns when something asks for them (`view_of`).
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Protocol, Self, TypeVar, cast


class Columns(Protocol):
    """Where the values of the event at hand can be read."""

    def value(self, name: str) -> Any:
        """Return the value of a column at the row at hand.

        Raises:
            AttributeError: there is no such column.
        """


def moment(ts_ns: int) -> datetime:
    """Return a time in nanoseconds as a datetime in UTC, to the microsecond."""
    seconds, nanoseconds = divmod(ts_ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nanoseconds // 1000)


class _Event:
    """A row of the market's history. Unset attributes are looked up in its columns."""

    __slots__ = ("_columns",)

    _columns: Columns

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def copy(self) -> Self:
        """Return the event as it is, for keeping."""
        kind = self._kind()
        kept = kind.__new__(kind)
        for name in kind.__slots__:
            setattr(kept, name, getattr(self, name))
        return kept

    def _kind(self) -> type[Self]:
        """Return the public class, whose attributes are all filled."""
        return next(kind for kind in (Bar, Quote, Trade) if isinstance(self, kind))  # type: ignore[return-value]

    def __repr__(self) -> str:
        kind = self._kind()
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in kind.__slots__)
        return f"{kind.__name__}({values})"


E = TypeVar("E", bound=_Event)


def view_of(kind: type[E], columns: Columns, filled: Collection[str]) -> E:
    """Return an event whose attributes are read from the columns, except those that are filled.

    A class with slots is what the interpreter reads fastest, so what is not filled is a property
    of a subclass instead of a `__getattr__`, which would slow down every attribute.
    """
    read = {name: _reader(name) for name in kind.__slots__ if name not in filled}
    return cast(E, type(kind.__name__, (kind,), {"__slots__": (), **read})(columns))


def _reader(name: str) -> property:
    return property(lambda self: self._columns.value(name))


class Bar(_Event):
    """A bar that has closed."""

    __slots__ = ("close", "close_ns", "high", "low", "open", "open_ns", "symbol", "volume")

    symbol: str
    open_ns: int  #: when it began, nanoseconds since the UNIX epoch
    close_ns: int  #: when it ended, which is when the strategy sees it
    open: float
    high: float
    low: float
    close: float
    volume: float  #: NaN when it is not known

    @property
    def time(self) -> datetime:
        """When the bar began, in UTC."""
        return moment(self.open_ns)


class Quote(_Event):
    """The best bid and ask from a moment on."""

    __slots__ = ("ask", "ask_size", "bid", "bid_size", "symbol", "ts_ns")

    symbol: str
    ts_ns: int
    bid: float  #: NaN when nobody bids
    ask: float  #: NaN when nobody asks
    bid_size: float  #: NaN when it is not known
    ask_size: float

    @property
    def time(self) -> datetime:
        """When it was quoted, in UTC."""
        return moment(self.ts_ns)

    @property
    def mid(self) -> float:
        """The price between bid and ask."""
        return (self.bid + self.ask) / 2


class Trade(_Event):
    """A print: somebody traded with somebody else."""

    __slots__ = ("price", "side", "size", "symbol", "ts_ns")

    symbol: str
    ts_ns: int
    price: float
    size: float  #: NaN when it is not known
    side: int  #: +1 the buyer took, -1 the seller did, 0 not known

    @property
    def time(self) -> datetime:
        """When it was printed, in UTC."""
        return moment(self.ts_ns)


class Fill:
    """A part of an order of the strategy, or all of it, has traded."""

    __slots__ = (
        "fee",
        "is_maker",
        "order_id",
        "price",
        "quantity",
        "side",
        "symbol",
        "tag",
        "ts_ns",
    )

    def __init__(
        self,
        *,
        symbol: str,
        side: str,
        quantity: float,
        price: float,
        fee: float,
        is_maker: bool,
        ts_ns: int,
        order_id: int | str,
        tag: str = "",
    ) -> None:
        self.symbol = symbol
        self.side = side  #: "buy" or "sell"
        self.quantity = quantity
        self.price = price
        self.fee = fee
        self.is_maker = is_maker
        self.ts_ns = ts_ns
        self.order_id = order_id
        self.tag = tag  #: of its order

    def __repr__(self) -> str:
        return f"Fill({self.side} {self.quantity:g} {self.symbol} at {self.price:g})"


class Position:
    """What the strategy holds of one symbol; kept up to date by the run."""

    __slots__ = ("average_price", "quantity", "symbol")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.quantity = 0.0  #: negative when sold short
        self.average_price = 0.0  #: of what is held; 0 when flat

    @property
    def is_long(self) -> bool:
        """Whether there is more than nothing of it."""
        return self.quantity > 0

    @property
    def is_short(self) -> bool:
        """Whether more was sold than held."""
        return self.quantity < 0

    @property
    def is_flat(self) -> bool:
        """Whether nothing is held."""
        return self.quantity == 0

    def profit_percent(self, price: float) -> float:
        """Return what has been gained on it at a price, in percent of what it cost; 0 when flat."""
        if not self.quantity or not self.average_price:
            return 0.0
        gain = (price / self.average_price - 1) * 100
        return gain if self.quantity > 0 else -gain

    def take(self, quantity: float, price: float) -> None:
        """Book a fill; `quantity` is negative for a sale."""
        held = self.quantity
        after = held + quantity
        if abs(after) < 1e-9 * abs(quantity):  # lots of a fraction do not add up to zero exactly
            after = 0.0
        if held * quantity >= 0:  # opened or made larger
            self.average_price = (self.average_price * held + price * quantity) / after
        elif after * held <= 0:  # closed, or turned around
            self.average_price = price if after else 0.0
        self.quantity = after

    def __bool__(self) -> bool:
        return self.quantity != 0

    def __repr__(self) -> str:
        return f"Position({self.quantity:g} {self.symbol} at {self.average_price:g})"
