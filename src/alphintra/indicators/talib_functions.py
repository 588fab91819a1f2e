"""TA-Lib's functions: what they take is asked of TA-Lib itself, so an update needs no table."""

from collections.abc import Iterator, Mapping
from importlib import import_module
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
from alphintra.indicators.errors import IndicatorParameterInvalid

#: Its own type hints leave out half of what it has.
talib: Any = import_module("talib")
abstract: Any = import_module("talib.abstract")
handles: Any = import_module("talib.stream")

Column = NDArray[np.float64]

_PERIOD_MAX: Final = 100_000
#: TA-Lib's way to say that a number has no bound.
_UNBOUNDED: Final = 3e37
_MINIMA: Final = (-_UNBOUNDED, 0.0, 0.01, 0.1, 1.0)
_MAXIMA: Final = (_UNBOUNDED, 100.0, 1.0, 0.99)

_TITLES: Final = {
    "timeperiod": "Period",
    "matype": "Kind of average",
    "nbdev": "Deviations",
    "nbdevup": "Deviations above",
    "nbdevdn": "Deviations below",
    "vfactor": "Volume factor",
}
#: What TA-Lib's own text does not say.
_NOTES: Final = {
    "FRACTAL": "A swing is known only after the bars to its right: it stands at the bar that "
    "confirms it, `rightbars` after the swing.",
    "MAMA": "TA-Lib wants `fastlimit` to be above `slowlimit`.",
    "MAVP": "The period of each bar is an input: at least `minperiod`, at most `maxperiod`.",
    **dict.fromkeys(
        ("MAXINDEX", "MININDEX", "MINMAXINDEX"), "Rows are counted from the first number."
    ),
    "VWAP": "Runs on from the first bar; `SESSION_VWAP` begins anew each session.",
}


class TALib:
    """TA-Lib as a library of indicators."""

    def describe(self) -> Mapping[str, IndicatorInfo]:
        return {name: _describe(name) for name in talib.get_functions()}

    def run(
        self, info: IndicatorInfo, columns: list[Column], parameters: Parameters
    ) -> tuple[Column, ...]:
        try:
            found = getattr(talib, info.name)(*columns, **parameters)
        except MemoryError:
            raise
        except Exception as exc:  # TA-Lib raises nothing more exact
            raise _refusal(info, parameters) from exc
        results = found if isinstance(found, tuple) else (found,)
        # Whole numbers have no NaN: TA-Lib writes 0 where there is no value.
        begin = info.lookback(parameters)
        results = tuple(result.astype(np.float64, copy=False) for result in results)
        for output, result in zip(info.outputs, results, strict=True):
            if output.whole:
                result[:begin] = np.nan
        return results

    def open(self, info: IndicatorInfo, parameters: Parameters) -> "_Handle":
        return _Handle(info, parameters)


class _Handle:
    """TA-Lib's handle, opened as soon as there are bars enough."""

    __slots__ = ("_handle", "_history", "_info", "_needed", "_nothing", "_parameters")

    def __init__(self, info: IndicatorInfo, parameters: Parameters) -> None:
        self._info = info
        self._parameters = parameters
        self._needed = info.lookback(parameters) + 1
        self._history: list[tuple[float, ...]] = []
        self._handle: Any = None
        self._nothing = (float("nan"),) * len(info.outputs)

    def push(self, values: tuple[float, ...]) -> tuple[float, ...]:
        if self._handle is not None:
            found = self._handle.update(*values)
            return found if isinstance(found, tuple) else (float(found),)
        self._history.append(values)
        if len(self._history) < self._needed:
            return self._nothing
        columns = np.array(self._history, dtype=np.float64).T
        try:
            self._handle = getattr(handles, self._info.name)(
                *(np.ascontiguousarray(column) for column in columns), **self._parameters
            )
        except talib.InsufficientHistory:
            return self._nothing  # some need a little more than they say
        self._history.clear()
        found = self._handle.value
        return found if isinstance(found, tuple) else (float(found),)


def _describe(name: str) -> IndicatorInfo:
    info = abstract.Function(name).info
    flags = info["function_flags"]
    candlestick = "Output is a candlestick" in flags
    inputs = tuple(_inputs(info["input_names"]))
    return IndicatorInfo(
        name=name,
        title=info["display_name"],
        group=info["group"],
        inputs=inputs,
        parameters=tuple(_parameter(name, *item) for item in info["parameters"].items()),
        outputs=tuple(
            OutputInfo(
                name=output,
                shape=Shape.POINTS if candlestick or name == "FRACTAL" else _shape(marks),
                whole=kind.kind == "i",
            )
            for (output, marks), kind in zip(
                info["output_flags"].items(), _output_kinds(name, len(inputs)), strict=True
            )
        ),
        overlay="Output scale same as input" in flags or candlestick or name == "FRACTAL",
        recursive=bool({"Function has an unstable period", "Output is path-dependent"} & {*flags}),
        note=_NOTES.get(name, ""),
        lookback=_Lookback(name),
    )


class _Lookback:
    """How many bars a function needs before the first value, for given parameters."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, parameters: Parameters) -> int:
        bars = _lookback(self._name, parameters)
        if bars is None:
            raise IndicatorParameterInvalid(
                f"{self._name} refuses {_shown(parameters)} together", indicator=self._name
            )
        return bars


def _lookback(name: str, parameters: Parameters) -> int | None:
    """Return TA-Lib's answer, or `None` when it refuses the parameters."""
    try:
        bars = abstract.Function(name, **parameters).lookback
    except Exception:  # TA-Lib raises nothing more exact
        return None
    return int(bars) if bars >= 0 else None


def _output_kinds(name: str, inputs: int) -> list[np.dtype[Any]]:
    """Return the types of a function's outputs: TA-Lib has no other way to ask."""
    found = getattr(talib, name)(*[np.zeros(1)] * inputs)
    return [column.dtype for column in (found if isinstance(found, tuple) else (found,))]


def _inputs(names: Mapping[str, str | list[str]]) -> Iterator[InputInfo]:
    """Flatten TA-Lib's groups. A lone price is the input `real`, two are `real0` and `real1`."""
    for group, columns in names.items():
        if isinstance(columns, list):
            yield from (InputInfo(name=column, column=column) for column in columns)
        elif group == "periods":
            yield InputInfo(name=group, column=columns)
        else:
            yield InputInfo(name=group.replace("price", "real"), column=columns)


def _parameter(function: str, name: str, default: float) -> ParameterInfo:
    title = _TITLES.get(name) or name.replace("_", " ").replace("period", " period").capitalize()
    title = " ".join(title.split())
    if name.endswith("matype"):
        averages = _averages()
        return ParameterInfo(
            name=name,
            title=title,
            kind=int,
            default=default,
            minimum=0,
            maximum=len(averages) - 1,
            choices=averages,
        )
    if isinstance(default, int):
        minimum = next(value for value in (0, 1, 2, 3) if _takes(function, name, value))
        return ParameterInfo(
            name=name,
            title=title,
            kind=int,
            default=default,
            minimum=minimum,
            maximum=_PERIOD_MAX,
        )
    low = next(value for value in _MINIMA if _takes(function, name, value))
    high = next(value for value in _MAXIMA if _takes(function, name, value))
    return ParameterInfo(
        name=name,
        title=title,
        kind=float,
        default=default,
        minimum=None if low == -_UNBOUNDED else low,
        maximum=None if high == _UNBOUNDED else high,
        step=0.01 if default < 1 else 0.1,
    )


def _takes(function: str, name: str, value: float) -> bool:
    return _lookback(function, {name: value}) is not None


def _averages() -> tuple[str, ...]:
    """Return the names of TA-Lib's moving averages in the order of their numbers."""
    kinds = vars(type(talib.MA_Type))
    numbered = {value: name for name, value in kinds.items() if isinstance(value, int)}
    return tuple(numbered[number] for number in sorted(numbered))


def _shape(marks: list[str]) -> Shape:
    if "Histogram" in marks:
        return Shape.HISTOGRAM
    if "Dashed Line" in marks:
        return Shape.DASHED
    limits = {"Values represent an upper limit", "Values represent a lower limit"}
    return Shape.BAND if limits & {*marks} else Shape.LINE


def _shown(parameters: Parameters) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in parameters.items()) or "its inputs"


def _refusal(info: IndicatorInfo, parameters: Parameters) -> IndicatorParameterInvalid:
    return IndicatorParameterInvalid(
        f"{info.name} refuses {_shown(parameters)} together", indicator=info.name
    )
