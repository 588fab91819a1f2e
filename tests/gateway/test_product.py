"""The product's own routes behind the edge, from login to a fill on the stream."""

import asyncio
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from alphintra import market
from alphintra.gateway.reference import access_of, api_routes
from tests.gateway.product import SYMBOL, Person, Product


async def stream(product: Product, person: Person) -> ClientConnection:
    return await connect(
        f"ws://127.0.0.1:{product.port}/api/v1/stream",
        additional_headers=person.headers,
        proxy=None,
    )


async def receive(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(10):
        message: dict[str, Any] = json.loads(await socket.recv())
    return message


def test_every_route_declares_its_access(product: Product) -> None:
    silent = [route.path for route in api_routes(product.app) if access_of(route) is None]
    assert silent == []


def test_reference_names_every_operation_once(product: Product) -> None:
    document = product.app.openapi()
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(ids) == len(set(ids))
    for path, method, operation in operations:
        assert "security" in operation, (method, path)
        assert "default" in operation["responses"], (method, path)
        assert "HTTPValidationError" not in json.dumps(operation), (method, path)


async def test_order_from_login_to_the_stream(product: Product) -> None:
    person = await product.person("story")
    socket = await stream(product, person)
    snapshots = {}
    for channel in ("orders", "fills", "positions"):
        await socket.send(json.dumps({"op": "subscribe", "channel": channel}))
        message = await receive(socket)
        snapshots[channel] = message["seq"]
        assert message["type"] == "snapshot"
    placed = await product.place(person, type="MARKET", price=None, time_in_force="DAY")
    assert placed.status_code == 201, placed.text
    order_id = placed.json()["id"]
    seen: dict[str, list[dict[str, Any]]] = {"orders": [], "fills": [], "positions": []}
    while not seen["positions"] or not seen["fills"]:
        message = await receive(socket)
        channel = message["channel"]
        if message["type"] == "update":
            assert message["seq"] == snapshots[channel] + len(seen[channel]) + 1
        else:
            # The account was opened after the first snapshot.
            snapshots[channel] = message["seq"] - len(seen[channel])
        seen[channel].append(message)
    fill = seen["fills"][0]["data"]
    assert fill["order_id"] == order_id
    assert fill["price"] == "101"
    types = [one["data"]["event_type"] for one in seen["orders"] if one["type"] == "update"]
    assert types[0] == "CREATED"
    await socket.close()
    again = await stream(product, person)
    await again.send(json.dumps({"op": "subscribe", "channel": "fills"}))
    snapshot = await receive(again)
    assert snapshot["data"][-1]["trade_id"] == fill["trade_id"]
    assert set(fill) == set(snapshot["data"][-1])
    await again.close()


async def latest_quote(product: Product, person: Person) -> dict[str, Any]:
    """Ask for the quote until there is one: the first to ask begins to listen to the feed."""
    async with asyncio.timeout(10):
        while True:
            answer = await product.client.get(
                f"/api/v1/market-data/quotes/{SYMBOL}", headers=person.headers
            )
            if answer.status_code == 200:
                return dict(answer.json())
            assert answer.json()["code"] == "NO_QUOTE_YET", answer.text
            await asyncio.sleep(0.05)


async def test_quotes_on_the_stream_look_as_in_the_api(product: Product) -> None:
    person = await product.person("quotes")
    socket = await stream(product, person)
    await socket.send(json.dumps({"op": "subscribe", "channel": "quotes", "symbols": [SYMBOL]}))
    snapshot = await receive(socket)
    update = await receive(socket)
    await socket.send(
        json.dumps({"op": "subscribe", "channel": "quotes", "symbols": ["NOPE"], "id": "other"})
    )
    while (refused := await receive(socket)).get("id") != "other":
        assert refused["channel"] == "quotes"
    await socket.close()
    answer = await latest_quote(product, person)
    assert snapshot["type"] == "snapshot"
    assert set(update["data"]) == set(answer)
    assert refused["type"] == "error"


async def test_logout_closes_the_stream_within_a_second(product: Product) -> None:
    person = await product.person("leaver")
    socket = await stream(product, person)
    started_s = asyncio.get_running_loop().time()
    await product.client.post("/api/v1/auth/logout", headers=person.headers)
    await asyncio.wait_for(socket.wait_closed(), 5)
    assert asyncio.get_running_loop().time() - started_s < 1.5
    assert (socket.close_code, socket.close_reason) == (1008, "session_ended")


async def test_overview_shows_everything_at_once(product: Product) -> None:
    person = await product.person("overview")
    assert (await product.place(person)).status_code == 201
    answer = await product.client.get("/api/v1/overview", headers=person.headers)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["errors"] == {}
    assert body["profile"]["email"] == person.email
    assert body["portfolio"]["currency"] == "USD"
    assert [order["symbol"] for order in body["open_orders"]] == [SYMBOL]
    assert body["positions"] == []
    assert set(body["health"]["parts"]) == {"database", "bus"}


async def test_overview_names_the_parts_that_the_caller_may_not_see(product: Product) -> None:
    person = await product.person("narrow")
    key = await product.key(person, "profile:read")
    body = (await product.client.get("/api/v1/overview", headers=key)).json()
    assert body["profile"]["email"] == person.email
    assert body["portfolio"] is None
    assert set(body["errors"]) == {"portfolio", "open_orders", "positions", "feeds"}
    assert {one["code"] for one in body["errors"].values()} == {"forbidden"}


async def test_trade_request_becomes_an_order(product: Product) -> None:
    person = await product.person("broker")
    accepted = await product.client.post(
        "/trade",
        json={"symbol": SYMBOL, "quantity": "0.5", "action": "BUY"},
        headers=person.headers,
    )
    assert accepted.status_code == 202, accepted.text
    order_id = accepted.json()["order_id"]
    async with asyncio.timeout(20):
        while True:
            result = await product.client.get(f"/api/trade/{order_id}", headers=person.headers)
            assert result.status_code == 200
            if result.json()["status"] != "PENDING":
                break
            await asyncio.sleep(0.05)
    assert result.json()["status"] == "PLACED"
    assert result.json()["order"]["id"] == order_id
    assert result.json()["order"]["quantity"] == "0.5"


async def test_trade_request_that_can_never_be_an_order_is_refused(product: Product) -> None:
    person = await product.person("mistaken")
    for body, status in (
        ({"symbol": "NOPE", "quantity": "1", "action": "BUY"}, 404),
        ({"symbol": SYMBOL, "quantity": "0.000000001", "action": "BUY"}, 422),
        ({"symbol": SYMBOL, "quantity": "0", "action": "BUY"}, 422),
        ({"symbol": SYMBOL, "quantity": "1", "action": "HOLD"}, 422),
        ({"symbol": SYMBOL, "quantity": "1e999999999", "action": "BUY"}, 422),
    ):
        answer = await product.client.post("/trade", json=body, headers=person.headers)
        assert answer.status_code == status, (body, answer.text)


async def test_keys_are_published(product: Product) -> None:
    keys = (await product.client.get("/.well-known/jwks.json")).json()["keys"]
    assert keys[0]["kty"] == "RSA"
    assert "d" not in keys[0]


async def test_history_request_is_answered_by_id(product: Product) -> None:
    person = await product.person("historian")
    await market.seed_demo(product.services)
    listed = await product.client.get(
        "/api/v1/market-data/instruments", headers=person.headers, params={"limit": 500}
    )
    symbol = next(one["symbol"] for one in listed.json()["items"] if one["asset_class"] == "EQUITY")
    accepted = await product.client.get(
        "/historical_data",
        params={
            "symbol": symbol,
            "start_timestamp": "1990-01-01",
            "end_timestamp": "2026-01-01T00:00:00Z",
        },
        headers=person.headers,
    )
    assert accepted.status_code == 202, accepted.text
    request_id = accepted.json()["request_id"]
    async with asyncio.timeout(20):
        while True:
            result = await product.client.get(
                f"/historical_data/{request_id}", headers=person.headers
            )
            assert result.status_code == 200, result.text
            if result.json()["status"] != "PENDING":
                break
            await asyncio.sleep(0.05)
    assert result.json()["status"] == "DONE", result.text
    assert set(result.json()["entries"][0]) == {"date", "value"}
    backwards = await product.client.get(
        "/historical_data",
        params={"symbol": symbol, "start_timestamp": 86_400, "end_timestamp": 0},
        headers=person.headers,
    )
    assert backwards.status_code == 422


async def test_health_says_what_isolates_users_code(product: Product) -> None:
    answer = await product.client.get("/health/sandbox")
    assert answer.status_code == 200
    assert answer.json() == {"mode": "bubblewrap", "reason": ""}
