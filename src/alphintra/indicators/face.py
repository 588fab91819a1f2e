"""The two ways to use an indicator: all bars at once, or one bar after the other."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alphintra.indicators.description import IndicatorInfo, Parameters
from alphintra.indicators.errors import (
    IndicatorInputInvalid,
    IndicatorInputMissing,
    IndicatorLengthsDiffer,
    IndicatorUnknown,
)

Column = NDArray[np.float64]
#: One number for an indicator with one output, else a tuple in the order of `info.outputs`.
Value = float | tuple[float, ...]


class Handle(Protocol):
    """An indicator at a bar: takes the next one, gives the values there."""

    def push(self, values: tuple[float, ...]) -> tuple[float, ...]: ...


class Library(Protocol):
    """Where indicators come from."""

    def describe(self) -> Mapping[str, IndicatorInfo]: ...

    def run(
        self, info: IndicatorInfo, columns: list[Column], parameters: Parameters
    ) -> tuple[Column, ...]:
        """Compute over finite columns of one length of at least 1."""

    def open(self, info: IndicatorInfo, parameters: Parameters) -> Handle: ...


@cache
def _libraries() -> Mapping[str, tuple[Library, IndicatorInfo]]:
    from alphintra.indicators import additions, talib_functions

    found: dict[str, tuple[Library, IndicatorInfo]] = {}
    libraries: tuple[Library, ...] = (talib_functions.TALib(), additions.Additions())
    for library in libraries:
        for name, info in library.describe().items():
            assert name not in found, f"{name} is in both libraries"
            found[name] = (library, info)
    return MappingProxyType(dict(sorted(found.items())))


@cache
def catalogue() -> Mapping[str, IndicatorInfo]:
    """Return every indicator by its name."""
    return MappingProxyType({name: info for name, (_, info) in _libraries().items()})


def describe(name: str) -> IndicatorInfo:
    """Return what there is to know of an indicator; case does not matter.

    Raises:
        IndicatorUnknown: there is none of that name.
    """
    return _find(name)[1]


def compute(
    name: str, inputs: Mapping[str, ArrayLike], /, **parameters: object
) -> Mapping[str, Column]:
    """Compute an indicator over arrays.

    Args:
        name: as in `catalogue()`; case does not matter.
        inputs: for each input of the indicator an array under the input's name, or else under the
            name of its column (`{"close": …}`); shape (n,), oldest first. More columns are
            ignored. The beginning may be NaN: that of another indicator is.
        parameters: those of the indicator; the default is taken for the others.

    Returns:
        For each output an array of shape (n,) that is NaN until there is a value.

    Raises:
        IndicatorUnknown, IndicatorParameterInvalid, IndicatorInputMissing,
        IndicatorLengthsDiffer, IndicatorInputInvalid: as they say.
    """
    library, info = _find(name)
    chosen = info.checked(parameters)
    if (memory := _memory.get()) is not None:
        given = [inputs[_key(info, position, inputs)] for position in range(len(info.inputs))]
        return memory.recalled(
            info, given, chosen, lambda: _computed(library, info, inputs, chosen)
        )
    return _computed(library, info, inputs, chosen)


def _computed(
    library: Library, info: IndicatorInfo, inputs: Mapping[str, ArrayLike], chosen: Parameters
) -> Mapping[str, Column]:
    columns = [
        np.ascontiguousarray(inputs[key], dtype=np.float64)
        for key in (_key(info, position, inputs) for position in range(len(info.inputs)))
    ]
    if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1:
        shapes = ", ".join(
            f"{source.column} {column.shape}"
            for source, column in zip(info.inputs, columns, strict=True)
        )
        raise IndicatorLengthsDiffer(
            f"{info.name} takes one-dimensional columns of one length, not {shapes}",
            indicator=info.name,
        )
    length = len(columns[0])
    begin = max(_first_number(column) for column in columns)
    for source, column in zip(info.inputs, columns, strict=True):
        _refuse_gaps(info, source.column, column, begin)
    results = {output.name: np.full(length, np.nan) for output in info.outputs}
    if begin < length:
        values = library.run(info, [column[begin:] for column in columns], chosen)
        for result, value in zip(results.values(), values, strict=True):
            result[begin:] = value
    return results


class Memory:
    """What was computed last, up to some bytes; the columns are kept, so that none is mistaken."""

    def __init__(self, *, bytes_most: int = 64_000_000) -> None:
        self._bytes_left = bytes_most
        self._kept: OrderedDict[tuple[object, ...], tuple[list[ArrayLike], Mapping[str, Column]]]
        self._kept = OrderedDict()

    def recalled(
        self,
        info: IndicatorInfo,
        given: list[ArrayLike],
        chosen: Parameters,
        compute: Callable[[], Mapping[str, Column]],
    ) -> Mapping[str, Column]:
        key = (info.name, *chosen.values(), *map(id, given))
        if key in self._kept:
            self._kept.move_to_end(key)
        else:
            found = compute()
            self._kept[key] = given, found
            self._bytes_left -= _bytes_of(found)
            while self._bytes_left < 0 and len(self._kept) > 1:
                _, (_, oldest) = self._kept.popitem(last=False)
                self._bytes_left += _bytes_of(oldest)
        # Copies: who asks may change what they get.
        return {name: column.copy() for name, column in self._kept[key][1].items()}


_memory: ContextVar[Memory | None] = ContextVar("indicators_remembered", default=None)


@contextmanager
def remembering(memory: Memory) -> Iterator[None]:
    """Compute nothing twice on the same arrays in this block, as a sweep over parameters would.

    The arrays must not be changed as long as the memory is used.
    """
    token = _memory.set(memory)
    try:
        yield
    finally:
        _memory.reset(token)


def _bytes_of(columns: Mapping[str, Column]) -> int:
    return sum(column.nbytes for column in columns.values())


class IndicatorStream:
    """An indicator that goes bar by bar; its values are bit for bit those of `compute`.

    `value` is NaN, or a tuple of NaN, until `ready`.
    """

    __slots__ = ("_handle", "_started", "info", "parameters", "value")

    def __init__(self, library: Library, info: IndicatorInfo, parameters: Parameters) -> None:
        self.info = info
        self.parameters = parameters
        self._handle = library.open(info, parameters)
        self._started = False
        nothing = (float("nan"),) * len(info.outputs)
        self.value: Value = nothing if len(nothing) > 1 else nothing[0]

    @property
    def ready(self) -> bool:
        """Whether every output has a value."""
        value = self.value if isinstance(self.value, tuple) else (self.value,)
        return all(part == part for part in value)

    def update(self, **inputs: float) -> Value:
        """Take the next bar's values, by the inputs' names or columns, and return the value there.

        Raises:
            IndicatorInputMissing: an input was not given.
            IndicatorInputInvalid: a value is NaN after the first numbers, or infinite.
        """
        return self.push(
            *(
                inputs[_key(self.info, position, inputs)]
                for position in range(len(self.info.inputs))
            )
        )

    def push(self, *values: float) -> Value:
        """Do as `update` with the values in the order of `info.inputs`."""
        for position, value in enumerate(values):
            if value - value != 0.0:  # NaN or infinite
                if value != value and not self._started:
                    return self.value
                name = self.info.inputs[position].column
                raise IndicatorInputInvalid(
                    f"{self.info.name}: {name} is {value}", indicator=self.info.name, input=name
                )
        self._started = True
        results = self._handle.push(values)
        self.value = results if len(results) > 1 else results[0]
        return self.value


def stream(name: str, /, **parameters: object) -> IndicatorStream:
    """Return an indicator that takes one bar after the other.

    Raises:
        IndicatorUnknown, IndicatorParameterInvalid: as they say.
    """
    library, info = _find(name)
    return IndicatorStream(library, info, info.checked(parameters))


def _find(name: str) -> tuple[Library, IndicatorInfo]:
    found = _libraries().get(name.upper())
    if found is None:
        from difflib import get_close_matches

        near = get_close_matches(name.upper(), _libraries(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise IndicatorUnknown(f"there is no indicator {name!r}{hint}", indicator=name)
    return found


def _key(info: IndicatorInfo, position: int, given: Mapping[str, object]) -> str:
    source = info.inputs[position]
    if source.name in given:
        return source.name
    if source.column in given:
        return source.column
    named = source.column if source.name == source.column else f"{source.column} (or {source.name})"
    raise IndicatorInputMissing(
        f"{info.name} needs {named}; given are {', '.join(given) or 'none'}",
        indicator=info.name,
        input=source.name,
    )


def _first_number(column: Column) -> int:
    """Return the first row that is not NaN, or the length."""
    if column.size and not np.isnan(column[0]):
        return 0
    numbers = ~np.isnan(column)
    return int(numbers.argmax()) if numbers.any() else column.size


def _refuse_gaps(info: IndicatorInfo, name: str, column: Column, begin: int) -> None:
    finite = np.isfinite(column[begin:])
    if finite.all():
        return
    row = begin + int(finite.argmin())
    raise IndicatorInputInvalid(
        f"{info.name}: {name} is {column[row]} at row {row}",
        indicator=info.name,
        input=name,
        row=row,
    )
