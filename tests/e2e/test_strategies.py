"""A strategy's whole way: from a template over blocks or code and a backtest to paper, and back.

The market is a recorded day, played at high speed behind the imported days before it.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.e2e.conftest import Up

#: The days before it are imported; this one is played.
DAY = datetime(2013, 10, 10, tzinfo=UTC)
#: A minute passes in a fifth of a second.
SPEED = 300
#: On a machine that is busy with other tests everything takes long; nothing here is a measurement.
PATIENCE_S = 240.0
CAPITAL = 20_000
PASSWORD = "a quiet harbour in October"


@dataclass(frozen=True)
class Market:
    """An instrument with a past, and the file of the day that comes."""

    symbol: str
    next_day: Path


@dataclass
class Trader:
    """Somebody who signed up."""

    http: httpx.AsyncClient

    async def ask(self, method: str, path: str, body: object = None, code: int = 200) -> Any:
        answer = await self.http.request(method, path, json=body)
        assert answer.status_code == code, (method, path, answer.status_code, answer.text)
        return answer.json()

    async def items(self, path: str) -> list[dict[str, Any]]:
        return list((await self.ask("GET", path))["items"])

    async def until(
        self,
        path: str,
        holds: Callable[[dict[str, Any]], bool],
        about: Callable[[], Awaitable[Any]],
    ) -> dict[str, Any]:
        """Ask again until something holds; `about` says more where it never does."""
        give_up_s = time.monotonic() + PATIENCE_S
        while True:
            seen: dict[str, Any] = await self.ask("GET", path)
            if holds(seen):
                return seen
            assert time.monotonic() < give_up_s, (seen, await about())
            await asyncio.sleep(0.2)


@pytest.fixture(scope="module")
def bank(up: Up, market_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Market:
    """A symbol that only these tests trade: what others replay does not disturb it."""
    table = pq.read_table(market_data_dir / "us_intraday" / "BAC_1m_lean.parquet")
    folder = tmp_path_factory.mktemp("bank")
    past, next_day = folder / "past.parquet", folder / "next_day.parquet"
    is_past = pc.less(table["ts"], DAY)
    is_next = pc.and_(
        pc.greater_equal(table["ts"], DAY), pc.less(table["ts"], DAY + timedelta(days=1))
    )
    pq.write_table(table.filter(is_past), past)
    pq.write_table(table.filter(is_next), next_day)
    data = ("--data", str(up.data_dir))
    up.cli("market", "add", "BAC", "--name", "Bank of America", "--calendar", "ALWAYS", *data)
    up.cli("market", "import", str(past), "--symbol", "BAC", "--timeframe", "1m", *data)
    return Market("BAC", next_day)


@pytest.fixture
async def trader(up: Up) -> Any:
    async with httpx.AsyncClient(base_url=f"{up.url}/api/v1", timeout=PATIENCE_S) as http:
        login = {"email": f"{uuid4().hex}@example.org", "password": PASSWORD}
        assert (await http.post("/auth/register", json=login)).status_code == 201
        token = (await http.post("/auth/login", json=login)).json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        yield Trader(http)


async def test_blocks_from_a_template_to_a_passed_certificate(
    up: Up, bank: Market, trader: Trader
) -> None:
    made = await trader.ask("POST", "/strategies", {"template": "blocks_average_cross"}, 201)
    blocks = made["blocks"]
    for parameter, default in zip(blocks["parameters"], (3, 8), strict=True):
        parameter["default"] = default
    (size,) = (one for one in blocks["blocks"] if one["kind"] == "size_percent")
    size["parameters"]["percent"] = 40.0
    verdict = await trader.ask("POST", "/blocks/validate", blocks)
    assert verdict["faults"] == []
    changed = await trader.ask(
        "PUT", f"/strategies/{made['id']}", {"blocks": blocks, "revision": made["revision"]}
    )
    python = await trader.ask("GET", f"/strategies/{made['id']}/python")
    assert "(Strategy):" in python["source"]
    assert "param(3, 2, 200" in python["source"]
    # The Python of it, edited in one place, is the edited graph.
    edited = python["source"].replace("param(8, 3, 400", "param(9, 3, 400")
    again = await trader.ask(
        "PUT", f"/strategies/{made['id']}", {"code": edited, "revision": changed["revision"]}
    )
    assert again["blocks"]["parameters"][1]["default"] == 9
    await backtested(trader, bank, made["id"])
    await lives_and_is_certified(up, bank, trader, made["id"], parameters={})


async def test_code_from_a_template_to_a_passed_certificate(
    up: Up, bank: Market, trader: Trader
) -> None:
    made = await trader.ask("POST", "/strategies", {"template": "trend_following"}, 201)
    code = made["code"].replace("slow = param(100, 10, 400", "slow = param(100, 5, 400")
    code = code.replace("self.target_weight(self.share,", "self.target_weight(0.4 * self.share,")
    check = await trader.ask("POST", "/code/check", {"source": code})
    assert check["ok"], check["findings"]
    change = {"code": code, "revision": made["revision"]}
    await trader.ask("PUT", f"/strategies/{made['id']}", change)
    await backtested(trader, bank, made["id"])
    await lives_and_is_certified(
        up, bank, trader, made["id"], parameters={"fast": 3, "slow": 8, "ranges": 2.0}
    )


async def backtested(trader: Trader, bank: Market, strategy_id: str) -> None:
    """It trades over what the platform has recorded."""
    dataset = await trader.http.post(
        "/datasets/record",
        json={
            "symbol": bank.symbol,
            "kind": "candles",
            "timeframe": "1m",
            "start": (DAY - timedelta(days=7)).isoformat(),
            "end": DAY.isoformat(),
        },
    )
    assert dataset.status_code in {200, 201}, dataset.text
    wanted = {"dataset_ids": [dataset.json()["id"]], "cash": CAPITAL}
    run = await trader.ask("POST", f"/strategies/{strategy_id}/backtest", wanted, 202)
    path = f"/backtests/{run['id']}"
    done = await trader.until(
        path,
        lambda one: one["status"] not in {"QUEUED", "RUNNING"},
        lambda: trader.ask("GET", path),
    )
    assert done["status"] == "SUCCEEDED", done["error"]
    assert done["total_trades"] > 0


async def lives_and_is_certified(
    up: Up, bank: Market, trader: Trader, strategy_id: str, parameters: dict[str, Any]
) -> None:
    """It is deployed, sees the day go by, trades, is liquidated, and its day is certified."""
    wanted = {
        "symbols": [bank.symbol],
        "timeframe": "1m",
        "capital": str(CAPITAL),
        "warmup": 500,
        "parameters": parameters,
        "missed_candles": "TRADE",
    }
    deployed = await trader.ask("POST", f"/strategies/{strategy_id}/deploy", wanted, 202)
    path = f"/deployments/{deployed['id']}"

    async def log() -> Any:
        return await trader.ask("GET", f"{path}/logs?limit=100")

    await trader.until(path, lambda one: one["status"] == "RUNNING", log)
    playing = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alphintra", "market", "replay", str(bank.next_day),
        "--symbol", bank.symbol, "--timeframe", "1m", "--speed", str(SPEED),
        "--data", str(up.data_dir),
        env=up.environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        await trader.until(path, lambda one: one["fills"] >= 3, log)
        await trader.ask("POST", f"{path}/liquidate", code=202)
        ended = await trader.until(path, lambda one: one["status"] in {"STOPPED", "FAILED"}, log)
    finally:
        if playing.returncode is None:
            playing.terminate()
        output, errors = await playing.communicate()
        assert playing.returncode in {0, -15, 143}, (output, errors)
    assert ended["status"] == "STOPPED", (ended, await log())
    assert all(one["quantity"] == "0" for one in ended["positions"])
    await adds_up(trader, path, ended)
    asked = await trader.ask(
        "POST", f"{path}/certificates", {"day": datetime.now(UTC).date().isoformat()}, 202
    )
    found = await trader.until(
        f"{path}/certificates",
        lambda page: any(
            one["day"] == asked["day"] and one["verdict"] != "PENDING" for one in page["items"]
        ),
        log,
    )
    certificate = found["items"][0]
    assert certificate["verdict"] == "PASSED", certificate
    assert certificate["fills"] >= 3


async def adds_up(trader: Trader, path: str, ended: dict[str, Any]) -> None:
    """The deployment's money is what its orders' fills add up to, and each has its reason."""
    orders = await trader.items(f"{path}/orders?limit=100")
    signals = {one["id"]: one for one in await trader.items(f"{path}/signals?limit=100")}
    cash = Decimal(CAPITAL)
    for order in orders:
        assert order["signal_id"] in signals
        if order["average_fill_price"] is None:
            continue
        value = Decimal(order["average_fill_price"]) * Decimal(order["filled_quantity"])
        cash += (value if order["side"] == "SELL" else -value) - Decimal(order["fees"])
    # An average price is rounded to eight places, each fill by itself is not.
    assert abs(Decimal(ended["cash"]) - cash) < Decimal("0.001")
    decided = [one for one in signals.values() if one["origin"] == "STRATEGY"]
    assert decided
    assert all(one["candle_at"] for one in decided)
