"""One subscription of one client, from its snapshot on.

SYNCING    a snapshot is on its way; what happens meanwhile is kept beside
LIVE       every event goes out, its sequence one above the last
LOST       the client fell behind: nothing is queued; it resyncs once it has read what it has
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Coroutine
from enum import Enum, auto
from typing import Any, Literal, Protocol

import structlog
from prometheus_client import Counter

from alphintra.core.errors import Problem, Unavailable
from alphintra.core.ids import UserId
from alphintra.gateway.hub import messages
from alphintra.gateway.hub.messages import Channel, Subscribe
from alphintra.gateway.hub.outgoing import Outgoing, Slot
from alphintra.gateway.hub.snapshots import Present

#: Events kept beside while a snapshot is on its way; more than that and it is taken again.
BESIDE_MAX = 5_000
RETRY_S = 0.5
RETRY_MAX_S = 5.0
#: A subscription that keeps missing events takes a new snapshot at most this often.
RESYNC_INTERVAL_S = 0.25

RESYNCS = Counter(
    "alphintra_stream_resyncs_total", "Fresh snapshots for readers", ["channel", "why"]
)
log = structlog.get_logger(__name__)


class State(Enum):
    """See the module."""

    SYNCING = auto()
    LIVE = auto()
    LOST = auto()


class Client(Protocol):
    """What a subscription needs of its client."""

    @property
    def outgoing(self) -> Outgoing: ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that ends with the client at the latest."""
        ...

    def now_s(self) -> float: ...

    def abandon(self, subscription: "Subscription") -> None:
        """Forget a subscription that was refused."""
        ...


class Subscription(ABC):
    """What both kinds share: one synchronisation at a time, and the message that it ends in."""

    def __init__(
        self, request: Subscribe, client: Client, snapshots: Present, slots: asyncio.Semaphore
    ) -> None:
        self.request = request
        self.channel = request.channel
        self.seq = 0
        self.state = State.SYNCING
        self._client = client
        self._out = client.outgoing
        self._snapshots = snapshots
        self._snapshot_slots = slots
        self._head = messages.head(request.channel, request.id)
        self._ended = False
        self._again = False
        self._synced_s = float("-inf")

    def start(self) -> None:
        """Take the first snapshot."""
        self._client.spawn(self._sync("snapshot"))

    def end(self) -> None:
        """Send nothing any more."""
        self._ended = True
        self._out.forget(self)

    def resync(self, why: str) -> None:
        """Take a fresh snapshot, which replaces all that still waits to be sent."""
        if self._ended:
            return
        RESYNCS.labels(self.channel, why).inc()
        if self.state is State.SYNCING:
            self._again = True
            return
        self.state = State.SYNCING
        self._begin_again()
        self._client.spawn(self._sync("resync"))

    def lose(self) -> None:
        """Give up on what waits: the client is too slow. It recovers when it reads again."""
        self.state = State.LOST
        self._out.forget(self)
        self._begin_again()

    def recover(self) -> None:
        """Resync a client that fell behind and has read everything since."""
        if self.state is State.LOST:
            self.resync("slow_reader")

    async def _sync(self, kind: Literal["snapshot", "resync"]) -> None:
        while not self._ended:
            wait_s = self._synced_s + RESYNC_INTERVAL_S - self._client.now_s()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._again = False
            is_loaded = await self._load()
            self._synced_s = self._client.now_s()
            if not is_loaded or self.state is not State.SYNCING:
                return
            # Lost events while it was loaded: what came is not a state that updates could follow.
            if not self._again and self._publish(kind):
                return
            self._begin_again()

    async def _load(self) -> bool:
        """Ask for the snapshot until there is one; `False`: refused for good."""
        retry_s = RETRY_S
        while not self._ended:
            try:
                async with self._snapshot_slots:
                    await self._fetch()
            except Unavailable as problem:
                log.warning("snapshot_unavailable", channel=self.channel, reason=problem.detail)
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, RETRY_MAX_S)
            except Problem as problem:
                self._out.push(None, messages.error(problem, self.request.id), 0)
                self._client.abandon(self)
                return False
            else:
                return not self._ended
        return False

    def _push_state(self, kind: Literal["snapshot", "resync"], rows: object) -> bool:
        text = self._head + messages.tail(kind, self.seq, messages.text_of(rows))
        if not self._out.push(self, text, self._client.now_s()):
            self.lose()
            return False
        return True

    @abstractmethod
    async def _fetch(self) -> None:
        """Ask for the rows.

        Raises:
            Problem: there are none; `Unavailable`: not at the moment.
        """

    @abstractmethod
    def _publish(self, kind: Literal["snapshot", "resync"]) -> bool:
        """Queue the snapshot and go live; `False`: take another one."""

    @abstractmethod
    def _begin_again(self) -> None:
        """Forget what was kept beside the last snapshot."""


class PrivateSubscription(Subscription):
    """A user's orders, fills or positions. `seq` is the desk's own sequence of these events."""

    def __init__(
        self,
        request: Subscribe,
        client: Client,
        snapshots: Present,
        slots: asyncio.Semaphore,
        user_id: UserId,
    ) -> None:
        super().__init__(request, client, snapshots, slots)
        self.user_id = user_id
        self._beside: deque[tuple[int, str, float]] = deque()
        self._rows: object = ()
        self._rows_seq = 0

    def on_event(self, seq: int, text: str, at_s: float) -> None:
        """Take an event; `text` is its message without the head, the same for every reader."""
        match self.state:
            case State.LIVE:
                self._forward(seq, text, at_s)
            case State.SYNCING:
                if len(self._beside) >= BESIDE_MAX:
                    self._again = True
                else:
                    self._beside.append((seq, text, at_s))
            case State.LOST:
                pass

    def _forward(self, seq: int, text: str, at_s: float) -> None:
        if seq <= self.seq:
            return  # delivered again
        if seq != self.seq + 1:
            log.warning("stream_gap", channel=self.channel, expected=self.seq + 1, found=seq)
            self.resync("gap")
        elif self._out.push(self, self._head + text, at_s):
            self.seq = seq
        else:
            self.lose()

    async def _fetch(self) -> None:
        self._rows_seq, self._rows = await self._snapshots.private(self.user_id, self.channel)

    def _publish(self, kind: Literal["snapshot", "resync"]) -> bool:
        later = [event for event in self._beside if event[0] > self._rows_seq]
        if later and later[0][0] != self._rows_seq + 1:
            return False
        self._beside.clear()
        self._out.forget(self)
        self.seq = self._rows_seq
        if self._push_state(kind, self._rows):
            self.state = State.LIVE
            for event in later:
                self._forward(*event)
        self._rows = ()
        return True

    def _begin_again(self) -> None:
        self._beside.clear()


class MarketSubscription(Subscription):
    """Quotes or candles of some symbols. `seq` counts what this subscription was sent."""

    def __init__(
        self, request: Subscribe, client: Client, snapshots: Present, slots: asyncio.Semaphore
    ) -> None:
        super().__init__(request, client, snapshots, slots)
        self._beside: dict[object, tuple[str, float]] = {}
        self._rows: object = ()

    def on_state(self, key: object, data: str, at_s: float) -> None:
        """Take the latest state of one thing: a symbol's quote, or one candle."""
        match self.state:
            case State.LIVE:
                if not self._out.put(self, key, data, at_s, self._render):
                    self.lose()
            case State.SYNCING:
                # Not older than the snapshot, or equal to it: sent after it, it does no harm.
                self._beside[key] = (data, at_s)
                if len(self._beside) > BESIDE_MAX:
                    self._again = True
            case State.LOST:
                pass

    def _render(self, slot: Slot) -> str:
        self.seq += 1
        return self._head + messages.tail("update", self.seq, slot.data, slot.conflated)

    async def _fetch(self) -> None:
        symbols = self.request.symbols
        if self.channel is Channel.QUOTES:
            self._rows = await self._snapshots.quotes(symbols)
            return
        rows: list[Any] = []
        for symbol in symbols:
            rows.extend(await self._snapshots.candles(symbol, self.request.timeframe))
        self._rows = rows

    def _publish(self, kind: Literal["snapshot", "resync"]) -> bool:
        # Nothing of this subscription may wait behind it with a sequence that is yet to be given.
        self._out.forget(self)
        self.seq += 1
        if self._push_state(kind, self._rows):
            self.state = State.LIVE
            for key, (data, at_s) in self._beside.items():
                self.on_state(key, data, at_s)
        self._beside.clear()
        self._rows = ()
        return True

    def _begin_again(self) -> None:
        self._beside.clear()


def new_subscription(
    request: Subscribe,
    client: Client,
    snapshots: Present,
    slots: asyncio.Semaphore,
    user_id: UserId,
) -> PrivateSubscription | MarketSubscription:
    """Return a subscription of the kind that its channel asks for."""
    if request.channel.is_private:
        return PrivateSubscription(request, client, snapshots, slots, user_id)
    return MarketSubscription(request, client, snapshots, slots)
