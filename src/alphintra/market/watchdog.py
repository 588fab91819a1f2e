"""Notices a feed that is connected but silent.

It listens where everyone else listens, so it judges what is delivered, not what a source believes
to have sent. A feed is LIVE with its first tick, STALE when nothing came for `silence_s`, and
STOPPED when its source said so. Time is when a tick was received; what a tick says of itself does
not count.
"""

from dataclasses import dataclass
from typing import Literal

from alphintra.core.clock import NS_PER_SECOND
from alphintra.core.market_data import FeedBatch, FeedStatus
from alphintra.market.pipeline import is_derived

State = Literal["LIVE", "STALE", "STOPPED"]


@dataclass(slots=True)
class Feed:
    """One source's feed of one symbol. Times in nanoseconds since the epoch."""

    source: str
    symbol: str
    state: State
    last_event_ns: int
    last_received_ns: int
    changed_ns: int

    def status(self, at_ns: int) -> FeedStatus:
        return FeedStatus(symbol=self.symbol, source=self.source, state=self.state, at_ns=at_ns)


class Watchdog:
    """The states of all feeds. Pure: it is told of batches, of statuses and of the time."""

    def __init__(self, *, silence_s: float) -> None:
        self._silence_ns = round(silence_s * NS_PER_SECOND)
        self._feeds: dict[tuple[str, str], Feed] = {}

    @property
    def feeds(self) -> list[Feed]:
        """Every feed that was ever heard of."""
        return list(self._feeds.values())

    def expect(self, source: str, symbol: str, now_ns: int) -> None:
        """Know of a feed before its first tick, so that one that never speaks is noticed too."""
        self._feeds.setdefault(
            (source, symbol), Feed(source, symbol, "LIVE", now_ns, now_ns, now_ns)
        )

    def heard(self, batch: FeedBatch, now_ns: int) -> FeedStatus | None:
        """Take notice of a batch; return the status that it changes, if any."""
        if is_derived(batch.source) or not batch.ticks:
            return None
        key = (batch.source, batch.symbol)
        last_event_ns = batch.ticks[-1].ts_ns
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = Feed(*key, "LIVE", last_event_ns, now_ns, now_ns)
            return feed.status(now_ns)
        feed.last_event_ns = last_event_ns
        feed.last_received_ns = now_ns
        return self._change(feed, "LIVE", now_ns)

    def told(self, status: FeedStatus, now_ns: int) -> None:
        """Take notice of a source that stopped by itself."""
        feed = self._feeds.get((status.source, status.symbol))
        if feed is not None and status.state == "STOPPED":
            self._change(feed, "STOPPED", now_ns)

    def check(self, now_ns: int) -> list[FeedStatus]:
        """Return the feeds that have become silent since the last check."""
        changes = [
            self._change(feed, "STALE", now_ns)
            for feed in self._feeds.values()
            if feed.state == "LIVE" and now_ns - feed.last_received_ns > self._silence_ns
        ]
        return [change for change in changes if change is not None]

    def statuses(self, now_ns: int) -> list[FeedStatus]:
        """Return what a listener that came late has to know.

        A symbol that any source gives prices of is alive; its other sources are not mentioned then.
        """
        alive = {feed.symbol for feed in self._feeds.values() if feed.state == "LIVE"}
        return [
            feed.status(now_ns)
            for feed in self._feeds.values()
            if feed.state == "LIVE" or feed.symbol not in alive
        ]

    @staticmethod
    def _change(feed: Feed, state: State, now_ns: int) -> FeedStatus | None:
        if feed.state == state:
            return None
        feed.state = state
        feed.changed_ns = now_ns
        return feed.status(now_ns)
