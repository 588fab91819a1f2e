"""A small application with identity alone, on a real database, with a clock that tests move."""

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pyotp
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text

from alphintra.core.clock import NS_PER_SECOND, ManualClock
from alphintra.core.ids import TimeOrderedIds, UserId
from alphintra.identity import (
    Identity,
    IdentityAuthenticator,
    Role,
    build_authenticator,
    create_user,
    router,
    well_known_router,
)
from alphintra.identity.passwords import Cost, Passwords
from alphintra.platform import http
from alphintra.platform.bus import Bus
from alphintra.platform.database import Database
from alphintra.platform.services import Services
from alphintra.platform.settings import Settings

PASSWORD = "violet-harbour-93"
#: argon2id at its lowest cost: what is tested here is not how slow it is.
CHEAP = Cost(memory_kib=64, passes=1)
_MASTER_KEY = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


@dataclass
class Answer:
    """An answer of the API."""

    status: int
    body: Any
    headers: httpx.Headers

    @property
    def code(self) -> str:
        return str(self.body["code"])


@dataclass
class Person:
    """A user with the tokens of one session."""

    email: str
    id: str
    access_token: str
    refresh_token: str
    device_token: str
    password: str = PASSWORD
    totp: pyotp.TOTP | None = None
    recovery_codes: list[str] = field(default_factory=list)


class Api:
    """One API process."""

    def __init__(self, services: Services, passwords: Passwords | None) -> None:
        self.services = services
        self.authenticator: IdentityAuthenticator = build_authenticator(
            services, passwords=passwords
        )
        self.app = FastAPI()
        http.install(self.app)
        self.app.state.authenticator = self.authenticator
        self.app.include_router(router, prefix="/api/v1")
        self.app.include_router(well_known_router)

    @property
    def identity(self) -> Identity:
        return self.authenticator.identity

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        address: str = "192.0.2.1",
        headers: dict[str, str] | None = None,
        cookies: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request, as a client without memory."""
        sent = dict(headers or {})
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        transport = httpx.ASGITransport(self.app, client=(address, 1), raise_app_exceptions=False)
        url = path if path.startswith("/.well-known") else f"/api/v1{path}"
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", cookies=cookies
        ) as client:
            # Escaped, as many clients do: so lone surrogates reach the other side.
            content = None if body is None else json.dumps(body)
            sent["content-type"] = "application/json"
            answer = await client.request(method, url, content=content, headers=sent)
        return Answer(answer.status_code, answer.json() if answer.content else None, answer.headers)


@dataclass
class World:
    """Any number of API processes on one database and one clock."""

    clock: ManualClock
    apis: list[Api]
    make_api: Callable[..., Api]
    #: Attempts are counted per address, and the tests of a module share a database.
    address: str

    @property
    def api(self) -> Api:
        return self.apis[0]

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        return await self.api.call(method, path, body, **{"address": self.address, **options})

    async def log_in(self, email: str, password: str = PASSWORD, **more: Any) -> Answer:
        address = more.pop("address", self.address)
        return await self.call(
            "POST", "/auth/login", {"email": email, "password": password, **more}, address=address
        )

    async def person(self, *roles: Role, email: str | None = None) -> Person:
        """Make a user and log in."""
        email = email or f"{secrets.token_hex(6)}@example.com"
        user_id: UserId = await create_user(
            self.api.identity,
            email=email,
            password=PASSWORD,
            roles=frozenset(roles or {Role.TRADER}),
        )
        return await self.session_of(email, str(user_id))

    async def session_of(self, email: str, user_id: str, **more: Any) -> Person:
        answer = await self.log_in(email, **more)
        assert answer.status == 200, answer.body
        return Person(
            email=email,
            id=user_id,
            access_token=answer.body["access_token"],
            refresh_token=answer.body["refresh_token"],
            device_token=answer.body["device_token"],
        )

    async def turn_on_totp(self, person: Person) -> None:
        setup = await self.call("POST", "/auth/2fa/setup", token=person.access_token)
        assert setup.status == 200, setup.body
        person.totp = pyotp.parse_uri(setup.body["provisioning_uri"])  # type: ignore[assignment]
        verified = await self.call(
            "POST", "/auth/2fa/verify", {"code": self.code(person)}, token=person.access_token
        )
        assert verified.status == 200, verified.body
        person.recovery_codes = verified.body["recovery_codes"]

    def code(self, person: Person, *, steps: int = 0) -> str:
        """Return what the authenticator app shows, `steps` of 30 seconds from now."""
        assert person.totp is not None
        return person.totp.at(self.clock.now_ns() // NS_PER_SECOND + 30 * steps)

    async def events(self, topic: str) -> list[str]:
        """Return the bodies of the events in the outbox, the oldest first."""
        async with self.api.services.database.reading() as session:
            found = await session.execute(
                text("SELECT body FROM platform.outbox WHERE topic = :topic ORDER BY seq"),
                {"topic": topic},
            )
            return list(found.scalars())


async def eventually(is_so: Callable[[], Awaitable[bool]], *, within_s: float = 1.0) -> None:
    """Wait until it is so; `TimeoutError` if it does not become so in time."""
    async with asyncio.timeout(within_s):
        while not await is_so():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.005)


def settings_for(database_url: str) -> Settings:
    return Settings(
        database_url=SecretStr(database_url),
        master_key=SecretStr(_MASTER_KEY),
        public_url="https://alphintra.test",
    )


def services_for(database_url: str, clock: ManualClock, database: Database) -> Services:
    return Services(
        settings=settings_for(database_url),
        database=database,
        bus=Bus("nats://127.0.0.1:1"),  # identity publishes through the outbox only
        clock=clock,
        ids=TimeOrderedIds(clock),
    )


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    clock = ManualClock()
    async with AsyncExitStack() as stack:

        def make_api(passwords: Passwords | None = None) -> Api:
            database = Database(database_url, pool_size=10)
            stack.push_async_callback(database.close)
            api = Api(
                services_for(database_url, clock, database),
                passwords or Passwords(cost=CHEAP, threads=1),
            )
            stack.push_async_callback(api.authenticator.close)
            apis.append(api)
            return api

        apis: list[Api] = []
        make_api()
        # The /64 of an IPv6 address counts as one subscriber.
        network = f"{secrets.token_hex(2)}:{secrets.token_hex(2)}"
        yield World(clock, apis, make_api, address=f"2001:db8:{network}::1")
