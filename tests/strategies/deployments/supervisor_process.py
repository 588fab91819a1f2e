"""A process that only runs deployments, as one of the role `signals` does; made to be killed.

SIGTERM lets it leave in good order.
"""

import asyncio
import signal

from alphintra import strategies
from alphintra.platform.services import open_services
from alphintra.platform.settings import load_settings
from alphintra.strategies.deployments.runner import Patience

#: Here deaths are the rule.
PATIENCE = Patience(in_a_row=1_000, per_hour=100_000)


async def main() -> None:
    async with open_services(load_settings(), name="supervisor") as services:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await strategies.run_deployments(services, stop, patience=PATIENCE)


if __name__ == "__main__":
    asyncio.run(main())
