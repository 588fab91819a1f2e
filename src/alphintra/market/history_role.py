"""The role `history`: historical data over gRPC."""

import asyncio

from alphintra.platform.services import Services


async def run_history(services: Services, stop: asyncio.Event) -> None:
    """Serve historical data over gRPC until `stop` is set.

    Raises:
        HistoryServiceUnprotected: it would be reachable from other machines without a secret.
    """
    # Only this role needs gRPC and its compiler.
    from alphintra.market.history_server import serve_history

    await serve_history(services, stop)
