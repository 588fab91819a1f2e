"""A proposal for the columns of a file without a header, from what its rows can be."""

from collections.abc import Sequence
from itertools import islice
from typing import Final

import numpy as np

from alphintra.engine.series import Floats
from alphintra.market.errors import FileNotReadable, FileTooLarge
from alphintra.market.files import csv_lines
from alphintra.market.handles import AnyFile

_ROWS: Final = 500
#: Orders in which vendors write the four prices, the usual one first.
_ORDERS: Final = (
    ("open", "high", "low", "close"),
    ("open", "close", "low", "high"),
    ("open", "close", "high", "low"),
    ("close", "high", "low", "open"),
    ("high", "low", "open", "close"),
    ("high", "low", "close", "open"),
    ("low", "high", "open", "close"),
)
_COLUMNS_MIN, _COLUMNS_MAX = 5, 30


def propose_columns(path: AnyFile) -> tuple[str, ...]:
    """Return names for the columns of a headerless CSV file of candles; none if it is none.

    The first column is the time. Of the usual orders of prices the one is proposed in which high
    and low are just that, and each candle opens nearest to where the one before closed.
    """
    try:
        rows = [cells for cells, _ in islice(csv_lines(path), _ROWS)]
    except (FileNotReadable, FileTooLarge):
        return ()
    width = len(rows[0]) if rows else 0
    rows = [row for row in rows if len(row) == width]
    if not _COLUMNS_MIN <= width <= _COLUMNS_MAX or len(rows) < 2:
        return ()
    try:
        prices = np.array([[float(cell) for cell in row[1:5]] for row in rows])
    except ValueError:
        return ()
    ranked = [
        (_distance(columns), names)
        for names in _ORDERS
        if _is_consistent(columns := dict(zip(names, prices.T, strict=True)))
    ]
    if not ranked or not any(character.isdigit() for character in rows[0][0]):
        return ()
    return _named(min(ranked, key=lambda one: one[0])[1], width)


def _named(prices: Sequence[str], width: int) -> tuple[str, ...]:
    rest = ["volume", *(f"extra_{at}" for at in range(1, width))]
    return ("time", *prices, *rest[: width - 5])


def _is_consistent(columns: dict[str, Floats]) -> bool:
    high, low = columns["high"], columns["low"]
    inside = (high >= np.maximum(columns["open"], columns["close"])) & (
        low <= np.minimum(columns["open"], columns["close"])
    )
    return bool((inside & (low > 0)).mean() > 0.98)


def _distance(columns: dict[str, Floats]) -> float:
    return float(np.abs(columns["open"][1:] - columns["close"][:-1]).mean())
