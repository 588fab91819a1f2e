"""The ports that market works with, on real servers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alphintra.core.clock import SystemClock
from alphintra.core.ids import TimeOrderedIds
from alphintra.market import seed_instruments
from alphintra.platform import bus as bus_module
from alphintra.platform.database import Database
from alphintra.platform.services import Services
from alphintra.platform.settings import Settings


@pytest.fixture(scope="module")
async def services(database_url: str, bus_url: str) -> AsyncIterator[Services]:
    """A database of this module with the demo's instruments, and the bus."""
    clock = SystemClock()
    database = Database(database_url, pool_size=4, application="test market")
    bus = await bus_module.connect(bus_url, name="test market")
    made = Services(
        settings=Settings(feed_silence_s=2),
        database=database,
        bus=bus,
        clock=clock,
        ids=TimeOrderedIds(clock),
    )
    await seed_instruments(made)
    yield made
    await bus.close()
    await database.close()


@pytest.fixture
def data(market_data_dir: Path) -> Path:
    """Recorded market data."""
    return market_data_dir
