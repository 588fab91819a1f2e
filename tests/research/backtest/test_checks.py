"""Strategies that see the future are caught, however they do it; honest ones are not accused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alphintra.engine.series import Floats
from alphintra.research.checks import check
from alphintra.research.loading import AnyStrategy
from alphintra.sdk import Bar, Bars, Line, Strategy, param, vectorised
from tests.sdk.conftest import walk


@vectorised
def honest(bars: Bars, *, fast: int = param(5, 2, 50), slow: int = param(20, 2, 50)) -> Floats:
    def mean(window: int) -> Floats:
        sums = np.cumsum(np.concatenate(([0.0], bars.close)))
        means = np.full(len(bars), np.nan)
        means[window - 1 :] = (sums[window:] - sums[:-window]) / window
        return means

    gap = mean(fast) - mean(slow)
    return np.where(np.isnan(gap), np.nan, (gap > 0).astype(float))


@vectorised
def negative_shift(bars: Bars) -> Any:
    following = np.append(bars.close[1:], bars.close[-1])
    return following > bars.close


@vectorised
def whole_array_mean(bars: Bars) -> Any:
    return (bars.close - bars.close.mean()) / bars.close.std() < 0


@vectorised
def centred_window(bars: Bars) -> Any:
    smooth = np.convolve(bars.close, np.ones(5) / 5, mode="same")
    return smooth > bars.close


@vectorised
def highest_of_all(bars: Bars) -> Any:
    return np.where(bars.close < 0.98 * bars.close.max(), 1.0, 0.0)


@vectorised
def only_the_last_bar_peeks(bars: Bars) -> Any:
    weights = np.zeros(len(bars))
    weights[:-1] = np.diff(bars.close) > 0
    return weights


class HonestClass(Strategy):
    def setup(self) -> None:
        self.average = self.indicator("SMA", timeperiod=20)
        self.hourly = self.indicator("SMA", timeframe="15m", timeperiod=3)

    def on_bar(self, bar: Bar) -> None:
        if not self.position() and bar.close > self.average.now > self.hourly.now:
            self.target_weight(0.5)
        elif self.position() and bar.close < self.average.now:
            self.close()


class ReadsTheLineToCome(Strategy):
    """Takes the private array of a line and reads one bar ahead."""

    def setup(self) -> None:
        self.closes: Line = self.data().close

    def on_bar(self, bar: Bar) -> None:
        values = self.closes._whole(0)
        row = self._host.feed.row
        if row + 1 < len(values) and values[row + 1] > bar.close:
            self.target_weight(1.0)
        else:
            self.target_weight(0.0)


class FollowsAViewToItsBase(Strategy):
    """Walks through a NumPy view to the whole column."""

    def on_bar(self, bar: Bar) -> None:
        feed = self._host.feed
        view = feed.column("close")[feed.row : feed.row + 1]
        base: Any = view.base if view.base is not None else view
        self.target_weight(1.0 if base[-1] > bar.close else 0.0)


class OwnLineLooksAhead(Strategy):
    """Has a line of its own, which is shifted against time."""

    def setup(self) -> None:
        self.ahead = self.indicator(lambda bars: np.append(bars.close[3:], bars.close[-3:]))

    def on_bar(self, bar: Bar) -> None:
        if self.ahead.now > bar.close:
            self.target_weight(1.0)


class KnowsHowLongItLasts(Strategy):
    """Stops trading before the end, which it cannot know."""

    def on_bar(self, bar: Bar) -> None:
        feed = self._host.feed
        self.target_weight(1.0 if feed.row < len(feed) - 10 else 0.0)


class Forgetful(Strategy):
    """Draws from a generator that nobody has seeded."""

    def setup(self) -> None:
        self.dice = np.random.default_rng()

    def on_bar(self, bar: Bar) -> None:
        if self.dice.random() < 0.1:
            self.buy(1)


@vectorised
def remembers_its_start(bars: Bars) -> Floats:
    total = np.cumsum(bars.close - bars.close[0])
    return np.clip(total / 1000, -1, 1)


class AlwaysOnItsWay(Strategy):
    """Wherever the data is cut, an order waits for the next bar, which tells its size."""

    def setup(self) -> None:
        self.count = 0

    def on_bar(self, bar: Bar) -> None:
        self.count += 1
        match self.count % 4:
            case 0:
                self.target_weight(0.9)
            case 1:
                self.target_weight(-0.5)
            case 2:
                self.close()
            case _:
                self.bracket(1e6, stop_loss=bar.close * 0.97, take_profit=bar.close * 1.03)


@pytest.mark.parametrize(
    "strategy", [honest, HonestClass, AlwaysOnItsWay, "sma_cross", "rsi_mean_reversion"]
)
def test_an_honest_strategy_is_not_accused(strategy: AnyStrategy | str) -> None:
    assert [one for one in check(strategy, walk(count=2000)) if one.is_fault] == []


def test_an_honest_strategy_on_several_symbols_is_not_accused() -> None:
    assert check("pairs", [walk("A", 1500, seed=1), walk("B", 1500, seed=2)]) == []


@pytest.mark.parametrize(
    "strategy",
    [
        negative_shift,
        whole_array_mean,
        centred_window,
        highest_of_all,
        only_the_last_bar_peeks,
        ReadsTheLineToCome,
        FollowsAViewToItsBase,
        OwnLineLooksAhead,
        KnowsHowLongItLasts,
    ],
    ids=lambda strategy: strategy.__name__,
)
def test_a_strategy_that_peeks_is_caught(strategy: AnyStrategy) -> None:
    (finding,) = check(strategy, walk(count=1000))
    assert finding.code == "look_ahead"
    assert finding.is_fault
    assert "2024-01-01T" in finding.message


def test_a_strategy_that_is_not_repeatable_is_told() -> None:
    (finding,) = check(Forgetful, walk())
    assert finding.code == "not_repeatable"


def test_a_line_that_depends_on_the_beginning_is_told() -> None:
    (finding,) = check(remembers_its_start, walk(count=1000))
    assert finding.code == "long_memory"
    assert not finding.is_fault


def test_a_short_memory_is_no_finding() -> None:
    assert check(honest, walk(count=1000)) == []


def test_the_command_ends_with_one_for_a_peeker(
    tmp_path: Path, save_bars: Callable[[Bars], Path]
) -> None:
    from typer.testing import CliRunner

    from alphintra.cli.app import app

    peeker = tmp_path / "peeker.py"
    peeker.write_text(
        "import numpy as np\n"
        "from alphintra.sdk import vectorised\n\n\n"
        "@vectorised\n"
        "def peeker(bars):\n"
        "    return np.append(bars.close[1:], 0.0) > bars.close\n"
    )
    data = save_bars(walk(count=500))
    told = CliRunner().invoke(app, ["check", str(peeker), "--data", str(data)])
    assert told.exit_code == 1, told.output
    assert "look_ahead" in told.output
    told = CliRunner().invoke(app, ["check", "sma_cross", "--data", str(data)])
    assert told.exit_code == 0, told.output
