"""Runs that are cancelled, killed, too large or forgotten: never half a result, always a reason."""

import asyncio
import os
import signal
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from procrastinate import JobContext
from sqlalchemy import update

from alphintra.core.clock import now
from alphintra.platform.jobs import create_jobs
from alphintra.research.apart import run_apart
from alphintra.research.errors import BeyondLimits
from alphintra.research.jobfile import BacktestJob, Progress
from alphintra.research.jobs import LOST_AFTER, recover
from alphintra.research.models import RunRow
from tests.research.http.conftest import Lab


def processes(folder: Path) -> list[int]:
    """Return the computing processes that work in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"alphintra.research.apart" in command and str(folder).encode() in command[-2]:
            found.append(int(entry.name))
    return found


def results(lab: Lab) -> Path:
    return Path(urlsplit(lab.product.services.settings.objects_url).path) / "results"


async def long_search(lab: Lab) -> str:
    """Ask for what takes minutes."""
    answer = await lab.call(
        "POST",
        "/optimizations",
        json=lab.order(parameters={}, method="random", trials=100_000),
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def computing(lab: Lab) -> int:
    """Wait until a process computes and return it."""
    async with asyncio.timeout(30):
        while True:
            if found := processes(results(lab)):
                return found[0]
            await asyncio.sleep(0.05)


async def test_running_search_tells_its_progress_and_is_cancelled(lab: Lab) -> None:
    run_id = await long_search(lab)
    run = await lab.until(run_id, lambda run: run["progress"] > 0, kind="optimizations")
    assert run["status"] == "RUNNING"
    assert 0 < run["progress"] < 1
    assert run["remaining_s"] > 0
    answer = await lab.call("DELETE", f"/optimizations/{run_id}")
    assert answer.status_code == 202
    run = await lab.over(run_id, kind="optimizations")
    assert (run["status"], run["result"], run["result_sha256"]) == ("CANCELED", None, None)
    assert processes(results(lab)) == []
    assert list((results(lab) / "working").iterdir()) == []
    again = await lab.call("DELETE", f"/optimizations/{run_id}")
    assert again.json()["status"] == "CANCELED"


async def test_killed_process_is_tried_once_more_and_then_fails(lab: Lab) -> None:
    run_id = await long_search(lab)
    first = await computing(lab)
    os.kill(first, signal.SIGKILL)
    second = first
    async with asyncio.timeout(60):
        while second == first:
            await asyncio.sleep(0.05)
            second = (processes(results(lab)) or [first])[0]
    os.kill(second, signal.SIGKILL)
    run = await lab.over(run_id, kind="optimizations")
    assert (run["status"], run["attempts"]) == ("FAILED", 2)
    assert run["error"]["code"] == "process_died"
    assert "SIGKILL" in run["error"]["detail"]
    assert list((results(lab) / "working").iterdir()) == []


async def test_waiting_run_is_cancelled_at_once(lab: Lab) -> None:
    busy = [await long_search(lab) for _ in range(os.cpu_count() or 1)]
    await computing(lab)
    waiting = await lab.started()
    answer = await lab.call("DELETE", f"/backtests/{waiting}")
    assert answer.json()["status"] == "CANCELED"
    for run_id in busy:
        await lab.call("DELETE", f"/optimizations/{run_id}")
    for run_id in busy:
        assert (await lab.over(run_id, kind="optimizations"))["status"] == "CANCELED"
    after = await lab.over(waiting)
    assert (after["status"], after["started_at"]) == ("CANCELED", None)


async def test_finished_run_cannot_be_cancelled(lab: Lab) -> None:
    run_id = await lab.started()
    await lab.over(run_id)
    answer = await lab.call("DELETE", f"/backtests/{run_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "run_is_over")


async def test_run_of_a_lost_worker_is_taken_up_again(lab: Lab) -> None:
    run_id = await lab.started()
    before = await lab.over(run_id)
    services = lab.product.services
    await _pretend(lab, run_id, attempts=1)
    context = SimpleNamespace(
        additional_context={"services": services},
        app=create_jobs(services.database.conninfo, {}),
    )
    assert await recover.func(cast(JobContext, context), 0) == 1
    run = await lab.over(run_id)
    assert (run["status"], run["attempts"]) == ("SUCCEEDED", 2)
    assert run["final_capital"] == before["final_capital"]
    await _pretend(lab, run_id, attempts=2)
    assert await recover.func(cast(JobContext, context), 0) == 1
    run = await lab.over(run_id)
    assert (run["status"], run["error"]["code"]) == ("FAILED", "worker_lost")


async def _pretend(lab: Lab, run_id: str, *, attempts: int) -> None:
    """Make a run look as one whose worker vanished."""
    services = lab.product.services
    async with services.database.transaction() as session:
        await session.execute(
            update(RunRow)
            .where(RunRow.id == UUID(run_id))
            .values(
                status="RUNNING",
                attempts=attempts,
                seen_at=now(services.clock) - LOST_AFTER - timedelta(seconds=1),
            )
        )


def job(**changes: Any) -> BacktestJob:
    return BacktestJob(
        **{
            "strategy": "sma_cross",
            "sources": [],
            "parameters": {},
            "cash": 1.0,
            "costs": {},
            "account": {},
            "start": None,
            "end": None,
            "seed": 0,
            "time_limit_s": 10.0,
            **changes,
        }
    )


async def _wanted(_: Progress) -> bool:
    return True


async def test_process_beyond_its_memory_says_so(tmp_path: Path) -> None:
    with pytest.raises(BeyondLimits, match="memory"):
        await run_apart(tmp_path, job(), tell=_wanted, seconds_max=60, memory_bytes=64 * 1024**2)
    assert not (tmp_path / "result.zip").exists()


async def test_process_beyond_its_time_is_ended(tmp_path: Path) -> None:
    with pytest.raises(BeyondLimits, match="longer than"):
        await run_apart(tmp_path, job(), tell=_wanted, seconds_max=0.01, memory_bytes=4 * 1024**3)
    assert processes(tmp_path) == []


async def test_refusal_is_an_outcome_and_not_tried_again(tmp_path: Path) -> None:
    outcome = await run_apart(
        tmp_path, job(), tell=_wanted, seconds_max=60, memory_bytes=4 * 1024**3
    )
    assert (outcome.status, outcome.code) == ("FAILED", "range_empty")
