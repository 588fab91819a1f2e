"""The whole product in one process: every context behind the edge, desk, relay, event readers."""

import asyncio
import base64
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from alphintra import identity, market, trading
from alphintra.core.clock import NS_PER_SECOND
from alphintra.core.market_data import FEED_SUBJECT, FeedBatch, Quote, encode
from alphintra.gateway import create_app
from alphintra.platform.consumers import run_consumer
from alphintra.platform.relay import Relay
from alphintra.platform.services import Services, open_services
from alphintra.platform.settings import Settings
from tests.gateway.harness import serving, settings_for

PASSWORD = "violet-harbour-93"
MASTER_KEY = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
SYMBOL = "BTC-USD"
QUOTE_INTERVAL_S = 0.5
GENEROUS = "1000000/minute"


@dataclass
class Person:
    """A user with a session."""

    email: str
    id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


class Product:
    """The running product, and what a test needs to use it."""

    def __init__(self, app: FastAPI, services: Services, port: int) -> None:
        self.app = app
        self.services = services
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.AsyncClient(base_url=self.url, timeout=20)
        self._sequence = 0

    async def person(self, name: str, *roles: identity.Role) -> Person:
        """Make a user and log in."""
        email = f"{name}-{secrets.token_hex(4)}@example.com"
        user_id = await identity.create_user(
            self.app.state.authenticator.identity,
            email=email,
            password=PASSWORD,
            roles=frozenset(roles or {identity.Role.TRADER}),
        )
        answer = await self.client.post(
            "/api/v1/auth/login", json={"email": email, "password": PASSWORD}
        )
        assert answer.status_code == 200, answer.text
        return Person(email, str(user_id), answer.json()["access_token"])

    async def key(self, owner: Person, *scopes: str) -> dict[str, str]:
        """Make an API key and return the headers that use it."""
        answer = await self.client.post(
            "/api/v1/api-keys",
            json={"name": "test", "scopes": list(scopes), "password": PASSWORD},
            headers=owner.headers,
        )
        assert answer.status_code == 201, answer.text
        body = answer.json()
        return {"X-API-Key": body.get("key") or body["api_key"]}

    async def quote(self, bid: str = "100", ask: str = "101") -> None:
        """Let the market speak once."""
        self._sequence += 1
        batch = FeedBatch(
            symbol=SYMBOL,
            source="simulator",
            sequence=self._sequence,
            ticks=(
                Quote(
                    ts_ns=self.services.clock.now_ns(),
                    bid=Decimal(bid),
                    ask=Decimal(ask),
                    bid_size=Decimal(1000),
                    ask_size=Decimal(1000),
                ),
            ),
        )
        await self.services.bus.publish(f"{FEED_SUBJECT}.{SYMBOL}", encode(batch))

    async def place(self, owner: Person, **changes: Any) -> httpx.Response:
        body = {
            "symbol": SYMBOL,
            "side": "BUY",
            "type": "LIMIT",
            "quantity": "1",
            "price": "90",
            "time_in_force": "GTC",
            **changes,
        }
        return await self.client.post("/api/v1/orders", json=body, headers=owner.headers)


def product_settings(database_url: str, bus_url: str, **changes: Any) -> Settings:
    """Return settings of the whole product, without limits that a test does not mean."""
    return settings_for(
        database_url,
        bus_url,
        **{
            "master_key": SecretStr(MASTER_KEY),
            "database_pool_size": 10,
            "rate_limit_auth": GENEROUS,
            "rate_limit_orders": GENEROUS,
            "rate_limit_market_data": GENEROUS,
            "rate_limit_other": GENEROUS,
            "feed_silence_s": 60.0,
            "history_port": _free_port(),
            **changes,
        },
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as plug:
        return int(plug.getsockname()[1])


@asynccontextmanager
async def running_product(settings: Settings) -> AsyncIterator[Product]:
    """Run everything that orders need, with a market that quotes all the time."""
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(open_services(settings, name="test"))
        await market.seed_instruments(services)
        roles = [
            asyncio.create_task(trading.run_desk(services, stop)),
            asyncio.create_task(trading.run_signals(services, stop)),
            asyncio.create_task(Relay(services.database, services.bus).run(stop)),
            asyncio.create_task(market.run_history(services, stop)),
            *(
                asyncio.create_task(run_consumer(consumer, services.database, services.bus, stop))
                for consumer in market.consumers(services)
            ),
        ]
        stack.push_async_callback(_stopped, stop, roles)
        app = create_app(services)
        port = await stack.enter_async_context(serving(app))
        product = Product(app, services, port)
        stack.push_async_callback(product.client.aclose)
        quoting = asyncio.create_task(_quote_for_ever(product))
        stack.callback(quoting.cancel)
        await _until_orders_are_taken(product)
        yield product


async def _quote_for_ever(product: Product) -> None:
    while True:
        await product.quote()
        await asyncio.sleep(QUOTE_INTERVAL_S)


async def _until_orders_are_taken(product: Product) -> None:
    """Wait for the desk: its leases, its instruments, its first quote."""
    probe = await product.person("probe")
    deadline_ns = product.services.clock.now_ns() + 30 * NS_PER_SECOND
    while True:
        answer = await product.place(probe)
        if answer.status_code == 201:
            return
        assert product.services.clock.now_ns() < deadline_ns, answer.text
        await asyncio.sleep(0.1)


async def _stopped(stop: asyncio.Event, roles: list[asyncio.Task[None]]) -> None:
    stop.set()
    await asyncio.gather(*roles)
