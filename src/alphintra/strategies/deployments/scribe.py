"""What deployments write: one transaction for all that want to write at the same moment.

Many strategies decide on the same candle. Their steps wait here while a transaction is under way,
and go into the next one together: the database is asked a few times and not a few times for each.
Each step is written whole or not at all, and only if its writer still owns the deployment, so that
a process which was thought dead, and is not, cannot publish anything.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import (
    ColumnElement,
    Update,
    and_,
    bindparam,
    case,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.dml import ReturningUpdate

from alphintra import trading
from alphintra.core.clock import now
from alphintra.core.errors import Unavailable
from alphintra.platform import outbox
from alphintra.platform.services import Services
from alphintra.strategies.deployments.models import (
    DeploymentRow,
    FrameRow,
    LogRow,
    PointRow,
    SignalRow,
)
from alphintra.strategies.deployments.signals import NewSignal, signal_data
from alphintra.strategies.deployments.status import (
    FRUITLESS,
    SignalStatus,
    Status,
    Wish,
    may_follow,
)
from alphintra.strategies.deployments.step import Lease, Step, Superseded

#: Steps that go into one transaction.
STEPS_AT_ONCE: Final = 100
#: Signals in one statement: PostgreSQL takes 65,535 values.
SIGNALS_AT_ONCE: Final = 1_000
#: How long the others wait for what is written alone: its row may be locked, or it may be large.
ALONE_S: Final = 0.25
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A step that waits to be written, its frames numbered from `first` on."""

    lease: Lease
    step: Step
    first: int
    if_wished: Wish | None
    written: asyncio.Future[DeploymentRow]

    def settle(self, outcome: DeploymentRow | Exception | None) -> None:
        """Tell the writer; `None`: the deployment is not its own any more."""
        if self.written.done():
            return
        match outcome:
            case DeploymentRow():
                self.written.set_result(outcome)
            case None:
                detail = f"{self.lease.deployment_id} belongs to another process"
                self.written.set_exception(Superseded(detail))
            case _:
                self.written.set_exception(outcome)


@dataclass(slots=True)
class Scribe:
    """Writes the steps of all deployments of this process."""

    services: Services
    _waiting: list[Entry] = field(default_factory=list)
    _working: asyncio.Task[None] | None = None
    _late: set[asyncio.Task[None]] = field(default_factory=set)

    async def write(
        self, lease: Lease, step: Step, first: int, *, if_wished: Wish | None = None
    ) -> DeploymentRow:
        """See `Journal.write`. What has begun to be written is, though its writer be cancelled."""
        written: asyncio.Future[DeploymentRow] = asyncio.get_running_loop().create_future()
        entry = Entry(lease, step, first, if_wished, written)
        self._waiting.append(entry)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        try:
            return await asyncio.shield(written)
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            else:
                # Whoever comes after it must find either all of it or nothing.
                with suppress(Superseded, Unavailable):
                    await written
            raise

    async def _work(self) -> None:
        while self._waiting:
            entries = self._waiting[:STEPS_AT_ONCE]
            del self._waiting[:STEPS_AT_ONCE]
            floods = [one for one in entries if len(one.step.signals) > SIGNALS_AT_ONCE]
            entries = [one for one in entries if one not in floods]
            if len(entries) > 1:
                entries = await self._write_together(entries)
            alone = {asyncio.create_task(self._write_alone(one)) for one in (*floods, *entries)}
            if alone:
                _, late = await asyncio.wait(alone, timeout=ALONE_S)
                self._late |= late
                for task in late:
                    task.add_done_callback(self._late.discard)

    async def _write_together(self, entries: Sequence[Entry]) -> list[Entry]:
        """Write what can be written at once; return what has to be written alone.

        Whoever has locked a deployment keeps only that one waiting, and a step that the database
        refuses spoils no other.
        """
        try:
            async with self.services.database.transaction() as session:
                free = await _lock(session, entries)
                together = [one for one in entries if one.lease.deployment_id in free]
                rows = await self._write(session, together)
        except Unavailable as error:
            for one in entries:
                one.settle(error)
            return []
        except Exception:
            log.exception("steps_not_written_together", steps=len(entries))
            return list(entries)
        for one, row in zip(together, rows, strict=True):
            one.settle(row)
        return [one for one in entries if not one.written.done()]

    async def _write_alone(self, entry: Entry) -> None:
        try:
            async with self.services.database.transaction() as session:
                rows = await self._write(session, [entry])
        except Exception as error:  # whoever asked for it is told
            entry.settle(error)
        else:
            entry.settle(rows[0])

    async def _write(
        self, session: AsyncSession, entries: Sequence[Entry]
    ) -> list[DeploymentRow | None]:
        at = now(self.services.clock)
        rows = [await _change_deployment(session, one, at) for one in entries]
        steps = {
            row.id: (row, one.step, one.first)
            for row, one in zip(rows, entries, strict=True)
            if row is not None
        }
        await _change_signals(session, [step for _, step, _ in steps.values()], at)
        if told := [
            {
                "deployment_id": row.id,
                "number": number,
                "kind": frame.kind,
                "body": frame.body,
                "at": at,
            }
            for row, step, first in steps.values()
            for number, frame in enumerate(step.frames, first)
        ]:
            await session.execute(insert(FrameRow), told)
        await self._publish(
            session, [(row, one) for row, step, _ in steps.values() for one in step.signals], at
        )
        await _note(session, {row.id: step for row, step, _ in steps.values()}, at)
        return rows

    async def _publish(
        self,
        session: AsyncSession,
        decided: Sequence[tuple[DeploymentRow, NewSignal]],
        at: datetime,
    ) -> None:
        made: dict[UUID, SignalRow] = {}
        for start in range(0, len(decided), SIGNALS_AT_ONCE):
            some = decided[start : start + SIGNALS_AT_ONCE]
            for row in await session.scalars(
                upsert(SignalRow)
                .values([_values(signal, row, at) for row, signal in some])
                .on_conflict_do_nothing()
                .returning(SignalRow)
            ):
                made[row.id] = row
        if len(made) < len(decided):
            log.warning("signals_decided_again", signals=len(decided) - len(made))
        await outbox.add_all(
            session,
            [
                trading.signal_event(
                    signal_data(made[one.id], at),
                    self.services.clock.now_ns(),
                    correlation_id=one.trace_id,
                )
                for _, one in decided
                if one.id in made and one.status is SignalStatus.PUBLISHED
            ],
        )


async def _lock(session: AsyncSession, entries: Sequence[Entry]) -> set[UUID]:
    """Lock the deployments that nobody else has locked; return which."""
    found = await session.scalars(
        select(DeploymentRow.id)
        .where(DeploymentRow.id.in_([one.lease.deployment_id for one in entries]))
        .order_by(DeploymentRow.id)
        .with_for_update(key_share=True, skip_locked=True)
    )
    return set(found)


async def _change_deployment(
    session: AsyncSession, entry: Entry, at: datetime
) -> DeploymentRow | None:
    """Change the row; `None`: it is another process's, or not where the writer thinks it is."""
    step, lease = entry.step, entry.lease
    allowed = list(Status)
    if (status := step.changes.get("status")) is not None:
        allowed = [one for one in Status if may_follow(one, status)]
    changes = {
        **step.changes,
        "frames": entry.first + len(step.frames),
        "updated_at": at,
    }
    row: DeploymentRow | None = await session.scalar(
        _change_of(frozenset(changes)),
        {
            "deployment": lease.deployment_id,
            "by": lease.owner,
            "in_epoch": lease.epoch,
            "first": entry.first,
            "allowed": allowed,
            "wishes": list(Wish) if entry.if_wished is None else [entry.if_wished],
            **{f"new_{name}": value for name, value in changes.items()},
        },
    )
    return row


@cache
def _change_of(columns: frozenset[str]) -> ReturningUpdate[DeploymentRow]:
    """Return the statement that changes these columns. To make it takes longer than to run it, and
    few combinations of columns are ever changed.
    """
    row = DeploymentRow
    values: dict[str, ColumnElement[Any]] = {
        name: bindparam(f"new_{name}", type_=row.__table__.c[name].type) for name in columns
    }
    if "wish" in columns:
        # Its owner may have asked meanwhile for more than a stop: that its positions be closed.
        is_more = and_(row.wish == Wish.LIQUIDATE, values["wish"] == Wish.STOP)
        values["wish"] = case((is_more, Wish.LIQUIDATE), else_=values["wish"])
    return (
        update(row)
        .where(
            row.id == bindparam("deployment"),
            row.owner == bindparam("by"),
            row.epoch == bindparam("in_epoch"),
            row.frames == bindparam("first"),
            row.status.in_(bindparam("allowed", expanding=True)),
            row.wish.in_(bindparam("wishes", expanding=True)),
        )
        .values(values)
        .returning(row)
        .execution_options(synchronize_session=False)
    )


async def _change_signals(session: AsyncSession, steps: Sequence[Step], at: datetime) -> None:
    told = [one for step in steps for one in step.told]
    finished = [one for step in steps for one in step.finished]
    withdrawn = [one for step in steps for one in step.withdrawn]
    if changed := [*told, *finished, *withdrawn]:
        # In the order of their ids, as outcomes take them: nobody waits for each other.
        await session.execute(
            select(SignalRow.id)
            .where(SignalRow.id.in_(changed))
            .order_by(SignalRow.id)
            .with_for_update(key_share=True)
        )
    if told:
        await session.execute(_of(told).values(is_told=True))
    if finished:
        await session.execute(_of(finished).values(is_live=False))
    if withdrawn:
        await session.execute(
            _of(withdrawn)
            .where(SignalRow.status == SignalStatus.WAITING)
            .values(status=SignalStatus.WITHDRAWN, is_live=False, is_told=True, decided_at=at)
        )


def _of(ids: Iterable[UUID]) -> Update:
    return update(SignalRow).where(SignalRow.id.in_(ids))


async def _note(session: AsyncSession, steps: Mapping[UUID, Step], at: datetime) -> None:
    if lines := [
        {
            "deployment_id": deployment_id,
            "at": at,
            "kind": line.kind,
            "message": line.message[:2_000].replace("\x00", "\N{REPLACEMENT CHARACTER}"),
        }
        for deployment_id, step in steps.items()
        for line in step.lines
    ]:
        await session.execute(insert(LogRow), lines)
    points = []
    for deployment_id, step in steps.items():
        if step.point is not None:
            equity, cash, exposure = step.point
            points.append(
                {
                    "deployment_id": deployment_id,
                    "at": at,
                    "equity": equity,
                    "cash": cash,
                    "exposure": exposure,
                }
            )
    if points:
        await session.execute(upsert(PointRow).values(points).on_conflict_do_nothing())


def _values(one: NewSignal, row: DeploymentRow, at: datetime) -> dict[str, Any]:
    waits = one.status is SignalStatus.WAITING
    return {
        "id": one.id,
        "deployment_id": row.id,
        "user_id": row.user_id,
        "strategy_id": row.strategy_id,
        "frame": one.frame,
        "kind": one.kind,
        "name": one.name,
        "origin": one.origin,
        "symbol": one.symbol,
        "action": one.action,
        "body": one.body,
        "parameters": one.parameters,
        "confidence": one.confidence,
        "reason": one.reason,
        "because": one.because or {},
        "candle_ns": one.candle_ns,
        "trace_id": one.trace_id,
        "status": one.status,
        "code": one.code,
        "detail": one.detail,
        # Of what is withheld the strategy is told in the same step.
        "is_told": True,
        "is_live": one.status is SignalStatus.PUBLISHED or waits,
        "expires_at": at + timedelta(seconds=one.expires_s) if one.expires_s else None,
        "decided_at": at if one.status in FRUITLESS else None,
        "created_at": at,
    }
