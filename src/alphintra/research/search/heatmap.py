"""A figure over two parameters: where the good ones are, and whether they stand alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.research.search.errors import SearchRefused
from alphintra.research.search.optimisation import Search
from alphintra.research.search.trials import Objective

Floats = NDArray[np.float64]

#: More columns or rows than this are put together.
_CELLS_MOST: Final = 60

_REDUCTIONS: Final[dict[str, Callable[[list[float]], float]]] = {
    "best": max,
    "mean": lambda values: float(np.mean(values)),
    "worst": min,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """`values` has shape (len(y_values), len(x_values)); NaN where nothing was tried."""

    metric: str
    x: str
    y: str
    x_values: tuple[Any, ...]
    y_values: tuple[Any, ...]
    values: Floats

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "metric": self.metric,
            "x": self.x,
            "y": self.y,
            "x_values": list(self.x_values),
            "y_values": list(self.y_values),
            "values": [
                [value if np.isfinite(value) else None for value in row]
                for row in self.values.tolist()
            ],
        }


def heat_map(
    search: Search,
    x: str | None = None,
    y: str | None = None,
    *,
    metric: str | None = None,
    reduce: str = "best",
) -> HeatMap:
    """Return a figure over two of the parameters that were searched.

    Args:
        x, y: parameters; `None`: the first two. With only one, there is one row.
        metric: a figure; `None`: the first objective.
        reduce: what a cell says of the trials that differ in other parameters: the best, the mean
            or the worst of them. The mean hides less.

    Raises:
        SearchRefused: a parameter that was not searched, an unknown figure or reduction.
    """
    searched = search.space.searched
    first = x or searched[0]
    second = y or next((name for name in searched if name != first), "")
    for name in (first, second):
        if name and name not in searched:
            raise SearchRefused(f"{name} was not searched; searched were {', '.join(searched)}")
    if reduce not in _REDUCTIONS:
        raise SearchRefused(f"{reduce!r} is none of {', '.join(_REDUCTIONS)}")
    objective = search.objectives[0]
    figure = metric or objective.metric
    cells: dict[tuple[Any, Any], list[float]] = {}
    for trial in search.trials.succeeded():
        if figure not in trial.metrics:
            raise SearchRefused(f"there is no figure {figure}")
        value = trial.metrics[figure]
        if value is not None:
            key = (trial.parameters[first], trial.parameters[second] if second else "")
            cells.setdefault(key, []).append(value)
    swapped = {"best": "worst", "worst": "best"}
    wanted = objective if figure == objective.metric else Objective.parse(figure)
    reduction = _REDUCTIONS[swapped.get(reduce, reduce) if not wanted.maximise else reduce]
    columns, column_of = _axis([key[0] for key in cells])
    rows, row_of = _axis([key[1] for key in cells])
    gathered: dict[tuple[int, int], list[float]] = {}
    for (left, upper), values in cells.items():
        gathered.setdefault((row_of[upper], column_of[left]), []).extend(values)
    grid = np.full((len(rows), len(columns)), np.nan)
    for place, values in gathered.items():
        grid[place] = reduction(values)
    return HeatMap(metric=figure, x=first, y=second, x_values=columns, y_values=rows, values=grid)


def _axis(values: list[Any]) -> tuple[tuple[Any, ...], dict[Any, int]]:
    """Return the labels of an axis, and the place of each value on it."""
    different = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    if len(different) <= _CELLS_MOST:
        return tuple(different), {value: place for place, value in enumerate(different)}
    groups = np.array_split(np.arange(len(different)), _CELLS_MOST)
    labels = tuple(different[int(group[0])] for group in groups)
    places = {different[int(i)]: place for place, group in enumerate(groups) for i in group}
    return labels, places
