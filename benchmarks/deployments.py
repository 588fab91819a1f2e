"""Deployed strategies: from a candle on the bus to the signal, the order and the fill on the bus,
with 1, 20 and 100 of them at work on the same candle; and the memory that each needs.

    python benchmarks/deployments.py [COUNT …]

Every strategy trades at every candle, so that all of them want the desk at the same moment: this is
the worst case. The times are those at which a listener on the bus hears of each event.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alphintra.core.market_data import FEED_SUBJECT, Bar, FeedBatch, Quote, encode
from alphintra.platform.bus import Bus
from alphintra.platform.events import Topic, decode_batch
from benchmarks.harness import (
    TOGETHER,
    UNBOUNDED,
    Load,
    Product,
    milliseconds,
    running_product,
)
from tests.strategies.deployments.victims import strategies_below

COUNTS = (1, 20, 100)
USERS = 10
ROUNDS = 25
WARM_UP_ROUNDS = 3
SYMBOL = "BTC-USD"
PRICE = Decimal(90_000)
MINUTE_NS = 60_000_000_000
QUOTE_EVERY_S = 0.005
ROUND_S = 60.0

CODE = """
from alphintra.sdk import Strategy


class Trades(Strategy):
    def setup(self):
        self.mean = self.indicator("SMA", timeperiod=20)

    def on_bar(self, bar):
        if self.position().quantity:
            self.close()
        else:
            self.buy(0.01)
"""


@dataclass
class Heard:
    """What a round has brought: seconds from its candle, by signal."""

    began_s: float = 0.0
    signals: dict[str, float] = field(default_factory=dict)
    orders: dict[str, float] = field(default_factory=dict)
    fills: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        self.signals, self.orders, self.fills = {}, {}, {}
        self.began_s = time.perf_counter()


class Scene:
    """Deployments of one strategy, and a market of one symbol."""

    def __init__(self, product: Product, load: Load, bus: Bus) -> None:
        self._product = product
        self._load = load
        self._bus = bus
        self._sequence = 0
        self._minute = time.time_ns() // MINUTE_NS - 100_000
        self._strategies: dict[str, str] = {}
        self.heard = Heard()

    async def listen(self) -> None:
        """Hear of signals, orders and fills as everybody can."""
        for topic in (Topic.STRATEGY_SIGNALS, Topic.ORDER_EVENTS, Topic.TRADE_EXECUTIONS):
            await self._bus.subscribe(str(topic), self._on_events)

    async def _on_events(self, topic: str, body: bytes) -> None:
        at_s = time.perf_counter() - self.heard.began_s
        for event in decode_batch(body):
            data = json.loads(bytes(event.data))
            if event.type == "strategy_signal.v1":
                self.heard.signals.setdefault(data["signal_id"], at_s)
            elif event.type == "order_event.v1" and data["order"]["signal_id"]:
                self.heard.orders.setdefault(data["order_id"], at_s)
            elif event.type == "trade_execution.v1":
                self.heard.fills.setdefault(data["order_id"], at_s)

    async def _publish(self, *ticks: Quote | Bar) -> None:
        self._sequence += 1
        batch = FeedBatch(
            symbol=SYMBOL, source="benchmark", sequence=self._sequence, ticks=tuple(ticks)
        )
        await self._bus.publish(f"{FEED_SUBJECT}.{SYMBOL}", encode(batch))

    async def quote(self) -> None:
        """Quote the same price; an order at the market fills at it."""
        many = Decimal(10**6)
        await self._publish(Quote(time.time_ns(), PRICE, PRICE + 1, many, many))

    async def deploy(self, number: int) -> None:
        """Put one more strategy to work."""
        trader = self._load.traders[number % USERS]
        client = self._product.client(timeout_s=120)
        if trader.email not in self._strategies:
            body = {"name": "Trades", "type": "CODE_BASED", "code": CODE}
            made = await client.ask(
                "POST", "/api/v1/strategies", token=trader.token, body=json.dumps(body).encode()
            )
            assert made.status == 201, made
            self._strategies[trader.email] = json.loads(made.body)["id"]
        order = {
            "symbols": [SYMBOL],
            "capital": "100000",
            "warmup": 0,
            "missed_candles": "TRADE",
            "limits": {"orders_per_minute": 10_000},
        }
        answer = await client.ask(
            "POST",
            f"/api/v1/strategies/{self._strategies[trader.email]}/deploy",
            token=trader.token,
            body=json.dumps(order).encode(),
        )
        assert answer.status == 202, answer
        client.close()

    async def until_running(self, count: int) -> None:
        """Wait until so many are at work."""
        client = self._product.client()
        async with asyncio.timeout(300):
            while True:
                running = 0
                for trader in self._load.traders[:USERS]:
                    reply = await client.ask(
                        "GET", "/api/v1/deployments?status=RUNNING", token=trader.token
                    )
                    running += len(json.loads(reply.body)["items"])
                if running == count:
                    break
                await asyncio.sleep(0.5)
        client.close()

    async def round(self, count: int) -> bool:
        """Close one candle and wait for the fills of all; say whether they all came."""
        self.heard.begin()
        open_ns = self._minute * MINUTE_NS
        self._minute += 1
        await self._publish(Bar(open_ns, "1m", PRICE, PRICE, PRICE, PRICE, Decimal(1)))
        until_s = time.perf_counter() + ROUND_S
        while len(self.heard.fills) < count and time.perf_counter() < until_s:
            await self.quote()
            await asyncio.sleep(QUOTE_EVERY_S)
        # The strategies hear of their fills before the next candle closes.
        await asyncio.sleep(0.1 + count * 0.01)
        return len(self.heard.fills) >= count


async def measure(scene: Scene, product: Product, count: int, before: int) -> None:
    for number in range(before, count):
        await scene.deploy(number)
    await scene.until_running(count)
    stretches: dict[str, list[float]] = {"signal": [], "order": [], "fill": []}
    whole = 0
    for number in range(WARM_UP_ROUNDS + ROUNDS):
        is_whole = await scene.round(count)
        if number >= WARM_UP_ROUNDS:
            whole += is_whole
            stretches["signal"] += scene.heard.signals.values()
            stretches["order"] += scene.heard.orders.values()
            stretches["fill"] += scene.heard.fills.values()
    told = ", ".join(f"{name} {milliseconds(values)}" for name, values in stretches.items())
    lost = "" if whole == ROUNDS else f"; in {ROUNDS - whole} rounds not all had filled in time"
    print(f"candle to …, {count} strategies: {told}{lost}")
    pid = product.pid("back")
    assert pid is not None
    print(f"memory per strategy, {count} strategies: {memory(strategies_below(pid))}")


def memory(pids: Sequence[int]) -> str:
    """Return what processes need each, in words: alone, and their share of what they share."""
    own = shared = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in {"Private_Dirty", "Private_Clean"}:
                own += int(rest.split()[0])
            elif name == "Pss":
                shared += int(rest.split()[0])
    many = max(1, len(pids)) * 1024
    return f"{own / many:.1f} MiB of its own, {shared / many:.1f} MiB with its share of the rest"


async def main() -> None:
    counts = [int(one) for one in sys.argv[1:]] or list(COUNTS)
    settings = {**UNBOUNDED, "ALPHINTRA_FEED": "none", "ALPHINTRA_DEPLOYMENT_FRAME_S": "60"}
    async with running_product(layout=TOGETHER, settings=settings) as product:
        load = Load(product, seed=1, orders=1, users=USERS)
        await load.sign_up()
        bus = Bus(product.bus_url, name="benchmark")
        await bus.connect()
        scene = Scene(product, load, bus)
        await scene.listen()
        await scene.quote()
        before = 0
        for count in counts:
            await measure(scene, product, count, before)
            before = count
        await bus.close()


if __name__ == "__main__":
    uvloop.run(main())
