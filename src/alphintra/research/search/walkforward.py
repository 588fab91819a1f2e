"""Walk-forward: search in one stretch of time, trade in the next, and so on to the end.

What is stitched together traded only with what was known before: it is the honest equity curve of
the habit of searching again and again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.series import Bars, Series
from alphintra.research.loading import AnyStrategy, Data, load_data, load_strategy, strategy_name
from alphintra.research.metrics import (
    annual_return,
    annual_volatility,
    day_ends,
    max_drawdown,
    periods_per_year,
    sharpe_ratio,
    simple_returns,
    total_return,
)
from alphintra.research.metrics.calendar import DAY_NS
from alphintra.research.result import BacktestResult, iso
from alphintra.research.search.compute import Cancelled
from alphintra.research.search.errors import SearchRefused
from alphintra.research.search.experiment import Experiment, Run
from alphintra.research.search.optimisation import Search, optimise
from alphintra.research.search.progress import Progress, Report
from alphintra.research.search.trials import Objective
from alphintra.sdk.errors import RunCancelled

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

_WINDOWS_MOST: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One step: search in [train_ns, train_end_ns), trade in [test_ns, test_end_ns)."""

    train_ns: int
    train_end_ns: int
    test_ns: int
    test_end_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What came of one window. `result` is the run out of sample; `None` when no trial counted."""

    window: Window
    search: Search
    result: BacktestResult | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        best = self.search.best
        metric = self.search.objectives[0].metric
        return {
            "train_start": iso(self.window.train_ns),
            "train_end": iso(self.window.train_end_ns),
            "test_start": iso(self.window.test_ns),
            "test_end": iso(self.window.test_end_ns),
            "trials": len(self.search.trials),
            "parameters": dict(best.parameters) if best else None,
            "objective": metric,
            "in_sample": best.metrics.get(metric) if best else None,
            "out_of_sample": self.result.metrics.get(metric) if self.result else None,
            "in_sample_return": best.metrics.get("cagr") if best else None,
            "out_of_sample_return": self.result.metrics.get("cagr") if self.result else None,
            "total_trades": self.result.metrics.get("total_trades") if self.result else 0,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkForward:
    """The steps, and their runs out of sample as one curve that reinvests.

    `efficiency` is the yearly return out of sample as a share of the one in sample: near 1 when
    what is found holds, near 0 or below when it does not; `None` when in sample nothing was earned.
    """

    strategy: str
    anchored: bool
    objective: Objective
    steps: tuple[Step, ...]
    initial_capital: float
    ts_ns: Times
    equity: Floats
    metrics: Mapping[str, float | None]
    efficiency: float | None
    trials_counted: int

    def to_dict(self, *, series: bool = True) -> dict[str, Any]:
        """Return plain values for JSON."""
        document: dict[str, Any] = {
            "strategy": self.strategy,
            "anchored": self.anchored,
            "objective": self.objective.metric,
            "initial_capital": self.initial_capital,
            "final_capital": float(self.equity[-1]) if len(self.equity) else self.initial_capital,
            "metrics": dict(self.metrics),
            "efficiency": self.efficiency,
            "trials_counted": self.trials_counted,
            "windows": [step.to_dict() for step in self.steps],
        }
        if series:
            document["equity_curve"] = {
                "ts_ns": self.ts_ns.tolist(),
                "equity": self.equity.tolist(),
            }
        return document

    def report(self, path: Path | str) -> Path:
        """Write a page (.html) or all values (.json)."""
        from alphintra.research.search.page import write_walk_forward

        return write_walk_forward(self, path)

    def _repr_html_(self) -> str:
        from alphintra.sdk.notebook import table_html

        rows: list[tuple[str, object]] = [*self.metrics.items(), ("efficiency", self.efficiency)]
        return table_html(f"{self.strategy}, out of sample", rows)


def walk_forward(
    strategy: AnyStrategy | str | Path,
    data: Data,
    *,
    train_days: float,
    test_days: float,
    anchored: bool = False,
    embargo_days: float = 0.0,
    warm_up_days: float | None = None,
    objective: str = "sharpe_ratio",
    cash: float = 100_000.0,
    start: Any = None,
    end: Any = None,
    seed: int = 0,
    progress: Report | None = None,
    cancelled: Cancelled | None = None,
    **options: Any,
) -> WalkForward:
    """Search in sample and trade out of sample, window after window.

    Args:
        train_days, test_days: length of the stretches, in days of the calendar. The windows move
            on by `test_days`; the last one may be shorter.
        anchored: every training begins at the beginning instead of moving along.
        embargo_days: left out between training and test, for positions that are still open there.
        warm_up_days: data before a stretch that indicators see and nothing is traded on; `None`:
            all there is.
        objective: what the search is for; one figure.
        options: further arguments of `optimise` (method, search, trials, rules, compute …) and of
            `backtest` (costs …).

    Each stretch begins flat, with `cash`; out of sample the growth of the stretches is multiplied.

    Raises:
        SearchRefused: the data is shorter than one window.
        RunCancelled: `cancelled` said so; nothing is returned.
        ParameterRefused, TrialsFailed and others: as `optimise` and `backtest`.
    """
    loaded = load_strategy(strategy)
    series = load_data(data, start=start, end=end, symbols=options.pop("symbols", ()))
    windows = windows_of(
        *_span(series),
        train_days=train_days,
        test_days=test_days,
        anchored=anchored,
        embargo_days=embargo_days,
    )
    searching, running = _separated(options)
    experiment = Experiment.of(loaded, series, seed=seed, options=running | {"cash": cash})
    warm_ns = None if warm_up_days is None else int(warm_up_days * DAY_NS)
    asked = cancelled or (lambda: False)
    steps = []
    for number, window in enumerate(windows):
        found = optimise(
            loaded,
            series,
            window=(window.train_ns, window.train_end_ns, _warm_from(window.train_ns, warm_ns)),
            objective=objective,
            seed=seed,
            cash=cash,
            progress=_told(progress, number, len(windows)),
            cancelled=asked,
            **searching,
            **running,
        )
        if not found.complete:
            raise RunCancelled("the walk-forward was cancelled")
        result = None
        if found.best is not None:
            run = Run(
                parameters=found.best.parameters,
                start_ns=window.test_ns,
                end_ns=window.test_end_ns,
                warm_from_ns=_warm_from(window.test_ns, warm_ns),
            )
            result = experiment.result(run, asked)
        steps.append(Step(window=window, search=found, result=result))
    return _stitched(steps, strategy_name(loaded), anchored, Objective.parse(objective), cash)


def windows_of(
    begin_ns: int,
    end_ns: int,
    *,
    train_days: float,
    test_days: float,
    anchored: bool = False,
    embargo_days: float = 0.0,
) -> list[Window]:
    """Return the windows of [begin_ns, end_ns).

    Raises:
        SearchRefused: a length is not positive, there is no room for one window, or too many.
    """
    if not (train_days > 0 and test_days > 0 and embargo_days >= 0):
        raise SearchRefused("training and test take some days, the embargo none or some")
    train_ns, test_ns = int(train_days * DAY_NS), int(test_days * DAY_NS)
    embargo_ns = int(embargo_days * DAY_NS)
    found = []
    test_begin_ns = begin_ns + train_ns + embargo_ns
    while test_begin_ns < end_ns:
        train_end_ns = test_begin_ns - embargo_ns
        found.append(
            Window(
                train_ns=begin_ns if anchored else train_end_ns - train_ns,
                train_end_ns=train_end_ns,
                test_ns=test_begin_ns,
                test_end_ns=min(test_begin_ns + test_ns, end_ns),
            )
        )
        test_begin_ns += test_ns
    if not found:
        days = (end_ns - begin_ns) / DAY_NS
        raise SearchRefused(
            f"{days:.0f} days of data have no room for {train_days:g} days of training"
        )
    if len(found) > _WINDOWS_MOST:
        raise SearchRefused(f"{len(found)} windows are more than {_WINDOWS_MOST}")
    return found


def _stitched(
    steps: Sequence[Step], strategy: str, anchored: bool, objective: Objective, cash: float
) -> WalkForward:
    capital = cash
    times: list[Times] = []
    curves: list[Floats] = []
    for step in steps:
        if step.result is None or not len(step.result.ts_ns):
            continue
        times.append(step.result.ts_ns)
        curves.append(step.result.equity * (capital / step.result.initial_capital))
        capital = float(curves[-1][-1])
    ts_ns = np.concatenate(times) if times else np.empty(0, np.int64)
    equity = np.concatenate(curves) if curves else np.empty(0)
    return WalkForward(
        strategy=strategy,
        anchored=anchored,
        objective=objective,
        steps=tuple(steps),
        initial_capital=cash,
        ts_ns=ts_ns,
        equity=equity,
        metrics=_figures(ts_ns, equity, cash, steps),
        efficiency=_efficiency(steps),
        trials_counted=sum(step.search.trials.counted for step in steps),
    )


def _figures(
    ts_ns: Times, equity: Floats, cash: float, steps: Sequence[Step]
) -> dict[str, float | None]:
    days, rows = day_ends(ts_ns)
    returns = simple_returns(np.concatenate(([cash], equity[rows])))
    per_year = periods_per_year(days)
    figures = {
        "total_return": total_return(returns),
        "cagr": annual_return(returns, per_year),
        "volatility": annual_volatility(returns, per_year),
        "sharpe_ratio": sharpe_ratio(returns, per_year),
        "max_drawdown": max_drawdown(returns),
    }
    known: dict[str, float | None] = {
        name: float(value) if np.isfinite(value) else None for name, value in figures.items()
    }
    trades = [step.result.metrics.get("total_trades") or 0 for step in steps if step.result]
    profitable = [step for step in steps if step.result and step.result.final_capital > cash]
    return known | {
        "total_trades": float(sum(trades)),
        "windows": float(len(steps)),
        "profitable_windows": len(profitable) / len(steps),
    }


def _efficiency(steps: Sequence[Step]) -> float | None:
    pairs = [
        (step.search.best.metrics.get("cagr"), step.result.metrics.get("cagr"))
        for step in steps
        if step.search.best is not None and step.result is not None
    ]
    known = [(inside, outside) for inside, outside in pairs if None not in (inside, outside)]
    inside = sum(pair[0] or 0.0 for pair in known)
    if inside <= 0.0:
        return None
    return sum(pair[1] or 0.0 for pair in known) / inside


def _span(series: Sequence[Series]) -> tuple[int, int]:
    """Return the time from the first row to behind the last."""
    firsts = [int((p.open_ns if isinstance(p, Bars) else p.ts_ns)[0]) for p in series]
    lasts = [int(p.close_ns[-1] if isinstance(p, Bars) else p.ts_ns[-1] + 1) for p in series]
    return min(firsts), max(lasts)


def _warm_from(start_ns: int, warm_ns: int | None) -> int:
    return -(2**63) if warm_ns is None else start_ns - warm_ns


#: Arguments of `optimise` that are not handed on to `backtest`.
_OF_SEARCH: Final = frozenset(
    {"search", "parameters", "method", "trials", "rules", "minimum_trades", "compute"}
)


def _separated(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    return (
        {name: value for name, value in options.items() if name in _OF_SEARCH},
        {name: value for name, value in options.items() if name not in _OF_SEARCH},
    )


def _told(report: Report | None, number: int, windows: int) -> Report | None:
    """Return what counts the trials of one window as those of all: the windows are alike."""
    if report is None:
        return None

    def tell(progress: Progress) -> None:
        done = number * progress.total + progress.done
        total = windows * progress.total
        report(
            Progress(
                done=done,
                total=total,
                elapsed_s=progress.elapsed_s,
                remaining_s=None
                if not progress.done
                else progress.elapsed_s / progress.done * (total - done),
                best=progress.best,
            )
        )

    return tell
