"""What the hub shows a new subscriber before the first update."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from alphintra.core.ids import UserId
from alphintra.gateway.hub.messages import Channel

#: Finished and running candles in a snapshot, per symbol.
CANDLES_IN_SNAPSHOT = 100


class Snapshots(Protocol):
    """The present state, from those who own it. Rows are ready to be encoded as JSON."""

    async def private(self, user_id: UserId, channel: Channel) -> tuple[int, Sequence[Any]]:
        """Return a user's rows and the event sequence up to which they are true.

        Raises:
            Unavailable: ask again.
        """
        ...

    async def quotes(self, symbols: Sequence[str]) -> Mapping[str, Any]:
        """Return the latest quote of each symbol that has one.

        Raises:
            NotFound: there is no such instrument.
            Unavailable: ask again.
        """
        ...

    async def candles(self, symbol: str, timeframe: str) -> Sequence[Any]:
        """Return the latest candles of a symbol, oldest first.

        Raises:
            NotFound: there is no such instrument.
            Unavailable: ask again.
        """
        ...
