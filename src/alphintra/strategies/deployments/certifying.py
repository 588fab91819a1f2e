"""Background work: certificates, asked for by people and made each night for whole days; retention.

PENDING until a worker has made it. One whose worker dies at it is made by another.
"""

import asyncio
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from procrastinate import App, Blueprint, JobContext
from sqlalchemy import exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra import trading
from alphintra.core.clock import now
from alphintra.core.errors import Problem
from alphintra.platform.jobs import create_jobs, enqueue, services_of
from alphintra.platform.sandbox import Sandbox, SandboxUnavailable
from alphintra.platform.security import Principal
from alphintra.platform.services import Services
from alphintra.strategies.deployments.certificate import check, is_over, span_of
from alphintra.strategies.deployments.commands import owned
from alphintra.strategies.deployments.errors import DayMissing
from alphintra.strategies.deployments.models import CertificateRow, DeploymentRow, FrameRow
from alphintra.strategies.deployments.process import PRELOAD
from alphintra.strategies.deployments.retention import forget

NAMESPACE: Final = "deployments"
CERTIFY: Final = "certify"
#: Days before today that the nightly job looks at: workers may have been down for some nights.
NIGHTS: Final = 7
ATTEMPTS_MAX: Final = 3
#: A certificate that has waited for so long has lost its job, unless there still is one.
LOST_AFTER: Final = timedelta(seconds=60)
#: A worker that was not heard of for so long is gone.
HEARTBEAT_S: Final = 60.0
PENDING: Final = "PENDING"
#: It could not be said; the notes tell why.
UNKNOWN: Final = "UNKNOWN"

tasks = Blueprint()
#: A replay keeps a core busy.
_turn = asyncio.Semaphore(1)
log = structlog.get_logger(__name__)


@tasks.task(name=CERTIFY, pass_context=True)
async def certify(context: JobContext, /, certificate_id: str, **_: Any) -> None:
    """Make one certificate; a repeat finds it made."""
    async with _turn:
        await _make(services_of(context), UUID(certificate_id))


@tasks.periodic(cron="17 0 * * *")
@tasks.task(name="certify_yesterday", pass_context=True, queueing_lock="deployments_certify")
async def certify_yesterday(context: JobContext, /, timestamp: int, **_: Any) -> int:
    """Ask for a certificate of each whole day, of the last ones, on which a deployment was at work
    and which has none; return how many.
    """
    services = services_of(context)
    today = now(services.clock).date()
    asked = 0
    for day in (today - timedelta(days=ago) for ago in range(1, NIGHTS + 1)):
        async with services.database.reading() as session:
            lived = await _lived_on(session, day)
        for deployment_id in lived:
            # Each for itself: who holds many locks keeps the supervisors waiting.
            async with services.database.transaction() as session:
                # A job that is run once more, after a crash, finds that it was asked already.
                row = await session.get(DeploymentRow, deployment_id, with_for_update=True)
                if row is not None and not await _is_certified(session, deployment_id, day):
                    await _ask(services, context.app, session, row, day)
                    asked += 1
    return asked


async def _lived_on(session: AsyncSession, day: date) -> list[UUID]:
    """Return the deployments that were told something on a day."""
    first, end = span_of(day)
    found = await session.scalars(
        select(DeploymentRow.id)
        .where(
            DeploymentRow.created_at < end,
            or_(DeploymentRow.ended_at.is_(None), DeploymentRow.ended_at >= first),
            exists().where(
                FrameRow.deployment_id == DeploymentRow.id, FrameRow.at >= first, FrameRow.at < end
            ),
        )
        .order_by(DeploymentRow.id)
    )
    return list(found)


async def _is_certified(session: AsyncSession, deployment_id: UUID, day: date) -> bool:
    found = await session.scalar(
        select(
            exists().where(
                CertificateRow.deployment_id == deployment_id,
                CertificateRow.day == day,
                CertificateRow.is_whole_day,
            )
        )
    )
    return bool(found)


@tasks.periodic(cron="* * * * *")
@tasks.task(name="recover", pass_context=True, queueing_lock="deployments_recover")
async def recover(context: JobContext, /, timestamp: int, **_: Any) -> int:
    """Take up certificates whose worker is gone, or whose job has failed; return how many."""
    services = services_of(context)
    before = now(services.clock) - LOST_AFTER
    async with services.database.transaction() as session:
        waiting = (
            await session.scalars(
                select(CertificateRow)
                .where(CertificateRow.verdict == PENDING, CertificateRow.created_at <= before)
                .with_for_update(skip_locked=True)
            )
        ).all()
        tried = await _tries(context.app) if waiting else {}
        lost = [one for one in waiting if None not in tried.get(str(one.id), [])]
        for one in lost:
            if len(tried.get(str(one.id), [])) < ATTEMPTS_MAX:
                await enqueue(
                    context.app, session, f"{NAMESPACE}:{CERTIFY}", certificate_id=str(one.id)
                )
            else:
                one.verdict = UNKNOWN
                one.notes = [f"it could not be made in {ATTEMPTS_MAX} tries; ask for another"]
            log.warning("certificate_interrupted", certificate=str(one.id), verdict=one.verdict)
    return len(lost)


async def _tries(jobs: App) -> dict[str, list[int | None]]:
    """Return the jobs of certificates, by certificate: the numbers of those that have failed or
    were left behind, None for one that waits or is at work.
    """
    name = f"{NAMESPACE}:{CERTIFY}"
    manager = jobs.job_manager
    left = await manager.get_stalled_jobs(task_name=name, seconds_since_heartbeat=HEARTBEAT_S)
    left_behind = {one.id for one in left}
    found: dict[str, list[int | None]] = {}
    for job in await manager.list_jobs_async(task=name):
        is_alive = job.status in {"todo", "doing"} and job.id not in left_behind
        found.setdefault(str(job.task_kwargs.get("certificate_id")), []).append(
            None if is_alive else job.id
        )
    return found


@tasks.periodic(cron="47 1 * * *")
@tasks.task(name="forget", pass_context=True, queueing_lock="deployments_forget")
async def forget_old(context: JobContext, /, timestamp: int, **_: Any) -> int:
    """Delete what deployments that ended long ago had lived through."""
    return await forget(services_of(context))


async def _ask(
    services: Services, jobs: App, session: AsyncSession, row: DeploymentRow, day: date
) -> CertificateRow:
    certificate = CertificateRow(
        id=services.ids(),
        deployment_id=row.id,
        user_id=row.user_id,
        strategy_id=row.strategy_id,
        version_id=row.version_id,
        day=day,
        verdict=PENDING,
        frames=0,
        signals=0,
        orders=0,
        fills=0,
        differences=[],
        notes=[],
        is_whole_day=is_over(services, day),
        created_at=now(services.clock),
    )
    session.add(certificate)
    await session.flush()
    await enqueue(jobs, session, f"{NAMESPACE}:{CERTIFY}", certificate_id=str(certificate.id))
    return certificate


@dataclass(slots=True)
class Certificates:
    """What people ask for."""

    services: Services
    _jobs: App | None = None

    async def ask(self, caller: Principal, deployment_id: UUID, day: date) -> CertificateRow:
        """Ask for a certificate of a day; it is PENDING until a worker has made it.

        Raises:
            NoSuchDeployment: there is none, or it is somebody else's.
            DayMissing: the deployment did not run on that day.
        """
        if self._jobs is None:
            # Without the tasks: they belong to the worker's queue, perhaps in this very process.
            self._jobs = create_jobs(self.services.database.conninfo, {})
        start, end = span_of(day)
        async with self.services.database.transaction() as session:
            row = await owned(session, caller, deployment_id)
            told = await session.scalar(
                select(FrameRow.number)
                .where(
                    FrameRow.deployment_id == deployment_id,
                    FrameRow.at >= start,
                    FrameRow.at < end,
                )
                .limit(1)
            )
            if told is None:
                raise DayMissing(f"the deployment did not run on {day}")
            return await _ask(self.services, self._jobs, session, row, day)


async def _make(services: Services, certificate_id: UUID) -> None:
    async with services.database.reading() as session:
        certificate = await session.get(CertificateRow, certificate_id)
        if certificate is None or certificate.verdict != PENDING:
            return
        row = await session.get(DeploymentRow, certificate.deployment_id)
    if row is None:
        return
    # All that was booked when it was asked for is looked at, and the venue's record comes after.
    settled = certificate.created_at + trading.SETTLED - now(services.clock)
    await asyncio.sleep(max(0.0, settled.total_seconds()))
    values: dict[str, Any]
    try:
        async with Sandbox(preload=PRELOAD, isolation=services.settings.sandbox) as sandbox:
            findings = await check(services, sandbox, row, certificate.day)
    except Problem as problem:
        if problem.retryable and not isinstance(problem, SandboxUnavailable):
            raise  # the database is away: `recover` has it tried again
        values = {"verdict": UNKNOWN, "notes": [f"{problem.detail} [{problem.code}]"]}
    else:
        values = {
            "verdict": findings.verdict,
            "frames": findings.frames,
            "signals": findings.signals,
            "orders": findings.orders,
            "fills": findings.fills,
            "differences": list(findings.differences),
            "notes": findings.notes,
        }
    async with services.database.transaction() as session:
        made = await session.get(CertificateRow, certificate_id, with_for_update=True)
        if made is not None and made.verdict == PENDING:
            for name, value in values.items():
                setattr(made, name, value)
    log.info("certificate_made", deployment=str(row.id), verdict=values["verdict"])
