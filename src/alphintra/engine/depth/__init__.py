"""Order books with depth as the market of a simulation: queue position, latency, walking levels.

docs/concepts/depth.md states its rules. `tape_of` checks a recording, `DepthSimulation` replays it
with orders of ours: stepped from Python, or with a strategy that Numba compiles. Importing this
package is cheap; the compiler is loaded with the first use of anything but `Depth`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alphintra.engine.depth import desk
    from alphintra.engine.depth.layout import RECORDED, Desk, Ladder, QueueModel, Status, Tape
    from alphintra.engine.depth.quoting import quote_with_skew
    from alphintra.engine.depth.series import Depth, DepthKind, DepthSide
    from alphintra.engine.depth.simulation import DepthSimulation, DepthTerms, Told
    from alphintra.engine.depth.tape import BadDepth, Repairs, tape_of

_HOMES = {
    "BadDepth": "tape",
    "Depth": "series",
    "DepthKind": "series",
    "DepthSide": "series",
    "DepthSimulation": "simulation",
    "DepthTerms": "simulation",
    "Desk": "layout",
    "Ladder": "layout",
    "QueueModel": "layout",
    "RECORDED": "layout",
    "Repairs": "tape",
    "Status": "layout",
    "Tape": "layout",
    "Told": "simulation",
    "quote_with_skew": "quoting",
    "tape_of": "tape",
}

__all__ = [
    "RECORDED",
    "BadDepth",
    "Depth",
    "DepthKind",
    "DepthSide",
    "DepthSimulation",
    "DepthTerms",
    "Desk",
    "Ladder",
    "QueueModel",
    "Repairs",
    "Status",
    "Tape",
    "Told",
    "desk",
    "quote_with_skew",
    "tape_of",
]


def __getattr__(name: str) -> object:
    """Load what is asked for (PEP 562)."""
    if name == "desk":
        return import_module("alphintra.engine.depth.desk")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
