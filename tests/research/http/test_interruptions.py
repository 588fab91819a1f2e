"""Runs that are cancelled, killed, too large or forgotten: never half a result, always a reason."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
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
from alphintra.platform.sandbox import Sandbox, SandboxUnavailable
from alphintra.research.apart import laboratory, run_apart
from alphintra.research.errors import BeyondLimits, ProcessDied
from alphintra.research.jobfile import BacktestJob, Progress
from alphintra.research.jobs import LOST_AFTER, recover
from alphintra.research.models import RunRow
from tests.research.http.conftest import Lab


def processes() -> list[int]:
    """Return the sandboxed processes that were forked for this one: they look like their parent."""
    return [
        pid
        for pid in _numbers()
        if b"alphintra.platform.sandbox.nursery" in _command(pid)
        and b"--unshare-all" not in _command(pid)  # bubblewrap forks too
        and _command(pid) == _command(_parent(pid))
        and os.getpid() in _ancestors(pid)
    ]


def _numbers() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _ancestors(pid: int) -> list[int]:
    found = []
    while pid := _parent(pid):
        found.append(pid)
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


async def computing() -> int:
    """Wait until a process computes and return it."""
    async with asyncio.timeout(30):
        while True:
            if found := processes():
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
    assert processes() == []
    assert list((results(lab) / "working").iterdir()) == []
    again = await lab.call("DELETE", f"/optimizations/{run_id}")
    assert again.json()["status"] == "CANCELED"


async def test_killed_process_is_tried_once_more_and_then_fails(lab: Lab) -> None:
    run_id = await long_search(lab)
    first = await computing()
    os.kill(first, signal.SIGKILL)
    second = first
    async with asyncio.timeout(60):
        while second == first:
            await asyncio.sleep(0.05)
            second = (processes() or [first])[0]
    os.kill(second, signal.SIGKILL)
    run = await lab.over(run_id, kind="optimizations")
    assert (run["status"], run["attempts"]) == ("FAILED", 2)
    assert run["error"]["code"] == "process_died"
    assert "SIGKILL" in run["error"]["detail"]
    assert list((results(lab) / "working").iterdir()) == []


async def test_waiting_run_is_cancelled_at_once(lab: Lab) -> None:
    busy = [await long_search(lab) for _ in range(os.cpu_count() or 1)]
    await computing()
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
            "sessions": {},
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


@pytest.fixture(scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with laboratory("auto") as opened:
        yield opened


async def test_process_beyond_its_memory_says_so(tmp_path: Path, sandbox: Sandbox) -> None:
    with pytest.raises(BeyondLimits, match="memory"):
        await run_apart(
            sandbox,
            tmp_path,
            job(source="#" * 8 * 1024**2),
            tell=_wanted,
            seconds_max=60,
            memory_bytes=4 * 1024**2,
        )
    assert not (tmp_path / "result.zip").exists()


async def test_process_beyond_its_time_is_ended(tmp_path: Path, sandbox: Sandbox) -> None:
    with pytest.raises(BeyondLimits, match="longer than"):
        await run_apart(
            sandbox,
            tmp_path,
            job(source="while True: pass"),
            tell=_wanted,
            seconds_max=0.5,
            memory_bytes=4 * 1024**3,
        )
    assert processes() == []


async def test_refusal_is_an_outcome_and_not_tried_again(tmp_path: Path, sandbox: Sandbox) -> None:
    outcome = await run_apart(
        sandbox, tmp_path, job(), tell=_wanted, seconds_max=60, memory_bytes=4 * 1024**3
    )
    assert (outcome.status, outcome.code) == ("FAILED", "range_empty")


#: What somebody's strategy might do to whoever reads its result: it speaks in the run's place.
_LIAR = """
import gc, msgspec, zipfile
from alphintra.platform.sandbox import Channel
(channel,) = [one for one in gc.get_objects() if isinstance(one, Channel)]
def say(**fields):
    channel.send(msgspec.json.encode(fields))
def done(length, status="SUCCEEDED", **more):
    outcome = {"status": status, "sha256": "0" * 64, "summary": {}, "code": "x" * 10_000, **more}
    say(type="Done", outcome=outcome, result_bytes=length)
"""


@pytest.mark.parametrize(
    ("lie", "answer"),
    [
        ("done(4_096)", "left no result"),
        ("done(2**62)", "has a result of"),
        ("done(-1)", "has a result of"),
        ("done(0)", "has a result of"),
        ('done(0, "CANCELED")', "makes no sense"),
        ('say(type="Progress", share=1e300, remaining_s=None)', "makes no sense"),
        ('say(type="Progress", share="all", remaining_s=None)', "makes no sense"),
        ('say(type="Order", symbol="ACME")', "makes no sense"),
        ('channel.send(b"[" * 1_000_000)', "makes no sense"),
        ('done(0, "FAILED", detail="a\\0b")', "no database takes"),
        ('done(0, "FAILED", summary={"a": ["\\0"]})', "no database takes"),
        (
            """
start = b'{"type":"Done","result_bytes":1,"outcome":{"summary":'
channel.send(start + b'{"":' * 10**6)
""",
            "makes no sense",
        ),
        (
            """
with zipfile.ZipFile(channel.shared[0], "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("about.json", bytes(80 * 1024**2))
done(channel.shared[0].tell())
""",
            "has 83886080 bytes",
        ),
    ],
)
async def test_lies_about_a_result_are_seen(
    lie: str, answer: str, tmp_path: Path, sandbox: Sandbox
) -> None:
    with pytest.raises(ProcessDied, match=answer):
        await run_apart(
            sandbox,
            tmp_path,
            job(source=_LIAR + lie),
            tell=_wanted,
            seconds_max=60,
            memory_bytes=1024**3,
        )


async def test_without_isolation_only_the_library_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise SandboxUnavailable("no Landlock here")

    monkeypatch.setattr(Sandbox, "start", refuse)
    limits: dict[str, Any] = {"tell": _wanted, "seconds_max": 120, "memory_bytes": 4 * 1024**3}
    outcome = await run_apart(laboratory("auto"), tmp_path, job(source="1"), **limits)
    assert (outcome.status, outcome.code) == ("FAILED", "sandbox_unavailable")
    outcome = await run_apart(laboratory("auto"), tmp_path, job(), **limits)
    assert (outcome.status, outcome.code) == ("FAILED", "range_empty")
