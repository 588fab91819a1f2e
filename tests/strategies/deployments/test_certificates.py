"""Certificates made by themselves each night; and what happens when making one goes wrong."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from alphintra import strategies
from alphintra.platform.jobs import create_jobs, enqueue, run_jobs
from alphintra.strategies.deployments import certifying
from alphintra.strategies.deployments.certificate import check
from tests.gateway.product import product_settings
from tests.strategies.deployments.stage import DEADLINE_S, SYMBOL, Stage, running_stage

#: What it orders hangs on something that it is not told: a replay cannot give the same.
FICKLE: Final = """
import time

from alphintra.sdk import Strategy


class Fickle(Strategy):
    def on_bar(self, bar):
        self.buy(round(0.01 + time.time_ns() % 9_973 / 10_000, 4))
"""
IDLE: Final = """
from alphintra.sdk import Strategy


class Idle(Strategy):
    def on_bar(self, bar):
        pass
"""


@pytest.fixture(scope="module")
async def stage(database_url: str, bus_url: str) -> AsyncIterator[Stage]:
    settings = product_settings(database_url, bus_url)
    async with running_stage(settings, worker=False) as running:
        yield running


@asynccontextmanager
async def worker(stage: Stage) -> AsyncIterator[None]:
    """A worker that makes certificates."""
    services = replace(stage.product.services, clock=stage.clock)
    jobs = create_jobs(
        services.database.conninfo, {certifying.NAMESPACE: strategies.deployment_tasks}
    )
    stop = asyncio.Event()
    running = asyncio.create_task(run_jobs(jobs, services, stop))
    try:
        yield
    finally:
        stop.set()
        await running


async def enqueued(stage: Stage, task: str) -> None:
    """Ask for what the timetable asks for, now."""
    database = stage.product.services.database
    jobs = create_jobs(database.conninfo, {})
    async with database.transaction() as session:
        await enqueue(jobs, session, f"{certifying.NAMESPACE}:{task}", timestamp=0)


async def certificates(stage: Stage, deployment_id: str) -> list[dict[str, Any]]:
    return await stage.items(f"/deployments/{deployment_id}/certificates")


async def made(
    stage: Stage, deployment_id: str, again: Callable[[], Any] | None = None
) -> dict[str, Any]:
    """Wait for the one certificate of a deployment."""

    async def is_made() -> dict[str, Any] | None:
        if again is not None:
            await again()
        found = await certificates(stage, deployment_id)
        return found[0] if found and found[0]["verdict"] != "PENDING" else None

    found = await stage.waits_for(is_made)
    assert found is not None
    return found


async def lived(stage: Stage, *codes: str) -> list[str]:
    """Let some strategies see three candles, and stop them."""
    ids = [
        await stage.deploy(await stage.write(code, name="Certified"), warmup=5) if code else
        await stage.deploy(warmup=5)
        for code in codes
    ]  # fmt: skip
    for one in ids:
        await stage.running(one)
    for _ in range(3):
        before = [(await stage.show(one))["last_candle_at"] for one in ids]
        await stage.market.go()
        for one, at in zip(ids, before, strict=True):
            await stage.until(one, lambda now, at=at: now["last_candle_at"] != at)  # type: ignore[misc]
            await stage.quiet(one)
    for one in ids:
        await stage.tell(one, "liquidate")

    async def are_over() -> bool:
        await stage.market.quote()
        return {(await stage.show(one))["status"] for one in ids} == {"STOPPED"}

    await stage.waits_for(are_over)
    return ids


async def test_each_day_is_certified_by_itself_at_night(stage: Stage) -> None:
    steady, fickle, idle = await lived(stage, "", FICKLE, IDLE)
    early = await live(stage, steady)
    assert early == "parity_certificate_needed"
    today = datetime.now(UTC).date()
    stage.clock.ahead = timedelta(days=1)
    try:
        async with worker(stage):
            await enqueued(stage, "certify_yesterday")
            passed = await made(stage, steady)
            failed = await made(stage, fickle)
            empty = await made(stage, idle)
            # The job itself may come twice, when the worker dies at its end.
            await enqueued(stage, "certify_yesterday")
            stage.clock.ahead = timedelta(days=3)
            await enqueued(stage, "certify_yesterday")
            await no_jobs_left(stage)
        for one in (steady, fickle, idle):
            assert len(await certificates(stage, one)) == 1
    finally:
        stage.clock.ahead = timedelta(0)
    assert (passed["verdict"], passed["differences"]) == ("PASSED", [])
    assert passed["is_whole_day"]
    assert passed["day"] == today.isoformat()
    assert passed["fills"] >= 3
    assert failed["verdict"] == "FAILED"
    assert {(one["part"], one["cause"]) for one in failed["differences"]} == {
        ("DECISIONS", "terms")
    }
    assert empty["verdict"] == "EMPTY"
    # A whole day that has passed is what live trading asks for.
    assert await live(stage, steady) == "broker_connection_needed"


async def live(stage: Stage, deployment_id: str) -> str:
    """Try to trade a deployed version at a broker; return why not."""
    shown = await stage.show(deployment_id)
    answer = await stage.call(
        "POST",
        f"/strategies/{shown['strategy_id']}/deploy",
        json={"mode": "LIVE", "symbols": [SYMBOL], "version": shown["version"]},
    )
    return str(answer.json()["code"])


async def no_jobs_left(stage: Stage) -> None:
    jobs = create_jobs(stage.product.services.database.conninfo, {})

    async with jobs.open_async():

        async def are_done() -> bool:
            found = await jobs.job_manager.list_jobs_async()
            return not [one for one in found if one.status in {"todo", "doing"}]

        await stage.waits_for(are_done)


async def test_one_that_goes_wrong_is_made_by_another_try(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    died, broken = await lived(stage, "", "")
    calls: Counter[str] = Counter()
    began = asyncio.Event()

    async def dies_first(services: Any, sandbox: Any, row: Any, day: Any) -> Any:
        calls[str(row.id)] += 1
        if str(row.id) == broken:
            raise RuntimeError("a fault of ours")
        if calls[died] == 1:
            began.set()
            await asyncio.Event().wait()  # its worker is stopped meanwhile
        return await check(services, sandbox, row, day)

    monkeypatch.setattr(certifying, "check", dies_first)
    monkeypatch.setattr(certifying, "LOST_AFTER", timedelta(0))
    day = datetime.now(UTC).date().isoformat()

    async def ask(deployment_id: str) -> None:
        path = f"/deployments/{deployment_id}/certificates"
        answer = await stage.call("POST", path, json={"day": day})
        assert answer.status_code == 202, answer.text

    async with worker(stage):
        await ask(died)
        async with asyncio.timeout(DEADLINE_S):
            await began.wait()
    (pending,) = await certificates(stage, died)
    assert pending["verdict"] == "PENDING"

    async def recovered() -> None:
        await enqueued(stage, "recover")
        await asyncio.sleep(0.5)

    async with worker(stage):
        await ask(broken)
        found = await made(stage, died, recovered)
        assert (found["id"], found["verdict"]) == (pending["id"], "PASSED")
        given_up = await made(stage, broken, recovered)
    assert given_up["verdict"] == "UNKNOWN"
    assert "3 tries" in given_up["notes"][0]
    assert calls == {died: 2, broken: certifying.ATTEMPTS_MAX}
