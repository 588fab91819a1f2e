"""The outer wall: aliases, problem answers, health, metrics, headers, the reference."""

from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from alphintra.gateway.edge import canonical_path
from alphintra.gateway.reference import access_of, api_routes
from tests.gateway.harness import Edge, running_edge, settings_for


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/api/orders", "/api/v1/orders"),
        ("/api/v1/orders", "/api/v1/orders"),
        ("/api/v2/orders", "/api/v2/orders"),
        ("/api/v1x", "/api/v1/v1x"),
        ("/api/stream", "/api/v1/stream"),
        ("/trade", "/api/v1/trade"),
        ("/trade/1", "/api/v1/trade/1"),
        ("/trades", "/trades"),
        ("/historical_data", "/api/v1/historical_data"),
        ("/health/live", "/health/live"),
        ("/api", "/api"),
    ],
)
def test_alias(path: str, meant: str) -> None:
    assert canonical_path(path) == meant


async def test_alias_and_version_answer_alike(edge: Edge) -> None:
    headers = edge.bearer()
    async with httpx.AsyncClient(base_url=edge.url, headers=headers) as client:
        answers = [await client.get(path) for path in ("/api/v1/orders", "/api/orders")]
        root = await client.get("/trade/7")
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert root.json() == {"order_id": "7"}


async def test_unknown_route_and_method_are_problems(edge: Edge) -> None:
    async with httpx.AsyncClient(base_url=edge.url) as client:
        unknown = await client.get("/api/v1/nothing/here")
        slash = await client.get("/api/v1/orders/")
        method = await client.patch("/api/v1/orders")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "no_such_route")
    assert slash.status_code == 404
    assert (method.status_code, method.json()["code"]) == (405, "method_not_allowed")
    assert unknown.headers["content-type"] == "application/problem+json"
    assert unknown.headers["x-request-id"] == unknown.json()["correlation_id"]


async def test_alive_ready_and_home(edge: Edge) -> None:
    async with httpx.AsyncClient(base_url=edge.url) as client:
        live = await client.get("/health/live")
        ready = await client.get("/health/ready")
        home = await client.get("/")
    assert live.json() == {"status": "alive"}
    assert set(ready.json()["parts"]) == {"database", "bus"}
    assert home.headers["content-type"].startswith("text/html")
    assert "/docs" in home.text


async def test_not_ready_names_what_is_down(database_url: str, bus_url: str) -> None:
    gone = "postgresql://nobody@127.0.0.1:1/nothing"
    async with (
        running_edge(settings_for(gone, bus_url)) as edge,
        httpx.AsyncClient(base_url=edge.url) as client,
    ):
        ready = await client.get("/health/ready")
        live = await client.get("/health/live")
        await edge.services.bus.close()
        both = await client.get("/health/ready")
    assert ready.status_code == 503
    assert (ready.json()["code"], ready.json()["down"]) == ("not_ready", ["database"])
    assert live.status_code == 200
    assert both.json()["down"] == ["database", "bus"]


async def test_security_headers(edge: Edge) -> None:
    async with httpx.AsyncClient(base_url=edge.url) as client:
        answer = await client.get("/health/live")
        docs = await client.get("/docs")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "strict-transport-security" not in answer.headers
    assert "server" not in answer.headers
    assert docs.status_code == 200
    assert "script-src" in docs.headers["content-security-policy"]


async def test_cors_hsts_and_metrics_behind_a_proxy(database_url: str, bus_url: str) -> None:
    settings = settings_for(
        database_url,
        bus_url,
        trusted_proxies=["127.0.0.1"],
        cors_origins=["https://app.example"],
        metrics_token=SecretStr("let-me-see"),
    )
    async with (
        running_edge(settings) as edge,
        httpx.AsyncClient(base_url=edge.url) as client,
    ):
        over_tls = await client.get("/health/live", headers={"X-Forwarded-Proto": "https"})
        asked = {"Access-Control-Request-Method": "POST"}
        ours = await client.options(
            "/api/v1/orders", headers={"Origin": "https://app.example", **asked}
        )
        theirs = await client.options(
            "/api/v1/orders", headers={"Origin": "https://evil.example", **asked}
        )
        refused = await client.get("/api/v1/orders", headers={"Origin": "https://app.example"})
        outside = await client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.1"})
        wrong = await client.get(
            "/metrics", headers={"X-Forwarded-For": "203.0.113.1", "Authorization": "Bearer x"}
        )
        with_token = await client.get(
            "/metrics",
            headers={"X-Forwarded-For": "203.0.113.1", "Authorization": "Bearer let-me-see"},
        )
    assert "strict-transport-security" in over_tls.headers
    assert ours.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-origin" not in theirs.headers
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://app.example"
    assert (outside.status_code, wrong.status_code) == (403, 403)
    assert with_token.status_code == 200
    assert "alphintra_http_requests_total" in with_token.text


async def test_metrics_are_for_local_callers_and_not_for_what_hides_behind_an_unknown_proxy(
    edge: Edge,
) -> None:
    async with httpx.AsyncClient(base_url=edge.url) as client:
        local = await client.get("/metrics")
        hidden = await client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"})
    assert local.status_code == 200
    assert hidden.status_code == 403


async def test_request_id_of_the_caller_is_kept_and_a_forged_one_is_not(edge: Edge) -> None:
    async with httpx.AsyncClient(base_url=edge.url) as client:
        kept = await client.get("/health/live", headers={"X-Request-ID": "abc-123"})
        forged = await client.get("/health/live", headers={"X-Request-ID": "a b\tc"})
    assert kept.headers["x-request-id"] == "abc-123"
    assert forged.headers["x-request-id"] != "a b\tc"


async def test_large_body_is_refused(edge: Edge) -> None:
    body = b'{"symbol": "' + b"x" * 2_000_000 + b'"}'
    async with httpx.AsyncClient(base_url=edge.url) as client:
        answer = await client.post(
            "/api/v1/orders",
            content=body,
            headers={**edge.bearer(), "Content-Type": "application/json"},
        )
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


async def test_every_route_of_the_edge_declares_its_access(edge: Edge) -> None:
    silent = [route.path for route in api_routes(edge.app) if access_of(route) is None]
    assert silent == []
    assert len(api_routes(edge.app)) > 8


async def test_reference_is_exact(edge: Edge) -> None:
    async with httpx.AsyncClient(base_url=edge.url) as client:
        document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert not any(path.startswith("/api/") and "/v1" not in path for path in document["paths"])
    place = document["paths"]["/api/v1/orders"]["post"]
    assert place["security"] == [{"bearer": []}, {"apiKey": []}]
    assert place["x-permissions"] == ["orders:write"]
    assert {"200", "401", "403", "422", "429", "default"} <= set(place["responses"])
    assert "application/problem+json" in place["responses"]["422"]["content"]
    login = document["paths"]["/api/v1/auth/login"]["post"]
    assert login["security"] == []
    assert "429" in login["responses"]
    ids = [
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
    ]
    assert len(ids) == len(set(ids))
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_unknown_token_is_refused(edge: Edge) -> None:
    async with httpx.AsyncClient(base_url=edge.url) as client:
        answer = await client.get(
            "/api/v1/orders", headers={"Authorization": f"Bearer {uuid4().hex}"}
        )
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
