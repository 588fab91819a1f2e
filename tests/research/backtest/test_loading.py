"""Strategies and data that are wrong are refused with the place where they are."""

from pathlib import Path

import numpy as np
import pytest

from alphintra.research.loading import (
    GapTooLong,
    RangeBackwards,
    RangeEmpty,
    TimeUnreadable,
    dataset_reference,
    find_gaps,
    library,
    load_data,
    load_strategy,
    parse_time,
)
from alphintra.research.result import readable
from alphintra.sdk import Bars, Strategy, StrategyNotFound, StrategyRefused
from tests.sdk.conftest import DAY_NS, MINUTE_NS, START_NS, walk

ONE = "from alphintra.sdk import Strategy\n\nclass One(Strategy):\n    pass\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text)
    return path


def test_a_file_with_one_strategy_is_loaded(tmp_path: Path) -> None:
    loaded = load_strategy(written(tmp_path, ONE))
    assert isinstance(loaded, type)
    assert issubclass(loaded, Strategy)
    assert loaded.__name__ == "One"


def test_a_base_class_of_another_is_not_meant(tmp_path: Path) -> None:
    path = written(tmp_path, ONE + "\nclass Two(One):\n    pass\n")
    loaded = load_strategy(path)
    assert isinstance(loaded, type)
    assert loaded.__name__ == "Two"


def test_one_of_several_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, ONE + "\nclass Two(Strategy):\n    pass\n")
    with pytest.raises(StrategyNotFound, match="several strategies: One, Two"):
        load_strategy(path)
    loaded = load_strategy(f"{path}:Two")
    assert isinstance(loaded, type)
    assert loaded.__name__ == "Two"
    with pytest.raises(StrategyNotFound, match="has no strategy Three; it has: One, Two"):
        load_strategy(f"{path}:Three")


def test_a_changed_file_is_loaded_anew(tmp_path: Path) -> None:
    load_strategy(written(tmp_path, ONE))
    loaded = load_strategy(written(tmp_path, ONE.replace("pass", "answer = 42")))
    assert vars(loaded)["answer"] == 42


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = (1,\n\nclass One:\n", "line 1: '\\(' was never closed"),
        ("x = 1\ny = x / 0\n", "line 2: ZeroDivisionError: division by zero"),
        ("import nothing_of_this_name\n", "line 1: ModuleNotFoundError"),
        (ONE.replace("pass", "from alphintra.sdk import param\n    n = param(5, 9, 3)"), "empty"),
    ],
)
def test_a_file_that_cannot_be_run_is_refused_with_its_line(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(StrategyRefused, match=words):
        load_strategy(written(tmp_path, text))


@pytest.mark.parametrize("reference", ["no_such_strategy", "no/such/file.py", "x.py:One"])
def test_a_strategy_that_is_not_there_is_told_with_what_is(reference: str) -> None:
    with pytest.raises(StrategyNotFound, match="sma_cross"):
        load_strategy(reference)


def test_a_file_without_a_strategy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StrategyNotFound, match="defines no strategy"):
        load_strategy(written(tmp_path, "from alphintra.sdk import Strategy\n"))


def test_the_library_holds_strategies_that_load() -> None:
    assert {"sma_cross", "rsi_mean_reversion", "breakout_bracket", "pairs"} <= set(library())
    for name in library():
        load_strategy(name)


def test_a_range_is_cut_and_its_last_day_is_part_of_it() -> None:
    days = walk(count=10, step_ns=DAY_NS)
    (cut,) = load_data(days, start="2024-01-03", end="2024-01-05")
    assert isinstance(cut, Bars)
    assert cut.open_ns.tolist() == [START_NS + day * DAY_NS for day in (2, 3, 4)]


def test_an_empty_range_tells_what_there_is() -> None:
    days = walk(count=10, step_ns=DAY_NS)
    with pytest.raises(RangeEmpty) as refused:
        load_data(days, start="2025-01-01")
    assert refused.value.detail == (
        "X has no rows from 2025-01-01 to the end; its data goes from 2024-01-01 to 2024-01-10"
    )


@pytest.mark.parametrize("end", ["2024-01-02", "2024-01-03T00:00:00Z"])
def test_a_range_that_ends_before_it_begins_is_told_as_such(end: str) -> None:
    with pytest.raises(RangeBackwards) as refused:
        load_data(walk(count=10, step_ns=DAY_NS), start="2024-01-03", end=end)
    assert (refused.value.code, refused.value.status) == ("range_backwards", 422)
    assert "2024-01-03" in refused.value.detail
    assert end in refused.value.detail


def test_times_are_read_by_their_day_where_one_begins_or_ends() -> None:
    assert readable(DAY_NS - 1) == readable(0) == "1970-01-01"
    assert readable(DAY_NS) == "1970-01-02"
    assert readable(DAY_NS - 1_000_000_000) == "1970-01-01T23:59:59Z"


def test_times_are_utc_unless_they_say_otherwise() -> None:
    assert parse_time("2024-01-01") == START_NS
    assert parse_time("2024-01-01T02:00:00+02:00") == START_NS
    assert parse_time("2024-01-01", end_of_day=True) == START_NS + DAY_NS
    with pytest.raises(TimeUnreadable):
        parse_time("yesterday")


def holey() -> Bars:
    bars = walk(count=200)
    kept = np.r_[0:50, 80:200]
    return Bars(
        "X",
        bars.open_ns[kept], bars.close_ns[kept], bars.open[kept], bars.high[kept],
        bars.low[kept], bars.close[kept], bars.volume[kept],
    )  # fmt: skip


def test_a_gap_is_told_with_its_place() -> None:
    (warning,) = find_gaps([holey()])
    assert warning.code == "data_gaps"
    assert "30m after 2024-01-01T00:50:00Z (row 49)" in warning.message
    assert find_gaps([walk()]) == []


def test_a_gap_that_is_too_long_ends_the_run() -> None:
    with pytest.raises(GapTooLong, match=r"no bars for 30m after 2024-01-01T00:50:00Z \(row 49\)"):
        find_gaps([holey()], max_gap_ns=10 * MINUTE_NS)


def test_a_dataset_is_named_by_its_content() -> None:
    first, same, other = dataset_reference(walk()), dataset_reference(walk()), walk(seed=2)
    assert first == same
    assert first.sha256 != dataset_reference(other).sha256
    assert (first.timeframe, first.rows) == ("1m", 500)
