"""Nothing of the training reaches into the test."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphintra.research.search import CombinatorialPurgedKFold, PurgedKFold
from alphintra.research.search.errors import SearchRefused


@given(
    rows=st.integers(12, 120),
    folds=st.integers(2, 6),
    embargo=st.integers(0, 5),
    horizon=st.integers(0, 8),
    tests=st.integers(1, 3),
)
def test_no_label_of_the_training_overlaps_one_of_the_test(
    rows: int, folds: int, embargo: int, horizon: int, tests: int
) -> None:
    tests = min(tests, folds - 1)
    method = CombinatorialPurgedKFold(folds=folds, tests=tests, embargo=embargo, horizon=horizon)
    splits = list(method.split(rows))
    assert len(splits) == method.splits
    tested = np.zeros(rows, dtype=np.int64)
    for split in splits:
        tested[split.test] += 1
        train = set(split.train.tolist())
        for row in split.test.tolist():
            # The label of `row` is known at row + horizon, as that of a training row is at its own.
            close = range(max(0, row - horizon), min(rows, row + horizon + 1))
            assert not train & set(close)
        for row, following in pairwise([*split.test.tolist(), rows + 10]):
            if following > row + 1:
                echo = range(row + horizon + 1, row + horizon + 1 + embargo)
                assert not train & set(echo)
    # Each row is tested equally often, and each path tests it once.
    assert set(tested.tolist()) == {method.splits * tests // folds}


def test_without_purge_and_embargo_all_rows_are_used() -> None:
    for split in PurgedKFold(folds=4).split(10):
        assert sorted([*split.train, *split.test]) == list(range(10))


def test_what_a_label_depends_on_can_be_told_row_by_row() -> None:
    ends = np.array([5, 1, 2, 3, 9, 5, 6, 7, 8, 9])
    second = list(PurgedKFold(folds=5).split(10, label_ends=ends))[1]
    # Rows 2 and 3 are the test: row 0 reaches into it, row 1 does not.
    assert second.test.tolist() == [2, 3]
    assert second.train.tolist() == [1, 4, 5, 6, 7, 8, 9]
    third = list(PurgedKFold(folds=5).split(10, label_ends=ends))[2]
    assert third.train.tolist() == [1, 2, 3]


def test_paths_are_whole_histories() -> None:
    method = CombinatorialPurgedKFold(folds=6, tests=2)
    assert (method.splits, method.paths) == (15, 5)
    blocks = [split.blocks for split in method.split(60)]
    seen = set()
    for path in method.path_of():
        assert sorted(path) == list(range(6))
        for block, number in path.items():
            assert block in blocks[number]
            seen.add((block, number))
    assert len(seen) == 30  # every block of every split is used, once


@pytest.mark.parametrize(
    "method",
    [
        PurgedKFold(folds=1),
        PurgedKFold(folds=11),
        PurgedKFold(embargo=-1),
        CombinatorialPurgedKFold(folds=4, tests=4),
        CombinatorialPurgedKFold(folds=10, tests=0),
    ],
)
def test_refused(method: PurgedKFold | CombinatorialPurgedKFold) -> None:
    with pytest.raises(SearchRefused):
        list(method.split(10))
