"""What a process works with, opened once and closed in order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from alphintra.core.clock import Clock, SystemClock
from alphintra.core.ids import IdFactory, TimeOrderedIds
from alphintra.platform import bus as bus_module
from alphintra.platform.bus import Bus
from alphintra.platform.database import Database
from alphintra.platform.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The ports of a process. Contexts take what they need from here and nothing from globals."""

    settings: Settings
    database: Database
    bus: Bus
    clock: Clock
    ids: IdFactory


#: A role of `alphintra serve`: runs until `stop` is set.
Role = Callable[[Services, asyncio.Event], Awaitable[None]]


@asynccontextmanager
async def open_services(settings: Settings, *, name: str) -> AsyncIterator[Services]:
    """Connect to everything that `settings` names.

    Raises:
        BusUnavailable: the bus did not come up.
    """
    database = Database(
        settings.database_url.get_secret_value(),
        pool_size=settings.database_pool_size,
        application=f"alphintra {name}",
    )
    clock = SystemClock()
    try:
        bus = await bus_module.connect(
            settings.bus_url.get_secret_value(), name=f"alphintra {name}"
        )
        try:
            yield Services(
                settings=settings,
                database=database,
                bus=bus,
                clock=clock,
                ids=TimeOrderedIds(clock),
            )
        finally:
            await bus.close()
    finally:
        await database.close()
