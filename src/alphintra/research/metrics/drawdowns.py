"""The falls of an equity curve, one by one: from a peak to the moment it is reached again."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawdown:
    """One fall. Times are those of the curve; `recovery_ns` is None when it has not recovered."""

    peak_ns: int
    trough_ns: int
    recovery_ns: int | None
    depth: float  #: fraction ≤ 0
    amount: float  #: money ≤ 0
    duration_ns: int  #: from the peak to the recovery, or to the end
    recovery_duration_ns: int | None  #: from the trough to the recovery


def worst_drawdowns(
    ts_ns: NDArray[np.int64], equity: Floats, below: Floats, *, initial: float, count: int = 10
) -> list[Drawdown]:
    """Return the deepest falls, deepest first.

    Args:
        ts_ns: shape (N,), ascending.
        equity: shape (N,).
        below: shape (N,), its `underwater`.
        initial: the capital before the first moment; a fall from it begins at the first moment.
    """
    starts, ends = _stretches(below < 0.0)
    if not len(starts):
        return []
    # One pass for the depth of all stretches; only the few that are asked for are looked into.
    bounds = np.ravel(np.column_stack((starts, ends)))
    depths = np.minimum.reduceat(np.append(below, 0.0), bounds)[::2]
    deepest = np.argsort(depths, kind="stable")[:count]
    return [
        _drawdown(ts_ns, equity, below, int(starts[row]), int(ends[row]), initial)
        for row in deepest
    ]


def longest_drawdown_ns(ts_ns: NDArray[np.int64], below: Floats) -> int:
    """Return the longest time from a peak to its recovery, or to the end."""
    starts, ends = _stretches(below < 0.0)
    if not len(starts):
        return 0
    last = np.minimum(ends, len(ts_ns) - 1)
    return int(np.max(ts_ns[last] - ts_ns[np.maximum(starts - 1, 0)]))


def _stretches(under: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each run of True begins, and where it has ended."""
    edges = np.diff(under.view(np.int8), prepend=np.int8(0), append=np.int8(0))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def _drawdown(
    ts_ns: NDArray[np.int64], equity: Floats, below: Floats, start: int, end: int, initial: float
) -> Drawdown:
    peak = max(start - 1, 0)
    trough = start + int(np.argmin(below[start:end]))
    recovered = end < len(equity)
    last_ns = int(ts_ns[end if recovered else end - 1])
    # Before the first moment there is only the initial capital.
    height = max(float(equity[start - 1]), initial) if start else initial
    return Drawdown(
        peak_ns=int(ts_ns[peak]),
        trough_ns=int(ts_ns[trough]),
        recovery_ns=last_ns if recovered else None,
        depth=float(below[trough]),
        amount=float(equity[trough]) - height,
        duration_ns=last_ns - int(ts_ns[peak]),
        recovery_duration_ns=last_ns - int(ts_ns[trough]) if recovered else None,
    )
