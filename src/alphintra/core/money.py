"""Exact amounts. `Decimal` with at most eight places, as NUMERIC(20,8) keeps them; never a
float.
"""

from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    ROUND_DOWN,
    ROUND_HALF_EVEN,
    ROUND_UP,
    Context,
    Decimal,
    InvalidOperation,
)
from typing import Final

PLACES: Final = 8
QUANTUM: Final = Decimal(1).scaleb(-PLACES)
#: NUMERIC(20,8) holds twelve digits before the point.
LIMIT: Final = Decimal(10) ** 12
ZERO: Final = Decimal(0)

# Wide enough that no product or quotient of two amounts is rounded before `to_amount` does it.
_EXACT: Final = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN)


def to_amount(value: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    """Return `value` with eight places.

    Raises:
        ValueError: not finite, or 10**12 and more: it would not fit NUMERIC(20,8).
    """
    if not value.is_finite() or abs(value) >= LIMIT:
        raise ValueError(f"{value} is outside ±10^12 or not a number")
    return value.quantize(QUANTUM, rounding=rounding, context=_EXACT)


def multiply(a: Decimal, b: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    """Return a × b with eight places, rounded once."""
    return to_amount(_EXACT.multiply(a, b), rounding)


def divide(a: Decimal, b: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    """Return a ÷ b with eight places, rounded once."""
    return to_amount(_EXACT.divide(a, b), rounding)


def parse_amount(text: str) -> Decimal:
    """Return the exact amount that `text` says; digits beyond the eighth place are refused.

    Raises:
        ValueError: not a plain decimal number, more than eight places, or too large.
    """
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a decimal number") from error
    amount = to_amount(value)
    if amount != value:
        raise ValueError(f"{text} has more than {PLACES} decimal places")
    return amount


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Say whether `value` is a whole number of `step`s."""
    return _EXACT.remainder(value, step) == 0


def steps(value: Decimal, step: Decimal, rounding: str = ROUND_HALF_EVEN) -> int:
    """Return how many `step`s `value` is, rounded to a whole number."""
    return int(_EXACT.divide(value, step).to_integral_value(rounding=rounding))


def round_to_step(value: Decimal, step: Decimal, rounding: str = ROUND_DOWN) -> Decimal:
    """Return the nearest multiple of `step` in the direction that `rounding` names."""
    return to_amount(_EXACT.multiply(Decimal(steps(value, step, rounding)), step))


def text(value: Decimal) -> str:
    """Return the shortest plain decimal string: no exponent, no trailing zeros."""
    plain = f"{value:f}"
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain in {"-0", ""} else plain


__all__ = [
    "LIMIT",
    "PLACES",
    "QUANTUM",
    "ROUND_DOWN",
    "ROUND_HALF_EVEN",
    "ROUND_UP",
    "ZERO",
    "divide",
    "is_multiple",
    "multiply",
    "parse_amount",
    "round_to_step",
    "steps",
    "text",
    "to_amount",
]
