"""The OpenAPI document, made exact: who may call what, and what a refusal looks like.

Access is read from the same declarations that enforce it, so the document cannot promise otherwise.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute, APIWebSocketRoute, RouteContext, iter_route_contexts

from alphintra.gateway.edge import REFERENCE
from alphintra.gateway.limits import API, Bucket, bucket_of
from alphintra.gateway.reference_page import reference_page
from alphintra.platform.http import PROBLEM_TYPE, ProblemDocument
from alphintra.platform.security import Access, declared_access, public

_PROBLEM = {"$ref": "#/components/schemas/ProblemDocument"}
_DESCRIPTIONS = {
    "401": "Credentials are missing, expired or wrong",
    "403": "The caller may not do this",
    "422": "The request is not valid",
    "429": "Too many requests; Retry-After says how long to wait",
    "default": "Any other refusal; `code` is stable and `retryable` says whether to ask again",
}
_SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The access token that POST /auth/login gives",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "A key of a program, with scopes of its own",
    },
}
DESCRIPTION = f"""
Prices, quantities and amounts are decimal strings; times are ISO 8601 in UTC. Lists answer
`{{"items": […], "next": cursor or null}}`. Every refusal is a problem document (RFC 9457) with a
stable `code`. A write may carry `Idempotency-Key`, an order its `client_order_id`: sending it again
returns the first answer.

All paths are under `{API}`; `/api` is an alias of it, and `/trade` and `/historical_data` also
stand at the root. The WebSocket `{API}/stream` carries orders, fills, positions, quotes and
candles.
"""


def api_routes(app: FastAPI) -> list[RouteContext]:
    """Return every route of ours, with the paths they are reached under."""
    return [
        context
        for context in iter_route_contexts(app.routes)
        if isinstance(context.original_route, APIRoute | APIWebSocketRoute)
    ]


def access_of(context: RouteContext) -> Access | None:
    """Return what a route demands of its caller, or `None` where it does not say."""
    return declared_access(context.dependant)


def install_reference(app: FastAPI) -> None:
    """Let the application describe itself exactly: to programs, and at `/docs` to people."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way
    page: list[str] = []

    async def reference() -> HTMLResponse:
        """Show the document to people."""
        if not page:
            page.append(reference_page(document()))
        return HTMLResponse(page[0])

    app.add_api_route(
        REFERENCE, reference, dependencies=[public()], include_in_schema=False, methods=["GET"]
    )


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        separate_input_output_schemas=True,
    )
    components = document.setdefault("components", {})
    components["securitySchemes"] = _SECURITY
    schemas = components.setdefault("schemas", {})
    schemas["ProblemDocument"] = ProblemDocument.model_json_schema(
        ref_template="#/components/schemas/{model}"
    )
    names: set[str] = set()
    for context in api_routes(app):
        if not isinstance(context.original_route, APIRoute) or not context.include_in_schema:
            continue
        for method in context.methods or ():
            operation = document["paths"][context.path_format][method.lower()]
            operation["operationId"] = _unique(str(context.name), names)
            _complete(operation, access_of(context) or Access(), method, str(context.path))
    # FastAPI's own form of a refused request, which this server never sends.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    document["servers"] = [{"url": "/"}]
    return document


def _unique(name: str, taken: set[str]) -> str:
    """Return the function's name, which a generated client calls its method; numbered if taken."""
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    taken.add(unique)
    return unique


def _complete(operation: dict[str, Any], access: Access, method: str, path: str) -> None:
    responses = operation["responses"]
    statuses = ["default"]
    if "422" in responses or operation.get("requestBody"):
        statuses.append("422")
    if access.is_public:
        operation["security"] = []
    else:
        operation["security"] = [{"bearer": []}, {"apiKey": []}]
        operation["x-permissions"] = sorted(access.permissions)
        statuses += ["401", "403", "429"]
    if bucket_of(method, path) is Bucket.AUTH:
        statuses.append("429")
    for status in statuses:
        # A route may have said more, by naming its codes; FastAPI's own 422 does not count.
        described = responses.get(status, {}).get("description", "Validation Error")
        responses[status] = _refusal(status)
        if described != "Validation Error":
            responses[status]["description"] = described
    for status, response in responses.items():
        if status.isdigit() and int(status) >= 400:
            response["content"] = {PROBLEM_TYPE: {"schema": _PROBLEM}}


def _refusal(status: str) -> dict[str, Any]:
    refusal: dict[str, Any] = {
        "description": _DESCRIPTIONS[status],
        "content": {PROBLEM_TYPE: {"schema": _PROBLEM}},
    }
    if status == "429":
        refusal["headers"] = {
            "Retry-After": {"description": "seconds to wait", "schema": {"type": "integer"}}
        }
    return refusal
