"""What the hub shows a new subscriber before the first update."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from alphintra.core.clock import NS_PER_SECOND, Clock
from alphintra.core.ids import UserId
from alphintra.gateway.hub import views
from alphintra.gateway.hub.messages import Channel
from alphintra.market import LatestQuote, QuoteBoard

#: Closed candles in a snapshot, per symbol.
CANDLES_IN_SNAPSHOT = 100


class Snapshots(Protocol):
    """The present state, from those who own it. Rows are ready to be encoded as JSON."""

    async def private(self, user_id: UserId, channel: Channel) -> tuple[int, Sequence[Any]]:
        """Return a user's rows and the event sequence up to which they are true.

        Raises:
            Unavailable: ask again.
        """
        ...

    async def quotes(self, symbols: Sequence[str]) -> Mapping[str, LatestQuote]:
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


class Present:
    """The snapshots of one hub, which remembers the quotes that it showed.

    A batch of the feed may hold a print alone. The update that follows must not take back the bid
    and ask that the snapshot told, so both come from one board.
    """

    def __init__(
        self, snapshots: Snapshots, board: QuoteBoard, clock: Clock, *, silence_s: float
    ) -> None:
        self.private = snapshots.private
        self.candles = snapshots.candles
        self._snapshots = snapshots
        self._board = board
        self._clock = clock
        self._silence_ns = round(silence_s * NS_PER_SECOND)

    async def quotes(self, symbols: Sequence[str]) -> list[views.QuoteView]:
        """Return the latest quote of each symbol that has one; raises as `Snapshots.quotes`."""
        found = await self._snapshots.quotes(symbols)
        shown = []
        for symbol, stored in found.items():
            self._board.prime(stored)
            known = self._board.get(symbol) or stored
            latest = max(known, stored, key=lambda quote: quote.received_ns)
            is_live = self._clock.now_ns() - latest.received_ns <= self._silence_ns
            shown.append(views.quote(latest, is_live=is_live))
        return shown
