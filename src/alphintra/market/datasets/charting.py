"""Series reduced to what a screen can show: no more points than it has pixels."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.series import Bars, Floats, Quotes, Series, Times

POINTS_MAX: Final = 4_000
POINTS_MIN: Final = 3


def candles(bars: Bars, points: int) -> Bars:
    """Return at most `points` candles; each stands for as many neighbours, none of them lost."""
    if len(bars) <= points:
        return bars
    firsts = np.linspace(0, len(bars), points + 1).astype(np.int64)[:-1]
    lasts = np.append(firsts[1:], len(bars)) - 1
    known = ~np.isnan(bars.volume)
    volume = np.add.reduceat(np.where(known, bars.volume, 0.0), firsts)
    return Bars(
        bars.symbol,
        bars.open_ns[firsts],
        bars.close_ns[lasts],
        bars.open[firsts],
        np.maximum.reduceat(bars.high, firsts),
        np.minimum.reduceat(bars.low, firsts),
        bars.close[lasts],
        np.where(np.logical_or.reduceat(known, firsts), volume, np.nan),
    )


def line(series: Series, points: int) -> tuple[Times, Floats]:
    """Return at most `points` of the price (close, mid or print), so that the line looks the same.

    Source:
        S. Steinarsson, "Downsampling Time Series for Visual Representation", 2013: largest triangle
        three buckets.
    """
    times, values = _price(series)
    if len(times) <= points:
        return times, values
    kept = _largest_triangles(times.astype(np.float64), values, points)
    return times[kept], values[kept]


def _price(series: Series) -> tuple[Times, Floats]:
    if isinstance(series, Bars):
        return series.open_ns, series.close
    if isinstance(series, Quotes):
        mid = (series.bid + series.ask) / 2
        two_sided = ~np.isnan(mid)
        return series.ts_ns[two_sided], mid[two_sided]
    return series.ts_ns, series.price


def _largest_triangles(x: Floats, y: Floats, points: int) -> NDArray[np.int64]:
    edges = np.linspace(1, len(x) - 1, points - 1).astype(np.int64)
    kept = np.zeros(points, dtype=np.int64)
    kept[-1] = len(x) - 1
    for bucket in range(points - 2):
        first, last = edges[bucket], edges[bucket + 1]
        end = edges[bucket + 2] if bucket + 2 < len(edges) else len(x)
        next_x, next_y = x[last:end].mean(), y[last:end].mean()
        before = kept[bucket]
        areas = np.abs(
            (x[before] - next_x) * (y[first:last] - y[before])
            - (x[before] - x[first:last]) * (next_y - y[before])
        )
        kept[bucket + 1] = first + np.argmax(areas)
    return kept
