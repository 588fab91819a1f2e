"""The palette has everything, with forms and documentation; the graphs that come with it run."""

from pathlib import Path

import numpy as np
import pytest

from alphintra import indicators
from alphintra.research.backtest import backtest
from alphintra.research.checks import check
from alphintra.sdk import Bar, Bars, Strategy
from alphintra.sdk import blocks as vocabulary
from alphintra.sdk.source import load_source
from alphintra.strategies import blocks
from alphintra.strategies.blocks import compile_graph, graph_from, palette, python_of
from alphintra.strategies.blocks.clock import in_months, in_window, on_weekdays, periods
from alphintra.strategies.blocks.schemas import block_type_view

EXAMPLES = sorted((Path(blocks.__file__).parent / "examples").glob("*.json"))


def test_every_indicator_is_a_block_with_its_parameters_and_outputs() -> None:
    found = {one.kind: one for one in palette()}
    for name, info in indicators.catalogue().items():
        if name == "MAVP":  # reads periods that no column holds
            assert name not in found
            continue
        kind = found[name]
        assert [one.name for one in kind.outputs] == [one.name for one in info.outputs]
        fields = [one.name for one in kind.fields if one.name not in ("timeframe", "symbol")]
        assert fields == [one.name for one in info.parameters]


def test_every_block_says_what_it_does_and_how_it_reads() -> None:
    for kind in palette():
        view = block_type_view(kind)
        assert view.title, kind.kind
        assert view.help.endswith("."), kind.kind
        assert view.example, kind.kind
        assert view.compiled, kind.kind


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run_compiled_as_they_run_as_python(path: Path) -> None:
    graph = graph_from(path.read_text())
    compiled = backtest(compile_graph(graph), "demo:IBM", costs=0.001)
    stepped = backtest(load_source(python_of(graph)), "demo:IBM", costs=0.001)
    assert compiled.metrics == stepped.metrics
    assert compiled.equity.tobytes() == stepped.equity.tobytes()
    assert compiled.manifest.strategy == stepped.manifest.strategy
    assert compiled.manifest.strategy_sha256 == stepped.manifest.strategy_sha256
    if path.stem != "bollinger_breakout":  # daily bars close outside of its hours
        assert len(compiled.fills) > 0


def test_parameters_are_chosen_as_for_any_strategy() -> None:
    graph = graph_from(next(path for path in EXAMPLES if path.stem == "sma_cross").read_text())
    chosen = {"fast_bars": 5, "slow_bars": 50}
    compiled = backtest(compile_graph(graph), "demo:IBM", parameters=chosen)
    stepped = backtest(load_source(python_of(graph)), "demo:IBM", parameters=chosen)
    assert compiled.metrics == stepped.metrics
    assert compiled.metrics != backtest(compile_graph(graph), "demo:IBM").metrics


def test_blocks_are_checked_for_looking_ahead() -> None:
    graph = graph_from(next(path for path in EXAMPLES if path.stem == "sma_cross").read_text())
    assert not [one for one in check(compile_graph(graph), "demo:IBM") if "ahead" in one.code]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
def test_times_of_many_rows_are_those_of_single_ones(zone: str) -> None:
    start_ns = 1_698_000_000_000_000_000  # both hemispheres change their clocks after it
    ts_ns = start_ns + np.arange(0, 420 * 86_400, 1_777) * 1_000_000_000

    window, weekdays = vocabulary.TimeOfDay("22:15", "06:30", zone), (0, 3)
    days = vocabulary.Weekdays(("mon", "thu"), zone)
    months = vocabulary.Months(("jan", "oct"), zone)
    times = ts_ns.tolist()
    assert in_window(ts_ns, zone, 22 * 60 + 15, 6 * 60 + 30).tolist() == list(map(window, times))
    assert on_weekdays(ts_ns, zone, weekdays).tolist() == list(map(days, times))
    assert in_months(ts_ns, zone, (0, 9)).tolist() == list(map(months, times))
    for period in vocabulary.PERIODS:
        numbers = periods(ts_ns, zone, period)
        one_by_one = np.array(
            [vocabulary.period_number(vocabulary.local_s(one, zone), period) for one in times]
        )
        assert (np.diff(numbers) != 0).tolist() == (np.diff(one_by_one) != 0).tolist()


class _Watching(Strategy):
    """Notes what the conditions of the vocabulary say about a few closes."""

    def setup(self) -> None:
        self.up = vocabulary.Crossing(self, "up")
        self.down = vocabulary.Crossing(self, "down")
        self.rising = vocabulary.Rising(self, bars=2)
        self.falling = vocabulary.Falling(self, bars=1)
        self.ago = vocabulary.Ago(self, bars=2)
        self.recently = vocabulary.Recently(self, bars=2)
        self.lasting = vocabulary.Lasting(self, bars=2)
        self.since = vocabulary.BarsSince(self)
        self.third = vocabulary.Every(self, bars=3)

    def on_bar(self, bar: Bar) -> None:
        high = bar.close > 10
        said = [
            self.up(bar.close, 10.0), self.down(bar.close, 10.0), self.rising(bar.close),
            self.falling(bar.close), self.recently(high), self.lasting(high), self.third(),
        ]  # fmt: skip
        flags = "".join(str(int(one)) for one in said)
        self.log(f"{flags} {self.since(high)} {self.ago(bar.close)}")


def test_conditions_remember_what_they_say_they_do() -> None:
    closes = np.array([9.0, 10.0, 11.0, 12.0, 10.0, 9.0, 9.5, 11.0])
    bars = Bars.of_length(
        "X", 86_400_000_000_000 * np.arange(8), 86_400_000_000_000,
        open=closes, high=closes, low=closes, close=closes, volume=closes,
    )  # fmt: skip
    logs = [line.split(" ", 1)[1] for line in backtest(_Watching, bars).logs]
    assert logs == [
        "0000000 nan nan",
        "0000000 nan nan",  # at 10 it is on neither side
        "1010101 0.0 9.0",
        "0010110 0.0 10.0",
        "0001100 1.0 11.0",
        "0101001 2.0 12.0",
        "0000000 3.0 10.0",
        "1010100 0.0 9.0",
    ]
