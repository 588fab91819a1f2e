"""Reads the cases of the reference file: literals over a few named series, never run as code."""

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: 2000-01-30, a Sunday: where all series of the file begin.
_FIRST = int(np.datetime64("2000-01-30").astype(np.int64))


@dataclass(frozen=True, slots=True)
class Series:
    """Returns and the day of each, in days since the epoch."""

    values: Floats
    days: NDArray[np.int64]

    def __neg__(self) -> "Series":
        return Series(-self.values, self.days)

    def __rmul__(self, factor: float) -> "Series":
        return Series(factor * self.values, self.days)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return Series(self.values[key], self.days[key])
        return float(self.values[key])


def days_of(count: int, frequency: str) -> NDArray[np.int64]:
    """Return days from 2000-01-30 on: each day, each Sunday, or each month's or year's last day."""
    row = np.arange(count)
    if frequency == "D":
        return _FIRST + row
    if frequency == "W":
        return _FIRST + 7 * row
    unit = {"M": "M", "A": "Y"}[frequency]
    first = np.datetime64("2000-01-30").astype(f"datetime64[{unit}]")
    days: NDArray[np.int64] = (first + 1 + row).astype("datetime64[D]").astype(np.int64)
    return days - 1


def per_cent(*values: float, frequency: str = "D") -> Series:
    """Return a series of percentages as fractions."""
    return Series(np.array(values, dtype=np.float64) / 100.0, days_of(len(values), frequency))


def evaluate(text: str, names: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return the cases of a text like `(a, 0.1, np.nan), (b, 0.2, 1.5)`.

    Raises:
        KeyError: a name that is not in `names`.
        TypeError: a construct that no case of the file has.
    """
    # A comment in the file lost its line end: it goes on to the next case.
    tree = ast.parse(f"[{re.sub('#[^(]*', '', text)}]", mode="eval")
    assert isinstance(tree.body, ast.List)
    cases = [_value(node, names) for node in tree.body.elts]
    return [case if isinstance(case, tuple) else (case,) for case in cases]


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return names[name]
        case ast.Attribute():
            return names[ast.unparse(node)]
        case ast.Tuple(elts=elements):
            return tuple(_value(element, names) for element in elements)
        case ast.List(elts=elements):
            return [_value(element, names) for element in elements]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names)
        case ast.BinOp():
            return _binary(node, names)
        case ast.Subscript(value=value, slice=ast.Slice(lower=ast.Constant(value=lower))):
            return _value(value, names)[lower:]
        case ast.Subscript(value=value, slice=ast.Constant(value=index)):
            return _value(value, names)[index]
        case ast.Call(func=func, args=args, keywords=keywords):
            called: Callable[..., Any] = names[ast.unparse(func)]
            return called(
                *(_value(arg, names) for arg in args),
                **{str(word.arg): _value(word.value, names) for word in keywords},
            )
        case _:
            raise TypeError(f"no case has {ast.unparse(node)}")


def _binary(node: ast.BinOp, names: Mapping[str, Any]) -> Any:
    left, right = _value(node.left, names), _value(node.right, names)
    match node.op:
        case ast.Add():
            return left + right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case _:
            raise TypeError(f"no case has {ast.unparse(node)}")


def aligned(first: Series, second: Series) -> tuple[Floats, Floats]:
    """Return the values on the days that either has; NaN where one has none."""
    days = np.union1d(first.days, second.days)
    return _on(first, days), _on(second, days)


def _on(series: Series, days: NDArray[np.int64]) -> Floats:
    values = np.full(len(days), np.nan)
    values[np.searchsorted(days, series.days)] = series.values
    return values


def rolling(
    function: Callable[..., Any], window: int, *series: Sequence[float] | Floats
) -> list[Any]:
    """Return the function of each window of so many values."""
    count = min(map(len, series)) - window + 1
    return [function(*(line[row : row + window] for line in series)) for row in range(count)]
