"""The use cases of strategies: make, read, change, publish, archive, delete. One method each.

What is edited is the draft; what runs is a version (versions.py). Whose it is decides access.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import now
from alphintra.platform.http import BadCursor, decode_cursor, encode_cursor
from alphintra.platform.security import Principal
from alphintra.platform.services import Services
from alphintra.strategies.access import check_revision, strategy_for
from alphintra.strategies.code.service import CodeService
from alphintra.strategies.content import Content, checked_content, first_content, take
from alphintra.strategies.errors import (
    StatusRefused,
    StrategyArchived,
    StrategyKept,
    TooManyStrategies,
)
from alphintra.strategies.models import ShareRow, StrategyRow, VersionRow
from alphintra.strategies.schemas import (
    NewStrategy,
    Right,
    StrategyChange,
    StrategyStatus,
    StrategyType,
)
from alphintra.strategies.templates import template_named
from alphintra.strategies.versions import VersionService, freeze_version

#: Strategies of one user, archived ones too.
STRATEGIES_MAX: Final = 500

#: What may follow what. PUBLISHED again publishes the newest content.
FOLLOWING: Final[Mapping[StrategyStatus, frozenset[StrategyStatus]]] = {
    StrategyStatus.DRAFT: frozenset({StrategyStatus.PUBLISHED, StrategyStatus.ARCHIVED}),
    StrategyStatus.PUBLISHED: frozenset(StrategyStatus),
    StrategyStatus.ARCHIVED: frozenset({StrategyStatus.DRAFT}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyFilters:
    """Which strategies to list; `None` does not filter."""

    status: StrategyStatus | None = None
    type: StrategyType | None = None
    #: Those that others share with the caller, in place of the caller's own.
    shared: bool = False


Held = tuple[StrategyRow, Right]


class StrategyService:
    """See the module."""

    def __init__(self, services: Services, code: CodeService) -> None:
        self._services = services
        self._database = services.database
        self._code = code
        self._versions = VersionService(services, code)

    async def create(self, caller: Principal, wanted: NewStrategy) -> Held:
        """Make a strategy of code, of blocks or of a template; it begins as a draft.

        Raises:
            NoSuchTemplate, WrongContent: it is not clear what to make.
            TooManyStrategies: the caller has as many as one may have.
        """
        name, description = wanted.name, wanted.description
        if wanted.template is None:
            kind, content = first_content(wanted)
        else:
            template = template_named(wanted.template)
            name, description = name or template.title, description or template.description
            kind = template.type
            content = Content(
                code=template.code, blocks=template.blocks, parameters=wanted.parameters
            )
        at = now(self._services.clock)
        row = StrategyRow(
            id=self._services.ids(),
            user_id=caller.user_id,
            name=name or "Untitled",
            type=kind,
            description=description,
            code=content.code or "",
            blocks=content.blocks,
            parameters=content.parameters or {},
            declared={},
            status=StrategyStatus.DRAFT,
            version=0,
            published_version=None,
            changed=True,
            template=wanted.template,
            revision=1,
            created_at=at,
            updated_at=at,
        )
        async with self._database.transaction() as session:
            await _bound(session, caller)
            session.add(row)
        return row, Right.OWN

    async def get(self, caller: Principal, strategy_id: UUID) -> Held:
        """Return a strategy of the caller, or one that is shared with the caller.

        Raises:
            NoSuchStrategy: there is none for this caller.
        """
        async with self._database.reading() as session:
            return await strategy_for(session, caller, strategy_id, Right.VIEW)

    async def page(
        self, caller: Principal, *, filters: StrategyFilters, limit: int, cursor: str | None
    ) -> tuple[Sequence[Held], str | None]:
        """Return one page of strategies, the youngest first, and the cursor of the next.

        Raises:
            BadCursor: the cursor is not one of ours.
        """
        query = select(StrategyRow, ShareRow.right).outerjoin(
            ShareRow,
            (ShareRow.strategy_id == StrategyRow.id) & (ShareRow.user_id == caller.user_id),
        )
        mine = StrategyRow.user_id == caller.user_id
        query = query.where(ShareRow.user_id.is_not(None) if filters.shared else mine)
        if filters.status is not None:
            query = query.where(StrategyRow.status == filters.status)
        if filters.type is not None:
            query = query.where(StrategyRow.type == filters.type)
        if cursor is not None:
            query = query.where(tuple_(StrategyRow.created_at, StrategyRow.id) < _position(cursor))
        query = query.order_by(StrategyRow.created_at.desc(), StrategyRow.id.desc())
        async with self._database.reading() as session:
            rows = (await session.execute(query.limit(limit + 1))).all()
        page = [
            (row, Right.OWN if row.user_id == caller.user_id else Right(shared))
            for row, shared in rows[:limit]
        ]
        if len(rows) <= limit:
            return page, None
        last = page[-1][0]
        return page, encode_cursor(last.created_at.isoformat(), last.id)

    async def change(
        self, caller: Principal, strategy_id: UUID, wanted: StrategyChange, revision: int | None
    ) -> Held:
        """Change the draft.

        Args:
            revision: the one that the caller has seen.

        Raises:
            NoSuchStrategy, RightMissing: not the caller's to change.
            RevisionNeeded, StrategyChanged: somebody else may have changed it, or has.
            StrategyArchived: it is archived.
            WrongContent, CodeFaulty: code or blocks do not go with its type, or cannot be read
                back into blocks.
        """
        async with self._database.reading() as session:
            seen, _ = await strategy_for(session, caller, strategy_id, Right.EDIT)
        # Reading Python back into blocks takes a while and is done outside the transaction; the
        # revision says whether the draft is still the one that was seen.
        content = await checked_content(self._code, caller, StrategyType(seen.type), wanted)
        async with self._database.transaction() as session:
            row, held = await strategy_for(session, caller, strategy_id, Right.EDIT, locked=True)
            check_revision(row, revision)
            if row.status == StrategyStatus.ARCHIVED:
                raise StrategyArchived("an archived strategy is not changed")
            if wanted.name is not None:
                row.name = wanted.name
            if wanted.description is not None:
                row.description = wanted.description
            take(row, content)
            if session.is_modified(row):
                self._touch(row)
        return row, held

    async def set_status(
        self,
        caller: Principal,
        strategy_id: UUID,
        status: StrategyStatus,
        revision: int | None,
    ) -> Held:
        """Take a strategy from one status to another; PUBLISHED makes a version if it has to.

        Raises:
            NoSuchStrategy, RightMissing: not the caller's.
            RevisionNeeded, StrategyChanged: somebody else may have changed it, or has.
            StatusRefused: that status does not follow.
            CodeFaulty, GraphRefused, ParameterRefused: what is to be published does not run.
        """
        async with self._database.reading() as session:
            seen, _ = await strategy_for(session, caller, strategy_id, Right.OWN)
        check_revision(seen, revision)
        check_following(seen, status)
        version = None
        if status is StrategyStatus.PUBLISHED:
            version = await self._versions.make(caller, strategy_id)
        async with self._database.transaction() as session:
            row, held = await strategy_for(session, caller, strategy_id, Right.OWN, locked=True)
            check_revision(row, revision)
            check_following(row, status)
            if version is not None:
                await freeze_version(session, version.id, now(self._services.clock))
                row.published_version = version.number
            elif status is StrategyStatus.DRAFT:
                row.published_version = None
            row.status = status
            self._touch(row)
        return row, held

    async def delete(self, caller: Principal, strategy_id: UUID) -> None:
        """Delete a strategy with its versions and shares.

        Raises:
            NoSuchStrategy, RightMissing: not the caller's.
            StrategyKept: a version was published or deployed.
        """
        async with self._database.transaction() as session:
            row, _ = await strategy_for(session, caller, strategy_id, Right.OWN, locked=True)
            frozen = await session.scalar(
                select(VersionRow.number)
                .where(VersionRow.strategy_id == row.id, VersionRow.frozen_at.is_not(None))
                .limit(1)
            )
            if frozen is not None:
                raise StrategyKept(f"version {frozen} was published or deployed; archive it")
            await session.execute(delete(ShareRow).where(ShareRow.strategy_id == row.id))
            await session.execute(delete(VersionRow).where(VersionRow.strategy_id == row.id))
            await session.delete(row)

    def _touch(self, row: StrategyRow) -> None:
        row.revision += 1
        row.updated_at = now(self._services.clock)


def check_following(row: StrategyRow, status: StrategyStatus) -> None:
    """Refuse a status that does not follow.

    Raises:
        StatusRefused: as it says.
    """
    following = FOLLOWING[StrategyStatus(row.status)]
    if status not in following:
        raise StatusRefused(
            f"{row.status} is followed by {' or '.join(sorted(following))}, not by {status}"
        )


async def _bound(session: AsyncSession, caller: Principal) -> None:
    count = await session.scalar(select(func.count()).where(StrategyRow.user_id == caller.user_id))
    if (count or 0) >= STRATEGIES_MAX:
        raise TooManyStrategies(f"{STRATEGIES_MAX} strategies are as many as one may have")


def _position(cursor: str) -> tuple[datetime, UUID]:
    at, strategy_id = decode_cursor(cursor, 2)
    try:
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError("no time of ours")
        return moment, UUID(strategy_id)
    except ValueError as error:
        raise BadCursor("the cursor is not valid") from error
