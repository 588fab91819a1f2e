"""What a file became: the verdict on it, and with numbers that were taken, the dataset's file.

Numbers come from a process that read a stranger's file. They are judged again here; their hash and
their file are made here, so a file of a dataset is never what a stranger's bytes made of it.
"""

import mmap
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from alphintra.engine.series import BadSeries, Bars, Quotes, Series, Trades
from alphintra.market.datasets.actions import Action
from alphintra.market.datasets.collecting import SYMBOLS_MAX
from alphintra.market.datasets.content import COLUMNS, Content, write_parquet
from alphintra.market.datasets.findings import QualityReport, Verdict
from alphintra.market.datasets.inside import Read
from alphintra.market.datasets.options import SYMBOL, TIMEFRAME
from alphintra.market.datasets.reading import Layout
from alphintra.market.files import ROWS_MAX, Kind

UPLOAD: Final = "upload"
DATA: Final = "data.parquet"
_STEP_NS_MAX: Final = 2**62
_NUMBER_BYTES: Final = 8
#: What columns are lent; memory is taken as it is written. A time stands before the columns.
LENT_BYTES: Final = ROWS_MAX * _NUMBER_BYTES * (1 + max(map(len, COLUMNS.values())))
_ADJUSTMENTS: Final = frozenset({"unknown", "raw", "split", "total_return"})
_TAKEN: Final = frozenset({Verdict.ACCEPTED, Verdict.ACCEPTED_WITH_WARNINGS})
#: How PostgreSQL's one impossible character is written in JSON.
#: Reports are kept and listed; that of an honest process has a few findings of each kind.
_REPORT_BYTES_MAX: Final = 128 * 1024
_NUL: Final = rb"\u0000"


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the dataset that a file became."""

    sha256: str
    kind: str
    symbols: tuple[str, ...]
    timeframe: str
    step_ns: int
    rows: int
    first_ns: int
    last_ns: int
    bytes: int


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a file; with facts when it was taken and `data.parquet` is there."""

    report: QualityReport
    facts: Facts | None = None
    actions: tuple[Action, ...] = ()
    adjustment: str = "unknown"


def take(
    content: Content,
    file: Path,
    *,
    report: QualityReport,
    actions: tuple[Action, ...],
    adjustment: str,
) -> Checked:
    """Write the file of a dataset, and return what is known of it."""
    write_parquet(content, file)
    first_ns, last_ns = content.span_ns
    facts = Facts(
        sha256=content.sha256(),
        kind=content.kind,
        symbols=tuple(content.layout.slices),
        timeframe=content.timeframe,
        step_ns=content.step_ns,
        rows=content.rows,
        first_ns=first_ns,
        last_ns=last_ns,
        bytes=file.stat().st_size,
    )
    return Checked(report=report, facts=facts, actions=actions, adjustment=adjustment)


def take_over(read: Read, memory: mmap.mmap, file: Path) -> Checked:
    """Return the verdict of a process that is not believed, with its numbers judged again.

    Args:
        memory: where it left its columns; nobody writes there any more.

    Raises:
        ValueError: an honest one says nothing like that.
    """
    if len(msgspec.json.encode(read.report)) > _REPORT_BYTES_MAX:
        raise ValueError("it finds more than can be in a file")
    if read.layout is None:
        if read.report.verdict in _TAKEN:
            raise ValueError("it took a file and has nothing of it")
        return Checked(report=read.report)
    if read.report.verdict not in _TAKEN:
        raise ValueError("it has something of a file that it did not take")
    if read.adjustment not in _ADJUSTMENTS or _NUL in msgspec.json.encode(read):
        raise ValueError("it says what no dataset has")
    for one in read.actions:
        is_known = one.symbol in read.layout.slices and one.ratio >= 0 and one.amount >= 0
        if not is_known or abs(one.ex_ns) >= 2**63:
            raise ValueError("it tells of actions that cannot be")
    return take(
        _content(read.layout, memory), file,
        report=read.report, actions=read.actions, adjustment=read.adjustment,
    )  # fmt: skip


def _content(layout: Layout, memory: mmap.mmap) -> Content:
    kind = Kind(layout.kind)
    rows = _rows(layout)
    if layout.timeframe and not TIMEFRAME.fullmatch(layout.timeframe):
        raise ValueError("it names a timeframe that is none")
    if not 0 <= layout.step_ns <= _STEP_NS_MAX:
        raise ValueError("its candles are too long")
    columns: dict[str, NDArray[Any]] = {}
    at = 0
    for name in ("ts", *COLUMNS[kind]):
        number = np.dtype({"ts": np.int64, "side": np.int8}.get(name, np.float64))
        columns[name] = np.frombuffer(memory, dtype=number, count=rows, offset=at)
        at += rows * number.itemsize
    series = []
    try:
        for symbol, (start, count) in layout.slices.items():
            mine = {name: one[start : start + count] for name, one in columns.items()}
            series.append(_series(kind, symbol, mine, layout.step_ns))
    except BadSeries as error:
        raise ValueError(f"its numbers are no {kind}: {error.detail}") from error
    return Content(series=tuple(series), timeframe=layout.timeframe, step_ns=layout.step_ns)


def _rows(layout: Layout) -> int:
    """Return how many rows there are; symbols in order, each where the one before ends."""
    symbols = list(layout.slices)
    if not 0 < len(symbols) <= SYMBOLS_MAX or symbols != sorted(symbols):
        raise ValueError("its symbols are in no order, or too many")
    rows = 0
    for symbol, (start, count) in layout.slices.items():
        if not SYMBOL.fullmatch(symbol) or start != rows or count < 1:
            raise ValueError(f"it has no rows of {symbol[:40]!r} where they should be")
        rows += count
        if rows > ROWS_MAX:
            raise ValueError("it has more rows than a file may have")
    return rows


def _series(kind: Kind, symbol: str, columns: dict[str, NDArray[Any]], step_ns: int) -> Series:
    times = columns.pop("ts")
    match kind:
        case Kind.CANDLES:
            return Bars.of_length(symbol, times, step_ns, **columns)
        case Kind.QUOTES:
            return Quotes(symbol, times, *columns.values())
        case Kind.TRADES:
            return Trades(symbol, times, *columns.values())
