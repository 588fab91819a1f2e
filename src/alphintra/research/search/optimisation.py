"""The search itself: ask for parameters, measure them, keep every trial, judge the best."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from alphintra.research.loading import (
    AnyStrategy,
    Data,
    load_strategy,
    strategy_form,
    strategy_name,
)
from alphintra.research.metrics import periods_per_year
from alphintra.research.search.compute import Cancelled, Pool, open_pool
from alphintra.research.search.credibility import Credibility, assess
from alphintra.research.search.errors import SearchRefused, TrialsFailed
from alphintra.research.search.experiment import BEGINNING, END, Experiment, Failure, Run
from alphintra.research.search.expressions import Rule
from alphintra.research.search.progress import Report, Reporter
from alphintra.research.search.sampling import Sampler, make_sampler
from alphintra.research.search.space import Parameters, Space, space_of
from alphintra.research.search.trials import Measurement, Objective, Trial, Trials
from alphintra.sdk import parameters_of
from alphintra.sdk.errors import RunCancelled

#: When so many trials have failed and none has worked, the rest would fail too.
_FAILURES_MOST: Final = 20
#: Chunks a worker gets in a round: more of them balance better, fewer cost less.
_CHUNKS_PER_WORKER: Final = 8
_CHUNK_MOST: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What a search found. `complete` is false when it was cancelled before its end."""

    strategy: str
    form: str  #: how it ran: "python", "vectorised", "compiled"
    method: str
    objectives: tuple[Objective, ...]
    space: Space
    trials: Trials
    best: Trial | None
    credibility: Credibility
    seed: int
    duration_s: float
    complete: bool

    @property
    def front(self) -> list[Trial]:
        """With several objectives: the trials that no other beats in all of them."""
        return self.trials.front(self.objectives)

    def ranked(self, count: int | None = None) -> list[Trial]:
        """Return the best trials first; those that do not count come last."""
        first = self.objectives[0]
        order = sorted(self.trials, key=lambda trial: (-first.score(trial), trial.number))
        return order[:count]

    def to_dict(self, *, trials: bool = True) -> dict[str, Any]:
        """Return plain values for JSON."""
        document: dict[str, Any] = {
            "strategy": self.strategy,
            "form": self.form,
            "method": self.method,
            "objectives": [
                {"metric": objective.metric, "maximise": objective.maximise}
                for objective in self.objectives
            ],
            "seed": self.seed,
            "duration_s": self.duration_s,
            "complete": self.complete,
            "total_trials": len(self.trials),
            "best": self.best.to_dict() if self.best else None,
            "credibility": self.credibility.to_dict(),
        }
        if len(self.objectives) > 1:
            document["front"] = [trial.to_dict() for trial in self.front]
        if trials:
            document["trials"] = [trial.to_dict() for trial in self.trials]
        return document

    def report(self, path: Path | str) -> Path:
        """Write a page with the heat map and the trials (.html), or all values (.json)."""
        from alphintra.research.search.page import write_search

        return write_search(self, path)

    def page(self) -> str:
        """Return the page of the report."""
        from alphintra.research.search.page import search_page

        return search_page(self)

    def _repr_html_(self) -> str:
        from alphintra.sdk.notebook import table_html

        told = self.credibility
        rows: list[tuple[str, object]] = [("trials", told.trials_counted)]
        if self.best is not None:
            rows += [(name, self.best.parameters[name]) for name in self.space.searched]
            rows += [(o.metric, self.best.metrics[o.metric]) for o in self.objectives]
        rows += [
            ("deflated Sharpe ratio (probability of skill)", told.deflated_sharpe_ratio),
            ("probability of overfitting", told.probability_of_overfitting),
        ]
        return table_html(
            f"Best of a search of {self.strategy}", rows, notes=[w.message for w in told.warnings]
        )


def optimise(
    strategy: AnyStrategy | str | Path,
    data: Data,
    *,
    search: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    method: str = "grid",
    objective: str | Sequence[str] = "sharpe_ratio",
    trials: int | None = None,
    rules: Sequence[str] = (),
    minimum_trades: int = 0,
    seed: int = 0,
    start: Any = None,
    end: Any = None,
    window: tuple[int, int, int] | None = None,
    storage: str | None = None,
    study: str | None = None,
    compute: str | None = None,
    progress: Report | None = None,
    cancelled: Cancelled | None = None,
    **options: Any,
) -> Search:
    """Search for the parameters of a strategy, and say how far the best can be believed.

    Args:
        strategy, data, start, end: as `backtest` takes them.
        search: what to search, see `space_of`; `None`: all declared ranges.
        parameters: values of the others.
        method: grid, random, tpe, cmaes or nsga2.
        objective: a figure of `BacktestResult.metrics`; "-name" makes it small. Several: the best
            is by the first, `front` has the trade-offs.
        trials: how many at most; needed by all methods but the grid (100).
        rules: conditions on parameters ("fast < slow"), which are never tried otherwise, and on
            figures ("max_drawdown > -0.3"), without which a trial does not count.
        minimum_trades: trials with fewer trades do not count.
        seed: the same seed gives the same trials, on one core and on many.
        window: `(start_ns, end_ns, warm_from_ns)`: trade in [start, end) only, with indicators that
            see the data from `warm_from_ns` on.
        storage, study: an Optuna storage and the name of the study that goes on there.
        compute: where, see `ALPHINTRA_COMPUTE`.
        progress: is told how far it is, and how long it will take.
        cancelled: is asked now and then; then what was done so far is returned, not `complete`.
        options: further arguments of `backtest`, such as `cash` and `costs`.

    Raises:
        SearchRefused, ParameterRefused: the search cannot be made as asked for.
        TrialsFailed: the strategy raised in every trial.
    """
    began_s = time.monotonic()
    loaded = load_strategy(strategy)
    objectives = _objectives(objective)
    parameter_rules, figure_rules = _rules_by_kind(loaded, rules)
    space = space_of(loaded, search=search, fixed=parameters, rules=parameter_rules)
    sampler = make_sampler(
        method,
        space,
        trials=trials,
        objectives=objectives,
        seed=seed,
        storage=storage,
        study=study,
    )
    figures = {one.metric for one in objectives} | {"total_trades"}
    figures |= {name for text in figure_rules for name in Rule(text).names}
    experiment = Experiment.of(
        loaded, data, start=start, end=end, seed=seed, options=options, figures=figures
    )
    conditions = _Conditions(tuple(Rule(text) for text in figure_rules), minimum_trades)
    with open_pool(experiment, compute=compute) as pool:
        course = _Course(pool, window, objectives, conditions, cancelled or _never)
        done, complete = course.run(sampler, progress)
    found = Trials(tuple(done), earlier=sampler.earlier)
    best = found.best(objectives[0])
    days, _ = found.returns_matrix()
    return Search(
        strategy=strategy_name(loaded),
        form=strategy_form(loaded),
        method=method,
        objectives=objectives,
        space=space,
        trials=found,
        best=best,
        credibility=assess(found, best, periods_per_year=periods_per_year(days)),
        seed=seed,
        duration_s=time.monotonic() - began_s,
        complete=complete,
    )


@dataclass(frozen=True, slots=True)
class _Conditions:
    """What a trial has to be besides good."""

    rules: tuple[Rule, ...]
    minimum_trades: int

    def met(self, measured: Measurement) -> bool:
        trades = measured.metrics.get("total_trades") or 0
        return trades >= self.minimum_trades and all(
            rule.holds(measured.metrics) for rule in self.rules
        )


def _objectives(given: str | Sequence[str]) -> tuple[Objective, ...]:
    names = [given] if isinstance(given, str) else list(given)
    if not names:
        raise SearchRefused("a search needs an objective, such as sharpe_ratio")
    return tuple(Objective.parse(name) for name in names)


def _rules_by_kind(strategy: object, rules: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the rules on parameters and those on figures."""
    declared = set(parameters_of(strategy))
    parsed = [Rule(text) for text in rules]
    for rule in parsed:
        if rule.names & declared and rule.names - declared:
            raise SearchRefused(f"the rule {rule.text!r} mixes parameters and figures")
    return (
        [rule.text for rule in parsed if rule.names <= declared],
        [rule.text for rule in parsed if not rule.names <= declared],
    )


@dataclass(frozen=True, slots=True)
class _Course:
    """What stays the same from round to round."""

    pool: Pool
    window: tuple[int, int, int] | None
    objectives: Sequence[Objective]
    conditions: _Conditions
    cancelled: Cancelled

    def run(self, sampler: Sampler, progress: Report | None) -> tuple[list[Trial], bool]:
        """Return all trials, and whether it came to its end."""
        reporter = Reporter(progress, sampler.total, maximise=self.objectives[0].maximise)
        trials: list[Trial] = []
        known: dict[tuple[tuple[str, Any], ...], Measurement | Failure] = {}
        while asked := sampler.ask():
            fresh = [parameters for parameters in asked if _key(parameters) not in known]
            complete = False
            with suppress(RunCancelled):
                for position, result in self._measured(fresh):
                    known[_key(fresh[position])] = result
                    reporter.advance(figure=self._score(result))
                complete = True
            reporter.advance(len(asked) - len(fresh))
            done = [parameters for parameters in asked if _key(parameters) in known]
            made = [
                _trial(len(trials) + offset, parameters, known[_key(parameters)], self.conditions)
                for offset, parameters in enumerate(done)
            ]
            trials += made
            if not complete:
                return trials, False
            sampler.tell(made)
            _refuse_when_all_failed(trials, at_least=_FAILURES_MOST)
        _refuse_when_all_failed(trials, at_least=1)
        return trials, True

    def _measured(
        self, parameters: Sequence[Parameters]
    ) -> Iterator[tuple[int, Measurement | Failure]]:
        """Yield `(position, result)` for each of the parameters."""
        size = -(-len(parameters) // (self.pool.workers * _CHUNKS_PER_WORKER))
        size = max(1, min(size, _CHUNK_MOST))
        start_ns, end_ns, warm_from_ns = self.window or (BEGINNING, END, None)
        runs = [
            Run(parameters=one, start_ns=start_ns, end_ns=end_ns, warm_from_ns=warm_from_ns)
            for one in parameters
        ]
        chunks = [runs[first : first + size] for first in range(0, len(runs), size)]
        for chunk, results in self.pool.run(chunks, self.cancelled):
            for offset, result in enumerate(results):
                yield chunk * size + offset, result

    def _score(self, result: Measurement | Failure) -> float | None:
        """Return the figure of a result that counts, as people know it."""
        if isinstance(result, Failure) or not self.conditions.met(result):
            return None
        return result.metrics.get(self.objectives[0].metric)


def _trial(
    number: int,
    parameters: Parameters,
    result: Measurement | Failure,
    conditions: _Conditions,
) -> Trial:
    if isinstance(result, Failure):
        return Trial(number=number, parameters=parameters, failure=result.text, feasible=False)
    return Trial(
        number=number,
        parameters=parameters,
        metrics=result.metrics,
        days=result.days,
        returns=result.returns,
        feasible=conditions.met(result),
    )


def _refuse_when_all_failed(trials: Sequence[Trial], *, at_least: int) -> None:
    if len(trials) < at_least or any(trial.failure is None for trial in trials):
        return
    first = trials[0]
    raise TrialsFailed(
        f"all of {len(trials)} trials failed; the first: {first.failure}",
        parameters=dict(first.parameters),
    )


def _key(parameters: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(parameters.items()))


def _never() -> bool:
    return False
