"""What a deployment has lived through and decided, written down as one: all of a step, or nothing.

Every write checks that the writer still owns the deployment, so that a process which was thought
dead, and is not, cannot publish anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import case, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra import trading
from alphintra.core.clock import now
from alphintra.platform import outbox
from alphintra.platform.services import Services
from alphintra.strategies.deployments.models import (
    DeploymentRow,
    FrameRow,
    LogRow,
    PointRow,
    SignalRow,
)
from alphintra.strategies.deployments.signals import (
    PLACE,
    PLATFORM,
    STRATEGY,
    NewSignal,
    signal_data,
)
from alphintra.strategies.deployments.status import (
    FRUITLESS,
    SignalStatus,
    Status,
    Wish,
    may_follow,
)

log = structlog.get_logger(__name__)
#: In front of the kind of a frame that no process was told: what came at the end.
UNHEARD: Final = "~"
#: Lines of a log that are kept of one deployment, about; the oldest go.
LOG_LINES_MAX: Final = 20_000
#: Frames that are read at a time when a deployment is taken up again.
PAGE: Final = 5_000


class Superseded(Exception):
    """Another process owns the deployment; whatever this one still had to say is lost."""


@dataclass(frozen=True, slots=True)
class NewFrame:
    """A frame that was told, as it was sent."""

    kind: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """A line for the log."""

    kind: str
    message: str


@dataclass(slots=True)
class Step:
    """What is written together: some frames, and all that came of them."""

    frames: list[NewFrame] = field(default_factory=list)
    signals: list[NewSignal] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    #: Signals of which the strategy was told that nothing comes of them.
    told: list[UUID] = field(default_factory=list)
    #: Signals whose orders cannot change any more.
    finished: list[UUID] = field(default_factory=list)
    #: Waiting signals that the strategy has taken back.
    withdrawn: list[UUID] = field(default_factory=list)
    #: Equity, cash, exposure.
    point: tuple[Decimal, Decimal, Decimal] | None = None
    #: Columns of the deployment's row.
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (
            self.frames
            or self.signals
            or self.lines
            or self.told
            or self.finished
            or self.withdrawn
            or self.changes
        )


@dataclass(frozen=True, slots=True)
class Lease:
    """A deployment that this process owns, as long as the epoch stands."""

    deployment_id: UUID
    owner: UUID
    epoch: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What others want of a deployment, as of the last look."""

    row: DeploymentRow
    #: Signals that are live, or of which the strategy has to be told.
    signals: Sequence[SignalRow]


@dataclass(frozen=True, slots=True)
class Journal:
    """The rows of one deployment, for the process that owns it."""

    services: Services
    lease: Lease

    async def standing(self) -> Standing:
        """Return what others want of the deployment.

        Raises:
            Superseded: another process owns it.
            Unavailable: the database is away.
        """
        async with self.services.database.reading() as session:
            row = await session.get(DeploymentRow, self.lease.deployment_id)
            if row is None or (row.owner, row.epoch) != (self.lease.owner, self.lease.epoch):
                raise Superseded(f"{self.lease.deployment_id} belongs to another process")
            signals = await session.scalars(
                select(SignalRow)
                .where(
                    SignalRow.deployment_id == row.id,
                    SignalRow.is_live | ~SignalRow.is_told,
                )
                .order_by(SignalRow.frame, SignalRow.id)
            )
            return Standing(row, signals.all())

    async def frames(self, first: int) -> Sequence[FrameRow]:
        """Return some frames from a number on, in their order."""
        async with self.services.database.reading() as session:
            rows = await session.scalars(
                select(FrameRow)
                .where(FrameRow.deployment_id == self.lease.deployment_id, FrameRow.number >= first)
                .order_by(FrameRow.number)
                .limit(PAGE)
            )
            return rows.all()

    async def platform_signals(self) -> int:
        """Return how often the platform has decided something for the deployment."""
        async with self.services.database.reading() as session:
            count = await session.scalar(
                select(func.count()).where(
                    SignalRow.deployment_id == self.lease.deployment_id,
                    SignalRow.origin == PLATFORM,
                )
            )
        return count or 0

    async def orders_since(self, at: datetime) -> Sequence[datetime]:
        """Return when the strategy decided on orders since a moment, the oldest first."""
        async with self.services.database.reading() as session:
            moments = await session.scalars(
                select(SignalRow.created_at)
                .where(
                    SignalRow.deployment_id == self.lease.deployment_id,
                    SignalRow.created_at > at,
                    SignalRow.kind == PLACE,
                    SignalRow.origin == STRATEGY,
                )
                .order_by(SignalRow.created_at)
            )
            return moments.all()

    async def names(self, frames: range) -> dict[int, set[str]]:
        """Return what the strategy decided at some frames: kinds and names, by frame."""
        found: dict[int, set[str]] = {}
        async with self.services.database.reading() as session:
            rows = await session.execute(
                select(SignalRow.frame, SignalRow.kind, SignalRow.name).where(
                    SignalRow.deployment_id == self.lease.deployment_id,
                    SignalRow.frame >= frames.start,
                    SignalRow.frame < frames.stop,
                    SignalRow.origin == STRATEGY,
                )
            )
            for frame, kind, name in rows:
                found.setdefault(frame, set()).add(f"{kind} {name}")
        return found

    async def write(
        self, step: Step, first: int, *, if_wished: Wish | None = None
    ) -> DeploymentRow:
        """Write a step whose frames are numbered from `first` on; return the deployment's row.

        Args:
            if_wished: nothing is written where something else is wanted of it by now.

        Raises:
            Superseded: another process owns the deployment, or something else is wanted.
            Unavailable: the database is away; whether it was written is not known.
        """
        at = now(self.services.clock)
        allowed = list(Status)
        if (status := step.changes.get("status")) is not None:
            allowed = [one for one in Status if may_follow(one, status)]
        changes = dict(step.changes)
        if changes.get("wish") == Wish.STOP:
            # Its owner may have asked meanwhile for more: that its positions be closed.
            is_more = DeploymentRow.wish == Wish.LIQUIDATE
            changes["wish"] = case((is_more, Wish.LIQUIDATE), else_=Wish.STOP)
        change = update(DeploymentRow).where(
            DeploymentRow.id == self.lease.deployment_id,
            DeploymentRow.owner == self.lease.owner,
            DeploymentRow.epoch == self.lease.epoch,
            DeploymentRow.frames == first,
            DeploymentRow.status.in_(allowed),
        )
        if if_wished is not None:
            change = change.where(DeploymentRow.wish == if_wished)
        async with self.services.database.transaction() as session:
            row: DeploymentRow | None = await session.scalar(
                change.values(frames=first + len(step.frames), updated_at=at, **changes).returning(
                    DeploymentRow
                )
            )
            if row is None:
                raise Superseded(f"{self.lease.deployment_id} belongs to another process")
            if step.frames:
                await session.execute(
                    insert(FrameRow),
                    [
                        {
                            "deployment_id": row.id,
                            "number": number,
                            "kind": frame.kind,
                            "body": frame.body,
                            "at": at,
                        }
                        for number, frame in enumerate(step.frames, first)
                    ],
                )
            await self._change_signals(session, step, at)
            if step.signals:
                await self._publish(session, row, step.signals, at)
            await self._note(session, row, step, at)
        return row

    async def _change_signals(self, session: AsyncSession, step: Step, at: datetime) -> None:
        for ids, values in (
            (step.told, {"is_told": True}),
            (step.finished, {"is_live": False}),
            (
                step.withdrawn,
                {
                    "status": SignalStatus.WITHDRAWN,
                    "is_live": False,
                    "is_told": True,
                    "decided_at": at,
                },
            ),
        ):
            if ids:
                change = update(SignalRow).where(SignalRow.id.in_(ids)).values(**values)
                if ids is step.withdrawn:
                    change = change.where(SignalRow.status == SignalStatus.WAITING)
                await session.execute(change)

    async def _publish(
        self,
        session: AsyncSession,
        row: DeploymentRow,
        signals: Sequence[NewSignal],
        at: datetime,
    ) -> None:
        made = {
            one.id: one
            for one in await session.scalars(
                upsert(SignalRow)
                .values([_values(one, row, at) for one in signals])
                .on_conflict_do_nothing()
                .returning(SignalRow)
            )
        }
        if len(made) < len(signals):
            log.warning("signals_decided_again", deployment=str(row.id))
        await outbox.add_all(
            session,
            [
                trading.signal_event(
                    signal_data(made[one.id], at),
                    self.services.clock.now_ns(),
                    correlation_id=one.trace_id,
                )
                for one in signals
                if one.id in made and one.status is SignalStatus.PUBLISHED
            ],
        )

    async def _note(
        self, session: AsyncSession, row: DeploymentRow, step: Step, at: datetime
    ) -> None:
        if step.lines:
            await session.execute(
                insert(LogRow),
                [
                    {
                        "deployment_id": row.id,
                        "at": at,
                        "kind": line.kind,
                        "message": line.message[:2_000].replace(
                            "\x00", "\N{REPLACEMENT CHARACTER}"
                        ),
                    }
                    for line in step.lines
                ],
            )
        if step.point is not None:
            equity, cash, exposure = step.point
            await session.execute(
                upsert(PointRow)
                .values(deployment_id=row.id, at=at, equity=equity, cash=cash, exposure=exposure)
                .on_conflict_do_nothing()
            )

    async def lapse(self) -> None:
        """End the signals for which nobody said yes in time; the strategy is told afterwards.

        Raises:
            Unavailable: the database is away.
        """
        at = now(self.services.clock)
        async with self.services.database.transaction() as session:
            await session.execute(
                update(SignalRow)
                .where(
                    SignalRow.deployment_id == self.lease.deployment_id,
                    SignalRow.status == SignalStatus.WAITING,
                    SignalRow.expires_at <= at,
                )
                .values(
                    status=SignalStatus.LAPSED,
                    is_live=False,
                    is_told=False,
                    code="lapsed",
                    detail="nobody said yes in time",
                    decided_at=at,
                )
            )

    async def trim_log(self) -> None:
        """Drop the oldest lines of a log that has grown long."""
        async with self.services.database.transaction() as session:
            oldest = await session.scalar(
                select(LogRow.id)
                .where(LogRow.deployment_id == self.lease.deployment_id)
                .order_by(LogRow.id.desc())
                .offset(LOG_LINES_MAX)
                .limit(1)
            )
            if oldest is not None:
                await session.execute(
                    delete(LogRow).where(
                        LogRow.deployment_id == self.lease.deployment_id, LogRow.id <= oldest
                    )
                )


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
