"""Long series made short enough for a page, without losing what the eye looks for."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.series import Bars

Floats = NDArray[np.float64]

#: Rows of a line, candles of one symbol, that a page carries.
MAX_POINTS: Final = 4_000
MAX_CANDLES: Final = 12_000


def rows_to_keep(*lines: Floats, limit: int = MAX_POINTS) -> NDArray[np.int64]:
    """Return the rows that show the lines as all rows would: ends and extremes of each stretch.

    Args:
        lines: shape (N,) each, over the same times.
        limit: at most about so many rows.
    """
    length = len(lines[0])
    if length <= limit:
        return np.arange(length)
    stretches = max(limit // (2 * len(lines) + 1), 1)
    edges = np.linspace(0, length, stretches + 1).astype(np.int64)
    kept = [edges[:-1], np.array([length - 1])]
    for line in lines:
        for sign in (1.0, -1.0):
            signed = np.where(np.isnan(line), np.inf, line * sign)
            kept.append(_argmin_of_each(signed, edges))
    return np.unique(np.concatenate(kept))


@dataclass(frozen=True, slots=True)
class Candles:
    """Neighbouring bars put together; `length_ns` is how long the last one lasts."""

    open_ns: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    length_ns: int
    bars_in_one: int


def candles_of(bars: Bars, *, limit: int = MAX_CANDLES) -> Candles:
    """Return at most `limit` candles over all bars."""
    group = max(-(-len(bars) // limit), 1)
    starts = np.arange(0, len(bars), group)
    ends = np.minimum(starts + group, len(bars)) - 1
    return Candles(
        open_ns=bars.open_ns[starts],
        open=bars.open[starts],
        high=np.maximum.reduceat(bars.high, starts) if len(bars) else bars.high,
        low=np.minimum.reduceat(bars.low, starts) if len(bars) else bars.low,
        close=bars.close[ends],
        length_ns=bars.length_ns * group,
        bars_in_one=group,
    )


def _argmin_of_each(line: Floats, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the row of the smallest value of each stretch between two edges."""
    width = int(np.max(np.diff(edges)))
    padded = np.full((len(edges) - 1, width), np.inf)
    offsets = np.arange(width)
    lengths = np.diff(edges)
    inside = offsets < lengths[:, None]
    padded[inside] = line
    rows: NDArray[np.int64] = edges[:-1] + np.argmin(padded, axis=1)
    return rows
