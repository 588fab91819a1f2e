"""Figures of one series of returns: growth, risk, and the ratios between them.

Everywhere `returns` is an array of simple returns per period as fractions (0.01 is 1 %), oldest
first. NaN is "no observation". What is undefined is NaN; a ratio to a risk of zero is infinite.
The definitions are those of the empyrical library, which most tools share, so that figures can be
compared.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Less than this part of the mean is rounding: a flat series can have a deviation of 1e-17.
_ROUNDING = 1e-13


def simple_returns(prices: Floats) -> Floats:
    """Return `prices[1:] / prices[:-1] - 1`; a price of zero makes the next return infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        returns: Floats = prices[1:] / prices[:-1] - 1.0
    return returns


def cumulative_returns(returns: Floats, starting_value: float = 0.0) -> Floats:
    """Return the compounded growth after each period.

    Args:
        starting_value: 0 for the cumulative return as a fraction; otherwise what the money is worth
            that was this much at first.
    """
    growth = np.cumprod(1.0 + np.nan_to_num(returns, nan=0.0), dtype=np.float64)
    return growth * starting_value if starting_value else growth - 1.0


def total_return(returns: Floats, starting_value: float = 0.0) -> float:
    """Return the last of `cumulative_returns`; NaN for no returns."""
    if not len(returns):
        return np.nan
    growth = float(np.prod(1.0 + np.nan_to_num(returns, nan=0.0)))
    return growth * starting_value if starting_value else growth - 1.0


def annual_return(returns: Floats, periods_per_year: float) -> float:
    """Return the compound annual growth rate, with `len(returns) / periods_per_year` years."""
    if not len(returns):
        return np.nan
    growth = 1.0 + total_return(returns)
    if growth < 0.0:
        return np.nan  # more than everything was lost: no rate compounds to that
    with np.errstate(over="ignore"):
        return float(np.float64(growth) ** (periods_per_year / len(returns)) - 1.0)


def annual_volatility(returns: Floats, periods_per_year: float) -> float:
    """Return the standard deviation (n - 1) of the returns, times the root of the year."""
    return _deviation(returns[~np.isnan(returns)]) * float(np.sqrt(periods_per_year))


def sharpe_ratio(
    returns: Floats, periods_per_year: float, risk_free: float | Floats = 0.0
) -> float:
    """Return mean over standard deviation (n - 1) of the excess returns, annualised.

    Args:
        risk_free: per period, not per year; one number or one per return.

    Source:
        W. F. Sharpe, "The Sharpe Ratio", Journal of Portfolio Management 21(1), 1994.
    """
    excess = returns - risk_free
    excess = excess[~np.isnan(excess)]
    if len(excess) < 2:
        return np.nan
    return _ratio(float(np.mean(excess)), _deviation(excess)) * float(np.sqrt(periods_per_year))


def downside_risk(
    returns: Floats, periods_per_year: float, required_return: float | Floats = 0.0
) -> float:
    """Return the root mean square of what fell short of the required return, annualised."""
    short = np.minimum(returns - required_return, 0.0)
    short = short[~np.isnan(short)]
    if not len(short):
        return np.nan
    return float(np.sqrt(np.mean(np.square(short)) * periods_per_year))


def sortino_ratio(
    returns: Floats, periods_per_year: float, required_return: float | Floats = 0.0
) -> float:
    """Return the annual mean excess return over the downside risk.

    Source:
        F. A. Sortino and L. N. Price, "Performance Measurement in a Downside Risk Framework",
        Journal of Investing 3(3), 1994.
    """
    excess = returns - required_return
    excess = excess[~np.isnan(excess)]
    if len(returns) < 2 or not len(excess):
        return np.nan
    risk = downside_risk(returns, periods_per_year, required_return)
    return _ratio(float(np.mean(excess)) * periods_per_year, risk)


def drawdown_series(returns: Floats) -> Floats:
    """Return after each period how far the value is below its highest so far, as a fraction ≤ 0."""
    return underwater(cumulative_returns(returns, 1.0), initial=1.0)


def underwater(values: Floats, initial: float | None = None) -> Floats:
    """Return how far each value is below the highest so far, as a fraction ≤ 0.

    Args:
        initial: a value before the first one, such as the capital at the start.
    """
    peaks = np.maximum.accumulate(values)
    if initial is not None:
        peaks = np.maximum(peaks, initial)
    with np.errstate(divide="ignore", invalid="ignore"):
        below: Floats = values / peaks - 1.0
    return below


def largest_fall(values: Floats, initial: float) -> float:
    """Return the most that a value was below the highest so far, as an amount ≤ 0."""
    if not len(values):
        return 0.0
    return float(np.min(values - np.maximum(np.maximum.accumulate(values), initial)))


def max_drawdown(returns: Floats) -> float:
    """Return the deepest fall from a peak as a fraction ≤ 0; NaN for no returns."""
    if not len(returns):
        return np.nan
    return float(np.min(drawdown_series(returns)))


def calmar_ratio(returns: Floats, periods_per_year: float) -> float:
    """Return the annual return over the deepest drawdown; NaN when there was no drawdown."""
    deepest = max_drawdown(returns)
    if not deepest < 0.0:
        return np.nan
    ratio = annual_return(returns, periods_per_year) / -deepest
    return ratio if np.isfinite(ratio) else np.nan


def omega_ratio(
    returns: Floats,
    periods_per_year: float,
    risk_free: float | Floats = 0.0,
    required_return: float = 0.0,
) -> float:
    """Return what was gained above a threshold over what was lost below it.

    Args:
        risk_free: per period.
        required_return: per year; its equal per period is the threshold.

    Source:
        C. Keating and W. F. Shadwick, "A Universal Performance Measure", 2002.
    """
    if len(returns) < 2 or required_return <= -1.0:
        return np.nan
    threshold = (1.0 + required_return) ** (1.0 / periods_per_year) - 1.0
    above = returns - risk_free - threshold
    gained = float(np.sum(above, where=above > 0.0))
    lost = -float(np.sum(above, where=above < 0.0))
    return gained / lost if lost > 0.0 else np.nan


def tail_ratio(returns: Floats) -> float:
    """Return the 95th percentile over the 5th, both without sign: gains against losses."""
    known = returns[~np.isnan(returns)]
    if not len(known):
        return np.nan
    high, low = np.abs(np.percentile(known, (95.0, 5.0)))
    return _ratio(float(high), float(low))


def stability(returns: Floats) -> float:
    """Return R² of a straight line through the cumulative log returns: 1 is steady growth."""
    known = returns[~np.isnan(returns)]
    if len(known) < 2 or np.any(known <= -1.0):
        return np.nan
    line = np.cumsum(np.log1p(known))
    time = np.arange(len(line), dtype=np.float64)
    time -= time.mean()
    line -= line.mean()
    spread = float(time @ time) * float(line @ line)
    return float(time @ line) ** 2 / spread if spread > 0.0 else np.nan


def skewness(returns: Floats) -> float:
    """Return the third standardised moment (population); 0 for a normal distribution."""
    return _moment(returns, 3)


def kurtosis(returns: Floats) -> float:
    """Return the fourth standardised moment (population), not in excess: 3 for a normal one."""
    return _moment(returns, 4)


def value_at_risk(returns: Floats, level: float = 0.05) -> float:
    """Return the `level` quantile of the returns: in that part of all periods it was worse."""
    known = returns[~np.isnan(returns)]
    return float(np.quantile(known, level)) if len(known) else np.nan


def conditional_value_at_risk(returns: Floats, level: float = 0.05) -> float:
    """Return the mean of the worst `level` of the returns, at least of one."""
    known = returns[~np.isnan(returns)]
    if not len(known):
        return np.nan
    count = max(int(len(known) * level), 1)
    return float(np.mean(np.partition(known, count - 1)[:count]))


def ulcer_index(drawdowns: Floats) -> float:
    """Return the root mean square of the drawdowns: how deep and how long it hurt.

    Source:
        P. G. Martin and B. McCann, "The Investor's Guide to Fidelity Funds", 1989.
    """
    return float(np.sqrt(np.mean(np.square(drawdowns)))) if len(drawdowns) else np.nan


def _deviation(values: Floats) -> float:
    if len(values) < 2:
        return np.nan
    deviation = float(np.std(values, ddof=1))
    return deviation if deviation > _ROUNDING * abs(float(np.mean(values))) else 0.0


def _moment(returns: Floats, power: int) -> float:
    known = returns[~np.isnan(returns)]
    if len(known) < power or _deviation(known) == 0.0:
        return np.nan
    centred = known - known.mean()
    squares = np.square(centred)
    moment = np.mean(squares * (centred if power == 3 else squares))
    return float(moment / np.mean(squares) ** (power / 2))


def _ratio(value: float, risk: float) -> float:
    """Return value / risk; without risk, infinity of the value's sign, and 0 / 0 is NaN."""
    if risk == 0.0:
        return np.nan if value == 0.0 or np.isnan(value) else float(np.copysign(np.inf, value))
    return value / risk
