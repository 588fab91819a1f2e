"""What a person may say about a file that the file does not say itself."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final, Literal

import msgspec

from alphintra.market.datasets.errors import InvalidOption
from alphintra.market.timestamps import check_zone

COLUMNS_SHOWN_MAX: Final = 100
TEXT_LENGTH_MAX: Final = 64
#: Symbols as vendors write them: BTC/USDT, BRK.B, ^GSPC, ES=F, BTCUSDT-perp.
SYMBOL: Final = re.compile(r"[A-Za-z0-9^][A-Za-z0-9._/:=^-]{0,31}", re.ASCII)
TIMEFRAME: Final = re.compile(r"([1-9][0-9]{0,4})(s|m|h|d|w|mo)", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400, "mo": 31 * 86_400}
NS_PER_SECOND: Final = 1_000_000_000
DAY_NS: Final = 86_400 * NS_PER_SECOND


class UploadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to take a file as.

    Attributes:
        symbol: of the rows, where the file has no column that says it.
        timeframe: of candles, such as 1m or 1d; found from their distance when empty.
        timezone: IANA name of the zone of times that have none.
        columns: names in order, for files without a header or with a wrong one.
        date_format: `strptime` form of the times.
        date: the day (YYYY-MM-DD) of times that count from midnight.
        price_scale: what prices are multiplied by, e.g. 0.0001.
        times: whether candles are stamped at their open or at their close; found when empty.
        bad_rows: `drop` leaves rows out that cannot be right.
        duplicates: which of several different candles of one time counts.
        order: `sort` accepts rows that are in no order.
        jumps: `keep` accepts jumps of price that look like an error or a missed split.
        adjustment: what the prices are adjusted for already.
    """

    symbol: str = ""
    timeframe: str = ""
    timezone: str = ""
    columns: tuple[str, ...] = ()
    date_format: str = ""
    date: str = ""
    price_scale: float | None = None
    times: Literal["", "open", "close"] = ""
    bad_rows: Literal["", "drop"] = ""
    duplicates: Literal["", "first", "last"] = ""
    order: Literal["", "sort"] = ""
    jumps: Literal["", "keep"] = ""
    adjustment: Literal["", "raw", "split", "total_return"] = ""

    def checked(self) -> "UploadOptions":
        """Return these options.

        Raises:
            InvalidOption: one of them cannot be; the detail names it.
            UnknownTimezone: there is no such zone.
        """
        if self.symbol and not SYMBOL.fullmatch(self.symbol):
            raise InvalidOption("symbol: up to 32 letters, digits and . _ / : = ^ -")
        if self.timeframe:
            timeframe_ns(self.timeframe)
        if self.timezone:
            check_zone(self.timezone)
        if self.date:
            try:
                date.fromisoformat(self.date)
            except ValueError as error:
                raise InvalidOption("date: a day such as 2014-06-23") from error
        if self.price_scale is not None and not 1e-12 <= self.price_scale <= 1e12:
            raise InvalidOption("price_scale: a positive number between 1e-12 and 1e12")
        if len(self.columns) > COLUMNS_SHOWN_MAX or any(
            len(name) > TEXT_LENGTH_MAX for name in self.columns
        ):
            raise InvalidOption(
                f"columns: at most {COLUMNS_SHOWN_MAX} names of {TEXT_LENGTH_MAX} characters"
            )
        if len(self.date_format) > TEXT_LENGTH_MAX or (
            self.date_format and not re.search(r"%[yYsjd]", self.date_format)
        ):
            raise InvalidOption("date_format: a form such as %d/%m/%Y %H:%M")
        return self


def options_of(fields: Mapping[str, str]) -> UploadOptions:
    """Return the options that a form's fields name; empty ones count as left out.

    Raises:
        InvalidOption, UnknownTimezone: one of them cannot be.
    """
    given: dict[str, Any] = {name: value for name, value in fields.items() if value}
    known = {field.name for field in msgspec.structs.fields(UploadOptions)}
    if unknown := sorted(set(given) - known):
        raise InvalidOption(f"there is no option {unknown[0][:40]!r}")
    if "columns" in given:
        given["columns"] = [name.strip() for name in str(given["columns"]).split(",")]
    try:
        return msgspec.convert(given, UploadOptions, strict=False).checked()
    except msgspec.ValidationError as error:
        raise InvalidOption(str(error)[:200]) from error


def timeframe_ns(name: str) -> int:
    """Return how long a candle of that timeframe is at most.

    Raises:
        InvalidOption: it is none.
    """
    matched = TIMEFRAME.fullmatch(name)
    if matched is None:
        raise InvalidOption(f"timeframe: {name[:16]!r} is none; take e.g. 1m, 15m, 1h, 1d, 1w, 1mo")
    return int(matched[1]) * _SECONDS[matched[2]] * NS_PER_SECOND


def timeframe_name(step_ns: int) -> str:
    """Return what candles of that distance are called; empty for one below a second."""
    days = step_ns / DAY_NS
    if 27.5 <= days <= 31.5:
        return "1mo"
    for unit, seconds in (("w", 7 * 86_400), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, rest = divmod(step_ns, seconds * NS_PER_SECOND)
        if count and not rest:
            return f"{count}{unit}"
    return ""
