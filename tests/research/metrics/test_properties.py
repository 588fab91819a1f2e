"""What holds for any returns: relations that no table of figures shows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from alphintra.research import metrics

Floats = NDArray[np.float64]

_RETURNS = arrays(np.float64, st.integers(20, 200), elements=st.floats(-0.2, 0.2))


def _varies(returns: Floats) -> bool:
    return float(np.std(returns)) > 1e-6


@given(_RETURNS, st.floats(0.1, 3.0))
def test_leverage_leaves_the_sharpe_ratio_unchanged(returns: Floats, leverage: float) -> None:
    if _varies(returns):
        plain = metrics.sharpe_ratio(returns, 252.0)
        assert metrics.sharpe_ratio(returns * leverage, 252.0) == pytest.approx(
            plain, rel=1e-6, abs=1e-6
        )


@given(_RETURNS)
def test_a_drawdown_is_between_everything_and_nothing(returns: Floats) -> None:
    assert -1.0 <= metrics.max_drawdown(returns) <= 0.0


@given(_RETURNS)
def test_returns_of_months_compound_to_the_whole(returns: Floats) -> None:
    days = np.arange(len(returns)) + 18_000
    for period in metrics.Period:
        _, aggregated = metrics.aggregate_returns(days, returns, period)
        whole = metrics.total_return(returns)
        assert metrics.total_return(aggregated) == pytest.approx(whole, rel=1e-9, abs=1e-9)


@given(_RETURNS)
def test_beta_to_oneself_is_one(returns: Floats) -> None:
    if _varies(returns):
        assert metrics.beta(returns, returns) == pytest.approx(1.0)
        assert metrics.beta(-2.0 * returns, returns) == pytest.approx(-2.0)
        assert metrics.r_squared(returns, 3.0 * returns) == pytest.approx(1.0)


@given(_RETURNS)
def test_the_mean_beyond_the_quantile_is_not_above_it(returns: Floats) -> None:
    tail = metrics.conditional_value_at_risk(returns)
    assert tail <= metrics.value_at_risk(returns) + 1e-12


@given(_RETURNS)
def test_a_rolling_figure_is_the_figure_of_its_window(returns: Floats) -> None:
    if not _varies(returns[-15:]):
        return
    assert metrics.rolling_sharpe(returns, 15, 252.0)[-1] == pytest.approx(
        metrics.sharpe_ratio(returns[-15:], 252.0), rel=1e-6, abs=1e-6
    )
    assert metrics.rolling_volatility(returns, 15, 252.0)[-1] == pytest.approx(
        metrics.annual_volatility(returns[-15:], 252.0)
    )
    benchmark = np.cumsum(returns) % 0.1
    if _varies(benchmark[-15:]):
        assert metrics.rolling_beta(returns, benchmark, 15)[-1] == pytest.approx(
            metrics.beta(returns[-15:], benchmark[-15:]), rel=1e-6, abs=1e-6
        )


def test_noise_around_a_gain_lowers_the_sharpe_ratio() -> None:
    generator = np.random.default_rng(3)
    calm = generator.normal(0.01, 0.001, 1000)
    wild = generator.normal(0.01, 0.01, 1000)
    assert metrics.sharpe_ratio(calm, 252.0) > metrics.sharpe_ratio(wild, 252.0)


def test_skew_and_kurtosis_of_known_values() -> None:
    values = np.array([0.0, 0.0, 0.0, 1.0])
    # Of a coin with chance p of 1: (1 - 2p) / sqrt(p(1-p)) and (1 - 3p(1-p)) / (p(1-p)).
    assert metrics.skewness(values) == pytest.approx(0.5 / np.sqrt(3 / 16))
    assert metrics.kurtosis(values) == pytest.approx((1 - 9 / 16) / (3 / 16))


def test_what_has_no_observation_has_no_figure() -> None:
    nothing = np.empty(0)
    for figure in (
        metrics.total_return(nothing),
        metrics.max_drawdown(nothing),
        metrics.sharpe_ratio(nothing, 252.0),
        metrics.value_at_risk(nothing),
        metrics.conditional_value_at_risk(nothing),
        metrics.skewness(nothing),
        metrics.ulcer_index(nothing),
        metrics.tail_ratio(nothing),
        metrics.stability(nothing),
    ):
        assert np.isnan(figure)
