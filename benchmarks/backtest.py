"""The compiled portfolio simulator on bars: one symbol, many symbols, and the cost of a call.

    ./dev run python benchmarks/backtest.py

A cross of two averages, long or flat, market orders at the next open, a fee of 0.1 %, whole units.
Timed: the run on a tape that is there, equity curve and round trips included; the averages and the
tape are not. Compilation, which happens once per installation, has a line of its own.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from alphintra.engine import Kind, Side
from alphintra.engine.portfolio import (
    AccountTerms,
    Costs,
    Simulation,
    SymbolTerms,
    Tape,
    tape_of,
)
from alphintra.engine.series import Bars, Floats

MINUTE_NS = 60_000_000_000
REPEATS = 7
CASH = 1e9


def walk(count: int, seed: int, symbol: str = "A") -> Bars:
    """Return one-minute bars of a random walk in cents."""
    rng = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.0005, count))), 2)
    first = np.concatenate([[100.0], close[:-1]])
    high = np.round(np.maximum(first, close) + 0.02, 2)
    low = np.round(np.minimum(first, close) - 0.02, 2)
    open_ns = np.arange(count, dtype=np.int64) * MINUTE_NS
    volume = np.full(count, 1e6)
    return Bars.of_length(
        symbol, open_ns, MINUTE_NS, open=first, high=high, low=low, close=close, volume=volume
    )


def averages(close: Floats, length: int) -> Floats:
    """Return the moving average, NaN before it is known."""
    sums = np.concatenate([[0.0], np.cumsum(close)])
    average = np.full(len(close), np.nan)
    average[length - 1 :] = (sums[length:] - sums[:-length]) / length
    return average


def crosses(close: Floats, fast: int, slow: int, weight: float) -> Floats:
    """Return `weight` where the fast average rises above the slow one, 0 where it falls below."""
    above = averages(close, fast) > averages(close, slow)
    targets = np.full(len(close), np.nan)
    turns = np.flatnonzero(above[1:] != above[:-1]) + 1
    targets[turns] = np.where(above[turns], weight, 0.0)
    return targets


def timed(work: Callable[[], object]) -> list[float]:
    """Return how long each of some runs took."""
    seconds = []
    for _ in range(REPEATS):
        began_s = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began_s)
    return seconds


def say(what: str, count: int, unit: str, seconds: list[float]) -> None:
    """Print one figure: the median, the slowest and the fastest, and the peak memory so far."""
    rates = sorted(count / second / 1e6 for second in seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{what}: {statistics.median(rates):,.1f} M {unit}/s"
        f" ({rates[0]:,.1f} to {rates[-1]:,.1f}), peak {peak:,.0f} MB",
        flush=True,
    )


def run_compiled(tape: Tape, terms: list[SymbolTerms], targets: Floats) -> Simulation:
    """Run once, with equity curve and round trips."""
    simulation = Simulation(tape, terms, AccountTerms(cash={"USD": CASH}))
    simulation.run_targets(targets)
    simulation.finish()
    simulation.outcome()
    return simulation


def one_symbol(count: int) -> None:
    """The compiled form on one symbol."""
    bars = walk(count, 7)
    terms = [SymbolTerms(symbol="A", costs=Costs(rate=0.001))]
    tape = tape_of([bars], terms)
    targets = crosses(bars.close, 7, 25, 1.0)
    began_s = time.perf_counter()
    fills = len(run_compiled(tape, terms, targets).fills())
    print(f"first run, with compiling or loading: {time.perf_counter() - began_s:.1f} s")
    seconds = timed(lambda: run_compiled(tape, terms, targets))
    say(f"compiled, {count:,} bars, {fills:,} fills", count, "bars", seconds)


def many_symbols(symbols: int, count: int) -> None:
    """The compiled form on one account with many symbols."""
    series = [walk(count, seed, f"S{seed:02}") for seed in range(symbols)]
    terms = [SymbolTerms(symbol=one.symbol, costs=Costs(rate=0.001)) for one in series]
    tape = tape_of(series, terms)
    by_symbol = np.stack([crosses(one.close, 7, 25, 1 / symbols) for one in series])
    targets = np.ascontiguousarray(by_symbol.T.ravel())  # rows of a group are in symbol order
    fills = len(run_compiled(tape, terms, targets).fills())
    seconds = timed(lambda: run_compiled(tape, terms, targets))
    what = f"compiled, {symbols} symbols × {count:,} bars, {fills:,} fills"
    say(what, symbols * count, "bars", seconds)


def calls() -> None:
    """What plain Python pays for each call of the stepped form."""
    bars = walk(60_000, 3)
    terms = [SymbolTerms(symbol="A", costs=Costs(rate=0.001))]
    simulation = Simulation(tape_of([bars], terms), terms, AccountTerms(cash={"USD": CASH}))
    spent = {"submit": 0.0, "next_stop": 0.0, "process": 0.0, "equity": 0.0}
    count = 20_000
    now = time.perf_counter
    for number in range(count):
        began = now()
        simulation.submit(0, Side(number % 2), Kind.MARKET, 10)
        sent = now()
        simulation.next_stop(simulation.cursor + 1)
        looked = now()
        simulation.process()
        done = now()
        simulation.equity()
        spent["equity"] += now() - done
        spent["submit"] += sent - began
        spent["next_stop"] += looked - sent
        spent["process"] += done - looked
    told = ", ".join(f"{name} {seconds / count * 1e6:.2f}" for name, seconds in spent.items())
    print(f"µs per call: {told} (process with one fill)")


def main() -> None:
    one_symbol(1_000_000)
    many_symbols(50, 20_000)
    calls()


if __name__ == "__main__":
    main()
