"""Which session a bar belongs to, for the indicators that begin anew with each."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

_DAY_S = 86_400


def session_numbers(
    open_ns: NDArray[np.int64], *, timezone: str = "UTC", starts_at: str = "00:00"
) -> NDArray[np.float64]:
    """Return the number of the session that each bar opens in: the input `session`.

    Args:
        open_ns: shape (n,), when each bar opens, in nanoseconds since the epoch, UTC, ascending.
        timezone: the clock that `starts_at` is read on, with its summer time.
        starts_at: "HH:MM" at which a session begins.

    Raises:
        ValueError: `starts_at` is no time of day.
        zoneinfo.ZoneInfoNotFoundError: there is no such time zone.
    """
    start = datetime.strptime(starts_at, "%H:%M")  # noqa: DTZ007 - a time of day has no zone
    start_s = start.hour * 3600 + start.minute * 60
    seconds = open_ns // 1_000_000_000
    zone = ZoneInfo(timezone)
    # The offset of a zone changes at full quarters of an hour: look it up once for each of them.
    quarters, where = np.unique(seconds // 900, return_inverse=True)
    offsets = np.array(
        [datetime.fromtimestamp(int(quarter) * 900, zone).utcoffset() for quarter in quarters],
        dtype="timedelta64[s]",
    ).astype(np.int64)
    return ((seconds + offsets[where] - start_s) // _DAY_S).astype(np.float64)
