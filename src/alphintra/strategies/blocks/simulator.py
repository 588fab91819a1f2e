"""The simulator's compiled functions as the kernel calls them: by address.

What a kernel calls by name becomes a part of it, and the simulator is ten times as large as the
loop around it: it would be compiled twice, and again after every change of the loop.
"""

from collections.abc import Callable
from math import nan
from typing import Any, Final, NamedTuple

import numba
import numpy as np
from numba.core import types
from numpy.typing import NDArray

from alphintra.engine.compile import entry_of
from alphintra.engine.portfolio import Simulation, entries, run

_NO_ROWS: Final = np.zeros(0, np.int64)
_NO_WEIGHTS: Final = np.zeros(0)


class Calls(NamedTuple):
    """A simulation, and what can be asked of it; see `engine.portfolio.entries`."""

    address: int
    submit: Callable[..., int]
    cancel: Callable[..., int]
    next_stop: Callable[..., int]
    advance: Callable[..., None]
    go: Callable[..., int]
    #: The targets that `go` follows: none. Compiled code takes arrays for fixed that are globals.
    rows: NDArray[np.int64] = _NO_ROWS
    weights: NDArray[np.float64] = _NO_WEIGHTS


_functions: dict[str, Any] = {}


def calls_of(simulation: Simulation) -> Calls:
    """Return the calls; those of a simulation that has grown are others."""
    address = simulation._address
    if not _functions:
        _functions.update(
            submit=_by_address(entries.submit, address, 0, 0, 0, 0, nan, *(0,) * 12),
            cancel=_by_address(entries.cancel, address, 0),
            next_stop=_by_address(entries.next_stop, address, 0),
            advance=_by_address(entries.advance, address, 0),
            go=_by_address(run.go, address, 1, _NO_ROWS, _NO_WEIGHTS, _NO_ROWS, _NO_ROWS),
        )
    return Calls(address=address, **_functions)


def _by_address(function: Any, *examples: object) -> Any:
    """Return a compiled function, for arguments of the examples' types, as a value in kernels."""
    if not hasattr(function, "overloads"):
        return function  # plain Python
    entry_of(function, *examples)
    compiled = function.overloads[tuple(map(numba.typeof, examples))]
    return types.CompileResultWAP(compiled)
