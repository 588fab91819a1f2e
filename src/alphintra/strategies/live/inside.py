"""What runs in the sandboxed process of a deployment: frames in, decisions out.

It reads no clock and nothing but its frames, so the same frames give the same answers, byte for
byte, as long as the strategy itself looks at nothing else.
"""

import sys
import traceback
from collections.abc import Iterator, Mapping
from itertools import groupby
from math import isfinite
from random import Random
from typing import Any, Final, Protocol, assert_never

import msgspec
import numpy as np

from alphintra import indicators
from alphintra.core.errors import Problem
from alphintra.engine.series import BadSeries
from alphintra.sdk.errors import ParameterRefused, StrategyFailed, StrategyRefused
from alphintra.sdk.lines import Line, Series
from alphintra.sdk.live.feed import LiveFeed
from alphintra.sdk.live.growing import Candle
from alphintra.sdk.live.host import LiveHost
from alphintra.sdk.live.orders import Grid, Known, Names
from alphintra.sdk.live.run import MISSED, LiveRun
from alphintra.sdk.parameters import parameters_of
from alphintra.sdk.randomness import seed_globals
from alphintra.sdk.source import SOURCE_FILE, load_source
from alphintra.sdk.strategy import Strategy
from alphintra.strategies.live import frames
from alphintra.strategies.live.frames import (
    Bars,
    Begin,
    Begun,
    Cancel,
    Candles,
    Decided,
    Fault,
    FillNews,
    FromChild,
    FromParent,
    History,
    Log,
    OrderNews,
    Past,
    Place,
    QuoteTick,
    Refusal,
    SetParameters,
    Stop,
    TradeTick,
)

_REASON_LENGTH_MAX: Final = 2_000


class Channel(Protocol):
    """The way to the parent."""

    def receive(self) -> bytes | None:
        """Return the next message; None when the parent has closed."""

    def send(self, body: bytes) -> None:
        """Send a message."""


def serve(channel: Channel) -> None:
    """Answer frames until the parent stops, the channel is closed or the strategy has failed."""
    child = Inside()
    while (body := channel.receive()) is not None:
        reply = child.hear(body)
        channel.send(frames.encode(reply))
        if child.has_ended or (isinstance(reply, Fault) and not reply.goes_on):
            return


def ready() -> None:
    """Load what every strategy needs, once for all: for a nursery, before it forks.

    TA-Lib loads pandas where it is installed, to take its columns too: 75 MB that nobody uses here.
    """
    seed_globals(0)  # NumPy loads its random numbers, two megabytes, only when they are asked for
    hidden = {name: sys.modules.get(name) for name in ("pandas", "polars")}
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type] # None: not found
    try:
        indicators.catalogue()
    finally:
        for name, module in hidden.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class FrameRefused(Exception):
    """A frame that makes no sense here; nothing has changed."""


class Inside:
    """One strategy and what was told of it."""

    def __init__(self) -> None:
        self.has_ended = False
        self._live: Live | None = None

    def hear(self, body: bytes) -> FromChild:
        """Answer a frame. Whatever goes wrong is an answer."""
        try:
            return self._answer(frames.from_parent(body))
        except (FrameRefused, msgspec.DecodeError, msgspec.ValidationError) as error:
            return Fault(code="frame_refused", detail=plain(error), goes_on=True)
        except (ParameterRefused, BadSeries) as error:
            # Each is raised before anything has changed, except that nothing is there yet.
            return fault_of(error, goes_on=self._live is not None)
        # Not only Exception: a strategy may call sys.exit.
        except BaseException as error:
            return fault_of(error)

    def _answer(self, frame: FromParent) -> FromChild:
        if isinstance(frame, Begin):
            if self._live is not None:
                raise FrameRefused("it has begun")
            self._live = Live.begin(frame)
            return self._live.begun()
        if isinstance(frame, Stop):
            self.has_ended = True
        if self._live is None:
            raise FrameRefused("Begin comes first")
        return self._live.answer(frame)


class Live:
    """A strategy that was set up, and what it decides while a frame is dealt with."""

    def __init__(
        self, strategy: Strategy, host: LiveHost, feed: LiveFeed, run: LiveRun, out: "Outgoing"
    ) -> None:
        self._strategy = strategy
        self._host = host
        self._feed = feed
        self._run = run
        self._out = out

    @classmethod
    def begin(cls, begin: Begin) -> "Live":
        """Load and set up the strategy of a frame.

        Raises:
            StrategyRefused, StrategyNotFound, ParameterRefused, StrategyFailed: as they say.
        """
        # What is drawn from the process's own random numbers is drawn again in a life after this.
        seed_globals(begin.seed)
        found = load_source(begin.source)
        if not isinstance(found, type):
            raise StrategyRefused(
                "a function over arrays cannot run live; write a class with on_bar"
            )
        strategy = found(**begin.parameters)
        strategy.random = Random(begin.seed)
        feed = LiveFeed([one.symbol for one in begin.instruments])
        names = Names(begin.name_prefix)
        out = Outgoing(strategy, feed)
        host = LiveHost(
            strategy,
            feed,
            out,
            grids=[Grid(one.tick_size, one.lot_size) for one in begin.instruments],
            names=names,
            capital=begin.capital,
            fee=begin.fee,
            say=out.say,
        )
        run = out.run = LiveRun(strategy, host, feed, names)
        run.set_up()
        out.look_for_lines()
        return cls(strategy, host, feed, run, out)

    def begun(self) -> Begun:
        """Say what was set up."""
        strategy = self._strategy
        return Begun(
            strategy=type(strategy).__name__,
            parameters={name: getattr(strategy, name) for name in parameters_of(type(strategy))},
            wants_quotes=self._run.wants_quotes,
            wants_trades=self._run.wants_trades,
            timers=tuple(name for _, name in self._host.timers),
        )

    def answer(self, frame: FromParent) -> FromChild:
        """Deal with a frame.

        Raises:
            FrameRefused, ParameterRefused, BadSeries: nothing has changed.
            StrategyFailed: the strategy raised.
        """
        self._out.clear()
        self._deal_with(frame)
        if len(self._out.intents) > frames.INTENTS_MAX:
            return Fault(
                code="too_many_orders",
                detail=f"{len(self._out.intents)} orders and cancels at one event; "
                f"there may be {frames.INTENTS_MAX}",
            )
        host = self._host
        return Decided(
            intents=tuple(self._out.intents),
            logs=tuple(self._out.logs),
            cash=host.cash(),
            equity=host.equity(),
            positions={one.symbol: one.quantity for one in host.positions if one.quantity},
            warnings=tuple(self._out.warnings),
        )

    def _deal_with(self, frame: FromParent) -> None:
        run = self._run
        match frame:
            case Bars():
                self._candles(frame)
            case QuoteTick():
                run.quote(
                    self._place(frame.symbol),
                    frame.ts_ns,
                    bid=frame.bid,
                    ask=frame.ask,
                    bid_size=frame.bid_size,
                    ask_size=frame.ask_size,
                )
            case TradeTick():
                place = self._place(frame.symbol)
                run.trade(place, frame.ts_ns, price=frame.price, size=frame.size, side=frame.side)
            case OrderNews():
                if not run.order(frame.view):
                    raise FrameRefused(f"order {frame.view.id} is not of this strategy")
            case FillNews():
                run.fill(frame.fill)
            case Refusal():
                self._host.refused(frame.name, frame.reason)
            case SetParameters():
                self._set_parameters(frame)
            case Past():
                self._refuse_unless(self._host.warming, "Past comes before the last History")
                run.remember(frame.orders, frame.fills)
            case History():
                self._refuse_unless(self._host.warming, "the last History has been")
                self._history(frame)
            case Begin() | Stop():
                pass
            case _:
                assert_never(frame)

    def _candles(self, frame: Bars) -> None:
        self._refuse_unless(not self._host.warming, "History comes first, its last one too")
        if frame.close_ns < self._feed.group_ns:
            raise FrameRefused(f"candles of {frame.close_ns} come behind {self._feed.group_ns}")
        group = sorted(
            (row.close_ns, self._place(row.symbol), Candle(*msgspec.structs.astuple(row)[1:]))
            for row in frame.bars
        )
        if group[-1][0] > frame.close_ns:
            raise FrameRefused(f"a candle closed after {frame.close_ns}")
        placed = [(place, candle) for _, place, candle in group]
        self._run.candles(placed, frame.close_ns, muted="" if frame.fresh else MISSED)

    def _history(self, frame: History) -> None:
        places = [self._place(candles.symbol) for candles in frame.candles]
        rows = sorted(
            (candle.close_ns, place, candle)
            for place, candles in zip(places, frame.candles, strict=True)
            for candle in _rows_of(candles)
        )
        for close_ns, group in groupby(rows, key=lambda row: row[0]):
            self._run.candles([(place, candle) for _, place, candle in group], close_ns)
        if frame.last:
            self._run.settle()

    def _set_parameters(self, frame: SetParameters) -> None:
        try:
            self._run.set_parameters(frame.values)
        except StrategyFailed as error:
            # Its setup raised, on an object of its own: the strategy is as it was.
            raise ParameterRefused(f"setup does not take these values: {error.detail}") from error
        self._out.look_for_lines()

    def _place(self, symbol: str) -> int:
        place = self._feed.places.get(symbol)
        if place is None:
            raise FrameRefused(f"there is no symbol {symbol} here")
        return place

    @staticmethod
    def _refuse_unless(holds: bool, detail: str) -> None:
        if not holds:
            raise FrameRefused(detail)


class Outgoing:
    """The gateway of the live host: what is to be sent is collected for the answer."""

    run: LiveRun

    def __init__(self, strategy: Strategy, feed: LiveFeed) -> None:
        self.intents: list[Place | Cancel] = []
        self.logs: list[Log] = []
        self.warnings: list[str] = []
        self._strategy = strategy
        self._feed = feed
        self._lines: dict[str, Line] = {}

    def clear(self) -> None:
        """Begin with an answer."""
        self.intents.clear()
        self.logs.clear()
        self.warnings.clear()

    def look_for_lines(self) -> None:
        """Find the lines that the strategy keeps, by the names of its attributes."""
        self._lines = dict(
            one for name, value in vars(self._strategy).items() for one in _lines_in(name, value)
        )
        for name in list(self._lines)[frames.BECAUSE_MAX :]:
            del self._lines[name]

    def place(self, known: Known, body: Mapping[str, Any]) -> None:
        """See `Gateway`: news will follow."""
        self.intents.append(
            Place(
                name=known.name,
                symbol=known.order.symbol,
                body=dict(body),
                at_ns=self._feed.now_ns,
                hook=self.run.hook,
                reason=plain(known.order.tag, _REASON_LENGTH_MAX),
                because={name: _value_of(line) for name, line in self._lines.items()},
                confidence=float(known.confidence),
            )
        )

    def cancel(self, known: Known) -> None:
        """See `Gateway`: news will follow."""
        self.intents.append(
            Cancel(name=known.name, order_id=known.server_id or None, at_ns=self._feed.now_ns)
        )

    def price(self, symbol: str, *, is_buy: bool) -> None:
        """See `Gateway`: the latest seen."""

    def say(self, what: str, about: Mapping[str, object]) -> None:
        """Take what the live host tells: the log, and why orders were not sent."""
        if what == "log":
            if len(self.logs) < frames.LOGS_MAX:
                message = plain(about["message"])
                self.logs.append(Log(at_ns=self._feed.now_ns, message=message))
            elif not self.warnings or not self.warnings[0].startswith("of the log"):
                self.warnings.insert(0, f"of the log only {frames.LOGS_MAX} lines were kept")
        elif what in {"rejected", "too_small"}:
            quantity = f"{about['ordered']:.12g} " if about["ordered"] else ""
            reason = about.get("reason") or "no reason was given"
            order = f"{about['side']} {quantity}{about['symbol']}"
            self.warnings.append(plain(f"{order}, not ordered: {reason}"))
        del self.warnings[frames.WARNINGS_MAX :]


def plain(text: object, limit: int = frames.LOG_LENGTH_MAX) -> str:
    """Return a text that can be sent: not too long, and without halves of characters."""
    return str(text)[:limit].encode(errors="replace").decode()


def fault_of(error: BaseException, *, goes_on: bool = False) -> Fault:
    """Return what has gone wrong, with the place in the strategy's code where it is known."""
    cause = error.__cause__ if isinstance(error, StrategyFailed) else error
    own = [
        frame
        for frame in traceback.extract_tb(cause.__traceback__ if cause is not None else None)
        if frame.filename == SOURCE_FILE
    ]
    line = own[-1].lineno if own else None
    column = own[-1].colno + 1 if own and own[-1].colno is not None else None
    text = "".join(traceback.format_list(own)) if own else ""
    if cause is not None:
        text += "".join(traceback.format_exception_only(cause))
    code = error.code if isinstance(error, Problem) else StrategyFailed.code
    detail = error.detail if isinstance(error, Problem) else f"{type(error).__name__}: {error}"
    if isinstance(error, Problem) and not own:
        line, column = _number(error, "line"), _number(error, "column")
    return Fault(
        code=code,
        detail=plain(detail),
        line=line,
        column=column,
        traceback=plain(text[-frames.TRACEBACK_LENGTH_MAX :], frames.TRACEBACK_LENGTH_MAX),
        goes_on=goes_on,
    )


def _number(error: Problem, name: str) -> int | None:
    value = error.extra.get(name)
    return value if isinstance(value, int) else None


def _rows_of(candles: Candles) -> Iterator[Candle]:
    columns = (
        np.frombuffer(getattr(candles, name), np.int64 if name.endswith("_ns") else np.float64)
        for name in Candle._fields
    )
    return map(Candle, *(column.tolist() for column in columns))


def _lines_in(name: str, value: object) -> Iterator[tuple[str, Line]]:
    if isinstance(value, Line):
        yield name, value
    elif isinstance(value, Series):
        yield f"{name}.close", value.close
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _lines_in(f"{name}.{key}", one)
    elif isinstance(value, list | tuple):
        for place, one in enumerate(value):
            yield from _lines_in(f"{name}.{place}", one)


def _value_of(line: Line) -> float | None:
    try:
        value = line.now
    except Problem:  # an indicator that cannot be computed; the strategy has not looked at it
        return None
    return value if isfinite(value) else None
