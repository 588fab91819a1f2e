"""Datasets: candles to arrays, by HTTP as Arrow, and files on their way in.

    python benchmarks/datasets.py [--rows 1000000]

A million candles are made, taken as an upload (CSV and Parquet, each in the process of its own that
uploads are checked in), read to arrays as a backtest reads them, and fetched by another process
over HTTP. One line per figure, with median and spread, and the most memory of the process that did
the work.
"""

import argparse
import asyncio
import io
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import uvicorn
from fastapi import FastAPI
from starlette.requests import HTTPConnection

from alphintra.core.clock import SystemClock
from alphintra.core.ids import TimeOrderedIds, UserId
from alphintra.market import DatasetService, datasets_router
from alphintra.market.datasets.taking import Checked
from alphintra.platform import bus as bus_module
from alphintra.platform import http, migrations
from alphintra.platform.database import Database
from alphintra.platform.embedded import Endpoints, temporary_servers
from alphintra.platform.security import Permission, Principal
from alphintra.platform.services import Services
from alphintra.platform.settings import Settings

REPEATS = 9
USER = Principal(user_id=UserId(uuid4()), permissions=frozenset(Permission))
#: Reads a dataset as backtests do; prints seconds per read, and its most memory.
READ = """
import json, sys, time
from alphintra.market import read_bars
seconds = []
for _ in range(int(sys.argv[2])):
    began = time.perf_counter()
    bars = read_bars(sys.argv[1])
    seconds.append(time.perf_counter() - began)
with open("/proc/self/status") as status:
    rss = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
print(json.dumps({"seconds": seconds, "rss": rss, "rows": len(bars)}))
"""
#: Checks an upload; a process of its own, because children inherit the peak of a large parent.
TAKE = """
import asyncio, json, resource, sys, time
from pathlib import Path
import msgspec
from alphintra.market import check_apart, options_of
began = time.perf_counter()
checked = asyncio.run(check_apart(
    Path(sys.argv[1]), name="BENCH", options=options_of({"timezone": "UTC"}),
    now_ns=time.time_ns()))
seconds = time.perf_counter() - began
rss = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
print(json.dumps({
    "seconds": [seconds], "rss": rss, "checked": msgspec.to_builtins(checked)}))
"""
FETCH = """
import json, sys, time
import httpx, pyarrow as pa
seconds = []
with httpx.Client(timeout=60) as client:
    for _ in range(int(sys.argv[2])):
        began = time.perf_counter()
        answer = client.get(sys.argv[1])
        table = pa.ipc.open_stream(answer.content).read_all()
        seconds.append(time.perf_counter() - began)
with open("/proc/self/status") as status:
    rss = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
print(json.dumps({"seconds": seconds, "rss": rss, "rows": table.num_rows}))
"""


class Everybody:
    """Lets everybody in: authentication has benchmarks of its own."""

    async def authenticate(self, connection: HTTPConnection) -> Principal:
        return USER

    def still_valid(self, principal: Principal) -> bool:
        return True


def candles(rows: int) -> pa.Table:
    """Return candles of a minute on a grid of cents."""
    rng = np.random.default_rng(7)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 2e-4, rows))), 2)
    open_ = np.round(close + rng.normal(0, 0.02, rows), 2)
    high = np.round(np.maximum(open_, close) + rng.exponential(0.02, rows), 2)
    low = np.round(np.minimum(open_, close) - rng.exponential(0.02, rows), 2)
    start_s = 1_577_836_800
    return pa.table(
        {
            "ts": pa.array((start_s + 60 * np.arange(rows)) * 1_000_000, pa.timestamp("us", "UTC")),
            "open": open_,
            "high": high,
            "low": low,
            "close": close,
            "volume": rng.integers(0, 5_000, rows).astype(np.float64),
        }
    )


def say(name: str, seconds: list[float], rss: int, rows: int) -> None:
    middle = statistics.median(seconds)
    print(
        f"{name}: {middle * 1e3:,.1f} ms ({min(seconds) * 1e3:,.1f} to {max(seconds) * 1e3:,.1f}), "
        f"{rows / middle:,.0f} rows/s, peak {rss / 1024**2:,.0f} MiB",
        flush=True,
    )


def measure(name: str, code: str, argument: str, repeats: int) -> None:
    told = _run(code, argument, str(repeats))
    say(name, told["seconds"][1:], told["rss"], told["rows"])


def _run(code: str, *arguments: str) -> dict[str, Any]:
    answer = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    told: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return told


async def take(service: DatasetService, table: pa.Table, folder: Path) -> Path:
    """Check CSV and Parquet as uploads; keep the dataset and return its file."""
    sink = io.BytesIO()
    pa.csv.write_csv(table, sink)
    packed = io.BytesIO()
    pa.parquet.write_table(table, packed, compression="zstd")
    kept = Path()
    for name, content in (("CSV", sink.getvalue()), ("Parquet", packed.getvalue())):
        job = folder / name
        job.mkdir()
        (job / "upload").write_bytes(content)
        told = await asyncio.to_thread(_run, TAKE, str(job))
        checked = msgspec.convert(told["checked"], Checked)
        if checked.facts is None:
            raise RuntimeError(f"{name} was not taken: {checked.report}")
        size = len(content) / 1024**2
        say(f"{name} of {size:,.0f} MiB taken", told["seconds"], told["rss"], table.num_rows)
        if name == "CSV":
            dataset = await service.add(job, checked, name="bench", source="benchmark")
            kept = service.path(dataset)
    return kept


@asynccontextmanager
async def serving(services: Services, service: DatasetService) -> AsyncIterator[str]:
    """Serve the routes of datasets."""
    app = FastAPI()
    app.state.services = services
    app.state.datasets = service
    app.state.authenticator = Everybody()
    app.include_router(datasets_router)
    http.install(app)
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="error", access_log=False, loop="uvloop")
    )
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await task


async def run(rows: int, servers: Endpoints, folder: Path) -> None:
    database = Database(servers.database_url)
    bus = await bus_module.connect(servers.bus_url, name="bench")
    clock = SystemClock()
    services = Services(
        settings=Settings(objects_url=(folder / "objects").as_uri()),
        database=database,
        bus=bus,
        clock=clock,
        ids=TimeOrderedIds(clock),
    )
    service = DatasetService(services)
    file = await take(service, candles(rows), folder)
    size = file.stat().st_size / 1024**2
    await asyncio.to_thread(
        measure, f"{rows:,} candles ({size:.0f} MiB) to arrays", READ, str(file), REPEATS + 1
    )
    (dataset,), _ = await service.page(USER, limit=1, cursor=None)
    async with serving(services, service) as url:
        await asyncio.to_thread(
            measure,
            f"{rows:,} candles by HTTP as Arrow",
            FETCH,
            f"{url}/datasets/{dataset.id}/data",
            REPEATS + 1,
        )
    await bus.close()
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    with temporary_servers() as servers, tempfile.TemporaryDirectory() as folder:
        migrations.upgrade(servers.database_url)
        asyncio.run(run(given.rows, servers, Path(folder)))


if __name__ == "__main__":
    main()
