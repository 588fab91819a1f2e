"""The base class of strategies."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from math import isfinite
from random import Random
from typing import Any

import numpy as np

from alphintra import indicators
from alphintra.engine.series import Bars, Floats
from alphintra.sdk.errors import StrategyRefused
from alphintra.sdk.hosting import Host, Lifetime, Order, Status, Terms
from alphintra.sdk.lines import PRICES, Line, Series, Timeline, crossing_steps, crossings
from alphintra.sdk.parameters import parameters_of, resolved
from alphintra.sdk.resampling import duration_ns
from alphintra.sdk.views import Bar, Fill, Position, Quote, Trade, moment


class Strategy:
    """A trading strategy: subclass it, declare parameters, override what you need.

    `setup` runs once, before the first event, and declares lines, data and timers. Then the hooks
    run in the order of time: `on_fill` for what an event has filled, then `on_bar`, `on_quote` or
    `on_trade` with the event itself, then `on_timer`. Orders fill from the next event on.

    A strategy sees what has happened and nothing else. The objects it is handed are filled anew
    for each event: `copy()` what you keep. The same class runs in backtests and, with
    `alphintra trade`, live on paper; docs/howto/run-live-on-paper.md says what differs there.
    """

    _host: Host

    def __init__(self, **parameters: object) -> None:
        declared = parameters_of(type(self))
        for name, value in resolved(declared, parameters, strategy=type(self).__name__).items():
            setattr(self, name, value)
        self.random = Random(0)  #: seeded by the run, so that a run can be repeated

    # What a strategy overrides.

    def setup(self) -> None:
        """Declare lines, data and timers. No price is known yet."""

    def on_bar(self, bar: Bar) -> None:
        """A bar has closed."""

    def on_quote(self, quote: Quote) -> None:
        """Bid or ask have changed."""

    def on_trade(self, trade: Trade) -> None:
        """Somebody has traded."""

    def on_fill(self, fill: Fill) -> None:
        """An order of this strategy has traded, in part or whole."""

    def on_timer(self, name: str) -> None:
        """A timer of `every` is due."""

    # What it declares in `setup`.

    def data(self, symbol: str | None = None, timeframe: str | None = None) -> Series:
        """Return the bars of a symbol in a timeframe ("1h", "1d" …), shown up to now.

        Without a symbol they are those of the symbol at hand, without a timeframe those of the
        run. Longer bars are made of the run's and are shown when they have closed.

        Raises:
            StrategyRefused: an unknown symbol, or a timeframe that cannot be made.
        """
        series = Series(self._timeline(symbol, timeframe))
        self._host.lines.extend(getattr(series, price) for price in PRICES)
        return series

    def indicator(
        self,
        what: str | Callable[..., Floats],
        *,
        output: str = "",
        on: Series | Line | None = None,
        symbol: str | None = None,
        timeframe: str | None = None,
        **parameters: Any,
    ) -> Line:
        """Return the line of an indicator, or of a function of your own.

        Args:
            what: a name of `alphintra.indicators`, or a function that takes `Bars` and
                `parameters` and returns one value per bar, looking back only.
            output: which of the indicator's outputs; by default its first.
            on: the series it is computed on, or the line (in place of the close).
            symbol, timeframe: in place of `on`, as in `data`.

        Raises:
            StrategyRefused: no such output, or `on` beside a symbol.
            IndicatorUnknown, IndicatorParameterInvalid: as they say.
        """
        lines = self._lines(what, on, symbol, timeframe, parameters)
        found = {line.name: line for line in lines}
        if output and output not in found:
            raise StrategyRefused(f"{what} has no output {output}; it has: {', '.join(found)}")
        line = found[output] if output else lines[0]
        self._host.lines.append(line)
        return line

    def outputs(
        self,
        what: str | Callable[..., Floats],
        *,
        on: Series | Line | None = None,
        symbol: str | None = None,
        timeframe: str | None = None,
        **parameters: Any,
    ) -> tuple[Line, ...]:
        """Return all lines of an indicator: `upper, middle, lower = self.outputs("BBANDS")`."""
        lines = self._lines(what, on, symbol, timeframe, parameters)
        self._host.lines.extend(lines)
        return lines

    def crossing(self, above: Line, below: Line | float) -> Line:
        """Return the line that is +1 where one crosses another upwards, -1 downwards, else 0.

        The other may be a level. Lines that are equal but for rounding have not crossed.

        Raises:
            StrategyRefused: the lines go with different bars.
        """
        timeline = above._timeline
        if isinstance(below, Line) and not timeline.same(below._timeline):
            raise StrategyRefused("lines that cross have to go with the same bars")

        def compute(bars: Bars) -> Mapping[str, Floats]:
            place = self._host.feed.place(bars.symbol)
            values = above._whole(place)
            other = below._whole(place) if isinstance(below, Line) else np.full_like(values, below)
            return {"crossing": crossings(values, other)}

        (line,) = timeline.lines(compute, "crossing", steps=crossing_steps(above, below))
        self._host.lines.append(line)
        return line

    def _lines(
        self,
        what: str | Callable[..., Floats],
        on: Series | Line | None,
        symbol: str | None,
        timeframe: str | None,
        parameters: Mapping[str, Any],
    ) -> tuple[Line, ...]:
        if on is not None and (symbol or timeframe):
            raise StrategyRefused("give either on or a symbol and timeframe")
        timeline = self._timeline(symbol, timeframe) if on is None else on._timeline
        if isinstance(what, str):
            return self._indicator_lines(what, timeline, on, parameters)
        function = what
        name = getattr(function, "__name__", "line")
        return timeline.lines(lambda bars: {name: function(bars, **parameters)}, name)

    def _indicator_lines(
        self, name: str, timeline: Timeline, on: Series | Line | None, given: Mapping[str, Any]
    ) -> tuple[Line, ...]:
        info = indicators.describe(name)
        chosen = info.checked(given)

        def compute(bars: Bars) -> Mapping[str, Floats]:
            columns = {price: getattr(bars, price) for price in PRICES}
            if isinstance(on, Line):
                columns["close"] = on._whole(self._host.feed.place(bars.symbol))
            if any(one.column == "session" for one in info.inputs):
                columns["session"] = indicators.session_numbers(bars.open_ns)
            return indicators.compute(info.name, columns, **chosen)

        def begin(symbol: int) -> Callable[[int], Sequence[float]]:
            handle = indicators.stream(info.name, **chosen)
            source = {price: timeline.price(price) for price in PRICES}
            if isinstance(on, Line):
                source["close"] = on
            inputs = [source[one.name if one.name in source else one.column] for one in info.inputs]

            def step(at: int) -> Sequence[float]:
                value = handle.push(*[line._value(symbol, at) for line in inputs])
                return value if isinstance(value, tuple) else (value,)

            return step

        known = all({one.name, one.column} & {*PRICES} for one in info.inputs)
        outputs = [output.name for output in info.outputs]
        return timeline.lines(compute, *outputs, steps=begin if known else None)

    def every(self, interval: str, name: str = "") -> None:
        """Have `on_timer(name)` called at whole multiples of "15m", "1h", "1d" … in UTC.

        It comes with the first event at or after its time, after that event's own hooks, and once
        however much time went by without events.
        """
        self._host.every(duration_ns(interval), name or interval)

    # What it can ask.

    @property
    def symbols(self) -> tuple[str, ...]:
        """All symbols of the run."""
        return self._host.feed.symbols

    @property
    def now(self) -> datetime:
        """The time at hand, in UTC: when the event at hand became known."""
        return moment(self._host.feed.now_ns)

    @property
    def cash(self) -> float:
        """The money at hand, in the account's currency."""
        return self._host.cash()

    @property
    def equity(self) -> float:
        """What the account is worth at the latest prices."""
        return self._host.equity()

    def position(self, symbol: str | None = None) -> Position:
        """Return what is held of a symbol, by default of the one at hand."""
        return self._host.positions[self._host.feed.place(symbol)]

    def open_orders(self, symbol: str | None = None) -> list[Order]:
        """Return the orders of a symbol that can still fill, oldest first."""
        return self._host.open_orders(self._host.feed.place(symbol))

    def whole_lots(self, quantity: float, symbol: str | None = None) -> float:
        """Return a quantity as an order takes it: in whole lots, rounded down; 0.0 for less.

        In backtests a lot is one unit unless `terms` say otherwise; live it is the instrument's,
        such as 0.0001 of a bitcoin.
        """
        if not isfinite(quantity):
            raise StrategyRefused(f"a quantity is a number, not {quantity}")
        return self._host.whole_lots(self._host.feed.place(symbol), quantity)

    # What it does.

    def buy(self, quantity: float, symbol: str | None = None, **terms: Any) -> Order:
        """Buy, at the market unless a price is given.

        Args:
            quantity: in units, rounded down to whole lots; an order for less than one is rejected.
            symbol: by default the one at hand.
            terms: `limit`, `stop`, `trail` (a distance in price) or `trail_percent`; `lifetime`
                ("gtc", "day", "ioc", "fok", and "opg", "cls" for the opening and the closing
                auction); `post_only`, `reduce_only`; `parent`, an order whose fills bring this one
                to life (a quantity of 0 follows them); `sibling`, an order
                that a fill of this one cancels, and the other way round; `tag`, a text that shows
                up with the trade; `confidence`, from 0 to 1, for whoever approves signals.

        Raises:
            StrategyRefused: a quantity or price that is no positive number, or an order for an
                auction that is neither a market nor a limit order, or has a parent.
            NoAuction: for an auction of an instrument without sessions; see `calendar` of
                `backtest`.
        """
        return self._submit(quantity, symbol, is_buy=True, terms=terms)

    def sell(self, quantity: float, symbol: str | None = None, **terms: Any) -> Order:
        """Sell, also what is not held; the terms are those of `buy`."""
        return self._submit(quantity, symbol, is_buy=False, terms=terms)

    def close(self, symbol: str | None = None, tag: str = "") -> Order | None:
        """Leave a position at the market; None when there is none."""
        position = self.position(symbol)
        if position.is_flat:
            return None
        return self._submit(
            abs(position.quantity),
            symbol,
            is_buy=position.quantity < 0,
            terms={"reduce_only": True, "tag": tag},
        )

    def target_weight(
        self,
        weight: float,
        symbol: str | None = None,
        tag: str = "",
        *,
        confidence: float = 1.0,
    ) -> Order:
        """Bring a position to a share of equity: 1.0 all in, 0.0 out, -0.5 half sold short.

        It is sized at the price it meets, in whole lots, so that the costs are covered too.
        """
        if not isfinite(weight):
            raise StrategyRefused(f"a target weight is a number, not {weight}")
        place = self._host.feed.place(symbol)
        return self._host.submit_weight(place, weight, tag, _confidence(confidence))

    def bracket(
        self,
        quantity: float,
        symbol: str | None = None,
        *,
        side: str = "buy",
        stop_loss: float | None = None,
        take_profit: float | None = None,
        **terms: Any,
    ) -> tuple[Order, Order | None, Order | None]:
        """Enter with exits that come to life as the entry fills; a fill of one cancels the other.

        Args:
            side: "buy" or "sell", of the entry.
            stop_loss, take_profit: the prices of the exits, either or both.
            terms: of the entry, as for `buy`.

        Returns:
            The entry, the stop loss and the take profit.

        Raises:
            StrategyRefused: another side, or as `buy`.
        """
        if side not in {"buy", "sell"}:
            raise StrategyRefused(f"a side is 'buy' or 'sell', not {side!r}")
        is_buy = side == "buy"
        entry = self._submit(quantity, symbol, is_buy=is_buy, terms=terms)
        tag = terms.get("tag", "")
        stop, target, _ = self.protect(entry, stop_loss=stop_loss, take_profit=take_profit, tag=tag)
        return entry, stop, target

    def protect(
        self,
        entry: Order,
        *,
        stop_loss: float | None = None,
        take_profit: float | None = None,
        trail: float | None = None,
        trail_percent: float | None = None,
        tag: str = "",
    ) -> tuple[Order | None, Order | None, Order | None]:
        """Give an entry exits that come to life as it fills; a fill of one cancels the others.

        Args:
            stop_loss, take_profit: their prices.
            trail, trail_percent: of a trailing stop, a distance in price or in percent.

        Returns:
            The stop loss, the take profit and the trailing stop; None for each that was not asked
            for, and for all when the entry was rejected.

        Raises:
            StrategyRefused: as `buy`.
        """
        if entry.status is Status.REJECTED:
            return None, None, None
        trails = {"trail": trail, "trail_percent": trail_percent}
        exits: list[Order | None] = []
        for terms in (
            {"stop": stop_loss},
            {"limit": take_profit},
            {name: value for name, value in trails.items() if value is not None},
        ):
            if not any(value is not None for value in terms.values()):
                exits.append(None)
                continue
            sibling = next((one for one in exits if one is not None), None)
            links = {"parent": entry, "sibling": sibling, "reduce_only": True, "tag": tag}
            exits.append(
                self._submit(0.0, entry.symbol, is_buy=not entry.is_buy, terms={**terms, **links})
            )
        stop, target, trailing = exits
        return stop, target, trailing

    def cancel(self, symbol: str | None = None) -> None:
        """Cancel all open orders of a symbol; `order.cancel()` cancels one."""
        for order in self.open_orders(symbol):
            order.cancel()

    def log(self, message: str) -> None:
        """Keep a line in the result's log, with the time at hand."""
        self._host.note(message)

    def _submit(
        self, quantity: float, symbol: str | None, *, is_buy: bool, terms: Mapping[str, Any]
    ) -> Order:
        for name in ("limit", "stop", "trail", "trail_percent"):
            value = terms.get(name)
            if value is not None and not (isfinite(value) and value > 0):
                raise StrategyRefused(f"{name} is a positive number, not {value}")
        if not (isfinite(quantity) and quantity >= 0):
            raise StrategyRefused(f"a quantity is a number from zero, not {quantity}")
        _confidence(terms.get("confidence", 1.0))
        known = dict(terms)
        try:
            known["lifetime"] = Lifetime(known.get("lifetime", Lifetime.GTC))
            place = self._host.feed.place(symbol)
            order = Terms(symbol=place, is_buy=is_buy, quantity=float(quantity), **known)
        except (TypeError, ValueError) as error:
            raise StrategyRefused(f"an order has no such terms: {error}") from None
        if order.lifetime.is_for_auction:
            _check_auction(order)
        return self._host.submit(order)

    def _timeline(self, symbol: str | None, timeframe: str | None) -> Timeline:
        pinned = None if symbol is None else self._host.feed.place(symbol)
        timeline = self._host.timeline(pinned, timeframe)
        for place in timeline.symbols():
            timeline.bars(place)  # so that what is missing is told here, with this line of code
        return timeline

    def _repr_html_(self) -> str:
        from alphintra.sdk.notebook import strategy_html

        return strategy_html(self)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in parameters_of(type(self)))
        return f"{type(self).__name__}({values})"


def _check_auction(order: Terms) -> None:
    waits = (order.stop, order.trail, order.trail_percent, order.parent)
    if order.post_only or any(one is not None for one in waits):
        raise StrategyRefused(
            f'lifetime "{order.lifetime}" is for market and limit orders without a parent'
        )


def _confidence(value: float) -> float:
    if not 0 <= value <= 1:
        raise StrategyRefused(f"a confidence is a number from 0 to 1, not {value}")
    return value
