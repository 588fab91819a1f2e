"""Figures over a window that moves along the days, compiled by NumPy, not by a loop."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def rolling_volatility(returns: Floats, window: int, periods_per_year: float) -> Floats:
    """Return the annualised deviation of the last `window` returns, shape (N - window + 1,)."""
    views = _windows(returns, window)
    deviations: Floats = np.std(views, axis=1, ddof=1)
    return deviations * float(np.sqrt(periods_per_year))


def rolling_sharpe(returns: Floats, window: int, periods_per_year: float) -> Floats:
    """Return the Sharpe ratio of the last `window` returns; NaN where they do not vary."""
    views = _windows(returns, window)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: Floats = views.mean(axis=1) / views.std(axis=1, ddof=1) * np.sqrt(periods_per_year)
    return np.where(np.isfinite(ratios), ratios, np.nan)


def rolling_sortino(returns: Floats, window: int, periods_per_year: float) -> Floats:
    """Return the Sortino ratio of the last `window` returns; NaN where none was negative."""
    views = _windows(returns, window)
    risk = np.sqrt(np.mean(np.square(np.minimum(views, 0.0)), axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: Floats = views.mean(axis=1) / risk * np.sqrt(periods_per_year)
    return np.where(np.isfinite(ratios), ratios, np.nan)


def rolling_beta(returns: Floats, benchmark: Floats, window: int) -> Floats:
    """Return the beta over the last `window` periods; NaN where the benchmark does not vary."""
    mine, theirs = _windows(returns, window), _windows(benchmark, window)
    centred = theirs - theirs.mean(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes: Floats = np.mean(centred * mine, axis=1) / np.mean(np.square(centred), axis=1)
    return np.where(np.isfinite(slopes), slopes, np.nan)


def _windows(values: Floats, window: int) -> Floats:
    if len(values) < window:
        return np.empty((0, max(window, 1)))
    return np.lib.stride_tricks.sliding_window_view(values, window)
