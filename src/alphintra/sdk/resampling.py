"""Longer bars from shorter ones, as a strategy may see them."""

import re
from typing import Final

import numpy as np

from alphintra.engine.series import DAY_NS, Bars
from alphintra.sdk.errors import StrategyRefused

_UNIT_NS: Final = {
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}
#: The epoch was a Thursday; weeks begin on Mondays.
_WEEK_OFFSET_NS: Final = 4 * _UNIT_NS["d"]


def duration_ns(text: str) -> int:
    """Return the length of "30s", "5m", "1h", "1d" or "1w" in nanoseconds.

    Raises:
        StrategyRefused: it is not such a text.
    """
    match = re.fullmatch(r"([1-9]\d{0,5})([smhdw])", text)
    if match is None:
        raise StrategyRefused(f"{text!r} is not a length of time such as 30s, 5m, 1h, 1d or 1w")
    return int(match[1]) * _UNIT_NS[match[2]]


def duration_text(length_ns: int) -> str:
    """Return a length of time as `duration_ns` reads it."""
    for unit in ("w", "d", "h", "m", "s"):
        count, rest = divmod(length_ns, _UNIT_NS[unit])
        if count and not rest:
            return f"{count}{unit}"
    return f"{length_ns / 1e9:g}s"


def offset_ns(timeframe: str) -> int:
    """Return where after the epoch the stretches of a timeframe begin: weeks on a Monday."""
    return _WEEK_OFFSET_NS if timeframe.endswith("w") else 0


def resampled(bars: Bars, timeframe: str) -> Bars:
    """Return bars of a longer timeframe, cut at whole multiples of it in UTC, weeks on Mondays.

    A bar ends where its stretch ends, whichever bars are missing in it, so that a strategy that
    is shown closed bars only never sees a part of one. Stretches without bars have none.

    Raises:
        StrategyRefused: the timeframe is not longer than the bars.
    """
    length_ns = duration_ns(timeframe)
    if len(bars) and int((bars.close_ns - bars.open_ns).max()) > length_ns:
        raise StrategyRefused(f"{bars.symbol}: bars of {timeframe} cannot be made from longer ones")
    begin_ns = offset_ns(timeframe)
    stretch = (bars.open_ns - begin_ns) // length_ns
    first = np.flatnonzero(np.diff(stretch, prepend=stretch[:1] - 1))
    last = np.append(first[1:], len(stretch)) - 1
    open_ns = stretch[first] * length_ns + begin_ns
    if len(first) == 0:
        return bars
    return Bars(
        bars.symbol,
        open_ns,
        # A bar that reaches beyond its stretch is only known when it has closed.
        np.maximum(open_ns + length_ns - (length_ns >= DAY_NS), bars.close_ns[last]),
        bars.open[first],
        np.maximum.reduceat(bars.high, first),
        np.minimum.reduceat(bars.low, first),
        bars.close[last],
        np.add.reduceat(bars.volume, first),
    )
