"""Time is injected. Nothing in the product reads the operating system's clock but `SystemClock`."""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

NS_PER_SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """What tells the time: `now_ns` since the UNIX epoch, UTC."""

    def now_ns(self) -> int: ...


class SystemClock:
    """The wall clock of this machine."""

    def now_ns(self) -> int:
        return time.time_ns()


class ManualClock:
    """A clock that moves only when told to; for tests, simulation and replay."""

    def __init__(self, now_ns: int = 1_700_000_000 * NS_PER_SECOND) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def advance(self, seconds: float) -> None:
        """Move the time by `seconds`, which may be negative: clocks do jump backwards."""
        self._now_ns += round(seconds * NS_PER_SECOND)


@lru_cache(maxsize=256)  # the moments of a batch come up again and again
def to_datetime(at_ns: int) -> datetime:
    """Return the aware UTC datetime of `at_ns`, cut to the microsecond (what PostgreSQL keeps)."""
    return _EPOCH + timedelta(microseconds=at_ns // 1_000)


def to_ns(at: datetime) -> int:
    """Return nanoseconds since the epoch of an aware datetime.

    Raises:
        ValueError: `at` is naive; a time without a zone is a guess.
    """
    if at.tzinfo is None:
        raise ValueError("a naive datetime has no instant; attach a time zone")
    delta = at - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * NS_PER_SECOND + delta.microseconds * 1_000


def now(clock: Clock) -> datetime:
    """Return the clock's time as an aware UTC datetime."""
    return to_datetime(clock.now_ns())
