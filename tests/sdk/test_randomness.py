"""Random numbers that no strategy owns: drawn again by the same run, and not taken from others."""

import random

import numpy as np

from alphintra.research.backtest import backtest
from alphintra.research.checks import check
from alphintra.sdk import Bar, Bars, Strategy, vectorised
from tests.sdk.conftest import walk


class Gambler(Strategy):
    """Buys by chance, of both states that belong to the whole process."""

    def on_bar(self, bar: Bar) -> None:
        if np.random.uniform() < 0.1:
            self.buy(random.randint(1, 9))


@vectorised
def dice(bars: Bars) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Holds a share by chance."""
    return np.random.uniform(size=len(bars))


def test_a_run_draws_the_same_again_and_another_seed_others() -> None:
    bars = walk(count=300)
    for strategy in (Gambler, dice):
        first, again, other = (backtest(strategy, bars, seed=seed) for seed in (5, 5, 2**63 - 1))
        assert len(first.fills) > 10
        assert first.fills.tobytes() == again.fills.tobytes()
        assert first.fills.tobytes() != other.fills.tobytes()
    assert not [one for one in check(Gambler, bars) if one.code == "not_repeatable"]


def test_who_runs_a_backtest_keeps_the_random_numbers_of_the_program() -> None:
    def drawn() -> tuple[float, float]:
        return random.random(), float(np.random.uniform())

    random.seed(1)
    np.random.seed(1)
    alone = [drawn(), drawn()]
    random.seed(1)
    np.random.seed(1)
    before = drawn()
    backtest(Gambler, walk(count=100))
    assert [before, drawn()] == alone
