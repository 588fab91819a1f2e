"""How often a caller may ask: the limits of the edge.

| path | counted | per |
|---|---|---|
| `/auth/*` | every method | address (IPv6: /64), before anything else is done |
| `/orders`, `/trade` | placing and changing (POST, PUT, PATCH) | user |
| `/orders`, `/positions` | cancelling and closing (DELETE) | user |
| `/orders`, `/trade` | reading | user |
| `/market-data/*`, `/historical_data` | every method | user |
| `/backtests`, `/optimizations`, `/strategies/*/backtest` or `optimize` | starting one | user |
| everything else | every method | user |

The three kinds of order calls have a window each, all of the size `rate_limit_orders`: a dashboard
that polls cannot keep its user from trading, and a strategy that ran into its limit can still
cancel. A user is a person or a program of that person: sessions and API keys of one user share the
windows. A plan (`Principal.plan`) may have limits of its own. Public routes other than `/auth` are
not counted.
"""

from collections.abc import Mapping
from enum import StrEnum

from limits import RateLimitItem, parse
from prometheus_client import Counter
from starlette.requests import HTTPConnection

from alphintra.core.errors import TooManyRequests
from alphintra.gateway.windows import MemoryWindows, Windows, open_windows, retry_after_s
from alphintra.platform.security import Principal
from alphintra.platform.settings import Settings

API = "/api/v1"
AUTH_PREFIX = f"{API}/auth/"
_ORDERS = f"{API}/orders"
_TRADE = f"{API}/trade"
_POSITIONS = f"{API}/positions"
_MARKET_DATA = (f"{API}/market-data/", f"{API}/historical_data")
_STRATEGIES = f"{API}/strategies/"
_RUNS = frozenset({f"{API}/backtests", f"{API}/optimizations"})

REFUSED = Counter("alphintra_rate_limited_total", "Requests refused by a rate limit", ["bucket"])


class RateLimited(TooManyRequests):
    """Too many requests of this kind. Wait as long as `Retry-After` says."""

    code = "rate_limited"


class Bucket(StrEnum):
    """What is counted together."""

    AUTH = "auth"
    ORDERS_PLACE = "orders_place"
    ORDERS_CANCEL = "orders_cancel"
    ORDERS_READ = "orders_read"
    MARKET_DATA = "market_data"
    BACKTESTS = "backtests"
    OTHER = "other"


#: Which setting (`rate_limit_<name>`, and the name within a plan) sizes a bucket.
SETTING: Mapping[Bucket, str] = {
    Bucket.AUTH: "auth",
    Bucket.ORDERS_PLACE: "orders",
    Bucket.ORDERS_CANCEL: "orders",
    Bucket.ORDERS_READ: "orders",
    Bucket.MARKET_DATA: "market_data",
    Bucket.BACKTESTS: "backtests",
    Bucket.OTHER: "other",
}


def bucket_of(method: str, path: str) -> Bucket:
    """Return what a request counts as; `path` is the versioned one."""
    if _is_under(path, _ORDERS) or _is_under(path, _TRADE):
        if method in {"GET", "HEAD"}:
            return Bucket.ORDERS_READ
        return Bucket.ORDERS_CANCEL if method == "DELETE" else Bucket.ORDERS_PLACE
    if path.startswith(_MARKET_DATA):
        return Bucket.MARKET_DATA
    if path.startswith(AUTH_PREFIX):
        return Bucket.AUTH
    if method == "DELETE" and _is_under(path, _POSITIONS):
        return Bucket.ORDERS_CANCEL
    if method == "POST" and (
        path in _RUNS
        or (path.startswith(_STRATEGIES) and path.endswith(("/backtest", "/optimize")))
    ):
        return Bucket.BACKTESTS
    return Bucket.OTHER


def _is_under(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/")


class Limits:
    """Admits requests or refuses them with 429."""

    def __init__(self, settings: Settings, windows: Windows | None = None) -> None:
        """Read the limits from settings, which have checked their notation."""
        self._windows = windows or open_windows(settings.cache_url.get_secret_value())
        self._default = {
            bucket: parse(getattr(settings, f"rate_limit_{name}"))
            for bucket, name in SETTING.items()
        }
        self._plans = {
            plan: {
                bucket: parse(sizes[name]) if name in sizes else self._default[bucket]
                for bucket, name in SETTING.items()
            }
            for plan, overrides in settings.rate_limit_plans.items()
            for sizes in [{str(name): size for name, size in overrides.items()}]
        }

    async def admit(self, connection: HTTPConnection, principal: Principal) -> None:
        """Count a request of a known caller; `requires()` calls this once it knows who is calling.

        Raises:
            RateLimited: the window of its kind is full.
        """
        scope = connection.scope
        if scope["type"] != "http":
            return  # a socket is bounded by the hub: connections, subscriptions, messages
        bucket = bucket_of(scope["method"], scope["path"])
        if bucket is Bucket.AUTH:
            return  # counted by address before authentication
        limits = self._plans.get(principal.plan, self._default)
        await self._hit(bucket, limits[bucket], principal.user_id.hex)

    async def admit_address(self, address: str) -> None:
        """Count a request to `/auth/*`.

        Raises:
            RateLimited: the address has used up its requests.
        """
        await self._hit(Bucket.AUTH, self._default[Bucket.AUTH], address)

    async def _hit(self, bucket: Bucket, limit: RateLimitItem, caller: str) -> None:
        key = f"{bucket}:{caller}"
        windows = self._windows
        # Without Redis there is nothing to wait for, and the order path skips the machinery of
        # waiting.
        wait_s = (
            windows.hit_now(limit.amount, limit.get_expiry(), key)
            if isinstance(windows, MemoryWindows)
            else await windows.hit(limit, key)
        )
        if wait_s > 0:
            REFUSED.labels(bucket).inc()
            raise RateLimited(
                f"the limit is {limit}", retry_after_s=retry_after_s(wait_s), limit=str(limit)
            )
