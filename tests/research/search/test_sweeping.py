"""The short way gives the figures of a whole backtest."""

import numpy as np
import pytest

from alphintra.engine.portfolio import Costs
from alphintra.engine.series import Bars
from alphintra.research import backtest as module
from alphintra.research.backtest import backtest, evaluate
from alphintra.research.metrics import daily_returns
from alphintra.research.search.experiment import Experiment, Failure, Run
from alphintra.research.search.sweeping import FIGURES
from alphintra.research.search.trials import Measurement
from alphintra.sdk import Vectorised, param, vectorised
from tests.research.search.conftest import daily_bars

COSTS = [0.0, 0.001, Costs(rate=0.0005, per_order=2.0, minimum=5.0, slippage_bps=3.0)]


@vectorised
def wavering(bars: Bars, *, period: int = param(7, 2, 50), most: float = param(0.8)) -> object:
    """Long and short by parts, often."""
    waves = np.sin(np.arange(len(bars)) / period) * most
    return np.where(np.arange(len(bars)) % 5 == 0, waves, np.nan)


def minutes(rows: int) -> Bars:
    """Return bars of a minute over some days."""
    days = daily_bars(rows, seed=4)
    times = days.open_ns[0] + np.arange(rows) * 60_000_000_000
    return Bars(
        "WALK", times, times + 60_000_000_000, days.open, days.high, days.low, days.close,
        days.volume,
    )  # fmt: skip


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize("strategy", ["cross", "wavering"])
@pytest.mark.parametrize("timeframe", ["days", "minutes"])
def test_every_figure_is_the_same(
    costs: float | Costs, strategy: str, timeframe: str, sma_cross: Vectorised
) -> None:
    chosen = {"cross": sma_cross, "wavering": wavering}[strategy]
    bars = daily_bars(600) if timeframe == "days" else minutes(4_000)
    experiment = Experiment.of(chosen, bars, options={"costs": costs}, figures=FIGURES)
    name = "fast" if strategy == "cross" else "period"
    runs = [Run(parameters={name: value}) for value in (3, 8, 11)]
    for run, short in zip(runs, experiment(runs, lambda: False), strict=True):
        assert isinstance(short, Measurement)
        assert set(short.metrics) == FIGURES, "it went the long way"
        whole = backtest(chosen, bars, parameters=run.parameters, costs=costs)
        days, returns, _ = daily_returns(whole)
        np.testing.assert_array_equal(short.days, days)
        np.testing.assert_allclose(short.returns, returns, rtol=0, atol=1e-14)
        assert (whole.metrics["total_trades"] or 0) > 3
        for figure in FIGURES:
            expected = whole.metrics[figure]
            found = short.metrics[figure]
            if expected is None:
                assert found is None, figure
            else:
                assert found == pytest.approx(expected, rel=1e-9, abs=1e-12), figure


def test_a_run_that_never_trades(bars: Bars) -> None:
    @vectorised
    def idle(data: Bars, *, period: int = param(7, 1, 50)) -> object:
        return np.full(len(data), np.nan * period)

    (short,) = Experiment.of(idle, bars, figures=FIGURES)([Run(parameters={})], lambda: False)
    whole = backtest(idle, bars).metrics
    assert isinstance(short, Measurement)
    assert dict(short.metrics) == {name: whole[name] for name in FIGURES}


def test_what_it_does_not_know_goes_the_long_way(sma_cross: Vectorised, bars: Bars) -> None:
    for options, figures in (
        ({}, {"sharpe_ratio", "ulcer_index"}),
        ({"costs": Costs(borrow_rate=0.01)}, {"sharpe_ratio"}),
    ):
        experiment = Experiment.of(sma_cross, bars, options=options, figures=figures)
        (found,) = experiment([Run(parameters={})], lambda: False)
        assert isinstance(found, Measurement)
        assert "ulcer_index" in found.metrics


def test_a_function_that_raises_is_named(bars: Bars) -> None:
    @vectorised
    def fragile(data: Bars, *, period: int = param(7, 1, 50)) -> object:
        if period == 13:
            raise RuntimeError("thirteen")
        return np.zeros(len(data))

    experiment = Experiment.of(fragile, bars, figures={"sharpe_ratio"})
    first, second, third = experiment(
        [Run(parameters={"period": period}) for period in (12, 13, 14)], lambda: False
    )
    assert isinstance(first, Measurement)
    assert isinstance(second, Failure)
    assert isinstance(third, Measurement)
    for part in ("period=13", "test_sweeping.py, line", "RuntimeError: thirteen"):
        assert part in second.text


def test_evaluate_takes_the_short_way_when_it_knows_the_figures(
    sma_cross: Vectorised, bars: Bars, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [{"fast": fast} for fast in range(2, 22)]
    whole = evaluate(sma_cross, bars, sets, costs=0.001)
    mixed = evaluate(sma_cross, bars, sets, costs=0.001, figures=("sharpe_ratio", "ulcer_index"))
    monkeypatch.delattr(module, "backtest_on")
    short = evaluate(sma_cross, bars, sets, costs=0.001, figures=FIGURES)
    assert len(short) == len(mixed) == len(sets)
    for one, other, all_of_it in zip(short, mixed, whole, strict=True):
        assert set(one) == FIGURES
        for name in FIGURES:
            if (figure := all_of_it[name]) is not None:
                figure = pytest.approx(figure, rel=1e-9, abs=1e-12)
            assert one[name] == figure, name
        assert other == {name: all_of_it[name] for name in ("sharpe_ratio", "ulcer_index")}


def test_evaluate_knows_no_other_figures(sma_cross: Vectorised, bars: Bars) -> None:
    with pytest.raises(KeyError, match="luck"):
        evaluate(sma_cross, bars, [{"fast": 3}], figures=["luck"])
