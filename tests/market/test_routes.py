"""The HTTP face: who may, who may not, and what is answered."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import HTTPConnection

from alphintra.core.errors import NotAuthenticated
from alphintra.core.ids import UserId
from alphintra.core.market_data import Quote, Trade
from alphintra.market import FeedPipeline, router
from alphintra.platform import http
from alphintra.platform.security import Permission, Principal
from alphintra.platform.services import Services

READ = {"x-test-may": "market:read"}
WRITE = {"x-test-may": "market:read,market:write"}
T0 = datetime(2024, 1, 1, tzinfo=UTC)


class HeaderAuthenticator:
    """Believes a header; stands in for identity."""

    async def authenticate(self, connection: HTTPConnection) -> Principal:
        may = connection.headers.get("x-test-may")
        if may is None:
            raise NotAuthenticated("log in")
        return Principal(
            user_id=UserId(uuid4()),
            permissions=frozenset(Permission(one) for one in may.split(",") if one),
        )

    def still_valid(self, principal: Principal) -> bool:
        return True


@pytest.fixture(scope="module")
async def client(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.state.services = services
    app.state.authenticator = HeaderAuthenticator()
    app.include_router(router, prefix="/api/v1")
    http.install(app)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test/api/v1") as opened:
        await fill(opened)
        yield opened


async def fill(client: httpx.AsyncClient) -> None:
    """Two hours of minutes of AAPL, known by heart."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["time", "open", "high", "low", "close", "volume"])
    for minute in range(120):
        at = T0 + timedelta(minutes=minute)
        price = 100 + minute
        writer.writerow([at.isoformat(), price, price + 2, price - 1, price + 1, 10])
    answer = await client.post(
        "/market-data/import",
        params={"symbol": "AAPL", "timeframe": "1m", "file_name": "aapl.csv"},
        content=out.getvalue().encode(),
        headers=WRITE,
    )
    assert answer.status_code == 201, answer.text
    assert answer.json()["stored"] == 120


READING = [
    "/market-data/instruments",
    "/market-data/instruments/AAPL",
    "/market-data/candles?symbol=AAPL",
    "/market-data/quotes/AAPL",
    "/market-data/quotes?symbol=AAPL",
    "/market-data/trades?symbol=AAPL",
    "/market-data/sources",
]


@pytest.mark.parametrize("path", [*READING, "/market-data/quarantine"])
async def test_anonymous_callers_are_told_to_log_in(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize("path", READING)
async def test_readers_may_read(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path, headers=READ)).status_code == 200
    assert (await client.get(path, headers={"x-test-may": ""})).status_code == 403


async def test_readers_may_not_write(client: httpx.AsyncClient) -> None:
    answers = [
        await client.post("/market-data/import?symbol=AAPL", content=b"x", headers=READ),
        await client.put("/market-data/instruments/AAPL", json={}, headers=READ),
        await client.get("/market-data/quarantine", headers=READ),
    ]
    assert [answer.status_code for answer in answers] == [403, 403, 403]


async def get(client: httpx.AsyncClient, path: str, **params: Any) -> Any:
    answer = await client.get(f"/market-data/{path}", params=params, headers=READ)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_candles_come_in_pages_without_gap_or_repeat(client: httpx.AsyncClient) -> None:
    for order in ("asc", "desc"):
        seen: list[str] = []
        cursor: str | None = None
        while True:
            params = {"symbol": "AAPL", "timeframe": "1m", "limit": 7, "order": order}
            page = await get(client, "candles", **params, **({"cursor": cursor} if cursor else {}))
            assert len(page["items"]) <= 7
            seen += [one["starts_at"] for one in page["items"]]
            if (cursor := page["next"]) is None:
                break
        assert len(seen) == 120
        assert seen == sorted(set(seen), reverse=order == "desc")


async def test_a_span_includes_its_start_and_not_its_end(client: httpx.AsyncClient) -> None:
    page = await get(
        client,
        "candles",
        symbol="AAPL",
        timeframe="1m",
        start="2024-01-01T00:10:00Z",
        end="2024-01-01T01:12:00+01:00",
    )
    assert page == {
        "items": [
            {
                "starts_at": f"2024-01-01T00:{minute}:00Z",
                "open": str(100 + minute),
                "high": str(102 + minute),
                "low": str(99 + minute),
                "close": str(101 + minute),
                "volume": "10",
            }
            for minute in (10, 11)
        ],
        "next": None,
    }


@pytest.mark.parametrize(
    ("timeframe", "count", "first"),
    [
        ("5m", 24, ("100", "106", "99", "105", "50")),
        ("1h", 2, ("100", "161", "99", "160", "600")),
        ("1d", 1, ("100", "221", "99", "220", "1200")),
        ("1w", 1, ("100", "221", "99", "220", "1200")),
        ("1mo", 1, ("100", "221", "99", "220", "1200")),
    ],
)
async def test_what_is_not_stored_is_made_of_what_is(
    client: httpx.AsyncClient, timeframe: str, count: int, first: tuple[str, ...]
) -> None:
    candles: list[dict[str, str]] = []
    cursor: str | None = None
    while True:
        page = await get(
            client,
            "candles",
            symbol="AAPL",
            timeframe=timeframe,
            limit=5,
            **({"cursor": cursor} if cursor else {}),
        )
        candles += page["items"]
        if (cursor := page["next"]) is None:
            break
    assert len(candles) == count
    start = candles[0]
    assert (start["open"], start["high"], start["low"], start["close"], start["volume"]) == first
    newest = await get(client, "candles", symbol="AAPL", timeframe=timeframe, limit=1, order="desc")
    assert newest["items"] == [candles[-1]]


async def test_a_span_that_cuts_candles_gives_only_whole_ones(client: httpx.AsyncClient) -> None:
    page = await get(
        client,
        "candles",
        symbol="AAPL",
        timeframe="5m",
        start="2024-01-01T00:02:00Z",
        end="2024-01-01T00:11:00Z",
    )
    assert [(one["starts_at"], one["volume"]) for one in page["items"]] == [
        ("2024-01-01T00:05:00Z", "50"),
        ("2024-01-01T00:10:00Z", "50"),
    ]


REFUSED = [
    ("candles", {"symbol": "NOPE"}, 404, "unknown_instrument"),
    ("candles", {"symbol": "a\0b"}, 404, "unknown_instrument"),
    ("candles", {"symbol": "AAPL", "timeframe": "7m"}, 422, "unknown_timeframe"),
    ("candles", {"symbol": "AAPL", "start": "2024-01-01T00:00:00"}, 422, "invalid_time_range"),
    ("candles", {"symbol": "AAPL", "start": "0001-01-01T00:00:00Z"}, 422, "invalid_time_range"),
    ("candles", {"symbol": "AAPL", "end": "9999-12-31T23:59:59Z"}, 422, "invalid_time_range"),
    (
        "candles",
        {"symbol": "AAPL", "start": "2024-01-02T00:00:00Z", "end": "2024-01-01T00:00:00Z"},
        422,
        "invalid_time_range",
    ),
    ("candles", {"symbol": "AAPL", "cursor": "%%%"}, 422, "bad_cursor"),
    ("candles", {"symbol": "AAPL", "cursor": http.encode_cursor(10**40)}, 422, "bad_cursor"),
    ("candles", {"symbol": "AAPL", "limit": 0}, 422, "invalid_request"),
    ("candles", {}, 422, "invalid_request"),
    ("trades", {"symbol": "AAPL", "cursor": http.encode_cursor(1, 2)}, 422, "bad_cursor"),
    ("instruments", {"cursor": http.encode_cursor("a\0")}, 422, "bad_cursor"),
    ("instruments/NOPE", {}, 404, "unknown_instrument"),
    ("quotes/NOPE", {}, 404, "unknown_instrument"),
    ("quotes/MSFT", {}, 404, "no_quote_yet"),
]


@pytest.mark.parametrize(("path", "params", "status", "code"), REFUSED)
async def test_bad_requests_get_a_problem_with_its_code(
    client: httpx.AsyncClient, path: str, params: dict[str, Any], status: int, code: str
) -> None:
    answer = await client.get(f"/market-data/{path}", params=params, headers=READ)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_quote_says_how_it_is_known(client: httpx.AsyncClient, services: Services) -> None:
    stored = await get(client, "quotes/AAPL")
    assert (stored["last"], stored["bid"], stored["is_live"]) == ("220", None, False)
    pipeline = FeedPipeline(services, "test")
    now_ns = services.clock.now_ns()
    await pipeline.ingest(
        "ETH-USD",
        [
            Quote(now_ns, Decimal("3000.10"), Decimal("3000.20"), Decimal(1), None),
            Trade(now_ns + 1_000, Decimal("3000.20"), Decimal("0.5"), "BUY"),
            Trade(now_ns + 1_000, Decimal("3000.20"), Decimal("0.5"), "BUY"),
            Trade(now_ns + 2_000, Decimal("3000.10"), Decimal("0.7"), "SELL"),
        ],
    )
    await pipeline.finish()
    await services.bus.ping()
    fresh = await get(client, "quotes/ETH-USD")
    assert (fresh["bid"], fresh["ask"], fresh["last"]) == ("3000.1", "3000.2", "3000.1")
    first = await get(client, "trades", symbol="ETH-USD", limit=2)
    assert [one["size"] for one in first["items"]] == ["0.5", "0.5"]
    rest = await get(client, "trades", symbol="ETH-USD", limit=2, cursor=first["next"])
    assert [(one["size"], one["side"]) for one in rest["items"]] == [("0.7", "SELL")]
    assert rest["next"] is None
    backwards = await get(client, "trades", symbol="ETH-USD", order="desc")
    assert [one["size"] for one in backwards["items"]] == ["0.7", "0.5", "0.5"]
    (quoted,) = (await get(client, "quotes", symbol="ETH-USD"))["items"]
    assert (quoted["bid"], quoted["ask"], quoted["source"]) == ("3000.1", "3000.2", "test")
    assert (quoted["bid_size"], quoted["ask_size"]) == ("1", None)
    assert await get(client, "quotes", symbol="ETH-USD", end=quoted["at"]) == {
        "items": [],
        "next": None,
    }


async def test_instruments_are_listed_searched_made_and_changed(client: httpx.AsyncClient) -> None:
    first = await get(client, "instruments", limit=2)
    assert [one["symbol"] for one in first["items"]] == ["AAPL", "BTC-USD"]
    second = await get(client, "instruments", limit=2, cursor=first["next"])
    assert [one["symbol"] for one in second["items"]] == ["ETH-USD", "EUR-USD"]
    found = await get(client, "instruments", search="bitco")
    assert [one["symbol"] for one in found["items"]] == ["BTC-USD"]
    body = {
        "name": "Tesla",
        "asset_class": "EQUITY",
        "base": "TSLA",
        "quote": "USD",
        "tick_size": "0.01",
        "lot_size": "1",
    }
    path = "/market-data/instruments/TSLA"
    made = await client.put(path, json=body, headers=WRITE)
    assert (made.status_code, made.json()["calendar"]) == (200, "ALWAYS")
    changed = await client.put(path, json={**body, "tradable": False}, headers=WRITE)
    assert changed.json()["tradable"] is False
    assert (await get(client, "instruments/TSLA"))["tradable"] is False
    for bad in (
        {"tick_size": "0"},
        {"lot_size": "0.000000001"},
        {"tick_size": "NaN"},
        {"base": "USD"},
        {"calendar": "x'y"},
        {"name": "a\0b"},
    ):
        refused = await client.put(path, json={**body, **bad}, headers=WRITE)
        assert refused.status_code == 422, bad
    assert (await client.put("/market-data/instruments/ts%20la", json=body, headers=WRITE)).json()[
        "code"
    ] == "invalid_instrument"


async def test_an_upload_says_what_became_of_each_row(client: httpx.AsyncClient) -> None:
    content = b"time,bid,ask\n2024-01-01T00:00:00Z,1,2\n2024-01-01T00:00:01Z,3,2\n"
    answer = await client.post(
        "/market-data/import", params={"symbol": "SPY"}, content=content, headers=WRITE
    )
    result = answer.json()
    assert (answer.status_code, result["accepted"]) == (201, 1)
    assert result["quarantined"] == {"crossed_quote": 1}
    listed = await client.get(
        "/market-data/quarantine", params={"import_id": result["id"]}, headers=WRITE
    )
    (row,) = listed.json()["items"]
    assert (row["row_number"], row["raw"]) == (2, "2024-01-01T00:00:01Z,3,2")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "file_not_readable"),
        (b"\x00\x01\x02", "file_not_readable"),
        (b"PAR1 and nothing else", "file_not_readable"),
        (b"time,open,high,low,close\n", "file_not_readable"),
        (b"a,b\n1,2\n", "columns_not_recognised"),
        (b"time,bid,ask\n2024-01-01 00:00:00,1,2\n", "timezone_required"),
        (b"time,bid,ask\n03/04/2024,1,2\n", "times_not_understood"),
        (b"time,bid,ask\n" + b"1" * 400_000 + b",1,2\n", "file_too_large"),
    ],
)
async def test_uploads_that_cannot_be_read_are_refused(
    client: httpx.AsyncClient, content: bytes, code: str
) -> None:
    answer = await client.post(
        "/market-data/import",
        params={"symbol": "SPY", "timeframe": "1m"},
        content=content,
        headers=WRITE,
    )
    assert (answer.status_code, answer.json()["code"]) == (422, code)
