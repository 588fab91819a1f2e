"""Candles of a longer timeframe from candles, trades or quotes.

Candles up to a day lie on a grid from the UNIX epoch, UTC, and are named by their beginning. A day
is a session of the exchange: its candle carries the date on which the session closes, at 00:00
UTC, as a label; what lies outside every session belongs to no day. Weeks begin on Monday, months
on the 1st. Nothing is filled in: where nothing was traded there is no candle.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.series import Bars, Floats, Quotes, Series, Times
from alphintra.market.datasets.content import times_of
from alphintra.market.datasets.errors import CannotDerive
from alphintra.market.datasets.options import DAY_NS, NS_PER_SECOND, timeframe_ns

#: The first and the last moment of sessions, in order, as nanoseconds.
Sessions = Sequence[tuple[int, int]]
_LONG: Final = frozenset({"w", "mo"})
_FIRST_MONDAY_NS: Final = 4 * DAY_NS


def resample(
    series: Series, timeframe: str, *, step_ns: int, sessions: Sessions | None = None
) -> Bars:
    """Return candles of `timeframe`; of quotes those of the mid price, without volume.

    Args:
        step_ns: how long the candles of `series` are, 0 for ticks.
        sessions: of the exchange; `None` for a market whose days turn at 00:00 UTC.

    Raises:
        CannotDerive: the timeframe is not a longer one that whole candles make up; or nothing of
            the series lies in a session.
    """
    target_ns = timeframe_ns(timeframe)
    _check(timeframe, target_ns, step_ns)
    times = times_of(series)
    if target_ns < DAY_NS:
        starts = times - times % target_ns
        return _aggregate(series, starts, target_ns)
    days, inside = _days(times, step_ns, sessions)
    if not inside.any():
        raise CannotDerive("nothing of the dataset lies in a session of its calendar")
    starts = _label(days, timeframe, target_ns)
    kept = series if inside.all() else _rows(series, inside)
    return _aggregate(kept, starts[inside], target_ns)


def _check(timeframe: str, target_ns: int, step_ns: int) -> None:
    if step_ns >= target_ns:
        raise CannotDerive(f"the candles are not shorter than {timeframe} already")
    is_calendar = timeframe.lstrip("0123456789") in _LONG
    if is_calendar and not timeframe.startswith("1"):
        raise CannotDerive("weeks and months are made one at a time: 1w, 1mo")
    if is_calendar:
        if step_ns > DAY_NS:
            raise CannotDerive(f"{timeframe} is made of days or shorter candles")
        return
    if target_ns >= DAY_NS and target_ns != DAY_NS:
        raise CannotDerive("days are made one at a time: 1d")
    if target_ns < DAY_NS and DAY_NS % target_ns:
        raise CannotDerive(f"a day does not consist of whole candles of {timeframe}")
    if step_ns and target_ns % step_ns:
        raise CannotDerive(f"{timeframe} does not consist of whole candles of this dataset")


def _days(times: Times, step_ns: int, sessions: Sessions | None) -> tuple[Times, NDArray[np.bool_]]:
    """Return the day that each row belongs to, as 00:00 UTC, and which rows belong to one."""
    everything = np.ones(len(times), dtype=np.bool_)
    if sessions is None or step_ns >= DAY_NS:
        return times - times % DAY_NS, everything
    if not sessions:
        raise CannotDerive("no sessions of the calendar are known for this time; take ALWAYS")
    opens = np.array([one[0] for one in sessions], dtype=np.int64)
    closes = np.array([one[1] for one in sessions], dtype=np.int64)
    at = np.searchsorted(opens, times, side="right") - 1
    inside = (at >= 0) & (times < closes[np.maximum(at, 0)])
    ends = closes[np.maximum(at, 0)] - NS_PER_SECOND  # a session that ends at midnight
    return ends - ends % DAY_NS, inside


def _label(days: Times, timeframe: str, target_ns: int) -> Times:
    if target_ns == DAY_NS:
        return days
    if timeframe == "1w":
        return days - (days - _FIRST_MONDAY_NS) % (7 * DAY_NS)
    months = days.astype("datetime64[ns]").astype("datetime64[M]")
    labels: Times = months.astype("datetime64[ns]").astype(np.int64)
    return labels


def _rows(series: Series, which: NDArray[np.bool_]) -> Series:
    names = [field.name for field in fields(series) if field.name != "symbol"]
    return replace(series, **{name: getattr(series, name)[which] for name in names})


def _aggregate(series: Series, starts: Times, target_ns: int) -> Bars:
    firsts = np.flatnonzero(np.append(True, starts[1:] != starts[:-1]))
    lasts = np.append(firsts[1:], len(starts)) - 1
    open_, high, low, close, volume = _columns(series)
    return Bars.of_length(
        series.symbol,
        starts[firsts],
        target_ns,
        open=open_[firsts],
        high=np.maximum.reduceat(high, firsts),
        low=np.minimum.reduceat(low, firsts),
        close=close[lasts],
        volume=_sums(volume, firsts),
    )


def _columns(series: Series) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    if isinstance(series, Bars):
        return series.open, series.high, series.low, series.close, series.volume
    if isinstance(series, Quotes):
        mid = (series.bid + series.ask) / 2
        if np.isnan(mid).any():
            raise CannotDerive("some quotes have one side only, so they have no mid price")
        return mid, mid, mid, mid, np.full(len(mid), np.nan)
    return series.price, series.price, series.price, series.price, series.size


def _sums(volume: Floats, firsts: NDArray[np.int64]) -> Floats:
    """Return the known volume of each candle; NaN where none of it is known."""
    known = ~np.isnan(volume)
    sums: Floats = np.add.reduceat(np.where(known, volume, 0.0), firsts)
    return np.where(np.logical_or.reduceat(known, firsts), sums, np.nan)
