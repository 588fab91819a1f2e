"""Values that another library computed on the same 502 bars.

Where the two have different conventions, the test says which, and holds the difference to it.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from alphintra import indicators
from tests.indicators.conftest import Columns

Reference = Callable[[str, str], NDArray[np.float64]]


@pytest.fixture(scope="session")
def reference(market_data_dir: Path) -> Reference:
    """Read one column of a file of reference values."""

    def read(file: str, column: str) -> NDArray[np.float64]:
        path = market_data_dir / "reference/stockindicators" / f"{file}.standard.json"
        rows = json.loads(path.read_text())
        return np.array(
            [np.nan if row[column] is None else row[column] for row in rows], dtype=np.float64
        )

    return read


SAME = [
    ("SMA", {"timeperiod": 20}, "real", "sma", "sma"),
    ("EMA", {"timeperiod": 20}, "real", "ema", "ema"),
    ("RSI", {}, "real", "rsi", "rsi"),
    ("CCI", {"timeperiod": 20}, "real", "cci", "cci"),
    ("WILLR", {}, "real", "willr", "williamsR"),
    ("TRANGE", {}, "real", "atr", "tr"),
    ("ATR", {}, "real", "atr", "atr"),
    ("NATR", {}, "real", "atr", "atrp"),
    ("BBANDS", {}, "upperband", "bb", "upperBand"),
    ("BBANDS", {}, "lowerband", "bb", "lowerBand"),
    ("BBP", {}, "percentb", "bb", "percentB"),
    ("BBP", {}, "bandwidth", "bb", "width"),
    ("ZSCORE", {}, "real", "bb", "zScore"),
    ("ATRSTOP", {}, "stop", "atr-stop", "atrStop"),
]


@pytest.mark.parametrize(("name", "parameters", "output", "file", "column"), SAME)
def test_equal(
    name: str,
    parameters: dict[str, float],
    output: str,
    file: str,
    column: str,
    spy502: Columns,
    reference: Reference,
) -> None:
    found = indicators.compute(name, spy502, **parameters)[output]
    np.testing.assert_allclose(found, reference(file, column), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "parameters", "output", "file", "column"),
    [
        ("STOCH", {"fastk_period": 14}, "slowk", "stoch", "k"),
        ("STOCH", {"fastk_period": 14}, "slowd", "stoch", "d"),
        ("STOCHRSI", {"fastk_period": 14}, "fastk", "stoch-rsi", "stochRsi"),
        ("KDJ", {"fastk_period": 14, "slowk_matype": 0, "slowd_matype": 0}, "j", "stoch", "j"),
    ],
)
def test_equal_once_both_have_values(
    name: str,
    parameters: dict[str, float],
    output: str,
    file: str,
    column: str,
    spy502: Columns,
    reference: Reference,
) -> None:
    """TA-Lib shows the faster line only once the slower one is there."""
    found, expected = (
        indicators.compute(name, spy502, **parameters)[output],
        reference(file, column),
    )
    begin = indicators.describe(name).warm_up(**parameters)
    assert not np.isnan(expected[begin:]).any()
    np.testing.assert_allclose(found[begin:], expected[begin:], rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "output", "file", "column", "settled_after"),
    [
        # TA-Lib's first sum has a bar less; Wilder's average forgets it.
        ("PLUS_DI", "real", "adx", "pdi", 400),
        ("MINUS_DI", "real", "adx", "mdi", 400),
        ("DX", "real", "adx", "dx", 400),
        ("ADX", "real", "adx", "adx", 400),
        # TA-Lib begins both averages at the same bar.
        ("MACD", "macd", "macd", "macd", 250),
        ("MACD", "macdsignal", "macd", "signal", 250),
        ("MACD", "macdhist", "macd", "histogram", 250),
    ],
)
def test_another_beginning_is_forgotten(
    name: str,
    output: str,
    file: str,
    column: str,
    settled_after: int,
    spy502: Columns,
    reference: Reference,
) -> None:
    found, expected = indicators.compute(name, spy502)[output], reference(file, column)
    assert np.nanmax(np.abs(found - expected)) > 1e-3
    np.testing.assert_allclose(found[settled_after:], expected[settled_after:], rtol=0, atol=1e-7)


def test_obv_begins_with_the_first_volume(spy502: Columns, reference: Reference) -> None:
    """There it begins with zero."""
    found = indicators.compute("OBV", spy502)["real"] - reference("obv", "obv")
    np.testing.assert_array_equal(found, spy502["volume"][0])


def test_adxr_looks_one_bar_less_back(spy502: Columns, reference: Reference) -> None:
    """Wilder's is the mean with the ADX of `timeperiod - 1` bars ago; there it is `timeperiod`."""
    adx = indicators.compute("ADX", spy502)["real"]
    before = indicators.compute("LAG", {"real": adx}, bars=13)["real"]
    np.testing.assert_allclose(
        indicators.compute("ADXR", spy502)["real"], (adx + before) / 2, rtol=1e-12
    )
    expected = reference("adx", "adx")
    np.testing.assert_allclose(
        reference("adx", "adxr")[41:], (expected[41:] + expected[27:-14]) / 2, rtol=1e-12
    )
