"""Which sessions the symbols of a run trade in."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alphintra.core.errors import BadRequest
from alphintra.engine.portfolio import Sessions, SymbolTerms
from alphintra.engine.series import DAY_NS, Bars, Series
from alphintra.market import session_times

#: An exchange's code such as "XNYS", `ALWAYS`, or sessions: shape (n, 2), nanoseconds, when each
#: opens and closes.
Calendar = str | NDArray[np.int64]
#: One for all symbols, or one for each that has one.
CalendarOf = Calendar | Mapping[str, Calendar]

ALWAYS: Final = "ALWAYS"
#: What the demo data was traded on.
_DEMO_CALENDAR: Final = "XNYS"
#: Sessions are known so far around the data: over every holiday, so that the last order has one.
AROUND: Final = timedelta(days=15)
_AROUND_NS: Final = AROUND.days * DAY_NS


class CalendarOfNothing(BadRequest):
    """A calendar was given for a symbol that the run does not have. Take one of its symbols."""

    code = "calendar_of_nothing"


def known_calendar(data: object) -> CalendarOf | None:
    """Return the calendar of data that says by itself where it was traded: the demo's."""
    parts = [data] if isinstance(data, str | Path) else data
    if not isinstance(parts, Sequence) or not parts:
        return None
    is_demo = all(isinstance(part, str) and part.startswith("demo:") for part in parts)
    return _DEMO_CALENDAR if is_demo else None


def with_sessions(
    terms: Sequence[SymbolTerms],
    series: Sequence[Series],
    calendar: CalendarOf | None,
    *,
    lazily: bool = False,
) -> tuple[SymbolTerms, ...]:
    """Return the terms with the sessions of their calendars; terms that have some keep them.

    Args:
        lazily: read a calendar when somebody first asks for it; one that does not exist is then
            noticed as late.

    Raises:
        UnknownCalendar, BadPortfolioTerms: there is no such calendar, or its times are none.
        CalendarOfNothing: no series is of that symbol.
    """
    if calendar is None:
        return tuple(terms)
    of_symbol = calendar
    if not isinstance(of_symbol, Mapping):
        of_symbol = dict.fromkeys((one.symbol for one in terms), of_symbol)
    if strange := of_symbol.keys() - {one.symbol for one in terms}:
        raise CalendarOfNothing(f"there is no data of {', '.join(sorted(strange))}")
    return tuple(
        replace(one, sessions=_sessions(of_symbol[one.symbol], _span(one.symbol, series), lazily))
        if one.symbol in of_symbol and one.sessions is None
        else one
        for one in terms
    )


def _span(symbol: str, series: Sequence[Series]) -> tuple[int, int]:
    parts = [part for part in series if part.symbol == symbol and len(part)]
    firsts = [int((part.open_ns if isinstance(part, Bars) else part.ts_ns)[0]) for part in parts]
    lasts = [int((part.close_ns if isinstance(part, Bars) else part.ts_ns)[-1]) for part in parts]
    return min(firsts, default=0), max(lasts, default=0)


def _sessions(calendar: Calendar, span: tuple[int, int], lazily: bool) -> Sessions | None:
    if not isinstance(calendar, str):
        return Sessions(calendar)
    if calendar == ALWAYS:
        return None
    read = partial(session_times, calendar, span[0] - _AROUND_NS, span[1] + _AROUND_NS)
    return Sessions(read if lazily else read())
