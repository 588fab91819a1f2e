"""The data's own calendar: days, and how many of them make a year.

Every ratio of a report is computed from daily returns, whatever the bars are: the equity is
taken at the last moment of each day (UTC). A moment at midnight belongs to the day that ends there,
because bars are stamped by their close.
"""

from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

DAY_NS: Final = 86_400_000_000_000
YEAR_NS: Final = 365.25 * DAY_NS

#: 1970-01-01 was a Thursday; Monday is 0.
_EPOCH_WEEKDAY: Final = 3
_SATURDAY, _SUNDAY = 5, 6

Days = NDArray[np.int64]
Floats = NDArray[np.float64]


class Period(StrEnum):
    """A stretch of the calendar that returns are added up over."""

    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


def day_of(ts_ns: NDArray[np.int64]) -> Days:
    """Return the day of each moment, in days since the UNIX epoch.

    The first nanosecond of a day still belongs to the day before: that is when its last bar closed.
    """
    days: Days = (ts_ns - 1) // DAY_NS
    return days


def weekday_of(days: Days) -> NDArray[np.int64]:
    """Return the weekday of each day, Monday is 0."""
    weekdays: NDArray[np.int64] = (days + _EPOCH_WEEKDAY) % 7
    return weekdays


def day_ends(ts_ns: NDArray[np.int64]) -> tuple[Days, NDArray[np.int64]]:
    """Return `(days, rows)`: each day that has a moment, and the row of its last one.

    `ts_ns` ascends, shape (N,).

    A Sunday of a market that does not trade on Saturdays is the evening session of currencies and
    futures; it counts as the beginning of Monday.
    """
    days, rows = _last_of_each(day_of(ts_ns))
    if trades_on_weekends(days):
        return days, rows
    days, last = _last_of_each(days + (weekday_of(days) == _SUNDAY))
    return days, rows[last]


def trades_on_weekends(days: Days) -> bool:
    """Whether at least every second Saturday of the time is there; markets of crypto are so.

    `days` ascends. Less than a week says yes only when it has a Saturday.
    """
    if not len(days):
        return False
    saturdays = int(np.sum(weekday_of(days) == _SATURDAY))
    weeks = (int(days[-1]) - int(days[0]) + 1) / 7
    return saturdays > 0 and saturdays >= weeks / 2


def periods_per_year(days: Days) -> float:
    """Return how many observations at these days make a year.

    252 for a market that closes at weekends, 365 for one that does not; 52, 12, 4 or 1 when there
    is an observation a week, a month, a quarter or a year.
    """
    if len(days) > 1:
        step = float(np.median(np.diff(days)))
        for at_least, per_year in ((300.0, 1.0), (80.0, 4.0), (25.0, 12.0), (5.0, 52.0)):
            if step >= at_least:
                return per_year
    return 365.0 if trades_on_weekends(days) else 252.0


def period_of(days: Days, period: Period) -> NDArray[np.int64]:
    """Return a number for the period that each day is in; it grows with time.

    A year is its number, a quarter year·4 + 0…3, a month year·12 + 0…11, a week the count of
    Mondays since the epoch.
    """
    if period is Period.WEEK:
        weeks: NDArray[np.int64] = (days + _EPOCH_WEEKDAY) // 7
        return weeks
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) + 1970 * 12
    divisor = {Period.MONTH: 1, Period.QUARTER: 3, Period.YEAR: 12}[period]
    numbers: NDArray[np.int64] = months // divisor
    return numbers


def aggregate_returns(
    days: Days, returns: Floats, period: Period
) -> tuple[NDArray[np.int64], Floats]:
    """Return `(periods, returns)`: the compounded return of each period that has a day.

    Args:
        days: shape (N,), ascending.
        returns: shape (N,), simple returns as fractions; NaN counts as 0.
    """
    periods = period_of(days, period)
    if not len(periods):
        return periods, returns
    starts = np.flatnonzero(np.diff(periods, prepend=np.iinfo(np.int64).min))
    growth = np.multiply.reduceat(1.0 + np.nan_to_num(returns, nan=0.0), starts)
    return periods[starts], growth - 1.0


def _last_of_each(days: Days) -> tuple[Days, NDArray[np.int64]]:
    last: NDArray[np.int64] = np.flatnonzero(days[1:] != days[:-1])
    last = np.append(last, len(days) - 1) if len(days) else last
    return days[last], last
