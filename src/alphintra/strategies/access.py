"""Whose a strategy is, and what others may do with it."""

from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.platform.security import Principal
from alphintra.strategies.errors import (
    NoSuchStrategy,
    RevisionNeeded,
    RightMissing,
    StrategyChanged,
)
from alphintra.strategies.models import ShareRow, StrategyRow
from alphintra.strategies.schemas import Right

_ORDER: Final = tuple(Right)


def includes(held: Right, needed: Right) -> bool:
    """Say whether a right includes another."""
    return _ORDER.index(held) >= _ORDER.index(needed)


async def strategy_for(
    session: AsyncSession,
    caller: Principal,
    strategy_id: UUID,
    needed: Right,
    *,
    locked: bool = False,
) -> tuple[StrategyRow, Right]:
    """Return a strategy and the caller's right to it.

    Args:
        locked: against changes until the transaction ends.

    Raises:
        NoSuchStrategy: there is none, or it is somebody else's and not shared with the caller.
        RightMissing: it is shared, but for less than this.
    """
    row = await session.get(StrategyRow, strategy_id, with_for_update=locked or None)
    held = None if row is None else await _right(session, caller, row)
    if row is None or held is None:
        raise NoSuchStrategy("there is no such strategy", strategy_id=str(strategy_id))
    if not includes(held, needed):
        raise RightMissing(
            f"it is shared with you to {held}, and this needs {needed}",
            strategy_id=str(strategy_id),
        )
    return row, held


def check_revision(row: StrategyRow, revision: int | None) -> None:
    """Refuse a change by somebody who has not seen the newest state.

    Raises:
        RevisionNeeded, StrategyChanged: as they say.
    """
    if revision is None:
        raise RevisionNeeded("say which revision you have seen", revision=row.revision)
    if revision != row.revision:
        raise StrategyChanged(
            f"you have seen revision {revision}, and it is at {row.revision}",
            revision=row.revision,
        )


async def _right(session: AsyncSession, caller: Principal, row: StrategyRow) -> Right | None:
    if row.user_id == caller.user_id:
        return Right.OWN
    shared: str | None = await session.scalar(
        select(ShareRow.right).where(
            ShareRow.strategy_id == row.id, ShareRow.user_id == caller.user_id
        )
    )
    return None if shared is None else Right(shared)
