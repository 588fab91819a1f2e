from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from alphintra.platform.services import Services, open_services
from tests.gateway.harness import settings_for
from tests.gateway.product import product_settings
from tests.strategies.deployments.stage import Stage, running_stage


@pytest.fixture(scope="module")
async def stage(database_url: str, bus_url: str) -> AsyncIterator[Stage]:
    settings = product_settings(database_url, bus_url, deployment_frame_s=2.0)
    async with running_stage(settings) as running:
        yield running


@pytest.fixture
async def services(database_url: str, bus_url: str) -> AsyncIterator[Services]:
    async with open_services(settings_for(database_url, bus_url), name="test") as opened:
        async with opened.database.transaction() as session:
            await session.execute(text("TRUNCATE strategies.deployments CASCADE"))
            await session.execute(text("TRUNCATE strategies.deployment_hosts"))
        yield opened
