"""Every id is a type of its own, so that passing an `AccountId` for an `OrderId` fails the type
check.
"""

import os
import random
from collections.abc import Callable
from typing import NewType, Protocol
from uuid import NAMESPACE_OID, UUID, uuid5

from alphintra.core.clock import Clock

UserId = NewType("UserId", UUID)
SessionId = NewType("SessionId", UUID)
ApiKeyId = NewType("ApiKeyId", UUID)
AccountId = NewType("AccountId", UUID)
OrderId = NewType("OrderId", UUID)
TradeId = NewType("TradeId", UUID)
EventId = NewType("EventId", UUID)
SignalId = NewType("SignalId", UUID)
StrategyId = NewType("StrategyId", UUID)

_NAMESPACE = uuid5(NAMESPACE_OID, "alphintra")


class IdFactory(Protocol):
    """What makes new ids; injected, so that a seeded run makes the same ones."""

    def __call__(self) -> UUID: ...


class TimeOrderedIds:
    """UUID version 7 (RFC 9562): time in front, so that B-tree inserts stay at the right edge.

    Within one millisecond a counter keeps the order in which ids were made. A clock that jumps
    backwards does not break the order: the last time is kept until the clock has caught up.
    """

    def __init__(self, clock: Clock, random_bits: Callable[[int], int] | None = None) -> None:
        self._clock = clock
        self._random_bits = random_bits or (
            lambda bits: int.from_bytes(os.urandom((bits + 7) // 8)) >> (-bits % 8)
        )
        self._last_ms = -1
        self._counter = 0

    def __call__(self) -> UUID:
        now_ms = self._clock.now_ns() // 1_000_000
        if now_ms > self._last_ms:
            self._last_ms = now_ms
            self._counter = 0
        else:
            self._counter += 1
            if self._counter > 0xFFF:
                self._last_ms += 1
                self._counter = 0
        value = (
            (self._last_ms & 0xFFFF_FFFF_FFFF) << 80
            | 0x7 << 76
            | self._counter << 64
            | 0b10 << 62
            | self._random_bits(62)
        )
        return UUID(int=value)


def seeded_ids(clock: Clock, seed: int) -> TimeOrderedIds:
    """Return ids that repeat exactly for the same clock and seed; for simulation only."""
    return TimeOrderedIds(clock, random.Random(seed).getrandbits)


def derived_id(*parts: object) -> UUID:
    """Return the id that these parts always lead to; what makes a repeat harmless."""
    return uuid5(_NAMESPACE, "\x1f".join(str(part) for part in parts))
