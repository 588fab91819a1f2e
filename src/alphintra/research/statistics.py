"""Luck or skill: how far a backtest's figures can be believed.

Sharpe ratios here are per period, not annualised, unless a name says so: the formulas count
observations, and a year is none. All functions take arrays of simple returns, oldest first.
"""

from dataclasses import dataclass
from itertools import combinations
from math import e, exp, lgamma, log, log1p, sqrt
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_NORMAL: Final = NormalDist()
_EULER_MASCHERONI: Final = 0.5772156649015329

#: CSCV looks at every way to choose half of the blocks: 12,870 ways of 16.
_MAX_BLOCKS: Final = 20

#: Splits times trials that are looked at in one go: what keeps thousands of trials in memory.
_MAX_CELLS: Final = 2_000_000

#: Samples of the bootstrap that are one matrix product.
_SAMPLES_AT_ONCE: Final = 64


def probabilistic_sharpe_ratio(returns: Floats, benchmark_sharpe: float = 0.0) -> float:
    """Return the probability that the true Sharpe ratio is above a benchmark's.

    Args:
        benchmark_sharpe: per period, as everything here.

    Returns:
        0 to 1; NaN for fewer than 3 returns or none that differ.

    Source:
        D. H. Bailey and M. López de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk
        15(2), 2012.
    """
    shape = shape_of(returns)
    if shape is None:
        return np.nan
    return sharpe_confidence(shape, benchmark_sharpe)


def deflated_sharpe_ratio(returns: Floats, *, trials: int, variance_of_sharpes: float) -> float:
    """Return the probability that the best of many trials has a true Sharpe ratio above 0.

    Args:
        returns: of the trial that was selected, shape (T,).
        trials: how many independent trials were made, this one included.
        variance_of_sharpes: variance of the trials' Sharpe ratios, per period.

    Source:
        D. H. Bailey and M. López de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio
        Management 40(5), 2014.
    """
    return probabilistic_sharpe_ratio(
        returns, expected_maximum_sharpe(trials=trials, variance_of_sharpes=variance_of_sharpes)
    )


def expected_maximum_sharpe(*, trials: int, variance_of_sharpes: float) -> float:
    """Return the highest Sharpe ratio that so many trials without any skill are expected to show.

    Per period, as the variance is.

    Raises:
        ValueError: fewer than one trial, or a negative variance.
    """
    if trials < 1:
        raise ValueError(f"there must be at least one trial, not {trials}")
    if not variance_of_sharpes >= 0.0:
        raise ValueError(f"a variance is not negative: {variance_of_sharpes}")
    if trials == 1:
        return 0.0
    # The expected maximum of a sample from a normal distribution, by extreme value theory.
    highest = (1.0 - _EULER_MASCHERONI) * _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    highest += _EULER_MASCHERONI * _NORMAL.inv_cdf(1.0 - 1.0 / (trials * e))
    return sqrt(variance_of_sharpes) * highest


def minimum_track_record_length(
    returns: Floats, benchmark_sharpe: float = 0.0, confidence: float = 0.95
) -> float:
    """Return how many observations would prove, at this confidence, a Sharpe above a benchmark's.

    Infinite when the Sharpe ratio is not above it; NaN when there is no Sharpe ratio.

    Source:
        Bailey and López de Prado, 2012, as above.
    """
    shape = shape_of(returns)
    if shape is None:
        return np.nan
    edge = shape.sharpe - benchmark_sharpe
    if edge <= 0.0:
        return np.inf
    return 1.0 + shape.variance_factor * (_NORMAL.inv_cdf(confidence) / edge) ** 2


def p_value_of_mean(returns: Floats) -> float:
    """Return the probability of so high a mean when the true one is 0: Student's t, one-sided."""
    known = returns[~np.isnan(returns)]
    if len(known) < 3:
        return np.nan
    deviation = float(np.std(known, ddof=1))
    if deviation == 0.0:
        return np.nan
    return _student_tail(float(np.mean(known)) / deviation * sqrt(len(known)), len(known) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overfitting:
    """What combinatorially symmetric cross-validation says of a search."""

    probability: float  #: that the best in sample is below the median out of sample
    probability_of_loss: float  #: that the best in sample loses money out of sample
    degradation: float  #: slope of the Sharpe ratio out of sample over the one in sample
    logits: Floats  #: one per split: log of the odds of the rank out of sample


def probability_of_backtest_overfitting(returns: Floats, *, blocks: int = 16) -> Overfitting:
    """Return how likely a search selects what does not hold, by CSCV.

    The time is cut into blocks; every half of them is once what the choice is made on, and the
    other half what it is judged by.

    Args:
        returns: shape (T, N): T periods of N trials, all trials that were made.
        blocks: even, 2 to 20; T must be at least twice as many.

    Raises:
        ValueError: fewer than two trials, too few periods, or a number of blocks that is not
            allowed; NaN in the returns.

    Source:
        D. H. Bailey, J. M. Borwein, M. López de Prado and Q. J. Zhu, "The Probability of Backtest
        Overfitting", Journal of Computational Finance 20(4), 2017.
    """
    if returns.ndim != 2 or returns.shape[1] < 2:
        raise ValueError(f"there must be a column for each of two or more trials: {returns.shape}")
    if blocks % 2 or not 2 <= blocks <= _MAX_BLOCKS:
        raise ValueError(f"the number of blocks is even, 2 to {_MAX_BLOCKS}, not {blocks}")
    if len(returns) < 2 * blocks:
        raise ValueError(f"{blocks} blocks need {2 * blocks} periods, there are {len(returns)}")
    if not np.isfinite(returns).all():
        raise ValueError("the returns must be numbers: fill what is missing with 0")
    # The Sharpe ratio of any union of blocks follows from their sums, so no data is copied again.
    parts = np.array_split(returns, blocks)
    counts = np.array([len(part) for part in parts], dtype=np.float64)
    sums = np.array([part.sum(axis=0) for part in parts])
    squares = np.array([np.square(part).sum(axis=0) for part in parts])

    chosen = np.array(list(combinations(range(blocks), blocks // 2)))
    inside = np.zeros((len(chosen), blocks))
    np.put_along_axis(inside, chosen, 1.0, axis=1)
    step = max(_MAX_CELLS // returns.shape[1], 1)
    judged = [
        _judge(inside[first : first + step], counts, sums, squares)
        for first in range(0, len(inside), step)
    ]
    trained, outcome, mean, share = (np.concatenate(column) for column in zip(*judged, strict=True))
    logits = np.log(share / (1.0 - share))
    return Overfitting(
        probability=float(np.mean(logits <= 0.0)),
        probability_of_loss=float(np.mean(mean < 0.0)),
        degradation=_slope(trained, outcome),
        logits=logits,
    )


def reality_check(returns: Floats, *, samples: int = 2_000, seed: int = 0) -> float:
    """Return the p-value that the best of all trials is no better than doing nothing.

    White's reality check with the stationary bootstrap, studentised as in Hansen's test of superior
    predictive ability, whose recentring keeps hopeless trials from hiding a good one.

    Args:
        returns: shape (T, N): T periods of N trials, in excess of the alternative.
        samples: of the bootstrap.

    Source:
        H. White, "A Reality Check for Data Snooping", Econometrica 68(5), 2000; P. R. Hansen, "A
        Test for Superior Predictive Ability", Journal of Business & Economic Statistics 23(4),
        2005; D. N. Politis and J. P. Romano, "The Stationary Bootstrap", JASA 89, 1994.
    """
    periods = len(returns)
    if returns.ndim != 2 or periods < 10:
        raise ValueError("the reality check needs a column per trial and ten periods")
    means = returns.mean(axis=0)
    deviations = returns.std(axis=0, ddof=1)
    alive = deviations > 0.0
    if not alive.any():
        return 1.0
    means, deviations, returns = means[alive], deviations[alive], returns[:, alive]
    scale = sqrt(periods) / deviations
    observed = max(float(np.max(means * scale)), 0.0)
    hopeless = means * scale < -sqrt(2.0 * log(log(periods)))
    centre = np.where(hopeless, 0.0, means)
    generator = np.random.default_rng(seed)
    block = max(periods ** (1.0 / 3.0), 1.0)
    exceeded = 0
    for first in range(0, samples, _SAMPLES_AT_ONCE):
        batch = min(_SAMPLES_AT_ONCE, samples - first)
        # How often each period is drawn: the means of all samples are then one product.
        drawn = np.empty((batch, periods))
        for row in range(batch):
            rows = _stationary_bootstrap(periods, block, generator)
            drawn[row] = np.bincount(rows, minlength=periods)
        highest = np.max((drawn @ returns / periods - centre) * scale, axis=1)
        exceeded += int(np.sum(np.maximum(highest, 0.0) >= observed))
    return exceeded / samples


@dataclass(frozen=True, slots=True, kw_only=True)
class SharpeShape:
    """A Sharpe ratio per period and what its error depends on."""

    sharpe: float
    skew: float
    kurtosis: float  #: not in excess: 3 is normal
    observations: int

    @property
    def variance_factor(self) -> float:
        """The variance of the estimate, times the number of observations less one."""
        return 1.0 - self.skew * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2


def sharpe_confidence(shape: SharpeShape, benchmark_sharpe: float = 0.0) -> float:
    """Return the probability that the true Sharpe ratio is above a benchmark's."""
    error = sqrt(max(shape.variance_factor, 1e-12) / (shape.observations - 1))
    return _NORMAL.cdf((shape.sharpe - benchmark_sharpe) / error)


def shape_of(returns: Floats) -> SharpeShape | None:
    """Return the Sharpe ratio and its shape; None for fewer than 3 returns or none that differ."""
    known = returns[~np.isnan(returns)]
    if len(known) < 3:
        return None
    centred = known - known.mean()
    squares = np.square(centred)
    variance = float(np.mean(squares))
    deviation = float(np.std(known, ddof=1))
    if deviation <= 1e-13 * abs(float(known.mean())) or variance == 0.0:
        return None
    return SharpeShape(
        sharpe=float(known.mean()) / deviation,
        skew=float(np.mean(squares * centred)) / variance**1.5,
        kurtosis=float(np.mean(np.square(squares))) / variance**2,
        observations=len(known),
    )


def _sharpes(weights: Floats, counts: Floats, sums: Floats, squares: Floats) -> Floats:
    number = (weights @ counts)[:, None]
    mean = weights @ sums / number
    variance = (weights @ squares / number - np.square(mean)) * number / (number - 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: Floats = mean / np.sqrt(np.maximum(variance, 0.0))
    # A trial that never traded has no ratio; it is neither good nor bad.
    return np.where(np.isfinite(ratios), ratios, 0.0)


def _judge(
    inside: Floats, counts: Floats, sums: Floats, squares: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return of the best trial of each split: Sharpe inside and outside, mean and rank outside.

    The rank is a share between 0 and 1; ties count half, so that equal trials rank in the middle.
    """
    outside = 1.0 - inside
    trained = _sharpes(inside, counts, sums, squares)
    judged = _sharpes(outside, counts, sums, squares)
    row = np.arange(len(inside))
    best = np.argmax(trained, axis=1)
    outcome = judged[row, best]
    rank = (judged < outcome[:, None]).sum(axis=1) + (judged == outcome[:, None]).sum(axis=1) / 2
    mean = np.einsum("sb,bs->s", outside, sums[:, best]) / (outside @ counts)
    share = (rank + 0.5) / (sums.shape[1] + 1.0)
    return trained[row, best], outcome, mean, share


def _slope(x: Floats, y: Floats) -> float:
    centred = x - x.mean()
    spread = float(centred @ centred)
    return float(centred @ y) / spread if spread > 0.0 else np.nan


def _stationary_bootstrap(
    periods: int, block: float, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return rows in blocks of geometric length, each block from anywhere, around the end."""
    begins = generator.random(periods) < 1.0 / block
    begins[0] = True
    starts = np.flatnonzero(begins)
    origins = generator.integers(0, periods, len(starts))
    lengths = np.diff(starts, append=periods)
    offsets = np.arange(periods) - np.repeat(starts, lengths)
    rows: NDArray[np.int64] = (np.repeat(origins, lengths) + offsets) % periods
    return rows


def _student_tail(t: float, degrees: int) -> float:
    """Return P(T > t) of Student's distribution, by the incomplete beta function."""
    both = _incomplete_beta(degrees / 2.0, 0.5, degrees / (degrees + t * t))
    return both / 2.0 if t > 0.0 else 1.0 - both / 2.0


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function.

    Source:
        W. H. Press et al., "Numerical Recipes", section 6.4 (Lentz's continued fraction).
    """
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _incomplete_beta(b, a, 1.0 - x)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    fraction = d
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1.0 / (1.0 + step * d)
            c = 1.0 + step / c
            fraction *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return front * fraction
