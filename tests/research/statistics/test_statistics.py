"""Luck and skill: published figures, independent formulas, and strategies whose truth is known."""

from math import comb, erf, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from alphintra.research import statistics
from alphintra.research.statistics import SharpeShape

Floats = NDArray[np.float64]


def _noise(periods: int, trials: int, seed: int, mean: float = 0.0) -> Floats:
    return np.random.default_rng(seed).normal(mean, 0.01, (periods, trials))


def _with_sharpe(sharpe: float, periods: int, seed: int = 0) -> Floats:
    """Return returns with exactly this Sharpe ratio per period."""
    returns = np.random.default_rng(seed).normal(0.0, 1.0, periods)
    returns = (returns - returns.mean()) / returns.std(ddof=1)
    scaled: Floats = (returns + sharpe) * 0.01
    return scaled


class TestProbabilisticSharpe:
    @pytest.mark.parametrize(
        ("skew", "kurtosis", "expected"),
        [
            # Bailey and López de Prado, "The Sharpe Ratio Efficient Frontier", section 4: two years
            # of monthly returns with a Sharpe ratio of 0.458.
            (0.0, 3.0, 0.982),
            (-2.448, 10.164, 0.913),
        ],
    )
    def test_published_figures(self, skew: float, kurtosis: float, expected: float) -> None:
        shape = SharpeShape(sharpe=0.458, skew=skew, kurtosis=kurtosis, observations=24)
        assert statistics.sharpe_confidence(shape) == pytest.approx(expected, abs=1e-3)

    def test_it_is_half_at_the_sharpe_ratio_itself(self) -> None:
        returns = _with_sharpe(0.1, 500)
        assert statistics.probabilistic_sharpe_ratio(returns, 0.1) == pytest.approx(0.5)

    def test_more_history_makes_it_surer(self) -> None:
        short, long = (
            statistics.probabilistic_sharpe_ratio(_with_sharpe(0.05, periods))
            for periods in (100, 2_000)
        )
        assert 0.5 < short < long < 1.0

    def test_the_minimum_track_record_is_where_the_confidence_is_reached(self) -> None:
        returns = _with_sharpe(0.1, 300)
        shape = statistics.shape_of(returns)
        assert shape is not None
        needed = statistics.minimum_track_record_length(returns, confidence=0.95)
        enough = SharpeShape(
            sharpe=shape.sharpe,
            skew=shape.skew,
            kurtosis=shape.kurtosis,
            observations=round(needed),
        )
        assert statistics.sharpe_confidence(enough) == pytest.approx(0.95, abs=2e-3)

    def test_a_loss_is_never_proved_to_be_a_gain(self) -> None:
        assert statistics.minimum_track_record_length(_with_sharpe(-0.1, 300)) == np.inf

    @pytest.mark.parametrize("returns", [np.empty(0), np.array([0.01, 0.02]), np.full(50, 0.01)])
    def test_what_does_not_vary_has_none(self, returns: Floats) -> None:
        assert np.isnan(statistics.probabilistic_sharpe_ratio(returns))
        assert np.isnan(statistics.minimum_track_record_length(returns))


class TestDeflatedSharpe:
    def test_published_figures(self) -> None:
        # Bailey and López de Prado, "The Deflated Sharpe Ratio", the numerical example: the best of
        # 100 trials has an annual Sharpe ratio of 2.5 over 1,250 days; the trials' vary by 1/2.
        highest = statistics.expected_maximum_sharpe(trials=100, variance_of_sharpes=0.5 / 250)
        assert highest == pytest.approx(0.1132, abs=5e-5)
        shape = SharpeShape(sharpe=2.5 / sqrt(250), skew=-3.0, kurtosis=10.0, observations=1_250)
        assert statistics.sharpe_confidence(shape, highest) == pytest.approx(0.9004, abs=5e-5)

    def test_one_trial_is_not_deflated(self) -> None:
        returns = _with_sharpe(0.05, 500)
        deflated = statistics.deflated_sharpe_ratio(returns, trials=1, variance_of_sharpes=0.1)
        assert deflated == statistics.probabilistic_sharpe_ratio(returns)

    def test_the_expected_maximum_is_that_of_normal_samples(self) -> None:
        samples = np.random.default_rng(5).normal(0.0, 0.2, (20_000, 50)).max(axis=1)
        expected = statistics.expected_maximum_sharpe(trials=50, variance_of_sharpes=0.04)
        assert expected == pytest.approx(samples.mean(), rel=0.02)

    def test_the_best_of_many_random_strategies_is_not_believed(self) -> None:
        believed = []
        for seed in range(20):
            trials = _noise(500, 200, seed)
            sharpes = trials.mean(axis=0) / trials.std(axis=0, ddof=1)
            best = trials[:, int(np.argmax(sharpes))]
            assert statistics.probabilistic_sharpe_ratio(best) > 0.97  # alone it looks like skill
            believed.append(
                statistics.deflated_sharpe_ratio(
                    best, trials=200, variance_of_sharpes=float(sharpes.var(ddof=1))
                )
            )
        assert 0.25 < np.mean(believed) < 0.75
        assert max(believed) < 0.97

    def test_a_true_edge_among_random_strategies_is_believed(self) -> None:
        trials = _noise(1_000, 100, 1)
        trials[:, 7] += 0.003
        sharpes = trials.mean(axis=0) / trials.std(axis=0, ddof=1)
        believed = statistics.deflated_sharpe_ratio(
            trials[:, 7], trials=100, variance_of_sharpes=float(sharpes.var(ddof=1))
        )
        assert believed > 0.99

    @pytest.mark.parametrize(("trials", "variance"), [(0, 0.1), (5, -0.1), (5, np.nan)])
    def test_what_no_search_has_is_refused(self, trials: int, variance: float) -> None:
        with pytest.raises(ValueError, match=r"trial|variance"):
            statistics.expected_maximum_sharpe(trials=trials, variance_of_sharpes=variance)


class TestOverfitting:
    def test_random_strategies_are_overfitted_half_of_the_time(self) -> None:
        found = [
            statistics.probability_of_backtest_overfitting(_noise(480, 30, seed), blocks=10)
            for seed in range(40)
        ]
        assert np.mean([one.probability for one in found]) == pytest.approx(0.5, abs=0.1)

    def test_a_true_edge_is_not(self) -> None:
        trials = _noise(480, 30, 2)
        trials[:, 3] += 0.005
        found = statistics.probability_of_backtest_overfitting(trials)
        assert found.probability < 0.01
        assert found.probability_of_loss < 0.01

    def test_what_was_good_and_turned_bad_is_overfitted(self) -> None:
        # Each trial is good in a stretch of its own and loses everywhere else.
        trials = np.full((480, 8), -0.002) + _noise(480, 8, 4) * 0.01
        for number in range(8):
            trials[number * 60 : (number + 1) * 60, number] += 0.02
        found = statistics.probability_of_backtest_overfitting(trials, blocks=8)
        assert found.probability > 0.9
        assert found.degradation < 0.0

    def test_it_agrees_with_a_slow_and_obvious_computation(self) -> None:
        from itertools import combinations

        trials, blocks = _noise(61, 5, 9), 6
        parts = np.array_split(trials, blocks)
        below = 0
        for chosen in combinations(range(blocks), blocks // 2):
            inside = np.concatenate([parts[row] for row in chosen])
            outside = np.concatenate([parts[row] for row in range(blocks) if row not in chosen])
            best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0, ddof=1)))
            judged = outside.mean(axis=0) / outside.std(axis=0, ddof=1)
            rank = 1 + int((judged < judged[best]).sum())
            below += rank / 6 <= 0.5
        found = statistics.probability_of_backtest_overfitting(trials, blocks=blocks)
        assert len(found.logits) == comb(blocks, blocks // 2)
        assert found.probability == pytest.approx(below / comb(blocks, blocks // 2))

    @pytest.mark.parametrize(
        ("shape", "blocks"), [((100, 1), 4), ((100, 5), 5), ((100, 5), 22), ((7, 5), 4)]
    )
    def test_what_it_cannot_judge_is_refused(self, shape: tuple[int, int], blocks: int) -> None:
        with pytest.raises(ValueError, match=r"trials|blocks"):
            statistics.probability_of_backtest_overfitting(np.zeros(shape), blocks=blocks)

    def test_holes_are_refused(self) -> None:
        trials = _noise(100, 5, 0)
        trials[3, 3] = np.nan
        with pytest.raises(ValueError, match="fill what is missing"):
            statistics.probability_of_backtest_overfitting(trials, blocks=4)


class TestRealityCheck:
    def test_noise_is_rarely_called_skill(self) -> None:
        values = [
            statistics.reality_check(_noise(250, 40, seed), samples=200) for seed in range(30)
        ]
        assert np.mean(np.array(values) < 0.05) <= 0.2
        assert 0.3 < np.mean(values) < 0.75

    def test_an_edge_among_noise_is_seen(self) -> None:
        trials = _noise(500, 40, 3)
        trials[:, 5] += 0.003
        assert statistics.reality_check(trials, samples=400) < 0.01

    def test_hopeless_trials_hide_nothing(self) -> None:
        trials = _noise(500, 41, 3)
        trials[:, 1:] -= 0.01
        trials[:, 0] += 0.0015
        assert statistics.reality_check(trials, samples=400) < 0.05

    def test_the_same_seed_gives_the_same_value(self) -> None:
        trials = _noise(250, 10, 8)
        assert statistics.reality_check(trials, samples=100, seed=3) == statistics.reality_check(
            trials, samples=100, seed=3
        )

    def test_trials_that_never_trade_have_no_edge(self) -> None:
        assert statistics.reality_check(np.zeros((100, 3))) == 1.0


class TestMean:
    @pytest.mark.parametrize(
        ("t", "observations", "expected"),
        # From the usual table of Student's distribution.
        [
            (1.812, 11, 0.05),
            (2.228, 11, 0.025),
            (2.764, 11, 0.01),
            (2.920, 3, 0.05),
            (0.0, 30, 0.5),
        ],
    )
    def test_it_is_students_test(self, t: float, observations: int, expected: float) -> None:
        returns = _with_sharpe(t / sqrt(observations), observations)
        assert statistics.p_value_of_mean(returns) == pytest.approx(expected, abs=2e-4)

    def test_many_observations_are_normal(self) -> None:
        returns = _with_sharpe(1.5 / sqrt(20_000), 20_000)
        normal = 0.5 * (1.0 - erf(1.5 / sqrt(2.0)))
        assert statistics.p_value_of_mean(returns) == pytest.approx(normal, abs=1e-4)

    def test_a_loss_is_likely_no_gain(self) -> None:
        returns = _with_sharpe(0.2, 100)
        assert statistics.p_value_of_mean(-returns) == pytest.approx(
            1.0 - statistics.p_value_of_mean(returns)
        )
