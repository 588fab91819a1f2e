"""What is said between a deployment and the sandboxed process that runs its strategy.

msgpack, one frame at a time: the parent sends one, the child answers it with `Begun` (to `Begin`),
`Decided` or `Fault`, and only then is the next one read.

    Begin, Past, History…, [SetParameters, History…], then as it happens:
    Bars, QuoteTick, TradeTick, OrderNews, FillNews, Refusal, SetParameters; Stop

**After a crash** the new child gets the same `Begin`, in `Past` the strategy's own orders and
fills, in `History` every candle since the deployment's first whose decisions have been dealt with,
and `SetParameters` between the candles where it was then. A candle whose decisions may be lost is
told again as fresh `Bars`, a fill as `FillNews`: the child decides again, under the same names, and
leaves out every order that is in `Past` (or was told with `OrderNews` meanwhile). What has a signal
id derived from its name is therefore traded once.

**Order of news**: an order's `OrderNews` goes before its `FillNews`; a fill that comes first waits.
An exit's (leg's) news carry the entry's id as `parent_id`.

What a child sends is believed by nobody: it is decoded strictly, and every bound here is checked.
"""

from array import array
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Annotated, Final

import msgspec

from alphintra.sdk.live.told import DecimalText, Execution, OrderState, Reason, Text

SYMBOLS_MAX: Final = 1_000
#: Candles in one `History`, over all symbols: about 1 MB. Longer histories come in several.
CANDLES_MAX: Final = 20_000
PAST_MAX: Final = 200_000
SOURCE_LENGTH_MAX: Final = 500_000
PARAMETERS_MAX: Final = 200
INTENTS_MAX: Final = 1_000
LOGS_MAX: Final = 200
LOG_LENGTH_MAX: Final = 2_000
BECAUSE_MAX: Final = 64
WARNINGS_MAX: Final = 20
TRACEBACK_LENGTH_MAX: Final = 8_000
#: Names go into client order ids, which have 128 characters.
PREFIX_LENGTH_MAX: Final = 64

Value = bool | int | float | Annotated[str, msgspec.Meta(max_length=1_000)]
Values = Annotated[dict[Text, Value], msgspec.Meta(max_length=PARAMETERS_MAX)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Line = Annotated[str, msgspec.Meta(max_length=LOG_LENGTH_MAX)]


class Instrument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A symbol and its steps."""

    symbol: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    tick_size: DecimalText
    lot_size: DecimalText


class Frame(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """One message. Its tag is its class's name, under `type`."""


# From the parent.


class Begin(Frame, frozen=True, kw_only=True):
    """The strategy and its terms; the first frame, once. Answered with `Begun`.

    `capital` is its own money at its first candle, `fee` the share of a fill's value that sizes by
    weight leave room for. Names of orders begin with `name_prefix`; what makes a deployment
    different from every other belongs in it.
    """

    deployment_id: Text
    source: Annotated[str, msgspec.Meta(max_length=SOURCE_LENGTH_MAX)]
    parameters: Values
    instruments: Annotated[
        tuple[Instrument, ...], msgspec.Meta(min_length=1, max_length=SYMBOLS_MAX)
    ]
    timeframe: Text
    capital: float
    fee: float
    name_prefix: Annotated[str, msgspec.Meta(min_length=1, max_length=PREFIX_LENGTH_MAX)]
    seed: int = 0


class Past(Frame, frozen=True, kw_only=True):
    """The strategy's own orders and fills so far, each oldest first; before the first `History`."""

    orders: Annotated[tuple[OrderState, ...], msgspec.Meta(max_length=PAST_MAX)] = ()
    fills: Annotated[tuple[Execution, ...], msgspec.Meta(max_length=PAST_MAX)] = ()


class Candles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Closed candles of one symbol, oldest first: columns of 8 bytes a value, native byte order.

    Times are int64 nanoseconds since the epoch, the others float64; `volume` is NaN when unknown.
    """

    symbol: Text
    open_ns: bytes
    close_ns: bytes
    open: bytes
    high: bytes
    low: bytes
    close: bytes
    volume: bytes

    def __len__(self) -> int:
        return len(self.open_ns) // 8


class CandleRow(msgspec.Struct, frozen=True, array_like=True):
    """A closed candle. `volume` is NaN when it is not known."""

    symbol: Text
    open_ns: int
    close_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


_COLUMNS: Final = CandleRow.__struct_fields__[1:]


def candles_of(symbol: str, rows: Sequence[CandleRow]) -> Candles:
    """Return the candles of one symbol as columns."""
    columns = {
        name: array("q" if name.endswith("_ns") else "d", [getattr(row, name) for row in rows])
        for name in _COLUMNS
    }
    return Candles(symbol=symbol, **{name: column.tobytes() for name, column in columns.items()})


class History(Frame, frozen=True, kw_only=True):
    """Candles of the past, for the warm-up: hooks run and nothing is ordered.

    Each symbol once in a frame; everything in a frame closed after everything in the one before.
    `last` ends the past: what is left of `Past` is booked, and from here on orders are sent.
    """

    candles: tuple[Candles, ...]
    last: bool


class Bars(Frame, frozen=True, kw_only=True):
    """Candles that closed together, those of one close time in one frame.

    Args:
        close_ns: the time of the group, not before that of the group before.
        bars: each later than all of its symbol; one that closed earlier than `close_ns` is late:
            it is shown, and nothing is ordered at it.
        fresh: false when the group closed while nobody watched: shown, and nothing is ordered.
    """

    close_ns: int
    bars: Annotated[tuple[CandleRow, ...], msgspec.Meta(min_length=1, max_length=SYMBOLS_MAX)]
    fresh: bool


class QuoteTick(Frame, frozen=True, kw_only=True):
    """Bid and ask have changed; NaN for a side or size that there is not.

    Only needed where `Begun.wants_quotes`; otherwise it is taken as the price that equity and
    weights go by, and nothing is called.
    """

    symbol: Text
    ts_ns: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float


class TradeTick(Frame, frozen=True, kw_only=True):
    """Somebody has traded. `side`: +1 the buyer took, -1 the seller did, 0 not known."""

    symbol: Text
    ts_ns: int
    price: float
    size: float
    side: int


class OrderNews(Frame, frozen=True, kw_only=True):
    """An order of this strategy has changed, or one of its exits."""

    view: OrderState


class FillNews(Frame, frozen=True, kw_only=True):
    """An order of this strategy has traded; told again it changes nothing."""

    fill: Execution


class Refusal(Frame, frozen=True, kw_only=True):
    """An order that this child placed will not be in the market: refused, too old, not approved."""

    name: Name
    reason: Reason


class SetParameters(Frame, frozen=True, kw_only=True):
    """Other values for some parameters, from the next event on.

    Lines, timers and whatever else `setup` makes of parameters follow; what the strategy has
    changed since is its memory and stays. A value that is not allowed is a `Fault` with
    `goes_on`, and changes nothing.
    """

    values: Values


class Stop(Frame, frozen=True, kw_only=True):
    """The end; answered, and the process ends."""


FromParent = (
    Begin | Past | History | Bars | QuoteTick | TradeTick | OrderNews | FillNews | Refusal
    | SetParameters | Stop
)  # fmt: skip

# From the child.


class Begun(Frame, frozen=True, kw_only=True):
    """The strategy is loaded and set up."""

    strategy: Text
    parameters: Values  #: all of them, the defaults too
    wants_quotes: bool
    wants_trades: bool
    timers: tuple[Text, ...]


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """An order to send. The same decision always has the same name.

    Args:
        name: `name_prefix`, the event and a number: `d7f20260331T143000Z/0` at the candles that
            closed then, with `q` or `t` behind the time at a quote or print, `d7ffill-<trade>/0` in
            answer to a fill.
        body: the fields of `POST /orders`, decimals as strings; its `client_order_id` is `name`.
            Exits that belong to it are in it (`order_class`, `stop_loss`, `take_profit`).
        at_ns: the time of the event at which it was decided.
        hook: which of the strategy's hooks decided it.
        reason: the order's `tag`, empty where the strategy gave none.
        because: the values of the strategy's declared lines there; None where there is none yet.
        confidence: from 0 to 1, as the strategy says; 1 when it says nothing.
    """

    name: Name
    symbol: Text
    body: dict[str, str | bool | dict[str, str]]
    at_ns: int
    hook: Text
    reason: Reason = ""
    because: Annotated[dict[Text, float | None], msgspec.Meta(max_length=BECAUSE_MAX)] = {}
    confidence: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"a confidence is from 0 to 1, not {self.confidence}")
        _refuse_infinite(value for value in self.because.values() if value is not None)


class Cancel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    """Take an order back.

    `name` is that of its `Place`; of an exit it is the entry's with `/0` (stop loss) or `/1` (take
    profit) behind. `order_id` is the server's, where the child has been told of the order.
    """

    name: Name
    order_id: Text | None
    at_ns: int


class Log(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of the strategy's log."""

    at_ns: int
    message: Line


class Decided(Frame, frozen=True, kw_only=True):
    """What came of a frame.

    All or nothing: of a frame that is answered with `Fault` nothing was decided. `cash`, `equity`
    and `positions` (only what is not flat) are what the child believes of itself, for display and
    for comparing with the parent's own book.
    """

    intents: Annotated[tuple[Place | Cancel, ...], msgspec.Meta(max_length=INTENTS_MAX)] = ()
    logs: Annotated[tuple[Log, ...], msgspec.Meta(max_length=LOGS_MAX)] = ()
    cash: float
    equity: float
    positions: Annotated[dict[Text, float], msgspec.Meta(max_length=SYMBOLS_MAX)] = {}
    warnings: Annotated[tuple[Line, ...], msgspec.Meta(max_length=WARNINGS_MAX)] = ()

    def __post_init__(self) -> None:
        _refuse_infinite((self.cash, self.equity, *self.positions.values()))


class Fault(Frame, frozen=True, kw_only=True):
    """The frame could not be dealt with.

    `goes_on`: the frame was refused and the child is as it was before; otherwise its state is not
    to be relied on, it ends, and a new one has to live through the past again.
    """

    code: Text
    detail: Line
    line: int | None = None  #: of the source, from 1
    column: int | None = None
    traceback: Annotated[str, msgspec.Meta(max_length=TRACEBACK_LENGTH_MAX)] = ""
    goes_on: bool = False


def _refuse_infinite(values: Iterable[float]) -> None:
    for value in values:
        if not isfinite(value):
            raise ValueError(f"{value} is no number")


FromChild = Begun | Decided | Fault

_encoder = msgspec.msgpack.Encoder()
_from_parent = msgspec.msgpack.Decoder(FromParent)
_from_child = msgspec.msgpack.Decoder(FromChild)


def encode(frame: FromParent | FromChild) -> bytes:
    """Return a frame as it goes over the channel."""
    return _encoder.encode(frame)


def from_parent(body: bytes) -> FromParent:
    """Read a frame of the parent.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: it is none.
    """
    frame: FromParent = _from_parent.decode(body)
    return frame


def from_child(body: bytes) -> FromChild:
    """Read a frame of a child.

    Raises:
        msgspec.ValidationError, msgspec.DecodeError: it is none, or beyond a bound.
    """
    frame: FromChild = _from_child.decode(body)
    return frame
