"""What happens when the parameters are a little off: whether the best stands on a plateau."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alphintra.research.loading import AnyStrategy, Data, load_strategy, strategy_name
from alphintra.research.search.compute import Cancelled, open_pool
from alphintra.research.search.errors import SearchRefused
from alphintra.research.search.experiment import Experiment, Failure, Run
from alphintra.research.search.montecarlo import Distribution, distribution
from alphintra.research.search.progress import Report, Reporter
from alphintra.sdk import Parameter, parameters_of
from alphintra.sdk.errors import ParameterRefused
from alphintra.sdk.parameters import Value, resolved

_DRAWS_MOST = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Jitter:
    """Figures over neighbours of some parameters; `observed` is what the parameters themselves did.

    `failures` are neighbours in which the strategy raised.
    """

    parameters: Mapping[str, Value]
    share: float
    seed: int
    figures: Mapping[str, Distribution]
    failures: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "parameters": dict(self.parameters),
            "share": self.share,
            "seed": self.seed,
            "figures": {name: figure.to_dict() for name, figure in self.figures.items()},
            "failures": list(self.failures),
        }


def parameter_jitter(
    strategy: AnyStrategy | str | Path,
    data: Data,
    *,
    parameters: Mapping[str, Any] | None = None,
    share: float = 0.1,
    paths: int = 100,
    metrics: tuple[str, ...] = ("sharpe_ratio", "total_return", "max_drawdown"),
    seed: int = 0,
    start: Any = None,
    end: Any = None,
    compute: str | None = None,
    progress: Report | None = None,
    cancelled: Cancelled | None = None,
    **options: Any,
) -> Jitter:
    """Run a strategy with its numbers changed at random, each by up to a share of itself.

    Args:
        parameters: around which; the defaults for those that are not given.
        share: 0.1 changes 50 to between 45 and 55; a whole number by at least 1.
        paths: how many neighbours.
        options: further arguments of `backtest`, such as `cash` and `costs`.

    Raises:
        SearchRefused: no number to change, an argument out of range, an unknown figure.
        RunCancelled: `cancelled` said so.
    """
    loaded = load_strategy(strategy)
    declared = parameters_of(loaded)
    centre = resolved(declared, parameters or {}, strategy=strategy_name(loaded))
    moved = [name for name, value in centre.items() if _is_number(value, declared[name])]
    if not moved:
        raise SearchRefused("the strategy has no number among its parameters to change")
    if not 0 < share < 1 or not 1 <= paths <= 1_000_000:
        raise SearchRefused("share is between 0 and 1, paths from 1 to 1,000,000")
    generator = np.random.default_rng(seed)
    sets = [centre] + [_neighbour(centre, moved, declared, share, generator) for _ in range(paths)]
    experiment = Experiment.of(loaded, data, start=start, end=end, seed=seed, options=options)
    reporter = Reporter(progress, len(sets))
    results: dict[int, Any] = {}
    with open_pool(experiment, compute=compute) as pool:
        for place, found in pool.run([[Run(parameters=one)] for one in sets], cancelled or _never):
            results[place] = found[0]
            reporter.advance()
    own = results.pop(0)
    if isinstance(own, Failure):
        raise SearchRefused(f"the parameters themselves fail: {own.text}")
    measured = [r for _, r in sorted(results.items()) if not isinstance(r, Failure)]
    figures = {}
    for name in metrics:
        if name not in own.metrics:
            raise SearchRefused(f"there is no figure {name}")
        values = [one.metrics[name] for one in measured if one.metrics[name] is not None]
        if values:
            at = own.metrics[name]
            figures[name] = distribution(np.array(values), np.nan if at is None else at)
    failures = tuple(r.text for _, r in sorted(results.items()) if isinstance(r, Failure))
    return Jitter(parameters=centre, share=share, seed=seed, figures=figures, failures=failures)


def _is_number(value: Value, parameter: Parameter) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not parameter.choices


def _neighbour(
    centre: Mapping[str, Value],
    moved: list[str],
    declared: Mapping[str, Parameter],
    share: float,
    generator: np.random.Generator,
) -> dict[str, Value]:
    """Return parameters near others, within what the strategy allows."""
    found = dict(centre)
    for name in moved:
        value = centre[name]
        assert isinstance(value, int | float)
        reach = abs(value) * share
        for _ in range(_DRAWS_MOST):
            if isinstance(value, int):
                whole = max(1, round(reach))
                drawn: Value = value + int(generator.integers(-whole, whole + 1))
            else:
                drawn = float(value + generator.uniform(-reach, reach))
            try:
                found[name] = declared[name].accepted(drawn)
                break
            except ParameterRefused:
                continue
    return found


def _never() -> bool:
    return False
