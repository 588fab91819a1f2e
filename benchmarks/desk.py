"""Durable orders through the desk, in process, beside `pgbench -N` on the same server in one run.

    python benchmarks/desk.py

Resting limit orders of many accounts: each is an order row, a history row, a ledger hold and an
outbox event, committed before it is acknowledged.
"""

import asyncio
import statistics
import sys
import time
from contextlib import AsyncExitStack
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alphintra.cli.serve import settle_memory
from alphintra.core.clock import SystemClock
from alphintra.core.ids import OrderId, TimeOrderedIds, UserId
from alphintra.core.instruments import Asset, AssetClass, Instrument, Symbol
from alphintra.core.market_data import FeedBatch, Quote
from alphintra.core.orders import OrderType, Side, TimeInForce
from alphintra.platform import migrations
from alphintra.platform.database import Database
from alphintra.platform.embedded import temporary_servers
from alphintra.trading import leases, store
from alphintra.trading.commands import Done, PlaceOrder, SetLimits, Terms
from alphintra.trading.desk import Desk
from alphintra.trading.limits import Limits
from alphintra.trading.paper import PaperVenue
from alphintra.trading.prices import Prices
from alphintra.trading.store import PostgresStore
from alphintra.trading.surroundings import Surroundings
from benchmarks.harness import milliseconds, pgbench, rate

ACCOUNTS = 200
ORDERS = 30_000
IN_FLIGHT = 2_000
ROUNDS = 3
PGBENCH_S = 5
SPY = Instrument(
    symbol=Symbol("SPY"),
    name="SPY",
    asset_class=AssetClass.EQUITY,
    base=Asset("SPY"),
    quote=Asset("USD"),
    tick_size=Decimal("0.01"),
    lot_size=Decimal(1),
)
WIDE = Limits(
    orders_per_second_max=1_000_000,
    open_orders_max=1_000_000,
)


async def measure(url: str, orders: int) -> tuple[float, list[float]]:
    """Return orders/s and each order's latency in seconds."""
    database = Database(url)
    clock = SystemClock()
    ids = TimeOrderedIds(clock)
    around = Surroundings(
        clock=clock, ids=ids, prices=Prices(clock, silence_s=3600), instruments={SPY.symbol: SPY}
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        writing = await stack.enter_async_context(await store.connect(database))
        reading = await stack.enter_async_context(await store.connect(database))
        desk_id = uuid4()
        epochs = await leases.take(writing, desk_id=desk_id, address="", shards=range(64))
        books = PostgresStore(writing, reading, desk_id=desk_id, epochs=epochs)
        desk = Desk(books, around, PaperVenue(around.instruments))
        await desk.load()
        work = asyncio.create_task(desk.work())
        quote = Quote(clock.now_ns(), Decimal("99.99"), Decimal("100.00"))
        desk.on_market_data(FeedBatch(symbol="SPY", source="b", sequence=1, ticks=(quote,)))
        users = [UserId(uuid4()) for _ in range(ACCOUNTS)]
        await asyncio.gather(
            *(desk.submit(SetLimits(user_id=user, actor="bench", limits=WIDE)) for user in users)
        )
        latencies: list[float] = []
        numbers = iter(range(orders))

        async def client() -> None:
            for number in numbers:
                command = PlaceOrder(
                    user_id=users[number % ACCOUNTS],
                    actor="bench",
                    order_id=OrderId(ids()),
                    terms=Terms(
                        symbol="SPY",
                        side=Side.BUY,
                        type=OrderType.LIMIT,
                        quantity=Decimal(1),
                        price=Decimal("1.00"),
                        time_in_force=TimeInForce.GTC,
                    ),
                )
                started = time.perf_counter()
                answer = await desk.submit(command)
                if not isinstance(answer, Done):
                    raise RuntimeError(f"the desk answered {answer}")  # noqa: TRY004
                latencies.append(time.perf_counter() - started)

        started = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(IN_FLIGHT)))
        elapsed_s = time.perf_counter() - started
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    return orders / elapsed_s, latencies


def main() -> None:
    settle_memory()
    with temporary_servers(nats=False) as servers:
        migrations.upgrade(servers.database_url)
        rates, alone, crowd = [], [], []
        for _ in range(ROUNDS):
            per_s, latencies = asyncio.run(measure(servers.database_url, ORDERS))
            rates.append(per_s)
            alone.append(pgbench(servers.admin_url, clients=1, seconds=PGBENCH_S))
            crowd.append(pgbench(servers.admin_url, clients=64, seconds=PGBENCH_S))
        ratio = statistics.median(rates) / statistics.median(crowd)
        print(
            f"desk, durable orders in process: {rate(rates)} ({ROUNDS} runs of {ORDERS:,};"
            f" {IN_FLIGHT:,} in flight, {milliseconds(latencies)});"
            f" pgbench -N on the same server: {rate(alone)} with 1 client, {rate(crowd)} with 64;"
            f" {ratio:.1f} times that"
        )


if __name__ == "__main__":
    main()
