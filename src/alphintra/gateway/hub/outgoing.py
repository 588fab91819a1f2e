"""What waits to be sent to one client: in order, bounded, and with the latest state in place of
older ones.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from prometheus_client import Counter

#: Waiting messages of one subscription, and bytes of one client, before it counts as fallen behind.
WAITING_PER_SUBSCRIPTION_MAX: Final = 1_000
WAITING_BYTES_MAX: Final = 4 * 1024 * 1024
REPLIES_MAX: Final = 200

CONFLATED = Counter(
    "alphintra_stream_conflated_total", "Market states that a slow reader did not get to see"
)


class Slot:
    """The latest state of one thing, waiting to be sent; a later one takes its place."""

    __slots__ = ("at_s", "conflated", "data", "key", "owner", "render")

    def __init__(
        self, owner: object, key: object, data: str, at_s: float, render: Callable[["Slot"], str]
    ) -> None:
        self.owner = owner
        self.key = key
        self.data = data
        self.at_s = at_s
        self.conflated = 0
        self.render = render


class Line:
    """A finished message. `owner` is its subscription, or `None` for a reply."""

    __slots__ = ("at_s", "owner", "text")

    def __init__(self, owner: object | None, text: str, at_s: float) -> None:
        self.owner = owner
        self.text = text
        self.at_s = at_s


class Outgoing:
    """One client's queue; one writer takes from it."""

    def __init__(self) -> None:
        self._queue: deque[Line | Slot] = deque()
        self._slots: dict[tuple[object, object], Slot] = {}
        self._waiting: dict[object | None, int] = {}
        self._bytes = 0
        self.ready = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queue)

    def push(self, owner: object | None, text: str, at_s: float) -> bool:
        """Queue a finished message; `False`: there is no room for it and the owner must resync."""
        waiting = self._waiting.get(owner, 0)
        bound = REPLIES_MAX if owner is None else WAITING_PER_SUBSCRIPTION_MAX
        if waiting >= bound or (self._bytes > WAITING_BYTES_MAX and waiting):
            return False
        self._waiting[owner] = waiting + 1
        self._bytes += len(text)
        self._queue.append(Line(owner, text, at_s))
        self.ready.set()
        return True

    def put(
        self, owner: object, key: object, data: str, at_s: float, render: Callable[[Slot], str]
    ) -> bool:
        """Queue the latest state of `key`, or replace the one that still waits.

        `False`: the owner has too many things waiting and must resync.
        """
        slot = self._slots.get((owner, key))
        if slot is not None:
            slot.data = data
            slot.at_s = at_s
            slot.conflated += 1
            CONFLATED.inc()
            return True
        waiting = self._waiting.get(owner, 0)
        if waiting >= WAITING_PER_SUBSCRIPTION_MAX:
            return False
        slot = self._slots[owner, key] = Slot(owner, key, data, at_s, render)
        self._waiting[owner] = waiting + 1
        self._queue.append(slot)
        self.ready.set()
        return True

    def pop(self) -> tuple[str, float] | None:
        """Take the next message and the time at which its news arrived; `None`: there is none."""
        if not self._queue:
            self.ready.clear()
            return None
        item = self._queue.popleft()
        self._waiting[item.owner] -= 1
        if isinstance(item, Slot):
            del self._slots[item.owner, item.key]
            return item.render(item), item.at_s
        self._bytes -= len(item.text)
        return item.text, item.at_s

    def forget(self, owner: object) -> None:
        """Drop everything that waits for a subscription."""
        kept: deque[Line | Slot] = deque()
        for item in self._queue:
            if item.owner is not owner:
                kept.append(item)
            elif isinstance(item, Slot):
                del self._slots[item.owner, item.key]
            else:
                self._bytes -= len(item.text)
        self._queue = kept
        self._waiting.pop(owner, None)
