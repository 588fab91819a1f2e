"""What a bomb in one sandbox costs the strategies in others: their tick's round trip with and
without it, side by side in time.

    benchmarks/bombs.py [--strategies 20] [--seconds 4] [BOMB …]

The bombs are run as the supervisor runs strategies: one that does not answer is ended after a
while, one that dies is started again. The strategies are told a candle every 100 ms each.
"""

import argparse
import asyncio
import statistics
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alphintra.platform.sandbox import ChildEnded, Limits, Sandbox
from alphintra.strategies.deployments.process import (
    PRELOAD,
    ProcessDied,
    StrategyFaulty,
    StrategyProcess,
)
from alphintra.strategies.live import frames
from benchmarks.harness import quantile, ticking

PROGRAMS: Final = Path(__file__).resolve().parents[1] / "tests" / "sandbox" / "programs"
#: Those of `tests/sandbox/programs/bombs.py` that could be felt outside.
BOMBS: Final = (
    "processor",
    "processor_in_compiled_code",
    "processor_by_threads",
    "deaf_to_signals",
    "numbers",
    "memory_bit_by_bit",
    "memory_caught",
    "memory",
    "threads",
    "timers",
    "output",
    "output_past_python",
    "frames",
    "big_frames",
    "half_a_frame",
    "crash",
)
ORDERS: Final = "orders"
#: As `ALPHINTRA_DEPLOYMENT_FRAME_S` and the first pause before a new try.
FRAME_S: Final = 5.0
PAUSE_S: Final = 0.25
EVERY_S: Final = 0.1
#: The shortest candle; a supervisor stops such a strategy at its first.
FLOOD_EVERY_S: Final = 1.0
#: By then the nursery has seen what a bomb is.
LOOKED_AT_S: Final = 1.5
#: With and without by turns, so that what else the machine does is in both.
TURNS: Final = 9
GOAL: Final = 1.5
MIB: Final = 1024**2
MINUTE_NS: Final = 60_000_000_000
LIMITS: Final = Limits(memory_bytes=256 * MIB, output_bytes=16 * 1024)

TRADES: Final = """
from alphintra.sdk import Strategy


class Trades(Strategy):
    def setup(self):
        self.mean = self.indicator("SMA", timeperiod=20)

    def on_bar(self, bar):
        if self.position().quantity:
            self.close()
        else:
            self.buy(0.01)
"""
FLOOD: Final = """
from alphintra.sdk import Strategy


class Flood(Strategy):
    def on_bar(self, bar):
        for _ in range(900):
            self.buy(0.01)
"""


class Strategies:
    """Well-behaved strategies, and how long their ticks take."""

    def __init__(self, processes: list[StrategyProcess]) -> None:
        self._processes = processes
        self._minute = 0

    async def tick(self, seconds: float) -> list[float]:
        """Tell candles for some seconds; return the seconds of each round trip."""
        loop = asyncio.get_running_loop()
        found: list[float] = []

        async def one(process: StrategyProcess, minute: int, began_s: float) -> None:
            await process.tell(candle(minute))
            found.append(time.perf_counter() - began_s)

        period_s = EVERY_S / len(self._processes)
        ticks = int(seconds / period_s)
        async with asyncio.TaskGroup() as group:
            with ticking(ticks, period_s) as feed:
                for _ in range(ticks):
                    await loop.sock_recv(feed, 1)
                    self._minute += 1
                    process = self._processes[self._minute % len(self._processes)]
                    group.create_task(one(process, self._minute, time.perf_counter()))
        return found


def candle(minute: int) -> bytes:
    bar = frames.CandleRow(
        symbol="SPY",
        open_ns=minute * MINUTE_NS,
        close_ns=(minute + 1) * MINUTE_NS,
        open=100.0,
        high=101.0,
        low=99.0,
        close=100.5,
        volume=1.0,
    )
    return frames.encode(frames.Bars(close_ns=bar.close_ns, bars=(bar,), fresh=True))


async def started(box: Sandbox, code: str, number: int) -> StrategyProcess:
    process = await StrategyProcess.start(
        box, name=f"strategy {number}", memory_mb=256, frame_s=FRAME_S
    )
    instrument = frames.Instrument(symbol="SPY", tick_size="0.01", lot_size="0.01")
    await process.begin(
        frames.Begin(
            deployment_id=str(number),
            source=code,
            parameters={},
            instruments=(instrument,),
            timeframe="1m",
            capital=1e6,
            fee=0.0,
            name_prefix=f"d{number}/",
            seed=number,
        )
    )
    await process.tell(frames.encode(frames.History(candles=(), last=True)), is_past=True)
    return process


async def go_off(box: Sandbox, bomb: str) -> None:
    """Be the supervisor of a bomb, for ever."""
    while True:
        if bomb == ORDERS:
            await flood(box)
        else:
            child = await box.start("bombs:run", limits=LIMITS, name=bomb)
            try:
                with suppress(ChildEnded):
                    await child.call(bomb.encode(), timeout_s=FRAME_S)
                    await child.receive(timeout_s=FRAME_S)
                    # Frames that nobody asked for are read as answers, as fast as candles come.
                    until_s = time.perf_counter() + FRAME_S
                    while time.perf_counter() < until_s:
                        await child.receive(timeout_s=FRAME_S)
                        await asyncio.sleep(EVERY_S)
            finally:
                child.kill()
        await asyncio.sleep(PAUSE_S)


async def flood(box: Sandbox) -> None:
    """Let a strategy decide on a great many orders at every candle."""
    process = await started(box, FLOOD, 999)
    try:
        with suppress(ProcessDied, StrategyFaulty):
            for minute in range(1, 100):
                await process.tell(candle(minute))
                await asyncio.sleep(FLOOD_EVERY_S)
    finally:
        process.child.kill()


async def measure(box: Sandbox, strategies: Strategies, bomb: str, seconds: float) -> float:
    """Print the round trips without and with a bomb; return how the 99th percentiles compare."""
    without, beside = [], []
    for _ in range(TURNS):
        without.append(await strategies.tick(seconds / TURNS))
        going_off = asyncio.create_task(go_off(box, bomb))
        await asyncio.sleep(LOOKED_AT_S)
        beside.append(await strategies.tick(seconds / TURNS))
        going_off.cancel()
        await asyncio.gather(going_off, return_exceptions=True)
    ratio = late(beside) / late(without)
    print(
        f"{bomb}: p99 without {late(without) * 1e6:.0f} µs; beside it {late(beside) * 1e6:.0f} µs:"
        f" {ratio:.2f} times",
        flush=True,
    )
    return ratio


def late(turns: list[list[float]]) -> float:
    """Return the median of the turns' 99th percentiles: a turn in which the machine was taken away
    from us does not count.
    """
    return statistics.median(quantile(one, 0.99) for one in turns)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strategies", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=18.0)
    parser.add_argument("bombs", nargs="*", metavar="BOMB", help=", ".join([*BOMBS, ORDERS]))
    given = parser.parse_args()
    async with Sandbox(preload=PRELOAD, import_from=(PROGRAMS,)) as box:
        processes = [await started(box, TRADES, number) for number in range(given.strategies)]
        strategies = Strategies(processes)
        await strategies.tick(1.0)
        ratios = {
            bomb: await measure(box, strategies, bomb, given.seconds)
            for bomb in given.bombs or [*BOMBS, ORDERS]
        }
    worst = max(ratios, key=ratios.__getitem__)
    print(f"worst: {worst}, {ratios[worst]:.2f} times at p99 (the goal is {GOAL} at most)")


if __name__ == "__main__":
    uvloop.run(main())
