"""`GET /overview`: what a dashboard shows first, in one call."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar, cast

from fastapi import APIRouter, Request

from alphintra import identity, trading
from alphintra.core.errors import Forbidden, Problem, Unavailable
from alphintra.gateway.health import Readiness
from alphintra.market import MarketService, SourceView
from alphintra.platform.http import Schema
from alphintra.platform.security import Permission, Principal, requires

PART_TIMEOUT_S = 3.0
OPEN_ORDERS_MAX = 100

Part = TypeVar("Part")


class PartProblem(Schema):
    """Why a part of the overview is null."""

    code: str
    detail: str
    retryable: bool


class HealthView(Schema):
    """Whether the parts that the server needs answer; the milliseconds that each took."""

    parts: dict[str, float]


class OverviewView(Schema):
    """Every part by itself: one that failed, or that the caller may not see, is null."""

    profile: identity.ProfileView | None
    portfolio: trading.PortfolioView | None
    open_orders: list[trading.OrderView] | None
    positions: list[trading.PositionView] | None
    feeds: list[SourceView] | None
    health: HealthView | None
    errors: dict[str, PartProblem]


class PartTooSlow(Unavailable):
    """This part took too long. Ask for it at its own route."""

    code = "part_too_slow"


class _Parts:
    """Collects parts, and problems in place of those that failed."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal
        self.errors: dict[str, PartProblem] = {}

    async def get(
        self, name: str, permission: Permission, ask: Callable[[], Awaitable[Part]]
    ) -> Part | None:
        try:
            if permission not in self._principal.permissions:
                raise Forbidden(f"this needs the permission {permission}")
            async with asyncio.timeout(PART_TIMEOUT_S):
                return await ask()
        except TimeoutError:
            problem: Problem = PartTooSlow(f"no answer within {PART_TIMEOUT_S:g} s")
        except Problem as refused:
            problem = refused
        self.errors[name] = PartProblem(
            code=problem.code, detail=problem.detail, retryable=problem.retryable
        )
        return None


def overview_router(readiness: Readiness) -> APIRouter:
    """Return the route of the overview."""
    router = APIRouter(tags=["overview"])

    @router.get("/overview", operation_id="overview")
    async def overview(
        request: Request, principal: Annotated[Principal, requires(Permission.PROFILE_READ)]
    ) -> OverviewView:
        """Return profile, portfolio, open orders, positions, feeds and health at once."""
        parts = _Parts(principal)
        state = request.app.state
        desk = trading.trading(request)
        caller = trading.caller_of(principal)

        async def profile() -> identity.ProfileView:
            found = await identity.profile(state.authenticator.identity, user_id=principal.user_id)
            return identity.ProfileView.of(found)

        async def portfolio() -> trading.PortfolioView:
            return trading.PortfolioView.model_validate(await desk.portfolio(caller))

        async def open_orders() -> list[trading.OrderView]:
            found = await desk.open_orders(caller, OPEN_ORDERS_MAX)
            return [trading.OrderView.model_validate(one) for one in found]

        async def positions() -> list[trading.PositionView]:
            found = await desk.positions(caller)
            return [trading.PositionView.model_validate(one) for one in found]

        async def health() -> HealthView:
            return HealthView(parts=await readiness.check())

        market = cast(MarketService, state.market)
        asked: list[Awaitable[Any]] = [
            parts.get("profile", Permission.PROFILE_READ, profile),
            parts.get("portfolio", Permission.PORTFOLIO_READ, portfolio),
            parts.get("open_orders", Permission.ORDERS_READ, open_orders),
            parts.get("positions", Permission.PORTFOLIO_READ, positions),
            parts.get("feeds", Permission.MARKET_READ, market.sources),
            parts.get("health", Permission.PROFILE_READ, health),
        ]
        answers = await asyncio.gather(*asked)
        names = ("profile", "portfolio", "open_orders", "positions", "feeds", "health")
        return OverviewView(**dict(zip(names, answers, strict=True)), errors=parts.errors)

    return router
