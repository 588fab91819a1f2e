"""A line made shorter keeps what the eye looks for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alphintra.research.reports.thinning import candles_of, rows_to_keep
from tests.research.realistic import DAY_NS, bars_of


@given(st.integers(1, 3_000), st.integers(10, 500), st.integers(0, 2**32))
def test_ends_and_extremes_of_each_line_stay(length: int, limit: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    lines = [np.cumsum(generator.normal(size=length)) for _ in range(2)]
    rows = rows_to_keep(*lines, limit=limit)
    assert len(rows) <= max(limit, 10) + 1
    assert (np.diff(rows) > 0).all()
    assert rows[0] == 0
    assert rows[-1] == length - 1
    for line in lines:
        assert line[rows].max() == line.max()
        assert line[rows].min() == line.min()


def test_holes_in_a_line_do_not_hide_its_extremes() -> None:
    line = np.sin(np.arange(10_000) / 50.0)
    line[::7] = np.nan
    line[777] = 9.0
    assert np.nanmax(line[rows_to_keep(line, limit=100)]) == 9.0


def test_candles_put_together_span_what_they_are_made_of() -> None:
    bars = bars_of("ACME", count=1_003, step_ns=DAY_NS // 24, seed=2)
    candles = candles_of(bars, limit=100)
    assert len(candles.open) <= 100
    assert candles.bars_in_one == 11
    assert candles.high.max() == bars.high.max()
    assert candles.low.min() == bars.low.min()
    assert candles.open[0] == bars.open[0]
    assert candles.close[-1] == bars.close[-1]
    assert candles.close[0] == bars.close[10]
    assert candles.length_ns == 11 * DAY_NS // 24


def test_few_bars_stay_as_they_are() -> None:
    bars = bars_of("ACME", count=50, step_ns=DAY_NS, seed=2)
    candles = candles_of(bars)
    np.testing.assert_array_equal(candles.open, bars.open)
    assert candles.bars_in_one == 1
