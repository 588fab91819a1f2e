"""Many symbols in one account: the market simulator with money, margin and corporate actions.

    tape = tape_of([bars], [terms])
    simulation = Simulation(tape, [terms], AccountTerms(cash={"USD": 100_000}))
    simulation.run_targets(targets)        # compiled
    simulation.finish()
    simulation.outcome().equity

or stepped: `submit`, `next_stop`, `advance`, `process`, `news`. docs/concepts/fills.md and costs.md
state its rules. Importing this package is cheap; the compiler is loaded with `Simulation`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alphintra.engine.portfolio.outcome import TRIP
    from alphintra.engine.portfolio.records import (
        JOURNAL,
        NO_ORDER,
        TICKET,
        Cause,
        Status,
        What,
    )
    from alphintra.engine.portfolio.sessions import Sessions
    from alphintra.engine.portfolio.simulation import FILL, Outcome, Simulation
    from alphintra.engine.portfolio.sweep import SWEPT, Sweep, can_sweep
    from alphintra.engine.portfolio.tape import RowKind, Tape, tape_of, tick_size_of
    from alphintra.engine.portfolio.terms import (
        AccountTerms,
        BadTerms,
        Costs,
        NoAuction,
        SymbolTerms,
    )

_HOMES = {
    "TRIP": "outcome",
    "JOURNAL": "records",
    "NO_ORDER": "records",
    "TICKET": "records",
    "Cause": "records",
    "Status": "records",
    "What": "records",
    "Sessions": "sessions",
    "FILL": "simulation",
    "Outcome": "simulation",
    "Simulation": "simulation",
    "SWEPT": "sweep",
    "Sweep": "sweep",
    "can_sweep": "sweep",
    "RowKind": "tape",
    "Tape": "tape",
    "tape_of": "tape",
    "tick_size_of": "tape",
    "AccountTerms": "terms",
    "BadTerms": "terms",
    "Costs": "terms",
    "NoAuction": "terms",
    "SymbolTerms": "terms",
}

__all__ = [
    "FILL",
    "JOURNAL",
    "NO_ORDER",
    "SWEPT",
    "TICKET",
    "TRIP",
    "AccountTerms",
    "BadTerms",
    "Cause",
    "Costs",
    "NoAuction",
    "Outcome",
    "RowKind",
    "Sessions",
    "Simulation",
    "Status",
    "Sweep",
    "SymbolTerms",
    "Tape",
    "What",
    "can_sweep",
    "tape_of",
    "tick_size_of",
]


def __getattr__(name: str) -> object:
    """Load what is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
