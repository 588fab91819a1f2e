"""What the edge costs and how fast the hub is: one line per figure.

    python benchmarks/gateway.py

Runs PostgreSQL and NATS by itself. Server, bus client and all WebSocket clients share one process
here, so the latencies hold the clients' own work too.
"""

import asyncio
import json
import statistics
import sys
import time
from pathlib import Path
from uuid import uuid4

import msgspec
import uvloop
from limits import parse
from websockets.asyncio.client import connect

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from alphintra.gateway.hub.messages import Channel
from alphintra.gateway.windows import MemoryWindows
from alphintra.platform.embedded import temporary_servers
from alphintra.platform.events import Topic
from alphintra.platform.security import Permission
from alphintra.platform.settings import Settings
from alphintra.platform.telemetry import configure_logging
from tests.gateway.harness import Edge, running_edge, settings_for

HITS = 200_000
REQUESTS = 5_000
CLIENTS = 50
EVENTS = 400
EVENT_INTERVAL_S = 0.005


def windows_us() -> float:
    """Return microseconds per counted hit, over 1,000 users."""
    windows = MemoryWindows()
    limit = parse("1000000/minute")
    keys = [f"orders_place:{number}" for number in range(1_000)]
    started_s = time.perf_counter()
    for number in range(HITS):
        windows.hit_now(limit.amount, 60.0, keys[number % 1_000])
    return (time.perf_counter() - started_s) / HITS * 1e6


async def request_us(edge: Edge, headers: dict[str, str]) -> float:
    """Return microseconds that one POST spends in the application, without the socket."""
    body = b'{"symbol":"X","quantity":"1"}'

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(_: object) -> None:
        return None

    raw = [(b"content-type", b"application/json")]
    raw += [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    def scope() -> dict[str, object]:
        return {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
            "path": "/api/v1/orders", "raw_path": b"/api/v1/orders", "query_string": b"",
            "root_path": "", "scheme": "http", "headers": raw, "server": ("127.0.0.1", 1),
            "client": ("127.0.0.1", 2), "state": {},
        }  # fmt: skip

    started_s = time.perf_counter()
    for _ in range(REQUESTS):
        await edge.app(scope(), receive, send)
    return (time.perf_counter() - started_s) / REQUESTS * 1e6


async def stream_ms(edge: Edge, clients: int) -> list[float]:
    """Return milliseconds from publishing an event on the bus to each client's having read it."""
    user_id = uuid4()
    edge.desk.rows = {Channel.ORDERS: (0, [])}
    sent_s: dict[int, float] = {}
    took_ms: list[float] = []

    async def listen(socket: object) -> None:
        async for text in socket:  # type: ignore[attr-defined]
            message = json.loads(text)
            if message["type"] == "update":
                took_ms.append((time.perf_counter() - sent_s[message["seq"]]) * 1e3)
                if message["seq"] == EVENTS:
                    return

    sockets = []
    for _ in range(clients):
        token = edge.keys.token(user_id=user_id)
        socket = await connect(
            edge.stream_url, additional_headers={"Authorization": f"Bearer {token}"}, proxy=None
        )
        await socket.send(json.dumps({"op": "subscribe", "channel": "orders"}))
        await socket.recv()
        sockets.append(socket)
    listening = [asyncio.create_task(listen(socket)) for socket in sockets]
    for number in range(1, EVENTS + 1):
        body = msgspec.json.encode(
            [
                {
                    "id": str(uuid4()),
                    "source": "alphintra/order_events",
                    "type": "order_event.v1",
                    "time": "2026-01-01T00:00:00Z",
                    "sequence": number,
                    "data": {"user_id": str(user_id), "filler": "x" * 600},
                }
            ]
        )
        sent_s[number] = time.perf_counter()
        await edge.services.bus.publish(Topic.ORDER_EVENTS, body)
        await asyncio.sleep(EVENT_INTERVAL_S)
    await asyncio.gather(*listening)
    for socket in sockets:
        await socket.close()
    return took_ms


async def main() -> None:
    configure_logging(Settings(log_level="WARNING"), process="benchmark")
    print(f"rate limit, memory: {windows_us():.2f} us/hit")
    with temporary_servers(postgres=False) as servers:
        settings = settings_for(
            "postgresql://nobody@127.0.0.1:1/none",
            servers.bus_url,
            rate_limit_orders="100000000/minute",
            stream_connections_per_user=CLIENTS,
        )
        async with running_edge(settings) as edge:
            headers = edge.bearer(Permission.ORDERS_WRITE)
            await request_us(edge, headers)
            print(f"POST through the edge, in process: {await request_us(edge, headers):.0f} us")
            for clients in (1, CLIENTS):
                took_ms = sorted(await stream_ms(edge, clients))
                print(
                    f"bus to client, {clients} clients, "
                    f"{clients / EVENT_INTERVAL_S:,.0f} messages/s: "
                    f"p50 {statistics.median(took_ms):.2f} ms, "
                    f"p99 {took_ms[int(len(took_ms) * 0.99)]:.2f} ms, {len(took_ms):,} messages"
                )


uvloop.run(main())
