"""Paths drawn from a backtest spread as arithmetic says they must."""

import json
from pathlib import Path

import numpy as np
import pytest

from alphintra.engine.series import Bars
from alphintra.research.backtest import backtest
from alphintra.research.result import BacktestResult
from alphintra.research.search import cross_validate, monte_carlo, optimise, parameter_jitter
from alphintra.research.search.errors import SearchRefused
from alphintra.research.search.folds import PurgedKFold
from alphintra.research.search.montecarlo import Resampling
from alphintra.sdk import RunCancelled, Vectorised


@pytest.fixture(scope="module")
def result(sma_cross: Vectorised, bars: Bars) -> BacktestResult:
    found = backtest(sma_cross, bars, parameters={"fast": 3, "slow": 12}, costs=0.001)
    assert (~found.trades["open_at_end"]).sum() >= 10
    return found


@pytest.mark.parametrize("method", list(Resampling))
def test_a_seed_repeats_and_another_does_not(method: str, result: BacktestResult) -> None:
    once = monte_carlo(result, method=method, paths=300, seed=1)
    assert once.to_dict() == monte_carlo(result, method=method, paths=300, seed=1).to_dict()
    assert once.to_dict() != monte_carlo(result, method=method, paths=300, seed=2).to_dict()
    for figure in (once.final_equity, once.max_drawdown, once.sharpe_ratio):
        values = list(figure.percentiles.values())
        assert values == sorted(values)
    assert -1.0 <= once.max_drawdown.percentiles[1] <= once.max_drawdown.percentiles[99] <= 0.0


def test_what_was_observed_is_the_backtest(result: BacktestResult) -> None:
    found = monte_carlo(result, paths=10)
    assert found.final_equity.observed == pytest.approx(result.final_capital)
    assert found.sharpe_ratio.observed == pytest.approx(result.metrics["sharpe_ratio"])
    assert found.max_drawdown.observed == pytest.approx(result.metrics["max_drawdown"])


def test_a_shuffle_of_trades_keeps_the_end_and_moves_the_drawdown(result: BacktestResult) -> None:
    found = monte_carlo(result, method="trades", paths=500)
    assert found.final_equity.deviation < 1e-6 * found.final_equity.mean
    assert found.max_drawdown.deviation > 0.005


def test_the_bootstrap_is_centred_on_what_happened(result: BacktestResult) -> None:
    """The logarithm of growth has the mean of the sample, and the deviation of its sum."""
    for method in ("stationary", "blocks", "trades_replaced"):
        found = monte_carlo(result, method=method, paths=4_000, block=None)
        middle = np.log(found.final_equity.percentiles[50] / found.initial_capital)
        seen = np.log(found.final_equity.observed / found.initial_capital)
        wide = np.log(found.final_equity.percentiles[95] / found.final_equity.percentiles[5])
        assert abs(middle - seen) < 0.15 * wide


def test_ruin_counts_the_paths_that_fall_so_far(result: BacktestResult) -> None:
    found = monte_carlo(result, paths=2_000, ruin=0.2)
    at_5 = found.max_drawdown.percentiles[5]
    assert monte_carlo(result, paths=2_000, ruin=-at_5).probability_of_ruin == pytest.approx(0.05)
    assert found.probability_of_ruin >= monte_carlo(result, ruin=0.4).probability_of_ruin
    assert 0.0 < found.probability_of_loss < 1.0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"method": "magic"}, "none of trades"),
        ({"paths": 0}, "number of paths"),
        ({"ruin": 1.0}, "ruin"),
        ({"block": 0.5}, "block"),
        ({"block": 1e9}, "block"),
    ],
)
def test_refused(arguments: dict[str, object], says: str, result: BacktestResult) -> None:
    with pytest.raises(SearchRefused, match=says):
        monte_carlo(result, **arguments)  # type: ignore[arg-type]


def test_too_little_to_draw_from(sma_cross: Vectorised, bars: Bars) -> None:
    few = backtest(sma_cross, bars.rows(0, 30), parameters={"fast": 3, "slow": 12})
    with pytest.raises(SearchRefused, match="trades are too few"):
        monte_carlo(few, method="trades")


def test_cancellation(result: BacktestResult) -> None:
    with pytest.raises(RunCancelled):
        monte_carlo(result, cancelled=lambda: True)


def test_report(result: BacktestResult, tmp_path: Path) -> None:
    found = monte_carlo(result, paths=100)
    assert "<svg" in found.report(tmp_path / "paths.html").read_text()
    assert json.loads(found.report(tmp_path / "paths.json").read_text()) == found.to_dict()
    assert "probability of loss" in found._repr_html_()


def test_jitter_stays_near_and_within_what_is_allowed(sma_cross: Vectorised, bars: Bars) -> None:
    def jittered(seed: int) -> dict[str, object]:
        return parameter_jitter(
            sma_cross, bars, parameters={"fast": 2, "slow": 30}, share=0.2, paths=30, seed=seed,
            compute="inline",
        ).to_dict()  # fmt: skip

    found = jittered(0)
    assert found == jittered(0)
    assert found["figures"] != jittered(1)["figures"]
    assert found["failures"] == []
    alone = backtest(sma_cross, bars, parameters={"fast": 2, "slow": 30}).metrics
    assert isinstance(found["figures"], dict)
    assert found["figures"]["sharpe_ratio"]["observed"] == alone["sharpe_ratio"]
    assert found["figures"]["sharpe_ratio"]["deviation"] > 0
    with pytest.raises(SearchRefused, match="no figure"):
        parameter_jitter(sma_cross, bars, paths=1, metrics=("beauty",), compute="inline")


def test_cross_validation_judges_where_it_did_not_choose(sma_cross: Vectorised, bars: Bars) -> None:
    trials = optimise(
        sma_cross, bars, search={"fast": "2:10:2", "slow": "15:45:10"}, compute="inline"
    ).trials
    found = cross_validate(trials)
    assert len(found.folds) == 15
    assert found.paths.shape == (5, len(found.days))
    assert found.in_sample > found.out_of_sample, "in noise, choosing only looks good"
    days, matrix = trials.returns_matrix()
    for fold in found.folds:
        inside = matrix[fold.split.train]
        sharpes = inside.mean(axis=0) / inside.std(axis=0, ddof=1)
        assert fold.column == int(np.argmax(np.nan_to_num(sharpes)))
    simple = cross_validate(trials, PurgedKFold(folds=4, embargo=2))
    assert simple.paths.shape == (1, len(days))
    assert json.dumps(simple.to_dict())
    with pytest.raises(SearchRefused, match="two or more"):
        cross_validate(type(trials)(trials.rows[:1]))
