"""The application: every context's routes behind one edge."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware

from alphintra import identity, market, research, strategies, trading
from alphintra.gateway.addresses import ClientAddresses
from alphintra.gateway.edge import Edge
from alphintra.gateway.facades import stock_broker
from alphintra.gateway.health import Readiness, health_router
from alphintra.gateway.hub import Hub, stream_router
from alphintra.gateway.hub.snapshots import Snapshots
from alphintra.gateway.limits import API, Limits
from alphintra.gateway.overview import overview_router
from alphintra.gateway.product import ContextSnapshots
from alphintra.gateway.reference import install_reference
from alphintra.platform import http
from alphintra.platform.direct import DirectRoute, DirectWays
from alphintra.platform.security import Authenticator
from alphintra.platform.services import Services

CORS_MAX_AGE_S = 600
CORS_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
CORS_HEADERS = [
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "X-API-Key",
    "X-Request-ID",
    "traceparent",
]


def compose(
    services: Services,
    authenticator: Authenticator,
    *,
    routers: Iterable[APIRouter] = (),
    direct_routes: Iterable[DirectRoute[Any]] = (),
    root_routers: Iterable[APIRouter] = (),
    has_overview: bool = False,
    snapshots: Snapshots | None = None,
    closing: Iterable[Callable[[], Awaitable[None]]] = (),
) -> FastAPI:
    """Build the application out of its parts.

    Args:
        routers: what stands under `/api/v1`, the busiest first: routes are tried in order.
        direct_routes: which of them have a way past the framework.
        root_routers: what stands at the root.
        has_overview: whether to add the route that shows all contexts at once.
        snapshots: what the WebSocket hub shows a new subscriber; `None`: no hub in this process.
        closing: what to close when the application ends, in this order.
    """
    settings = services.settings
    addresses = ClientAddresses(settings.trusted_proxies)
    limits = Limits(settings)
    hub = Hub(services, snapshots, authenticator.still_valid) if snapshots is not None else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for close in reversed(tuple(closing)):
                stack.push_async_callback(close)
            if hub is not None:
                await stack.enter_async_context(hub.running())
            yield

    app = FastAPI(
        title="Alphintra",
        version=version("alphintra"),
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        # A server span per request and socket, as a child of the caller's `traceparent`.
        telemetry={"tracing": bool(settings.otlp_endpoint), "metrics": False, "logs": False},
    )
    app.state.services = services
    app.state.authenticator = authenticator
    app.state.admit = limits.admit
    for router in routers:
        app.include_router(router, prefix=API)
    if hub is not None:
        origins = frozenset({*settings.cors_origins, settings.public_url.rstrip("/")})
        app.include_router(stream_router(hub, authenticator, origins), prefix=API)
    readiness = Readiness({"database": services.database.ping, "bus": services.bus.ping})
    if has_overview:
        app.include_router(overview_router(readiness), prefix=API)
    app.include_router(health_router(services, addresses, readiness))
    for router in root_routers:
        app.include_router(router)
    install_reference(app)
    # The last one added is the outermost: frame, CORS, edge, direct ways, routes.
    app.add_middleware(
        DirectWays, routes={(one.method, API + one.path): one for one in direct_routes}
    )
    app.add_middleware(Edge, addresses=addresses, limits=limits)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=CORS_METHODS,
            allow_headers=CORS_HEADERS,
            expose_headers=["ETag", "Retry-After", "X-Request-ID"],
            max_age=CORS_MAX_AGE_S,
        )
    http.install(app)
    return app


def create_app(services: Services, *, api: bool = True, stream: bool = True) -> FastAPI:
    """Return the application of a process.

    Args:
        api: with the routes of all contexts.
        stream: with the WebSocket hub.

    Raises:
        MasterKeyInvalid: the settings hold no usable master key.
    """
    authenticator = identity.build_authenticator(services)
    market_data = market.MarketService(services)
    datasets = market.DatasetService(services)
    desk = trading.TradingService(services, market_data)
    workshop = strategies.build_strategies(services, preload=(research.DRY_RUN,)) if api else None
    app = compose(
        services,
        authenticator,
        # Trading first: routes are tried in order, and orders are most of what comes.
        routers=(
            (
                trading.router,
                market.router,
                market.datasets_router,
                research.router,
                strategies.router,
                strategies.blocks_router,
                strategies.deployments_router,
                identity.router,
                stock_broker.router,
            )
            if api
            else ()
        ),
        direct_routes=trading.DIRECT_ROUTES if api else (),
        root_routers=(identity.well_known_router,),
        has_overview=api,
        snapshots=ContextSnapshots(services.database, market_data) if stream else None,
        closing=(
            *((workshop.close,) if workshop else ()),
            datasets.close,
            desk.close,
            authenticator.close,
        ),
    )
    app.state.trading = desk
    app.state.market = market_data
    app.state.datasets = datasets
    app.state.strategies = workshop
    return app
