"""The outer wall of the HTTP application, as one ASGI middleware: what must hold for every request.

- `/api/x` is the alias of `/api/v1/x`, and the stock-broker paths stand at the root as well. The
  path is rewritten before routing, so an alias has no routes, access rules or OpenAPI of its own.
- What is no text (NUL, half a surrogate pair) is refused before it reaches anything.
- `/auth/*` is counted per address before it costs anything.
- Security headers; HSTS only where the caller came over TLS.
"""

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alphintra.core.errors import BadRequest, Problem
from alphintra.gateway import reference_page
from alphintra.gateway.addresses import ClientAddresses, bucket
from alphintra.gateway.limits import API, AUTH_PREFIX, Limits
from alphintra.platform.http import BodyRefused, problem_response

#: Where the API's reference is.
REFERENCE = "/docs"
#: Paths of the stock-broker design that stand at the root too.
ROOT_PATHS = ("/trade", "/historical_data")
_VERSIONED = re.compile(r"/api/v\d+(/|$)")
_CONTENT_POLICY = b"default-src 'none'; frame-ancestors 'none'"
_HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
_HEADERS = [(b"x-frame-options", b"DENY"), (b"content-security-policy", _CONTENT_POLICY)]
_PAGE_HEADERS = [
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", reference_page.CONTENT_POLICY.encode()),
]
_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_LONE = re.compile(rb"\\u[dD][89a-fA-F]")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class NotText(BadRequest):
    """The request holds a NUL or half a surrogate pair, which no text can keep. Leave it out."""

    code = "not_text"


def canonical_path(path: str) -> str:
    """Return the versioned path that a path means."""
    if path.startswith("/api/"):
        return path if _VERSIONED.match(path) else API + path[4:]
    for root in ROOT_PATHS:
        if path == root or path.startswith(f"{root}/"):
            return API + path
    return path


class Edge:
    """See the module."""

    def __init__(self, app: ASGIApp, *, addresses: ClientAddresses, limits: Limits) -> None:
        self._app = app
        self._addresses = addresses
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        path = scope["path"] = canonical_path(scope["path"])
        self._addresses.reveal(scope)
        if kind == "websocket":
            await self._app(scope, receive, send)
            return
        headers = _PAGE_HEADERS if path == REFERENCE else _HEADERS
        if scope["scheme"] == "https":
            headers = [*headers, _HSTS]

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        try:
            await self._check(scope, path)
            if scope["method"] in _WITH_BODY and _is_json(scope):
                receive = await _checked_json(receive)
        except BodyRefused as refused:
            await problem_response(refused.problem)(scope, receive, guarded_send)
            return
        except Problem as problem:
            await problem_response(problem)(scope, receive, guarded_send)
            return
        await self._app(scope, receive, guarded_send)

    async def _check(self, scope: Scope, path: str) -> None:
        if "\x00" in path or b"%00" in scope["query_string"] or b"\x00" in scope["query_string"]:
            raise NotText("the address of the request contains a NUL character")
        if path.startswith(AUTH_PREFIX):
            await self._limits.admit_address(bucket(_caller(scope)))


def _is_json(scope: Scope) -> bool:
    return any(name == b"content-type" and b"json" in value for name, value in scope["headers"])


def _caller(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _checked_json(receive: Receive) -> Receive:
    """Read a whole JSON body, which the routes would do next, and refuse what is not text.

    Raises:
        BodyRefused: it is too large, or holds a NUL or half a surrogate pair.
    """
    chunks = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            message = {"type": "http.request", "body": b"".join(chunks), "more_body": False}
            if not is_text(message["body"]):
                raise BodyRefused(NotText("the body contains a character that is not text"))
            break
    read: Message | None = message

    async def again() -> Message:
        nonlocal read
        if read is None:
            return await receive()
        message, read = read, None
        return message

    return again


def is_text(body: bytes) -> bool:
    """Say whether the escapes of a JSON document stand for characters that a text may hold."""
    if b"\\u" not in body:
        return True
    # Blanks keep what stood apart from growing together into an escape or a pair.
    escapes = _PAIR.sub(b" ", body.replace(b"\\\\", b"  "))
    return b"\\u0000" not in escapes and not _LONE.search(escapes)
