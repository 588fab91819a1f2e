"""Who else may see, use or edit a strategy; only its owner decides."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra import identity
from alphintra.core.clock import now
from alphintra.platform.security import Principal
from alphintra.platform.services import Services
from alphintra.strategies.access import strategy_for
from alphintra.strategies.errors import NoSuchPerson, TooManyStrategies, WrongContent
from alphintra.strategies.models import ShareRow
from alphintra.strategies.schemas import Right

SHARES_MAX: Final = 100


class SharingService:
    """The use cases of sharing."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._database = services.database

    async def share(
        self, caller: Principal, strategy_id: UUID, person: str, right: Right
    ) -> ShareRow:
        """Give somebody a right, in place of the one that they had.

        Args:
            person: an e-mail address or the id of a user.

        Raises:
            NoSuchStrategy, RightMissing: not the caller's.
            NoSuchPerson: nobody of that name.
            TooManyStrategies: it is shared with as many as it may be.
            WrongContent: with its owner.
        """
        async with self._database.transaction() as session:
            row, _ = await strategy_for(session, caller, strategy_id, Right.OWN, locked=True)
            user_id = await _person(session, person)
            if user_id == row.user_id:
                raise WrongContent("it is yours already")
            share = await session.get(ShareRow, (row.id, user_id))
            if share is None:
                await _bound(session, row.id)
                share = ShareRow(
                    strategy_id=row.id,
                    user_id=user_id,
                    right=right,
                    created_at=now(self._services.clock),
                )
                session.add(share)
            share.right = right
        return share

    async def unshare(self, caller: Principal, strategy_id: UUID, person: str) -> None:
        """Take somebody's right away; the owner does, or who has it.

        Raises:
            NoSuchStrategy, RightMissing: not the caller's.
            NoSuchPerson: it is not shared with anybody of that name.
        """
        async with self._database.transaction() as session:
            row, held = await strategy_for(session, caller, strategy_id, Right.VIEW, locked=True)
            user_id = await _person(session, person)
            if held is not Right.OWN and user_id != caller.user_id:
                await strategy_for(session, caller, strategy_id, Right.OWN)
            gone = await session.execute(
                delete(ShareRow)
                .where(ShareRow.strategy_id == row.id, ShareRow.user_id == user_id)
                .returning(ShareRow.user_id)
            )
            if gone.first() is None:
                raise NoSuchPerson("it is not shared with anybody of that name")

    async def shares(self, caller: Principal, strategy_id: UUID) -> Sequence[ShareRow]:
        """Return who else has a right, at most `SHARES_MAX`.

        Raises:
            NoSuchStrategy, RightMissing: not the caller's.
        """
        async with self._database.reading() as session:
            row, _ = await strategy_for(session, caller, strategy_id, Right.OWN)
            rows = await session.scalars(
                select(ShareRow).where(ShareRow.strategy_id == row.id).order_by(ShareRow.user_id)
            )
            return rows.all()


async def _person(session: AsyncSession, name: str) -> UUID:
    found = await identity.user_named(session, name)
    if found is None:
        raise NoSuchPerson("there is nobody of that name")
    return found


async def _bound(session: AsyncSession, strategy_id: UUID) -> None:
    count = await session.scalar(select(func.count()).where(ShareRow.strategy_id == strategy_id))
    if (count or 0) >= SHARES_MAX:
        raise TooManyStrategies(f"{SHARES_MAX} people are as many as may share one")
