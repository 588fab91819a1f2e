"""A search keeps every trial, judges the best, and says what failed."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from alphintra.engine.series import Bars
from alphintra.research.backtest import backtest
from alphintra.research.search import Progress, Search, Trials, heat_map, optimise
from alphintra.research.search.credibility import assess
from alphintra.research.search.errors import SearchRefused, TrialsFailed
from alphintra.research.search.trials import Objective, Trial
from alphintra.sdk import Vectorised
from tests.research.search.conftest import daily_bars

GRID = {"fast": "2:10:4", "slow": "15:45:10"}


@pytest.fixture(scope="module")
def search(sma_cross: Vectorised, bars: Bars) -> Search:
    return optimise(sma_cross, bars, search=GRID, costs=0.001, compute="local:2")


def test_every_trial_is_what_a_backtest_says(
    search: Search, sma_cross: Vectorised, bars: Bars
) -> None:
    assert len(search.trials) == search.trials.counted == 12
    assert search.complete
    assert search.best is not None
    for trial in (search.best, search.trials[0], search.trials[-1]):
        alone = backtest(sma_cross, bars, parameters=trial.parameters, costs=0.001)
        assert alone.metrics["sharpe_ratio"] == trial.metrics["sharpe_ratio"]
        assert alone.final_capital == trial.metrics["final_capital"]
        assert alone.metrics["total_trades"] == trial.metrics["total_trades"]
    ranked = [trial.metrics["sharpe_ratio"] for trial in search.ranked()]
    assert ranked == sorted(ranked, key=lambda value: -(value or 0.0))
    assert search.best.metrics["sharpe_ratio"] == ranked[0]


def test_one_core_and_two_give_the_same(search: Search, sma_cross: Vectorised, bars: Bars) -> None:
    alone = optimise(sma_cross, bars, search=GRID, costs=0.001, compute="inline")
    assert alone.to_dict()["trials"] == search.to_dict()["trials"]
    assert alone.credibility == search.credibility


def test_luck_on_random_data_is_flagged(search: Search) -> None:
    told = search.credibility
    assert not told.credible
    assert told.trials_counted == 12
    assert told.deflated_sharpe_ratio is not None
    assert told.probabilistic_sharpe_ratio is not None
    assert told.deflated_sharpe_ratio < min(0.95, told.probabilistic_sharpe_ratio)
    assert "deflated_sharpe_low" in {warning.code for warning in told.warnings}


def test_a_search_of_noise_is_overfitted_as_often_as_not() -> None:
    generator = np.random.default_rng(5)
    days = np.arange(400)
    trials = Trials(
        tuple(
            Trial(
                number=number,
                parameters={"x": number},
                metrics={"sharpe_ratio": float(returns.mean() / returns.std()), "total_trades": 99},
                days=days,
                returns=returns,
            )
            for number, returns in enumerate(generator.normal(0.0, 0.01, (200, 400)))
        )
    )
    best = trials.best(Objective.parse("sharpe_ratio"))
    told = assess(trials, best, periods_per_year=252)
    assert told.probabilistic_sharpe_ratio is not None
    assert told.probabilistic_sharpe_ratio > 0.95, "alone, the best of 200 looks like skill"
    assert told.deflated_sharpe_ratio is not None
    assert told.deflated_sharpe_ratio < 0.9
    assert told.probability_of_overfitting is not None
    assert 0.3 < told.probability_of_overfitting < 0.8
    assert not told.credible


def test_skill_is_not_flagged() -> None:
    generator = np.random.default_rng(5)
    returns = generator.normal(0.0, 0.01, (20, 800))
    returns[7] += 0.003
    rows = [
        Trial(
            number=number,
            parameters={"x": number},
            metrics={"sharpe_ratio": float(one.mean() / one.std()), "total_trades": 99},
            days=np.arange(800),
            returns=one,
        )
        for number, one in enumerate(returns)
    ]
    told = assess(Trials(tuple(rows)), rows[7], periods_per_year=252)
    assert told.credible
    assert told.deflated_sharpe_ratio is not None
    assert told.deflated_sharpe_ratio > 0.99
    assert told.probability_of_overfitting == 0.0


def test_trials_of_earlier_count(search: Search) -> None:
    more = Trials(search.trials.rows, earlier=1_000)
    told = assess(more, search.best, periods_per_year=365)
    assert told.trials_counted == 1_012
    assert (told.deflated_sharpe_ratio or 0) < (search.credibility.deflated_sharpe_ratio or 0)


@pytest.mark.parametrize("method", ["random", "tpe", "cmaes", "nsga2"])
def test_a_seed_repeats_a_search(method: str, sma_cross: Vectorised, bars: Bars) -> None:
    def made(seed: int, compute: str) -> list[object]:
        found = optimise(
            sma_cross, bars, search={"fast": "2:30", "slow": "20:100"}, rules=["fast < slow"],
            method=method, trials=24, seed=seed, compute=compute,
        )  # fmt: skip
        assert len(found.trials) == 24
        assert all(t.parameters["fast"] < t.parameters["slow"] for t in found.trials)
        return [trial.to_dict() for trial in found.trials]

    once = made(1, "local:2")
    assert once == made(1, "inline")
    assert once != made(2, "inline")


def test_a_study_goes_on_in_its_storage(sma_cross: Vectorised, bars: Bars, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'study.db'}"

    def more() -> Search:
        return optimise(
            sma_cross, bars, search=GRID, method="tpe", trials=8, storage=storage,
            study="mine", compute="inline",
        )  # fmt: skip

    first, second = more(), more()
    assert first.trials.earlier == 0
    assert second.trials.earlier == 8
    assert second.credibility.trials_counted > first.credibility.trials_counted


def test_several_objectives_have_a_front(sma_cross: Vectorised, bars: Bars) -> None:
    found = optimise(
        sma_cross, bars, search=GRID, objective=["total_return", "-volatility"], compute="inline"
    )
    front = found.front
    assert front
    for trial in found.trials:
        beaten = any(
            (other.metrics["total_return"] or 0) >= (trial.metrics["total_return"] or 0)
            and (other.metrics["volatility"] or 0) <= (trial.metrics["volatility"] or 0)
            and other.metrics != trial.metrics
            for other in found.trials
        )
        assert beaten == (trial not in front)


def test_what_does_not_count_cannot_win(sma_cross: Vectorised, bars: Bars, search: Search) -> None:
    trades = sorted(trial.metrics["total_trades"] or 0 for trial in search.trials)
    found = optimise(
        sma_cross, bars, search=GRID, costs=0.001, minimum_trades=int(trades[-2]), compute="inline"
    )
    assert found.best is not None
    assert (found.best.metrics["total_trades"] or 0) >= trades[-2]
    assert found.credibility.trials_counted == 12, "those that do not count were tried as well"
    nothing = optimise(sma_cross, bars, search=GRID, rules=["max_drawdown > 0.5"], compute="inline")
    assert nothing.best is None
    assert [warning.code for warning in nothing.credibility.warnings] == ["no_trial_counts"]


def test_a_trial_that_raises_is_named_with_its_place(strategy_file: Path, bars: Bars) -> None:
    found = optimise(
        strategy_file, bars, search={"slow": "11,12,13,14"}, parameters={"fast": 3},
        compute="local:2",
    )  # fmt: skip
    (failed,) = found.trials.failed()
    assert failed.parameters["slow"] == 13
    assert failed.failure is not None
    for part in ("fast=3, slow=13", "crossing.py", "line 17", "RuntimeError: thirteen"):
        assert part in failed.failure
    assert found.best is not None
    assert found.best.number != failed.number
    assert "trials_failed" in {warning.code for warning in found.credibility.warnings}


def test_when_all_trials_raise_the_search_does(strategy_file: Path, bars: Bars) -> None:
    with pytest.raises(TrialsFailed, match=r"crossing\.py") as failed:
        optimise(strategy_file, bars, search={"fast": "2:9"}, parameters={"slow": 13})
    assert failed.value.extra["parameters"] == {"fast": 2, "slow": 13, "above": False}


def test_a_cancelled_search_returns_what_was_done(
    sma_cross: Vectorised, bars: Bars, tmp_path: Path
) -> None:
    before = threading.active_count()
    seen: list[Progress] = []
    found = optimise(
        sma_cross, bars, search={"fast": "2:30", "slow": "20:100"}, compute="local:2",
        progress=seen.append, cancelled=lambda: len(seen) > 0,
    )  # fmt: skip
    assert not found.complete
    assert 0 < len(found.trials) < found.space.size  # type: ignore[operator]
    assert [trial.number for trial in found.trials] == list(range(len(found.trials)))
    assert threading.active_count() <= before + 1
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_and_estimates(sma_cross: Vectorised, bars: Bars) -> None:
    seen: list[Progress] = []
    found = optimise(sma_cross, bars, search=GRID, compute="inline", progress=seen.append)
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    last = seen[-1]
    assert (last.done, last.total, last.remaining_s) == (12, 12, 0.0)
    assert found.best is not None
    assert last.best == found.best.metrics["sharpe_ratio"]


def test_heat_map(search: Search) -> None:
    found = heat_map(search)
    assert (found.x, found.y) == ("fast", "slow")
    assert found.x_values == (2, 6, 10)
    assert found.y_values == (15, 25, 35, 45)
    for trial in search.trials:
        cell = found.values[
            found.y_values.index(trial.parameters["slow"]),
            found.x_values.index(trial.parameters["fast"]),
        ]
        assert cell == trial.metrics["sharpe_ratio"]
    line = heat_map(search, "slow", metric="max_drawdown", reduce="worst")
    assert line.values.shape == (3, 4)
    with pytest.raises(SearchRefused, match="was not searched"):
        heat_map(search, "nothing")


def test_reports(search: Search, tmp_path: Path) -> None:
    page = search.report(tmp_path / "search.html").read_text()
    assert "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "")
    document = json.loads(search.report(tmp_path / "search.json").read_text())
    assert len(document["trials"]) == document["total_trials"] == 12
    assert document["credibility"]["trials_counted"] == 12
    with pytest.raises(SearchRefused, match=r"\.html or \.json"):
        search.report(tmp_path / "search.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["search.html", "search.json"]
    assert "may be luck" in search._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"method": "magic"}, "there is no method 'magic'"),
        ({"objective": "beauty"}, "there is no figure beauty"),
        ({"objective": []}, "needs an objective"),
        ({"trials": 0}, "at least 1"),
        ({"compute": "moon"}, "ALPHINTRA_COMPUTE"),
        ({"rules": ["fast < sharpe_ratio"]}, "mixes"),
        ({"rules": ["fast > 99"]}, "leave no combination"),
        ({"method": "cmaes", "objective": ["cagr", "volatility"]}, "one objective"),
    ],
)
def test_refused(
    arguments: dict[str, object], says: str, sma_cross: Vectorised, bars: Bars
) -> None:
    given = {"search": GRID, "compute": "inline"} | arguments
    with pytest.raises(SearchRefused, match=says):
        optimise(sma_cross, bars, **given)  # type: ignore[arg-type]


def test_a_drift_can_be_found(sma_cross: Vectorised) -> None:
    found = optimise(sma_cross, daily_bars(1_500, drift=0.003), search=GRID, compute="inline")
    assert found.best is not None
    assert (found.credibility.deflated_sharpe_ratio or 0) > 0.95
