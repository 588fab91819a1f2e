"""Which rows of a file are data, and in what order: rows that cannot be right are named and left
out, newest-first files are turned round, equal rows are merged, close stamps become open stamps.

Whatever changes the meaning of a file waits for a person's word. The rest of it is judged all the
same, as if the first proposal had been taken, so that everything is asked at once.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.core.clock import NS_PER_SECOND
from alphintra.engine.series import Floats, Times
from alphintra.market.datasets.collecting import NO_SYMBOL, Raw
from alphintra.market.datasets.content import COLUMNS, Content
from alphintra.market.datasets.findings import Findings
from alphintra.market.datasets.moments import NO_TIME, TimeColumn
from alphintra.market.datasets.options import DAY_NS, UploadOptions
from alphintra.market.files import Kind
from alphintra.market.validation import Reason

ALL_ZERO: Final = "all_zero_bar"
_PRICES: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.CANDLES: ("open", "high", "low", "close"),
    Kind.QUOTES: ("bid", "ask"),
    Kind.TRADES: ("price",),
}
_SIZES: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.CANDLES: ("volume",),
    Kind.QUOTES: ("bid_size", "ask_size"),
    Kind.TRADES: ("size",),
}
#: 1900-01-01; nothing older was ever recorded by the minute or the day.
_FIRST_NS: Final = -2_208_988_800 * NS_PER_SECOND
#: What adjusting rounds away: vendors' open and close leave high and low by so much.
_ROUNDING: Final = 1e-6
_WORDS: Final[dict[str, str]] = {
    Reason.BAD_TIMESTAMP: "have no time, or one that is none",
    Reason.IN_THE_FUTURE: "lie in the future",
    Reason.NOT_A_NUMBER: "have text where a number belongs",
    Reason.OTHER_SYMBOL: "have no name of an instrument in the column of symbols",
    Reason.PRICE_MISSING: "have no price",
    Reason.PRICE_NOT_POSITIVE: "have a price of zero or below",
    Reason.OHLC_INCONSISTENT: "have an open or close outside low and high",
    Reason.CROSSED_QUOTE: "have a bid above the ask",
    Reason.SIZE_NEGATIVE: "have a negative size or volume",
    Reason.SIZE_NOT_POSITIVE: "are prints of nothing",
    Reason.WRONG_COLUMN_COUNT: "have another number of cells than the header",
    ALL_ZERO: "are candles of zeros only",
}


@dataclass(slots=True, kw_only=True)
class Judged:
    """Rows that are data, by symbol and time. `numbers` are their rows in the file.

    `codes` say which of `symbols` a row is of; `starts` marks the first row of each.
    """

    kind: Kind
    is_label: bool
    symbols: tuple[str, ...]
    codes: NDArray[np.int32]
    numbers: NDArray[np.int64]
    times: Times
    floats: dict[str, Floats]
    sides: NDArray[np.int8]
    extras: dict[str, Floats]
    step_ns: int = 0

    @property
    def starts(self) -> NDArray[np.bool_]:
        marks = np.ones(len(self.codes), dtype=np.bool_)
        marks[1:] = self.codes[1:] != self.codes[:-1]
        return marks

    def take(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> None:
        """Keep these rows, in this order."""
        self.codes, self.numbers = self.codes[which], self.numbers[which]
        self.times, self.sides = self.times[which], self.sides[which]
        self.floats = {name: column[which] for name, column in self.floats.items()}
        self.extras = {name: column[which] for name, column in self.extras.items()}


def judge(
    raw: Raw, column: TimeColumn, options: UploadOptions, *, default_symbol: str, now_ns: int,
    findings: Findings,
) -> Judged | None:  # fmt: skip
    """Return the rows that are data; `None` where there are none."""
    if options.price_scale is not None:
        for name in _PRICES[raw.kind]:
            raw.floats[name] = raw.floats[name] * options.price_scale
    good = _good_rows(raw, options, now_ns, findings)
    if not good.any():
        findings.refuse(
            "no_usable_rows", "no row of the file can be data", "Correct the file, or its columns."
        )
        return None
    judged = Judged(
        kind=raw.kind,
        is_label=column.is_label,
        symbols=raw.symbols,
        codes=raw.codes,
        numbers=raw.numbers,
        times=raw.times,
        floats=raw.floats,
        sides=raw.sides,
        extras=raw.extras,
    )
    if not good.all():
        judged.take(good)
    if not _name(judged, options, default_symbol, findings):
        return None
    _arrange(judged, options, findings)
    if judged.kind is Kind.CANDLES:
        _merge_duplicates(judged, options, findings)
        judged.step_ns = usual_step_ns(judged)
        _move_to_open(judged, column, options, findings)
    return judged


def judged_of(content: Content) -> Judged:
    """Return the rows of a dataset, to be checked again."""
    names = [name for name in COLUMNS[content.kind] if name != "side"]
    lengths = [len(one) for one in content.series]
    return Judged(
        kind=content.kind,
        is_label=content.step_ns >= DAY_NS,
        symbols=tuple(one.symbol for one in content.series),
        codes=np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
        numbers=np.arange(1, content.rows + 1),
        times=content.column("ts"),
        floats={name: content.column(name) for name in names},
        sides=np.zeros(content.rows, dtype=np.int8),
        extras={},
        step_ns=content.step_ns,
    )


def _good_rows(
    raw: Raw, options: UploadOptions, now_ns: int, findings: Findings
) -> NDArray[np.bool_]:
    """Return which rows can be data; each other row is reported for the first rule it breaks."""
    good = np.ones(len(raw.numbers), dtype=np.bool_)
    _report_bad(Reason.WRONG_COLUMN_COUNT, np.array(raw.misshapen), raw.rows, options, findings)
    with np.errstate(invalid="ignore"):
        for reason, bad in _rules(raw, now_ns):
            bad &= good
            if bad.any():
                good &= ~bad
                _report_bad(reason, raw.numbers[bad], raw.rows, options, findings)
        if raw.kind is Kind.CANDLES:
            _widen(raw, good, findings)
    return good


def _rules(raw: Raw, now_ns: int) -> list[tuple[str, Any]]:  # masks; NumPy types them loosely
    times, floats = raw.times, raw.floats
    rules: list[tuple[str, Any]] = [
        (Reason.BAD_TIMESTAMP, (times == NO_TIME) | (times < _FIRST_NS)),
        (Reason.IN_THE_FUTURE, times > now_ns + DAY_NS),
        (Reason.NOT_A_NUMBER, raw.garbled.copy()),
        (Reason.OTHER_SYMBOL, raw.codes == NO_SYMBOL),
    ]
    prices = [floats[name] for name in _PRICES[raw.kind]]
    missing = np.isnan(prices)
    # One side of a quote may be empty: nobody quotes there.
    absent = missing.all(axis=0) if raw.kind is Kind.QUOTES else missing.any(axis=0)
    rules.append((Reason.PRICE_MISSING, absent))
    if raw.kind is Kind.CANDLES:
        rules.append((ALL_ZERO, (np.array(prices) == 0).all(axis=0)))
    rules.append((Reason.PRICE_NOT_POSITIVE, (np.array(prices) <= 0).any(axis=0)))
    if raw.kind is Kind.CANDLES:
        open_, high, low, close = prices
        slack = _ROUNDING * np.abs(close)
        outside = (np.maximum(open_, close) > high + slack) | (
            np.minimum(open_, close) < low - slack
        )
        rules.append((Reason.OHLC_INCONSISTENT, outside | (low > high)))
    elif raw.kind is Kind.QUOTES:
        rules.append((Reason.CROSSED_QUOTE, prices[0] > prices[1]))
    sizes = [floats[name] for name in _SIZES[raw.kind] if name in floats]
    rules += [(Reason.SIZE_NEGATIVE, size < 0) for size in sizes]
    if raw.kind is Kind.TRADES:
        rules += [(Reason.SIZE_NOT_POSITIVE, size == 0) for size in sizes]
    return rules


def _report_bad(
    reason: str, rows: NDArray[np.int64], total: int, options: UploadOptions, findings: Findings
) -> None:
    if not len(rows):
        return
    words = f"{len(rows):,} of {total:,} rows {_WORDS[reason]}"
    if options.bad_rows == "drop":
        findings.warn(
            str(reason), f"{words}; they were left out", "See whether the source has them right.",
            rows=rows,
        )  # fmt: skip
        return
    findings.ask(
        str(reason), words, "Correct the rows, or leave them out with bad_rows=drop.",
        option="bad_rows", choices=("drop",), rows=rows,
    )  # fmt: skip


def _widen(raw: Raw, good: NDArray[np.bool_], findings: Findings) -> None:
    """Let high and low reach open and close where only the rounding of the source is between."""
    floats = raw.floats
    highest = np.maximum(floats["open"], floats["close"])
    lowest = np.minimum(floats["open"], floats["close"])
    off = good & ((floats["high"] < highest) | (floats["low"] > lowest))
    if not off.any():
        return
    findings.note(
        "range_rounded",
        f"open or close left low and high by rounding in {off.sum():,} rows; these were widened",
        rows=raw.numbers[off],
    )
    floats["high"] = np.where(off, np.maximum(floats["high"], highest), floats["high"])
    floats["low"] = np.where(off, np.minimum(floats["low"], lowest), floats["low"])


def _plain(symbol: str) -> str:
    return "".join(character for character in symbol.upper() if character.isalnum())


def _name(judged: Judged, options: UploadOptions, default: str, findings: Findings) -> bool:
    """Settle what the rows are of; `False` when nothing is left of them."""
    if not judged.symbols:
        judged.symbols = (options.symbol or default,)
        if not options.symbol:
            findings.note("symbol_from_name", f"the file does not say of what it is: {default}")
        return True
    if options.symbol:
        wanted = [_plain(one) == _plain(options.symbol) for one in judged.symbols]
        if True not in wanted:
            shown = ", ".join(judged.symbols[:10])
            findings.refuse(
                "other_symbol", f"the file is of {shown}, not of {options.symbol}",
                "Leave symbol out to take all, or name one of them.",
            )  # fmt: skip
            return False
        mine = judged.codes == wanted.index(True)
        if not mine.all():
            others = int((~mine).sum())
            findings.note("other_symbols_left_out", f"{others:,} rows are of others", count=others)
            judged.take(mine)
        judged.symbols, judged.codes = (options.symbol,), np.zeros(mine.sum(), dtype=np.int32)
        return True
    ordered = sorted(judged.symbols)
    ranks = np.array([ordered.index(one) for one in judged.symbols], dtype=np.int32)
    judged.symbols, judged.codes = tuple(ordered), ranks[judged.codes]
    used = np.unique(judged.codes)  # a symbol may have had bad rows only
    judged.symbols = tuple(judged.symbols[code] for code in used)
    judged.codes = np.searchsorted(used, judged.codes).astype(np.int32)
    return True


def _arrange(judged: Judged, options: UploadOptions, findings: Findings) -> None:
    """Bring the rows into the order of symbol and time."""
    if len(judged.symbols) > 1:
        judged.take(np.argsort(judged.codes, kind="stable"))
    steps = np.diff(judged.times)
    steps[judged.starts[1:]] = 0
    forward, backward = steps > 0, steps < 0
    if not backward.any():
        return
    if not forward.any():
        findings.note("newest_first", "the newest row is the first; the order was turned round")
        judged.take(np.arange(len(judged.times))[::-1])
        judged.take(np.argsort(judged.codes, kind="stable"))
        return
    wrong = forward if forward.sum() < backward.sum() else backward
    rows = judged.numbers[1:][wrong]
    words = f"the rows are in no order of time: at {len(rows):,} of them time turns"
    if options.order == "sort":
        findings.warn("not_in_order", f"{words}; they were sorted", "Check the times.", rows=rows)
    else:
        findings.ask(
            "not_in_order", words,
            "Check the times of these rows (a wrong year?); order=sort sorts them.",
            option="order", choices=("sort",), rows=rows,
        )  # fmt: skip
    judged.take(np.lexsort((judged.times, judged.codes)))


def _merge_duplicates(judged: Judged, options: UploadOptions, findings: Findings) -> None:
    same = np.zeros(len(judged.times), dtype=np.bool_)
    same[1:] = (judged.times[1:] == judged.times[:-1]) & ~judged.starts[1:]
    if not same.any():
        return
    equal = same.copy()
    for column in judged.floats.values():
        pair = (column[1:] == column[:-1]) | (np.isnan(column[1:]) & np.isnan(column[:-1]))
        equal[1:] &= pair
    other = same & ~equal
    if equal.any():
        findings.warn(
            "duplicate_rows", f"{equal.sum():,} rows repeat the row before; they were left out",
            "Nothing is lost; the source may be joined from overlapping pieces.",
            rows=judged.numbers[equal],
        )  # fmt: skip
    if other.any():
        words = f"{other.sum():,} rows have the time of another row and other prices"
        if options.duplicates:
            findings.warn(
                "conflicting_rows", f"{words}; the {options.duplicates} counts",
                "See which of them the source means.", rows=judged.numbers[other],
            )  # fmt: skip
        else:
            findings.ask(
                "conflicting_rows", words, "Say which of them counts: duplicates=first or last.",
                option="duplicates", choices=("first", "last"), rows=judged.numbers[other],
            )  # fmt: skip
    if options.duplicates == "last":
        judged.take(~np.append(same[1:], False))
    else:
        judged.take(~same)


def usual_step_ns(judged: Judged) -> int:
    """Return the distance of candles: the smallest that is not rare; 0 for single ones."""
    steps = np.diff(judged.times)[~judged.starts[1:]]
    if not len(steps):
        return 0
    values, counts = np.unique(steps, return_counts=True)
    usual = values[counts >= 0.1 * len(steps)]
    return int(usual[0]) if len(usual) else int(values[np.argmax(counts)])


def _move_to_open(
    judged: Judged, column: TimeColumn, options: UploadOptions, findings: Findings
) -> None:
    """Turn the ends of candles into their beginnings; a date is the same for both."""
    step_ns = judged.step_ns
    if judged.is_label or not step_ns or options.times == "open":
        return
    late_ns = next(
        (
            before_ns
            for before_ns in (1_000_000, NS_PER_SECOND, 1_000, 1)
            if step_ns > before_ns and ((judged.times + before_ns) % step_ns == 0).mean() > 0.9
        ),
        0,
    )
    if not late_ns and not column.is_close:
        return
    judged.times = judged.times + late_ns - step_ns
    findings.warn(
        "close_time_stamps",
        "the times are those at which candles end; they were moved to where candles begin",
        "If they are beginnings after all, send times=open.",
        count=len(judged.times),
    )
