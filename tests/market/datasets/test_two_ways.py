"""CSV is read by columns where every cell is what it should be, else row by row: one result."""

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alphintra.market.datasets.collecting import Raw, collect
from alphintra.market.datasets.findings import Findings
from alphintra.market.datasets.moments import NO_TIME, time_column
from alphintra.market.datasets.options import UploadOptions
from alphintra.market.files import open_table

FORMS = {
    "iso": lambda at: f"2024-03-{1 + at // 1440:02d}T{at // 60 % 24:02d}:{at % 60:02d}:00+01:00",
    "naive": lambda at: f"2024-03-{1 + at // 1440:02d} {at // 60 % 24:02d}:{at % 60:02d}:00",
    "seconds": lambda at: str(1_709_251_200 + 60 * at),
    "milliseconds": lambda at: str((1_709_251_200 + 60 * at) * 1000),
    "slashed": lambda at: f"03/{13 + at // 1440:02d}/2024 {at // 60 % 24:02d}:{at % 60:02d}",
}
CELLS = st.sampled_from(
    ["1", "1.5", " 2.25 ", "1e3", "", "nan", "-", "NULL", "-3", "1_000", "x", "inf", "=1+1", "１"]
)


def collected(path: Path, *, by_columns: bool) -> Raw:
    table = open_table(path)
    assert table.delimiter
    options = UploadOptions(timezone="Europe/Berlin")
    column = time_column(table, options, file_name="x", findings=Findings())
    assert column is not None
    return collect(
        path, table if by_columns else replace(table, delimiter=""), column, is_parquet=False
    )


def assert_equal(one: Raw, other: Raw) -> None:
    assert one.rows == other.rows
    assert one.misshapen == other.misshapen
    assert np.array_equal(one.numbers, other.numbers)
    assert np.array_equal(one.times, other.times)
    assert np.array_equal(one.garbled, other.garbled)
    for name, column in one.floats.items():
        assert np.array_equal(column, other.floats[name], equal_nan=True), name


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    form=st.sampled_from(sorted(FORMS)),
    rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=40),
    delimiter=st.sampled_from(",;\t"),
    banner=st.booleans(),
    broken=st.sampled_from(["", "one,two\n", "\n\n", "2024-03-01,1\n", '"open,1,1,1,1\n']),
)
def test_both_ways_give_the_same(
    form: str,
    rows: list[tuple[str, str]],
    delimiter: str,
    banner: bool,
    broken: str,
    tmp_path: Path,
) -> None:
    lines = ["Made by somebody"] if banner else []
    lines.append(delimiter.join(["ts", "open", "high", "low", "close"]))
    for at, (first, last) in enumerate(rows):
        lines.append(delimiter.join([FORMS[form](at * 7), first, "9", "1", last]))
    path = tmp_path / f"{uuid4().hex}.csv"
    path.write_text("\n".join(lines) + "\n" + broken)
    assert_equal(collected(path, by_columns=True), collected(path, by_columns=False))


@pytest.mark.parametrize("form", sorted(FORMS))
def test_large_files_of_each_form(form: str, tmp_path: Path) -> None:
    count = 15_000
    body = "".join(f"{FORMS[form](at)},1,2,1,{1 + at % 7 / 10}\n" for at in range(count))
    path = tmp_path / "large.csv"
    path.write_text("ts,open,high,low,close\n" + body)
    quick, slow = (collected(path, by_columns=way) for way in (True, False))
    assert_equal(quick, slow)
    assert quick.rows == count
    assert (quick.times != NO_TIME).all()
    assert set(np.diff(quick.times).tolist()) == {60 * 10**9}
