"""Rate limits: exact, separate, per caller, and the same with Redis."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from limits import parse
from pydantic import ValidationError

from alphintra.gateway.limits import Bucket, bucket_of
from alphintra.gateway.windows import MemoryWindows, open_windows, retry_after_s
from alphintra.platform.settings import Settings
from tests.gateway.harness import Edge, running_edge, settings_for


@pytest.fixture(scope="module")
async def tight(database_url: str, bus_url: str) -> AsyncIterator[Edge]:
    """An edge whose proxies are the machine itself, so that a test can come from anywhere."""
    settings = settings_for(
        database_url,
        bus_url,
        trusted_proxies=["127.0.0.1"],
        rate_limit_plans={"market_maker": {"orders": "130/minute"}},
    )
    async with running_edge(settings) as running:
        yield running


async def _statuses(
    client: httpx.AsyncClient, times: int, method: str, path: str, headers: dict[str, str]
) -> list[int]:
    body = {"symbol": "X", "quantity": "1"} if method == "POST" else None
    answers = await asyncio.gather(
        *(client.request(method, path, json=body, headers=headers) for _ in range(times))
    )
    return [answer.status_code for answer in answers]


@pytest.mark.parametrize(
    ("method", "path", "bucket"),
    [
        ("POST", "/api/v1/orders", Bucket.ORDERS_PLACE),
        ("PUT", "/api/v1/orders/1", Bucket.ORDERS_PLACE),
        ("POST", "/api/v1/trade", Bucket.ORDERS_PLACE),
        ("DELETE", "/api/v1/orders", Bucket.ORDERS_CANCEL),
        ("DELETE", "/api/v1/positions/X", Bucket.ORDERS_CANCEL),
        ("GET", "/api/v1/orders/1", Bucket.ORDERS_READ),
        ("GET", "/api/v1/trade/1", Bucket.ORDERS_READ),
        ("GET", "/api/v1/trades", Bucket.OTHER),
        ("GET", "/api/v1/ordersabc", Bucket.OTHER),
        ("GET", "/api/v1/market-data/candles", Bucket.MARKET_DATA),
        ("GET", "/api/v1/historical_data", Bucket.MARKET_DATA),
        ("POST", "/api/v1/strategies/1/backtest", Bucket.BACKTESTS),
        ("POST", "/api/v1/backtests", Bucket.BACKTESTS),
        ("POST", "/api/v1/optimizations", Bucket.BACKTESTS),
        ("POST", "/api/v1/backtests/compare", Bucket.OTHER),
        ("GET", "/api/v1/backtests", Bucket.OTHER),
        ("GET", "/api/v1/strategies/1", Bucket.OTHER),
        ("POST", "/api/v1/auth/login", Bucket.AUTH),
    ],
)
def test_what_a_request_counts_as(method: str, path: str, bucket: Bucket) -> None:
    assert bucket_of(method, path) is bucket


async def test_order_limit_is_exact_and_says_when_to_come_back(tight: Edge) -> None:
    headers = tight.bearer()
    async with httpx.AsyncClient(base_url=tight.url) as client:
        statuses = await _statuses(client, 120, "POST", "/api/v1/orders", headers)
        assert statuses.count(200) == 100
        refused = await client.post("/api/orders", json={}, headers=headers)
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "rate_limited"
    assert 50 <= int(refused.headers["retry-after"]) <= 60


async def test_reading_and_cancelling_have_room_when_placing_has_none(tight: Edge) -> None:
    headers = tight.bearer()
    async with httpx.AsyncClient(base_url=tight.url) as client:
        await _statuses(client, 101, "POST", "/api/v1/orders", headers)
        reads = await _statuses(client, 110, "GET", "/api/v1/orders", headers)
        assert reads.count(200) == 100
        assert await _statuses(client, 1, "DELETE", "/api/v1/orders", headers) == [200]


async def test_one_user_does_not_use_up_the_room_of_another(tight: Edge) -> None:
    async with httpx.AsyncClient(base_url=tight.url) as client:
        await _statuses(client, 101, "POST", "/api/v1/orders", tight.bearer())
        assert await _statuses(client, 1, "POST", "/api/v1/orders", tight.bearer()) == [200]


async def test_sessions_of_one_user_share_their_room(tight: Edge) -> None:
    user_id = uuid4()
    async with httpx.AsyncClient(base_url=tight.url) as client:
        for _ in range(2):
            headers = tight.bearer(user_id=user_id)
            statuses = await _statuses(client, 60, "POST", "/api/v1/orders", headers)
    assert statuses.count(200) == 40


async def test_plan_has_limits_of_its_own(tight: Edge) -> None:
    headers = tight.bearer(plan="market_maker")
    async with httpx.AsyncClient(base_url=tight.url) as client:
        statuses = await _statuses(client, 140, "POST", "/api/v1/orders", headers)
    assert statuses.count(200) == 130


async def test_auth_limit_is_per_address_and_before_anything_else(tight: Edge) -> None:
    async with httpx.AsyncClient(base_url=tight.url) as client:
        first = await _statuses(
            client, 15, "POST", "/api/v1/auth/login", {"X-Forwarded-For": "203.0.113.1"}
        )
        other = await _statuses(
            client, 1, "POST", "/api/v1/auth/login", {"X-Forwarded-For": "203.0.113.2"}
        )
        # What a caller writes in front of its own address is not believed.
        forged = await _statuses(
            client, 1, "POST", "/api/auth/login", {"X-Forwarded-For": "198.51.100.9, 203.0.113.1"}
        )
    assert first.count(200) == 10
    assert first.count(429) == 5
    assert other == [200]
    assert forged == [429]


async def test_addresses_of_one_ipv6_network_share_their_room(tight: Edge) -> None:
    async with httpx.AsyncClient(base_url=tight.url) as client:
        statuses = [
            (
                await client.post(
                    "/api/auth/login", headers={"X-Forwarded-For": f"2001:db8:1:2::{host:x}"}
                )
            ).status_code
            for host in range(12)
        ]
    assert statuses.count(200) == 10


async def test_forwarded_address_of_a_stranger_is_not_believed(edge: Edge) -> None:
    async with httpx.AsyncClient(base_url=edge.url) as client:
        statuses = [
            (
                await client.post(
                    "/api/v1/auth/login", headers={"X-Forwarded-For": f"203.0.113.{host}"}
                )
            ).status_code
            for host in range(12)
        ]
    assert statuses.count(200) == 10


def test_window_moves_with_time() -> None:
    now_s = [100.0]
    windows = MemoryWindows(lambda: now_s[0])
    assert [windows.hit_now(2, 60, "a") for _ in range(2)] == [0, 0]
    now_s[0] = 130.0
    assert windows.hit_now(2, 60, "a") == pytest.approx(30)
    now_s[0] = 160.5
    assert windows.hit_now(2, 60, "a") == 0
    assert windows.hit_now(2, 60, "b") == 0


def test_window_forgets_keys_that_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alphintra.gateway.windows.KEYS_MAX", 50)
    now_s = [0.0]
    windows = MemoryWindows(lambda: now_s[0])
    for number in range(500):
        now_s[0] += 0.001
        windows.hit_now(1, 60, f"key {number}")
    assert len(windows._hits) <= 50


def test_retry_after_is_never_zero() -> None:
    assert [retry_after_s(wait) for wait in (0.001, 1.0, 1.2)] == [1, 1, 2]


def test_unknown_cache_stops_the_start() -> None:
    with pytest.raises(ValueError, match="cache_url"):
        open_windows("memcached://x")


def test_wrong_limit_stops_the_start() -> None:
    with pytest.raises(ValidationError, match="rate_limit_orders"):
        Settings(rate_limit_orders="often")
    with pytest.raises(ValidationError, match="rate_limit_plans"):
        Settings(rate_limit_plans={"gold": {"order": "1/minute"}})


async def test_hits_of_many_keys_stay_cheap() -> None:
    windows = MemoryWindows()
    limit = parse("100/minute")
    for number in range(20_000):
        assert await windows.hit(limit, f"user {number % 2_000}") == 0
