"""Strategies of blocks: compiled against their Python, and what an editor waits for.

    ./dev run python benchmarks/blocks.py

The graphs are those that come with the product, over one symbol of a million bars of a minute, a
fee of 0.01 %. Timed: the run over prepared data, indicators included; the median of five compiled
runs, and one run of the Python form. Then searches over the two forms, whole results included.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alphintra.engine.portfolio import Simulation
from alphintra.research.backtest import feed_of, play, prepare
from alphintra.research.search import optimise
from alphintra.sdk import Strategy, parameters_of
from alphintra.sdk.parameters import resolved
from alphintra.sdk.source import load_source
from alphintra.strategies import blocks
from alphintra.strategies.blocks import compile_graph, graph_from, graph_of, python_of, validate
from benchmarks.backtest import walk

BARS = 1_000_000
#: Of a search: bars, and trials compiled; the Python form gets a tenth.
SEARCHED, TRIALS = 100_000, 100
EXAMPLES = Path(blocks.__file__).parent / "examples"


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the median time of some runs, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def runs(path: Path) -> None:
    """Compare the two forms of a graph and print one line."""
    graph = graph_from(path.read_text())
    market = prepare([walk(BARS, 1, "A")], costs=0.0001)
    strategy = load_source(python_of(graph))
    assert isinstance(strategy, type)
    assert issubclass(strategy, Strategy)
    chosen = resolved(parameters_of(strategy), {}, strategy="graph")
    compiled = compile_graph(graph)
    made: list[Simulation] = []

    def run_compiled() -> None:
        made[:] = [Simulation(market.tape, market.terms, market.account)]
        compiled.run(made[0], feed_of(market))

    fast_s = seconds(run_compiled, 5)
    began = time.perf_counter()
    stepped, _ = play(strategy, market, chosen)
    slow_s = time.perf_counter() - began
    same = stepped.journal().tobytes() == made[0].journal().tobytes()
    print(
        f"{path.stem:<24} compiled {BARS / fast_s / 1e6:6.2f} M bars/s, Python "
        f"{BARS / slow_s / 1e6:5.2f} M bars/s, {slow_s / fast_s:5.1f} times; "
        f"{len(stepped.fills()):,} fills, {'the same' if same else 'NOT THE SAME'}",
        flush=True,
    )
    if not same:
        raise SystemExit(1)


def searches(path: Path) -> None:
    """Compare searches over the two forms of a graph, in one process, and print one line."""
    graph = graph_from(path.read_text())
    bars = walk(SEARCHED, 7)
    forms = ((compile_graph(graph), TRIALS), (load_source(python_of(graph)), TRIALS // 10))
    rates, best = [], []
    for strategy, trials in forms:
        terms: dict[str, Any] = {"method": "random", "costs": 0.001, "compute": "inline"}
        found = optimise(strategy, bars, trials=TRIALS // 10, **terms)  # the first one loads
        best.append(found.best.metrics if found.best else {})
        began = time.perf_counter()
        optimise(strategy, bars, trials=trials, **terms)
        rates.append(trials / (time.perf_counter() - began))
    same = best[0] == best[1]
    print(
        f"{path.stem:<24} search over {SEARCHED:,} bars: compiled {rates[0]:6.1f} trials/s, Python "
        f"{rates[1]:5.1f} trials/s; the best is {'the same' if same else 'NOT THE SAME'}",
        flush=True,
    )
    if not same:
        raise SystemExit(1)


def large(count: int) -> dict[str, Any]:
    """Return a valid graph of so many blocks: averages of averages, all of which must agree."""
    made: list[dict[str, Any]] = [
        {"id": "last", "kind": "price"}, {"id": "size", "kind": "size_percent"},
        {"id": "entry", "kind": "enter"},
    ]  # fmt: skip
    ends = [("size.size", "entry.size")]
    before = ""
    for number in range((count - 3) // 3):
        average, above, both = f"average_{number}", f"above_{number}", f"both_{number}"
        made.append({"id": average, "kind": "SMA", "parameters": {"timeperiod": number + 2}})
        made.append({"id": above, "kind": "compare"})
        ends += [("last.value", f"{above}.a"), (f"{average}.real", f"{above}.b")]
        if before:
            made.append({"id": both, "kind": "and"})
            ends += [(f"{before}.value", f"{both}.a"), (f"{above}.value", f"{both}.b")]
        before = both if before else above
    ends.append((f"{before}.value", "entry.when"))
    connections = []
    for source, target in ends:
        (block_from, output), (block_to, port) = source.split("."), target.split(".")
        connections.append(
            {
                "from": {"block": block_from, "output": output},
                "to": {"block": block_to, "input": port},
            }
        )
    return {"version": 1, "name": "Large", "blocks": made, "connections": connections}


def main() -> None:
    """Print all figures."""
    for path in sorted(EXAMPLES.glob("*.json")):
        runs(path)
    searches(EXAMPLES / "sma_cross.json")
    text = json.dumps(large(200))
    assert validate(text) == []
    graph = graph_from(text)
    python = python_of(graph)
    for name, work in (
        ("validation", lambda: validate(text)),
        ("to Python", lambda: python_of(graph)),
        ("back from Python", lambda: graph_of(python)),
    ):
        print(f"{len(graph.blocks)} blocks, {name:<20} {seconds(work, 9) * 1000:6.1f} ms")
    hostile = "[" * 10_000_000
    print(f"10 MB of brackets, refused      {seconds(lambda: validate(hostile), 9) * 1e6:6.0f} µs")


if __name__ == "__main__":
    main()
