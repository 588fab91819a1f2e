"""Numbers and times as people read them, and text that is safe inside HTML."""

from datetime import UTC, datetime
from html import escape
from math import floor, isfinite, log10
from typing import Any

import numpy as np

from alphintra.engine.series import DAY_NS

#: What stands where a figure is not defined.
NOTHING = "–"

#: A space at which no line is broken.
_APART = "\u00a0"


def safe(value: object) -> str:
    """Return a text that HTML shows as it is, also inside an attribute in quotes."""
    return escape(str(value), quote=True)


def percent(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """Return a fraction as per cent: 0.0123 is "1.23 %"."""
    return _with(value, lambda number: f"{_number(number * 100, digits, sign=sign)}{_APART}%")


def money(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """Return an amount with thousands apart."""
    return _with(value, lambda number: _number(number, digits, sign=sign))


def ratio(value: float | None, digits: int = 2) -> str:
    """Return a plain number."""
    return _with(value, lambda number: _number(number, digits))


def count(value: float | None) -> str:
    """Return a whole number with thousands apart."""
    return _with(value, lambda number: _number(number, 0))


def price(value: float | None) -> str:
    """Return a price to six digits, at least to hundredths."""

    def text(number: float) -> str:
        digits = 5 - floor(log10(abs(number))) if number else 2
        return _number(number, min(max(digits, 2), 10))

    return _with(value, text)


def duration(seconds: float | None) -> str:
    """Return a length of time in its two largest units."""

    def text(number: float) -> str:
        parts = []
        rest = round(number)
        for name, length in (("y", 31_557_600), ("d", 86_400), ("h", 3_600), ("min", 60)):
            whole, rest = divmod(rest, length)
            if whole:
                parts.append(f"{whole} {name}")
        return " ".join(parts[:2]) or f"{number:.0f} s"

    return _with(seconds, text)


def moment(ts_ns: int) -> str:
    """Return a time in UTC to the second; where a day begins or ends, its date alone."""
    if (ts_ns + 1) % DAY_NS == 0:
        ts_ns += 1 - DAY_NS
    at = datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC)
    text = at.strftime("%Y-%m-%d")
    if at.second:
        return f"{text} {at:%H:%M:%S}"
    return f"{text} {at:%H:%M}" if at.hour or at.minute else text


def day(text: str | None) -> str:
    """Return the date of an ISO 8601 time."""
    return text[:10] if text else NOTHING


def tone(value: float | None) -> str:
    """Return the style of a gain or a loss, or none."""
    if value is None or not isfinite(value) or value == 0.0:
        return ""
    return "gain" if value > 0.0 else "loss"


def _number(value: float, digits: int, *, sign: bool = False) -> str:
    text = f"{value:+,.{digits}f}" if sign else f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0.0:
        text = text.lstrip("+-")  # no minus zero
    return text.replace("-", "−")


def _with(value: Any, text: Any) -> str:
    if value is None or not np.isfinite(value):
        return NOTHING
    return str(text(float(value)))
