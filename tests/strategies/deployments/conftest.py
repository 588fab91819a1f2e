from collections.abc import AsyncIterator

import pytest

from tests.gateway.product import product_settings
from tests.strategies.deployments.stage import Stage, running_stage


@pytest.fixture(scope="module")
async def stage(database_url: str, bus_url: str) -> AsyncIterator[Stage]:
    settings = product_settings(database_url, bus_url, deployment_frame_s=2.0)
    async with running_stage(settings) as running:
        yield running
