"""The access matrix: every route × everyone who may not. A new route without a row fails here."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from alphintra import identity
from alphintra.core.clock import now
from alphintra.gateway.reference import access_of, api_routes
from alphintra.platform.security import NOT_DELEGABLE, Permission
from alphintra.strategies.deployments.models import SignalRow
from tests.gateway.product import SYMBOL, Person, Product

API = "/api/v1"
#: Open to everyone, and meant to be.
PUBLIC = {
    ("POST", f"{API}/auth/register"),
    ("POST", f"{API}/auth/login"),
    ("POST", f"{API}/auth/refresh"),
    ("GET", f"{API}/auth/jwks"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/health/sandbox"),
    ("GET", "/metrics"),
    ("GET", "/"),
    ("GET", "/docs"),
    ("WEBSOCKET", f"{API}/stream"),
}
#: Routes to one thing that belongs to a user: how the thing is called in `Things`.
OWNED = {
    ("GET", f"{API}/orders/{{order_id}}"): "order_id",
    ("PUT", f"{API}/orders/{{order_id}}"): "order_id",
    ("DELETE", f"{API}/orders/{{order_id}}"): "order_id",
    ("GET", f"{API}/trade/{{order_id}}"): "order_id",
    ("GET", f"{API}/historical_data/{{request_id}}"): "request_id",
    ("GET", f"{API}/positions/{{symbol}}"): "symbol",
    ("DELETE", f"{API}/positions/{{symbol}}"): "symbol",
    ("DELETE", f"{API}/auth/sessions/{{session_id}}"): "session_id",
    ("DELETE", f"{API}/api-keys/{{key_id}}"): "key_id",
    ("GET", f"{API}/datasets/{{dataset_id}}"): "dataset_id",
    ("GET", f"{API}/datasets/{{dataset_id}}/preview"): "dataset_id",
    ("GET", f"{API}/datasets/{{dataset_id}}/statistics"): "dataset_id",
    ("GET", f"{API}/datasets/{{dataset_id}}/quality"): "dataset_id",
    ("GET", f"{API}/datasets/{{dataset_id}}/chart"): "dataset_id",
    ("GET", f"{API}/datasets/{{dataset_id}}/data"): "dataset_id",
    ("POST", f"{API}/datasets/{{dataset_id}}/resample"): "dataset_id",
    ("POST", f"{API}/datasets/{{dataset_id}}/adjust"): "dataset_id",
    ("DELETE", f"{API}/datasets/{{dataset_id}}"): "dataset_id",
    ("GET", f"{API}/backtests/{{run_id}}"): "run_id",
    ("DELETE", f"{API}/backtests/{{run_id}}"): "run_id",
    ("GET", f"{API}/backtests/{{run_id}}/trades"): "run_id",
    ("GET", f"{API}/backtests/{{run_id}}/equity"): "run_id",
    ("GET", f"{API}/backtests/{{run_id}}/report"): "run_id",
    ("GET", f"{API}/optimizations/{{run_id}}"): "run_id",
    ("DELETE", f"{API}/optimizations/{{run_id}}"): "run_id",
    ("GET", f"{API}/optimizations/{{run_id}}/report"): "run_id",
    ("GET", f"{API}/strategies/{{strategy_id}}"): "strategy_id",
    ("PUT", f"{API}/strategies/{{strategy_id}}"): "strategy_id",
    ("DELETE", f"{API}/strategies/{{strategy_id}}"): "strategy_id",
    ("PUT", f"{API}/strategies/{{strategy_id}}/status"): "strategy_id",
    ("GET", f"{API}/strategies/{{strategy_id}}/python"): "strategy_id",
    ("POST", f"{API}/strategies/{{strategy_id}}/versions"): "strategy_id",
    ("GET", f"{API}/strategies/{{strategy_id}}/versions"): "strategy_id",
    ("GET", f"{API}/strategies/{{strategy_id}}/versions/{{number}}"): "strategy_id",
    ("POST", f"{API}/strategies/{{strategy_id}}/versions/{{number}}/restore"): "strategy_id",
    ("GET", f"{API}/strategies/{{strategy_id}}/versions/{{number}}/diff"): "strategy_id",
    ("GET", f"{API}/strategies/{{strategy_id}}/shares"): "strategy_id",
    ("PUT", f"{API}/strategies/{{strategy_id}}/shares/{{person}}"): "strategy_id",
    ("DELETE", f"{API}/strategies/{{strategy_id}}/shares/{{person}}"): "strategy_id",
    ("POST", f"{API}/strategies/{{strategy_id}}/backtest"): "strategy_id",
    ("POST", f"{API}/strategies/{{strategy_id}}/optimize"): "strategy_id",
    ("POST", f"{API}/strategies/{{strategy_id}}/deploy"): "strategy_id",
    ("GET", f"{API}/deployments/{{deployment_id}}"): "deployment_id",
    ("POST", f"{API}/deployments/{{deployment_id}}/pause"): "deployment_id",
    ("POST", f"{API}/deployments/{{deployment_id}}/resume"): "deployment_id",
    ("POST", f"{API}/deployments/{{deployment_id}}/stop"): "deployment_id",
    ("POST", f"{API}/deployments/{{deployment_id}}/liquidate"): "deployment_id",
    ("PUT", f"{API}/deployments/{{deployment_id}}/parameters"): "deployment_id",
    ("GET", f"{API}/deployments/{{deployment_id}}/signals"): "deployment_id",
    ("GET", f"{API}/deployments/{{deployment_id}}/logs"): "deployment_id",
    ("GET", f"{API}/deployments/{{deployment_id}}/orders"): "deployment_id",
    ("GET", f"{API}/deployments/{{deployment_id}}/metrics"): "deployment_id",
    ("GET", f"{API}/deployments/{{deployment_id}}/certificates"): "deployment_id",
    ("POST", f"{API}/deployments/{{deployment_id}}/certificates"): "deployment_id",
    ("POST", f"{API}/signals/{{signal_id}}/approve"): "signal_id",
    ("POST", f"{API}/signals/{{signal_id}}/reject"): "signal_id",
    ("GET", f"{API}/signals/{{signal_id}}/trace"): "signal_id",
}
#: Routes to one thing that belongs to nobody, or that only staff may call.
SHARED = {
    ("GET", f"{API}/market-data/instruments/{{symbol}}"),
    ("PUT", f"{API}/market-data/instruments/{{symbol}}"),
    ("GET", f"{API}/market-data/quotes/{{symbol}}"),
    ("GET", f"{API}/strategy-templates/{{name}}"),
    ("GET", f"{API}/users/{{user_id}}"),
    ("PUT", f"{API}/users/{{user_id}}/roles"),
    ("POST", f"{API}/users/{{user_id}}/disable"),
    ("POST", f"{API}/users/{{user_id}}/enable"),
}
#: Lists of what belongs to a user: nothing of another user may be in them.
LISTS = (
    "/orders",
    "/positions",
    "/trades",
    "/auth/sessions",
    "/api-keys",
    "/portfolio/history",
    "/datasets",
    "/backtests",
    "/optimizations",
    "/strategies",
    "/strategies?shared=true",
    "/deployments",
)
#: Ways of being nobody in particular.
NOBODY: tuple[dict[str, str], ...] = (
    {},
    {"Authorization": "Bearer x"},
    {"Authorization": "Basic eDp4"},
    {"X-API-Key": "x"},
)
BODIES: dict[str, Any] = {"PUT": {}, "POST": {}, "PATCH": {}}
#: What a route wants to hear before it looks for the thing.
OWNED_BODIES: dict[str, Any] = {
    f"{API}/datasets/{{dataset_id}}/resample": {"timeframe": "1w"},
    f"{API}/datasets/{{dataset_id}}/adjust": {"to": "split"},
    f"{API}/strategies/{{strategy_id}}": {"name": "mine now", "revision": 1},
    f"{API}/strategies/{{strategy_id}}/status": {"status": "ARCHIVED", "revision": 1},
    f"{API}/strategies/{{strategy_id}}/versions": {},
    f"{API}/strategies/{{strategy_id}}/versions/{{number}}/restore": {"revision": 1},
    f"{API}/strategies/{{strategy_id}}/shares/{{person}}": {"right": "EDIT"},
    f"{API}/strategies/{{strategy_id}}/backtest": {"dataset_ids": [str(UUID(int=0))]},
    f"{API}/strategies/{{strategy_id}}/optimize": {"dataset_ids": [str(UUID(int=0))]},
    f"{API}/strategies/{{strategy_id}}/deploy": {"symbols": [SYMBOL]},
    f"{API}/deployments/{{deployment_id}}/parameters": {"parameters": {"fast": 3}},
    f"{API}/deployments/{{deployment_id}}/certificates": {"day": "2024-01-02"},
}
#: What else stands in a path, wherever it does.
ELSE = {"number": "1", "person": "someone@example.com", "name": "grid"}
CANDLES = b"ts,open,high,low,close\n2024-01-02,1,2,1,2\n2024-01-03,2,3,2,3\n"


@dataclass(frozen=True)
class Things:
    """One of everything that can belong to a user."""

    order_id: str
    session_id: str
    key_id: str
    request_id: str
    dataset_id: str
    run_id: str
    strategy_id: str
    deployment_id: str
    signal_id: str
    symbol: str = SYMBOL


@dataclass(frozen=True)
class World:
    """A user with things, and everyone who may not have them."""

    product: Product
    owner: Person
    stranger: Person
    things: Things
    #: API keys by the only permission that they have.
    keys: dict[Permission, dict[str, str]]


@pytest.fixture(scope="module")
async def world(product: Product) -> World:
    owner = await product.person("owner")
    stranger = await product.person("stranger")
    placed = await product.place(owner)
    bought = await product.place(owner, type="MARKET", price=None)
    assert (placed.status_code, bought.status_code) == (201, 201)
    key = await product.client.post(
        f"{API}/api-keys",
        json={"name": "mine", "scopes": ["market:read"], "password": "violet-harbour-93"},
        headers=owner.headers,
    )
    sessions = await product.client.get(f"{API}/auth/sessions", headers=owner.headers)
    history = await product.client.get(
        f"{API}/historical_data",
        params={"symbol": SYMBOL, "start_timestamp": 0, "end_timestamp": 86_400},
        headers=owner.headers,
    )
    dataset = await product.client.post(
        f"{API}/datasets/upload",
        files={"file": ("candles.csv", CANDLES)},
        data={"symbol": SYMBOL},
        headers=owner.headers,
    )
    assert dataset.status_code == 201, dataset.text
    run = await product.client.post(
        f"{API}/backtests",
        json={"strategy": "sma_cross", "dataset_ids": [dataset.json()["id"]]},
        headers=owner.headers,
    )
    assert run.status_code == 202, run.text
    async with asyncio.timeout(10):
        while True:
            held = await product.client.get(f"{API}/positions/{SYMBOL}", headers=owner.headers)
            if held.status_code == 200:
                break
            await asyncio.sleep(0.05)
    keys = {
        permission: await product.key(owner, permission)
        for permission in (Permission.MARKET_READ, Permission.ORDERS_READ)
    }
    return World(
        product=product,
        owner=owner,
        stranger=stranger,
        things=Things(
            order_id=placed.json()["id"],
            session_id=sessions.json()["items"][0]["id"],
            key_id=key.json()["id"],
            request_id=history.json()["request_id"],
            dataset_id=dataset.json()["id"],
            run_id=run.json()["id"],
            **await a_deployed_strategy(product, owner),
        ),
        keys=keys,
    )


async def a_deployed_strategy(product: Product, owner: Person) -> dict[str, str]:
    """Make a strategy, deploy it where nobody runs it, and have it give a signal."""
    product.client.timeout = httpx.Timeout(120)  # the sandbox opens with the first check
    strategy = await product.client.post(
        f"{API}/strategies", json={"template": "trend_following"}, headers=owner.headers
    )
    assert strategy.status_code == 201, strategy.text
    strategy_id = strategy.json()["id"]
    deployed = await product.client.post(
        f"{API}/strategies/{strategy_id}/deploy", json={"symbols": [SYMBOL]}, headers=owner.headers
    )
    assert deployed.status_code in {201, 202}, deployed.text
    deployment_id, signal_id = deployed.json()["id"], uuid4()
    async with product.services.database.transaction() as session:
        session.add(
            SignalRow(
                id=signal_id,
                deployment_id=UUID(deployment_id),
                user_id=UUID(owner.id),
                strategy_id=UUID(strategy_id),
                frame=1,
                kind="PLACE",
                name="a-1",
                origin="STRATEGY",
                symbol=SYMBOL,
                action="BUY",
                body={},
                parameters={},
                confidence=Decimal(1),
                reason="",
                because={},
                trace_id="a",
                status="WAITING",
                is_told=False,
                is_live=False,
                created_at=now(product.services.clock),
            )
        )
    return {
        "strategy_id": strategy_id,
        "deployment_id": deployment_id,
        "signal_id": str(signal_id),
    }


def routes(product: Product) -> Iterator[tuple[str, str, frozenset[Permission]]]:
    """Return method, path and needed permissions of every route that is not public."""
    for route in api_routes(product.app):
        access = access_of(route)
        assert access is not None, route.path
        for method in route.methods or {"WEBSOCKET"}:
            if access.is_public:
                assert (method, route.path) in PUBLIC, f"{method} {route.path} is open to everyone"
            else:
                yield method, str(route.path), access.permissions


def filled(path: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path, path
    return path


def anything(things: Things) -> dict[str, str]:
    return {
        "order_id": things.order_id,
        "symbol": things.symbol,
        "session_id": things.session_id,
        "key_id": things.key_id,
        "request_id": things.request_id,
        "dataset_id": things.dataset_id,
        "run_id": things.run_id,
        "strategy_id": things.strategy_id,
        "deployment_id": things.deployment_id,
        "signal_id": things.signal_id,
        "user_id": str(uuid4()),
        **ELSE,
    }


async def call(
    world: World, method: str, path: str, headers: dict[str, str], body: Any = None
) -> httpx.Response:
    return await world.product.client.request(
        method, path, headers=headers, json=BODIES.get(method) if body is None else body
    )


def assert_problem(answer: httpx.Response, status: int, route: str) -> None:
    assert answer.status_code == status, f"{route}: {answer.status_code} {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json", route
    assert answer.json()["code"], route


async def test_every_route_with_a_name_in_its_path_has_a_row(world: World) -> None:
    named = {(method, path) for method, path, _ in routes(world.product) if "{" in path}
    assert named == set(OWNED) | SHARED


async def test_nobody_in_particular_is_refused_everywhere(world: World) -> None:
    count = 0
    for method, path, _ in routes(world.product):
        where = filled(path, anything(world.things))
        for headers in (
            {},
            {"Authorization": "Bearer x"},
            {"X-API-Key": "x"},
            {"Authorization": "Basic eDp4"},
        ):
            assert_problem(await call(world, method, where, headers), 401, f"{method} {path}")
            count += 1
    assert count > 100


async def test_key_without_the_permission_is_refused_everywhere(world: World) -> None:
    for method, path, needed in routes(world.product):
        where = filled(path, anything(world.things))
        key = next(key for permission, key in world.keys.items() if permission not in needed)
        answer = await call(world, method, where, key)
        assert_problem(answer, 403, f"{method} {path}")
        assert answer.json()["missing"] == sorted(needed), path


async def test_trader_is_refused_what_only_staff_may(world: World) -> None:
    staff_only = frozenset(Permission) - identity.permissions_of({identity.Role.TRADER})
    seen = 0
    for method, path, needed in routes(world.product):
        if needed & staff_only:
            where = filled(path, anything(world.things))
            answer = await call(world, method, where, world.stranger.headers)
            assert_problem(answer, 403, f"{method} {path}")
            seen += 1
    assert seen >= 7


async def test_what_is_anothers_looks_like_what_is_not_there(world: World) -> None:
    for (method, path), name in OWNED.items():
        theirs = getattr(world.things, name)
        # The trade facade shows any young id of the form of ours as pending.
        absent = "NOT-THERE" if name == "symbol" else str(world.product.services.ids())
        body = OWNED_BODIES.get(path, {"quantity": "2"} if method == "PUT" else None)
        answers = [
            await call(
                world, method, filled(path, {**ELSE, name: value}), world.stranger.headers, body
            )
            for value in (theirs, absent)
        ]
        route = f"{method} {path}"
        assert answers[0].status_code == answers[1].status_code, route
        if path != f"{API}/trade/{{order_id}}":
            assert_problem(answers[0], 404, route)
        bodies = [{**answer.json(), "correlation_id": "", "order_id": ""} for answer in answers]
        texts = [
            json.dumps(body).replace(value, "…")
            for body, value in zip(bodies, (theirs, absent), strict=True)
        ]
        assert texts[0] == texts[1], route


async def test_owner_still_has_everything_afterwards(world: World) -> None:
    order = await call(world, "GET", f"{API}/orders/{world.things.order_id}", world.owner.headers)
    assert order.status_code == 200
    assert (order.json()["status"], order.json()["quantity"]) == ("ACCEPTED", "1")
    held = await call(world, "GET", f"{API}/positions/{SYMBOL}", world.owner.headers)
    assert held.status_code == 200
    sessions = await call(world, "GET", f"{API}/auth/sessions", world.owner.headers)
    assert world.things.session_id in [one["id"] for one in sessions.json()["items"]]
    keys = await call(world, "GET", f"{API}/api-keys", world.owner.headers)
    assert world.things.key_id in [one["id"] for one in keys.json()["items"]]


async def test_lists_hold_nothing_of_others(world: World) -> None:
    newcomer = await world.product.person("newcomer")
    for path in LISTS:
        answer = await call(world, "GET", f"{API}{path}", newcomer.headers)
        assert answer.status_code == 200, (path, answer.text)
        text = answer.text
        things = world.things
        for thing in (
            things.order_id,
            things.session_id,
            things.key_id,
            things.dataset_id,
            things.run_id,
            things.strategy_id,
            things.deployment_id,
        ):
            assert thing not in text, path
        assert world.owner.id not in text, path


async def test_keys_cannot_carry_what_must_stay_with_a_person(world: World) -> None:
    for permission in NOT_DELEGABLE:
        answer = await world.product.client.post(
            f"{API}/api-keys",
            json={"name": "x", "scopes": [permission], "password": "violet-harbour-93"},
            headers=world.owner.headers,
        )
        assert answer.status_code in {403, 422}, permission
