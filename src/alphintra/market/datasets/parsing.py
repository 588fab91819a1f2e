"""From a file to the content of a dataset, with everything that was found on the way."""

import re
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from alphintra.core.errors import Problem
from alphintra.engine.series import BadSeries, Bars, Quotes, Series, Trades
from alphintra.market.datasets.actions import Action
from alphintra.market.datasets.checking import check
from alphintra.market.datasets.collecting import Raw, collect
from alphintra.market.datasets.content import Content
from alphintra.market.datasets.findings import Findings, QualityReport
from alphintra.market.datasets.guessing import propose_columns
from alphintra.market.datasets.judging import Judged, judge
from alphintra.market.datasets.moments import time_column
from alphintra.market.datasets.opening import Opened, open_text, recognise
from alphintra.market.datasets.options import (
    DAY_NS,
    SYMBOL,
    UploadOptions,
    timeframe_name,
    timeframe_ns,
)
from alphintra.market.errors import ColumnsNotRecognised, FileNotReadable, FileTooLarge
from alphintra.market.files import Kind, Table, open_table
from alphintra.market.handles import OpenFile

_MONTH_NS: Final = 31 * DAY_NS
_ADJUSTED: Final = re.compile(r"adj(usted)?[ _.]*close", re.IGNORECASE)
ACTIONS_MAX: Final = 2_000
#: What a file is taken to be of when neither it, nor its name, nor the sender says it.
_UNNAMED: Final = "DATA"


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a file; `content` is there only when it was taken."""

    report: QualityReport
    content: Content | None = None
    actions: tuple[Action, ...] = ()
    adjustment: str = "unknown"


def parse_file(path: Path | OpenFile, *, name: str, options: UploadOptions, now_ns: int) -> Parsed:
    """Read and judge a file; nothing of it raises, all of it is in the report.

    Args:
        name: what its sender calls it; only for proposals.
    """
    findings = Findings()
    try:
        opened = recognise(path, name)
        return _parse(opened, options, now_ns, findings)
    except (FileNotReadable, FileTooLarge, ColumnsNotRecognised) as problem:
        findings.refuse(problem.code, problem.detail, _advice(problem))
    except BadSeries as problem:
        findings.refuse(problem.code, problem.detail, _advice(problem))
    except MemoryError:
        findings.refuse(
            "too_much_memory", "the file needs more memory than an upload may have",
            "Split it, by time for instance.",
        )  # fmt: skip
    return Parsed(report=findings.report())


def _advice(problem: Problem) -> str:
    return problem.title.partition(". ")[2] or problem.title


def _parse(opened: Opened, options: UploadOptions, now_ns: int, findings: Findings) -> Parsed:
    if opened.has_bom:
        findings.note("byte_order_mark", "the file begins with a byte order mark")
    table, options = _open(opened, options, findings)
    column = time_column(table, options, file_name=opened.name, findings=findings)
    if column is None:
        return Parsed(report=findings.report())
    raw = collect(opened.path, table, column, is_parquet=opened.format == "parquet")
    _note_prices(raw, options, findings)
    judged = judge(
        raw, column, options, default_symbol=default_symbol(opened.name), now_ns=now_ns,
        findings=findings,
    )  # fmt: skip
    if judged is None:
        return Parsed(report=findings.report(rows=raw.rows))
    timeframe = _timeframe(judged, options, findings)
    check(judged, options, findings)
    adjustment = options.adjustment or _adjustment(table, judged, findings)
    report = findings.report(rows=raw.rows, kept=len(judged.times))
    if not findings.is_open:
        return Parsed(report=report)
    return Parsed(
        report=report,
        content=content_of_rows(judged, timeframe),
        actions=_actions(judged),
        adjustment=adjustment,
    )


def _open(
    opened: Opened, options: UploadOptions, findings: Findings
) -> tuple[Table, UploadOptions]:
    """Open the table; without a header, by the columns that are proposed."""
    try:
        if opened.format == "parquet":
            return open_table(opened.path, columns=options.columns), options
        return open_text(opened, options), options
    except ColumnsNotRecognised as problem:
        proposed = () if options.columns else propose_columns(opened.path)
        if not proposed or opened.format != "csv":
            raise
        findings.ask(
            "no_header", f"the file has no header; {problem.detail}"[:300],
            "Name the columns in order; the proposal fits its numbers.",
            option="columns", choices=(",".join(proposed),),
        )  # fmt: skip
        options = msgspec.structs.replace(options, columns=proposed)
        return open_text(opened, options), options


def _note_prices(raw: Raw, options: UploadOptions, findings: Findings) -> None:
    """Ask about prices that are counted in small units, as in files of some vendors."""
    if raw.kind is not Kind.CANDLES or options.price_scale is not None:
        return
    price = raw.floats["close"]
    price = price[np.isfinite(price)]
    in_hundreds = len(price) > 0 and bool((price % 100 == 0).all() and price.min() >= 10_000)
    if in_hundreds and options.date:
        findings.ask(
            "price_unit_suspect", "all prices are whole hundreds: perhaps they count 0.0001",
            "Say what they are multiplied by: price_scale=0.0001, or 1 for as they are.",
            option="price_scale", choices=("0.0001", "1"),
        )  # fmt: skip
    elif in_hundreds:
        findings.warn(
            "price_unit_suspect", "all prices are whole hundreds",
            "If they count small units, send price_scale, e.g. 0.0001.",
        )  # fmt: skip


def _timeframe(judged: Judged, options: UploadOptions, findings: Findings) -> str:
    """Settle how long candles are."""
    if judged.kind is not Kind.CANDLES:
        return ""
    measured_ns = judged.step_ns
    if options.timeframe:
        wanted_ns = timeframe_ns(options.timeframe)
        judged.step_ns = wanted_ns
        if measured_ns and measured_ns < 0.88 * wanted_ns:
            findings.refuse(
                "timeframe_contradicted",
                f"candles are {timeframe_name(measured_ns) or measured_ns} apart, so they are not "
                f"of {options.timeframe}",
                "Leave timeframe out, or resample the dataset afterwards.",
            )
        elif measured_ns > 1.5 * wanted_ns:
            findings.warn(
                "sparse", f"candles of {options.timeframe} are {timeframe_name(measured_ns)} apart",
                "Most of them are missing, or they are of another timeframe.",
            )  # fmt: skip
        return options.timeframe
    if not measured_ns:
        findings.ask(
            "timeframe_unknown", "there are too few rows to tell how long candles are",
            "Say it, e.g. timeframe=1d.", option="timeframe",
        )  # fmt: skip
        return ""
    name = timeframe_name(measured_ns)
    if name == "1mo":
        judged.step_ns = _MONTH_NS
    return name


def _adjustment(table: Table, judged: Judged, findings: Findings) -> str:
    if any(_ADJUSTED.fullmatch(name.strip()) for name in table.names):
        findings.note(
            "adjusted_close_not_used",
            "there is an adjusted close beside the close; open, high and low have none, so the "
            "close is used",
        )
    # Vendors that name splits beside the prices have adjusted these for them.
    return "split" if "splits" in judged.extras else "unknown"


def _actions(judged: Judged) -> tuple[Action, ...]:
    found: list[Action] = []
    for name, unit in (("splits", 1.0), ("dividends", 0.0)):
        column = judged.extras.get(name)
        if column is None:
            continue
        for at in np.flatnonzero((column > 0) & (column != unit))[:ACTIONS_MAX]:
            value = float(column[at])
            found.append(
                Action(
                    symbol=judged.symbols[judged.codes[at]],
                    ex_ns=int(judged.times[at]),
                    ratio=value if name == "splits" else 0.0,
                    amount=value if name == "dividends" else 0.0,
                )
            )
    return tuple(sorted(found, key=lambda one: (one.symbol, one.ex_ns)))


def content_of_rows(judged: Judged, timeframe: str) -> Content:
    """Return rows that are data as series.

    Raises:
        BadSeries: they break a rule of series that judging does not know.
    """
    bounds = np.searchsorted(judged.codes, np.arange(len(judged.symbols) + 1))
    series = [
        _series(judged, symbol, slice(int(first), int(last)))
        for symbol, first, last in zip(judged.symbols, bounds[:-1], bounds[1:], strict=True)
    ]
    return Content(series=tuple(series), timeframe=timeframe, step_ns=judged.step_ns)


def _series(judged: Judged, symbol: str, rows: slice) -> Series:
    times = judged.times[rows]

    def column(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        known = judged.floats.get(name)
        return np.full(len(times), np.nan) if known is None else known[rows]

    if judged.kind is Kind.QUOTES:
        return Quotes(
            symbol, times, column("bid"), column("ask"), column("bid_size"), column("ask_size")
        )
    if judged.kind is Kind.TRADES:
        return Trades(symbol, times, column("price"), column("size"), judged.sides[rows])
    return Bars.of_length(
        symbol,
        times,
        judged.step_ns,
        open=column("open"),
        high=column("high"),
        low=column("low"),
        close=column("close"),
        volume=column("volume"),
    )


def default_symbol(name: str) -> str:
    """Return what a file's name says that it is of: its first word, in capitals."""
    word = re.split(r"[_.\s]", Path(name.replace("\\", "/")).name, maxsplit=1)[0].upper()
    return word if SYMBOL.fullmatch(word) and not word[0].isdigit() else _UNNAMED
