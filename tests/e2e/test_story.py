"""The whole story: sign up, trade a recorded day of SPY, see the fills, add up the money."""

import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from websockets.asyncio.client import connect

from tests.e2e.conftest import Up

DAY = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)
MINUTES = 390
#: A minute passes in half a second; the trading below needs a few dozen of the 390.
SPEED = 120
#: On a machine that is busy with other tests everything takes long; nothing here is a measurement.
PATIENCE_S = 120
START_CASH = Decimal(100_000)
ZERO = Decimal(0)
#: What rounding an average to eight places may make of a hundred units.
EXACT_ENOUGH = Decimal("0.00001")
PASSWORD = "a quiet harbour in October"


@dataclass
class Trader:
    """Somebody who signed up, with what the stream has told so far."""

    http: httpx.AsyncClient
    token: str
    fills: list[dict[str, Any]] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def order(self, **terms: object) -> dict[str, Any]:
        """Place an order; the id makes it one however often it is sent."""
        body = {"symbol": "SPY", "client_order_id": str(uuid4()), **terms}
        first = await self.http.post("/orders", json=body)
        assert first.status_code == 201, first.text
        again = await self.http.post("/orders", json=body)
        assert again.json()["id"] == first.json()["id"]
        return dict(first.json())

    async def get(self, path: str) -> Any:
        answer = await self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def until_filled(self, *order_ids: str) -> None:
        """Wait until the stream has told that all of these are filled, and every fill of them.

        Orders and fills are two channels: each is in order, but neither waits for the other.
        """
        async with asyncio.timeout(PATIENCE_S):
            while not set(order_ids) <= self.filled():
                self.news.clear()
                await self.news.wait()

    def filled(self) -> set[str]:
        """The orders that are filled, and of which every fill was heard."""
        heard: defaultdict[str, Decimal] = defaultdict(Decimal)
        for fill in self.fills:
            heard[fill["order_id"]] += Decimal(fill["quantity"])
        return {
            event["order_id"]
            for event in self.orders
            if event["event_type"] == "FILLED"
            and heard[event["order_id"]] == Decimal(event["quantity"])
        }


@dataclass
class Book:
    """The books kept by hand: average cost, cash and profit out of nothing but the fills."""

    cash: Decimal = START_CASH
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO

    def add(self, fill: dict[str, Any]) -> None:
        quantity, price, fee = (Decimal(fill[name]) for name in ("quantity", "price", "fee"))
        self.realized -= fee
        self.cash -= fee
        if fill["side"] == "BUY":
            self.quantity += quantity
            self.cost += quantity * price
            self.cash -= quantity * price
        else:
            part = self.cost * quantity / self.quantity
            self.realized += quantity * price - part
            self.cost -= part
            self.quantity -= quantity
            self.cash += quantity * price


@pytest.fixture(scope="module")
def session_file(market_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The minutes of one regular session, as they were recorded."""
    table = pq.read_table(market_data_dir / "us_intraday" / "SPY_1m_lean.parquet")
    inside = pc.and_(
        pc.greater_equal(table["ts"], DAY),
        pc.less(table["ts"], DAY + timedelta(minutes=MINUTES)),
    )
    path = tmp_path_factory.mktemp("day") / "SPY_2013-10-07.parquet"
    pq.write_table(table.filter(inside), path)
    assert pq.read_metadata(path).num_rows == MINUTES
    return path


@asynccontextmanager
async def signed_up(up: Up) -> AsyncIterator[Trader]:
    """Register and log in by HTTP, and listen to the stream from then on."""
    email = f"{uuid4().hex}@example.org"
    async with httpx.AsyncClient(base_url=f"{up.url}/api/v1", timeout=PATIENCE_S) as http:
        made = await http.post("/auth/register", json={"email": email, "password": PASSWORD})
        assert made.status_code == 201, made.text
        login = await http.post("/auth/login", json={"email": email, "password": PASSWORD})
        assert login.status_code == 200, login.text
        token = login.json()["access_token"]
        assert set(login.json()) >= {"access_token", "refresh_token", "token_type", "expires_in"}
        http.headers["Authorization"] = f"Bearer {token}"
        trader = Trader(http=http, token=token)
        listening = asyncio.create_task(listen(up, trader))
        try:
            yield trader
        finally:
            listening.cancel()
            results = await asyncio.gather(listening, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result


async def listen(up: Up, trader: Trader) -> None:
    """Follow orders and fills; every message has to be the next one."""
    stream = up.url.replace("http", "ws", 1) + "/api/v1/stream"
    sequence: dict[str, int] = {}
    heard = {"orders": trader.orders, "fills": trader.fills}
    async with connect(
        stream, additional_headers={"Authorization": f"Bearer {trader.token}"}
    ) as socket:
        for channel in heard:
            await socket.send(json.dumps({"op": "subscribe", "channel": channel}))
        async for text in socket:
            message = json.loads(text)
            assert message["type"] != "error", message
            if message.get("channel") not in heard:
                continue
            channel = message["channel"]
            assert message["type"] in {"snapshot", "update"}, message
            if message["type"] == "update":
                assert message["seq"] == sequence[channel] + 1, message
                heard[channel].append(message["data"])
            sequence[channel] = message["seq"]
            trader.news.set()


@asynccontextmanager
async def replaying(up: Up, file: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Replay the file by the command that a person would use."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alphintra", "market", "replay", str(file),
        "--symbol", "SPY", "--timeframe", "1m", "--speed", str(SPEED), "--data", str(up.data_dir),
        env=up.environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        output, errors = await process.communicate()
        assert process.returncode in {0, -15, 143}, (output, errors)


async def price_of_that_day(trader: Trader, low: Decimal, high: Decimal) -> None:
    """Wait until the replayed day has taken over from the simulator."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            quote = await trader.get("/market-data/quotes/SPY")
            if low <= Decimal(quote["last"] or 0) <= high:
                return
            await asyncio.sleep(0.05)


async def test_from_sign_up_to_profit_and_loss(up: Up, session_file: Path) -> None:
    bars = pq.read_table(session_file)
    low = Decimal(str(pc.min(bars["low"]).as_py()))
    high = Decimal(str(pc.max(bars["high"]).as_py()))
    async with signed_up(up) as trader, replaying(up, session_file) as replay:
        await price_of_that_day(trader, low, high)
        bought = await trader.order(side="BUY", type="MARKET", quantity="100")
        await trader.until_filled(bought["id"])
        more = await trader.order(side="BUY", type="MARKET", notional="5000")
        patient = await trader.order(
            side="SELL", type="LIMIT", quantity="40", price=str(low), time_in_force="GTC"
        )
        never = await trader.order(
            side="BUY", type="LIMIT", quantity="10", price=str(low - 10), time_in_force="GTC"
        )
        await trader.until_filled(more["id"], patient["id"])
        gone = await trader.http.delete(f"/orders/{never['id']}")
        assert gone.json()["status"] == "CANCELED"
        stop = await trader.order(side="SELL", type="STOP", quantity="10", stop_price=str(high))
        await trader.until_filled(stop["id"])
        await reconcile(up, trader, low=low, high=high)
        closed = await trader.http.delete("/positions/SPY")
        assert closed.is_success, closed.text
        await trader.until_filled(closed.json()["id"])
        book = await reconcile(up, trader, low=low, high=high)
        assert book.quantity == 0
        assert replay.returncode is None, "the day was over before the trading was"


async def reconcile(up: Up, trader: Trader, *, low: Decimal, high: Decimal) -> Book:
    """Compare what the platform says with what the fills on the stream add up to."""
    book = Book()
    for fill in trader.fills:
        assert low <= Decimal(fill["price"]) <= high
        book.add(fill)
    trades = (await trader.get("/trades"))["items"]
    assert {trade["id"] for trade in trades} == {fill["trade_id"] for fill in trader.fills}

    positions = (await trader.get("/positions"))["items"]
    held = {one["symbol"]: one for one in positions}.get("SPY")
    assert (held is None) == (book.quantity == 0)
    if held is not None:
        assert Decimal(held["quantity"]) == book.quantity
        assert abs(Decimal(held["average_price"]) - book.cost / book.quantity) < EXACT_ENOUGH

    portfolio = await trader.get("/portfolio")
    assert Decimal(portfolio["cash"]) == book.cash
    assert abs(Decimal(portfolio["realized_pnl"]) - book.realized) < EXACT_ENOUGH
    if held is None:
        assert Decimal(portfolio["equity"]) == book.cash
        assert abs(book.cash - START_CASH - book.realized) < EXACT_ENOUGH
    with psycopg.connect(up.occupant.database_url.replace("+psycopg", "")) as connection:
        sums = connection.execute("SELECT asset, sum(balance) FROM assets.accounts GROUP BY asset")
        assert {asset: total for asset, total in sums if total} == {}
    return book
