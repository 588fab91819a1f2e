"""From a tick on the bus to the fill on the client's WebSocket, and where the time goes.

    python benchmarks/latency.py

A resting order is placed through HTTP, a quote that crosses it is published, and the message on
the client's socket ends the clock: desk, matching, commit to disk, outbox, relay, JetStream, hub.
Beside it, in the same run: what one durable publish costs by itself, and one synced commit.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import psycopg
import uvloop
from websockets.asyncio.client import ClientConnection, connect

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alphintra.core.market_data import FEED_SUBJECT, FeedBatch, Quote, encode
from alphintra.platform.bus import Bus
from alphintra.platform.events import Topic
from benchmarks.harness import (
    HOST,
    TOGETHER,
    UNBOUNDED,
    HttpClient,
    Load,
    Product,
    drive,
    milliseconds,
    order_bodies,
    running_product,
)

SAMPLES = 400
WARM_UP = 40
PAUSE_S = 0.005
BACKGROUND_PER_S = 300.0
SYMBOL = "EUR-USD"
AWAY, CROSSING = Decimal("1.20"), Decimal("1.10")


class Session:
    """One client: an order, a tick that fills it, and the socket that tells."""

    def __init__(self, product: Product, load: Load, bus: Bus, socket: ClientConnection) -> None:
        self._http: HttpClient = product.client()
        self._token = load.traders[0].token
        self._bus = bus
        self._socket = socket
        self._sequence = 0

    async def quote(self, ask: Decimal) -> float:
        """Publish a quote; return when."""
        self._sequence += 1
        tick = Quote(time.time_ns(), ask - Decimal("0.0001"), ask, Decimal(10**6), Decimal(10**6))
        batch = FeedBatch(symbol=SYMBOL, source="benchmark", sequence=self._sequence, ticks=(tick,))
        body = encode(batch)
        at_s = time.perf_counter()
        await self._bus.publish(f"{FEED_SUBJECT}.{SYMBOL}", body)
        return at_s

    async def place(self) -> str:
        """Rest an order that the next crossing quote fills; return its id."""
        terms = {
            "symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "quantity": "1000",
            "price": str(CROSSING), "time_in_force": "GTC", "client_order_id": str(uuid4()),
        }  # fmt: skip
        while True:
            reply = await self._http.ask(
                "POST", "/api/v1/orders", token=self._token, body=json.dumps(terms).encode()
            )
            if reply.status == 201:
                return str(json.loads(reply.body)["id"])
            # The desk has not seen a price yet.
            terms["client_order_id"] = str(uuid4())
            await self.quote(AWAY)
            await asyncio.sleep(0.1)

    async def fill_s(self) -> float:
        """Return seconds from a tick to the message about the fill that it made."""
        await self.quote(AWAY)
        order_id = await self.place()
        await asyncio.sleep(PAUSE_S)
        began_s = await self.quote(CROSSING)
        async with asyncio.timeout(10):
            while True:
                message = json.loads(await self._socket.recv())
                if message["type"] == "update" and message["data"]["order_id"] == order_id:
                    return time.perf_counter() - began_s


async def timed(action: Callable[[], Awaitable[object]], times: int) -> list[float]:
    """Return how long each of some repetitions took."""
    took_s = []
    for _ in range(times):
        began_s = time.perf_counter()
        await action()
        took_s.append(time.perf_counter() - began_s)
    return took_s


async def parts(product: Product, bus: Bus) -> str:
    """Measure what cannot be avoided: one commit and one durable publish."""
    async with await psycopg.AsyncConnection.connect(
        product.database_url, autocommit=True
    ) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS public.benchmark (at timestamptz)")

        async def commit() -> None:
            await connection.execute("INSERT INTO public.benchmark VALUES (now())")

        commits = await timed(commit, 200)

    async def publish() -> None:
        await bus.publish_durable(Topic.SYSTEM_METRICS, b"[]", message_id=str(uuid4()))

    publishes = await timed(publish, 200)
    return (
        f"one synced commit {statistics.median(commits) * 1e3:.1f} ms,"
        f" one durable publish {statistics.median(publishes) * 1e3:.1f} ms"
    )


async def main() -> None:
    settings = {**UNBOUNDED, "ALPHINTRA_FEED": "none"}
    async with running_product(layout=TOGETHER, settings=settings) as product:
        load = Load(product, seed=1, orders=1, users=20)
        await load.sign_up()
        bus = Bus(product.bus_url, name="benchmark")
        await bus.connect()
        unavoidable = await parts(product, bus)
        async with connect(
            f"ws://{HOST}:{product.port}/api/v1/stream",
            additional_headers={"Authorization": f"Bearer {load.traders[0].token}"},
            proxy=None,
        ) as socket:
            await socket.send(json.dumps({"op": "subscribe", "channel": "fills"}))
            session = Session(product, load, bus, socket)
            for _ in range(WARM_UP):
                await session.fill_s()
            idle = [await session.fill_s() for _ in range(SAMPLES)]
            print(f"tick to fill on the WebSocket, idle: {milliseconds(idle)}; {unavoidable}")
            stop = asyncio.Event()
            background = asyncio.create_task(_background(product, load, session, stop))
            busy = [await session.fill_s() for _ in range(SAMPLES)]
            stop.set()
            placed = await background
        print(
            f"tick to fill on the WebSocket, beside {placed:,.0f} other orders/s:"
            f" {milliseconds(busy)}"
        )
        await bus.close()


async def _background(product: Product, load: Load, session: Session, stop: asyncio.Event) -> float:
    """Place other orders at a steady pace until `stop`; return how many a second."""
    await session.quote(AWAY)
    body = order_bodies(load, symbol=SYMBOL, price="0.50")
    count, began_s = 0, time.perf_counter()
    while not stop.is_set():
        measured = await drive(
            body, product.port, seconds=1.0, connections=8, per_second=BACKGROUND_PER_S
        )
        count += len(measured.latencies_s)
    return count / (time.perf_counter() - began_s)


if __name__ == "__main__":
    uvloop.run(main())
