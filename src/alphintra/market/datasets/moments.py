"""The times of a file: found out from its first rows, then read chunk by chunk.

What can be read in two ways is asked, never guessed.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alphintra.core.clock import to_ns
from alphintra.engine.series import Times
from alphintra.market.datasets.findings import Findings
from alphintra.market.datasets.options import DAY_NS, NS_PER_SECOND, UploadOptions, timeframe_ns
from alphintra.market.errors import TimesNotUnderstood, TimezoneRequired
from alphintra.market.files import Kind, Table
from alphintra.market.timestamps import EPOCH_UNITS_NS, BadTime, Cell, TimeReader

#: What a time that could not be read is in the columns.
NO_TIME: Final = np.iinfo(np.int64).min
_ZONE_IN_TEXT: Final = re.compile(r"(?<![A-Za-z])(UTC|GMT)(?![A-Za-z]|[+-]?\d)", re.IGNORECASE)
_SHORT_YEAR: Final = re.compile(r"\d{1,2}([/.-])\d{1,2}\1\d{2}(?!\d)", re.ASCII)
_SLASHED: Final = re.compile(r"\d{1,2}([/.-])\d{1,2}\1(\d{4}|\d{2})(?:[ T](.+))?", re.ASCII)
_DAY_IN_NAME: Final = re.compile(r"(?<!\d)((?:19|20)\d{2})[-_]?([01]\d)[-_]?([0-3]\d)(?!\d)")
_MS_OF_DAY: Final = 86_400_000
#: Candles further apart than this are of a day or longer, and carry a date rather than a moment.
_DAILY_NS: Final = DAY_NS * 9 // 10

#: Cells of a chunk that are read in both ways and compared.
_COMPARED: Final = 64
_ZONE_ADVICE: Final = "Say which zone they are in, e.g. timezone=America/New_York or UTC."


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeColumn:
    """How to read the times of a file.

    `is_label` says that only dates count (candles of a day and longer); `is_close` that the column
    names the end of candles; `zone` is that of times without one.
    """

    one: Callable[[Cell], int]
    is_label: bool
    is_close: bool
    zone: str = ""

    def read(self, cells: "Sequence[Cell] | pa.Array") -> Times:
        """Return the times of some rows, `NO_TIME` where there is none."""
        if isinstance(cells, pa.Array):
            if (instants := self._instants(cells)) is not None:
                return instants
            cells = cells.to_pylist()
        try:
            return np.fromiter(map(self.one, cells), dtype=np.int64, count=len(cells))
        except (BadTime, OverflowError):
            return np.array([self._or_none(cell) for cell in cells], dtype=np.int64)

    def _instants(self, column: pa.Array) -> Times | None:
        kind = column.type
        if pa.types.is_string(kind) and len(column) and not self.is_label:
            return self._from_text(column)
        if self.is_label or not (pa.types.is_timestamp(kind) and kind.tz):
            return None
        try:
            nanoseconds = column.cast(pa.timestamp("ns", kind.tz)).cast(pa.int64())
        except pa.ArrowInvalid:
            return None  # some lie outside what nanoseconds can count
        times: Times = nanoseconds.fill_null(NO_TIME).to_numpy(zero_copy_only=False)
        return times

    def _from_text(self, column: pa.Array) -> Times | None:
        """Return the times of a column at once, where that gives what one by one would give."""
        for parse in (_from_epochs, self._from_iso):
            try:
                times = parse(column)
            except pa.ArrowInvalid:
                continue
            places = np.unique(np.linspace(0, len(column) - 1, _COMPARED).astype(np.int64))
            if all(self._or_none(column[int(at)].as_py()) == times[at] for at in places):
                return times
        return None

    def _from_iso(self, column: pa.Array) -> Times:
        try:
            aware = column.cast(pa.timestamp("ns", "UTC"))
        except pa.ArrowInvalid:
            naive = column.cast(pa.timestamp("ns"))
            aware = pc.assume_timezone(
                naive, timezone=self.zone or "UTC", ambiguous="earliest", nonexistent="raise"
            )
        times: Times = aware.cast(pa.int64()).to_numpy(zero_copy_only=False)
        return times

    def _or_none(self, cell: Cell) -> int:
        try:
            return self.one(cell)
        except (BadTime, OverflowError):
            return NO_TIME


def _from_epochs(column: pa.Array) -> Times:
    values: Times = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    for least, factor in EPOCH_UNITS_NS:
        if least <= values.min() and values.max() < least * 1000:
            return values * factor
    raise pa.ArrowInvalid("the numbers are no times of one unit")


def time_cells(table: Table, rows: Sequence[Sequence[Cell]]) -> list[Cell]:
    """Return the cells that say when; a date and a time of day apart are joined."""
    at = table.fields.get("time", table.fields.get("close_time"))
    if at is None:
        raise AssertionError("a table has a column of times")
    clock = table.fields.get("clock")
    if clock is None:
        return [row[at] for row in rows]
    return [f"{row[at]} {row[clock]}" for row in rows]


def time_column(
    table: Table, options: UploadOptions, *, file_name: str, findings: Findings
) -> TimeColumn | None:
    """Find out how to read the times; `None` when a person has to say something first.

    Raises:
        UnknownTimezone: there is no such zone.
    """
    cells = time_cells(table, table.sample)
    samples = [one for one in cells if isinstance(one, str | int | float | date) and one != ""]
    if not samples:
        findings.refuse(
            "no_times", "no row has a time", "Check the column of the times, and name it ts."
        )
        return None
    is_close = "time" not in table.fields or options.times == "close"
    _note_short_years(samples, findings)
    if _count_from_midnight(samples):
        return _from_midnight(samples, options, file_name, findings, is_close=is_close)
    zone = options.timezone or _zone_said(table, findings)
    reader = _reader(samples, zone, options, table.kind, findings)
    if reader is None:
        return None
    return TimeColumn(one=reader[0], is_label=reader[1], is_close=is_close, zone=zone)


def _reader(
    samples: Sequence[Cell], zone: str, options: UploadOptions, kind: Kind, findings: Findings
) -> tuple[TimeReader, bool] | None:
    form = options.date_format
    is_candles = kind is Kind.CANDLES
    try:
        if is_candles and options.timeframe and timeframe_ns(options.timeframe) >= DAY_NS:
            return TimeReader(samples, timezone=zone, date_format=form, is_label=True), True
        reader = TimeReader(samples, timezone=zone, date_format=form, is_label=False)
    except TimesNotUnderstood as error:
        _ask_for_form(samples, zone, str(error), findings)
        return None
    except TimezoneRequired as error:
        labels = TimeReader(samples, timezone="", date_format=form, is_label=True)
        if is_candles and _one_a_day(samples, labels):
            return labels, True
        findings.ask("timezone_required", str(error), _ZONE_ADVICE, option="timezone")
        return None
    if is_candles and _is_daily(samples, reader):
        return TimeReader(samples, timezone=zone, date_format=form, is_label=True), True
    return reader, False


def _one_a_day(samples: Sequence[Cell], labels: TimeReader) -> bool:
    days = _readable(samples, labels)
    return len(days) > 1 and len(set(days)) > 0.9 * len(days)


def _is_daily(samples: Sequence[Cell], reader: TimeReader) -> bool:
    times = np.array(_readable(samples, reader), dtype=np.int64)
    steps = np.abs(np.diff(times))
    steps = steps[steps > 0]
    return len(steps) > 0 and int(np.median(steps)) >= _DAILY_NS


def _readable(samples: Sequence[Cell], reader: TimeReader) -> list[int]:
    found = []
    for sample in samples:
        try:
            found.append(reader(sample))
        except BadTime:
            continue
    return found


def _zone_said(table: Table, findings: Findings) -> str:
    """Return UTC where the lines above the header, or the name of the column, say so."""
    at = table.fields.get("time", table.fields.get("close_time", 0))
    name = table.names[at] if at < len(table.names) else ""
    if _ZONE_IN_TEXT.search(table.above) or _ZONE_IN_TEXT.search(name.replace("_", " ")):
        findings.note("timezone_found", "the file says that its times are UTC")
        return "UTC"
    return ""


def _note_short_years(samples: Sequence[Cell], findings: Findings) -> None:
    first = samples[0]
    if isinstance(first, str) and _SHORT_YEAR.match(first.strip()):
        findings.warn(
            "two_digit_years",
            f"times such as {first.strip()[:40]!r} have years of two digits; 69 to 99 are taken "
            "as 1969 to 1999, others as 20..",
            "Check the first and the last time.",
        )


def _ask_for_form(samples: Sequence[Cell], zone: str, reason: str, findings: Findings) -> None:
    choices = _forms(str(samples[0]).strip())
    findings.ask(
        "date_form_ambiguous" if choices else "times_not_understood",
        reason,
        "Say their form as date_format, as in strptime.",
        option="date_format",
        choices=choices,
    )
    if not choices or zone:
        return
    try:
        TimeReader(samples, timezone="", date_format=choices[0], is_label=False)
    except TimezoneRequired as error:
        findings.ask("timezone_required", str(error), _ZONE_ADVICE, option="timezone")


def _forms(text: str) -> tuple[str, ...]:
    """Return the two forms that a date such as 3/4/2017 9:30 may have."""
    matched = _SLASHED.fullmatch(text)
    if matched is None:
        return ()
    separator, year = matched[1], "%Y" if len(matched[2]) == 4 else "%y"
    clock = matched[3] or ""
    form = {0: "", 1: " %H:%M", 2: " %H:%M:%S"}.get(clock.count(":"), "")
    if "." in clock:
        form += ".%f"
    return tuple(separator.join((*order, year)) + form for order in (("%m", "%d"), ("%d", "%m")))


def _count_from_midnight(samples: Sequence[Cell]) -> bool:
    try:
        values = [float(str(one)) for one in samples]
    except ValueError:
        return False
    return all(0 <= value < _MS_OF_DAY for value in values) and max(values) >= 60


def _from_midnight(
    samples: Sequence[Cell],
    options: UploadOptions,
    file_name: str,
    findings: Findings,
    *,
    is_close: bool,
) -> TimeColumn | None:
    if not options.date:
        named = _DAY_IN_NAME.search(file_name)
        findings.ask(
            "times_since_midnight",
            f"times such as {str(samples[0])[:40]!r} count from midnight of a day that the file "
            "does not name",
            "Say which day, e.g. date=2014-06-23.",
            option="date",
            choices=("-".join(named.groups()),) if named else (),
        )
    if not options.timezone:
        findings.ask(
            "timezone_required", "midnight is at another moment in each zone",
            "Say which zone is meant, e.g. timezone=America/New_York.", option="timezone",
        )  # fmt: skip
    if not options.date or not options.timezone:
        return None
    day = datetime.combine(date.fromisoformat(options.date), datetime.min.time())
    midnight_ns = to_ns(day.replace(tzinfo=ZoneInfo(options.timezone)))
    in_ms = max(float(str(one)) for one in samples) > DAY_NS // NS_PER_SECOND
    unit_ns = 1_000_000 if in_ms else NS_PER_SECOND

    def read(cell: Cell) -> int:
        try:
            value = float(str(cell))
        except ValueError as error:
            raise BadTime(f"{str(cell)[:40]!r} is not a number") from error
        if not 0 <= value * unit_ns < DAY_NS:
            raise BadTime(f"{str(cell)[:40]!r} is not within a day")
        return midnight_ns + round(value * unit_ns)

    return TimeColumn(one=read, is_label=False, is_close=is_close)
