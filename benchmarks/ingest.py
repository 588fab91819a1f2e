"""Ticks through the feed pipeline beside a bare COPY.

The pipeline validates, publishes, makes candles and stores.

    python benchmarks/ingest.py [--ticks 500000]

Both write the same rows to the same table of the same server in the same run; the bare COPY gets
its lines ready-made. The server runs with its ordinary durability. One line per figure.
"""

import argparse
import asyncio
import gc
import time
from collections import defaultdict
from decimal import Decimal

from alphintra.core.clock import SystemClock, to_datetime
from alphintra.core.ids import TimeOrderedIds
from alphintra.core.market_data import FEED_SUBJECT, Quote, Tick, Trade
from alphintra.market import FeedPipeline, copying, partitions
from alphintra.platform import bus as bus_module
from alphintra.platform import migrations
from alphintra.platform.database import Database
from alphintra.platform.embedded import temporary_servers
from alphintra.platform.services import Services
from alphintra.platform.settings import Settings

SYMBOLS = 20
BATCH = 500
#: Simulated distance of a symbol's ticks: 500 a second.
STEP_NS = 2_000_000


def make(ticks: int, start_ns: int) -> list[tuple[str, list[Tick]]]:
    """Return batches of quotes and trades, one trade to two quotes, symbol after symbol."""
    made: list[tuple[str, list[Tick]]] = []
    per_symbol = ticks // SYMBOLS
    columns: dict[int, list[list[Tick]]] = defaultdict(list)
    for symbol in range(SYMBOLS):
        cents = 10_000 + symbol * 137
        batch: list[Tick] = []
        for index in range(per_symbol):
            cents += (index * 7919 + symbol) % 5 - 2
            at_ns = start_ns + index * STEP_NS
            bid = Decimal(cents).scaleb(-2)
            if index % 3 == 2:
                batch.append(Trade(at_ns, bid, Decimal(index % 90 + 10), "BUY"))
            else:
                ask = Decimal(cents + 1).scaleb(-2)
                batch.append(Quote(at_ns, bid, ask, Decimal(300), Decimal(400)))
            if len(batch) == BATCH:
                columns[symbol].append(batch)
                batch = []
        if batch:
            columns[symbol].append(batch)
    for at in range(max(map(len, columns.values()))):
        for symbol, batches in columns.items():
            if at < len(batches):
                made.append((f"SYM{symbol}", batches[at]))
    return made


async def bare_copy(database: Database, batches: list[tuple[str, list[Tick]]]) -> float:
    """Return the seconds that COPY takes for the same rows, ready-made."""
    makers: dict[str, copying.Lines] = {}
    lines: list[str] = []
    for ordinal, (symbol, ticks) in enumerate(batches):
        maker = makers.setdefault(symbol, copying.Lines(symbol, "bare"))
        lines += [maker(tick, ordinal) for tick in ticks]
    connection = await database.connect_raw(autocommit=True)
    async with connection:
        started = time.perf_counter()
        for start in range(0, len(lines), 20_000):
            await copying.copy(connection, copying.COPY_TICKS, lines[start : start + 20_000])
        return time.perf_counter() - started


async def pipeline(services: Services, batches: list[tuple[str, list[Tick]]]) -> float:
    """Return the seconds from the first tick taken in to the last one stored."""
    feed = FeedPipeline(services, "bench")
    stop = asyncio.Event()
    writing = asyncio.create_task(feed.run(stop))
    started = time.perf_counter()
    for symbol, ticks in batches:
        await feed.ingest(symbol, ticks)
        await asyncio.sleep(0)
    stop.set()
    await writing
    await services.bus.ping()
    return time.perf_counter() - started


async def main(ticks: int, database_url: str, bus_url: str) -> None:
    clock = SystemClock()
    database = Database(database_url, pool_size=2, application="bench")
    bus = await bus_module.connect(bus_url, name="bench")
    services = Services(
        settings=Settings(), database=database, bus=bus, clock=clock, ids=TimeOrderedIds(clock)
    )
    received = 0

    async def count(_: str, body: bytes) -> None:
        nonlocal received
        received += len(body)

    start_ns = clock.now_ns() - 3_600 * 10**9
    batches = make(ticks, start_ns)
    total = sum(len(some) for _, some in batches)
    # A feed does not hold hundreds of thousands of ticks that the garbage collector looks through.
    gc.collect()
    gc.freeze()
    connection = await database.connect_raw(autocommit=True)
    async with connection:
        await partitions.ensure(
            connection, "ticks", to_datetime(start_ns), to_datetime(clock.now_ns())
        )
    await bus.subscribe(f"{FEED_SUBJECT}.>", count)
    cpu_s = time.process_time()
    ours_s = await pipeline(services, batches)
    cpu_s = time.process_time() - cpu_s
    bare_s = await bare_copy(database, batches)
    connection = await database.connect_raw()
    async with connection:
        answer = await connection.execute(
            "SELECT source, count(*) FROM market.ticks GROUP BY source"
        )
        stored = dict(await answer.fetchall())
    assert stored == {"bench": total, "bare": total}, stored
    print(f"ticks validated, published, stored: {total / ours_s:,.0f}/s ({total:,} ticks)")
    print(f"bare COPY of the same rows: {total / bare_s:,.0f}/s")
    print(f"ratio to bare COPY: {bare_s / ours_s:.2f}")
    print(f"CPU of this process per tick: {cpu_s / total * 1e6:.1f} µs")
    print(f"published: {received / ours_s / 1e6:,.1f} MB/s")
    await bus.close()
    await database.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=500_000)
    arguments = parser.parse_args()
    with temporary_servers(postgres=True, nats=True) as servers:
        migrations.upgrade(servers.database_url)
        asyncio.run(main(arguments.ticks, servers.database_url, servers.bus_url))
