"""The HTTP face of deployments: put a strategy to work, watch it, stop it."""

from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response

from alphintra import trading
from alphintra.core.clock import to_datetime
from alphintra.platform.http import Cursor, Limit, Page
from alphintra.platform.security import Permission, Principal, requires
from alphintra.platform.services import Services
from alphintra.strategies.deployments.approval import Approvals
from alphintra.strategies.deployments.book import exposure_of
from alphintra.strategies.deployments.certifying import Certificates
from alphintra.strategies.deployments.commands import DeploymentCommands
from alphintra.strategies.deployments.looking import DeploymentViews
from alphintra.strategies.deployments.models import CertificateRow, DeploymentRow, SignalRow
from alphintra.strategies.deployments.schemas import (
    CertificateRequest,
    CertificateView,
    DeployedView,
    DeploymentView,
    DeployRequest,
    LogView,
    MetricsView,
    NoticeView,
    ParametersRequest,
    PointView,
    SignalView,
    TraceView,
)
from alphintra.strategies.deployments.status import SignalStatus, Status, Wish
from alphintra.strategies.deployments.trace import trace_of
from alphintra.strategies.routes import strategies_of
from alphintra.strategies.runtime import Strategies

router = APIRouter(tags=["deployments"])

Reader = Annotated[Principal, requires(Permission.STRATEGIES_READ)]
Deployer = Annotated[Principal, requires(Permission.STRATEGIES_DEPLOY)]
DeploymentId = Annotated[UUID, Path(description="of the deployment")]
SignalId = Annotated[UUID, Path(description="of the signal")]


def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


def _commands(
    request: Request, strategies: Annotated[Strategies, Depends(strategies_of)]
) -> DeploymentCommands:
    return DeploymentCommands(_services(request), strategies.versions, trading.trading(request))


def _views(request: Request) -> DeploymentViews:
    return DeploymentViews(_services(request))


def _approvals(request: Request) -> Approvals:
    return Approvals(_services(request))


Commands = Annotated[DeploymentCommands, Depends(_commands)]
Views = Annotated[DeploymentViews, Depends(_views)]
Answers = Annotated[Approvals, Depends(_approvals)]


def _certificates(request: Request) -> Certificates:
    return Certificates(_services(request))


Certifying = Annotated[Certificates, Depends(_certificates)]


@router.post("/strategies/{strategy_id}/deploy", status_code=202)
async def deploy_strategy(
    strategy_id: Annotated[UUID, Path(description="of the strategy")],
    wanted: DeployRequest,
    caller: Deployer,
    commands: Commands,
    response: Response,
) -> DeployedView:
    """Put a strategy to work on paper; ask for its status by the id."""
    row, notices = await commands.deploy(caller, strategy_id, wanted)
    response.headers["Location"] = f"/api/v1/deployments/{row.id}"
    warnings = [NoticeView(code=one.code, message=one.message) for one in notices]
    return DeployedView(**dict(deployment_view(row)), warnings=warnings)


@router.get("/deployments")
async def list_deployments(
    caller: Reader,
    views: Views,
    status: Status | None = None,
    strategy_id: UUID | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[DeploymentView]:
    """Your deployments, the youngest first."""
    rows, after = await views.page(
        caller, status=status, strategy_id=strategy_id, limit=limit, cursor=cursor
    )
    return Page(items=[deployment_view(row) for row in rows], next=after)


@router.get("/deployments/{deployment_id}")
async def show_deployment(
    deployment_id: DeploymentId, caller: Reader, views: Views
) -> DeploymentView:
    """One deployment as it stands."""
    return deployment_view(await views.get(caller, deployment_id))


@router.post("/deployments/{deployment_id}/pause", status_code=202)
async def pause_deployment(
    deployment_id: DeploymentId, caller: Deployer, commands: Commands
) -> DeploymentView:
    """Let it follow the market, but enter nothing; its exits still go through."""
    return deployment_view(await commands.wish(caller, deployment_id, Wish.PAUSE))


@router.post("/deployments/{deployment_id}/resume", status_code=202)
async def resume_deployment(
    deployment_id: DeploymentId, caller: Deployer, commands: Commands
) -> DeploymentView:
    """Let a paused deployment enter again."""
    return deployment_view(await commands.wish(caller, deployment_id, Wish.RUN))


@router.post("/deployments/{deployment_id}/stop", status_code=202)
async def stop_deployment(
    deployment_id: DeploymentId, caller: Deployer, commands: Commands
) -> DeploymentView:
    """Take back its open orders and end it; its position stays in your account."""
    return deployment_view(await commands.wish(caller, deployment_id, Wish.STOP))


@router.post("/deployments/{deployment_id}/liquidate", status_code=202)
async def liquidate_deployment(
    deployment_id: DeploymentId, caller: Deployer, commands: Commands
) -> DeploymentView:
    """Take back its open orders, close its position at the market, and end it."""
    return deployment_view(await commands.wish(caller, deployment_id, Wish.LIQUIDATE))


@router.put("/deployments/{deployment_id}/parameters", status_code=202)
async def set_deployment_parameters(
    deployment_id: DeploymentId, wanted: ParametersRequest, caller: Deployer, commands: Commands
) -> DeploymentView:
    """Change parameters while it runs, from the next candle on."""
    return deployment_view(await commands.set_parameters(caller, deployment_id, wanted.parameters))


@router.get("/deployments/{deployment_id}/signals")
async def list_deployment_signals(
    deployment_id: DeploymentId,
    caller: Reader,
    views: Views,
    status: SignalStatus | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[SignalView]:
    """What it has decided, why, and what became of it; the youngest first."""
    rows, after = await views.signals(
        caller, deployment_id, status=status, limit=limit, cursor=cursor
    )
    return Page(items=[signal_view(row) for row in rows], next=after)


@router.get("/deployments/{deployment_id}/logs")
async def list_deployment_logs(
    deployment_id: DeploymentId,
    caller: Reader,
    views: Views,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[LogView]:
    """What it has written, and what the platform did with it; the youngest line first."""
    rows, after = await views.logs(caller, deployment_id, limit=limit, cursor=cursor)
    return Page(items=[LogView.model_validate(row) for row in rows], next=after)


@router.get("/deployments/{deployment_id}/orders")
async def list_deployment_orders(
    deployment_id: DeploymentId,
    caller: Reader,
    views: Views,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[dict[str, Any]]:
    """The orders that its signals caused, the youngest first, as `GET /orders` shows them."""
    items, after = await views.orders(caller, deployment_id, limit=limit, cursor=cursor)
    return Page(items=items, next=after)


@router.get("/deployments/{deployment_id}/metrics")
async def show_deployment_metrics(
    deployment_id: DeploymentId, caller: Reader, views: Views
) -> MetricsView:
    """How it has done so far, with its equity curve."""
    found = await views.metrics(caller, deployment_id)
    row = found.deployment
    drawdown = max(0.0, 1 - float(row.equity / row.peak_equity))
    return MetricsView(
        equity=row.equity,
        net_profit=row.equity - row.capital,
        total_return=float(row.equity / row.capital) - 1,
        day_profit=row.equity - row.day_equity,
        realized_pnl=row.realized_pnl,
        unrealized_pnl=row.equity - row.capital - row.realized_pnl + row.fees,
        fees=row.fees,
        exposure=exposure_of(row.positions),
        # The curve has a point a minute: what is deeper now may not be on it yet.
        max_drawdown=max(found.max_drawdown, drawdown),
        drawdown=drawdown,
        fills=row.fills,
        signals=found.signals,
        frames=row.frames,
        points=[PointView.model_validate(point) for point in found.points],
    )


@router.get("/deployments/{deployment_id}/certificates")
async def list_deployment_certificates(
    deployment_id: DeploymentId,
    caller: Reader,
    views: Views,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[CertificateView]:
    """Its parity certificates, the youngest first."""
    rows, after = await views.certificates(caller, deployment_id, limit=limit, cursor=cursor)
    return Page(items=[certificate_view(row) for row in rows], next=after)


@router.post("/deployments/{deployment_id}/certificates", status_code=202)
async def certify_deployment(
    deployment_id: DeploymentId,
    wanted: CertificateRequest,
    caller: Deployer,
    certifying: Certifying,
) -> CertificateView:
    """Replay a day of it and compare; the verdict is PENDING until a worker has done that."""
    return certificate_view(await certifying.ask(caller, deployment_id, wanted.day))


@router.post("/signals/{signal_id}/approve")
async def approve_signal(signal_id: SignalId, caller: Deployer, answers: Answers) -> SignalView:
    """Say yes to a signal that waits; it is ordered at once."""
    return signal_view(await answers.approve(caller, signal_id))


@router.post("/signals/{signal_id}/reject")
async def reject_signal(signal_id: SignalId, caller: Deployer, answers: Answers) -> SignalView:
    """Say no to a signal that waits; the strategy is told."""
    return signal_view(await answers.reject(caller, signal_id))


@router.get("/signals/{signal_id}/trace")
async def show_signal_trace(signal_id: SignalId, caller: Reader, request: Request) -> TraceView:
    """The way of a decision: candle, signal, orders, fills, ledger lines."""
    trace = await trace_of(_services(request), caller, signal_id)
    return TraceView(
        trace_id=trace.signal.trace_id,
        candle=trace.candle,
        signal=signal_view(trace.signal),
        orders=trace.orders,
        fills=trace.fills,
        ledger=trace.ledger,
    )


def deployment_view(row: DeploymentRow) -> DeploymentView:
    """Return a deployment as clients see it."""
    terms = row.terms
    return DeploymentView.model_validate(
        {
            **{
                name: getattr(row, name)
                for name in DeploymentView.model_fields
                if hasattr(row, name)
            },
            "limits": terms["limits"],
            "schedule": terms["schedule"],
            "approval": terms["approval"],
            "missed_candles": terms["missed_candles"],
            "last_candle_at": None if row.last_close_ns is None else to_datetime(row.last_close_ns),
        }
    )


def signal_view(row: SignalRow) -> SignalView:
    """Return a signal as clients see it."""
    return SignalView.model_validate(
        {
            **{name: getattr(row, name) for name in SignalView.model_fields if hasattr(row, name)},
            "order": row.body,
            "candle_at": None if row.candle_ns is None else to_datetime(row.candle_ns),
        }
    )


def certificate_view(row: CertificateRow) -> CertificateView:
    """Return a certificate as clients see it."""
    return CertificateView.model_validate(row)
