"""The product with a worker, a user, and a dataset that was uploaded as users do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from alphintra.cli.worker import run_worker
from tests.gateway.product import Person, Product, product_settings, running_product

API = "/api/v1"
#: A kernel that was changed is compiled by the first run that needs it.
DEADLINE_S = 300


@dataclass(frozen=True)
class Lab:
    """A running product with a worker, and one user's dataset in it."""

    product: Product
    owner: Person
    dataset_id: str

    async def call(
        self, method: str, path: str, *, person: Person | None = None, **more: Any
    ) -> httpx.Response:
        headers = {**(person or self.owner).headers, **more.pop("headers", {})}
        return await self.product.client.request(method, f"{API}{path}", headers=headers, **more)

    def order(self, **changes: Any) -> dict[str, Any]:
        """A backtest of the library's moving averages."""
        return {
            "strategy": "sma_cross",
            "dataset_ids": [self.dataset_id],
            "parameters": {"fast": 5, "slow": 20},
            "costs": {"rate": 0.001},
            "cash": 100_000,
            **changes,
        }

    async def started(self, **changes: Any) -> str:
        answer = await self.call("POST", "/backtests", json=self.order(**changes))
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def over(self, run_id: str, *, kind: str = "backtests") -> dict[str, Any]:
        """Wait until a run is over and return it."""
        return await self.until(
            run_id, lambda run: run["status"] not in {"QUEUED", "RUNNING"}, kind=kind
        )

    async def until(
        self, run_id: str, is_so: Callable[[dict[str, Any]], bool], *, kind: str = "backtests"
    ) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                answer = await self.call("GET", f"/{kind}/{run_id}")
                run: dict[str, Any] = answer.json()
                if is_so(run):
                    return run
                await asyncio.sleep(0.1)


def candles(count: int = 3_000) -> str:
    """A year of a market with a few trends, minute by minute of it left out."""
    lines = ["timestamp,open,high,low,close,volume"]
    price = 10_000
    for hour in range(count):
        drift = 9 if (hour // 150) % 2 == 0 else -8
        wiggle = (hour * 7_919) % 41 - 20
        closing = max(1_000, price + drift + wiggle)
        high, low = max(price, closing) + 10, min(price, closing) - 10
        seconds = 1_672_531_200 + hour * 3_600
        lines.append(
            f"{seconds},{price / 100:.2f},{high / 100:.2f},{low / 100:.2f},{closing / 100:.2f},1000"
        )
        price = closing
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
async def lab(
    database_url: str, bus_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Lab]:
    folder: Path = tmp_path_factory.mktemp("objects")
    settings = product_settings(
        database_url,
        bus_url,
        objects_url=folder.as_uri(),
        rate_limit_backtests="100000/minute",
    )
    stop = asyncio.Event()
    async with running_product(settings) as product:
        worker = asyncio.create_task(run_worker(product.services, stop))
        owner = await product.person("quant")
        answer = await product.client.post(
            f"{API}/datasets/upload",
            headers=owner.headers,
            files={"file": ("acme.csv", candles().encode(), "text/csv")},
            data={"symbol": "ACME", "timezone": "UTC"},
        )
        assert answer.status_code == 201, answer.text
        yield Lab(product, owner, answer.json()["id"])
        stop.set()
        await worker
