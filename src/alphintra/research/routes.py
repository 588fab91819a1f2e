"""The HTTP face of research: backtests, searches, the library of strategies."""

from datetime import datetime
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import AwareDatetime

from alphintra.platform.http import Cursor, Limit, Page
from alphintra.platform.security import Permission, Principal, requires
from alphintra.platform.services import Services
from alphintra.research import looking
from alphintra.research.dry_runs import dry_run
from alphintra.research.models import RunRow
from alphintra.research.schemas import (
    BacktestRequest,
    BacktestView,
    CodeRunRequest,
    CodeRunView,
    ComparedView,
    CompareRequest,
    EquityView,
    LibraryStrategyView,
    OptimizationView,
    OptimizeRequest,
    RunStatus,
    RunView,
    StrategyBacktestRequest,
    StrategyOptimizeRequest,
    TradeRowView,
)
from alphintra.research.service import (
    BACKTEST,
    OPTIMIZATION,
    ResearchService,
    RunFilters,
    described_library,
)
from alphintra.strategies import Strategies

router = APIRouter(tags=["research"])

Reader = Annotated[Principal, requires(Permission.RESEARCH_READ)]
Writer = Annotated[Principal, requires(Permission.RESEARCH_WRITE)]
#: Running one's own strategy may make a version of it.
Runner = Annotated[Principal, requires(Permission.RESEARCH_WRITE, Permission.STRATEGIES_WRITE)]
Coder = Annotated[Principal, requires(Permission.STRATEGIES_WRITE)]
StrategyId = Annotated[UUID, Path(description="of the strategy")]
RunId = Annotated[UUID, Path(description="of the run")]
StrategyFilter = Annotated[str | None, Query(max_length=64, pattern=r"^[A-Za-z0-9_\-]+$")]
Accept = Annotated[str, Header(max_length=1_000)]
_ARROW = "application/vnd.apache.arrow.stream"
_MEDIA: dict[str, str] = {
    "html": "text/html",
    "pdf": "application/pdf",
    "json": "application/json",
    "arrow": _ARROW,
}


def _files(*formats: str) -> dict[int | str, dict[str, Any]]:
    """Return what the reference says of a route that answers with one of several kinds of file."""
    kinds: dict[str, Any] = {
        "html": {"type": "string"},
        "pdf": {"type": "string", "format": "binary"},
        "arrow": {"type": "string", "format": "binary"},
        "json": {"type": "object"},
    }
    return {200: {"content": {_MEDIA[one]: {"schema": kinds[one]} for one in formats}}}


async def research_service(request: Request) -> ResearchService:
    """Return the service of this process, made when it is first asked for."""
    state = request.app.state
    if not hasattr(state, "research"):
        state.research = ResearchService(cast(Services, state.services))
    return cast(ResearchService, state.research)


async def strategies_of(request: Request) -> Strategies:
    """Return the services of strategies of this process."""
    return cast(Strategies, request.app.state.strategies)


Research = Annotated[ResearchService, Depends(research_service)]
OwnStrategies = Annotated[Strategies, Depends(strategies_of)]


@router.get("/strategy-library")
async def list_library(caller: Reader) -> Page[LibraryStrategyView]:
    """The strategies that come with the product, with their parameters."""
    return Page(
        items=[LibraryStrategyView(**one) for one in await looking.in_thread(described_library)]
    )


@router.post("/backtests", status_code=202)
async def start_backtest(
    wanted: BacktestRequest, caller: Writer, research: Research, response: Response
) -> BacktestView:
    """Run a strategy of the library over datasets; ask for the result by the id."""
    row = await research.start(caller, BACKTEST, wanted)
    response.headers["Location"] = f"/api/v1/backtests/{row.id}"
    return backtest_view(row)


@router.post("/strategies/{strategy_id}/backtest", status_code=202)
async def backtest_strategy(
    strategy_id: StrategyId,
    wanted: StrategyBacktestRequest,
    caller: Runner,
    research: Research,
    strategies: OwnStrategies,
    response: Response,
) -> BacktestView:
    """Run a strategy that you made over datasets, in the sandbox.

    Without a version, one is made of the draft if it has changed.
    """
    version = await strategies.versions.to_run(caller, strategy_id, wanted.version)
    row = await research.start_version(caller, BACKTEST, version, wanted)
    response.headers["Location"] = f"/api/v1/backtests/{row.id}"
    return backtest_view(row)


@router.post("/strategies/{strategy_id}/optimize", status_code=202)
async def optimize_strategy(
    strategy_id: StrategyId,
    wanted: StrategyOptimizeRequest,
    caller: Runner,
    research: Research,
    strategies: OwnStrategies,
    response: Response,
) -> OptimizationView:
    """Search for the parameters of a strategy that you made; every trial is counted."""
    version = await strategies.versions.to_run(caller, strategy_id, wanted.version)
    row = await research.start_version(caller, OPTIMIZATION, version, wanted)
    response.headers["Location"] = f"/api/v1/optimizations/{row.id}"
    return optimization_view(row)


@router.post("/code/run")
async def run_code(wanted: CodeRunRequest, caller: Coder, strategies: OwnStrategies) -> CodeRunView:
    """Run a text over a few bars of demo data, in the sandbox, while you wait."""
    return await dry_run(strategies, caller, wanted)


@router.get("/backtests")
async def list_backtests(
    caller: Reader,
    research: Research,
    status: RunStatus | None = None,
    strategy: StrategyFilter = None,
    strategy_id: UUID | None = None,
    created_after: AwareDatetime | None = None,
    created_before: AwareDatetime | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[RunView]:
    """Your backtests, the youngest first."""
    filters = _filters(status, strategy, strategy_id, created_after, created_before)
    rows, after = await research.page(caller, BACKTEST, filters=filters, limit=limit, cursor=cursor)
    return Page(items=[RunView(**_run(row)) for row in rows], next=after)


@router.post("/backtests/compare", responses=_files("json", "html"), response_model=ComparedView)
async def compare_backtests(
    wanted: CompareRequest,
    caller: Reader,
    research: Research,
    accept: Accept = "*/*",
    form: Annotated[Literal["json", "html"] | None, Query(alias="format")] = None,
) -> Response:
    """Put backtests side by side: figures, or with `format=html` a page."""
    rows = [await research.get(caller, BACKTEST, run_id) for run_id in wanted.ids]
    if _chosen(form, accept, ("json", "html")) == "json":
        compared = looking.compared(rows)
        return Response(compared.model_dump_json(), media_type=_MEDIA["json"])
    results = [
        await research.look(caller, BACKTEST, row.id, looking.load_named(row.name)) for row in rows
    ]
    page = await looking.in_thread(lambda: looking.comparison(results))
    return Response(page, media_type=_MEDIA["html"])


@router.get("/backtests/{run_id}")
async def show_backtest(run_id: RunId, caller: Reader, research: Research) -> BacktestView:
    """One backtest: how far it is, then what came of it."""
    return backtest_view(await research.get(caller, BACKTEST, run_id))


@router.delete("/backtests/{run_id}", status_code=202)
async def cancel_backtest(run_id: RunId, caller: Writer, research: Research) -> BacktestView:
    """Cancel a backtest that waits or runs; nothing of it is kept."""
    return backtest_view(await research.cancel(caller, BACKTEST, run_id))


@router.get("/backtests/{run_id}/trades")
async def list_backtest_trades(
    run_id: RunId,
    caller: Reader,
    research: Research,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[TradeRowView]:
    """The round trips of a backtest, in the order of their entries."""
    first = looking.first_row(cursor)
    rows, after = await research.look(
        caller, BACKTEST, run_id, lambda path: looking.trades(path, first, limit)
    )
    return Page(items=[TradeRowView.model_validate(row) for row in rows], next=after)


@router.get(
    "/backtests/{run_id}/equity", responses=_files("json", "arrow"), response_model=EquityView
)
async def show_backtest_equity(
    run_id: RunId,
    caller: Reader,
    research: Research,
    points: Annotated[int, Query(ge=10, le=20_000, description="at most about so many")] = 2_000,
    accept: Accept = "*/*",
    form: Annotated[Literal["json", "arrow"] | None, Query(alias="format")] = None,
) -> Response:
    """The equity curve: thinned out, or with `format=arrow` whole, as an Arrow stream."""
    if _chosen(form, accept, ("json", "arrow")) == "arrow":
        stream = await research.look(caller, BACKTEST, run_id, looking.equity_arrow)
        return Response(stream, media_type=_ARROW)
    body = await research.look(
        caller, BACKTEST, run_id, lambda path: looking.equity_json(path, points)
    )
    return Response(body, media_type=_MEDIA["json"])


@router.get("/backtests/{run_id}/report", responses=_files("html", "pdf", "json"))
async def show_backtest_report(
    run_id: RunId,
    caller: Reader,
    research: Research,
    accept: Accept = "*/*",
    form: Annotated[Literal["html", "pdf", "json"] | None, Query(alias="format")] = None,
) -> Response:
    """The report: a page to look at, a PDF to send, or JSON; by `format`, or by `Accept`."""
    chosen = _chosen(form, accept, ("html", "pdf", "json"))

    def make(path: FilePath) -> bytes:
        return looking.report(path, chosen)

    body = await research.look(caller, BACKTEST, run_id, make)
    return Response(body, media_type=_MEDIA[chosen])


@router.post("/optimizations", status_code=202)
async def start_optimization(
    wanted: OptimizeRequest, caller: Writer, research: Research, response: Response
) -> OptimizationView:
    """Search for a strategy's parameters; every trial is counted."""
    row = await research.start(caller, OPTIMIZATION, wanted)
    response.headers["Location"] = f"/api/v1/optimizations/{row.id}"
    return optimization_view(row)


@router.get("/optimizations")
async def list_optimizations(
    caller: Reader,
    research: Research,
    status: RunStatus | None = None,
    strategy: StrategyFilter = None,
    strategy_id: UUID | None = None,
    created_after: AwareDatetime | None = None,
    created_before: AwareDatetime | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[RunView]:
    """Your searches, the youngest first."""
    filters = _filters(status, strategy, strategy_id, created_after, created_before)
    rows, after = await research.page(
        caller, OPTIMIZATION, filters=filters, limit=limit, cursor=cursor
    )
    return Page(items=[RunView(**_run(row)) for row in rows], next=after)


@router.get("/optimizations/{run_id}")
async def show_optimization(run_id: RunId, caller: Reader, research: Research) -> OptimizationView:
    """One search: how far it is, then the best, and what luck explains of it."""
    return optimization_view(await research.get(caller, OPTIMIZATION, run_id))


@router.delete("/optimizations/{run_id}", status_code=202)
async def cancel_optimization(
    run_id: RunId, caller: Writer, research: Research
) -> OptimizationView:
    """Cancel a search that waits or runs; nothing of it is kept."""
    return optimization_view(await research.cancel(caller, OPTIMIZATION, run_id))


@router.get("/optimizations/{run_id}/report", responses=_files("html", "json"))
async def show_optimization_report(
    run_id: RunId,
    caller: Reader,
    research: Research,
    accept: Accept = "*/*",
    form: Annotated[Literal["html", "json"] | None, Query(alias="format")] = None,
) -> Response:
    """The search as a page with heat maps, or as JSON with every trial."""
    chosen = _chosen(form, accept, ("html", "json"))
    body = await research.look(
        caller, OPTIMIZATION, run_id, lambda path: looking.search_part(path, chosen)
    )
    return Response(body, media_type=_MEDIA[chosen])


def _chosen(asked: str | None, accept: str, offered: tuple[str, ...]) -> str:
    """Return the first offer that was asked for, or that the header accepts, else the first."""
    if asked is not None:
        return asked
    wanted = [part.split(";")[0].strip() for part in accept.split(",")]
    for one in wanted:
        for offer in offered:
            if _MEDIA[offer] == one:
                return offer
    return offered[0]


def _filters(
    status: RunStatus | None,
    strategy: str | None,
    strategy_id: UUID | None,
    created_after: datetime | None,
    created_before: datetime | None,
) -> RunFilters:
    return RunFilters(
        status=status,
        strategy=strategy,
        strategy_id=strategy_id,
        created_after=created_after,
        created_before=created_before,
    )


def _run(row: RunRow) -> dict[str, Any]:
    error = None
    if row.error_code is not None:
        error = {"code": row.error_code, "detail": row.error_detail or ""}
    return {
        "id": row.id,
        "name": row.name,
        "strategy": row.strategy,
        "strategy_id": row.strategy_id,
        "strategy_version": row.strategy_version,
        "strategy_sha256": row.strategy_sha256,
        "status": row.status,
        "progress": row.progress,
        "remaining_s": row.remaining_s,
        "attempts": row.attempts,
        "error": error,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
    }


def backtest_view(row: RunRow) -> BacktestView:
    """Return a backtest as clients see it."""
    summary = row.summary or {}
    headlines = {
        name: summary.get(name) for name in looking.HEADLINES if summary.get(name) is not None
    }
    return BacktestView(
        **_run(row),
        **headlines,
        request=row.request,
        dataset_ids=row.request["dataset_ids"],
        metrics=summary.get("metrics"),
        warnings=summary.get("warnings", []),
        logs=summary.get("logs", [])[: looking.LOGS_MAX],
        manifest=summary.get("manifest"),
        result_sha256=row.result_sha256,
    )


def optimization_view(row: RunRow) -> OptimizationView:
    """Return a search as clients see it."""
    return OptimizationView(
        **_run(row),
        request=row.request,
        dataset_ids=row.request["dataset_ids"],
        result=row.summary,
        result_sha256=row.result_sha256,
    )
