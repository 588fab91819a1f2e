"""The use cases of datasets: one method each. Whose a dataset is, is decided here.

A dataset belongs to a user, or to the platform, and then everybody may read it. What belongs to
somebody else is not there.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
import structlog
from sqlalchemy import func, or_, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import NS_PER_SECOND, now, to_datetime, to_ns
from alphintra.core.errors import Forbidden
from alphintra.core.ids import derived_id
from alphintra.engine.series import Series
from alphintra.market import sessions as calendar_sessions
from alphintra.market.datasets import deriving
from alphintra.market.datasets.actions import Action
from alphintra.market.datasets.content import content_of
from alphintra.market.datasets.errors import (
    CannotDerive,
    DatasetNotYours,
    DatasetQuotaReached,
    InvalidOption,
    SymbolNotInDataset,
    UnknownDataset,
    UploadsBusy,
)
from alphintra.market.datasets.findings import QualityReport, refusal_of
from alphintra.market.datasets.forms import read_form
from alphintra.market.datasets.options import DAY_NS, options_of, timeframe_ns
from alphintra.market.datasets.parsing_process import check_apart, reading_room
from alphintra.market.datasets.recording import recorded
from alphintra.market.datasets.resampling import Sessions
from alphintra.market.datasets.schemas import AdjustBody, RecordBody, ResampleBody
from alphintra.market.datasets.storage import ObjectStore, open_store
from alphintra.market.datasets.taking import DATA, UPLOAD, Checked, Facts
from alphintra.market.files import Kind
from alphintra.market.models import DatasetRow
from alphintra.market.timeframes import parse as parse_timeframe
from alphintra.platform.http import BadCursor, decode_cursor, encode_cursor
from alphintra.platform.security import Permission, Principal
from alphintra.platform.services import Services

UPLOAD_BYTES_MAX: Final = 256 * 1024**2
NAME_LENGTH_MAX: Final = 120
#: Files that one process checks at a time, and how long another one waits for its turn.
CHECKS_MAX: Final = 2
WAIT_S: Final = 20.0
_MIB: Final = 1024**2
T = TypeVar("T")

log = structlog.get_logger(__name__)


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset; `owner_id` is `None` for the platform's. `step_ns` is 0 for ticks."""

    id: UUID
    owner_id: UUID | None
    name: str
    symbols: tuple[str, ...]
    kind: str
    timeframe: str
    step_ns: int
    rows: int
    first_at: datetime
    last_at: datetime
    bytes: int
    sha256: str
    source: str
    file_name: str
    adjustment: str
    report: QualityReport
    actions: tuple[Action, ...]
    parent_id: UUID | None
    derivation: dict[str, Any] | None
    created_at: datetime


class _Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a dataset comes from."""

    owner_id: UUID | None
    name: str
    source: str
    file_name: str = ""
    parent_id: UUID | None = None
    derivation: dict[str, Any] | None = None


class DatasetService:
    """See the module."""

    def __init__(self, services: Services, store: ObjectStore | None = None) -> None:
        self._services = services
        self._database = services.database
        self._store = store or open_store(services.settings.objects_url)
        self._turns = asyncio.Semaphore(CHECKS_MAX)
        self._room = reading_room(services.settings.sandbox)

    async def close(self) -> None:
        """End the processes that read files."""
        await self._room.close()

    async def upload(
        self, caller: Principal, body: AsyncIterator[bytes], *, content_type: str
    ) -> tuple[Dataset, bool]:
        """Take a file, sent as a form; return its dataset and whether it was not there before.

        Raises:
            MalformedForm, UploadTooLarge, InvalidOption, UnknownTimezone: see there.
            UploadNeedsDecision, UploadRefused: the file is not taken; the report says why.
            DatasetQuotaReached, UploadsBusy, ObjectsUnavailable: see there.
            SandboxUnavailable: nothing isolates the reading of files on this host.
        """
        with self._store.scratch() as folder:
            form = await read_form(
                body,
                content_type=content_type,
                target=folder / UPLOAD,
                bytes_max=UPLOAD_BYTES_MAX,
            )
            fields = form.fields
            owner_id = _owner(caller, fields.pop("visibility", "private"))
            file_name = _printable(form.file_name, 200)
            name = _printable(fields.pop("name", ""), NAME_LENGTH_MAX)
            options = options_of(fields)
            async with self._turn():
                checked = await check_apart(
                    folder,
                    name=file_name,
                    options=options,
                    now_ns=self._services.clock.now_ns(),
                    sandbox=self._room,
                )
            facts = accepted(checked)
            origin = _Origin(
                owner_id=owner_id,
                name=name or file_name or facts.symbols[0],
                source="upload",
                file_name=file_name,
            )
            return await self._keep(folder / DATA, checked, facts, origin)

    async def add(self, folder: Path, checked: Checked, *, name: str, source: str) -> Dataset:
        """Keep `folder/data.parquet`, checked in this process, as a dataset of the platform.

        Raises:
            UploadNeedsDecision, UploadRefused: it is not taken.
        """
        origin = _Origin(owner_id=None, name=name, source=source)
        kept, _ = await self._keep(folder / DATA, checked, accepted(checked), origin)
        return kept

    async def page(
        self, caller: Principal, *, limit: int, cursor: str | None, symbol: str = "", kind: str = ""
    ) -> tuple[list[Dataset], str | None]:
        """Return what the caller may read, the latest first, and the cursor of the page after.

        Raises:
            BadCursor: the cursor is not one of ours.
        """
        statement = (
            select(DatasetRow)
            .where(or_(DatasetRow.owner_id == caller.user_id, DatasetRow.owner_id.is_(None)))
            .order_by(DatasetRow.created_at.desc(), DatasetRow.id.desc())
            .limit(limit + 1)
        )
        if cursor is not None:
            at, last_id = _position(cursor)
            statement = statement.where(
                tuple_(DatasetRow.created_at, DatasetRow.id) < (at, last_id)
            )
        if symbol:
            statement = statement.where(DatasetRow.symbols.contains([symbol]))
        if kind:
            statement = statement.where(DatasetRow.kind == kind)
        async with self._database.reading() as session:
            rows = (await session.scalars(statement)).all()
        items = [_from_row(row) for row in rows[:limit]]
        if len(rows) <= limit:
            return items, None
        return items, encode_cursor(to_ns(items[-1].created_at), items[-1].id)

    async def get(self, caller: Principal, dataset_id: UUID) -> Dataset:
        """Return one dataset that the caller may read.

        Raises:
            UnknownDataset: there is none, or it is somebody else's.
        """
        async with self._database.reading() as session:
            row = await session.get(DatasetRow, dataset_id)
        if row is None or row.owner_id not in {None, caller.user_id}:
            raise UnknownDataset(f"there is no dataset {dataset_id}", dataset_id=str(dataset_id))
        return _from_row(row)

    async def delete(self, caller: Principal, dataset_id: UUID) -> None:
        """Remove a dataset; its file goes with the last dataset of the same content.

        Raises:
            UnknownDataset: there is none, or it is somebody else's.
            DatasetNotYours: it is the platform's, and the caller may not change that.
        """
        dataset = await self.get(caller, dataset_id)
        if dataset.owner_id is None and Permission.MARKET_WRITE not in caller.permissions:
            raise DatasetNotYours("datasets of the platform are removed by administrators")
        async with self._database.transaction() as session:
            row = await session.get(DatasetRow, dataset_id)
            if row is not None:
                await session.delete(row)
        async with self._database.transaction() as session:
            # Whoever brings the same content waits here, and then puts the file anew.
            await _lock(session, f"dataset {dataset.sha256}")
            left = await session.scalar(
                select(func.count()).where(DatasetRow.sha256 == dataset.sha256)
            )
            if not left:
                await asyncio.to_thread(self._store.delete, dataset.sha256)

    def path(self, dataset: Dataset) -> Path:
        """Return the Parquet file of a dataset, for processes that read it themselves.

        Raises:
            ObjectsUnavailable: the storage does not have it.
        """
        return self._store.path(dataset.sha256)

    async def open_series(self, caller: Principal, dataset_id: UUID) -> tuple[Series, ...]:
        """Return all series of a dataset, by symbol.

        Raises:
            UnknownDataset, ObjectsUnavailable: see there.
        """
        return await self.look(caller, dataset_id, lambda path, _: deriving.all_series(path))

    async def look(
        self,
        caller: Principal,
        dataset_id: UUID,
        work: Callable[[Path, str], T],
        *,
        symbol: str = "",
    ) -> T:
        """Return what `work` makes, in a thread, of a dataset's file and one of its symbols.

        Args:
            symbol: empty for the first one.

        Raises:
            UnknownDataset, SymbolNotInDataset, ObjectsUnavailable: see there.
        """
        dataset = await self.get(caller, dataset_id)
        if symbol and symbol not in dataset.symbols:
            raise SymbolNotInDataset(f"the dataset holds {', '.join(dataset.symbols[:20])}")
        path = self.path(dataset)
        return await asyncio.to_thread(work, path, symbol or dataset.symbols[0])

    async def resample(
        self, caller: Principal, dataset_id: UUID, wanted: ResampleBody
    ) -> tuple[Dataset, bool]:
        """Make a dataset of a longer timeframe.

        Raises:
            UnknownDataset: see there.
            CannotDerive: see `resampling.resample`.
        """
        parent = await self.get(caller, dataset_id)
        is_daily = timeframe_ns(wanted.timeframe) >= DAY_NS > parent.step_ns
        sessions = await self._sessions(wanted.calendar, parent) if is_daily else None
        path = self.path(parent)
        origin = _Origin(
            owner_id=caller.user_id,
            name=wanted.name or f"{parent.name} {wanted.timeframe}"[:NAME_LENGTH_MAX],
            source="resampled",
            parent_id=parent.id,
            derivation={
                "resample": {"timeframe": wanted.timeframe, "calendar": wanted.calendar},
                "parent_sha256": parent.sha256,
            },
        )
        return await self._make(
            lambda: deriving.resampled(
                path, wanted.timeframe, step_ns=parent.step_ns, sessions=sessions
            ),
            origin,
            actions=parent.actions,
            adjustment=parent.adjustment,
        )

    async def adjust(
        self, caller: Principal, dataset_id: UUID, wanted: AdjustBody
    ) -> tuple[Dataset, bool]:
        """Make a dataset whose prices are adjusted in another way.

        Raises:
            UnknownDataset: see there.
            CannotDerive: see `adjusting.adjust`; or there are no actions.
        """
        parent = await self.get(caller, dataset_id)
        actions = _actions(wanted, parent) or parent.actions
        if not actions:
            raise CannotDerive("no splits or dividends came with the dataset; give them")
        before = wanted.before or parent.adjustment
        path = self.path(parent)
        origin = _Origin(
            owner_id=caller.user_id,
            name=wanted.name or f"{parent.name} {wanted.to}"[:NAME_LENGTH_MAX],
            source="adjusted",
            parent_id=parent.id,
            derivation={
                "adjust": {"before": before, "to": wanted.to, "actions": len(actions)},
                "parent_sha256": parent.sha256,
            },
        )
        return await self._make(
            lambda: deriving.adjusted(
                path,
                actions,
                before=before,
                after=wanted.to,
                timeframe=parent.timeframe,
                step_ns=parent.step_ns,
            ),
            origin,
            actions=actions,
            adjustment=wanted.to,
        )

    async def record(self, caller: Principal, wanted: RecordBody) -> tuple[Dataset, bool]:
        """Make a dataset of what the platform has recorded.

        Raises:
            NothingRecorded, CannotDerive, UnknownTimeframe, DatabaseUnavailable: see there.
        """
        kind = Kind(wanted.kind)
        timeframe = parse_timeframe(wanted.timeframe) if kind is Kind.CANDLES else ""
        series = await recorded(
            self._database,
            symbol=wanted.symbol,
            kind=kind,
            timeframe=timeframe,
            start=wanted.start,
            end=wanted.end,
            source=wanted.source,
        )
        step_ns = timeframe_ns(timeframe) if timeframe else 0
        days = f"{wanted.start:%Y-%m-%d} to {wanted.end:%Y-%m-%d}"
        origin = _Origin(
            owner_id=caller.user_id,
            name=wanted.name or f"{wanted.symbol} {timeframe or kind} {days}"[:NAME_LENGTH_MAX],
            source="recorded",
            derivation={"recorded": wanted.model_dump(mode="json", exclude={"name"})},
        )
        return await self._make(
            lambda: content_of([series], timeframe=timeframe, step_ns=step_ns),
            origin,
            actions=(),
            adjustment="raw",
        )

    async def _make(
        self,
        making: deriving.Making,
        origin: _Origin,
        *,
        actions: Sequence[Action],
        adjustment: str,
    ) -> tuple[Dataset, bool]:
        with self._store.scratch() as folder:

            def work() -> Checked:
                return deriving.finish(
                    making(), folder / DATA, actions=actions, adjustment=adjustment
                )

            async with self._turn():
                checked = await asyncio.to_thread(work)
            return await self._keep(folder / DATA, checked, accepted(checked), origin)

    async def _keep(
        self, file: Path, checked: Checked, facts: Facts, origin: _Origin
    ) -> tuple[Dataset, bool]:
        """Store the file and its row; a dataset that its owner has already is returned as it is."""
        dataset_id = derived_id("market.dataset", origin.owner_id or "platform", facts.sha256)
        async with self._database.transaction() as session:
            if origin.owner_id is not None:
                await _lock(session, f"datasets of {origin.owner_id}")
            await _lock(session, f"dataset {facts.sha256}")
            if (known := await session.get(DatasetRow, dataset_id)) is not None:
                return _from_row(known), False
            await self._check_quota(session, origin.owner_id, facts.bytes)
            await asyncio.to_thread(self._store.put, file, facts.sha256)
            row = DatasetRow(
                id=dataset_id,
                symbols=list(facts.symbols),
                kind=facts.kind,
                timeframe=facts.timeframe,
                step_ns=facts.step_ns,
                rows=facts.rows,
                first_at=to_datetime(facts.first_ns),
                last_at=to_datetime(facts.last_ns),
                bytes=facts.bytes,
                sha256=facts.sha256,
                adjustment=checked.adjustment,
                report=msgspec.to_builtins(checked.report),
                actions=msgspec.to_builtins(checked.actions),
                created_at=now(self._services.clock),
                **msgspec.structs.asdict(origin),
            )
            session.add(row)
            await session.flush()
        log.info("dataset_kept", dataset_id=str(dataset_id), rows=facts.rows, source=origin.source)
        return _from_row(row), True

    async def _check_quota(
        self, session: AsyncSession, owner_id: UUID | None, more_bytes: int
    ) -> None:
        if owner_id is None:
            return
        used = await session.scalar(
            select(func.coalesce(func.sum(DatasetRow.bytes), 0)).where(
                DatasetRow.owner_id == owner_id
            )
        )
        room = self._services.settings.dataset_quota_mb * _MIB
        if int(used or 0) + more_bytes > room:
            raise DatasetQuotaReached(
                f"your datasets have {int(used or 0):,} of {room:,} bytes; this one has "
                f"{more_bytes:,}"
            )

    async def _sessions(self, calendar: str, parent: Dataset) -> Sessions | None:
        if calendar == calendar_sessions.ALWAYS:
            return None
        start, end = parent.first_at - timedelta(days=7), parent.last_at + timedelta(days=7)
        found = await self._known_sessions(calendar, start, end)
        if not found:
            async with self._turn():
                until = now(self._services.clock) + calendar_sessions.HORIZON
                await calendar_sessions.fill(self._database, calendar, until)
            found = await self._known_sessions(calendar, start, end)
        return found

    async def _known_sessions(self, calendar: str, start: datetime, end: datetime) -> Sessions:
        async with self._database.reading() as session:
            found = await calendar_sessions.sessions_between(session, calendar, start, end)
        return [(to_ns(one.opens_at), to_ns(one.closes_at)) for one in found]

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            await asyncio.wait_for(self._turns.acquire(), WAIT_S)
        except TimeoutError as error:
            raise UploadsBusy("other datasets are being worked on") from error
        try:
            yield
        finally:
            self._turns.release()


def accepted(checked: Checked) -> Facts:
    """Return the facts of a file that was taken.

    Raises:
        UploadNeedsDecision, UploadRefused: it was not; the report is in the refusal.
    """
    if checked.facts is not None:
        return checked.facts
    raise refusal_of(checked.report)


def _owner(caller: Principal, visibility: str) -> UUID | None:
    if visibility == "private":
        return caller.user_id
    if visibility != "platform":
        raise InvalidOption("visibility: private or platform")
    if Permission.MARKET_WRITE not in caller.permissions:
        raise Forbidden("datasets of the platform are added by administrators")
    return None


def _actions(wanted: AdjustBody, parent: Dataset) -> tuple[Action, ...]:
    actions = []
    for one in wanted.actions:
        symbol = one.symbol or (parent.symbols[0] if len(parent.symbols) == 1 else "")
        if symbol not in parent.symbols:
            raise CannotDerive(f"the dataset has no symbol {symbol!r}; say of which an action is")
        actions.append(
            Action(symbol=symbol, ex_ns=day_ns(one.ex_date), ratio=one.ratio, amount=one.amount)
        )
    return tuple(actions)


def day_ns(day: date) -> int:
    """Return 00:00 UTC of a day in nanoseconds since the epoch."""
    return (day - date(1970, 1, 1)).days * DAY_NS


def _from_row(row: DatasetRow) -> Dataset:
    names = [field.name for field in msgspec.structs.fields(Dataset)]
    return msgspec.convert(
        {name: getattr(row, name) for name in names}, Dataset, builtin_types=(UUID, datetime)
    )


def _position(cursor: str) -> tuple[datetime, UUID]:
    at, last_id = decode_cursor(cursor, 2)
    try:
        position = int(at)
        if abs(position) > 253_402_300_799 * NS_PER_SECOND:
            raise ValueError("no time of ours")
        return to_datetime(position), UUID(last_id)
    except ValueError as error:
        raise BadCursor("the cursor is not valid") from error


def _printable(text_given: str, length: int) -> str:
    return "".join(one for one in text_given if one.isprintable()).strip()[-length:]


async def _lock(session: AsyncSession, key: str) -> None:
    """Hold a name until the transaction ends."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key}
    )
