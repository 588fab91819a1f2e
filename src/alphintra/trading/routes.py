"""The HTTP face of trading."""

from datetime import date
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import AwareDatetime

from alphintra.core.clock import now
from alphintra.core.errors import Forbidden
from alphintra.core.ids import StrategyId
from alphintra.core.instruments import SYMBOL_LENGTH_MAX
from alphintra.core.orders import OrderStatus, Side
from alphintra.platform.database import Database
from alphintra.platform.direct import DirectRoute
from alphintra.platform.http import Cursor, Limit, Page, ProblemDocument
from alphintra.platform.security import Permission, Principal, requires
from alphintra.platform.services import Services
from alphintra.trading import kill_switches, schemas, views
from alphintra.trading.book import account_id_of
from alphintra.trading.commands import StopLoss, TakeProfit, Terms
from alphintra.trading.errors import NoSuchAccount, NoSuchPosition, StrategyMissing
from alphintra.trading.limits import Limits
from alphintra.trading.parity_loading import check_day, report_json
from alphintra.trading.service import (
    CLOSED_STATUSES,
    OPEN_STATUSES,
    TradingService,
    caller_of,
)
from alphintra.trading.signals import SignalData
from alphintra.trading.surroundings import Scope

router = APIRouter(tags=["trading"])

OrdersRead = Annotated[Principal, requires(Permission.ORDERS_READ)]
OrdersWrite = Annotated[Principal, requires(Permission.ORDERS_WRITE)]
PortfolioRead = Annotated[Principal, requires(Permission.PORTFOLIO_READ)]
RiskWrite = Annotated[Principal, requires(Permission.RISK_WRITE)]
SignalsWrite = Annotated[Principal, requires(Permission.SIGNALS_WRITE)]

SymbolPath = Annotated[
    str, Path(min_length=1, max_length=SYMBOL_LENGTH_MAX, pattern=r"^[A-Za-z0-9._\-]+$")
]
SymbolQuery = Annotated[
    str | None, Query(min_length=1, max_length=SYMBOL_LENGTH_MAX, pattern=r"^[A-Za-z0-9._\-/]+$")
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern=r"^[\x20-\x7e]+$",
        description="stands in for client_order_id where the body has none",
    ),
]
StatusFilter = Literal["open", "closed", "all"] | OrderStatus


_STATUSES = {"open": OPEN_STATUSES, "closed": CLOSED_STATUSES, "all": None}


def trading(request: Request) -> TradingService:
    """Return the process's trading service, made at its first use."""
    state = request.app.state
    service = getattr(state, "trading", None)
    if service is None:
        service = state.trading = TradingService(cast(Services, state.services))
    return cast(TradingService, service)


# A coroutine although it waits for nothing: FastAPI sends others through a thread, for each order.
async def _trading(request: Request) -> TradingService:
    return trading(request)


Trading = Annotated[TradingService, Depends(_trading)]
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemDocument, "description": description}
    for status, description in {
        401: "not authenticated",
        403: "not allowed",
        404: "not there, or not yours",
        409: "the order is not open any more",
        422: "malformed, or refused by risk; `code` names the rule",
        429: "too many requests",
        503: "outcome unknown: send the same request again",
    }.items()
}


def _raw(body: msgspec.Raw, status: int = 200) -> Response:
    """Answer with the bytes that were committed, so that a retry gets the same ones."""
    return Response(bytes(body), status_code=status, media_type="application/json")


def _terms(order: schemas.OrderRequest) -> Terms:
    stop_loss = order.stop_loss
    return Terms(
        symbol=order.symbol,
        side=order.side,
        type=order.type,
        quantity=order.quantity,
        notional=order.notional,
        price=order.price,
        stop_price=order.stop_price,
        trail=order.trail,
        trail_percent=order.trail_percent,
        time_in_force=order.time_in_force,
        expires_at=order.expires_at,
        reduce_only=order.reduce_only,
        post_only=order.post_only,
        order_class=order.order_class,
        take_profit=TakeProfit(order.take_profit.price) if order.take_profit else None,
        stop_loss=StopLoss(stop_loss.stop_price, stop_loss.price) if stop_loss else None,
        strategy_id=StrategyId(order.strategy_id) if order.strategy_id else None,
    )


@router.post("/orders", status_code=201, responses={**_PROBLEMS, 201: {"model": schemas.OrderView}})
async def place_order(
    order: schemas.OrderRequest,
    principal: OrdersWrite,
    service: Trading,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Place an order. It is on disk when this answers; the same client_order_id never trades
    twice.
    """
    body = await service.place(
        caller_of(principal),
        _terms(order),
        client_order_id=order.client_order_id or idempotency_key,
    )
    return _raw(body, 201)


_may_write_orders = requires(Permission.ORDERS_WRITE).dependency


async def _place_directly(request: Request, order: schemas.OrderRequest) -> Response:
    principal = await _may_write_orders(request)
    return await place_order(order, principal, trading(request))


#: Most of what comes. A request that names its key in a header takes the ordinary way.
DIRECT_ROUTES = (
    DirectRoute(
        "POST",
        "/orders",
        schemas.OrderRequest,
        _place_directly,
        ordinary_with=(b"idempotency-key",),
    ),
)


@router.get("/orders", responses=_PROBLEMS)
async def list_orders(
    principal: OrdersRead,
    request: Request,
    status: StatusFilter = "all",
    symbol: SymbolQuery = None,
    side: Side | None = None,
    strategy_id: UUID | None = None,
    client_order_id: Annotated[str | None, Query(max_length=128)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[schemas.OrderView]:
    """List orders, newest first."""
    filters = views.OrderFilters(
        statuses=_STATUSES[status] if status in _STATUSES else frozenset({OrderStatus(status)}),
        symbol=symbol,
        side=side,
        strategy_id=strategy_id,
        client_order_id=client_order_id,
    )
    async with _database(request).reading() as session:
        items, following = await views.orders(
            session, principal.user_id, filters=filters, limit=limit, cursor=cursor
        )
    return Page[schemas.OrderView](
        items=[schemas.OrderView.model_validate(item) for item in items], next=following
    )


@router.get("/orders/{order_id}", responses=_PROBLEMS)
async def show_order(
    order_id: UUID, principal: OrdersRead, request: Request
) -> schemas.OrderDetail:
    """Show an order with its exits and its history."""
    async with _database(request).reading() as session:
        detail = await views.order_detail(session, principal.user_id, order_id)
    return schemas.OrderDetail.model_validate(detail)


@router.put("/orders/{order_id}", responses={**_PROBLEMS, 200: {"model": schemas.OrderView}})
async def modify_order(
    order_id: UUID, change: schemas.OrderChange, principal: OrdersWrite, service: Trading
) -> Response:
    """Change an open order; what the body leaves out stays as it is."""
    changes = change.model_dump(exclude_none=True)
    return _raw(await service.modify(caller_of(principal), order_id, changes))


@router.delete("/orders/{order_id}", responses={**_PROBLEMS, 200: {"model": schemas.OrderView}})
async def cancel_order(order_id: UUID, principal: OrdersWrite, service: Trading) -> Response:
    """Cancel an open order."""
    return _raw(await service.cancel(caller_of(principal), order_id))


@router.delete("/orders", responses={**_PROBLEMS, 200: {"model": schemas.CanceledView}})
async def cancel_all_orders(
    principal: OrdersWrite, service: Trading, symbol: SymbolQuery = None
) -> Response:
    """Cancel all open orders, or those of one symbol."""
    return _raw(await service.cancel_all(caller_of(principal), symbol))


@router.get("/positions", responses=_PROBLEMS)
async def list_positions(principal: PortfolioRead, service: Trading) -> Page[schemas.PositionView]:
    """List open positions at the latest prices."""
    found = await service.positions(caller_of(principal))
    return Page[schemas.PositionView](
        items=[schemas.PositionView.model_validate(item) for item in found]
    )


@router.get("/positions/{symbol}", responses=_PROBLEMS)
async def show_position(
    symbol: SymbolPath, principal: PortfolioRead, service: Trading
) -> schemas.PositionView:
    """Show one open position."""
    found = await service.positions(caller_of(principal), symbol)
    if not found:
        raise NoSuchPosition(f"you have no position in {symbol}")
    return schemas.PositionView.model_validate(found[0])


@router.delete("/positions/{symbol}", responses={**_PROBLEMS, 200: {"model": schemas.OrderView}})
async def close_position(
    symbol: SymbolPath,
    principal: OrdersWrite,
    service: Trading,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Cancel the position's exits and close it at the market; answers with the closing order."""
    return _raw(await service.close_position(caller_of(principal), symbol, idempotency_key))


@router.get("/trades", responses=_PROBLEMS)
async def list_trades(
    principal: OrdersRead,
    request: Request,
    symbol: SymbolQuery = None,
    order_id: UUID | None = None,
    start: AwareDatetime | None = None,
    end: AwareDatetime | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[schemas.TradeView]:
    """List executions, newest first."""
    filters = views.TradeFilters(symbol=symbol, order_id=order_id, start=start, end=end)
    async with _database(request).reading() as session:
        items, following = await views.trades(
            session, principal.user_id, filters=filters, limit=limit, cursor=cursor
        )
    return Page[schemas.TradeView](
        items=[schemas.TradeView.model_validate(item) for item in items], next=following
    )


@router.post("/risk/validate", responses={**_PROBLEMS, 200: {"model": schemas.RiskReportView}})
async def validate_order(
    order: schemas.OrderRequest, principal: OrdersRead, service: Trading
) -> Response:
    """Show every risk check of an order with its limit and value. Places nothing."""
    return _raw(await service.place(caller_of(principal), _terms(order), dry_run=True))


@router.get("/risk/limits", responses=_PROBLEMS)
async def show_limits(principal: PortfolioRead, service: Trading) -> schemas.LimitsBody:
    """Show the account's risk limits."""
    async with service.reading_account(caller_of(principal)) as (_, account):
        return schemas.LimitsBody.model_validate(account.limits)


@router.put("/risk/limits", responses={**_PROBLEMS, 200: {"model": schemas.AccountSettingsView}})
async def change_limits(
    limits: schemas.LimitsBody, principal: RiskWrite, service: Trading
) -> Response:
    """Replace the account's risk limits."""
    values = limits.model_dump()
    if values["allowed_symbols"] is not None:
        values["allowed_symbols"] = tuple(values["allowed_symbols"])
    return _raw(await service.set_limits(caller_of(principal), Limits(**values)))


@router.put("/account/margin", responses={**_PROBLEMS, 200: {"model": schemas.AccountSettingsView}})
async def change_margin(
    margin: schemas.MarginRequest, principal: RiskWrite, service: Trading
) -> Response:
    """Set leverage and short selling of the account."""
    return _raw(
        await service.set_margin(
            caller_of(principal), leverage=margin.leverage, short_selling=margin.short_selling
        )
    )


@router.post("/risk/kill-switch", responses=_PROBLEMS)
async def set_kill_switch(
    switch: schemas.KillSwitchRequest, principal: RiskWrite, service: Trading, request: Request
) -> schemas.KillSwitchView:
    """Stop, restrict or restart trading: of the account, of a strategy, or of the platform."""
    if switch.scope is Scope.PLATFORM and Permission.PLATFORM_HALT not in principal.permissions:
        raise Forbidden("the platform's kill switch needs the permission platform:halt")
    if switch.scope is Scope.STRATEGY and switch.strategy_id is None:
        raise StrategyMissing("scope STRATEGY needs strategy_id")
    subject = await kill_switches.set_kill_switch(
        cast(Services, request.app.state.services),
        service,
        caller_of(principal),
        kill_switches.KillSwitch(
            scope=switch.scope,
            strategy_id=switch.strategy_id,
            state=switch.state,
            reason=switch.reason,
        ),
    )
    return schemas.KillSwitchView(
        scope=switch.scope, subject=subject, state=switch.state, reason=switch.reason
    )


@router.get("/portfolio", responses=_PROBLEMS)
async def show_portfolio(principal: PortfolioRead, service: Trading) -> schemas.PortfolioView:
    """Show what the account is worth at the latest prices."""
    return schemas.PortfolioView.model_validate(await service.portfolio(caller_of(principal)))


@router.get("/portfolio/history", responses=_PROBLEMS)
async def show_equity_curve(
    principal: PortfolioRead,
    request: Request,
    start: AwareDatetime | None = None,
    end: AwareDatetime | None = None,
    limit: Limit = 500,
    cursor: Cursor = None,
) -> Page[schemas.EquityPoint]:
    """Show the equity curve, one point a minute, oldest first."""
    async with _database(request).reading() as session:
        points, following = await views.equity_curve(
            session, principal.user_id, start=start, end=end, limit=limit, cursor=cursor
        )
    return Page[schemas.EquityPoint](
        items=[schemas.EquityPoint.model_validate(point) for point in points], next=following
    )


@router.get("/portfolio/parity", responses=_PROBLEMS)
async def show_parity(
    principal: PortfolioRead,
    request: Request,
    day: Annotated[date, Query(description="a day in UTC")],
    account_id: Annotated[
        UUID | None, Query(description="default: your own; others need users:read")
    ] = None,
) -> schemas.ParityView:
    """Replay a day through the simulator and compare it with what was booked."""
    own = account_id_of(principal.user_id)
    if account_id not in {None, own} and Permission.USERS_READ not in principal.permissions:
        raise NoSuchAccount("there is no such account")
    services = cast(Services, request.app.state.services)
    report = await check_day(
        services.database,
        services.clock,
        account_id=account_id or own,
        day=day,
        tick_days=services.settings.tick_retention_days,
    )
    return schemas.ParityView.model_validate(report_json(report))


@router.post("/signals", status_code=202, responses=_PROBLEMS)
async def publish_signal(
    signal: schemas.SignalRequest, principal: SignalsWrite, service: Trading, request: Request
) -> schemas.SignalView:
    """Publish a strategy's signal; it is sized, risk-checked and traded shortly after."""
    services = cast(Services, request.app.state.services)
    await service.signal(
        caller_of(principal),
        SignalData(
            signal_id=signal.signal_id,
            strategy_id=signal.strategy_id,
            user_id=principal.user_id,
            symbol=signal.symbol,
            action=signal.action,
            confidence=signal.confidence,
            parameters=signal.parameters,
            generated_at=now(services.clock),
        ),
    )
    return schemas.SignalView(signal_id=signal.signal_id, status="PUBLISHED")


def _database(request: Request) -> Database:
    return cast(Services, request.app.state.services).database
