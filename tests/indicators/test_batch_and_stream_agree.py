"""Every indicator gives the same bits over arrays and bar by bar."""

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from alphintra import indicators
from alphintra.indicators import IndicatorInfo
from tests.indicators.conftest import Columns, random_columns

NAMES = sorted(indicators.catalogue())


def parameter_sets(info: IndicatorInfo) -> Iterator[Mapping[str, float]]:
    """Yield the defaults, the shortest, longer than the defaults, and every kind of average."""
    yield {}
    periods = [p for p in info.parameters if p.kind is int and not p.choices]
    if periods:
        yield {p.name: max(p.minimum or 0, 1) for p in periods}
        yield {p.name: p.default * 2 + 1 for p in periods}
        yield {p.name: p.default + number for number, p in enumerate(periods)}
    for p in info.parameters:
        if p.choices:
            yield from ({p.name: number} for number in range(len(p.choices)))
        if p.kind is float:
            yield {p.name: p.default * 0.5}


def by_stream(
    info: IndicatorInfo, columns: Columns, parameters: Mapping[str, float]
) -> list[NDArray[np.float64]]:
    """Compute bar by bar and return one array per output."""
    handle = indicators.stream(info.name, **parameters)
    rows = []
    for row in range(len(columns["close"])):
        value = handle.update(**{name: float(column[row]) for name, column in columns.items()})
        rows.append(value if isinstance(value, tuple) else (value,))
    return list(np.array(rows, dtype=np.float64).reshape(-1, len(info.outputs)).T)


def assert_same(info: IndicatorInfo, columns: Columns, parameters: Mapping[str, float]) -> None:
    batch = indicators.compute(info.name, columns, **parameters)
    stream = by_stream(info, columns, parameters)
    assert list(batch) == [output.name for output in info.outputs]
    for (name, expected), found in zip(batch.items(), stream, strict=True):
        expected, found = np.ascontiguousarray(expected), np.ascontiguousarray(found)
        same = (expected.view(np.int64) == found.view(np.int64)) | (
            np.isnan(expected) & np.isnan(found)
        )
        row = int(same.argmin()) if same.size else 0
        assert same.all(), (
            f"{info.name}({parameters}).{name} row {row}: {expected[row]!r} != {found[row]!r}"
        )


@pytest.mark.parametrize("name", NAMES)
def test_on_random_bars(name: str, walk: Columns) -> None:
    info = indicators.describe(name)
    for parameters in parameter_sets(info):
        assert_same(info, walk, parameters)


@pytest.mark.parametrize("name", NAMES)
def test_on_real_bars(name: str, spy502: Columns, spy_minutes: Columns) -> None:
    info = indicators.describe(name)
    assert_same(info, spy502, {})
    assert_same(info, spy_minutes, {})


@pytest.mark.parametrize("name", NAMES)
def test_on_few_bars(name: str) -> None:
    info = indicators.describe(name)
    warm_up = info.warm_up()
    for rows in {0, 1, 2, warm_up, warm_up + 1, warm_up + 2}:
        assert_same(info, random_columns(rows), {})


@pytest.mark.parametrize("name", NAMES)
def test_when_the_beginning_is_not_known(name: str, walk: Columns) -> None:
    info = indicators.describe(name)
    late = {key: column.copy() for key, column in walk.items()}
    for number, column in enumerate(late.values()):
        column[: 5 + number] = np.nan
    assert_same(info, late, {})


@pytest.mark.parametrize("name", NAMES)
def test_warm_up_ends_where_every_output_has_a_value(name: str, walk: Columns) -> None:
    info = indicators.describe(name)
    if name in {"ACOS", "ASIN"}:  # have values from -1 to 1 only
        walk = {key: column / 1_000 for key, column in walk.items()}
    for parameters in parameter_sets(info):
        columns = indicators.compute(name, walk, **parameters).values()
        known = np.all([~np.isnan(column) for column in columns], axis=0)
        warm_up = info.warm_up(**parameters)
        assert not known[:warm_up].any(), parameters
        assert known[warm_up:].all(), parameters
