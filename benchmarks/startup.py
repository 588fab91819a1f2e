"""How long `alphintra up` takes on a prepared machine until the first order is accepted.

    python benchmarks/startup.py

Prepared means: installed, and started once before. The clock runs from the start of the command to
the answer to an order that the demo user places as soon as a login is possible. Beside it, in the
same run: the very first start on an empty folder, and what the servers alone take.
"""

import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alphintra.cli.demo import read_login
from alphintra.platform.embedded import EmbeddedServers
from benchmarks.harness import HOST, HttpClient, NoAnswer
from tests.crash.product import free_port

ROUNDS = 3
TIMEOUT_S = 180.0
POLL_S = 0.02


async def first_order_s(data_dir: Path, *, is_prepared: bool) -> tuple[float, float]:
    """Start `up`, place an order, stop it; return seconds to the greeting and to the order."""
    port = free_port()
    output = data_dir.with_name("output")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ALPHINTRA_")}
    with output.open("w") as file:
        began_s = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "alphintra", "up", "--data", str(data_dir), "--port", str(port)],
            # Until there is a price, orders are refused, and asking again must not be.
            env={
                **environment,
                "ALPHINTRA_RATE_LIMIT_AUTH": "100000/minute",
                "ALPHINTRA_RATE_LIMIT_ORDERS": "100000/minute",
            },
            stdout=file,
            stderr=file,
        )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            greeting = asyncio.create_task(_greeting_s(process, output, began_s))
            if not is_prepared:
                # The login is written down before the user is made: trying it early counts as
                # guessing.
                await greeting
            await _place(port, data_dir)
            ordered_s = time.perf_counter() - began_s
            return await greeting, ordered_s
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


async def _greeting_s(process: subprocess.Popen[bytes], output: Path, began_s: float) -> float:
    while "Ctrl-C" not in output.read_text():
        if process.poll() is not None:
            raise RuntimeError(f"`up` ended: {output.read_text()}")
        await asyncio.sleep(POLL_S)
    return time.perf_counter() - began_s


async def _place(port: int, data_dir: Path) -> None:
    client = HttpClient(HOST, port, timeout_s=10)
    order = {
        "symbol": "AAPL", "side": "BUY", "type": "LIMIT", "quantity": "1", "price": "100",
        "time_in_force": "GTC", "client_order_id": str(uuid4()),
    }  # fmt: skip
    token = ""
    while True:
        with suppress(NoAnswer):
            if not token and (login := read_login(data_dir)) is not None:
                body = {"email": login.email, "password": login.password}
                reply = await client.ask(
                    "POST", "/api/v1/auth/login", body=json.dumps(body).encode()
                )
                token = json.loads(reply.body)["access_token"] if reply.status == 200 else ""
            if token:
                reply = await client.ask(
                    "POST", "/api/v1/orders", token=token, body=json.dumps(order).encode()
                )
                if reply.status == 201:
                    client.close()
                    return
                # Refused while there is no price yet: the next try is another order.
                order["client_order_id"] = str(uuid4())
        await asyncio.sleep(POLL_S)


def servers_s(data_dir: Path) -> float:
    """Return how long PostgreSQL and NATS alone take to start on this folder."""
    began_s = time.perf_counter()
    with EmbeddedServers(data_dir) as servers:
        servers.start()
        return time.perf_counter() - began_s


async def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="alphintra-startup-"))
    folder.chmod(0o755)
    data_dir = folder / "data"
    try:
        _, first_s = await first_order_s(data_dir, is_prepared=False)
        greeted, ordered, bare = [], [], []
        for _ in range(ROUNDS):
            greeting_s, order_s = await first_order_s(data_dir, is_prepared=True)
            greeted.append(greeting_s)
            ordered.append(order_s)
            bare.append(servers_s(data_dir))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"`up` on a prepared machine to the first order: {statistics.median(ordered):.1f} s"
        f" ({min(ordered):.1f} to {max(ordered):.1f}); to the greeting"
        f" {statistics.median(greeted):.1f} s; servers alone {statistics.median(bare):.1f} s;"
        f" on an empty folder {first_s:.1f} s"
    )


if __name__ == "__main__":
    uvloop.run(main())
