"""The sessions of an exchange for whoever has no database: backtests at the command line."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from alphintra.core.clock import NS_PER_SECOND
from alphintra.market.errors import UnknownCalendar

_TIMEOUT_S: Final = 120
#: What has been read: the first and the last year, and the sessions.
_KNOWN: Final[dict[str, tuple[int, int, NDArray[np.int64]]]] = {}


def session_times(calendar: str, start_ns: int, end_ns: int) -> NDArray[np.int64]:
    """Return the sessions of an exchange that have any time in common with [start_ns, end_ns).

    The first call for a calendar takes a second or three; the answer is kept.

    Args:
        calendar: an exchange's code, such as XNYS, or another name of `exchange_calendars`.

    Returns:
        Shape (n, 2): when each session opens and closes, in nanoseconds, the end excluded.

    Raises:
        UnknownCalendar: there is none of that name, or it does not reach so far.
    """
    first, last = (
        datetime.fromtimestamp(ns // NS_PER_SECOND, UTC).year for ns in (start_ns, end_ns)
    )
    known = _KNOWN.get(calendar)
    if known is None or first < known[0] or last > known[1]:
        if known is not None:
            first, last = min(first, known[0]), max(last, known[1])
        known = _KNOWN[calendar] = first, last, _read(calendar, first, last)
    times = known[2]
    begin = np.searchsorted(times[:, 1], start_ns, side="right")
    return times[begin : np.searchsorted(times[:, 0], end_ns)]


def _read(calendar: str, first: int, last: int) -> NDArray[np.int64]:
    # In a process of its own: the library is large, and brings pandas with it.
    script = Path(__file__).with_name("calendars.py")
    command = [sys.executable, "-I", str(script), calendar, f"{first}-01-01", f"{last}-12-31"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnknownCalendar(f"the calendar {calendar} could not be read: {error}") from error
    if done.returncode != 0:
        told = (done.stderr.decode(errors="replace").strip().splitlines() or ["no answer"])[-1]
        raise UnknownCalendar(f"the calendar {calendar} could not be read: {told}")
    pairs = msgspec.json.decode(done.stdout, type=list[tuple[int, int]])
    return np.array(pairs, np.int64).reshape(-1, 2) * NS_PER_SECOND
