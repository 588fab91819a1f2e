"""Where bars are missing that there should be."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.series import DAY_NS, Bars

#: So many missing bars in a row are a gap; weekends of daily bars are shorter.
MISSING_BARS: Final = 5
#: No exchange is closed for longer without a reason that a reader should know.
_LONGEST_HOLIDAY_NS: Final = 5 * DAY_NS
_BARS_LEAST: Final = 10


def gaps_in(bars: Bars, missing_bars: int = MISSING_BARS) -> NDArray[np.int64]:
    """Return the rows behind which more bars than that are missing.

    The hours in which a market is closed are none: it closes at the same time again and again.
    """
    if len(bars) < _BARS_LEAST:
        return np.zeros(0, np.int64)
    steps = np.diff(bars.open_ns)
    wide = np.flatnonzero(steps > np.median(steps) * (missing_bars + 1))
    _, number, count = np.unique(
        bars.close_ns[wide] % DAY_NS, return_inverse=True, return_counts=True
    )
    days = int(bars.close_ns[-1] - bars.open_ns[0]) / DAY_NS
    closing = count[number] >= max(3.0, 0.05 * days)
    found: NDArray[np.int64] = wide[~closing | (steps[wide] > _LONGEST_HOLIDAY_NS)]
    return found
