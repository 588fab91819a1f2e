"""The use cases of research over HTTP: ask for runs, look at them, cancel them.

A run that is asked for is a row and a job, in one transaction. Who asks for a run of somebody else
hears that there is none.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from procrastinate import App
from sqlalchemy import func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import now
from alphintra.core.errors import BadRequest
from alphintra.market import DatasetService
from alphintra.platform.http import BadCursor, decode_cursor, encode_cursor
from alphintra.platform.jobs import create_jobs, enqueue
from alphintra.platform.security import Principal
from alphintra.platform.services import Services
from alphintra.research.errors import (
    CodeNotAllowed,
    NoSuchRun,
    RunIsOver,
    RunNotFinished,
    TooManyRuns,
    UnknownStrategy,
)
from alphintra.research.jobs import NAMESPACE, RUN
from alphintra.research.models import RunRow
from alphintra.research.schemas import RunRequest, RunStatus, RunTerms
from alphintra.research.storing import ResultStore, open_results
from alphintra.strategies import Declared, VersionView, checked_parameters

BACKTEST: Final = "BACKTEST"
OPTIMIZATION: Final = "OPTIMIZATION"
#: Runs of one user that wait or run at a time.
UNFINISHED_MAX: Final = 20
_UNFINISHED: Final = (RunStatus.QUEUED, RunStatus.RUNNING)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilters:
    """Which runs to list; `None` does not filter."""

    status: RunStatus | None = None
    strategy: str | None = None
    strategy_id: UUID | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


class ResearchService:
    """See the module."""

    def __init__(
        self,
        services: Services,
        datasets: DatasetService | None = None,
        store: ResultStore | None = None,
    ) -> None:
        self._services = services
        self._database = services.database
        self._datasets = datasets or DatasetService(services)
        self._store = store or open_results(services.settings.objects_url)
        self._jobs: App | None = None

    async def start(self, caller: Principal, kind: str, wanted: RunRequest) -> RunRow:
        """Ask for a run of a strategy of the library; it exists, with its job, on return.

        Raises:
            CodeNotAllowed, UnknownStrategy, ParameterRefused: the strategy cannot be run.
            UnknownDataset, BadRequest: the data cannot be read.
            TooManyRuns: the caller has too many that are not over.
        """
        if wanted.code is not None:
            raise CodeNotAllowed("make a strategy of the code and run that: POST /strategies")
        if wanted.strategy is None:
            raise UnknownStrategy("name a strategy of the library")
        await asyncio.to_thread(check_parameters, wanted.strategy, wanted.parameters)
        request = wanted.model_dump(mode="json", exclude={"code", "name"})
        return await self._queued(caller, kind, wanted, request, strategy=wanted.strategy)

    async def start_version(
        self, caller: Principal, kind: str, version: VersionView, wanted: RunTerms
    ) -> RunRow:
        """Ask for a run of a version of a strategy that somebody made.

        Raises:
            ParameterRefused: it does not take these parameters.
            UnknownDataset, BadRequest: the data cannot be read.
            TooManyRuns: the caller has too many that are not over.
        """
        parameters = {**version.parameters, **wanted.parameters}
        checked_parameters(
            {name: msgspec.convert(one, Declared) for name, one in version.declared.items()},
            parameters,
            strategy=version.name,
        )
        request = wanted.model_dump(mode="json", exclude={"version", "name"})
        request["parameters"] = parameters
        return await self._queued(
            caller,
            kind,
            wanted,
            request,
            strategy=version.name,
            strategy_id=version.strategy_id,
            strategy_version=version.number,
            strategy_version_id=version.id,
            strategy_sha256=version.sha256,
        )

    async def _queued(
        self,
        caller: Principal,
        kind: str,
        wanted: RunTerms,
        request: dict[str, Any],
        **strategy: Any,  # the row's columns that name it
    ) -> RunRow:
        if wanted.start and wanted.end and wanted.start >= wanted.end:
            raise BadRequest("the start lies before the end")
        held: set[str] = set()
        for dataset_id in dict.fromkeys(wanted.dataset_ids):
            held |= set((await self._datasets.get(caller, dataset_id)).symbols)
        if missing := [symbol for symbol in wanted.symbols if symbol not in held]:
            raise BadRequest(f"the datasets do not hold {', '.join(missing[:10])}")
        row = RunRow(
            id=self._services.ids(),
            user_id=caller.user_id,
            kind=kind,
            name=wanted.name or strategy["strategy"],
            **strategy,
            request=request,
            status=RunStatus.QUEUED,
            progress=0.0,
            remaining_s=None,
            attempts=0,
            cancel_requested=False,
            created_at=now(self._services.clock),
        )
        async with self._database.transaction() as session:
            await self._bound(session, caller)
            session.add(row)
            await session.flush()
            await enqueue(self._queue(), session, f"{NAMESPACE}:{RUN}", run_id=str(row.id))
        return row

    async def _bound(self, session: AsyncSession, caller: Principal) -> None:
        unfinished = await session.scalar(
            select(func.count()).where(
                RunRow.user_id == caller.user_id, RunRow.status.in_(_UNFINISHED)
            )
        )
        if (unfinished or 0) >= UNFINISHED_MAX:
            raise TooManyRuns(f"{UNFINISHED_MAX} of your runs are not over yet")

    def _queue(self) -> App:
        if self._jobs is None:
            # Without the tasks: they belong to the worker's queue, perhaps in this very process.
            self._jobs = create_jobs(self._database.conninfo, {})
        return self._jobs

    async def get(self, caller: Principal, kind: str, run_id: UUID) -> RunRow:
        """Return one run of the caller.

        Raises:
            NoSuchRun: there is none, or it is somebody else's.
        """
        async with self._database.reading() as session:
            row = await session.get(RunRow, run_id)
        if row is None or row.user_id != caller.user_id or row.kind != kind:
            raise NoSuchRun("there is no such run", run_id=str(run_id))
        return row

    async def page(
        self,
        caller: Principal,
        kind: str,
        *,
        filters: RunFilters,
        limit: int,
        cursor: str | None,
    ) -> tuple[Sequence[RunRow], str | None]:
        """Return one page of the caller's runs, the youngest first, and the cursor of the next.

        Raises:
            BadCursor: the cursor is not one of ours.
        """
        query = select(RunRow).where(RunRow.user_id == caller.user_id, RunRow.kind == kind)
        if filters.status is not None:
            query = query.where(RunRow.status == filters.status)
        if filters.strategy is not None:
            query = query.where(RunRow.strategy == filters.strategy)
        if filters.strategy_id is not None:
            query = query.where(RunRow.strategy_id == filters.strategy_id)
        if filters.created_after is not None:
            query = query.where(RunRow.created_at >= filters.created_after)
        if filters.created_before is not None:
            query = query.where(RunRow.created_at < filters.created_before)
        if cursor is not None:
            query = query.where(tuple_(RunRow.created_at, RunRow.id) < _position(cursor))
        query = query.order_by(RunRow.created_at.desc(), RunRow.id.desc()).limit(limit + 1)
        async with self._database.reading() as session:
            rows = (await session.scalars(query)).all()
        page = rows[:limit]
        more = len(rows) > limit
        return page, encode_cursor(page[-1].created_at.isoformat(), page[-1].id) if more else None

    async def cancel(self, caller: Principal, kind: str, run_id: UUID) -> RunRow:
        """Cancel a run: at once while it waits, within a second while it runs.

        Raises:
            NoSuchRun: there is none, or it is somebody else's.
            RunIsOver: there is nothing left to cancel.
        """
        await self.get(caller, kind, run_id)
        async with self._database.transaction() as session:
            await session.execute(
                update(RunRow)
                .where(RunRow.id == run_id, RunRow.status == RunStatus.QUEUED)
                .values(status=RunStatus.CANCELED, finished_at=now(self._services.clock))
            )
            await session.execute(
                update(RunRow)
                .where(RunRow.id == run_id, RunRow.status == RunStatus.RUNNING)
                .values(cancel_requested=True)
            )
        row = await self.get(caller, kind, run_id)
        if row.status in {RunStatus.SUCCEEDED, RunStatus.FAILED}:
            raise RunIsOver(f"the run is over: {row.status}")
        return row

    async def look(
        self, caller: Principal, kind: str, run_id: UUID, work: Callable[[Path], T]
    ) -> T:
        """Return what `work` makes, in a thread, of the file of a run's result.

        Raises:
            NoSuchRun: there is none, or it is somebody else's.
            RunNotFinished: it has no result.
            ResultGone: its file is not there any more.
        """
        row = await self.get(caller, kind, run_id)
        if row.status != RunStatus.SUCCEEDED or row.result_sha256 is None:
            raise RunNotFinished(f"the run is {row.status}", status=row.status)
        return await asyncio.to_thread(work, self._store.path(row.result_sha256))


def check_parameters(strategy: str, parameters: dict[str, Any]) -> None:
    """Refuse a strategy that the library has not, and parameters that it does not take.

    Raises:
        UnknownStrategy, ParameterRefused: as they say.
    """
    from alphintra.research.loading import library, load_strategy
    from alphintra.sdk import parameters_of
    from alphintra.sdk.parameters import resolved

    if strategy not in library():
        raise UnknownStrategy(f"there is no {strategy}; there is: {', '.join(library())}")
    loaded = load_strategy(strategy)
    resolved(parameters_of(loaded), parameters, strategy=strategy)


def described_library() -> list[dict[str, Any]]:
    """Return the strategies of the library with their parameters."""
    from alphintra.research.loading import library, load_strategy
    from alphintra.sdk import parameters_of

    found = []
    for name in library():
        strategy = load_strategy(name)
        about = getattr(strategy, "__doc__", None) or getattr(
            getattr(strategy, "function", None), "__doc__", ""
        )
        parameters = {
            key: {
                "default": one.default,
                "low": one.low,
                "high": one.high,
                "choices": list(one.choices) if one.choices else None,
            }
            for key, one in parameters_of(strategy).items()
        }
        found.append({"name": name, "description": (about or "").strip(), "parameters": parameters})
    return found


def _position(cursor: str) -> tuple[datetime, UUID]:
    at, run_id = decode_cursor(cursor, 2)
    try:
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError("no time of ours")
        return moment, UUID(run_id)
    except ValueError as error:
        raise BadCursor("the cursor is not valid") from error
