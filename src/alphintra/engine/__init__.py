"""The market simulator: what happens to open orders when the market moves. Exact and repeatable.

It is the only one in the product: backtests call `steps` from compiled code or `MarketSimulator`
from Python, the paper venue calls `MarketSimulator`. docs/concepts/fills.md states its rules.

Importing this package is cheap; the compiler is loaded with the first use of `MarketSimulator`,
`SOURCE_DIGEST`, `compiled`, `steps` or `warm_up`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alphintra.engine import steps
    from alphintra.engine.compile import SOURCE_DIGEST, compiled
    from alphintra.engine.layout import (
        BPS,
        FAR,
        MAGNITUDE_LIMIT,
        NEVER_NS,
        NO_HANDLE,
        NO_PRICE,
        UNKNOWN_SIZE,
        Book,
        Event,
        EventKind,
        Kind,
        Lifetime,
        Outcome,
        Reason,
        Side,
        grown,
        new_book,
    )
    from alphintra.engine.simulator import MarketSimulator, warm_up

_HOMES = {
    "MarketSimulator": "simulator",
    "warm_up": "simulator",
    "SOURCE_DIGEST": "compile",
    "compiled": "compile",
}

__all__ = [
    "BPS",
    "FAR",
    "MAGNITUDE_LIMIT",
    "NEVER_NS",
    "NO_HANDLE",
    "NO_PRICE",
    "SOURCE_DIGEST",
    "UNKNOWN_SIZE",
    "Book",
    "Event",
    "EventKind",
    "Kind",
    "Lifetime",
    "MarketSimulator",
    "Outcome",
    "Reason",
    "Side",
    "compiled",
    "grown",
    "new_book",
    "steps",
    "warm_up",
]


def __getattr__(name: str) -> object:
    """Load what is asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "steps":
        return import_module("alphintra.engine.steps")
    value: object = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'layout')}"), name)
    globals()[name] = value
    return value
