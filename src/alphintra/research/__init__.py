"""Research: backtests, search, statistics and reports.

Importing this package is cheap; what is asked for is loaded with its first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alphintra.research.apart import laboratory
    from alphintra.research.dry_runs import DRY_RUN
    from alphintra.research.jobs import tasks
    from alphintra.research.result import BacktestResult, Manifest
    from alphintra.research.routes import router

_HOMES = {
    "BacktestResult": "result",
    "DRY_RUN": "dry_runs",
    "Manifest": "result",
    "laboratory": "apart",
    "router": "routes",
    "tasks": "jobs",
}

__all__ = ["DRY_RUN", "BacktestResult", "Manifest", "laboratory", "router", "tasks"]


def __getattr__(name: str) -> object:
    """Load what is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
