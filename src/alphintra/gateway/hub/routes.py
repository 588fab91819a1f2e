"""The door of the hub: origin, credentials, room; then a session."""

import asyncio

import structlog
from fastapi import APIRouter, WebSocket
from starlette.requests import HTTPConnection

from alphintra.core.errors import Forbidden, NotAuthenticated, Problem, Unavailable
from alphintra.gateway.hub import messages
from alphintra.gateway.hub.hub import Hub
from alphintra.gateway.hub.session import CONNECTION_EXTENSION, POLICY, TOO_SLOW, Session
from alphintra.platform.http import problem_response
from alphintra.platform.security import Authenticator, Principal, public

AUTHENTICATION_TIMEOUT_S = 5.0
#: Sockets that have not said who they are, per process.
STRANGERS_MAX = 200
_CREDENTIALS = ("authorization", "x-api-key")

log = structlog.get_logger(__name__)


class OriginRefused(Forbidden):
    """A page of that origin may not use this server. Add the origin to `cors_origins`."""

    code = "origin_refused"


class StreamFull(Unavailable):
    """There is no room for another connection at the moment."""

    code = "stream_full"


class _Door:
    """Lets clients in."""

    def __init__(self, hub: Hub, authenticator: Authenticator, origins: frozenset[str]) -> None:
        self._hub = hub
        self._authenticator = authenticator
        self._origins = origins
        self._strangers = 0

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one socket from handshake to end."""
        try:
            self._check_origin(websocket)
            principal = await self._from_handshake(websocket)
            if principal is None and self._strangers >= STRANGERS_MAX:
                raise StreamFull("too many connections wait for credentials")
        except Problem as problem:
            await websocket.send_denial_response(problem_response(problem))
            return
        await websocket.accept()
        if principal is None:
            principal = await self._from_first_message(websocket)
        if principal is None:
            return
        if not self._hub.admits(principal.user_id):
            await websocket.close(TOO_SLOW, "too_many_connections")
            return
        await self._run(websocket, principal)

    async def _run(self, websocket: WebSocket, principal: Principal) -> None:
        connection = websocket.scope.get("extensions", {}).get(CONNECTION_EXTENSION)
        session = Session(principal, self._hub, websocket.receive, websocket.send, connection)
        self._hub.enter(session)
        try:
            await session.run()
        finally:
            self._hub.leave(session)

    def _check_origin(self, websocket: WebSocket) -> None:
        """Refuse pages of other origins; programs send no origin."""
        origin = websocket.headers.get("origin")
        if origin is None or origin in self._origins:
            return
        host = websocket.headers.get("host", "")
        if host and origin in {f"http://{host}", f"https://{host}"}:
            return
        raise OriginRefused("this origin may not use the stream")

    async def _from_handshake(self, websocket: WebSocket) -> Principal | None:
        if not any(name in websocket.headers for name in _CREDENTIALS):
            return None
        return await self._authenticator.authenticate(websocket)

    async def _from_first_message(self, websocket: WebSocket) -> Principal | None:
        self._strangers += 1
        try:
            async with asyncio.timeout(AUTHENTICATION_TIMEOUT_S):
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return None
                token = messages.read_authentication(message.get("text") or "").token
                principal = await self._authenticator.authenticate(_bearing(websocket, token))
        except TimeoutError:
            await websocket.close(POLICY, NotAuthenticated.code)
            return None
        except Problem as problem:
            await websocket.send_text(messages.error(problem))
            await websocket.close(POLICY, problem.code)
            return None
        finally:
            self._strangers -= 1
        await websocket.send_text(messages.control("authenticated"))
        return principal


def _bearing(websocket: WebSocket, token: str) -> HTTPConnection:
    """Return the handshake as it would have been with the token in its header."""
    header = (b"authorization", f"Bearer {token}".encode("utf-8", "replace"))
    return HTTPConnection({**websocket.scope, "headers": [*websocket.scope["headers"], header]})


def stream_router(hub: Hub, authenticator: Authenticator, origins: frozenset[str]) -> APIRouter:
    """Return the route of the stream."""
    router = APIRouter(tags=["stream"])
    door = _Door(hub, authenticator, origins)

    # Public to the router only: the door asks for credentials itself, since a browser can send them
    # no earlier than in the first message.
    @router.websocket("/stream", dependencies=[public()])
    async def stream(websocket: WebSocket) -> None:
        await door.serve(websocket)

    return router
