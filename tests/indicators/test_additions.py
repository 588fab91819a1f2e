"""The indicators that TA-Lib lacks, against their formulas written out plainly."""

import math
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from alphintra import indicators
from tests.indicators.conftest import Columns

Array = NDArray[np.float64]


def compute(name: str, columns: Columns, output: str = "real", **parameters: float) -> Array:
    return np.asarray(indicators.compute(name, columns, **parameters)[output])


def rolling(function: Callable[[Array], float], values: Array, period: int) -> Array:
    """Apply a function to each window; NaN before the first."""
    found = np.full(len(values), np.nan)
    for row in range(period - 1, len(values)):
        found[row] = function(values[row - period + 1 : row + 1])
    return found


def shifted(values: Array, bars: int) -> Array:
    return np.concatenate((np.full(bars, np.nan), values[: len(values) - bars]))


def true_range(columns: Columns) -> Array:
    before = shifted(columns["close"], 1)
    high, low = columns["high"], columns["low"]
    return np.maximum(high - low, np.maximum(np.abs(high - before), np.abs(low - before)))


def assert_close(found: Array, expected: Array) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.fixture(params=["walk", "spy_minutes"])
def bars(request: pytest.FixtureRequest) -> Columns:
    found: Columns = request.getfixturevalue(request.param)
    return found


def test_session_vwap(bars: Columns) -> None:
    price = (bars["high"] + bars["low"] + bars["close"]) / 3
    vwap, upper = np.empty(len(price)), np.empty(len(price))
    for row in range(len(price)):
        same = (bars["session"] == bars["session"][row]) & (np.arange(len(price)) <= row)
        weights = bars["volume"][same]
        vwap[row] = np.average(price[same], weights=weights) if weights.any() else price[row]
        variance = (
            np.average((price[same] - vwap[row]) ** 2, weights=weights) if weights.any() else 0.0
        )
        upper[row] = vwap[row] + 2 * math.sqrt(variance)
    assert_close(compute("SESSION_VWAP", bars, "vwap"), vwap)
    np.testing.assert_allclose(compute("SESSION_VWAP", bars, "upperband"), upper, rtol=0, atol=1e-5)


def test_session_vwap_of_one_session_is_talib_vwap(bars: Columns) -> None:
    one = {**bars, "session": np.zeros(len(bars["close"])), "volume": bars["volume"] + 1}
    assert_close(compute("SESSION_VWAP", one, "vwap"), compute("VWAP", one))


def test_ichimoku(bars: Columns) -> None:
    def middle(period: int) -> Array:
        highs = rolling(np.max, bars["high"], period)
        return (highs + rolling(np.min, bars["low"], period)) / 2

    assert_close(compute("ICHIMOKU", bars, "conversion"), middle(9))
    assert_close(compute("ICHIMOKU", bars, "base"), middle(26))
    assert_close(compute("ICHIMOKU", bars, "spana"), shifted((middle(9) + middle(26)) / 2, 26))
    assert_close(compute("ICHIMOKU", bars, "spanb"), shifted(middle(52), 26))


def test_alma(bars: Columns) -> None:
    weights = np.exp(-((np.arange(9) - 0.85 * 8) ** 2) / (2 * (9 / 6) ** 2))
    expected = np.full(len(bars["close"]), np.nan)
    expected[8:] = sliding_window_view(bars["close"], 9) @ weights / weights.sum()
    assert_close(compute("ALMA", bars), expected)


def test_mcginley(bars: Columns) -> None:
    expected = [bars["close"][0]]
    for close in bars["close"][1:]:
        before = expected[-1]
        expected.append(before + (close - before) / (0.6 * 14 * (close / before) ** 4))
    assert_close(compute("MCGINLEY", bars), np.array(expected))


def test_chandelier(bars: Columns) -> None:
    average = compute("ATR", bars, timeperiod=22)
    long = rolling(np.max, bars["high"], 22) - 3 * average
    short = rolling(np.min, bars["low"], 22) + 3 * average
    assert_close(compute("CHANDELIER", bars, "long"), long)
    assert_close(compute("CHANDELIER", bars, "short"), short)


def test_atr_stop_follows_and_turns(bars: Columns) -> None:
    stop, trend = compute("ATRSTOP", bars, "stop"), compute("ATRSTOP", bars, "trend")
    known = ~np.isnan(stop)
    up = known & (trend > 0)
    assert (bars["close"][up] > stop[up]).all()
    assert (bars["close"][known & ~up] <= stop[known & ~up]).all()
    goes_on = up[1:] & up[:-1]
    assert (np.diff(stop)[goes_on] >= 0).all()
    assert np.abs(np.diff(trend[known])).max() == 2


def test_lag(bars: Columns) -> None:
    np.testing.assert_array_equal(compute("LAG", bars, bars=3), shifted(bars["close"], 3))


def test_fisher(bars: Columns) -> None:
    middle = (bars["high"] + bars["low"]) / 2
    low, high = rolling(np.min, middle, 9), rolling(np.max, middle, 9)
    expected, value, transform = np.full(len(middle), np.nan), 0.0, 0.0
    for row in range(8, len(middle)):
        width = high[row] - low[row]
        # Ehlers: 0.33 of the position from -1 to 1, 0.67 of what was.
        position = 2 * ((middle[row] - low[row]) / width - 0.5) if width else 0.0
        value = max(-0.999, min(0.999, 0.33 * position + 0.67 * value))
        transform = math.atanh(value) + 0.5 * transform
        expected[row] = transform
    assert_close(compute("FISHER", bars, "fisher"), expected)
    before = shifted(expected, 1)
    before[8] = 0.0
    assert_close(compute("FISHER", bars, "trigger"), before)


def test_connors_rsi(bars: Columns) -> None:
    close = bars["close"]
    streak = [0.0]
    for change in np.diff(close):
        rising = max(streak[-1], 0.0) + 1 if change > 0 else 0.0
        streak.append(min(streak[-1], 0.0) - 1 if change < 0 else rising)
    change = np.concatenate(([np.nan], close[1:] / close[:-1] - 1))
    rank = np.full(len(close), np.nan)
    for row in range(101, len(close)):
        rank[row] = np.mean(change[row - 100 : row] < change[row]) * 100
    of_price = compute("RSI", bars, timeperiod=3)
    of_streak = compute("RSI", {"close": np.array(streak)}, timeperiod=2)
    moved = ~np.isnan(rank)
    assert (of_price[moved] + of_streak[moved] > 0).all(), "TA-Lib gives 0 for what did not move"
    assert_close(compute("CRSI", bars), (of_price + of_streak + rank) / 3)


def test_know_sure_thing(bars: Columns) -> None:
    def mean(values: Array, period: int) -> Array:
        return rolling(np.mean, values, period)

    line = sum(
        weight * mean(compute("ROC", bars, timeperiod=change), period)
        for weight, change, period in ((1, 10, 10), (2, 15, 10), (3, 20, 10), (4, 30, 15))
    )
    assert isinstance(line, np.ndarray)
    assert_close(compute("KST", bars, "kst"), line)
    assert_close(compute("KST", bars, "signal"), mean(line, 9))


def test_z_score_and_bollinger_percent(bars: Columns) -> None:
    close = bars["close"]
    mean, deviation = rolling(np.mean, close, 20), rolling(np.std, close, 20)
    np.testing.assert_allclose(compute("ZSCORE", bars), (close - mean) / deviation, rtol=1e-6)
    bands = indicators.compute("BBANDS", bars)
    width = bands["upperband"] - bands["lowerband"]
    np.testing.assert_allclose(
        compute("BBP", bars, "percentb"), (close - bands["lowerband"]) / width, rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(
        compute("BBP", bars, "bandwidth"), width / bands["middleband"], rtol=1e-6
    )


def test_choppiness(bars: Columns) -> None:
    path = rolling(np.sum, true_range(bars), 14)
    width = rolling(np.max, bars["high"], 14) - rolling(np.min, bars["low"], 14)
    assert_close(compute("CHOP", bars), 100 * np.log10(path / width) / np.log10(14))


def test_volatility(bars: Columns) -> None:
    change = np.log(bars["close"] / shifted(bars["close"], 1))
    expected = rolling(lambda window: float(np.std(window, ddof=1)), change, 20) * math.sqrt(252)
    assert_close(compute("HISTVOL", bars), expected)
    squares = np.log(bars["high"] / bars["low"]) ** 2
    expected = np.sqrt(rolling(np.mean, squares, 20) / (4 * math.log(2)) * 365)
    assert_close(compute("PARKINSON", bars, annual=365), expected)


def test_ulcer(bars: Columns) -> None:
    def depth(window: Array) -> float:
        highest = np.maximum.accumulate(window)
        return float(np.sqrt(np.mean((100 * (window - highest) / highest) ** 2)))

    assert_close(compute("ULCER", bars), rolling(depth, bars["close"], 14))


def test_what_does_not_move_has_a_value() -> None:
    flat = dict.fromkeys(("open", "high", "low", "close"), np.full(300, 50.0))
    flat |= {"volume": np.zeros(300), "session": np.zeros(300)}
    assert compute("ZSCORE", flat)[-1] == 0.0
    assert compute("BBP", flat, "percentb")[-1] == 0.5
    assert compute("CHOP", flat)[-1] == 100.0
    assert compute("FISHER", flat, "fisher")[-1] == 0.0
    assert compute("CRSI", flat)[-1] == pytest.approx(100 / 3)
    assert compute("SESSION_VWAP", flat, "vwap")[-1] == 50.0
    assert compute("ULCER", flat)[-1] == 0.0


def test_sessions_follow_the_clock_of_their_place() -> None:
    opens = [
        datetime(2024, 3, 8, 14, 30, tzinfo=UTC),  # 09:30 in New York
        datetime(2024, 3, 8, 23, 59, tzinfo=UTC),
        datetime(2024, 3, 9, 4, 59, tzinfo=UTC),  # 23:59
        datetime(2024, 3, 9, 5, 0, tzinfo=UTC),  # midnight
        datetime(2024, 3, 11, 3, 59, tzinfo=UTC),  # 23:59, summer time began
        datetime(2024, 3, 11, 4, 0, tzinfo=UTC),
    ]
    open_ns = np.array([int(at.timestamp()) * 1_000_000_000 for at in opens])
    numbers = indicators.session_numbers(open_ns, timezone="America/New_York")
    np.testing.assert_array_equal(numbers - numbers[0], [0, 0, 0, 1, 2, 3])
    evening = indicators.session_numbers(open_ns, timezone="America/New_York", starts_at="18:00")
    np.testing.assert_array_equal(evening - evening[0], [0, 1, 1, 1, 3, 3])
