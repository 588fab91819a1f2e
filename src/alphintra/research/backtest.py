"""Run a strategy over recorded data: the one way, whoever asks."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import numpy as np

from alphintra.engine import SOURCE_DIGEST
from alphintra.engine.portfolio import (
    AccountTerms,
    Costs,
    RowKind,
    Simulation,
    SymbolTerms,
    Tape,
    tape_of,
    tick_size_of,
)
from alphintra.engine.series import Bars, CorporateActions, Floats, Quotes, Series
from alphintra.research.assembly import Outcome, assembled, prices_of
from alphintra.research.calendars import CalendarOf, known_calendar, with_sessions
from alphintra.research.loading import (
    AnyStrategy,
    Data,
    When,
    dataset_reference,
    find_gaps,
    load_data,
    load_strategy,
    strategy_form,
    strategy_name,
    strategy_sha256,
)
from alphintra.research.result import BacktestResult, DatasetReference, Manifest, Warning_
from alphintra.sdk import Strategy, Vectorised, parameters_of
from alphintra.sdk.feed import Feed
from alphintra.sdk.parameters import Value, resolved
from alphintra.sdk.randomness import seeded
from alphintra.sdk.running import Session
from alphintra.strategies.blocks import CompiledGraph

#: The finest step that prices are rounded to when no coarser one fits all of them.
_FINEST_TICK: Final = 1e-8

CostsOf = Costs | float | Mapping[str, Costs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Prepared data: what all runs over the same series share."""

    series: tuple[Series, ...]
    terms: tuple[SymbolTerms, ...]
    account: AccountTerms
    tape: Tape
    references: tuple[DatasetReference, ...]
    warnings: tuple[Warning_, ...] = ()

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, in the order of their first series."""
        return self.tape.symbols

    @property
    def bars(self) -> dict[str, Bars]:
        """The bars by symbol."""
        return {part.symbol: part for part in self.series if isinstance(part, Bars)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How a run is looked after while it goes on."""

    progress: Callable[[float], None] | None = None
    cancelled: Callable[[], bool] | None = None
    time_limit_s: float | None = None


def backtest(
    strategy: AnyStrategy | str,
    data: Data,
    *,
    cash: float = 100_000.0,
    costs: CostsOf = 0.0,
    parameters: Mapping[str, object] | None = None,
    start: When | None = None,
    end: When | None = None,
    symbols: Sequence[str] = (),
    account: AccountTerms | None = None,
    terms: Mapping[str, SymbolTerms] | None = None,
    actions: Sequence[CorporateActions] = (),
    calendar: CalendarOf | None = None,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    time_limit_s: float | None = None,
    max_gap_ns: int | None = None,
    trades_only: bool = False,
) -> BacktestResult:
    """Run a strategy over data and return what came of it.

    Orders fill from the event after the one at which they were given: at the open of the next bar,
    the other side of the next quote. docs/concepts/fills.md has the rules.

    Args:
        strategy: a class, an instance with its parameters chosen, a vectorised function, a file,
            or a name of the library.
        data: series or files, each of one symbol.
        cash: the money at the start, in the account's base currency.
        costs: a fee rate (0.001 is 0.1 % of each fill's value), a cost model, or one by symbol.
        parameters: in place of the strategy's defaults.
        start, end: the range of the data, [start, end); an end that is a date includes that day.
        symbols: names for the series, see `load_data`.
        account: leverage, short selling, latency …; its cash is replaced by `cash`.
        terms: of symbols whose tick, lot, margin … is not derived: without terms the tick is the
            coarsest power of ten that all prices are multiples of, and the lot is one unit.
        actions: splits, dividends, delistings.
        calendar: whose sessions day orders end with, and whose auctions OPG and CLS orders wait
            for: an exchange's code ("XNYS"), "ALWAYS", or the sessions themselves, shape (n, 2)
            in nanoseconds; one for all symbols, or one by symbol. The demo data has its own.
        seed: of the strategy's random numbers, and of Python's and NumPy's own meanwhile.
        progress: called now and then with the share that is done.
        cancelled: asked now and then; true ends the run.
        time_limit_s: wall time after which the run is ended.
        max_gap_ns: refuse bars with a longer hole than this.
        trades_only: keep the equity at the start and the end only.

    Raises:
        StrategyNotFound, StrategyRefused, ParameterRefused, StrategyFailed, StrategyOutOfTime,
        RunCancelled, RangeEmpty, GapTooLong, BadSeries, BadPortfolioTerms, UnknownCalendar: as they
            say.
    """
    with seeded(seed):  # the text of a file may draw random numbers too
        loaded = load_strategy(strategy)
    chosen = _parameters(loaded, parameters or {})
    market = prepare(
        load_data(data, start=start, end=end, symbols=symbols),
        cash=cash, costs=costs, account=account, terms=terms, actions=actions,
        max_gap_ns=max_gap_ns, calendar=calendar, default_calendar=known_calendar(data),
    )  # fmt: skip
    watch = Watch(progress=progress, cancelled=cancelled, time_limit_s=time_limit_s)
    return backtest_on(
        loaded, market, parameters=chosen, seed=seed, watch=watch, trades_only=trades_only
    )


def backtest_on(
    strategy: AnyStrategy,
    market: Market,
    *,
    parameters: Mapping[str, object] | None = None,
    seed: int = 0,
    watch: Watch | None = None,
    trades_only: bool = False,
) -> BacktestResult:
    """Run a loaded strategy over prepared data, as a search does many times; see `backtest`."""
    began = time.perf_counter()
    loaded = strategy
    chosen = _parameters(loaded, parameters or {})
    outcome = run(loaded, market, chosen, seed=seed, watch=watch)
    manifest = Manifest(
        strategy=strategy_name(loaded),
        strategy_sha256=strategy_sha256(loaded),
        parameters=chosen,
        datasets=market.references,
        engine_version=_version(),
        engine_digest=SOURCE_DIGEST,
        account=asdict(replace(market.account, fx=dict(market.account.fx))),
        costs={one.symbol: asdict(one.costs) for one in market.terms},
        seed=seed,
        created_at=datetime.now(UTC),
        duration_s=time.perf_counter() - began,
        assumptions=tuple(_assumptions(market)),
        form=strategy_form(loaded),
    )
    return assembled(outcome, market, manifest, trades_only=trades_only)


def evaluate(
    strategy: AnyStrategy | str,
    data: Data,
    parameter_sets: Iterable[Mapping[str, object]],
    *,
    cash: float = 100_000.0,
    costs: CostsOf = 0.0,
    seed: int = 0,
    figures: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the figures of a strategy for each set of parameters, in their order, in this process.

    The data is read and prepared once. `research.search` does the same on all cores, with
    progress, and counts the trials.

    Args:
        strategy, data, cash, costs, seed: as `backtest` takes them.
        figures: the names of those that are wanted; `None`: all. A vectorised strategy of one
            symbol is run many times faster when they are among `search.sweeping.FIGURES`: they are
            those of a whole backtest, of which nothing else is kept.

    Raises:
        KeyError: there is no figure of that name. Otherwise as `backtest` does.
    """
    loaded = load_strategy(strategy)
    market = prepare(load_data(data), cash=cash, costs=costs)
    if figures is not None:
        from alphintra.research.search.sweeping import FIGURES, Sweeper  # it builds on this module

        known = FIGURES.issuperset(figures) and Sweeper.can(loaded, market)
        if known and isinstance(loaded, Vectorised):
            swept = Sweeper(loaded, market).run(parameter_sets)
            return [{name: one.metrics[name] for name in figures} for one in swept]
    found = (
        backtest_on(loaded, market, parameters=chosen, seed=seed).metrics
        for chosen in parameter_sets
    )
    return [one if figures is None else {name: one[name] for name in figures} for one in found]


def prepare(
    series: Sequence[Series],
    *,
    cash: float = 100_000.0,
    costs: CostsOf = 0.0,
    account: AccountTerms | None = None,
    terms: Mapping[str, SymbolTerms] | None = None,
    actions: Sequence[CorporateActions] = (),
    max_gap_ns: int | None = None,
    calendar: CalendarOf | None = None,
    default_calendar: CalendarOf | None = None,
) -> Market:
    """Turn series into what runs share: terms and one tape in ticks and lots; see `backtest`.

    `default_calendar` stands in for a `calendar` that is not given, and is read when it is needed.
    """
    warnings = find_gaps(series, max_gap_ns=max_gap_ns)
    symbols = dict.fromkeys(part.symbol for part in series)
    given = terms or {}
    chosen = tuple(
        given[symbol] if symbol in given else _derived(symbol, series, costs) for symbol in symbols
    )
    for one in chosen:
        if one.symbol not in given and one.tick_size <= _FINEST_TICK:
            warnings.append(
                Warning_(
                    code="prices_rounded",
                    message=f"{one.symbol}: prices are no multiples of a tick of eight decimals "
                    "or fewer, and were rounded to eight",
                )
            )
    if calendar is None:
        chosen = with_sessions(chosen, series, default_calendar, lazily=True)
    else:
        chosen = with_sessions(chosen, series, calendar)
    account = account or AccountTerms()
    return Market(
        series=tuple(series),
        terms=chosen,
        account=replace(account, cash={account.base: float(cash)}),
        tape=tape_of(series, chosen, actions),
        references=tuple(dataset_reference(part) for part in series),
        warnings=tuple(warnings),
    )


def run(
    strategy: AnyStrategy,
    market: Market,
    parameters: Mapping[str, Value],
    *,
    seed: int = 0,
    watch: Watch | None = None,
) -> Outcome:
    """Run a loaded strategy over a prepared market, to the end: positions are closed there."""
    watch = watch or Watch()
    if isinstance(strategy, Vectorised):
        simulation = Simulation(market.tape, market.terms, market.account)
        with seeded(seed):
            weights = strategy.weights(market.bars, parameters)
        simulation.run_targets(targets_of(market, weights))
        simulation.finish(prices=last_prices(market))
        if watch.progress is not None:
            watch.progress(1.0)
        return Outcome(simulation=simulation)
    if isinstance(strategy, CompiledGraph):
        simulation = Simulation(market.tape, market.terms, market.account)
        too_small = strategy.run(
            simulation, feed_of(market), parameters,
            progress=watch.progress, cancelled=watch.cancelled, time_limit_s=watch.time_limit_s,
        )  # fmt: skip
        simulation.finish(prices=last_prices(market))
        return Outcome(simulation=simulation, tags=strategy.tags, too_small=too_small)
    simulation, session = play(strategy, market, parameters, seed=seed, watch=watch)
    simulation.finish(prices=last_prices(market))
    return Outcome(
        simulation=simulation,
        tags=tuple(session.tags),
        logs=tuple(session.logs),
        too_small=session.too_small,
    )


def play(
    strategy: type[Strategy] | Strategy,
    market: Market,
    parameters: Mapping[str, Value],
    *,
    seed: int = 0,
    watch: Watch | None = None,
) -> tuple[Simulation, Session]:
    """Run a strategy's hooks over all of a market; what is open then stays open."""
    watch = watch or Watch()
    owner = strategy if isinstance(strategy, type) else type(strategy)
    simulation = Simulation(market.tape, market.terms, market.account)
    feed = feed_of(market)
    with seeded(seed):
        session = Session(
            owner(**parameters), feed, simulation, market.terms,
            seed=seed, progress=watch.progress, cancelled=watch.cancelled,
            time_limit_s=watch.time_limit_s,
        )  # fmt: skip
        session.run()
    return simulation, session


def feed_of(market: Market) -> Feed:
    """Return the columns behind what a strategy sees of a market."""
    tape = market.tape
    return Feed(
        market.symbols,
        market.series,
        row_symbol=tape.symbol,
        row_kind=tape.kind,
        close_ns=tape.close_ns,
        open_ns=tape.open_ns,
    )


def targets_of(market: Market, weights: Mapping[str, Floats]) -> Floats:
    """Spread target weights by symbol over the rows of a tape, shape (rows,); NaN elsewhere."""
    tape = market.tape
    if len(weights) == 1 and len(tape) == len(next(iter(weights.values()))):
        return next(iter(weights.values()))
    targets = np.full(len(tape), np.nan)
    for number, symbol in enumerate(market.symbols):
        if symbol in weights:
            targets[(tape.symbol == number) & (tape.kind == RowKind.BAR)] = weights[symbol]
    return targets


def last_prices(market: Market) -> Floats:
    """Return where positions that are open at the end are closed, shape (symbols,).

    That is the open of the last bar: the last price at which an order can fill that is given when
    a bar has closed. Without bars it is the middle of the last quote, or the last print.
    """
    found = []
    for symbol in market.symbols:
        parts = [part for part in market.series if part.symbol == symbol]
        part = next((one for one in parts if isinstance(one, Bars)), parts[0])
        if isinstance(part, Bars):
            found.append(part.open[-1])
        else:
            found.append(prices_of(parts)[1][-1])
    return np.array(found)


def _parameters(strategy: AnyStrategy, given: Mapping[str, object]) -> dict[str, Value]:
    declared = parameters_of(strategy)
    chosen = dict(given)
    if isinstance(strategy, Strategy):
        chosen = {name: getattr(strategy, name) for name in declared} | chosen
    return resolved(declared, chosen, strategy=strategy_name(strategy))


def _derived(symbol: str, series: Sequence[Series], costs: CostsOf) -> SymbolTerms:
    prices = [column for part in series if part.symbol == symbol for column in _prices(part)]
    model = costs.get(symbol, Costs()) if isinstance(costs, Mapping) else costs
    return SymbolTerms(
        symbol=symbol,
        tick_size=min(tick_size_of(column) for column in prices),
        costs=model if isinstance(model, Costs) else Costs(rate=float(model)),
    )


def _prices(part: Series) -> list[Floats]:
    if isinstance(part, Bars):
        return [part.open, part.high, part.low, part.close]
    return [part.bid, part.ask] if isinstance(part, Quotes) else [part.price]


def _assumptions(market: Market) -> Iterator[str]:
    yield "A decision at the close of an event is filled from the next event on."
    yield "Within a bar the price goes from the open to the nearer extreme, the other, the close."
    for one in market.terms:
        fills = "not limited by volume" if one.unlimited_volume else "limited by volume"
        yield (
            f"{one.symbol}: prices in steps of {one.tick_size:g}, quantities of {one.lot_size:g}; "
            f"fills are {fills}."
        )
    yield "Orders of the run do not move the market."
    yield (
        "Positions that are open at the end are closed at the open of the last bar (without bars, "
        "at the last price), at the usual costs."
    )


@cache
def _version() -> str:
    from importlib.metadata import version

    return version("alphintra")
