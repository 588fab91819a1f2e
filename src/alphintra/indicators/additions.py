"""Indicators that TA-Lib lacks: what each takes and gives. The arithmetic is in `kernels`.

Nothing here looks ahead. That is why there is no ZigZag (its last leg is drawn again with each
bar) and no lagging span of Ichimoku (the close, drawn where it was not known yet).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.indicators.description import (
    IndicatorInfo,
    InputInfo,
    OutputInfo,
    ParameterInfo,
    Parameters,
    Shape,
)

Column = NDArray[np.float64]
Size = Callable[[Parameters], int]

_PERIOD_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class _Addition:
    """An indicator with the name of its kernel and the size of what the kernel remembers."""

    info: IndicatorInfo
    kernel: str
    state: Size


class Additions:
    """Our own indicators as a library."""

    def describe(self) -> Mapping[str, IndicatorInfo]:
        return {name: addition.info for name, addition in _ADDITIONS.items()}

    def run(
        self, info: IndicatorInfo, columns: list[Column], parameters: Parameters
    ) -> tuple[Column, ...]:
        addition = _ADDITIONS[info.name]
        out = np.empty((len(info.outputs), len(columns[0])))
        _kernel(addition.kernel)(
            np.zeros(addition.state(parameters)), np.array(columns), _vector(parameters), out
        )
        return tuple(out)

    def open(self, info: IndicatorInfo, parameters: Parameters) -> "_Handle":
        return _Handle(_ADDITIONS[info.name], parameters)


class _Handle:
    """A kernel that is given one bar after the other."""

    __slots__ = ("_kernel", "_out", "_parameters", "_state", "_x")

    def __init__(self, addition: _Addition, parameters: Parameters) -> None:
        self._kernel = _kernel(addition.kernel)
        self._state = np.zeros(addition.state(parameters))
        self._parameters = _vector(parameters)
        self._x = np.empty((len(addition.info.inputs), 1))
        self._out = np.empty((len(addition.info.outputs), 1))

    def push(self, values: tuple[float, ...]) -> tuple[float, ...]:
        self._x[:, 0] = values
        self._kernel(self._state, self._x, self._parameters, self._out)
        return tuple(self._out[:, 0].tolist())


@cache
def _kernel(name: str) -> Callable[..., Any]:
    from alphintra.indicators import kernels  # Numba takes its time

    found: Callable[..., Any] = getattr(kernels, name)
    return found


def _vector(parameters: Parameters) -> Column:
    return np.array(list(parameters.values()), dtype=np.float64)


def _period(name: str, default: int, title: str = "Period", *, minimum: int = 1) -> ParameterInfo:
    return ParameterInfo(
        name=name, title=title, kind=int, default=default, minimum=minimum, maximum=_PERIOD_MAX
    )


def _real(name: str, title: str, default: float, low: float | None = None) -> ParameterInfo:
    return ParameterInfo(name=name, title=title, kind=float, default=default, minimum=low, step=0.1)


#: Column -> name of the input, where it may be any series.
_REAL: Final = InputInfo(name="real", column="close")


def _inputs(names: str) -> tuple[InputInfo, ...]:
    return tuple(
        _REAL if name == "real" else InputInfo(name=name, column=name) for name in names.split()
    )


def _outputs(names: str) -> tuple[OutputInfo, ...]:
    """Read "name" or "name:shape", with blanks between."""
    parts = (name.partition(":") for name in names.split())
    return tuple(
        OutputInfo(name=name, shape=Shape(shape or "line"), whole=name == "trend")
        for name, _, shape in parts
    )


def _whole(parameters: Parameters, name: str = "timeperiod") -> int:
    return int(parameters[name])


def _ichimoku_lookback(p: Parameters) -> int:
    conversion, base, span, shift = (int(value) for value in p.values())
    return max(conversion - 1, base - 1, max(conversion, base, span) - 1 + shift)


def _ichimoku_state(p: Parameters) -> int:
    conversion, base, span, shift = (int(value) for value in p.values())
    return 1 + 2 * max(conversion, base, span) + 2 * (shift + 1)


def _kst(p: Parameters) -> tuple[list[int], list[int], int]:
    values = [int(value) for value in p.values()]
    return values[:4], values[4:8], values[8]


def _kst_lookback(p: Parameters) -> int:
    changes, means, signal = _kst(p)
    return max(a + b - 1 for a, b in zip(changes, means, strict=True)) + signal - 1


def _kst_state(p: Parameters) -> int:
    changes, means, signal = _kst(p)
    return 1 + max(changes) + 1 + sum(means) + signal + 1


def _declare() -> dict[str, _Addition]:
    found: dict[str, _Addition] = {}

    def add(
        name: str,
        title: str,
        kernel: str,
        *,
        group: str,
        inputs: str,
        outputs: str,
        parameters: tuple[ParameterInfo, ...],
        lookback: Size,
        state: Size,
        overlay: bool = False,
        recursive: bool = False,
        note: str = "",
    ) -> None:
        info = IndicatorInfo(
            name=name,
            title=title,
            group=group,
            inputs=_inputs(inputs),
            parameters=parameters,
            outputs=_outputs(outputs),
            overlay=overlay,
            recursive=recursive,
            note=note,
            source="Alphintra",
            lookback=lookback,
        )
        found[name] = _Addition(info, kernel, state)

    _add_averages(add)
    _add_oscillators(add)
    _add_volatility(add)
    return found


def _add_averages(add: Callable[..., None]) -> None:
    """Declare what is drawn over the price."""
    group = "Overlap Studies"
    add(
        "SESSION_VWAP",
        "Volume Weighted Average Price of the session",
        "session_vwap",
        group=group,
        inputs="high low close volume session",
        outputs="vwap upperband:band lowerband:band",
        parameters=(_real("nbdev", "Deviations", 2.0),),
        lookback=lambda _: 0,
        state=lambda _: 5,
        overlay=True,
        note="`session` is a number that changes where a session begins (`session_numbers` makes "
        "it); a number that changes at any other bar anchors it there. The typical price until "
        "there is volume.",
    )
    add(
        "ICHIMOKU",
        "Ichimoku Cloud",
        "ichimoku",
        group=group,
        inputs="high low",
        outputs="conversion base spana:band spanb:band",
        parameters=(
            _period("conversionperiod", 9, "Conversion period"),
            _period("baseperiod", 26, "Base period"),
            _period("spanperiod", 52, "Span period"),
            _period("displacement", 26, "Displacement", minimum=0),
        ),
        lookback=_ichimoku_lookback,
        state=_ichimoku_state,
        overlay=True,
        note="The spans stand where they are drawn: they were computed `displacement` bars before. "
        "There is no lagging span, because it is the close of a later bar.",
    )
    add(
        "ALMA",
        "Arnaud Legoux Moving Average",
        "alma",
        group=group,
        inputs="real",
        outputs="real",
        parameters=(
            _period("timeperiod", 9),
            ParameterInfo(
                name="offset",
                title="Offset",
                kind=float,
                default=0.85,
                minimum=0.0,
                maximum=1.0,
                step=0.01,
            ),
            _real("sigma", "Sigma", 6.0, 0.1),
        ),
        lookback=lambda p: _whole(p) - 1,
        state=lambda p: 1 + _whole(p),
        overlay=True,
    )
    add(
        "MCGINLEY",
        "McGinley Dynamic",
        "mcginley",
        group=group,
        inputs="real",
        outputs="real",
        parameters=(_period("timeperiod", 14),),
        lookback=lambda _: 0,
        state=lambda _: 2,
        overlay=True,
        recursive=True,
    )
    add(
        "CHANDELIER",
        "Chandelier Exit",
        "chandelier",
        group=group,
        inputs="high low close",
        outputs="long short",
        parameters=(_period("timeperiod", 22), _real("multiplier", "Multiplier", 3.0, 0.0)),
        lookback=_whole,
        state=lambda p: 4 + 2 * _whole(p),
        overlay=True,
        recursive=True,
        note="Highest high less, and lowest low plus, so many average true ranges.",
    )
    add(
        "ATRSTOP",
        "ATR Trailing Stop",
        "atr_stop",
        group=group,
        inputs="high low close",
        outputs="stop trend:points",
        parameters=(_period("timeperiod", 21), _real("multiplier", "Multiplier", 3.0, 0.0)),
        lookback=_whole,
        state=lambda _: 7,
        overlay=True,
        recursive=True,
        note="Measured from the close; `SUPERTREND` is measured from the middle of the bar.",
    )
    add(
        "LAG",
        "The value some bars ago",
        "lag",
        group="Math Transform",
        inputs="real",
        outputs="real",
        parameters=(_period("bars", 1, "Bars"),),
        lookback=lambda p: _whole(p, "bars"),
        state=lambda p: 1 + _whole(p, "bars"),
        overlay=True,
    )


def _add_oscillators(add: Callable[..., None]) -> None:
    """Declare what swings in a pane of its own."""
    group = "Momentum Indicators"
    add(
        "FISHER",
        "Fisher Transform",
        "fisher",
        group=group,
        inputs="high low",
        outputs="fisher trigger:dashed",
        parameters=(_period("timeperiod", 9),),
        lookback=lambda p: _whole(p) - 1,
        state=lambda p: 3 + _whole(p),
        recursive=True,
        note="`trigger` is the value of the bar before.",
    )
    add(
        "CRSI",
        "Connors RSI",
        "connors_rsi",
        group=group,
        inputs="real",
        outputs="real",
        parameters=(
            _period("rsiperiod", 3, "RSI period"),
            _period("streakperiod", 2, "Streak period"),
            _period("rankperiod", 100, "Rank period"),
        ),
        lookback=lambda p: int(max(p["rankperiod"] + 1, p["rsiperiod"], p["streakperiod"])),
        state=lambda p: 11 + _whole(p, "rankperiod"),
        recursive=True,
        note="The RSI of something that has not moved is taken as 50.",
    )
    add(
        "KST",
        "Know Sure Thing",
        "know_sure_thing",
        group=group,
        inputs="real",
        outputs="kst signal:dashed",
        parameters=(
            *(
                _period(f"rocperiod{number}", default, f"Change period {number}")
                for number, default in enumerate((10, 15, 20, 30), start=1)
            ),
            *(
                _period(f"smaperiod{number}", default, f"Average period {number}")
                for number, default in enumerate((10, 10, 10, 15), start=1)
            ),
            _period("signalperiod", 9, "Signal period"),
        ),
        lookback=_kst_lookback,
        state=_kst_state,
    )
    add(
        "ZSCORE",
        "Z-Score",
        "z_score",
        group="Statistic Functions",
        inputs="real",
        outputs="real",
        parameters=(_period("timeperiod", 20, minimum=2),),
        lookback=lambda p: _whole(p) - 1,
        state=lambda p: 1 + _whole(p),
        note="Deviations (of the window as a population) from the mean; 0 where nothing moves.",
    )


def _add_volatility(add: Callable[..., None]) -> None:
    """Declare what says how much the price moves."""
    group = "Volatility Indicators"
    year = _real("annual", "Bars in a year", 252.0, 1.0)
    add(
        "BBP",
        "Bollinger %B and bandwidth",
        "bollinger_percent",
        group=group,
        inputs="real",
        outputs="percentb bandwidth",
        parameters=(
            _period("timeperiod", 20, minimum=2),
            _real("nbdevup", "Deviations above", 2.0, 0.0),
            _real("nbdevdn", "Deviations below", 2.0, 0.0),
        ),
        lookback=lambda p: _whole(p) - 1,
        state=lambda p: 1 + _whole(p),
        note="%B is 0 at the lower band and 1 at the upper one; 0.5 where nothing moves.",
    )
    add(
        "CHOP",
        "Choppiness Index",
        "choppiness",
        group=group,
        inputs="high low close",
        outputs="real",
        parameters=(_period("timeperiod", 14, minimum=2),),
        lookback=_whole,
        state=lambda p: 2 + 3 * _whole(p),
        note="100 where nothing moves.",
    )
    add(
        "HISTVOL",
        "Historical Volatility",
        "historical_volatility",
        group=group,
        inputs="real",
        outputs="real",
        parameters=(_period("timeperiod", 20, minimum=2), year),
        lookback=_whole,
        state=lambda p: 2 + _whole(p),
        note="Deviation (of a sample) of the logarithmic changes, for a year, as a fraction.",
    )
    add(
        "PARKINSON",
        "Parkinson Volatility",
        "parkinson",
        group=group,
        inputs="high low",
        outputs="real",
        parameters=(_period("timeperiod", 20), year),
        lookback=lambda p: _whole(p) - 1,
        state=lambda p: 1 + _whole(p),
        note="From highs and lows, for a year, as a fraction.",
    )
    add(
        "ULCER",
        "Ulcer Index",
        "ulcer",
        group=group,
        inputs="real",
        outputs="real",
        parameters=(_period("timeperiod", 14),),
        lookback=lambda p: _whole(p) - 1,
        state=lambda p: 1 + _whole(p),
    )


_ADDITIONS: Final = _declare()
