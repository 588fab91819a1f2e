"""Cross-validation of a search: what is best on some blocks of time, judged on the others.

Every set of parameters is run once over the whole time; its daily returns are then cut into
training and test. That is exact for a strategy whose position does not depend on when it began, and
close for the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphintra.research.metrics import periods_per_year, sharpe_ratio
from alphintra.research.search.errors import SearchRefused
from alphintra.research.search.folds import CombinatorialPurgedKFold, PurgedKFold, Split
from alphintra.research.search.trials import Trials

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One split: what was chosen on its training days, and the Sharpe ratios there and in the test.

    `column` is the place among `Trials.returns_matrix()`'s columns.
    """

    split: Split
    column: int
    in_sample: float
    out_of_sample: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidation:
    """What came of all splits. Sharpe ratios are annualised.

    `paths` has the daily returns out of sample of whole histories, shape (paths, days); with
    `PurgedKFold` there is one.
    """

    folds: tuple[Fold, ...]
    days: NDArray[np.int64]
    paths: Floats
    path_sharpes: Floats

    @property
    def in_sample(self) -> float:
        """Mean Sharpe ratio of what was chosen, where it was chosen."""
        return float(np.mean([fold.in_sample for fold in self.folds]))

    @property
    def out_of_sample(self) -> float:
        """Mean Sharpe ratio of what was chosen, where it was not seen."""
        return float(np.mean([fold.out_of_sample for fold in self.folds]))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "in_sample_sharpe": self.in_sample,
            "out_of_sample_sharpe": self.out_of_sample,
            "path_sharpes": self.path_sharpes.tolist(),
            "folds": [
                {
                    "test_blocks": list(fold.split.blocks),
                    "chosen": fold.column,
                    "in_sample_sharpe": fold.in_sample,
                    "out_of_sample_sharpe": fold.out_of_sample,
                }
                for fold in self.folds
            ],
        }


def cross_validate(
    trials: Trials, method: PurgedKFold | CombinatorialPurgedKFold | None = None
) -> CrossValidation:
    """Choose by Sharpe ratio on the training days of each split, and judge on its test days.

    Args:
        trials: of a search over the whole time.
        method: the horizon is how long a position is held, in days; `None`: six blocks, two of
            them the test, with an embargo of 5 days.

    Raises:
        SearchRefused: fewer than two trials, or fewer days than blocks.
    """
    days, matrix = trials.returns_matrix()
    if matrix.shape[1] < 2:
        raise SearchRefused("cross-validation needs two or more trials that worked")
    chosen = method or CombinatorialPurgedKFold(embargo=5, horizon=1)
    per_year = periods_per_year(days)
    splits = list(chosen.split(len(days)))
    folds = [_fold(split, matrix, per_year) for split in splits]
    paths = _paths(chosen, folds, matrix)
    sharpes = np.array([_known(sharpe_ratio(path, per_year)) for path in paths])
    return CrossValidation(folds=tuple(folds), days=days, paths=paths, path_sharpes=sharpes)


def _fold(split: Split, matrix: Floats, per_year: float) -> Fold:
    if len(split.train) < 2:
        raise SearchRefused("purging and embargo leave no day to train on; take fewer blocks")
    inside = [_known(sharpe_ratio(column, per_year)) for column in matrix[split.train].T]
    best = int(np.argmax(inside))
    outside = _known(sharpe_ratio(matrix[split.test, best], per_year))
    return Fold(split=split, column=best, in_sample=inside[best], out_of_sample=outside)


def _paths(
    method: PurgedKFold | CombinatorialPurgedKFold, folds: Sequence[Fold], matrix: Floats
) -> Floats:
    rows = len(matrix)
    edges = np.linspace(0, rows, method.folds + 1).round().astype(np.int64)
    plan = (
        method.path_of()
        if isinstance(method, CombinatorialPurgedKFold)
        else [{block: block for block in range(method.folds)}]
    )
    paths = np.empty((len(plan), rows))
    for path, splits in zip(paths, plan, strict=True):
        for block, number in splits.items():
            part = slice(edges[block], edges[block + 1])
            path[part] = matrix[part, folds[number].column]
    return paths


def _known(value: float) -> float:
    """Return a Sharpe ratio; 0 for a trial that never traded."""
    return float(value) if np.isfinite(value) else 0.0
