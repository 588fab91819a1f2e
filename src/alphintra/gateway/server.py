"""The HTTP server of a process: uvicorn, with the bounds that it leaves open.

uvicorn with httptools takes heads of any size and waits for them for ever, and a WebSocket client
that reads nothing keeps its connection for ever. Here a head, the time for a request to arrive and
the time to say goodbye to a stalled client are bounded.
"""

import asyncio
import contextlib
import socket
from asyncio.transports import BaseTransport
from collections.abc import Collection, Iterator
from typing import Any, cast

import msgspec
import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from alphintra.gateway.app import create_app
from alphintra.gateway.hub.session import CONNECTION_EXTENSION
from alphintra.platform.http import PROBLEM_TYPE
from alphintra.platform.sandbox import SandboxUnavailable
from alphintra.platform.services import Services
from alphintra.strategies import Strategies

HEAD_BYTES_MAX = 32 * 1024
HEAD_FIELDS_MAX = 100
HEAD_TIMEOUT_S = 10.0
#: Between two pieces of a body; an upload may take as long as it moves.
BODY_TIMEOUT_S = 30.0
SWEEP_INTERVAL_S = 1.0
KEEP_ALIVE_S = 65
STOP_TIMEOUT_S = 4
#: What a client may send over a WebSocket in one message; it only ever asks for something.
STREAM_MESSAGE_BYTES_MAX = 16 * 1024
#: Kernel memory for what a WebSocket client has not taken yet. Small, so that a slow reader is
#: noticed before it is shown quotes that are megabytes old.
STREAM_SEND_BUFFER_BYTES = 128 * 1024
STREAM_GOODBYE_S = 2.0
STREAM_PING_S = 20.0
#: When the sandbox of the code service opens, unless somebody asks before.
WORKSHOP_AFTER_S = 20.0

log = structlog.get_logger(__name__)


class _HeadTooLarge(Exception):
    """The head of the request passed its bounds."""


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol with a bounded head and a deadline for whatever is still
    arriving.
    """

    _head_fields = 0
    _head_bytes = 0
    _is_in_head = True
    _heads = 0
    #: Loop time by which the head, or the body, must have arrived; `None`: nothing is awaited.
    due_s: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.due_s = self.loop.time() + HEAD_TIMEOUT_S

    def data_received(self, data: bytes) -> None:
        was_in_head, heads = self._is_in_head, self._heads
        super().data_received(data)
        # A head that never ends does not reach the callbacks; count what came since it began. A
        # whole request may come at once, with a body of any length: its head has ended.
        is_same_head = was_in_head and self._is_in_head and heads == self._heads
        if is_same_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > 2 * HEAD_BYTES_MAX:
                self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        self._head_bytes = self._head_fields = 0
        self.due_s = self.loop.time() + HEAD_TIMEOUT_S

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_fields += 1
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._heads += 1
        self.due_s = self.loop.time() + BODY_TIMEOUT_S
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.due_s = self.loop.time() + BODY_TIMEOUT_S
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_in_head = True
        self._head_bytes = 0
        self.due_s = None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if self._is_too_large():
            self._refuse_head()
        elif not self.transport.is_closing():
            super().send_400_response(msg)

    def _count(self, length: int) -> None:
        self._head_bytes += length
        if self._is_too_large():
            raise _HeadTooLarge

    def _is_too_large(self) -> bool:
        return self._head_bytes > HEAD_BYTES_MAX or self._head_fields > HEAD_FIELDS_MAX

    def _refuse_head(self) -> None:
        body = msgspec.json.encode(
            {
                "type": "urn:alphintra:problem:head_too_large",
                "title": "The address and headers of the request are too large.",
                "status": 431,
                "code": "head_too_large",
                "detail": f"at most {HEAD_BYTES_MAX} bytes in {HEAD_FIELDS_MAX} headers",
                "correlation_id": "",
                "retryable": False,
            }
        )
        head = (
            "HTTP/1.1 431 Request Header Fields Too Large\r\n"
            f"content-type: {PROBLEM_TYPE}\r\ncontent-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, which can also part from a client that takes nothing."""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        if (plug := transport.get_extra_info("socket")) is not None:
            with contextlib.suppress(OSError):
                plug.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_SEND_BUFFER_BYTES)

    async def run_asgi(self) -> None:
        # uvicorn types the extensions of a scope as dicts of dicts.
        extensions = cast(dict[str, Any], self.scope["extensions"])
        extensions[CONNECTION_EXTENSION] = self
        await super().run_asgi()

    def cut(self, code: int, reason: str) -> None:
        """Say why behind what is still waiting to be sent, and drop the connection soon after.

        The ordinary way of closing waits until the client has taken what was sent before.
        """
        if self.transport.is_closing():
            return
        if not self.close_sent:
            self.close_sent = True
            self.stop_keepalive()
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.loop.call_later(STREAM_GOODBYE_S, self.transport.abort)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def drop_overdue(self, now_s: float) -> None:
        """Close connections whose request does not arrive in time."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, BoundedHttp):
                due_s = connection.due_s
                if (
                    due_s is not None
                    and due_s < now_s
                    and connection.timeout_keep_alive_task is None
                ):
                    connection.transport.abort()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def server_of(app: Any, *, connections_max: int) -> _Server:
    """Return a server for an ASGI application, with our bounds."""
    return _Server(
        uvicorn.Config(
            app,
            http=BoundedHttp,
            ws=BoundedWebSocket,
            loop="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=connections_max,
            backlog=2048,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
            ws_max_size=STREAM_MESSAGE_BYTES_MAX,
            ws_ping_interval=STREAM_PING_S,
            ws_ping_timeout=STREAM_PING_S,
            # Small messages at a high rate: compressing each for each client costs more than it
            # saves.
            ws_per_message_deflate=False,
        )
    )


async def run_http(services: Services, stop: asyncio.Event, roles: Collection[str]) -> None:
    """Serve the parts that `roles` names (`api`, `stream`) until `stop` is set.

    Raises:
        OSError: the address of the settings cannot be listened on.
    """
    settings = services.settings
    app = create_app(services, api="api" in roles, stream="stream" in roles)
    preparing = asyncio.create_task(_open_workshop(app.state.strategies), name="workshop")
    try:
        with listen(settings.host, settings.port) as plug:
            await serve(server_of(app, connections_max=settings.http_connections_max), plug, stop)
    finally:
        preparing.cancel()
        await asyncio.gather(preparing, return_exceptions=True)


async def _open_workshop(workshop: Strategies | None) -> None:
    """Prepare what judges users' code, so that the first to ask does not wait for it.

    After a while: until then the machine has a platform to start.
    """
    if workshop is None:
        return
    await asyncio.sleep(WORKSHOP_AFTER_S)
    try:
        await workshop.room.open()
    except SandboxUnavailable as error:
        log.warning("workshop_closed", reason=error.detail)


async def serve(server: _Server, plug: socket.socket, stop: asyncio.Event) -> None:
    """Run a server on a listening socket until `stop` is set."""
    serving = asyncio.create_task(server.serve(sockets=[plug]), name="http")
    stopping = asyncio.create_task(stop.wait())
    loop = asyncio.get_running_loop()
    log.info("http_listening", address=plug.getsockname()[:2])
    try:
        while not stopping.done():
            await asyncio.wait(
                {serving, stopping},
                timeout=SWEEP_INTERVAL_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if serving.done():
                break
            server.drop_overdue(loop.time())
        server.should_exit = True
        await serving
    finally:
        stopping.cancel()
        if not serving.done():
            serving.cancel()
