"""Cross-validation for what has a time: no training row knows anything of a test row.

A label (or a trade) that begins at one bar is known only some bars later. Rows whose label reaches
into the test are purged from the training; rows right after the test are embargoed, because what
they see still echoes it.

Source: M. López de Prado, "Advances in Financial Machine Learning", chapters 7 and 12.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alphintra.research.search.errors import SearchRefused

Rows = NDArray[np.int64]

_SPLITS_MOST: Final = 20_000


@dataclass(frozen=True, slots=True)
class Split:
    """Rows to train on, and rows to test on; both ascend."""

    train: Rows
    test: Rows
    blocks: tuple[int, ...]  #: which blocks the test is made of


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgedKFold:
    """Each block is once the test.

    Args:
        folds: how many blocks, at least 2.
        embargo: rows after a test block that are not trained on.
        horizon: rows until the label of a row is known, when `label_ends` is not given.
    """

    folds: int = 5
    embargo: int = 0
    horizon: int = 0

    def split(self, rows: int, *, label_ends: Rows | None = None) -> Iterator[Split]:
        """Yield one split per block.

        Args:
            rows: how many there are.
            label_ends: shape (rows,), for each row the last row that its label depends on.

        Raises:
            SearchRefused: fewer rows than blocks, or an argument out of range.
        """
        yield from _splits(rows, self.folds, 1, self.embargo, self.horizon, label_ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinatorialPurgedKFold:
    """Every choice of `tests` blocks out of `folds` is once the test.

    The tests make up `paths` whole histories, each row tested once in each: a distribution of
    results out of sample instead of one.
    """

    folds: int = 6
    tests: int = 2
    embargo: int = 0
    horizon: int = 0

    @property
    def splits(self) -> int:
        """How many splits there are."""
        return comb(self.folds, self.tests)

    @property
    def paths(self) -> int:
        """How many whole histories they make up."""
        return self.splits * self.tests // self.folds

    def split(self, rows: int, *, label_ends: Rows | None = None) -> Iterator[Split]:
        """Yield one split per choice; as `PurgedKFold.split`."""
        yield from _splits(rows, self.folds, self.tests, self.embargo, self.horizon, label_ends)

    def path_of(self) -> list[dict[int, int]]:
        """Return for each path which split tests each block: `{block: number of the split}`."""
        taken = [0] * self.folds
        found: list[dict[int, int]] = [{} for _ in range(self.paths)]
        for number, blocks in enumerate(combinations(range(self.folds), self.tests)):
            for block in blocks:
                found[taken[block]][block] = number
                taken[block] += 1
        return found


def _splits(
    rows: int, folds: int, tests: int, embargo: int, horizon: int, label_ends: Rows | None
) -> Iterator[Split]:
    if not 2 <= folds <= rows:
        raise SearchRefused(f"{rows} rows cannot be cut into {folds} blocks")
    if not 1 <= tests < folds or comb(folds, tests) > _SPLITS_MOST:
        raise SearchRefused(f"{tests} of {folds} blocks cannot be the test")
    if embargo < 0 or horizon < 0:
        raise SearchRefused("embargo and horizon are not negative")
    if label_ends is None:
        label_ends = np.minimum(np.arange(rows) + horizon, rows - 1)
    if len(label_ends) != rows or (label_ends < np.arange(rows)).any():
        raise SearchRefused("label_ends has one row for each row, none before the row itself")
    edges = np.linspace(0, rows, folds + 1).round().astype(np.int64)
    for blocks in combinations(range(folds), tests):
        ranges = _joined([(int(edges[block]), int(edges[block + 1])) for block in blocks])
        test = np.concatenate([np.arange(first, end) for first, end in ranges])
        keep = np.ones(rows, dtype=bool)
        for first, end in ranges:
            # From the first row whose label reaches into the test, to where the labels of the
            # test are known and the embargo is over.
            reach = int(label_ends[first:end].max())
            keep[first : max(end, reach + 1) + embargo] = False
            keep[:first] &= label_ends[:first] < first
        yield Split(np.flatnonzero(keep), test, blocks)


def _joined(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for first, end in ranges:
        if found and found[-1][1] == first:
            found[-1] = (found[-1][0], end)
        else:
            found.append((first, end))
    return found
