"""Figures of a series of returns against a benchmark's, as in `returns`, period by period.

Both arrays have one entry per period, of the same periods. A period that lacks one of the two
counts for neither, but in the capture ratios, which annualise by the number of periods there are.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from alphintra.research.metrics.returns import annual_return, sharpe_ratio

Floats = NDArray[np.float64]

#: A benchmark that varies less does not vary: there is nothing to lean on.
_LEAST_VARIANCE: Final = 1e-30


def beta(returns: Floats, benchmark: Floats, risk_free: float = 0.0) -> float:
    """Return the slope of the returns over the benchmark's; NaN for a flat benchmark."""
    mine, theirs = _known(returns - risk_free, benchmark - risk_free)
    if len(mine) < 2:
        return np.nan
    centred = theirs - theirs.mean()
    variance = float(np.mean(np.square(centred)))
    if variance < _LEAST_VARIANCE:
        return np.nan
    return float(np.mean(centred * (mine - mine.mean()))) / variance


def alpha(
    returns: Floats, benchmark: Floats, periods_per_year: float, risk_free: float = 0.0
) -> float:
    """Return what the returns add to `beta` times the benchmark, compounded to a year.

    Source:
        M. C. Jensen, "The Performance of Mutual Funds in the Period 1945-1964", Journal of Finance
        23(2), 1968.
    """
    mine, theirs = _known(returns - risk_free, benchmark - risk_free)
    slope = beta(returns, benchmark, risk_free)
    if len(mine) < 2 or np.isnan(slope):
        return np.nan
    excess = float(np.mean(mine - slope * theirs))
    if excess <= -1.0:
        return np.nan
    with np.errstate(over="ignore"):
        return float(np.float64(1.0 + excess) ** periods_per_year - 1.0)


def r_squared(returns: Floats, benchmark: Floats) -> float:
    """Return the part of the variance that the benchmark explains, 0 to 1."""
    mine, theirs = _known(returns, benchmark)
    if len(mine) < 2:
        return np.nan
    mine, theirs = mine - mine.mean(), theirs - theirs.mean()
    spread = float(mine @ mine) * float(theirs @ theirs)
    return float(mine @ theirs) ** 2 / spread if spread > 0.0 else np.nan


def information_ratio(returns: Floats, benchmark: Floats, periods_per_year: float) -> float:
    """Return the Sharpe ratio of what the returns are above the benchmark's."""
    ratio = sharpe_ratio(returns, periods_per_year, benchmark)
    return ratio if np.isfinite(ratio) else np.nan


def tracking_error(returns: Floats, benchmark: Floats, periods_per_year: float) -> float:
    """Return the standard deviation (n - 1) of the difference to the benchmark, annualised."""
    mine, theirs = _known(returns, benchmark)
    if len(mine) < 2:
        return np.nan
    return float(np.std(mine - theirs, ddof=1) * np.sqrt(periods_per_year))


def capture(returns: Floats, benchmark: Floats, periods_per_year: float) -> float:
    """Return the annual return over the benchmark's annual return."""
    theirs = annual_return(benchmark, periods_per_year)
    if not len(returns) or np.isnan(theirs) or theirs == 0.0:
        return np.nan
    return annual_return(returns, periods_per_year) / theirs


def up_capture(returns: Floats, benchmark: Floats, periods_per_year: float) -> float:
    """Return `capture` over the periods in which the benchmark rose."""
    rose = benchmark > 0.0
    return capture(returns[rose], benchmark[rose], periods_per_year)


def down_capture(returns: Floats, benchmark: Floats, periods_per_year: float) -> float:
    """Return `capture` over the periods in which the benchmark fell."""
    fell = benchmark < 0.0
    return capture(returns[fell], benchmark[fell], periods_per_year)


def _known(returns: Floats, benchmark: Floats) -> tuple[Floats, Floats]:
    known = ~(np.isnan(returns) | np.isnan(benchmark))
    return returns[known], benchmark[known]
