"""The running product: a few orders, and parity of the day over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from alphintra.core.clock import now
from tests.gateway.product import Person, Product, product_settings, running_product

API = "/api/v1"


@pytest.fixture(scope="module")
async def product(database_url: str, bus_url: str) -> AsyncIterator[Product]:
    async with running_product(product_settings(database_url, bus_url)) as one:
        yield one


async def test_day_of_a_user_is_identical_and_nobody_elses_business(product: Product) -> None:
    trader, stranger = await product.person("trader"), await product.person("stranger")
    for changes in (
        {"type": "MARKET", "price": None},
        {"price": "105"},
        {"price": "90"},
        {"type": "MARKET", "price": None, "quantity": "3"},
    ):
        answer = await product.place(trader, **changes)
        assert answer.status_code == 201, answer.text
    today = now(product.services.clock).date().isoformat()
    report = await _report_with(product, trader, today, fills=3)
    assert report["is_identical"], report
    assert (report["orders"], len(report["pairs"])) == (4, 3)
    assert all(pair["booked"] == pair["replayed"] for pair in report["pairs"])
    assert report["latency"]["instructions"] == 4
    assert report["latency"]["max_ms"] > 0
    theirs = await product.client.get(
        f"{API}/portfolio/parity",
        params={"day": today, "account_id": report["account_id"]},
        headers=stranger.headers,
    )
    nobody = await product.client.get(
        f"{API}/portfolio/parity",
        params={"day": today, "account_id": str(uuid4())},
        headers=stranger.headers,
    )
    assert (theirs.status_code, theirs.json()["code"]) == (404, "no_such_account")
    assert theirs.json()["detail"] == nobody.json()["detail"]
    late = await product.client.get(
        f"{API}/portfolio/parity", params={"day": "2999-01-01"}, headers=trader.headers
    )
    assert (late.status_code, late.json()["code"]) == (422, "day_not_begun")


async def _report_with(product: Product, person: Person, day: str, *, fills: int) -> dict[str, Any]:
    """Wait until what was traded is old enough to be looked at."""
    async with asyncio.timeout(60):
        while True:
            answer = await product.client.get(
                f"{API}/portfolio/parity", params={"day": day}, headers=person.headers
            )
            assert answer.status_code == 200, answer.text
            report: dict[str, Any] = answer.json()
            if report["fills"] == fills:
                return report
            await asyncio.sleep(0.5)
