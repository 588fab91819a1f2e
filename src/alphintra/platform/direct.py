"""A way past the framework for the few routes that are asked all the time.

Middleware, routing and the solving of dependencies cost several times what such a route does. Its
direct way takes the requests that are plainly right and leaves all others, untouched, to the route
itself, which says what is wrong with them. So the route stays the one place that knows the rules:
its document, its access and its refusals.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alphintra.core.errors import Problem
from alphintra.platform.http import BodyRefused, problem_response

Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class DirectRoute(Generic[Body]):
    """One route's direct way. In what is counted it stands for the route.

    `path` has no parameters and no prefix. `answer` authenticates, does the work and answers, or
    raises a `Problem`. Requests with one of the headers `ordinary_with` take the ordinary way.
    """

    method: str
    path: str
    model: type[Body]
    answer: Callable[[Request, Body], Awaitable[Response]]
    ordinary_with: tuple[bytes, ...] = ()


class DirectWays:
    """The innermost middleware: looks whether a request may take a direct way."""

    def __init__(self, app: ASGIApp, *, routes: Mapping[tuple[str, str], DirectRoute[Any]]) -> None:
        """Stand in front of `app`; the routes are by method and whole path."""
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = None
        if scope["type"] == "http":
            route = self._routes.get((scope["method"], scope["path"]))
        if route is None or not _is_plain(scope, route.ordinary_with):
            await self._app(scope, receive, send)
            return
        message = await receive()
        body = _parsed(route.model, message)
        if body is None:
            await self._app(scope, _first(message, receive), send)
            return
        scope["route"] = route
        request = Request(scope, receive)
        try:
            response = await route.answer(request, body)
        except BodyRefused as refused:
            response = problem_response(refused.problem)
        except Problem as problem:
            response = problem_response(problem)
        await response(scope, receive, send)


def _is_plain(scope: Scope, ordinary_with: tuple[bytes, ...]) -> bool:
    is_json = False
    for name, value in scope["headers"]:
        if name in ordinary_with:
            return False
        is_json = is_json or (name == b"content-type" and value == b"application/json")
    return is_json and not scope["query_string"]


def _parsed(model: type[Body], message: Message) -> Body | None:
    """Return the body where it came in one piece and is what the route takes."""
    if message["type"] != "http.request" or message.get("more_body", False):
        return None
    try:
        return model.model_validate_json(message.get("body", b""))
    except ValidationError:
        return None


def _first(message: Message, receive: Receive) -> Receive:
    """Give back what was read, then what follows."""
    waiting = [message]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
