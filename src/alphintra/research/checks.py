"""Does a strategy see the future, and how much past does it need? Found out by experiment.

Look-ahead: the strategy runs over all data, then with the future cut off at several points, then
with another future behind them. Whatever it did, and every value of its lines, must be the same up
to there; a difference is proof. Recursion: it runs with less past in front, and what it does must
become the same again; where that happens is how much warm-up it needs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from alphintra.engine import NEVER_NS, NO_PRICE, Kind, Lifetime
from alphintra.engine.portfolio import NO_ORDER, RowKind, Simulation, What
from alphintra.engine.series import Bars, Floats, Quotes, Series, Times
from alphintra.research.backtest import Market, Watch, play, prepare, targets_of
from alphintra.research.calendars import CalendarOf, known_calendar
from alphintra.research.loading import AnyStrategy, Data, When, load_data, load_strategy
from alphintra.research.result import readable
from alphintra.sdk import Strategy, StrategyFailed, Vectorised, parameters_of
from alphintra.sdk.parameters import Value, resolved
from alphintra.sdk.randomness import seeded
from alphintra.sdk.source import load_source
from alphintra.strategies.blocks import CompiledGraph

#: Where the future is cut off, as shares of the data; odd, so that no period fits all of them.
_CUTS: Final = (0.31, 0.5, 0.67, 0.83, 0.96)
#: How much past is left out, as shares of the data.
_LATER_STARTS: Final = (0.1, 0.25)
#: Values that differ by less are the same: sums in another order round in another way.
_SAME: Final = 1e-9
#: A warm-up that is longer than this share of the data is told.
_LONG_WARM_UP: Final = 0.5


#: Terms of orders that two runs are compared by, and what each is where an order has none.
_TERMS: Final = {
    "limit_price_ticks": NO_PRICE,
    "stop_price_ticks": NO_PRICE,
    "trail_ticks": 0,
    "trail_bps": 0,
    "lifetime": int(Lifetime.REST),
    "expires_ns": NEVER_NS,
    "parent": NO_ORDER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFinding:
    """Something that a check has found out."""

    code: str  #: "look_ahead", "long_memory"
    message: str
    advice: str
    is_fault: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"code": self.code, "message": self.message, "advice": self.advice}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a strategy did and saw: each thing with its time and its name."""

    orders: tuple[tuple[int, str], ...]
    lines: Mapping[str, tuple[Times, Floats]]

    def lines_only(self) -> "Trace":
        """Return the trace without its orders, whose sizes depend on what was earned before."""
        return Trace(orders=(), lines=self.lines)

    def first_difference(self, other: "Trace", start_ns: int, end_ns: int) -> str:
        """Say what differs first in (start_ns, end_ns]; "" when nothing does."""
        found = []
        mine, theirs = (
            [order for order in trace.orders if start_ns < order[0] <= end_ns]
            for trace in (self, other)
        )
        for at, order in enumerate(mine):
            if at >= len(theirs) or theirs[at] != order:
                found.append((order[0], f"the order {order[1]}"))
                break
        else:
            if len(theirs) > len(mine):
                found.append((theirs[len(mine)][0], f"the order {theirs[len(mine)][1]}"))
        for name, (times, values) in self.lines.items():
            if name in other.lines:
                found += _differing(name, times, values, *other.lines[name], start_ns, end_ns)
        if not found:
            return ""
        at_ns, what = min(found)
        return f"{what} at {readable(at_ns)}"


def check(
    strategy: AnyStrategy | str,
    data: Data,
    *,
    cash: float = 100_000.0,
    parameters: Mapping[str, object] | None = None,
    start: When | None = None,
    end: When | None = None,
    symbols: Sequence[str] = (),
    calendar: CalendarOf | None = None,
    seed: int = 0,
    time_limit_s: float | None = None,
    faults_only: bool = False,
) -> list[CheckFinding]:
    """Return what a strategy's behaviour gives away; nothing when it sees only the past.

    It runs about a dozen times. A strategy whose orders depend on something else than the data
    (time, an unseeded generator) is found too: it differs from itself.

    Raises:
        As `backtest` does.
    """
    loaded = load_strategy(strategy)
    declared = parameters_of(loaded)
    given = dict(parameters or {})
    if isinstance(loaded, Strategy):
        given = {name: getattr(loaded, name) for name in declared} | given
    chosen = resolved(declared, given, strategy="the strategy")
    series = load_data(data, start=start, end=end, symbols=symbols)
    # Ticks follow from all prices, so they are fixed here: a part could have coarser ones.
    terms = {
        one.symbol: one
        for one in prepare(
            series, cash=cash, calendar=calendar, default_calendar=known_calendar(data)
        ).terms
    }

    def trace(parts: Sequence[Series]) -> Trace:
        watch = Watch(time_limit_s=time_limit_s)
        market = prepare(parts, cash=cash, terms=terms)
        return trace_of(loaded, market, chosen, seed=seed, watch=watch)

    whole = trace(series)
    if finding := _look_ahead(series, whole, trace):
        return [finding]
    return [] if faults_only else _memory(series, whole, trace)


def trace_of(
    strategy: AnyStrategy,
    market: Market,
    parameters: Mapping[str, Value],
    *,
    seed: int = 0,
    watch: Watch | None = None,
) -> Trace:
    """Run a strategy and note what it did and what its lines were."""
    if isinstance(strategy, Vectorised):
        with seeded(seed):
            targets = targets_of(market, strategy.weights(market.bars, parameters))
        tape = market.tape
        lines = {}
        for number, symbol in enumerate(market.symbols):
            rows = np.flatnonzero((tape.symbol == number) & (tape.kind == RowKind.BAR))
            lines[f"the weight of {symbol}"] = (tape.close_ns[rows], targets[rows])
        return Trace(orders=(), lines=lines)
    if isinstance(strategy, CompiledGraph):
        strategy = load_source(strategy.source)  # gives the same orders, and has lines to look at
        assert not isinstance(strategy, Vectorised)
    simulation, session = play(strategy, market, parameters, seed=seed, watch=watch or Watch())
    named = {}
    for number, line in enumerate(session.lines):
        for place in line._timeline.symbols():
            bars = line._timeline.bars(place)
            name = f"the line {line.name} (number {number + 1}) of {market.symbols[place]}"
            named[name] = (bars.close_ns, line._whole(place))
    return Trace(orders=_orders_of(simulation, market), lines=named)


def _orders_of(simulation: Simulation, market: Market) -> tuple[tuple[int, str], ...]:
    """Return when each order was given, and its terms as they were given.

    What the simulator makes of an order later must not count, since it may come of prices behind
    a cut: the side and size of a target weight, the size of an exit that its entry's fills tell,
    and what is taken off an order that the account cannot carry.
    """
    tickets = simulation.orders()
    journal = simulation.journal()
    asked = tickets["lots"].copy()
    taken_off = journal[(journal["what"] == What.REDUCED) & (journal["order"] != NO_ORDER)]
    np.add.at(asked, taken_off["order"], taken_off["lots"])
    found = []
    for ticket, lots in zip(tickets, asked.tolist(), strict=True):
        terms = Kind(ticket["kind"]).name.lower().replace("_", " ")
        terms += "".join(
            f", {name} {ticket[name]}"
            for name, nothing in _TERMS.items()
            if ticket[name] != nothing
        )
        what = "an order"
        if np.isnan(ticket["weight"]):
            what = "buy" if ticket["side"] == 0 else "sell"
            if ticket["parent"] == NO_ORDER:
                what += f" {lots} lots of"
        else:
            terms += f", weight {ticket['weight']}"
        symbol = market.symbols[ticket["symbol"]]
        found.append((int(ticket["submitted_ns"]), f"{what} {symbol} ({terms})"))
    return tuple(found)


def _look_ahead(
    series: Sequence[Series], whole: Trace, trace: Callable[[Sequence[Series]], Trace]
) -> CheckFinding | None:
    last_ns = max(int(_closes(part)[-1]) for part in series)
    first_ns = min(int(_closes(part)[0]) for part in series)
    if difference := whole.first_difference(trace(series), first_ns - 1, last_ns):
        return CheckFinding(
            code="not_repeatable",
            message=f"run twice over the same data, the strategy differs from itself: {difference}",
            advice="Take random numbers from self.random, and the time from self.now.",
            is_fault=True,
        )
    for share in _CUTS:
        cut_ns = first_ns + int(share * (last_ns - first_ns))
        for what, parts in (
            ("cut off", [_until(part, cut_ns) for part in series]),
            ("another one", [_with_another_future(part, cut_ns) for part in series]),
        ):
            if any(len(part) < 2 for part in parts):
                continue
            try:
                other = trace(parts)
            except StrategyFailed as error:
                if what != "cut off":
                    continue  # it may fail in a future that never was
                difference = f"it fails: {error.detail}"
            else:
                difference = whole.first_difference(other, first_ns - 1, cut_ns)
            if difference:
                return CheckFinding(
                    code="look_ahead",
                    message=f"with the future after {readable(cut_ns)} {what}, something before it "
                    f"changes: {difference}",
                    advice="Find what looks ahead: a negative shift, a mean or maximum over the "
                    "whole array, a file of its own. Its results are not to be believed.",
                    is_fault=True,
                )
    return None


def _memory(
    series: Sequence[Series], whole: Trace, trace: Callable[[Sequence[Series]], Trace]
) -> list[CheckFinding]:
    """Leave out the beginning and see from where on it does not matter."""
    last_ns = max(int(_closes(part)[-1]) for part in series)
    first_ns = min(int(_closes(part)[0]) for part in series)
    for share in _LATER_STARTS:
        start_ns = first_ns + int(share * (last_ns - first_ns))
        parts = [_since(part, start_ns) for part in series]
        if any(len(part) < 2 for part in parts):
            continue
        settled_ns = start_ns + int(_LONG_WARM_UP * (last_ns - start_ns))
        difference = whole.lines_only().first_difference(
            trace(parts).lines_only(), settled_ns, last_ns
        )
        if difference:
            return [
                CheckFinding(
                    code="long_memory",
                    message=f"started at {readable(start_ns)} instead of {readable(first_ns)}, the "
                    f"strategy still differs after half of the data: {difference}",
                    advice="A line depends on where the data begins (an average over everything, "
                    "a running sum). Live it begins elsewhere, so it will trade differently there.",
                    is_fault=False,
                )
            ]
    return []


def _differing(
    name: str,
    times: Times,
    values: Floats,
    other_times: Times,
    other_values: Floats,
    start_ns: int,
    end_ns: int,
) -> list[tuple[int, str]]:
    """Return the first time at which two columns differ within (start_ns, end_ns], if any."""
    inside = (times > start_ns) & (times <= end_ns)
    theirs = (other_times > start_ns) & (other_times <= end_ns)
    times, values, other_values = times[inside], values[inside], other_values[theirs]
    count = min(len(values), len(other_values))
    mine, other = values[:count], other_values[:count]
    scale = np.maximum(np.abs(mine), np.abs(other))
    with np.errstate(invalid="ignore"):
        same = (np.abs(mine - other) <= _SAME * scale) | (np.isnan(mine) & np.isnan(other))
    if same.all():
        return []
    at = int(np.argmin(same))
    return [(int(times[at]), f"{name} ({mine[at]:g} and {other[at]:g})")]


def _closes(part: Series) -> Times:
    return part.close_ns if isinstance(part, Bars) else part.ts_ns


def _until(part: Series, cut_ns: int) -> Series:
    return part.rows(0, int(np.searchsorted(_closes(part), cut_ns, side="right")))


def _since(part: Series, start_ns: int) -> Series:
    return part.rows(int(np.searchsorted(_closes(part), start_ns)), len(part))


def _with_another_future(part: Series, cut_ns: int) -> Series:
    """Return the series with other prices after a time: twice those there were, shuffled.

    Whole rows move, and by whole multiples, so every price stays on its tick and every bar whole.
    """
    first = int(np.searchsorted(_closes(part), cut_ns, side="right"))
    order = np.arange(len(part))
    order[first:] = first + np.random.default_rng(first).permutation(len(part) - first)
    factor = np.where(np.arange(len(part)) < first, 1.0, 2.0)
    prices = {
        Bars: ("open", "high", "low", "close"),
        Quotes: ("bid", "ask"),
    }.get(type(part), ("price",))
    return replace(part, **{name: getattr(part, name)[order] * factor for name in prices})
