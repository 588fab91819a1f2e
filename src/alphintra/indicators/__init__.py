"""Technical indicators behind one face: over arrays, and bar by bar, with the same bits.

    from alphintra import indicators

    indicators.compute("SMA", {"close": closes}, timeperiod=20)["real"]
    line = indicators.stream("SMA", timeperiod=20)
    line.update(close=101.5)

All functions of TA-Lib are here under their own names, and some that it lacks. Importing this
package loads neither TA-Lib nor Numba; the first use does.
"""

from alphintra.indicators.description import (
    IndicatorInfo,
    InputInfo,
    OutputInfo,
    ParameterInfo,
    Shape,
)
from alphintra.indicators.errors import (
    IndicatorInputInvalid,
    IndicatorInputMissing,
    IndicatorLengthsDiffer,
    IndicatorParameterInvalid,
    IndicatorUnknown,
)
from alphintra.indicators.face import (
    IndicatorStream,
    Memory,
    catalogue,
    compute,
    describe,
    remembering,
    stream,
)
from alphintra.indicators.sessions import session_numbers

__all__ = [
    "IndicatorInfo",
    "IndicatorInputInvalid",
    "IndicatorInputMissing",
    "IndicatorLengthsDiffer",
    "IndicatorParameterInvalid",
    "IndicatorStream",
    "IndicatorUnknown",
    "InputInfo",
    "Memory",
    "OutputInfo",
    "ParameterInfo",
    "Shape",
    "catalogue",
    "compute",
    "describe",
    "remembering",
    "session_numbers",
    "stream",
]
