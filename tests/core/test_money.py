"""Amounts are exact: what is written reads back, what does not fit is refused, not rounded away."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphintra.core import money

D = Decimal
AMOUNTS = st.decimals(
    min_value=-(money.LIMIT - 1), max_value=money.LIMIT - 1, places=money.PLACES, allow_nan=False
)
STEPS = st.sampled_from([D("0.00000001"), D("0.0001"), D("0.01"), D("0.05"), D(1), D(10)])


@given(AMOUNTS)
def test_amount_reads_back_as_it_was_written(amount: Decimal) -> None:
    assert money.parse_amount(money.text(amount)) == amount


@given(AMOUNTS)
def test_text_is_the_shortest_plain_form(amount: Decimal) -> None:
    text = money.text(amount)
    assert "E" not in text.upper()
    assert text == "0" or not text.startswith("-0") or text.startswith("-0.")
    assert "." not in text or not text.endswith(("0", "."))
    assert money.text(money.parse_amount(text)) == text


@given(AMOUNTS)
def test_amount_is_not_changed_by_making_it_one(amount: Decimal) -> None:
    assert money.to_amount(amount) == amount


SMALL = st.decimals(min_value=D(-(10**5)), max_value=D(10**5), places=8, allow_nan=False)


@given(SMALL, SMALL)
def test_product_is_rounded_once(a: Decimal, b: Decimal) -> None:
    exact = Fraction(a) * Fraction(b)
    assert abs(Fraction(money.multiply(a, b)) - exact) <= Fraction(money.QUANTUM) / 2


@given(SMALL, SMALL.filter(lambda value: abs(value) >= D("0.001")))
def test_quotient_is_rounded_once(a: Decimal, b: Decimal) -> None:
    exact = Fraction(a) / Fraction(b)
    assert abs(Fraction(money.divide(a, b)) - exact) <= Fraction(money.QUANTUM) / 2


@given(SMALL, STEPS)
def test_rounding_down_to_a_step_stays_within_one_step(value: Decimal, step: Decimal) -> None:
    rounded = money.round_to_step(value, step)
    assert money.is_multiple(rounded, step)
    assert abs(rounded) <= abs(value) < abs(rounded) + step


@pytest.mark.parametrize(
    "text", ["", "abc", "1e400", "NaN", "Infinity", "-Infinity", "0.000000001", "1000000000000"]
)
def test_what_is_not_an_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"outside|not a decimal|places"):
        money.parse_amount(text)
