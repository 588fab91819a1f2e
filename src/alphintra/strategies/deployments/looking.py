"""What deployments are asked: plain queries, of one owner at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra import trading
from alphintra.core import money
from alphintra.core.clock import now
from alphintra.core.ids import UserId
from alphintra.platform.http import BadCursor, decode_cursor, encode_cursor
from alphintra.platform.security import Principal
from alphintra.platform.services import Services
from alphintra.strategies.deployments.commands import owned
from alphintra.strategies.deployments.models import (
    CertificateRow,
    DeploymentRow,
    LogRow,
    PointRow,
    SignalRow,
)
from alphintra.strategies.deployments.signals import PLACE
from alphintra.strategies.deployments.status import SignalStatus, Status

#: Points of a curve that are shown.
POINTS_MAX: Final = 500
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a deployment's own book and its curve tell."""

    deployment: DeploymentRow
    points: Sequence[PointRow]
    max_drawdown: float
    signals: dict[str, int]


@dataclass(frozen=True, slots=True)
class DeploymentViews:
    """The questions that people ask."""

    services: Services

    async def get(self, caller: Principal, deployment_id: UUID) -> DeploymentRow:
        """Return one deployment.

        Raises:
            NoSuchDeployment: there is none, or it is somebody else's.
        """
        async with self.services.database.reading() as session:
            return await owned(session, caller, deployment_id)

    async def page(
        self,
        caller: Principal,
        *,
        status: Status | None,
        strategy_id: UUID | None,
        limit: int,
        cursor: str | None,
    ) -> tuple[Sequence[DeploymentRow], str | None]:
        """Return one page of the caller's deployments, the youngest first.

        Raises:
            BadCursor: the cursor is not one of ours.
        """
        query = select(DeploymentRow).where(DeploymentRow.user_id == caller.user_id)
        if status is not None:
            query = query.where(DeploymentRow.status == status)
        if strategy_id is not None:
            query = query.where(DeploymentRow.strategy_id == strategy_id)
        return await self._page(query, DeploymentRow, limit, cursor)

    async def signals(
        self,
        caller: Principal,
        deployment_id: UUID,
        *,
        status: SignalStatus | None,
        limit: int,
        cursor: str | None,
    ) -> tuple[Sequence[SignalRow], str | None]:
        """Return one page of a deployment's signals, the youngest first.

        Raises:
            NoSuchDeployment, BadCursor: see there.
        """
        await self.get(caller, deployment_id)
        query = select(SignalRow).where(SignalRow.deployment_id == deployment_id)
        if status is not None:
            query = query.where(SignalRow.status == status)
        return await self._page(query, SignalRow, limit, cursor)

    async def _page(
        self, query: Select[R], table: type[Any], limit: int, cursor: str | None
    ) -> tuple[Sequence[R], str | None]:
        if cursor is not None:
            query = query.where(tuple_(table.created_at, table.id) < _position(cursor))
        query = query.order_by(table.created_at.desc(), table.id.desc()).limit(limit + 1)
        async with self.services.database.reading() as session:
            rows: Sequence[Any] = (await session.scalars(query)).all()
        page = rows[:limit]
        more = len(rows) > limit
        return page, encode_cursor(page[-1].created_at.isoformat(), page[-1].id) if more else None

    async def logs(
        self, caller: Principal, deployment_id: UUID, *, limit: int, cursor: str | None
    ) -> tuple[Sequence[LogRow], str | None]:
        """Return one page of a deployment's log, the youngest line first.

        Raises:
            NoSuchDeployment, BadCursor: see there.
        """
        query = select(LogRow).where(LogRow.deployment_id == deployment_id)
        if cursor is not None:
            (text,) = decode_cursor(cursor, 1)
            if not (text.isascii() and text.isdecimal()) or len(text) > 18:
                raise BadCursor("the cursor is not valid")
            query = query.where(LogRow.id < int(text))
        async with self.services.database.reading() as session:
            await owned(session, caller, deployment_id)
            query = query.order_by(LogRow.id.desc()).limit(limit + 1)
            rows = (await session.scalars(query)).all()
        return rows[:limit], encode_cursor(rows[limit - 1].id) if len(rows) > limit else None

    async def orders(
        self, caller: Principal, deployment_id: UUID, *, limit: int, cursor: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return one page of the orders that a deployment's signals caused, the youngest first.

        The exits of an order follow it.

        Raises:
            NoSuchDeployment, BadCursor: see there.
        """
        await self.get(caller, deployment_id)
        query = select(SignalRow).where(
            SignalRow.deployment_id == deployment_id,
            SignalRow.kind == PLACE,
            SignalRow.status.in_(
                [SignalStatus.PUBLISHED, SignalStatus.ORDERED, SignalStatus.REFUSED]
            ),
        )
        rows, after = await self._page(query, SignalRow, limit, cursor)
        ids = {row.id: place for place, row in enumerate(rows)}
        async with self.services.database.reading() as session:
            found = await trading.orders_of_signals(session, UserId(caller.user_id), list(ids))
        found.sort(key=lambda order: (ids[UUID(str(order["signal_id"]))], bool(order["parent_id"])))
        return found, after

    async def metrics(self, caller: Principal, deployment_id: UUID) -> Metrics:
        """Return how a deployment has done.

        Raises:
            NoSuchDeployment: see there.
        """
        async with self.services.database.reading() as session:
            row = await owned(session, caller, deployment_id)
            counted = await session.execute(
                select(SignalRow.status, func.count())
                .where(SignalRow.deployment_id == deployment_id, SignalRow.kind == PLACE)
                .group_by(SignalRow.status)
            )
            return Metrics(
                deployment=row,
                points=await _curve(session, deployment_id),
                max_drawdown=await _max_drawdown(session, row),
                signals={str(row[0]): int(row[1]) for row in counted},
            )

    async def certificates(
        self, caller: Principal, deployment_id: UUID, *, limit: int, cursor: str | None
    ) -> tuple[Sequence[CertificateRow], str | None]:
        """Return one page of a deployment's certificates, the youngest first.

        Raises:
            NoSuchDeployment, BadCursor: see there.
        """
        await self.get(caller, deployment_id)
        query = select(CertificateRow).where(CertificateRow.deployment_id == deployment_id)
        return await self._page(query, CertificateRow, limit, cursor)

    def today(self) -> datetime:
        """Return the time now, UTC."""
        return now(self.services.clock)


async def _curve(session: AsyncSession, deployment_id: UUID) -> Sequence[PointRow]:
    """Return the curve: every n-th point, and the last."""
    numbered = (
        select(
            PointRow,
            func.row_number().over(order_by=PointRow.at.desc()).label("place"),
            func.count().over().label("rows"),
        )
        .where(PointRow.deployment_id == deployment_id)
        .subquery()
    )
    step = (numbered.c.rows + POINTS_MAX - 1) / POINTS_MAX
    points = select(PointRow).join(
        numbered,
        (PointRow.deployment_id == numbered.c.deployment_id) & (PointRow.at == numbered.c.at),
    )
    rows = await session.scalars(
        points.where((numbered.c.place - 1) % func.floor(step) == 0).order_by(PointRow.at)
    )
    return rows.all()


async def _max_drawdown(session: AsyncSession, row: DeploymentRow) -> float:
    """Return the deepest fall from a high, as a share; the capital counts as a high."""
    peak = func.greatest(func.max(PointRow.equity).over(order_by=PointRow.at), row.capital)
    falls = (
        select((1 - PointRow.equity / peak).label("fall"))
        .where(PointRow.deployment_id == row.id)
        .subquery()
    )
    deepest = await session.scalar(select(func.max(falls.c.fall)))
    return float(max(deepest or money.ZERO, money.ZERO))


def _position(cursor: str) -> tuple[datetime, UUID]:
    at, row_id = decode_cursor(cursor, 2)
    try:
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError("no time of ours")
        return moment, UUID(row_id)
    except ValueError as error:
        raise BadCursor("the cursor is not valid") from error
