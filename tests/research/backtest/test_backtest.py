"""One call from strategy and data to a result, and what it says of itself."""

import tomllib

import numpy as np
import pytest

from alphintra.research.backtest import backtest, evaluate
from alphintra.research.loading import library
from alphintra.sdk import Bar, Strategy, Vectorised
from tests.docs.conftest import ROOT
from tests.research.backtest.test_checks import honest
from tests.sdk.conftest import walk


class Same(Strategy):
    """Does what the weights of a vectorised strategy say."""

    weights: list[float] = []  # noqa: RUF012 - set by the test

    def setup(self) -> None:
        self.row = -1

    def on_bar(self, bar: Bar) -> None:
        self.row += 1
        if not np.isnan(self.weights[self.row]):
            self.target_weight(self.weights[self.row])


def test_arrays_and_a_class_come_to_the_same() -> None:
    bars = walk(count=2000)
    assert isinstance(honest, Vectorised)
    compiled = backtest(honest, bars, costs=0.001)
    Same.weights = honest(bars).tolist()
    stepped = backtest(Same, bars, costs=0.001)
    assert compiled.equity.tobytes() == stepped.equity.tobytes()
    assert compiled.fills.tobytes() == stepped.fills.tobytes()
    assert compiled.trades.tobytes() == stepped.trades.tobytes()
    assert len(compiled.fills) > 10


def test_a_run_repeated_gives_the_same_bytes_and_names_its_input() -> None:
    bars = walk(count=2000)
    first, second = (backtest("sma_cross", bars, costs=0.001) for _ in range(2))
    assert first.equity.tobytes() == second.equity.tobytes()
    assert first.manifest.datasets == second.manifest.datasets
    assert first.manifest.strategy_sha256 == second.manifest.strategy_sha256
    assert first.manifest.parameters == {"fast": 10, "slow": 30, "side": "long"}


def test_parameter_sets_are_evaluated_in_their_order() -> None:
    bars = walk(count=2000)
    sets = [{"fast": 5}, {"fast": 20}]
    figures = evaluate("sma_cross", bars, sets, costs=0.001)
    for chosen, found in zip(sets, figures, strict=True):
        alone = backtest("sma_cross", bars, costs=0.001, parameters=chosen)
        assert found["final_capital"] == pytest.approx(alone.final_capital)


def test_an_installation_carries_the_library() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    carried = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    expected = {
        str(path.relative_to(ROOT)): f"alphintra/research/library/{name}.py"
        for name, path in library().items()
    }
    assert carried == expected
