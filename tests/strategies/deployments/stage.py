"""The product with deployments at work, and a market in the test's hand.

The market speaks on the bus as any feed does: each minute a quote and a closed candle of ETH-USD,
with times of the recent past, as fast as the test goes.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar

import httpx

from alphintra import market, strategies
from alphintra.cli.worker import run_worker
from alphintra.core.clock import NS_PER_SECOND
from alphintra.core.market_data import Bar, Quote
from alphintra.platform.settings import Settings
from tests.gateway.product import Person, Product, running_product

API: Final = "/api/v1"
SYMBOL: Final = "ETH-USD"
MINUTE_NS: Final = 60 * NS_PER_SECOND
#: Others use the machine too.
DEADLINE_S: Final = 180
MINUTES: Final = 2_000
T = TypeVar("T")

#: In and out, one unit, at every candle; says why, and writes a line.
ALTERNATE: Final = """
from alphintra.sdk import Strategy, param


class Alternate(Strategy):
    size = param(1.0, low=0.1, high=5.0)

    def setup(self):
        self.mean = self.indicator("SMA", timeperiod=3)

    def on_bar(self, bar):
        if self.position().quantity:
            self.close(tag="out")
        else:
            self.buy(self.size, tag="in")

    def on_fill(self, fill):
        self.log(f"{fill.side} {fill.quantity} at {fill.price}")
"""


def price_of(minute: int) -> Decimal:
    """Return where the market closes a minute: up and down by a few percent."""
    return Decimal(3_000) + Decimal((minute * 37) % 100) / 2 - 25


@dataclass(slots=True)
class Market:
    """A feed of one symbol that goes on when it is told to."""

    pipeline: market.FeedPipeline
    first_ns: int
    minute: int = 0

    async def go(self, minutes: int = 1, *, pause_s: float = 0.0) -> None:
        """Let so many minutes pass: in each a quote, then the candle that it ends with."""
        for _ in range(minutes):
            await self.quote()
            await self.close(SYMBOL)
            self.minute += 1
            await asyncio.sleep(pause_s)

    async def close(self, *symbols: str) -> None:
        """Close this minute's candle of some symbols; the minute goes on."""
        price = price_of(self.minute)
        open_ns = self.first_ns + self.minute * MINUTE_NS
        candle = Bar(open_ns, "1m", price, price + 1, price - 1, price, Decimal(100))
        for symbol in symbols:
            await self.pipeline.ingest(symbol, [candle])

    async def quote(self, price: Decimal | None = None, *, symbol: str = SYMBOL) -> None:
        """Quote at a price, by default where the minute closes."""
        at = price_of(self.minute) if price is None else price
        close_ns = self.first_ns + (self.minute + 1) * MINUTE_NS - 1
        await self.pipeline.ingest(
            symbol, [Quote(close_ns, at - 1, at + 1, Decimal(1_000), Decimal(1_000))]
        )


@dataclass(slots=True)
class StageClock:
    """The clock of the supervisor and of the worker: the machine's, moved by a test."""

    ahead: timedelta = timedelta(0)

    def now_ns(self) -> int:
        return time.time_ns() + round(self.ahead.total_seconds()) * NS_PER_SECOND


@dataclass
class Stage:
    """A running product, a user with a strategy, and the market."""

    product: Product
    owner: Person
    market: Market
    strategy_id: str
    clock: StageClock
    others: list[asyncio.Task[None]] = field(default_factory=list)

    async def call(
        self, method: str, path: str, *, person: Person | None = None, **more: Any
    ) -> httpx.Response:
        headers = {**(person or self.owner).headers, **more.pop("headers", {})}
        # The first check of code starts the processes that such checks run in.
        more.setdefault("timeout", 2 * DEADLINE_S)
        return await self.product.client.request(method, f"{API}{path}", headers=headers, **more)

    async def write(self, code: str, *, name: str = "Tested") -> str:
        """Make a strategy and return its id."""
        answer = await self.call(
            "POST", "/strategies", json={"name": name, "type": "CODE_BASED", "code": code}
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def deploy(self, strategy_id: str | None = None, **changes: Any) -> str:
        """Deploy a strategy and return the deployment's id."""
        body = {
            "symbols": [SYMBOL],
            "timeframe": "1m",
            "capital": "50000",
            "warmup": 20,
            "missed_candles": "TRADE",
            **changes,
        }
        path = f"/strategies/{strategy_id or self.strategy_id}/deploy"
        async with asyncio.timeout(2 * DEADLINE_S):
            # 503: kernels that were changed are compiled before code is checked.
            while (answer := await self.call("POST", path, json=body)).status_code == 503:  # noqa: ASYNC110
                await asyncio.sleep(1)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def tell(self, deployment_id: str, what: str) -> dict[str, Any]:
        """Pause, resume, stop or liquidate a deployment."""
        answer = await self.call("POST", f"/deployments/{deployment_id}/{what}")
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def show(self, deployment_id: str) -> dict[str, Any]:
        answer = await self.call("GET", f"/deployments/{deployment_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def items(self, path: str) -> list[dict[str, Any]]:
        """Return all items of a list."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            answer = await self.call(
                "GET", path, params={"limit": 500, **({"cursor": cursor} if cursor else {})}
            )
            assert answer.status_code == 200, answer.text
            body = answer.json()
            found += body["items"]
            cursor = body["next"]
            if cursor is None:
                return found

    async def signals(self, deployment_id: str) -> list[dict[str, Any]]:
        """Return the signals of a deployment, the oldest first."""
        return (await self.items(f"/deployments/{deployment_id}/signals"))[::-1]

    async def log(self, deployment_id: str) -> str:
        """Return the log of a deployment as text."""
        lines = (await self.items(f"/deployments/{deployment_id}/logs"))[::-1]
        return "\n".join(f"{one['kind']} {one['message']}" for one in lines)

    async def until(
        self, deployment_id: str, is_so: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        """Wait until a deployment is as wanted; tell its log when it does not come to that."""
        seen: dict[str, Any] = {}
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    seen = await self.show(deployment_id)
                    if is_so(seen):
                        return seen
                    if seen["status"] == "FAILED":
                        break
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pass
        raise AssertionError(f"{seen}\n{await self.log(deployment_id)}")

    async def running(self, deployment_id: str) -> dict[str, Any]:
        return await self.until(deployment_id, lambda one: one["status"] == "RUNNING")

    async def over(self, deployment_id: str) -> dict[str, Any]:
        return await self.until(deployment_id, lambda one: one["status"] in {"STOPPED", "FAILED"})

    async def filled(self, deployment_id: str, count: int) -> dict[str, Any]:
        """Wait until the deployment has so many fills."""
        return await self.until(deployment_id, lambda one: one["fills"] == count)

    async def ordered(self, deployment_id: str, count: int) -> list[dict[str, Any]]:
        """Wait until the deployment has so many signals, and all are orders; return them."""
        signals: list[dict[str, Any]] = []

        async def is_ordered() -> list[dict[str, Any]]:
            nonlocal signals
            signals = await self.signals(deployment_id)
            if (await self.show(deployment_id))["status"] == "FAILED":
                raise TimeoutError
            return signals if [one["status"] for one in signals] == ["ORDERED"] * count else []

        try:
            return await self.waits_for(is_ordered)
        except TimeoutError:
            log = await self.log(deployment_id)
            raise AssertionError(f"{signals}\n{await self.show(deployment_id)}\n{log}") from None

    async def waits_for(self, is_so: Callable[[], Awaitable[T]]) -> T:
        """Wait until an awaited question has a true answer, and return that.

        Raises:
            TimeoutError: it never had.
        """
        async with asyncio.timeout(DEADLINE_S):
            while True:
                if found := await is_so():
                    return found
                await asyncio.sleep(0.05)

    async def quiet(self, deployment_id: str) -> list[dict[str, Any]]:
        """Wait until all signals have their outcome and all orders their end; return the orders."""

        async def is_quiet() -> bool:
            await self.market.quote()
            signals = await self.signals(deployment_id)
            if any(one["status"] == "PUBLISHED" for one in signals):
                return False
            orders = await self.items(f"/deployments/{deployment_id}/orders")
            return all(one["status"] in {"FILLED", "CANCELED", "REJECTED"} for one in orders)

        await self.waits_for(is_quiet)
        return await self.items(f"/deployments/{deployment_id}/orders")


@asynccontextmanager
async def running_stage(
    settings: Settings, *, supervised: bool = True, worker: bool = True, minutes: int = MINUTES
) -> AsyncIterator[Stage]:
    """Run the product with deployments, a strategy, and a past for its warm-up.

    Args:
        minutes: how many can pass on the market before it is at the present.
    """
    async with running_product(settings) as product:
        services = product.services
        stop = asyncio.Event()
        stop_market = asyncio.Event()
        pipeline = market.FeedPipeline(services, "replay")
        now_ns = services.clock.now_ns()
        first_ns = (now_ns - minutes * MINUTE_NS) // MINUTE_NS * MINUTE_NS
        clock = StageClock()
        elsewhen = replace(services, clock=clock)
        tasks = [asyncio.create_task(pipeline.run(stop_market))]
        if supervised:
            tasks.append(asyncio.create_task(strategies.run_deployments(elsewhen, stop)))
        if worker:
            tasks.append(asyncio.create_task(run_worker(elsewhen, stop)))
        owner = await product.person("quant")
        stage = Stage(product, owner, Market(pipeline, first_ns), "", clock, tasks)
        stage.strategy_id = await stage.write(ALTERNATE)
        await stage.market.go(30)
        try:
            yield stage
        finally:
            stop.set()
            stop_market.set()
            await asyncio.gather(*tasks)
