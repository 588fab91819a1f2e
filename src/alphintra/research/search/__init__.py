"""Search: which parameters, how sure, and what else could have happened.

    from alphintra.research.search import optimise, walk_forward, monte_carlo

Every trial is counted, and the best never comes without what the statistics say of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alphintra.research.search.credibility import Credibility
    from alphintra.research.search.folds import CombinatorialPurgedKFold, PurgedKFold, Split
    from alphintra.research.search.heatmap import HeatMap, heat_map
    from alphintra.research.search.jitter import Jitter, parameter_jitter
    from alphintra.research.search.montecarlo import MonteCarlo, monte_carlo
    from alphintra.research.search.optimisation import Search, optimise
    from alphintra.research.search.progress import Progress
    from alphintra.research.search.trials import Trial, Trials
    from alphintra.research.search.validation import CrossValidation, cross_validate
    from alphintra.research.search.walkforward import WalkForward, walk_forward

_HOMES = {
    "CombinatorialPurgedKFold": "folds",
    "Credibility": "credibility",
    "CrossValidation": "validation",
    "HeatMap": "heatmap",
    "Jitter": "jitter",
    "MonteCarlo": "montecarlo",
    "Progress": "progress",
    "PurgedKFold": "folds",
    "Search": "optimisation",
    "Split": "folds",
    "Trial": "trials",
    "Trials": "trials",
    "WalkForward": "walkforward",
    "cross_validate": "validation",
    "heat_map": "heatmap",
    "monte_carlo": "montecarlo",
    "optimise": "optimisation",
    "parameter_jitter": "jitter",
    "walk_forward": "walkforward",
}

__all__ = [
    "CombinatorialPurgedKFold",
    "Credibility",
    "CrossValidation",
    "HeatMap",
    "Jitter",
    "MonteCarlo",
    "Progress",
    "PurgedKFold",
    "Search",
    "Split",
    "Trial",
    "Trials",
    "WalkForward",
    "cross_validate",
    "heat_map",
    "monte_carlo",
    "optimise",
    "parameter_jitter",
    "walk_forward",
]


def __getattr__(name: str) -> object:
    """Load what is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
