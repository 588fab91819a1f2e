"""Exact moving windows: in this process, or in Redis where several processes share the counts.

`limits` has a memory storage too, but each of its hits starts a task that visits every key through
a thread; the order path cannot pay that. Its notation and its Redis script are what is used of it.
"""

import time
from collections import deque
from collections.abc import Callable
from math import ceil
from typing import Protocol

import structlog
from limits import RateLimitItem, WindowStats
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string
from prometheus_client import Counter

KEYS_MAX = 200_000
SWEEP_INTERVAL_S = 30.0

FALLBACKS = Counter(
    "alphintra_rate_limit_fallbacks_total", "Hits counted in memory because Redis did not answer"
)
log = structlog.get_logger(__name__)


class Windows(Protocol):
    """Counts hits per key."""

    async def hit(self, limit: RateLimitItem, key: str) -> float:
        """Count a hit and return 0, or count nothing and return the seconds until there is room."""
        ...


class MemoryWindows:
    """The times of the last period's hits of each key. Exact; forgotten with the process."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._hits: dict[tuple[str, float], deque[float]] = {}
        self._swept_s = monotonic_s()

    async def hit(self, limit: RateLimitItem, key: str) -> float:
        return self.hit_now(limit.amount, float(limit.get_expiry()), key)

    def hit_now(self, amount: int, period_s: float, key: str) -> float:
        """Do what `hit` does, without a loop to wait on."""
        now_s = self._monotonic_s()
        if now_s - self._swept_s > SWEEP_INTERVAL_S or len(self._hits) >= KEYS_MAX:
            self._sweep(now_s)
        hits = self._hits.get((key, period_s))
        if hits is None:
            hits = self._hits[key, period_s] = deque()
        horizon_s = now_s - period_s
        while hits and hits[0] <= horizon_s:
            hits.popleft()
        if len(hits) >= amount:
            return hits[0] - horizon_s if hits else period_s
        hits.append(now_s)
        return 0.0

    def _sweep(self, now_s: float) -> None:
        self._swept_s = now_s
        for entry in [
            entry for entry, hits in self._hits.items() if not hits or hits[-1] <= now_s - entry[1]
        ]:
            del self._hits[entry]
        # Someone with very many addresses: the callers seen first make room, a tenth at a time.
        if len(self._hits) >= KEYS_MAX:
            for entry in list(self._hits)[: KEYS_MAX // 10]:
                del self._hits[entry]


class RedisWindows:
    """The same in Redis, so that replicas and restarts share the counts.

    While Redis is away each process counts by itself: a limit that is too generous for some seconds
    is better than an order path that depends on a cache.
    """

    def __init__(self, url: str) -> None:
        """Connect at the first hit.

        Raises:
            limits.errors.ConfigurationError: the extra `redis` is not installed.
        """
        storage = storage_from_string(
            f"async+{url}", implementation="redispy", wrap_exceptions=True, socket_timeout=0.25
        )
        self._limiter = MovingWindowRateLimiter(storage)
        self._here = MemoryWindows()

    async def hit(self, limit: RateLimitItem, key: str) -> float:
        try:
            if await self._limiter.hit(limit, key):
                return 0.0
            stats: WindowStats = await self._limiter.get_window_stats(limit, key)
        except StorageError as error:
            FALLBACKS.inc()
            log.warning("rate_limit_store_away", error=str(error))
            return await self._here.hit(limit, key)
        return max(stats.reset_time - time.time(), 0.001)


def open_windows(url: str) -> Windows:
    """Return the windows that a cache URL names.

    Raises:
        ValueError: the scheme is neither `memory` nor `redis`.
    """
    scheme = url.partition("://")[0]
    if scheme == "memory":
        return MemoryWindows()
    if scheme in {"redis", "rediss"}:
        return RedisWindows(url)
    raise ValueError(f"cache_url: {scheme!r} is not memory:// or redis://")


def retry_after_s(wait_s: float) -> int:
    """Return whole seconds for the `Retry-After` header, never 0."""
    return max(1, ceil(wait_s))
