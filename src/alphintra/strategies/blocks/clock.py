"""Times of day, days, months of many rows at once: what `sdk.blocks` finds one by one."""

from collections.abc import Collection
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.series import Floats, Times

_DAY_S: Final = 86_400


def in_window(ts_ns: Times, zone: str, start: int, end: int) -> Floats:
    """Return 1 from `start` to before `end`, minutes of the day, also over midnight; else 0."""
    seconds = _local_s(ts_ns, zone) % _DAY_S
    after, before = seconds >= 60 * start, seconds < 60 * end
    return (after & before if start <= end else after | before).astype(np.float64)


def on_weekdays(ts_ns: Times, zone: str, days: Collection[int]) -> Floats:
    """Return 1 on some days, 0 is Monday; else 0."""
    # The epoch was a Thursday.
    return np.isin((_local_s(ts_ns, zone) // _DAY_S + 3) % 7, list(days)).astype(np.float64)


def in_months(ts_ns: Times, zone: str, months: Collection[int]) -> Floats:
    """Return 1 in some months, 0 is January; else 0."""
    return np.isin(_months(_local_s(ts_ns, zone)) % 12, list(months)).astype(np.float64)


def periods(ts_ns: Times, zone: str, period: str) -> Floats:
    """Return a number that is another one in each hour, day, week, month, quarter or year."""
    seconds = _local_s(ts_ns, zone)
    if period == "hour":
        numbers = seconds // 3600
    elif period == "day":
        numbers = seconds // _DAY_S
    elif period == "week":
        numbers = (seconds // _DAY_S + 3) // 7
    else:
        numbers = _months(seconds) // {"month": 1, "quarter": 3, "year": 12}[period]
    return numbers.astype(np.float64)


def _months(seconds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return months since January 1970."""
    return seconds.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)


def _local_s(ts_ns: Times, zone: str) -> NDArray[np.int64]:
    """Return what a zone's clock shows, in seconds since the epoch as if it were UTC."""
    seconds = ts_ns // 1_000_000_000
    if zone == "UTC" or len(seconds) == 0:
        return seconds
    # Offsets change at full quarters of an hour; days in which nothing changes are looked up once.
    days, where = np.unique(seconds // _DAY_S, return_inverse=True)
    edges = np.unique(np.concatenate((days, days + 1)))
    at_edge = dict(zip(edges.tolist(), _offsets(edges * _DAY_S, zone).tolist(), strict=True))
    first = np.array([at_edge[day] for day in days.tolist()])
    last = np.array([at_edge[day + 1] for day in days.tolist()])
    offsets = first[where]
    turning = np.flatnonzero((first != last)[where])
    quarters, places = np.unique(seconds[turning] // 900, return_inverse=True)
    offsets[turning] = _offsets(quarters * 900, zone)[places]
    local: NDArray[np.int64] = seconds + offsets
    return local


def _offsets(seconds: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    info = ZoneInfo(zone)
    offsets = [datetime.fromtimestamp(one, info).utcoffset() for one in seconds.tolist()]
    return np.array([0 if one is None else one.total_seconds() for one in offsets], np.int64)
