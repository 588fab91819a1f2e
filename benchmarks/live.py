"""One candle of a live strategy: frame in, decision out, with much history held.

    ./dev run python benchmarks/live.py

The examples, by the protocol of deployments. Timed without a sandbox: reading the frame, the
strategy's hook with its lines, writing the answer. In the sandbox: the same there and back between
two processes, with 1 and with 20 strategies at work.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alphintra.platform.sandbox import Child, Limits, Sandbox
from alphintra.strategies.deployments.process import ENTRY, PRELOAD
from alphintra.strategies.live import frames
from alphintra.strategies.live.frames import CandleRow
from alphintra.strategies.live.inside import Inside, ready
from benchmarks.backtest import walk
from benchmarks.harness import quantile

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "strategies"
HELD = (1_000, 100_000)
FRAMES = 5_000
STRATEGIES = (1, 20)
CANDLES_AT_ONCE = 10_000
LONG_S = 60.0
LIMITS = Limits(memory_bytes=512 * 1024**2)


def main() -> None:
    ready()
    for name, symbols in (("sma_cross", ["A"]), ("pairs", ["A", "B"])):
        source = (EXAMPLES / f"{name}.py").read_text()
        for held in HELD:
            in_process(name, source, symbols, held)
    asyncio.run(sandboxed((EXAMPLES / "sma_cross.py").read_text()))


def in_process(name: str, source: str, symbols: Sequence[str], held: int) -> None:
    child = Inside()
    child.hear(frames.encode(begin(source, symbols)))
    past, present = candles(symbols, held)
    began_s = time.perf_counter()
    for body in past:
        child.hear(body)
    warm_s = time.perf_counter() - began_s
    times_s, placed = [], 0
    for body in present:
        began_s = time.perf_counter()
        answer = frames.encode(child.hear(body))
        times_s.append(time.perf_counter() - began_s)
        placed += answer.count(b"Place")
    print(
        f"{name}, {held:,} candles held: {microseconds(times_s)} for a candle,"
        f" {placed} orders; the past in {warm_s:.2f} s"
    )


async def sandboxed(source: str) -> None:
    past, present = candles(["A"], HELD[0])
    async with Sandbox(preload=PRELOAD) as box:
        children: list[Child] = []
        for count in STRATEGIES:
            while len(children) < count:
                child = await box.start(ENTRY, limits=LIMITS)
                for body in (frames.encode(begin(source, ["A"])), *past):
                    await child.call(body, timeout_s=LONG_S)
                children.append(child)
            times_s: list[float] = []
            share = len(present) // len(STRATEGIES)
            for body in present[:share]:
                times_s += await asyncio.gather(*(call(child, body) for child in children))
            present = present[share:]
            memory = sum(private_mb(child) for child in children) / count
            print(
                f"in the sandbox, {count} at once: {microseconds(times_s)} there and back,"
                f" {memory:.0f} MB of its own for each"
            )
        for child in children:
            child.kill()


async def call(child: Child, body: bytes) -> float:
    began_s = time.perf_counter()
    await child.call(body, timeout_s=LONG_S)
    return time.perf_counter() - began_s


def begin(source: str, symbols: Sequence[str]) -> frames.Begin:
    return frames.Begin(
        deployment_id="benchmark",
        source=source,
        parameters={},
        instruments=tuple(
            frames.Instrument(symbol=symbol, tick_size="0.01", lot_size="1") for symbol in symbols
        ),
        timeframe="1m",
        capital=100_000.0,
        fee=0.0,
        name_prefix="b",
    )


def candles(symbols: Sequence[str], held: int) -> tuple[list[bytes], list[bytes]]:
    """Return frames of the past, and one frame for each candle after it."""
    rows: dict[str, list[CandleRow]] = {}
    for place, symbol in enumerate(symbols):
        bars = walk(held + FRAMES, seed=place)
        columns = (getattr(bars, name).tolist() for name in CandleRow.__struct_fields__[1:])
        rows[symbol] = [CandleRow(symbol, *values) for values in zip(*columns, strict=True)]
    step = CANDLES_AT_ONCE // len(symbols)
    past = [
        frames.History(
            candles=tuple(
                frames.candles_of(symbol, part[first : min(first + step, held)])
                for symbol, part in rows.items()
            ),
            last=first + step >= held,
        )
        for first in range(0, held, step)
    ]
    present = [
        frames.Bars(close_ns=group[0].close_ns, bars=group, fresh=True)
        for group in zip(*(part[held:] for part in rows.values()), strict=True)
    ]
    return [frames.encode(one) for one in past], [frames.encode(one) for one in present]


def microseconds(times_s: Sequence[float]) -> str:
    return f"p50 {quantile(times_s, 0.5) * 1e6:.0f} µs, p99 {quantile(times_s, 0.99) * 1e6:.0f} µs"


def private_mb(child: Child) -> float:
    """Return the memory that a process does not share with the others."""
    lines = Path(f"/proc/{child.pid}/smaps_rollup").read_text().splitlines()
    sizes = (line.split() for line in lines if line.startswith("Private"))
    return sum(int(fields[1]) for fields in sizes) / 1024


if __name__ == "__main__":
    main()
