"""The server starts where it is told to, says so, and stops in time."""

import asyncio
import time

import httpx
import pytest
from websockets.asyncio.client import connect

from alphintra.gateway import server as http_server
from alphintra.gateway.app import compose
from alphintra.platform.services import open_services
from tests.gateway.harness import Desk, Keys, routes, settings_for


async def test_stops_within_five_seconds_with_clients_that_stay(
    database_url: str, bus_url: str
) -> None:
    stop = asyncio.Event()
    keys = Keys()
    async with open_services(settings_for(database_url, bus_url), name="test") as services:
        app = compose(services, keys, routers=[routes()], snapshots=Desk())
        with http_server.listen("127.0.0.1", 0) as plug:
            port = plug.getsockname()[1]
            task = asyncio.create_task(
                http_server.serve(http_server.server_of(app, connections_max=100), plug, stop)
            )
            headers = {"Authorization": f"Bearer {keys.token()}"}
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                while (await _status(client)) != 200:  # noqa: ASYNC110 - a port announces nothing
                    await asyncio.sleep(0.01)
                socket = await connect(
                    f"ws://127.0.0.1:{port}/api/v1/stream", additional_headers=headers, proxy=None
                )
                started_s = time.monotonic()
                stop.set()
                await task
                assert time.monotonic() - started_s < 5
                await socket.wait_closed()
                assert socket.close_code in {1012, 1001}


async def _status(client: httpx.AsyncClient) -> int:
    try:
        return (await client.get("/health/live")).status_code
    except httpx.TransportError:
        return 0


def test_taken_address_is_an_error_that_says_so() -> None:
    with http_server.listen("127.0.0.1", 0) as first, pytest.raises(OSError, match="in use"):
        http_server.listen("127.0.0.1", first.getsockname()[1])


def test_other_address_families() -> None:
    with http_server.listen("localhost", 0) as plug:
        assert plug.getsockname()[1] > 0
