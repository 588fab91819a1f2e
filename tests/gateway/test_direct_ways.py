"""An order by the direct way past the framework is what it is by the ordinary way."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.gateway.product import SYMBOL, Person, Product

ORDER = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "quantity": "0.01", "price": "50"}
#: With parameters, which no direct way takes.
ORDINARY = {"ordinary": "yes"}
OF_ONE_REQUEST = {"x-request-id", "content-length", "date"}


async def both(
    product: Product, person: Person | None, body: dict[str, Any]
) -> tuple[httpx.Response, httpx.Response]:
    headers = person.headers if person is not None else {}
    direct = await product.client.post("/api/v1/orders", json=body, headers=headers)
    ordinary = await product.client.post(
        "/api/v1/orders", json=body, headers=headers, params=ORDINARY
    )
    return direct, ordinary


def headers_of(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in OF_ONE_REQUEST}


async def test_both_ways_place_the_same_order_once(product: Product) -> None:
    person = await product.person("direct")
    body = {**ORDER, "client_order_id": str(uuid4())}
    direct, ordinary = await both(product, person, body)
    assert (direct.status_code, ordinary.status_code) == (201, 201)
    assert direct.content == ordinary.content
    assert headers_of(direct) == headers_of(ordinary)


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": "-1"},
        {"quantity": "NaN"},
        {"price": None},
        {"surprise": 1},
        {"symbol": "NO-SUCH"},
        {"quantity": "1000000"},
    ],
    ids=lambda change: str(next(iter(change.items()))),
)
async def test_both_ways_refuse_alike(product: Product, change: dict[str, Any]) -> None:
    person = await product.person("refused")
    direct, ordinary = await both(product, person, {**ORDER, **change})
    said = [{**answer.json(), "correlation_id": ""} for answer in (direct, ordinary)]
    assert direct.status_code == ordinary.status_code == 422
    assert said[0]["code"] == said[1]["code"]
    assert said[0].keys() == said[1].keys()


async def test_both_ways_ask_who_it_is_and_what_they_may(product: Product) -> None:
    nobody = await both(product, None, ORDER)
    reading = await product.key(await product.person("owner"), "orders:read")
    forbidden = [
        await product.client.post("/api/v1/orders", json=ORDER, headers=reading, params=params)
        for params in ({}, ORDINARY)
    ]
    assert [answer.status_code for answer in nobody] == [401, 401]
    assert [answer.status_code for answer in forbidden] == [403, 403]
    assert forbidden[0].json()["missing"] == forbidden[1].json()["missing"]


async def test_a_key_in_a_header_and_a_body_in_pieces_take_the_ordinary_way(
    product: Product,
) -> None:
    person = await product.person("pieces")
    key = {"Idempotency-Key": uuid4().hex}
    named = [
        await product.client.post("/api/v1/orders", json=ORDER, headers={**person.headers, **key})
        for _ in range(2)
    ]
    assert named[0].status_code == 201
    assert named[0].content == named[1].content

    async def pieces() -> Any:
        for piece in (b'{"symbol":"', SYMBOL.encode(), b'","side":"BUY","type":"MARKET",'):
            yield piece
        yield b'"quantity":"0.01"}'

    sent = await product.client.post(
        "/api/v1/orders",
        content=pieces(),
        headers={**person.headers, "Content-Type": "application/json"},
    )
    assert sent.status_code == 201, sent.text


async def test_what_went_directly_is_counted_under_its_route(product: Product) -> None:
    person = await product.person("counted")

    async def counted() -> float:
        text = (await product.client.get("/metrics")).text
        line = 'alphintra_http_requests_total{method="POST",route="/orders",status="201"}'
        return sum(float(one.split()[-1]) for one in text.splitlines() if one.startswith(line))

    before = await counted()
    direct, ordinary = await both(product, person, ORDER)
    assert {direct.status_code, ordinary.status_code} == {201}
    assert await counted() == before + 2
