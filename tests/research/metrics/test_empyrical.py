"""Every figure agrees with the published cases of the empyrical library.

The series that the cases name are empyrical's test fixtures (Apache-2.0), written down here as
numbers. Cases of random noise are relations, not figures; those of ours are in
test_properties.py.
"""

import ast
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from alphintra.research import metrics
from tests.research.metrics.expressions import (
    Series,
    aligned,
    days_of,
    evaluate,
    per_cent,
    rolling,
)

PERIODS: Final = {"daily": 252.0, "weekly": 52.0, "monthly": 12.0, "quarterly": 4.0, "yearly": 1.0}

#: What the file has and this product does not, and why.
NOT_APPLICABLE: Final = {
    "test_beta_fragility_heuristic": "a heuristic of three observations that no report shows",
    "test_gpd_risk_estimates": "figures of where one optimiser stopped, not of a definition",
    "test_cum_returns_df": "two columns at once, of a fixture that the file does not have",
    "test_cum_returns_final_df": "two columns at once, of a fixture that the file does not have",
}

_ONE = (-0.00171614, 0.01322056, 0.03063862, -0.01422057, -0.00489779, 0.01268925, -0.03357711,
        0.01797036)  # fmt: skip
_TWO = (0.01846232, 0.00793951, -0.01448395, 0.00422537, -0.00339611, 0.03756813, 0.0151531,
        0.03549769)  # fmt: skip
_SWINGS = (0, 1, 10, -4, 2, 3, 2, 1, -10)
_random = np.random.default_rng(42)


def _frame(frequency: str) -> dict[str, Series]:
    return {
        name: Series(np.array(values), days_of(len(values), frequency))
        for name, values in (("one", _ONE), ("two", _TWO))
    }


def _thousand(values: Any) -> Series:
    return Series(np.asarray(values, dtype=np.float64), days_of(1000, "D"))


_NOISE = _thousand(_random.normal(0.0, 0.001, 1000))

SERIES: Final[Mapping[str, Any]] = {
    "empty_returns": per_cent(),
    "one_return": per_cent(1),
    "simple_benchmark": per_cent(0, 1, 0, 1, 0, 1, 0, 1, 0),
    "positive_returns": per_cent(1, 2, 1, 1, 1, 1, 1, 1, 1),
    "negative_returns": per_cent(0, -6, -7, -1, -9, -2, -6, -8, -5),
    "all_negative_returns": per_cent(-2, -6, -7, -1, -9, -2, -6, -8, -5),
    "mixed_returns": per_cent(np.nan, 1, 10, -4, 2, 3, 2, 1, -10),
    "flat_line_1": per_cent(*[1] * 9),
    "weekly_returns": per_cent(*_SWINGS, frequency="W"),
    "monthly_returns": per_cent(*_SWINGS, frequency="M"),
    "flat_line_0": _thousand(np.zeros(1000)),
    "flat_line_1_tz": _thousand(np.full(1000, 0.01)),
    "pos_line": _thousand(np.linspace(0, 1, 1000)),
    "neg_line": _thousand(np.linspace(0, -1, 1000)),
    "noise": _NOISE,
    "inv_noise": -_NOISE,
    "df_simple": _frame("D"),
    "df_week": _frame("W"),
    "df_month": _frame("M"),
    "np.nan": np.nan,
    "np.inf": np.inf,
    "np.array": lambda values: np.array(values, dtype=np.float64),
    "pd.date_range": lambda start, *, periods, freq: days_of(periods, freq),
    "pd.Series": lambda values, index=None: Series(
        np.asarray(values, dtype=np.float64), days_of(len(values), "D") if index is None else index
    ),
    "empyrical.DAILY": "daily",
    "empyrical.WEEKLY": "weekly",
    "empyrical.MONTHLY": "monthly",
    "empyrical.QUARTERLY": "quarterly",
    "empyrical.YEARLY": "yearly",
    "empyrical.cum_returns_final": lambda series: metrics.total_return(series.values),
    "rand.randn": _random.standard_normal,
    "len": len,
}


def _both(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Return the function of two series by day; too short ones have no figure."""

    def call(first: Series, second: Series) -> Any:
        if min(len(first), len(second)) < 1:
            return np.nan
        return function(*aligned(first, second), **options)

    return call


def _alpha_beta(first: Any, second: Any) -> tuple[float, float]:
    return metrics.alpha(first, second, 252.0), metrics.beta(first, second)


def _where(sign: float) -> Callable[..., tuple[float, float]]:
    """Return alpha and beta over the periods in which the benchmark rose or fell."""

    def call(first: Any, second: Any) -> tuple[float, float]:
        chosen = second * sign > 0.0
        return _alpha_beta(first[chosen], second[chosen])

    return call


def _up_down(first: Any, second: Any) -> float:
    up = metrics.up_capture(first, second, 252.0)
    return up / metrics.down_capture(first, second, 252.0)


def _rolled(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        *series, window = arguments
        lines = aligned(*series) if len(series) == 2 else (series[0].values,)
        return rolling(function, window, *lines)

    return call


def _number(value: Any) -> Any:
    return value.values if isinstance(value, Series) else value


_CAPTURES: Final[Mapping[str, Callable[..., Any]]] = {
    "capture_ratio": lambda a, b: metrics.capture(a, b, 252.0),
    "up_capture": lambda a, b: metrics.up_capture(a, b, 252.0),
    "down_capture": lambda a, b: metrics.down_capture(a, b, 252.0),
    "up_down_capture": _up_down,
}

#: Which function of ours a case of the file asks for: from the case's arguments to the figure.
FIGURES: Final[Mapping[str, Callable[..., Any]]] = {
    "test_simple_returns": lambda s: metrics.simple_returns(s.values),
    "test_cum_returns": lambda s, start: metrics.cumulative_returns(s.values, start),
    "test_cum_returns_final": lambda s, start: metrics.total_return(s.values, start),
    "test_aggregate_returns": lambda s, period: metrics.aggregate_returns(
        s.days, s.values, metrics.Period(period.removesuffix("ly"))
    )[1],
    "test_max_drawdown": lambda s: metrics.max_drawdown(s.values),
    "test_annual_ret": lambda s, p: metrics.annual_return(s.values, PERIODS[p]),
    "test_cagr": lambda s, p: metrics.annual_return(s.values, PERIODS[p]),
    "test_annual_volatility": lambda s, p: metrics.annual_volatility(s.values, PERIODS[p]),
    "test_calmar": lambda s, p: metrics.calmar_ratio(s.values, PERIODS[p]),
    "test_omega": lambda s, free, required: metrics.omega_ratio(
        s.values, 252.0, _number(free), required
    ),
    "test_sharpe_ratio": lambda s, free: metrics.sharpe_ratio(s.values, 252.0, _number(free)),
    "test_downside_risk": lambda s, required, p: metrics.downside_risk(
        s.values, PERIODS[p], _number(required)
    ),
    "test_sortino": lambda s, required, p: metrics.sortino_ratio(
        s.values, PERIODS[p], _number(required)
    ),
    "test_excess_sharpe": lambda s, factor: metrics.information_ratio(
        s.values, _number(factor), 1.0
    ),
    "test_alpha_beta": _both(_alpha_beta),
    "test_alpha": _both(lambda a, b: metrics.alpha(a, b, 252.0)),
    "test_beta": _both(metrics.beta),
    "test_up_alpha_beta": _both(_where(1.0)),
    "test_down_alpha_beta": _both(_where(-1.0)),
    "test_stability_of_timeseries": lambda s: metrics.stability(s.values),
    "test_tail_ratio": lambda s: metrics.tail_ratio(s.values),
    "test_roll_max_drawdown": _rolled(metrics.max_drawdown),
    "test_roll_sharpe_ratio": _rolled(lambda values: metrics.sharpe_ratio(values, 252.0)),
    "test_roll_alpha_beta": _rolled(_alpha_beta),
    **{f"test_{name}": _both(function) for name, function in _CAPTURES.items()},
    "test_roll_up_capture": _rolled(_CAPTURES["up_capture"]),
    "test_roll_down_capture": _rolled(_CAPTURES["down_capture"]),
    "test_roll_up_down_capture": _rolled(_CAPTURES["up_down_capture"]),
}

#: Single cases that the file has in a form that nothing of ours has.
LEFT_OUT: Final = {
    ("test_simple_returns", 0): "flat_line_1.shape[0]: the length of a series in an expression",
    ("test_simple_returns", 1): "a list comprehension; see test_returns_of_a_line_are_one_over_n",
    ("test_beta", 7): "noise that is not in the file, with holes at random",
    ("test_beta", 8): "noise that is not in the file, to two digits",
}


def _cases(folder: Path) -> Mapping[str, Mapping[str, str]]:
    text = (folder / "reference" / "empyrical_cases.json").read_text(encoding="utf-8")
    document: dict[str, dict[str, str]] = json.loads(text)
    return document


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_figures_agree_with_the_published_cases(name: str, market_data_dir: Path) -> None:
    text = _cases(market_data_dir)[name]["cases"]
    if name in {"test_simple_returns", "test_beta"}:
        # Only these have constructs that are left out; the rest of a list is read as it is.
        text = _without_left_out(name, text)
    cases = evaluate(text, SERIES)
    assert cases or name == "test_simple_returns"
    for case in cases:
        *arguments, expected = case
        if any(isinstance(argument, dict) for argument in arguments):
            frame, *rest = arguments
            for column, value in zip(("one", "two"), expected.values, strict=True):
                _agree(name, (frame[column], *rest), value)
        else:
            _agree(name, tuple(arguments), expected)


def test_every_case_of_the_file_is_checked_or_left_out_for_a_reason(market_data_dir: Path) -> None:
    cases = _cases(market_data_dir)
    with_figures = {name for name, case in cases.items() if "expected" in case["args"]}
    assert with_figures == set(FIGURES) | set(NOT_APPLICABLE)
    assert not set(FIGURES) & set(NOT_APPLICABLE)


def test_returns_of_a_line_are_one_over_n() -> None:
    line = np.linspace(0.0, 1.0, 1000)
    expected = np.concatenate(([np.inf], 1.0 / np.arange(1, 999)))
    np.testing.assert_allclose(metrics.simple_returns(line), expected)
    assert (metrics.simple_returns(np.full(9, 0.01)) == 0.0).all()


def _without_left_out(name: str, text: str) -> str:
    tree = ast.parse(f"[{re.sub('#[^(]*', '', text)}]", mode="eval").body
    assert isinstance(tree, ast.List)
    kept = [ast.unparse(node) for row, node in enumerate(tree.elts) if (name, row) not in LEFT_OUT]
    return ", ".join(kept)


def _agree(name: str, arguments: tuple[Any, ...], expected: Any) -> None:
    figure = FIGURES[name](*arguments)
    # Four digits are what the file has of some; the tail of noise is compared to one, as there.
    digits = 4 if "cum_returns" in name or "roll" in name else 7
    if name == "test_tail_ratio":
        digits = 1
    np.testing.assert_array_almost_equal(figure, expected, decimal=digits, err_msg=name)
