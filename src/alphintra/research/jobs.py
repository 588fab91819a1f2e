"""Runs in the background: claimed by one worker, computed apart, kept whole or not at all.

QUEUED → RUNNING → SUCCEEDED | FAILED | CANCELED. A worker that stops gives its run back; a process
that dies, or a worker that is not heard of any more, has its run tried once more and then failed.
"""

import asyncio
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

import structlog
from procrastinate import App, Blueprint, JobContext
from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import now, to_ns
from alphintra.core.errors import Problem
from alphintra.core.ids import UserId
from alphintra.market import DatasetService, load_instruments, session_times
from alphintra.platform.jobs import enqueue, services_of
from alphintra.platform.sandbox import Sandbox
from alphintra.platform.security import Principal
from alphintra.platform.services import Services
from alphintra.research.apart import RESULT, run_apart
from alphintra.research.calendars import ALWAYS, AROUND
from alphintra.research.errors import BeyondLimits, ProcessDied
from alphintra.research.jobfile import BacktestJob, Job, OptimizeJob, Outcome, Progress, Source
from alphintra.research.models import RunRow
from alphintra.research.schemas import RunStatus
from alphintra.research.storing import open_results
from alphintra.strategies import load_version

NAMESPACE: Final = "research"
RUN: Final = "run"
ATTEMPTS_MAX: Final = 2
#: Progress is written at most so often.
WRITE_S: Final = 0.5
#: A worker that has not been heard of for so long is gone.
LOST_AFTER: Final = timedelta(seconds=60)
WORKER_LOST: Final = "worker_lost"
PROCESS_DIED: Final = "process_died"
BEYOND: Final = "run_beyond_limits"
_MIB: Final = 1024**2

tasks = Blueprint()
#: Runs keep a core busy each; more of them at a time only make all of them slow.
_turns = asyncio.Semaphore(max(1, os.cpu_count() or 1))
log = structlog.get_logger(__name__)


@tasks.task(name=RUN, pass_context=True)
async def run(context: JobContext, /, run_id: str, **_: Any) -> None:
    """Compute a run; a job that comes twice finds it claimed."""
    async with _turns:
        sandbox = cast(Sandbox, context.additional_context["laboratory"])
        await _Work(services_of(context), sandbox, UUID(run_id), context.app).do()


@tasks.periodic(cron="* * * * *")
@tasks.task(name="recover", pass_context=True, queueing_lock="research_recover")
async def recover(context: JobContext, /, timestamp: int, **_: Any) -> int:
    """Take up runs whose worker is gone; return how many there were."""
    services = services_of(context)
    before = now(services.clock) - LOST_AFTER
    async with services.database.transaction() as session:
        lost = (
            await session.scalars(
                select(RunRow)
                .where(RunRow.status == RunStatus.RUNNING, RunRow.seen_at < before)
                .with_for_update(skip_locked=True)
            )
        ).all()
        for row in lost:
            await _try_again(session, services, context.app, row, WORKER_LOST, "its worker is gone")
    return len(lost)


async def _try_again(
    session: AsyncSession, services: Services, jobs: App, row: RunRow, code: str, detail: str
) -> None:
    """Queue a run anew, or end it when it was tried often enough."""
    if row.cancel_requested:
        row.status, row.finished_at = RunStatus.CANCELED, now(services.clock)
    elif row.attempts < ATTEMPTS_MAX:
        row.status, row.progress, row.remaining_s = RunStatus.QUEUED, 0.0, None
        await session.flush()
        await enqueue(jobs, session, f"{NAMESPACE}:{RUN}", run_id=str(row.id))
    else:
        row.status, row.finished_at = RunStatus.FAILED, now(services.clock)
        row.error_code, row.error_detail = code, detail
    log.warning("run_interrupted", run=str(row.id), status=row.status, reason=detail)


@dataclass(slots=True)
class _Work:
    """One attempt at one run."""

    services: Services
    sandbox: Sandbox
    run_id: UUID
    jobs: App
    _written_s: float = field(default=0.0)

    async def do(self) -> None:
        row = await self._claim()
        if row is None:
            return
        store = open_results(self.services.settings.objects_url)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=store.scratch()))
        try:
            outcome = await self._compute(row, folder)
            if outcome.status == "SUCCEEDED" and outcome.sha256 is not None:
                size = (folder / RESULT).stat().st_size
                # The file first: a row that names a result has one.
                await asyncio.to_thread(store.put, folder / RESULT, outcome.sha256)
                await self._finish(outcome, size)
            else:
                await self._finish(outcome, None)
        except BeyondLimits as error:
            await self._finish(Outcome(status="FAILED", code=BEYOND, detail=str(error)), None)
        except ProcessDied as error:
            await self._again(PROCESS_DIED, str(error))
        except asyncio.CancelledError:
            # The worker is being stopped: another one begins anew, and this does not count.
            with suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await asyncio.shield(self._give_back())
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _claim(self) -> RunRow | None:
        at = now(self.services.clock)
        async with self.services.database.transaction() as session:
            row: RunRow | None = await session.scalar(
                update(RunRow)
                .where(RunRow.id == self.run_id, RunRow.status == RunStatus.QUEUED)
                .values(
                    status=RunStatus.RUNNING,
                    attempts=RunRow.attempts + 1,
                    started_at=at,
                    seen_at=at,
                    progress=0.0,
                )
                .returning(RunRow)
            )
        return row

    async def _compute(self, row: RunRow, folder: Path) -> Outcome:
        settings = self.services.settings
        try:
            job = await self._job(row)
        except Problem as problem:
            if problem.retryable:
                raise ProcessDied(problem.detail) from problem
            return Outcome(status="FAILED", code=problem.code, detail=problem.detail)
        return await run_apart(
            self.sandbox,
            folder,
            job,
            tell=self._tell,
            seconds_max=settings.research_seconds_max,
            memory_bytes=settings.research_memory_mb * _MIB,
        )

    async def _job(self, row: RunRow) -> Job:
        datasets = DatasetService(self.services)
        owner = Principal(user_id=UserId(row.user_id), permissions=frozenset())
        request = row.request
        wanted = set(request["symbols"])
        sources: dict[str, Source] = {}
        found = []
        for dataset_id in request["dataset_ids"]:
            dataset = await datasets.get(owner, UUID(dataset_id))
            found.append(dataset)
            path = str(datasets.path(dataset))
            for symbol in dataset.symbols:
                if not wanted or symbol in wanted:
                    # Bars and quotes of one symbol may come from different datasets.
                    sources.setdefault(f"{dataset_id} {symbol}", Source(path=path, symbol=symbol))
        common = {
            **await self._strategy(row, owner),
            "sources": list(sources.values()),
            "sessions": await self._sessions(
                request.get("calendar"),
                {source.symbol for source in sources.values()},
                min(dataset.first_at for dataset in found),
                max(dataset.last_at for dataset in found),
            ),
            "parameters": request["parameters"],
            "cash": request["cash"],
            "costs": {k: v for k, v in request["costs"].items() if v is not None},
            "account": request["account"],
            "start": request["start"],
            "end": request["end"],
            "seed": request["seed"],
            "time_limit_s": float(self.services.settings.research_seconds_max),
        }
        if row.kind == "BACKTEST":
            return BacktestJob(**common)
        return OptimizeJob(
            **common,
            search={
                name: _stretch(one) if isinstance(one, dict) else one
                for name, one in request["search"].items()
            },
            method=request["method"],
            objective=request["objective"],
            trials=request["trials"],
            rules=request["rules"],
            minimum_trades=request["minimum_trades"],
        )

    async def _sessions(
        self, calendar: str | None, symbols: set[str], first_at: datetime, last_at: datetime
    ) -> dict[str, list[tuple[int, int]]]:
        """Return when the symbols trade: by the calendar, or by that of the instrument so called.

        Raises:
            UnknownCalendar: there is no such calendar.
        """
        names = dict.fromkeys(symbols, calendar)
        if calendar is None:
            async with self.services.database.reading() as session:
                for instrument in await load_instruments(session):
                    if instrument.symbol in names:
                        names[instrument.symbol] = instrument.calendar
        start_ns, end_ns = to_ns(first_at - AROUND), to_ns(last_at + AROUND)
        sessions = {}
        for symbol, name in names.items():
            if name not in (None, ALWAYS):
                times = await asyncio.to_thread(session_times, name, start_ns, end_ns)
                sessions[symbol] = [(int(opens), int(closes)) for opens, closes in times]
        return sessions

    async def _strategy(self, row: RunRow, owner: Principal) -> dict[str, Any]:
        """Return what a job says of the strategy; its owner may not share it any more."""
        if row.strategy_version_id is None:
            return {"strategy": row.strategy}
        async with self.services.database.reading() as session:
            version = await load_version(session, owner, row.strategy_version_id)
        return {
            "strategy": row.strategy,
            "source": version.source,
            "blocks": version.blocks,
            "strategy_id": str(version.strategy_id),
            "strategy_version": version.number,
        }

    async def _tell(self, progress: Progress) -> bool:
        """Write the progress down; say whether the run is still wanted."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._written_s < WRITE_S:
            return True
        self._written_s = loop.time()
        async with self.services.database.transaction() as session:
            wanted = await session.scalar(
                update(RunRow)
                .where(RunRow.id == self.run_id, RunRow.status == RunStatus.RUNNING)
                .values(
                    progress=progress.share,
                    remaining_s=progress.remaining_s,
                    seen_at=now(self.services.clock),
                )
                .returning(RunRow.cancel_requested)
            )
        return wanted is False

    async def _finish(self, outcome: Outcome, size: int | None) -> None:
        is_done = outcome.status == "SUCCEEDED"
        async with self.services.database.transaction() as session:
            await session.execute(
                update(RunRow)
                .where(
                    RunRow.id == self.run_id,
                    or_(RunRow.status == RunStatus.RUNNING, RunRow.status == RunStatus.QUEUED),
                )
                .values(
                    status=RunStatus(outcome.status),
                    progress=1.0 if is_done else RunRow.progress,
                    remaining_s=0.0 if is_done else None,
                    summary=outcome.summary,
                    result_sha256=outcome.sha256,
                    result_bytes=size,
                    error_code=outcome.code,
                    error_detail=outcome.detail,
                    finished_at=now(self.services.clock),
                )
            )
        log.info("run_ended", run=str(self.run_id), status=outcome.status, code=outcome.code)

    async def _again(self, code: str, detail: str) -> None:
        async with self.services.database.transaction() as session:
            row = await session.get(RunRow, self.run_id, with_for_update=True)
            if row is not None and row.status == RunStatus.RUNNING:
                await _try_again(session, self.services, self.jobs, row, code, detail)

    async def _give_back(self) -> None:
        async with self.services.database.transaction() as session:
            row = await session.get(RunRow, self.run_id, with_for_update=True)
            if row is not None and row.status == RunStatus.RUNNING:
                row.attempts -= 1
                await _try_again(
                    session, self.services, self.jobs, row, WORKER_LOST, "its worker was stopped"
                )


def _stretch(body: dict[str, Any]) -> str:
    """Return a range as a search reads it: "5:50:5"."""
    ends = [body["low"], body["high"], *([body["step"]] if body["step"] is not None else [])]
    return ":".join(str(int(end)) if float(end).is_integer() else repr(end) for end in ends)
