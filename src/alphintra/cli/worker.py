"""The role `worker`: what has to be done beside the requests, whenever there is time for it."""

import asyncio

from alphintra import identity, market
from alphintra.platform import housekeeping
from alphintra.platform.consumers import run_consumer
from alphintra.platform.jobs import create_jobs, run_jobs
from alphintra.platform.services import Services


async def run_worker(services: Services, stop: asyncio.Event) -> None:
    """Work off jobs and keep house until `stop` is set; any number of workers may run."""
    jobs = create_jobs(services.database.conninfo, {"platform": housekeeping.tasks})
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_jobs(jobs, services, stop))
        tasks.create_task(identity.run_housekeeping(services, stop))
        for consumer in market.consumers(services):
            tasks.create_task(run_consumer(consumer, services.database, services.bus, stop))
