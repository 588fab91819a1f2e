"""Search in one stretch, trade in the next: what is traded was not searched on."""

import json
from pathlib import Path

import numpy as np
import pytest

from alphintra.engine.series import Bars
from alphintra.research.backtest import backtest
from alphintra.research.search import WalkForward, walk_forward
from alphintra.research.search.errors import SearchRefused
from alphintra.research.search.experiment import Experiment, Run
from alphintra.research.search.walkforward import windows_of
from alphintra.sdk import RunCancelled, Vectorised
from tests.research.search.conftest import DAY_NS, daily_bars

SEARCH = {"fast": "2:10:4", "slow": "15:25:10"}


@pytest.fixture(scope="module")
def walked(sma_cross: Vectorised, bars: Bars) -> WalkForward:
    return walk_forward(
        sma_cross, bars, train_days=200, test_days=90, embargo_days=5, search=SEARCH,
        costs=0.001, compute="inline",
    )  # fmt: skip


def test_windows_roll_and_do_not_overlap() -> None:
    found = windows_of(0, 500 * DAY_NS, train_days=200, test_days=90, embargo_days=5)
    days = [
        tuple(n // DAY_NS for n in (w.train_ns, w.train_end_ns, w.test_ns, w.test_end_ns))
        for w in found
    ]
    assert days == [
        (0, 200, 205, 295),
        (90, 290, 295, 385),
        (180, 380, 385, 475),
        (270, 470, 475, 500),
    ]


def test_anchored_windows_begin_at_the_beginning() -> None:
    found = windows_of(0, 500 * DAY_NS, train_days=200, test_days=100, anchored=True)
    assert {window.train_ns for window in found} == {0}
    assert [window.train_end_ns // DAY_NS for window in found] == [200, 300, 400]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"train_days": 0, "test_days": 5}, "take some days"),
        ({"train_days": 5, "test_days": 5, "embargo_days": -1}, "take some days"),
        ({"train_days": 500, "test_days": 5}, "have no room for 500 days"),
        ({"train_days": 5, "test_days": 0.01}, "more than 500"),
    ],
)
def test_refused(arguments: dict[str, float], says: str) -> None:
    with pytest.raises(SearchRefused, match=says):
        windows_of(0, 100 * DAY_NS, **arguments)  # type: ignore[arg-type]


def test_the_curve_is_the_growth_out_of_sample(walked: WalkForward) -> None:
    growth = 1.0
    for step in walked.steps:
        assert step.result is not None
        assert step.result.ts_ns[0] > step.window.test_ns
        assert step.result.ts_ns[-1] <= step.window.test_end_ns
        trades = step.result.trades
        assert (trades["entry_ns"] >= step.window.test_ns).all()
        growth *= step.result.final_capital / step.result.initial_capital
    assert walked.equity[-1] == pytest.approx(walked.initial_capital * growth, rel=1e-12)
    assert (np.diff(walked.ts_ns) > 0).all()
    assert walked.metrics["total_return"] == pytest.approx(growth - 1, rel=1e-9)
    assert walked.trials_counted == len(walked.steps) * 6


def test_what_comes_later_changes_nothing_before(sma_cross: Vectorised, bars: Bars) -> None:
    def walk(data: Bars) -> WalkForward:
        return walk_forward(
            sma_cross, data, train_days=200, test_days=90, search=SEARCH, compute="inline"
        )

    whole, cut = walk(bars), walk(bars.rows(0, 400))
    first = [step.to_dict() for step in whole.steps[:2]]
    assert first == [step.to_dict() for step in cut.steps[:2]]


def test_indicators_are_warm_at_the_first_bar_of_a_window(
    sma_cross: Vectorised, strategy_file: Path, bars: Bars
) -> None:
    """With a slow average of 100 days, a test of 60 days would never trade from cold."""
    start_ns = int(bars.open_ns[400])
    for strategy in (sma_cross, strategy_file):
        from alphintra.research.loading import load_strategy

        experiment = Experiment.of(load_strategy(strategy), bars)
        parameters = {"fast": 2, "slow": 100}
        warm = experiment.result(
            Run(parameters=parameters, start_ns=start_ns, warm_from_ns=-(2**63))
        )
        cold = experiment.result(Run(parameters=parameters, start_ns=start_ns))
        assert len(warm.trades) > 0
        assert len(warm.ts_ns) == len(cold.ts_ns) == 100
        assert (warm.fills["ts_ns"] >= start_ns).all()
        assert len(cold.fills) == 0


def test_a_whole_window_is_an_ordinary_backtest(sma_cross: Vectorised, bars: Bars) -> None:
    alone = backtest(sma_cross, bars, parameters={"fast": 3, "slow": 20})
    run = Experiment.of(sma_cross, bars).result(Run(parameters={"fast": 3, "slow": 20}))
    np.testing.assert_array_equal(run.equity, alone.equity)
    assert run.metrics == alone.metrics


def test_cancellation(sma_cross: Vectorised, bars: Bars) -> None:
    with pytest.raises(RunCancelled):
        walk_forward(
            sma_cross, bars, train_days=200, test_days=90, search=SEARCH, compute="inline",
            cancelled=lambda: True,
        )  # fmt: skip


def test_efficiency_is_unknown_when_nothing_was_earned_in_sample(sma_cross: Vectorised) -> None:
    found = walk_forward(
        sma_cross, daily_bars(400, drift=-0.01), train_days=200, test_days=100,
        search={"fast": "2,3", "slow": "10,12"}, costs=0.01, compute="inline",
    )  # fmt: skip
    assert found.efficiency is None


def test_reports(walked: WalkForward, tmp_path: Path) -> None:
    page = walked.report(tmp_path / "walk.html").read_text()
    assert "<svg" in page
    document = json.loads(walked.report(tmp_path / "walk.json").read_text())
    assert len(document["windows"]) == len(walked.steps)
    assert document["final_capital"] == walked.equity[-1]
    assert "efficiency" in walked._repr_html_()
