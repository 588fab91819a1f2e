"""Data and strategies to search on."""

from pathlib import Path

import numpy as np
import pytest

from alphintra.engine.series import Bars
from alphintra.sdk import Vectorised, indicators, param, vectorised

DAY_NS = 86_400_000_000_000
_BEGIN_NS = 14_610 * DAY_NS  # 2010-01-01


def daily_bars(rows: int = 500, *, seed: int = 0, drift: float = 0.0) -> Bars:
    """Return daily bars of a random walk; with a drift of 0 there is nothing to be found in it."""
    generator = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(generator.normal(drift, 0.01, rows))), 2)
    opened = np.concatenate(([100.0], close[:-1]))
    times = _BEGIN_NS + np.arange(rows) * DAY_NS
    return Bars(
        "WALK",
        times,
        times + DAY_NS,
        opened,
        np.maximum(opened, close) + 0.05,
        np.minimum(opened, close) - 0.05,
        close,
        np.full(rows, 1e6),
    )


@vectorised
def cross(bars: Bars, *, fast: int = param(5, 2, 50), slow: int = param(20, 5, 200)) -> object:
    """Long while the fast average is above the slow one."""
    lines = [
        indicators.compute("SMA", {"close": bars.close}, timeperiod=period)["real"]
        for period in (fast, slow)
    ]
    above = (lines[0] > lines[1]).astype(np.float64)
    changes = np.concatenate(([True], above[1:] != above[:-1]))
    return np.where(changes & ~np.isnan(lines[1]), above, np.nan)


@pytest.fixture(scope="session")
def bars() -> Bars:
    """500 days in which there is nothing to be found."""
    return daily_bars()


@pytest.fixture(scope="session")
def sma_cross() -> Vectorised:
    found: Vectorised = cross
    return found


STRATEGY = '''\
"""A strategy in a file, as people write them."""

from alphintra.sdk import Bar, Strategy, param


class Cross(Strategy):
    fast = param(5, 2, 50)
    slow = param(20, 5, 200)
    above = param(False)

    def setup(self) -> None:
        self.fast_line = self.indicator("SMA", timeperiod=self.fast)
        self.slow_line = self.indicator("SMA", timeperiod=self.slow)

    def on_bar(self, bar: Bar) -> None:
        if self.slow == 13:
            raise RuntimeError("thirteen")
        if not self.slow_line.ready:
            return
        wanted = 1.0 if self.fast_line.now > self.slow_line.now else 0.0
        held = self.position(bar.symbol).quantity != 0
        if held != bool(wanted):
            self.target_weight(wanted)
'''


@pytest.fixture(scope="session")
def strategy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a strategy that raises when `slow` is 13."""
    path = tmp_path_factory.mktemp("strategies") / "crossing.py"
    path.write_text(STRATEGY)
    return path
