from collections.abc import AsyncIterator

import pytest

from tests.gateway.harness import Edge, running_edge, settings_for
from tests.gateway.product import Product, product_settings, running_product


@pytest.fixture(scope="module")
async def edge(database_url: str, bus_url: str) -> AsyncIterator[Edge]:
    async with running_edge(settings_for(database_url, bus_url)) as running:
        yield running


@pytest.fixture(scope="module")
async def product(database_url: str, bus_url: str) -> AsyncIterator[Product]:
    async with running_product(product_settings(database_url, bus_url)) as running:
        yield running
