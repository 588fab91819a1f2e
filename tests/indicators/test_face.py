"""What the face refuses, and what it says of each indicator."""

import subprocess
import sys
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from alphintra import indicators
from alphintra.core.errors import Problem
from tests.indicators.conftest import Columns, random_columns

CLOSES = {"close": np.arange(1.0, 60.0)}


def test_every_function_of_talib_is_there() -> None:
    talib: Any = import_module("talib")
    catalogue = indicators.catalogue()
    names = set(talib.get_functions())
    assert len(names) == 201
    assert {name for name, info in catalogue.items() if info.source == "TA-Lib"} == names
    assert {"SESSION_VWAP", "ICHIMOKU", "CRSI"} <= set(catalogue) - names


def test_an_input_goes_by_its_name_or_its_column(walk: Columns) -> None:
    by_column = indicators.compute("sma", walk, timeperiod=5)["real"]
    by_name = indicators.compute("SMA", {"real": walk["close"]}, timeperiod=5)["real"]
    np.testing.assert_array_equal(by_column, by_name)
    spread = indicators.compute("SUB", {"real0": walk["high"], "real1": walk["close"]})["real"]
    np.testing.assert_array_equal(spread, walk["high"] - walk["close"])


def test_indicators_of_indicators(walk: Columns) -> None:
    smooth = indicators.compute("SMA", walk, timeperiod=10)["real"]
    again = indicators.compute("RSI", {"real": smooth}, timeperiod=5)["real"]
    assert np.isnan(again[:14]).all()
    assert not np.isnan(again[14:]).any()


def test_an_average_goes_by_its_name() -> None:
    by_name = indicators.compute("MA", CLOSES, timeperiod=5, matype="ema")["real"]
    np.testing.assert_array_equal(by_name, indicators.compute("EMA", CLOSES, timeperiod=5)["real"])


@pytest.mark.parametrize(
    ("name", "columns", "parameters", "code", "says"),
    [
        ("SAM", CLOSES, {}, "indicator_unknown", "did you mean"),
        ("SMA", CLOSES, {"period": 5}, "indicator_parameter_invalid", "it has timeperiod"),
        ("CDLDOJI", CLOSES, {"period": 5}, "indicator_parameter_invalid", "it has none"),
        ("SMA", CLOSES, {"timeperiod": 0}, "indicator_parameter_invalid", "at least 1"),
        ("SMA", CLOSES, {"timeperiod": 200_000}, "indicator_parameter_invalid", "at most 100000"),
        ("SMA", CLOSES, {"timeperiod": 2.5}, "indicator_parameter_invalid", "a whole number"),
        ("SMA", CLOSES, {"timeperiod": True}, "indicator_parameter_invalid", "a whole number"),
        ("SMA", CLOSES, {"timeperiod": "ten"}, "indicator_parameter_invalid", "a whole number"),
        ("SAR", CLOSES, {"maximum": float("nan")}, "indicator_parameter_invalid", "a number"),
        ("SAR", CLOSES, {"maximum": -0.1}, "indicator_parameter_invalid", "at least 0"),
        ("MA", CLOSES, {"matype": "XMA"}, "indicator_parameter_invalid", "one of SMA, EMA"),
        (
            "MAVP",
            random_columns(50),
            {"minperiod": 20, "maxperiod": 10},
            "indicator_parameter_invalid",
            "together",
        ),
        ("ATR", CLOSES, {}, "indicator_input_missing", "ATR needs high"),
        ("SMA", {}, {}, "indicator_input_missing", "close (or real)"),
        (
            "SUB",
            {"real0": np.zeros(3), "real1": np.zeros(4)},
            {},
            "indicator_lengths_differ",
            "(3,), low (4,)",
        ),
        ("SMA", {"close": np.zeros((3, 2))}, {}, "indicator_lengths_differ", "(3, 2)"),
        ("SMA", {"close": [1, 2, np.nan, 3]}, {}, "indicator_input_invalid", "nan at row 2"),
        ("SMA", {"close": [np.nan, 2, np.inf]}, {}, "indicator_input_invalid", "inf at row 2"),
    ],
)
def test_refused(
    name: str, columns: Columns, parameters: dict[str, object], code: str, says: str
) -> None:
    with pytest.raises(Problem) as refused:
        indicators.compute(name, columns, **parameters)
    assert refused.value.code == code
    assert says in refused.value.detail


def test_a_stream_refuses_a_gap_and_stays_as_it_was() -> None:
    line = indicators.stream("SMA", timeperiod=2)
    assert np.isnan(line.update(close=float("nan")))
    assert not bool(line.ready)
    line.update(close=1.0)
    assert line.update(close=2.0) == 1.5
    assert bool(line.ready)
    with pytest.raises(indicators.IndicatorInputInvalid, match="close is nan"):
        line.update(close=float("nan"))
    with pytest.raises(indicators.IndicatorInputMissing):
        line.update(high=1.0)
    assert line.value == 1.5
    assert line.update(close=4.0) == 3.0


def test_a_stream_checks_its_parameters_when_it_is_made() -> None:
    with pytest.raises(indicators.IndicatorParameterInvalid):
        indicators.stream("SMA", timeperiod=0)
    with pytest.raises(indicators.IndicatorParameterInvalid, match="together"):
        indicators.stream("MAVP", minperiod=20, maxperiod=10)


def test_a_description_is_enough_for_a_form_and_a_chart() -> None:
    info = indicators.describe("BBANDS")
    assert info.title == "Bollinger Bands"
    assert info.overlay
    assert [output.shape for output in info.outputs] == ["band", "line", "band"]
    assert info.warm_up(timeperiod=10) == 9
    kind = info.parameters[-1]
    assert kind.choices[:3] == ("SMA", "EMA", "WMA")
    assert (kind.minimum, kind.maximum) == (0, len(kind.choices) - 1)
    macd = indicators.describe("MACD")
    assert not macd.overlay
    assert [output.shape for output in macd.outputs] == ["line", "dashed", "histogram"]
    for info in indicators.catalogue().values():
        assert info.inputs
        assert info.outputs
        for parameter in info.parameters:
            assert parameter.checked(parameter.default, info.name) == parameter.default


def test_the_package_loads_nothing_heavy() -> None:
    code = "import sys, alphintra.indicators; print({'talib', 'numba', 'pandas'} & {*sys.modules})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"


def test_a_memory_gives_what_was_computed_and_is_not_fooled() -> None:
    memory = indicators.Memory(bytes_most=3_000)
    generator = np.random.default_rng(2)
    for _ in range(50):
        closes = generator.normal(100, 1, 100)
        for period in (3, 5, 3):
            with indicators.remembering(memory):
                found = indicators.compute("SMA", {"close": closes}, timeperiod=period)["real"]
            fresh = indicators.compute("SMA", {"close": closes}, timeperiod=period)["real"]
            np.testing.assert_array_equal(found, fresh)
            found[:] = 0.0  # who asks may change what they get
