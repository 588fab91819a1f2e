"""Timeframes: how long a candle is and where the next one begins.

Candles up to a day lie on a grid from the UNIX epoch, UTC; weeks begin on Monday, months on the
1st.
"""

from datetime import datetime, timedelta
from typing import Final, cast, get_args

from alphintra.core.clock import NS_PER_SECOND, to_datetime, to_ns
from alphintra.core.market_data import Timeframe
from alphintra.market.errors import UnknownTimeframe

_DAY_S: Final = 86_400

#: Seconds of the timeframes whose length is fixed.
FIXED_S: Final[dict[str, int]] = {
    "1s": 1,
    "5s": 5,
    "15s": 15,
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1h": 3_600,
    "4h": 14_400,
    "1d": _DAY_S,
}
FIXED_NS: Final = {name: seconds * NS_PER_SECOND for name, seconds in FIXED_S.items()}
TIMEFRAMES: Final[tuple[str, ...]] = get_args(Timeframe)

_WEEK_NS: Final = 7 * FIXED_NS["1d"]
#: 1970-01-05 was a Monday.
_FIRST_MONDAY_NS: Final = 4 * FIXED_NS["1d"]


def parse(name: str) -> Timeframe:
    """Return the timeframe of that name.

    Raises:
        UnknownTimeframe: there is none.
    """
    if name not in TIMEFRAMES:
        raise UnknownTimeframe(f"{name!r} is not one of {', '.join(TIMEFRAMES)}")
    return cast(Timeframe, name)  # narrowed by the membership test above


def is_daily_or_longer(timeframe: str) -> bool:
    """Whether candles of this timeframe carry a date rather than an instant."""
    return timeframe in {"1d", "1w", "1mo"}


def bucket_start_ns(ts_ns: int, timeframe: str) -> int:
    """Return the start of the candle that `ts_ns` falls into."""
    if (length := FIXED_NS.get(timeframe)) is not None:
        return ts_ns - ts_ns % length
    if timeframe == "1w":
        return ts_ns - (ts_ns - _FIRST_MONDAY_NS) % _WEEK_NS
    return to_ns(_month_start(to_datetime(ts_ns)))


def bucket_end_ns(start_ns: int, timeframe: str) -> int:
    """Return the first nanosecond after the candle that starts at `start_ns`."""
    if (length := FIXED_NS.get(timeframe)) is not None:
        return start_ns + length
    if timeframe == "1w":
        return start_ns + _WEEK_NS
    return to_ns(_month_start(to_datetime(start_ns) + timedelta(days=32)))


def finer(timeframe: str) -> tuple[str, ...]:
    """Return the timeframes that whole candles of `timeframe` can be made of, coarsest first."""
    if timeframe in {"1w", "1mo"}:
        usable = tuple(FIXED_S)
    else:
        length = FIXED_S[timeframe]
        usable = tuple(n for n, s in FIXED_S.items() if s < length and length % s == 0)
    return tuple(reversed(usable))


def ratio_max(timeframe: str, source: str) -> int:
    """Return how many `source` candles one candle of `timeframe` has at most."""
    length = {"1w": 7 * _DAY_S, "1mo": 31 * _DAY_S}.get(timeframe) or FIXED_S[timeframe]
    return length // FIXED_S[source]


def _month_start(at: datetime) -> datetime:
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
