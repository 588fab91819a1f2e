"""What is made of blocks runs compiled on the server, with the result and the bounds of Python."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alphintra.platform.sandbox import Sandbox
from alphintra.research.apart import laboratory, run_apart
from alphintra.research.errors import BeyondLimits
from alphintra.research.jobfile import BacktestJob, Progress, Source
from alphintra.strategies import blocks
from alphintra.strategies.blocks import graph_from, python_of
from tests.research.http.conftest import Lab

ROWS = 200_000
AVERAGES = 160


def example_graph() -> dict[str, Any]:
    path = Path(blocks.__file__).parent / "examples" / "sma_cross.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def large_graph() -> dict[str, Any]:
    """Return a valid graph of many averages, each of them above the next one."""
    made: list[dict[str, Any]] = [
        {"id": "size", "kind": "size_percent"},
        {"id": "entry", "kind": "enter"},
        {"id": "average_0", "kind": "SMA"},
    ]
    ends = [("size.size", "entry.size")]
    both = ""
    for number in range(1, AVERAGES):
        average, above = f"average_{number}", f"above_{number}"
        made.append({"id": average, "kind": "SMA", "parameters": {"timeperiod": number + 30}})
        made.append({"id": above, "kind": "compare"})
        ends += [(f"average_{number - 1}.real", f"{above}.a"), (f"{average}.real", f"{above}.b")]
        if both:
            made.append({"id": f"both_{number}", "kind": "and"})
            ends += [(f"{both}.value", f"both_{number}.a"), (f"{above}.value", f"both_{number}.b")]
        both = f"both_{number}" if both else above
    ends.append((f"{both}.value", "entry.when"))
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


async def made(lab: Lab, **content: Any) -> str:
    lab.product.client.timeout = 120  # the sandbox opens with the first check
    answer = await lab.call("POST", "/strategies", json={"name": "Crosses", **content})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def backtested(lab: Lab, strategy_id: str) -> dict[str, Any]:
    body = {
        "dataset_ids": [lab.dataset_id],
        "parameters": {"fast_bars": 6, "slow_bars": 40},
        "costs": {"rate": 0.001, "slippage_ticks": 1},
    }
    answer = await lab.call("POST", f"/strategies/{strategy_id}/backtest", json=body)
    assert answer.status_code == 202, answer.text
    run = await lab.over(answer.json()["id"])
    assert run["status"] == "SUCCEEDED", run["error"]
    return run


async def test_blocks_run_compiled_with_the_result_of_their_python(lab: Lab) -> None:
    no_code = await made(lab, blocks=example_graph())
    source = (await lab.call("GET", f"/strategies/{no_code}/python")).json()["source"]
    compiled = await backtested(lab, no_code)
    stepped = await backtested(lab, await made(lab, code=source))
    assert compiled["manifest"]["form"] == "compiled"
    assert stepped["manifest"]["form"] == "python"
    assert compiled["strategy_sha256"] == stepped["strategy_sha256"]
    assert compiled["total_trades"] > 5
    assert compiled["metrics"] == stepped["metrics"]
    for part in ("trades", "equity?format=arrow"):
        texts = [
            (await lab.call("GET", f"/backtests/{run['id']}/{part}")).content
            for run in (compiled, stepped)
        ]
        assert texts[0] == texts[1], part
    report = (await lab.call("GET", f"/backtests/{compiled['id']}/report")).text
    assert "s, compiled" in report


async def test_search_of_blocks_runs_compiled(lab: Lab) -> None:
    answer = await lab.call(
        "POST",
        f"/strategies/{await made(lab, blocks=example_graph())}/optimize",
        json={
            "dataset_ids": [lab.dataset_id],
            "search": {"fast_bars": {"low": 4, "high": 8}, "slow_bars": [20, 40]},
        },
    )
    assert answer.status_code == 202, answer.text
    run = await lab.over(answer.json()["id"], kind="optimizations")
    assert run["status"] == "SUCCEEDED", run["error"]
    assert (run["result"]["form"], run["result"]["total_trials"]) == ("compiled", 10)


@pytest.fixture(scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with laboratory("auto") as opened:
        yield opened


@pytest.fixture(scope="module")
def minutes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of so many minutes that a large graph over it is a lot to compute."""
    path = tmp_path_factory.mktemp("minutes") / "LONG_1m.parquet"
    price = np.round(100 + 10 * np.sin(np.arange(ROWS) / 500), 2)
    opened = np.datetime64("2020-01-01T00:00", "us") + np.arange(ROWS) * np.timedelta64(60, "s")
    table = {
        "ts": pa.array(opened, pa.timestamp("us", "UTC")),
        "open": price, "high": price + 0.5, "low": price - 0.5, "close": price,
        "volume": np.full(ROWS, 1e6),
    }  # fmt: skip
    pq.write_table(pa.table(table), path)
    return path


def job(minutes: Path, **changes: Any) -> BacktestJob:
    graph = large_graph()
    values: dict[str, Any] = {
        "strategy": "Large",
        "source": python_of(graph_from(graph)),
        "blocks": graph,
        "sources": [Source(path=str(minutes), symbol="LONG")],
        "sessions": {},
        "parameters": {},
        "cash": 100_000.0,
        "costs": {},
        "account": {},
        "start": None,
        "end": None,
        "seed": 0,
        "time_limit_s": 120.0,
    }
    return BacktestJob(**values | changes)


async def _wanted(_: Progress) -> bool:
    return True


async def test_a_large_graph_has_the_memory_of_any_run(
    minutes: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    limits: dict[str, Any] = {"tell": _wanted, "seconds_max": 120}
    with pytest.raises(BeyondLimits, match="memory"):
        await run_apart(sandbox, tmp_path, job(minutes), memory_bytes=200 * 1024**2, **limits)
    assert not (tmp_path / "result.zip").exists()
    outcome = await run_apart(sandbox, tmp_path, job(minutes), memory_bytes=2 * 1024**3, **limits)
    assert outcome.status == "SUCCEEDED", outcome.detail
    assert outcome.summary is not None
    assert outcome.summary["manifest"]["form"] == "compiled"


async def test_a_large_graph_has_the_time_of_any_run(
    minutes: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    outcome = await run_apart(
        sandbox, tmp_path, job(minutes, time_limit_s=0.05), tell=_wanted, seconds_max=120,
        memory_bytes=2 * 1024**3,
    )  # fmt: skip
    assert (outcome.status, outcome.code) == ("FAILED", "strategy_out_of_time")


async def test_a_run_that_nobody_wants_any_more_ends(
    minutes: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    async def unwanted(_: Progress) -> bool:
        return False

    # It would still be computing at the first look, which comes after half a second at the latest.
    outcome = await run_apart(
        sandbox, tmp_path, job(minutes), tell=unwanted, seconds_max=120, memory_bytes=2 * 1024**3
    )
    assert outcome.status == "CANCELED"
