"""The parity certificate: a deployed day, replayed, gives what was decided and booked.

    decisions  all that the deployment was told, until the end of the day, is told to a fresh
               process: of the day's events it has to decide the same, by name and terms
    execution  the venue's record of the day is played through the simulator again: it has to give
               the same fills, fees and ends of the deployment's orders

Both together say that a backtest of that day would have traded as the deployment did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, TypedDict
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra import trading
from alphintra.core import money
from alphintra.core.clock import now
from alphintra.core.errors import Problem
from alphintra.core.ids import UserId
from alphintra.platform.sandbox import Sandbox
from alphintra.platform.services import Services
from alphintra.strategies.deployments.journal import UNHEARD
from alphintra.strategies.deployments.limits import ORDER_RATE
from alphintra.strategies.deployments.models import DeploymentRow, FrameRow, SignalRow
from alphintra.strategies.deployments.process import ProcessDied, StrategyFaulty, StrategyProcess
from alphintra.strategies.deployments.signals import CANCEL, PLACE, STRATEGY
from alphintra.strategies.live import frames

PASSED: Final = "PASSED"
FAILED: Final = "FAILED"
#: Nothing was decided on that day, so that nothing is shown by it.
EMPTY: Final = "EMPTY"
PAGE: Final = 2_000
DIFFERENCES_MAX: Final = 200
#: What a decision of the replay is compared by: kind and name, and the order's terms.
Decisions = dict[str, dict[str, Any]]


class Difference(TypedDict):
    """One thing that the replay does otherwise, as `DifferenceView` shows it."""

    part: str
    what: str
    cause: str
    booked: str | None
    replayed: str | None
    detail: str


@dataclass(slots=True)
class Findings:
    """What a check has found."""

    frames: int = 0
    signals: int = 0
    orders: int = 0
    fills: int = 0
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        if self.differences:
            return FAILED
        return PASSED if self.signals else EMPTY


def span_of(day: date) -> tuple[datetime, datetime]:
    """Return when a day begins and ends, UTC."""
    start = datetime.combine(day, time(), UTC)
    return start, start + timedelta(days=1)


async def check(services: Services, sandbox: Sandbox, row: DeploymentRow, day: date) -> Findings:
    """Replay a deployment's day and say what comes out otherwise.

    Raises:
        SandboxUnavailable: nothing isolates on this host.
        DayTooLarge: see `trading.check_day`.
        Unavailable: the database is away.
    """
    findings = Findings()
    await _check_decisions(services, sandbox, row, day, findings)
    await _check_execution(services, row, day, findings)
    if len(findings.differences) > DIFFERENCES_MAX:
        more = len(findings.differences) - DIFFERENCES_MAX
        findings.notes.append(f"{more} further differences are not listed")
        del findings.differences[DIFFERENCES_MAX:]
    return findings


# Decisions.


async def _check_decisions(
    services: Services, sandbox: Sandbox, row: DeploymentRow, day: date, findings: Findings
) -> None:
    settings = services.settings
    process = await StrategyProcess.start(
        sandbox,
        name=f"certificate {row.id}",
        memory_mb=settings.deployment_memory_mb,
        frame_s=settings.deployment_frame_s,
    )
    try:
        await _replay(services, process, row, day, findings)
    except StrategyFaulty as faulty:
        findings.differences.append(_decision("the replay", "strategy", faulty.fault.detail))
    except ProcessDied as death:
        findings.differences.append(_decision("the replay", "process", death.detail))
    finally:
        process.child.kill()


async def _replay(
    services: Services,
    process: StrategyProcess,
    row: DeploymentRow,
    day: date,
    findings: Findings,
) -> None:
    start, end = span_of(day)
    first = 0
    while True:
        async with services.database.reading() as session:
            page = await _frames(session, row.id, first, end)
            decided = await _decided(session, row.id, page)
        if not page:
            return
        first = page[-1].number + 1
        heard = [one for one in page if not one.kind.startswith(UNHEARD)]
        bodies = [one.body for one in heard]
        if page[0].number == 0:
            begin = frames.from_parent(bodies.pop(0))
            assert isinstance(begin, frames.Begin)
            await process.begin(msgspec.structs.replace(begin, source=row.source))
        replies = await process.relive(bodies)
        for frame, reply in zip(heard[len(heard) - len(bodies) :], replies, strict=True):
            if frame.at >= start:
                findings.frames += 1
                _compare(frame, decided.get(frame.number, []), reply, findings)


async def _frames(
    session: AsyncSession, deployment_id: UUID, first: int, end: datetime
) -> Sequence[FrameRow]:
    rows = await session.scalars(
        select(FrameRow)
        .where(
            FrameRow.deployment_id == deployment_id,
            FrameRow.number >= first,
            FrameRow.at < end,
        )
        .order_by(FrameRow.number)
        .limit(PAGE)
    )
    return rows.all()


async def _decided(
    session: AsyncSession, deployment_id: UUID, page: Sequence[FrameRow]
) -> Mapping[int, list[SignalRow]]:
    found: dict[int, list[SignalRow]] = {}
    if page:
        rows = await session.scalars(
            select(SignalRow).where(
                SignalRow.deployment_id == deployment_id,
                SignalRow.frame.between(page[0].number, page[-1].number),
                SignalRow.origin == STRATEGY,
            )
        )
        for row in rows:
            found.setdefault(row.frame, []).append(row)
    return found


def _compare(
    frame: FrameRow,
    decided: Sequence[SignalRow],
    reply: frames.Decided | frames.Fault,
    findings: Findings,
) -> None:
    """Compare what was decided at an event with what the replay decides."""
    booked: Decisions = {f"{one.kind} {one.name}": one.body for one in decided}
    replayed: Decisions = {}
    if isinstance(reply, frames.Decided):
        for intent in reply.intents:
            match intent:
                case frames.Place(name=name, body=body):
                    replayed[f"{PLACE} {name}"] = dict(body)
                case frames.Cancel(name=name):
                    replayed[f"{CANCEL} {name}"] = {}
    findings.signals += len(booked)
    # Of a flood that stopped the deployment the rest was not written down.
    is_flood = any(one.code == ORDER_RATE for one in decided)
    for what in booked.keys() | replayed.keys():
        was, would_be = booked.get(what), replayed.get(what)
        if was == would_be or (was is None and is_flood):
            continue
        cause = "terms" if was is not None and would_be is not None else "decision"
        findings.differences.append(
            Difference(
                part="DECISIONS",
                what=what,
                cause=cause,
                booked=None if was is None else _text(was),
                replayed=None if would_be is None else _text(would_be),
                detail=f"at event {frame.number}, {frame.kind}, {frame.at.isoformat()}",
            )
        )


def _decision(what: str, cause: str, detail: str) -> Difference:
    return Difference(
        part="DECISIONS", what=what, cause=cause, booked=None, replayed=None, detail=detail
    )


def _text(body: Mapping[str, Any]) -> str:
    return msgspec.json.encode(body, order="deterministic").decode()


# Execution.


async def _check_execution(
    services: Services, row: DeploymentRow, day: date, findings: Findings
) -> None:
    async with services.database.reading() as session:
        signal_ids = (
            await session.scalars(
                select(SignalRow.id).where(
                    SignalRow.deployment_id == row.id,
                    SignalRow.kind == PLACE,
                    SignalRow.created_at < span_of(day)[1],
                )
            )
        ).all()
        orders = await trading.orders_of_signals(session, UserId(row.user_id), signal_ids)
    if not orders:
        return
    try:
        report = await trading.check_day(
            services.database,
            services.clock,
            account_id=UUID(str(orders[0]["account_id"])),
            day=day,
            tick_days=services.settings.tick_retention_days,
            order_ids={UUID(str(order["id"])) for order in orders},
        )
    except Problem as problem:
        if problem.retryable:
            raise
        findings.differences.append(
            Difference(
                part="EXECUTION",
                what="the venue's record",
                cause=problem.code,
                booked=None,
                replayed=None,
                detail=problem.detail,
            )
        )
        return
    findings.orders, findings.fills = report.orders, report.fills
    findings.notes += report.notes
    findings.differences += _differences(report)


def _differences(report: trading.ParityReport) -> list[Difference]:
    fills = [
        Difference(
            part="EXECUTION",
            what=f"fill {pair.trade_id} of order {pair.order_id}",
            cause=str(pair.cause),
            booked=None if pair.booked is None else _amounts(pair.booked),
            replayed=None if pair.replayed is None else _amounts(pair.replayed),
            detail=pair.detail,
        )
        for pair in report.pairs
        if pair.cause is not None
    ]
    ends = [
        Difference(
            part="EXECUTION",
            what=f"{one.what} of order {one.order_id}",
            cause=str(one.cause),
            booked=one.booked,
            replayed=one.replayed,
            detail=one.detail,
        )
        for one in report.order_differences
    ]
    return fills + ends


def _amounts(amounts: Any) -> str:  # `trading`'s own struct, of four plain fields
    quantity, price, fee = map(money.text, (amounts.quantity, amounts.price, amounts.fee))
    return f"{quantity} at {price}, fee {fee}, {amounts.liquidity}"


def is_over(services: Services, day: date) -> bool:
    """Whether a day has ended."""
    return now(services.clock) >= span_of(day)[1]
