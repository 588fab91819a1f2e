"""Times as files have them. The form is found once, from a sample; each value is then read by it.

What can be read in two ways is refused, not guessed: `03/04/2017` when nothing in the file says
which is the day, and a time of day without a zone. A date without a time is a label and needs no
zone.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from alphintra.core.clock import NS_PER_SECOND, to_datetime, to_ns
from alphintra.market.errors import TimesNotUnderstood, TimezoneRequired, UnknownTimezone

#: A time in a file, as CSV (text) or Parquet (numbers, datetimes) give it.
Cell = object
Parse = Callable[[Cell], "datetime | date"]

_NUMBER: Final = re.compile(r"\d+(\.\d+)?([eE]\+?\d+)?", re.ASCII)
_COMPACT_DATE: Final = re.compile(r"(19|20)\d{6}", re.ASCII)
_SLASHED: Final = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})(?:[ T](.+))?", re.ASCII)
_CLOCKS: Final = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p")
_OTHER_FORMS: Final = (
    "%Y-%m-%d %I-%p",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y%m%d %H%M%S",
    "%Y%m%d %H:%M:%S",
    "%d %b %Y",
    "%d %b %Y %H:%M:%S",
    "%b %d, %Y",
)
#: Epoch values tell their unit by their size; these are the years 1973 to 5138 in each of them.
EPOCH_UNITS_NS: Final = ((10**17, 1), (10**14, 1_000), (10**11, 1_000_000), (10**8, NS_PER_SECOND))


class BadTime(ValueError):
    """One value that is not a time of the form that the file has."""


class NonexistentTime(BadTime):
    """A local time that the clock skipped when summer time began."""


class TimeReader:
    """Reads the times of one file as nanoseconds since the epoch.

    Args:
        samples: some of the file's values, not empty.
        timezone: IANA name of the zone that times without one are in; empty if not known.
        date_format: `strptime` form; empty to find out.
        is_label: whether the dates alone count (candles of a day and longer).

    Raises:
        TimesNotUnderstood: no form fits the samples, or more than one.
        TimezoneRequired: the times have no zone and need one.
        UnknownTimezone: there is no such zone.
    """

    def __init__(
        self, samples: Sequence[Cell], *, timezone: str, date_format: str, is_label: bool
    ) -> None:
        self._zone = check_zone(timezone) if timezone else None
        self._is_label = is_label
        self._parse = _find_form([one for one in samples if one not in {None, ""}], date_format)
        if self._zone is None and not is_label:
            self._require_zone(samples)

    def __call__(self, cell: Cell) -> int:
        """Return the time.

        Raises:
            BadTime: the value is not one.
        """
        try:
            at = self._parse(cell)
        except (ValueError, TypeError, OverflowError) as error:
            raise BadTime(str(error)) from error
        if not isinstance(at, datetime):
            return _midnight_ns(at)
        if self._is_label:
            return _midnight_ns(at.date())
        if at.tzinfo is None:
            at = self._localise(at)
        return to_ns(at)

    def _localise(self, at: datetime) -> datetime:
        zone = self._zone or UTC  # without a zone only dates come here
        aware = at.replace(tzinfo=zone)
        if zone is not UTC and aware.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != at:
            raise NonexistentTime(f"{at} does not exist in {zone}")
        return aware

    def _require_zone(self, samples: Sequence[Cell]) -> None:
        for sample in samples:
            try:
                at = self._parse(sample)
            except (ValueError, TypeError, OverflowError):
                continue
            if isinstance(at, datetime) and at.tzinfo is None:
                raise TimezoneRequired(
                    f"times such as {str(sample)[:40]!r} have no zone; say which one they are in"
                )


def check_zone(name: str) -> tzinfo:
    """Return the time zone of that name.

    Raises:
        UnknownTimezone: there is none.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnknownTimezone(f"there is no time zone {name[:40]!r}") from error


def _find_form(samples: Sequence[Cell], date_format: str) -> Parse:
    if not samples:
        raise TimesNotUnderstood("the file has no times")
    first = samples[0]
    if not isinstance(first, str):
        return _from_value
    if date_format:
        return lambda cell: datetime.strptime(str(cell), date_format)  # noqa: DTZ007 - zone later
    texts = [str(sample).strip() for sample in samples]
    candidates: list[tuple[str, Parse]] = [("numbers", _from_text_number)]
    candidates += [("ISO 8601", _from_iso), *_slashed_forms(texts)]
    candidates += [(form, _by_form(form)) for form in _OTHER_FORMS]
    for _, parse in candidates:
        if _fits(parse, texts):
            return parse
    raise TimesNotUnderstood(f"times such as {texts[0][:40]!r} are of no known form")


def _fits(parse: Parse, texts: Sequence[str]) -> bool:
    # One bad cell must not change the form of a file, so nearly all have to fit, not all.
    good = 0
    for text in texts:
        try:
            parse(text)
        except (ValueError, OverflowError):
            continue
        good += 1
    return good > 0.9 * len(texts)


def _from_value(cell: Cell) -> datetime | date:
    if isinstance(cell, datetime | date):
        return cell
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise TypeError(f"{cell!r} is not a time")
    return _from_epoch(cell)


def _from_epoch(value: int | float) -> datetime:
    for least, factor in EPOCH_UNITS_NS:
        if least <= value < least * 1000:
            # Fractions occur in seconds only, where a float still holds the microsecond.
            return to_datetime(value * factor if isinstance(value, int) else round(value * factor))
    raise ValueError(f"{value} is no time since 1970 in s, ms, µs or ns")


def _from_text_number(cell: Cell) -> datetime | date:
    text = str(cell).strip()
    if _COMPACT_DATE.fullmatch(text):
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a number")
    return _from_epoch(int(text) if text.isdigit() else float(text))


def _from_iso(cell: Cell) -> datetime | date:
    text = str(cell).strip()
    if len(text) == 10:
        return date.fromisoformat(text)
    return datetime.fromisoformat(text)


def _by_form(form: str) -> Parse:
    has_clock = "%H" in form or "%I" in form

    def parse(cell: Cell) -> datetime | date:
        at = datetime.strptime(str(cell).strip(), form)  # noqa: DTZ007 - the zone is put on later
        return at if has_clock else at.date()

    return parse


def _slashed_forms(texts: Sequence[str]) -> list[tuple[str, Parse]]:
    """Return the one form of dates such as 3/4/2017 that the samples allow, if they are such."""
    matches = [match for text in texts if (match := _SLASHED.fullmatch(text))]
    if len(matches) <= 0.9 * len(texts):
        return []
    separator, year = matches[0][2], "%Y" if len(matches[0][4]) == 4 else "%y"
    day_first = separator == "." or any(int(match[1]) > 12 for match in matches)
    month_first = any(int(match[3]) > 12 for match in matches)
    if day_first and month_first:
        raise TimesNotUnderstood("some dates have the day first and some the month")
    if not day_first and not month_first:
        raise TimesNotUnderstood(
            f"dates such as {texts[0][:40]!r} do not say which part is the day; give their form"
        )
    parts = ("%d", "%m", year) if day_first else ("%m", "%d", year)
    day = separator.join(parts)
    forms = [day] if matches[0][5] is None else [f"{day} {clock}" for clock in _CLOCKS]
    return [(form, _by_form(form)) for form in forms]


def _midnight_ns(day: date) -> int:
    return (day - date(1970, 1, 1)).days * 86_400 * NS_PER_SECOND
