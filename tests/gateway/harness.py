"""An edge with routes of its own and principals that a test names, on the real database and bus."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, FastAPI
from pydantic import SecretStr
from starlette.requests import HTTPConnection

from alphintra.core.errors import NotAuthenticated
from alphintra.core.ids import SessionId, UserId
from alphintra.gateway import server as http_server
from alphintra.gateway.app import compose
from alphintra.gateway.hub.messages import Channel
from alphintra.market import LatestQuote
from alphintra.platform.http import DecimalString, Schema
from alphintra.platform.security import Permission, Principal, public, requires
from alphintra.platform.services import Services, open_services
from alphintra.platform.settings import Settings


class Keys:
    """An authenticator whose tokens a test makes: what is behind it is identity's own business."""

    def __init__(self) -> None:
        self.principals: dict[str, Principal] = {}
        self.revoked: set[Principal] = set()

    def token(
        self, *permissions: Permission, user_id: UUID | None = None, plan: str = "default"
    ) -> str:
        token = uuid4().hex
        self.principals[token] = Principal(
            user_id=UserId(user_id or uuid4()),
            permissions=frozenset(permissions or Permission),
            session_id=SessionId(uuid4()),
            plan=plan,
        )
        return token

    async def authenticate(self, connection: HTTPConnection) -> Principal:
        token = connection.headers.get("authorization", "").removeprefix("Bearer ")
        principal = self.principals.get(token)
        if principal is None or principal in self.revoked:
            raise NotAuthenticated("no credentials that hold")
        return principal

    def still_valid(self, principal: Principal) -> bool:
        return principal not in self.revoked


@dataclass
class Desk:
    """What the hub asks for snapshots, with rows that a test sets."""

    rows: dict[Channel, tuple[int, list[Any]]] = field(default_factory=dict)
    latest: dict[str, Any] = field(default_factory=dict)
    asked: int = 0
    hold: asyncio.Event | None = None

    async def private(self, user_id: UserId, channel: Channel) -> tuple[int, Sequence[Any]]:
        self.asked += 1
        found = self.rows.get(channel, (0, []))
        if self.hold is not None:
            await self.hold.wait()
        return found

    async def quotes(self, symbols: Sequence[str]) -> dict[str, LatestQuote]:
        self.asked += 1
        return {symbol: self.latest[symbol] for symbol in symbols if symbol in self.latest}

    async def candles(self, symbol: str, timeframe: str) -> Sequence[Any]:
        self.asked += 1
        rows: list[Any] = self.latest.get(f"{symbol}:{timeframe}", [])
        return rows


class Body(Schema):
    """A body with text and money in it."""

    symbol: str
    quantity: DecimalString
    note: dict[str, Any] | None = None


def routes() -> APIRouter:
    """Routes of every kind of bucket."""
    router = APIRouter()

    @router.post("/orders")
    async def place(
        body: Body, caller: Annotated[Principal, requires(Permission.ORDERS_WRITE)]
    ) -> Body:
        return body

    @router.get("/orders")
    async def orders(
        caller: Annotated[Principal, requires(Permission.ORDERS_READ)], symbol: str = ""
    ) -> dict[str, str]:
        return {"symbol": symbol}

    @router.delete("/orders")
    async def cancel(
        caller: Annotated[Principal, requires(Permission.ORDERS_WRITE)],
    ) -> dict[str, str]:
        return {}

    @router.get("/market-data/quotes/{symbol}")
    async def quote(
        symbol: str, caller: Annotated[Principal, requires(Permission.MARKET_READ)]
    ) -> dict[str, str]:
        return {"symbol": symbol}

    @router.post("/auth/login", dependencies=[public()])
    async def login() -> dict[str, str]:
        return {}

    @router.get("/trade/{order_id}")
    async def trade(
        order_id: str, caller: Annotated[Principal, requires(Permission.ORDERS_READ)]
    ) -> dict[str, str]:
        return {"order_id": order_id}

    return router


def settings_for(database_url: str, bus_url: str, **changes: Any) -> Settings:
    """Return settings of a server in a test."""
    return Settings(
        **{
            "database_url": SecretStr(database_url),
            "bus_url": SecretStr(bus_url),
            "database_pool_size": 4,
            **changes,
        }
    )


@dataclass(frozen=True)
class Edge:
    """A running server."""

    app: FastAPI
    port: int
    keys: Keys
    desk: Desk
    services: Services

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def stream_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/api/v1/stream"

    def bearer(self, *permissions: Permission, **about: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.keys.token(*permissions, **about)}"}


@asynccontextmanager
async def running_edge(settings: Settings) -> AsyncIterator[Edge]:
    """Serve the test's routes on a port of the system's choosing."""
    keys, desk = Keys(), Desk()
    async with open_services(settings, name="test") as services:
        app = compose(services, keys, routers=[routes()], snapshots=desk)
        async with serving(app) as port:
            yield Edge(app, port, keys, desk, services)


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[int]:
    """Serve an application with the product's own server."""
    stop = asyncio.Event()
    with http_server.listen("127.0.0.1", 0) as plug:
        server = http_server.server_of(app, connections_max=1_000)
        task = asyncio.create_task(http_server.serve(server, plug, stop))
        while not server.started:
            await asyncio.sleep(0.01)
            assert not task.done(), task
        try:
            yield plug.getsockname()[1]
        finally:
            stop.set()
            await task
