"""What a deployment has lived through and decided, as the process that owns it reads and writes
it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, func, select, update

from alphintra.core.clock import now
from alphintra.platform.services import Services
from alphintra.strategies.deployments.models import (
    DeploymentRow,
    FrameRow,
    LogRow,
    SignalRow,
)
from alphintra.strategies.deployments.news import News
from alphintra.strategies.deployments.scribe import Scribe
from alphintra.strategies.deployments.signals import PLACE, PLATFORM, STRATEGY
from alphintra.strategies.deployments.status import SignalStatus, Wish
from alphintra.strategies.deployments.step import Lease, Step, Superseded

#: In front of the kind of a frame that no process was told: what came at the end.
UNHEARD: Final = "~"
#: Lines of a log that are kept of one deployment, about; the oldest go.
LOG_LINES_MAX: Final = 20_000
#: Frames that are read at a time when a deployment is taken up again.
PAGE: Final = 5_000


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
    scribe: Scribe
    news: News

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
                    # What is no order at all was not counted.
                    SignalRow.code.is_distinct_from("order_invalid"),
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
        return await self.scribe.write(self.lease, step, first, if_wished=if_wished)

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
