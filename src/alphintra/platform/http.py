"""The manners of our HTTP: problem documents, correlation ids, keyset pages, exact decimals."""

import base64
import binascii
import logging
import re
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Generic, TypeVar

import msgspec
import structlog
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from prometheus_client import Counter, Histogram
from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alphintra.core import money
from alphintra.core.errors import BadRequest, Problem
from alphintra.platform import correlation

PAGE_SIZE_MAX = 500
PROBLEM_TYPE = "application/problem+json"
BODY_BYTES_MAX = 1_000_000

REQUESTS = Counter("alphintra_http_requests_total", "HTTP requests", ["method", "route", "status"])
LATENCY = Histogram(
    "alphintra_http_request_seconds",
    "Time to answer a request",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
log = structlog.get_logger(__name__)

#: Written out, "1e999999999" is a gigabyte of zeros.
DECIMAL_DIGITS_MAX = 80


def _writable(value: Decimal) -> Decimal:
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or len(digits) + abs(exponent) > DECIMAL_DIGITS_MAX:
        raise ValueError("a plain decimal number of ordinary size is needed")
    return value


#: A decimal that leaves as a plain string without exponent or trailing zeros.
DecimalString = Annotated[
    Decimal, AfterValidator(_writable), PlainSerializer(money.text, return_type=str)
]


class Schema(BaseModel):
    """Base of what HTTP speaks. Unknown fields are refused: a typo must not trade."""

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """One page of a list; `next` is the cursor of the page after it, or null."""

    items: list[T]
    next: str | None = None


class ProblemDocument(BaseModel):
    """RFC 9457, with our stable `code`."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    correlation_id: str
    retryable: bool

    model_config = ConfigDict(extra="allow")


class BadCursor(BadRequest):
    """The cursor is not one that this API gave. Start again without a cursor."""

    code = "bad_cursor"


Limit = Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX, description="items per page")]
Cursor = Annotated[str | None, Query(max_length=256, description="`next` of the page before")]


def encode_cursor(*parts: object) -> str:
    """Return an opaque cursor for a keyset position."""
    raw = "\x1f".join(str(part) for part in parts).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_cursor(cursor: str, parts: int) -> Sequence[str]:
    """Read a cursor of that many parts.

    Raises:
        BadCursor: it is not one.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        values = base64.b64decode(padded, altchars=b"-_", validate=True).decode().split("\x1f")
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise BadCursor("the cursor is not valid") from error
    if len(values) != parts:
        raise BadCursor("the cursor is not valid")
    return values


def problem_response(problem: Problem) -> Response:
    """Render a problem document."""
    return _document(
        status=problem.status,
        code=problem.code,
        title=problem.title,
        detail=problem.detail,
        retryable=problem.retryable,
        headers=problem.headers(),
        extra=dict(problem.extra),
    )


def _document(
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    retryable: bool = False,
    headers: dict[str, str] | None = None,
    extra: dict[str, object] | None = None,
) -> Response:
    body: dict[str, Any] = {
        **(extra or {}),
        "type": f"urn:alphintra:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        "correlation_id": correlation.current(),
        "retryable": retryable,
    }
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        media_type=PROBLEM_TYPE,
        headers=headers,
    )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HTTP_CODES = {
    404: ("no_such_route", "There is no such route. The reference is at /docs."),
    405: ("method_not_allowed", "This route does not take that method; see the Allow header."),
}


def install(app: FastAPI) -> None:
    """Give `app` our error answers and, around everything, correlation ids, metrics and size
    limits.
    """

    @app.exception_handler(Problem)
    async def on_problem(_: Request, error: Problem) -> Response:
        return problem_response(error)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, error: RequestValidationError) -> Response:
        faults = [_fault(one, error.body) for one in error.errors()]
        first = faults[0] if faults else {"field": "", "message": "invalid"}
        return _document(
            status=422,
            code="invalid_request",
            title="The request does not have the form that this route takes.",
            detail=f"{first['field']}: {first['message']}",
            extra={"errors": faults},
        )

    @app.exception_handler(HTTPException)
    async def on_http(_: Request, error: HTTPException) -> Response:
        if isinstance(error, BodyRefused):
            return problem_response(error.problem)
        code, title = _HTTP_CODES.get(error.status_code, ("http_error", "The request was refused."))
        return _document(
            status=error.status_code,
            code=code,
            title=title,
            detail=str(error.detail),
            headers=dict(error.headers or {}),
        )

    @app.exception_handler(Exception)
    async def on_fault(_: Request, error: Exception) -> Response:
        # The one place where a bug becomes an answer: logged with its trace, told without it.
        log.error("unhandled_fault", exc_info=error)
        return _document(
            status=500,
            code="internal_error",
            title="A fault of ours. Report it with the correlation id.",
            detail="an unexpected fault occurred",
        )

    app.add_middleware(RequestFrame)


def _fault(told: Mapping[str, Any], body: object) -> dict[str, str]:
    """Return what is wrong with a request: which field, and why."""
    if told["type"] == "json_invalid" and isinstance(body, str):
        at = int(told["loc"][-1])
        line, column = body.count("\n", 0, at) + 1, at - body.rfind("\n", 0, at)
        why = _printable(str(told.get("ctx", {}).get("error", "")))
        return {"field": "body", "message": f"no JSON at line {line}, column {column}: {why}"}
    return {
        "field": ".".join(str(part) for part in told["loc"]),
        "message": _printable(told["msg"]),
    }


def _printable(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", " ", text)


_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_stdlib_log = logging.getLogger(__name__)


# Methods come from clients: those that they invent share one label.
@lru_cache(maxsize=4096)
def _requests(method: str, route: str, status: int) -> Counter:
    known = method if method in _METHODS else "OTHER"
    return REQUESTS.labels(known, route, status)


@lru_cache(maxsize=4096)
def _latency(route: str) -> Histogram:
    return LATENCY.labels(route)


class RequestFrame:
    """What surrounds every request: correlation id in and out, a size limit, metrics, one
    log line.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                correlation.begin()
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        correlation_id = correlation.begin(given.decode("ascii", "replace")).encode()
        started = time.perf_counter()
        status = 500
        received = 0

        async def bounded_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit(scope):
                raise BodyRefused(PayloadTooLarge("the body is larger than this route takes"))
            return message

        async def marked_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", correlation_id),
                    *_HEADERS,
                ]
            await send(message)

        try:
            await self._app(scope, bounded_receive, marked_send)
        finally:
            elapsed_s = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "none")
            _requests(scope["method"], route, status).inc()
            _latency(route).observe(elapsed_s)
            # Asked first: building a line that nobody reads costs more than all else here.
            if _stdlib_log.isEnabledFor(logging.DEBUG):
                log.debug(
                    "http_request",
                    method=scope["method"],
                    route=route,
                    status=status,
                    duration_ms=round(elapsed_s * 1000, 2),
                )

    @staticmethod
    def _limit(scope: Scope) -> int:
        return int(scope.get("state", {}).get("body_bytes_max", BODY_BYTES_MAX))


class BodyRefused(HTTPException):
    """Carries a problem out of the reading of a body, where FastAPI lets only this class
    through.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.status, problem.detail)
        self.problem = problem


class PayloadTooLarge(Problem):
    """The body is too large for this route. Send less at once."""

    code = "payload_too_large"
    status = 413
