"""The role `worker`: what has to be done beside the requests, whenever there is time for it."""

import asyncio

from alphintra import identity
from alphintra.platform.services import Services


async def run_worker(services: Services, stop: asyncio.Event) -> None:
    """Keep house until `stop` is set; any number of workers may run."""
    await identity.run_housekeeping(services, stop)
