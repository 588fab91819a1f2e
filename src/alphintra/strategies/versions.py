"""Versions: made of the draft, never changed, and all that runs.

A version is made when somebody asks for one, and of a draft that has changed whenever it is to run.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import now
from alphintra.platform.http import BadCursor, decode_cursor, encode_cursor
from alphintra.platform.security import Principal
from alphintra.platform.services import Services
from alphintra.strategies.access import check_revision, includes, strategy_for
from alphintra.strategies.code.service import CodeService
from alphintra.strategies.content import (
    Content,
    checked_parameters,
    is_like,
    python_of,
    refuse_faulty,
    take,
)
from alphintra.strategies.errors import (
    NoSuchVersion,
    StrategyArchived,
    StrategyChanged,
    TooManyStrategies,
)
from alphintra.strategies.models import StrategyRow, VersionRow
from alphintra.strategies.schemas import Right, StrategyStatus

VERSIONS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionView:
    """A version as those see it who run it.

    `source` is Python with exactly one strategy; of a `NO_CODE` version what its `blocks` mean.
    """

    id: UUID
    strategy_id: UUID
    number: int
    name: str
    type: str
    source: str
    blocks: dict[str, Any] | None
    #: Chosen values, and what they are chosen from (kind, default, range) by name.
    parameters: dict[str, Any]
    declared: dict[str, Any]
    #: Of `source`.
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What differs: a unified diff of the Python, and parameters before and after."""

    source: str
    parameters: dict[str, tuple[Any, Any]]


class VersionService:
    """The use cases of versions."""

    def __init__(self, services: Services, code: CodeService) -> None:
        self._services = services
        self._database = services.database
        self._code = code

    async def make(self, caller: Principal, strategy_id: UUID, note: str = "") -> VersionRow:
        """Make a version of the draft; of one that has not changed, the newest version is it.

        Raises:
            NoSuchStrategy, RightMissing: not the caller's to do.
            StrategyArchived: it is archived.
            GraphRefused, CodeFaulty, ParameterRefused: the draft does not make a strategy.
            StrategyChanged: the draft was changed meanwhile.
            TooManyStrategies: it has as many versions as one may have.
        """
        async with self._database.reading() as session:
            draft, _ = await strategy_for(session, caller, strategy_id, Right.EDIT)
            newest = await _numbered(session, draft, draft.version) if draft.version else None
        if draft.status == StrategyStatus.ARCHIVED:
            raise StrategyArchived("an archived strategy gets no versions")
        if newest is not None and is_like(draft, newest):
            return newest
        source = python_of(draft.type, draft.code, draft.blocks)
        checked = await self._code.check(caller, source)
        refuse_faulty([msgspec.to_builtins(one) for one in checked.findings])
        checked_parameters(checked.declared, draft.parameters, strategy=draft.name)
        declared = msgspec.to_builtins(checked.declared)
        async with self._database.transaction() as session:
            row, _ = await strategy_for(session, caller, strategy_id, Right.EDIT, locked=True)
            if (row.revision, row.version) != (draft.revision, draft.version):
                raise StrategyChanged("it was changed meanwhile", revision=row.revision)
            if row.version >= VERSIONS_MAX:
                raise TooManyStrategies(f"{VERSIONS_MAX} versions are as many as one may have")
            row.version += 1
            row.declared, row.changed = declared, False
            version = VersionRow(
                id=self._services.ids(),
                strategy_id=row.id,
                number=row.version,
                code=source,
                blocks=row.blocks,
                parameters=row.parameters,
                declared=declared,
                sha256=hashlib.sha256(source.encode()).hexdigest(),
                note=note,
                created_by=caller.user_id,
                created_at=now(self._services.clock),
                frozen_at=None,
            )
            session.add(version)
        return version

    async def to_run(
        self, caller: Principal, strategy_id: UUID, number: int | None = None
    ) -> VersionView:
        """Return the version that the caller is going to run; without a number, of the draft.

        Who may not edit gets the published version, else the newest.

        Raises:
            NoSuchStrategy, RightMissing: not the caller's to run.
            NoSuchVersion: there is none of this number, or none yet.
            As `make` does.
        """
        async with self._database.reading() as session:
            row, held = await strategy_for(session, caller, strategy_id, Right.USE)
        if row.status == StrategyStatus.ARCHIVED:
            raise StrategyArchived("an archived strategy is not run")
        if number is None and includes(held, Right.EDIT):
            return _view(await self.make(caller, strategy_id), row)
        wanted = number or row.published_version or row.version
        async with self._database.reading() as session:
            return _view(await _numbered(session, row, wanted), row)

    async def get(self, caller: Principal, strategy_id: UUID, number: int) -> VersionRow:
        """Return one version.

        Raises:
            NoSuchStrategy, NoSuchVersion: there is none for this caller.
        """
        async with self._database.reading() as session:
            row, _ = await strategy_for(session, caller, strategy_id, Right.VIEW)
            return await _numbered(session, row, number)

    async def page(
        self, caller: Principal, strategy_id: UUID, *, limit: int, cursor: str | None
    ) -> tuple[Sequence[VersionRow], str | None]:
        """Return one page of a strategy's versions, the newest first.

        Raises:
            NoSuchStrategy: there is none for this caller.
            BadCursor: the cursor is not one of ours.
        """
        async with self._database.reading() as session:
            row, _ = await strategy_for(session, caller, strategy_id, Right.VIEW)
            query = select(VersionRow).where(VersionRow.strategy_id == row.id)
            if cursor is not None:
                query = query.where(VersionRow.number < _number(cursor))
            query = query.order_by(VersionRow.number.desc()).limit(limit + 1)
            rows = (await session.scalars(query)).all()
        page = rows[:limit]
        return page, encode_cursor(page[-1].number) if len(rows) > limit else None

    async def restore(
        self, caller: Principal, strategy_id: UUID, number: int, revision: int | None
    ) -> tuple[StrategyRow, Right]:
        """Take a version's content back into the draft.

        Raises:
            NoSuchStrategy, NoSuchVersion, RightMissing: not there, or not the caller's to do.
            RevisionNeeded, StrategyChanged: somebody else may have changed it, or has.
        """
        async with self._database.transaction() as session:
            row, held = await strategy_for(session, caller, strategy_id, Right.EDIT, locked=True)
            check_revision(row, revision)
            if row.status == StrategyStatus.ARCHIVED:
                raise StrategyArchived("an archived strategy is not changed")
            version = await _numbered(session, row, number)
            code = version.code if version.blocks is None else None
            take(row, Content(code=code, blocks=version.blocks, parameters=version.parameters))
            row.changed = number != row.version
            row.revision += 1
            row.updated_at = now(self._services.clock)
        return row, held

    async def difference(
        self, caller: Principal, strategy_id: UUID, number: int, against: int | None
    ) -> Difference:
        """Say what differs between a version and a later one, or the draft.

        Raises:
            NoSuchStrategy, NoSuchVersion: there is none for this caller.
            GraphRefused: the draft's blocks mean no Python.
        """
        async with self._database.reading() as session:
            row, _ = await strategy_for(session, caller, strategy_id, Right.VIEW)
            before = await _numbered(session, row, number)
            after = None if against is None else await _numbered(session, row, against)
        if after is None:
            name, parameters = "draft", row.parameters
            source = python_of(row.type, row.code, row.blocks)
        else:
            name, parameters, source = f"version {after.number}", after.parameters, after.code
        text = await self._code.difference(
            caller, before.code, source, names=(f"version {before.number}", name)
        )
        differing = {
            key: (before.parameters.get(key), parameters.get(key))
            for key in sorted({*before.parameters, *parameters})
            if before.parameters.get(key) != parameters.get(key)
        }
        return Difference(source=text, parameters=differing)


async def load_version(
    session: AsyncSession, principal: Principal, subject_id: UUID
) -> VersionView:
    """Return a version by its id, or the published, else newest one of a strategy by its id.

    Raises:
        NoSuchStrategy, NoSuchVersion: there is none that the principal may run.
        RightMissing: the strategy is shared with the principal for less than running it.
    """
    version: VersionRow | None = await session.get(VersionRow, subject_id)
    strategy_id = subject_id if version is None else version.strategy_id
    row, _ = await strategy_for(session, principal, strategy_id, Right.USE)
    if version is None:
        version = await _numbered(session, row, row.published_version or row.version)
    return _view(version, row)


async def freeze_version(session: AsyncSession, version_id: UUID, at: datetime) -> None:
    """Keep a version for ever: it is published or deployed. A repeat changes nothing."""
    await session.execute(
        update(VersionRow)
        .where(VersionRow.id == version_id, VersionRow.frozen_at.is_(None))
        .values(frozen_at=at)
    )


async def _numbered(session: AsyncSession, row: StrategyRow, number: int) -> VersionRow:
    version: VersionRow | None = await session.scalar(
        select(VersionRow).where(VersionRow.strategy_id == row.id, VersionRow.number == number)
    )
    if version is None:
        raise NoSuchVersion(
            f"there is no version {number}" if number else "there is no version yet",
            strategy_id=str(row.id),
        )
    return version


def _view(version: VersionRow, row: StrategyRow) -> VersionView:
    return VersionView(
        id=version.id,
        strategy_id=row.id,
        number=version.number,
        name=row.name,
        type=row.type,
        source=version.code,
        blocks=version.blocks,
        parameters=version.parameters,
        declared=version.declared,
        sha256=version.sha256,
    )


def _number(cursor: str) -> int:
    (text,) = decode_cursor(cursor, 1)
    if not text.isdecimal() or not text.isascii() or len(text) > 9:
        raise BadCursor("the cursor is not valid")
    return int(text)
