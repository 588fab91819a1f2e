"""The child in the sandbox itself: the same answers, byte for byte, as in this process."""

from pathlib import Path

from alphintra.platform.sandbox import Limits, Reason, Sandbox
from alphintra.strategies.deployments.process import ENTRY, PRELOAD
from alphintra.strategies.live import frames
from alphintra.strategies.live.inside import Inside
from tests.strategies.live.parent import begin, history
from tests.strategies.live.test_restarts import BUSY, groups

LIMITS = Limits(memory_bytes=256 * 1024**2)
LONG_S = 60.0
PAIRS = Path(__file__).parents[3] / "examples" / "strategies" / "pairs.py"


async def test_a_sandboxed_child_answers_as_one_in_this_process() -> None:
    first, *rest = groups(60, 5)
    told: list[frames.FromParent] = [
        begin(BUSY, ["A", "B"]),
        frames.Past(),
        history({row.symbol: [row] for row in first}),
        *(frames.Bars(close_ns=one[0].close_ns, bars=tuple(one), fresh=True) for one in rest),
        frames.SetParameters(values={"step": 0}),
        frames.Stop(),
    ]
    here = Inside()
    async with Sandbox(preload=PRELOAD) as box:
        child = await box.start(ENTRY, limits=LIMITS)
        for frame in told:
            body = frames.encode(frame)
            assert await child.call(body, timeout_s=LONG_S) == frames.encode(here.hear(body))
        ended = await child.wait()
    assert (ended.reason, ended.exit_code) == (Reason.EXITED, 0), child.output()


async def test_a_strategy_with_numpy_and_indicators_of_ours_runs_there() -> None:
    source = PAIRS.read_text() + (
        "\n    def on_timer(self, name: str) -> None:\n        self.log(f'{self.trend.now:g}')\n"
    )
    source = source.replace(
        "        self.side = 0\n",
        "        self.side = 0\n        self.trend = self.indicator('SUPERTREND')\n"
        "        self.every('1m')\n",
        1,
    )
    async with Sandbox(preload=PRELOAD) as box:
        child = await box.start(ENTRY, limits=LIMITS)
        first = begin(source, ["A", "B"], parameters={"window": 10})
        answer = frames.from_child(await child.call(frames.encode(first), timeout_s=LONG_S))
        assert isinstance(answer, frames.Begun), answer
        await child.call(frames.encode(history({})), timeout_s=LONG_S)
        for group in groups(60, 5):
            if len(group) < 2:
                continue
            told = frames.Bars(close_ns=group[0].close_ns, bars=tuple(group), fresh=True)
            answer = frames.from_child(await child.call(frames.encode(told), timeout_s=LONG_S))
            assert isinstance(answer, frames.Decided), answer
        assert isinstance(answer, frames.Decided)
        assert answer.logs
        assert float(answer.logs[0].message) > 0
        child.kill()


GAMBLER = """
import random

import numpy as np

from alphintra.sdk import Bar, Strategy

LUCK = np.random.normal()


class Gambler(Strategy):
    def setup(self) -> None:
        self.mood = random.random()

    def on_bar(self, bar: Bar) -> None:
        if np.random.uniform() < 0.5:
            self.buy(random.randint(1, 9), tag=f"{LUCK} {self.mood}")
"""


async def test_what_is_drawn_by_chance_is_drawn_again_in_the_next_life() -> None:
    past, *rest = groups(40, 5)
    told: list[frames.FromParent] = [
        history({row.symbol: [row] for row in past}),
        *(frames.Bars(close_ns=one[0].close_ns, bars=tuple(one), fresh=True) for one in rest),
    ]
    lives = []
    async with Sandbox(preload=PRELOAD) as box:
        for seed in (7, 7, 2**63 - 1):
            child = await box.start(ENTRY, limits=LIMITS)
            answers = [
                await child.call(frames.encode(frame), timeout_s=LONG_S)
                for frame in (begin(GAMBLER, ["A", "B"], seed=seed), *told)
            ]
            child.kill()
            lives.append(answers)
    decisions = [frames.from_child(one) for one in lives[0]]
    assert sum(len(one.intents) for one in decisions if isinstance(one, frames.Decided)) > 10
    assert lives[0] == lives[1]
    assert lives[0] != lives[2]
