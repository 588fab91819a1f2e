"""The root of the server: is it alive, can it work, what does it measure, and a page for people."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from html import escape
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Request
from fastapi.responses import HTMLResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from alphintra.core.errors import Forbidden, Problem, Unavailable
from alphintra.gateway.addresses import ClientAddresses, is_loopback
from alphintra.platform import sandbox
from alphintra.platform.http import ProblemDocument, Schema
from alphintra.platform.security import public
from alphintra.platform.services import Services

CHECK_TIMEOUT_S = 2.0
Check = Callable[[], Awaitable[None]]


class NotReady(Unavailable):
    """A part that this process needs is away. Send requests elsewhere until it is back."""

    code = "not_ready"


class MetricsForbidden(Forbidden):
    """Metrics are for this machine, or for whoever has the metrics token. Send it as a bearer
    token.
    """

    code = "metrics_forbidden"


class Alive(Schema):
    """The process runs and answers."""

    status: Literal["alive"] = "alive"


class Ready(Schema):
    """Everything that the process needs answered; `parts` says in how many milliseconds."""

    status: Literal["ready"] = "ready"
    parts: dict[str, float]


class SandboxState(Schema):
    """What isolates users' code and uploads on this host: with `none` the one is not run and the
    other not read, and `reason` says why.
    """

    mode: sandbox.Mode
    reason: str


class Readiness:
    """Asks the parts, all at once; callers that come while it asks share the answer."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._under_way: asyncio.Task[dict[str, float]] | None = None

    async def check(self) -> dict[str, float]:
        """Return each part's answer time in milliseconds.

        Raises:
            NotReady: some did not answer; `down` names them.
        """
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._ask())
        return await asyncio.shield(self._under_way)

    async def _ask(self) -> dict[str, float]:
        names = list(self._checks)
        answers = await asyncio.gather(*(self._one(self._checks[name]) for name in names))
        if down := [name for name, answer in zip(names, answers, strict=True) if answer is None]:
            raise NotReady(f"not available: {', '.join(down)}", down=down)
        return {
            name: answer for name, answer in zip(names, answers, strict=True) if answer is not None
        }

    @staticmethod
    async def _one(check: Check) -> float | None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await check()
        except (Problem, OSError, TimeoutError):
            return None
        return round((loop.time() - started_s) * 1000, 2)


def health_router(
    services: Services, addresses: ClientAddresses, readiness: Readiness
) -> APIRouter:
    """Return the routes of the root."""
    router = APIRouter(tags=["health"])

    @router.get("/health/live", dependencies=[public()], operation_id="live")
    async def live() -> Alive:
        """Say that the process runs. Says nothing about what it depends on."""
        return Alive()

    @router.get(
        "/health/ready",
        dependencies=[public()],
        operation_id="ready",
        responses={503: {"model": ProblemDocument}},
    )
    async def ready() -> Ready:
        """Ask the database and the bus, and say whether requests can be served."""
        return Ready(parts=await readiness.check())

    @router.get("/health/sandbox", dependencies=[public()], operation_id="sandbox_state")
    async def sandbox_state() -> SandboxState:
        """Say what isolates users' code and uploads here, or why they are refused."""
        found = await sandbox.state(services.settings.sandbox)
        return SandboxState(mode=found.mode, reason=found.reason)

    @router.get(
        "/metrics",
        dependencies=[public()],
        operation_id="metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
    )
    async def metrics(
        request: Request, authorization: Annotated[str, Header(max_length=512)] = ""
    ) -> Response:
        """Return the measurements of this process in Prometheus's text format."""
        token = services.settings.metrics_token.get_secret_value()
        has_token = bool(token) and hmac.compare_digest(
            authorization.encode(), f"Bearer {token}".encode()
        )
        if not has_token and not is_loopback(addresses.of_direct_caller(request.scope)):
            raise MetricsForbidden("metrics are not for this address")
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/", dependencies=[public()], operation_id="home", response_class=HTMLResponse)
    async def home() -> str:
        """Show where everything is."""
        return _PAGE.format(environment=escape(services.settings.environment))

    return router


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Alphintra</title>
<h1>Alphintra</h1>
<p>A self-hosted trading platform: research, backtest, paper-trade and trade live with the same
code. This server runs in the environment <b>{environment}</b>.</p>
<ul>
<li><a href="/docs">API reference</a> and its <a href="/openapi.json">OpenAPI document</a></li>
<li><a href="/health/live">Alive</a> and <a href="/health/ready">ready</a></li>
<li><a href="/.well-known/jwks.json">Keys that sign tokens</a></li>
</ul>
<p>The API begins at <code>/api/v1</code>; the stream of orders, fills, positions, quotes and
candles is the WebSocket <code>/api/v1/stream</code>. On the command line: <code>alphintra
--help</code>.</p>
</html>
"""
