"""What a trial is: the strategy with some parameters, over some stretch of the data, measured."""

import traceback
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from alphintra.engine.series import Bars, Series
from alphintra.indicators import Memory, remembering
from alphintra.research.backtest import Market, Watch, backtest_on, prepare
from alphintra.research.calendars import known_calendar
from alphintra.research.loading import AnyStrategy, Data, load_data
from alphintra.research.metrics import daily_returns
from alphintra.research.result import BacktestResult
from alphintra.research.search.compute import Cancelled
from alphintra.research.search.sweeping import AT_ONCE, FIGURES, Sweeper
from alphintra.research.search.trials import Measurement
from alphintra.sdk import Strategy, Vectorised
from alphintra.sdk.errors import RunCancelled
from alphintra.strategies.blocks import CompiledGraph

#: Nanoseconds that no data reaches.
BEGINNING: Final = -(2**63)
END: Final = 2**63 - 1
_ROWS_OF_WARM_UP: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One set of parameters over [start_ns, end_ns).

    Indicators see the data from `warm_from_ns` on; nothing is traded or measured before `start_ns`.
    """

    parameters: Mapping[str, Any]
    start_ns: int = BEGINNING
    end_ns: int = END
    warm_from_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """What a strategy raised, with the parameters and the place."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What all trials of a search have in common. Called with some runs, it measures them."""

    strategy: AnyStrategy
    series: tuple[Series, ...]
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)
    #: What is asked for of each trial; `None`: all there is.
    figures: frozenset[str] | None = None
    #: The stretch of data that was prepared last, and what came of it.
    _prepared: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        strategy: AnyStrategy,
        data: Data,
        *,
        start: Any = None,
        end: Any = None,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        figures: Collection[str] | None = None,
    ) -> "Experiment":
        """Load the data once for all trials.

        Raises:
            RangeEmpty and others: as `load_data`.
        """
        given = {"default_calendar": known_calendar(data), **(options or {})}
        series = load_data(data, start=start, end=end, symbols=given.pop("symbols", ()))
        found = cls(
            strategy=strategy,
            series=tuple(series),
            seed=seed,
            options=given,
            figures=None if figures is None else frozenset(figures),
        )
        found._market(BEGINNING, END)  # refused here, not in every trial; shared by all workers
        return found

    def __call__(self, runs: Sequence[Run], cancelled: Cancelled) -> list[Measurement | Failure]:
        if self.figures is not None and self.figures <= FIGURES:
            # In the stretches of a walk-forward a strategy has to wait: the long way knows how.
            market = self._market(BEGINNING, END)
            if Sweeper.can(self.strategy, market) and all(map(_is_whole, runs)):
                return self._swept(runs, cancelled)
        return [self.measure(run, cancelled) for run in runs]

    def _swept(self, runs: Sequence[Run], cancelled: Cancelled) -> list[Measurement | Failure]:
        """Measure whole runs the short way, a few at a time: each needs an array of weights."""
        assert isinstance(self.strategy, Vectorised)
        sweeper: Sweeper | None = self._prepared.get("sweeper")
        if sweeper is None:
            sweeper = Sweeper(self.strategy, self._market(BEGINNING, END))
            self._prepared["sweeper"] = sweeper
        found: dict[int, Measurement | Failure] = {}
        for first in range(0, len(runs), AT_ONCE):
            if cancelled():
                raise RunCancelled("the search was cancelled")
            weights = {}
            for place, run in enumerate(runs[first : first + AT_ONCE], first):
                try:
                    weights[place] = sweeper.weights(run.parameters)
                except Exception as error:
                    found[place] = Failure(f"{_shown(run.parameters)}: {_place(error)}")
            if weights:
                measurements = sweeper.measure(list(weights.values()))
                found.update(zip(weights, measurements, strict=True))
        return [found[place] for place in range(len(runs))]

    def warm_up(self) -> None:
        """Load or compile in this process what the first run needs, before workers are forked.

        Each of them would do it for itself otherwise. What goes wrong here goes wrong in the
        trials too, and is told there.
        """
        series = tuple(part.rows(0, _ROWS_OF_WARM_UP) for part in self.series)
        small = replace(self, series=series, _prepared={})
        with suppress(Exception):
            small([Run(parameters={})], lambda: False)

    def measure(self, run: Run, cancelled: Cancelled) -> Measurement | Failure:
        """Return how a run did, or how it failed.

        Raises:
            RunCancelled: `cancelled` said so.
        """
        try:
            return measured(self.result(run, cancelled))
        except RunCancelled:
            raise
        except Exception as error:
            return Failure(f"{_shown(run.parameters)}: {_place(error)}")

    def result(self, run: Run, cancelled: Cancelled | None = None) -> BacktestResult:
        """Return the whole result of a run.

        Raises:
            StrategyFailed and others: as `backtest`.
        """
        warm_from_ns = run.start_ns if run.warm_from_ns is None else run.warm_from_ns
        strategy = self.strategy
        if warm_from_ns < run.start_ns:
            strategy = waiting_until(strategy, run.start_ns)
        market = self._market(warm_from_ns, run.end_ns)
        with self._indicators_kept():
            found = backtest_on(
                strategy,
                market,
                parameters=run.parameters,
                seed=self.seed,
                watch=Watch(cancelled=cancelled),
            )
        return found if warm_from_ns == run.start_ns else since(found, run.start_ns)

    def _indicators_kept(self) -> AbstractContextManager[None]:
        """Compute no indicator of blocks twice; other strategies may change what they look at."""
        if not isinstance(self.strategy, CompiledGraph):
            return nullcontext()
        return remembering(self._prepared.setdefault("indicators", Memory()))

    def _market(self, start_ns: int, end_ns: int) -> Market:
        """Return the prepared data of a stretch; the last one is kept, as trials come in a row."""
        if self._prepared.get("stretch") != (start_ns, end_ns):
            series = self.series
            if (start_ns, end_ns) != (BEGINNING, END):
                series = tuple(part.between(start_ns, end_ns) for part in series)
            self._prepared["market"] = prepare(series, **self.options)
            self._prepared.pop("indicators", None)  # of other columns
            self._prepared["stretch"] = (start_ns, end_ns)
        found: Market = self._prepared["market"]
        return found


def _is_whole(run: Run) -> bool:
    return run.start_ns == BEGINNING and run.end_ns == END


def measured(result: BacktestResult) -> Measurement:
    """Return what a search keeps of a result."""
    days, returns, _ = daily_returns(result)
    metrics = {
        name: None if value is None else float(value)
        for name, value in result.metrics.items()
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    }
    return Measurement(metrics=metrics, days=days, returns=returns)


def since(result: BacktestResult, start_ns: int) -> BacktestResult:
    """Return a result without the moments before `start_ns`, at which nothing was held yet."""
    first = int(np.searchsorted(result.ts_ns, start_ns, side="right"))
    benchmark = result.benchmark[first:]
    if 0 < first < len(result.ts_ns):
        benchmark = benchmark * (result.initial_capital / result.benchmark[first - 1])
    return replace(
        result,
        ts_ns=result.ts_ns[first:],
        equity=result.equity[first:],
        cash=result.cash[first:],
        exposure=result.exposure[first:],
        benchmark=benchmark,
    )


def waiting_until(strategy: AnyStrategy, start_ns: int) -> AnyStrategy:
    """Return a strategy that does nothing before a moment, while its indicators warm up.

    What a strategy gathers in its hooks by itself begins at that moment. The bar that ends there is
    the first that it acts on, as its orders fill behind it.
    """
    start_ns -= 1  # a bar of a day ends just before the day that begins
    if isinstance(strategy, Vectorised):
        return replace(strategy, function=_waiting_function(strategy, start_ns))
    if isinstance(strategy, CompiledGraph):
        return replace(strategy, waits_until_ns=start_ns)
    owner = strategy if isinstance(strategy, type) else type(strategy)
    hooks = {
        name: _waiting_hook(getattr(owner, name), start_ns)
        for name in ("on_bar", "on_quote", "on_trade", "on_timer")
        if getattr(owner, name, None) is not getattr(Strategy, name, None)
    }
    waiting = type(owner.__name__, (owner,), hooks | {"__module__": owner.__module__})
    if isinstance(strategy, type):
        return waiting
    raise TypeError("a search takes a strategy class, not an instance with parameters chosen")


def _waiting_function(strategy: Vectorised, start_ns: int) -> Any:
    inner = strategy.function

    def only_after(bars: Bars, answer: Any) -> Any:
        weights = np.array(answer, dtype=np.float64)
        weights[bars.close_ns < start_ns] = np.nan
        return weights

    def function(bars: Any, **parameters: Any) -> Any:
        answer = inner(bars, **parameters)
        if isinstance(bars, Bars):
            return only_after(bars, answer)
        return {symbol: only_after(part, answer[symbol]) for symbol, part in bars.items()}

    function.__name__ = inner.__name__
    function.__module__ = inner.__module__
    return function


def _waiting_hook(hook: Any, start_ns: int) -> Any:
    def waiting(self: Any, *arguments: Any) -> Any:
        if self._host.feed.now_ns >= start_ns:
            return hook(self, *arguments)
        return None

    return waiting


def _shown(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in parameters.items()) or "defaults"


def _place(error: Exception) -> str:
    """Return what was raised; a problem names its place itself."""
    from alphintra.core.errors import Problem

    if isinstance(error, Problem):
        return error.detail
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}: {type(error).__name__}: {error}"
