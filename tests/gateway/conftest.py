from collections.abc import AsyncIterator

import pytest

from tests.gateway.harness import Edge, running_edge, settings_for


@pytest.fixture(scope="module")
async def edge(database_url: str, bus_url: str) -> AsyncIterator[Edge]:
    async with running_edge(settings_for(database_url, bus_url)) as running:
        yield running
