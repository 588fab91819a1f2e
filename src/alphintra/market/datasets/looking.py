"""What a person looks at before believing a dataset: rows, figures, a chart; and all of it, as
Arrow.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from alphintra.core.clock import to_datetime
from alphintra.engine.series import Bars, Series
from alphintra.market.datasets import charting
from alphintra.market.datasets.content import COLUMNS, times_of
from alphintra.market.datasets.reading import read_layout, read_series
from alphintra.market.datasets.schemas import ChartView, PreviewView, StatisticsView
from alphintra.market.datasets.statistics import statistics
from alphintra.market.files import Kind

ARROW_TYPE: Final = "application/vnd.apache.arrow.stream"
_BATCH_ROWS: Final = 131_072


def preview(path: Path, symbol: str, rows: int) -> PreviewView:
    """Return the first and the last rows of a symbol; no row is in both."""
    series = read_series(path, symbol)
    head = min(rows, len(series))
    tail = min(rows, len(series) - head)
    names = COLUMNS[Kind.CANDLES] if isinstance(series, Bars) else _names(series)
    return PreviewView(
        symbol=symbol,
        rows=len(series),
        columns=["ts", *names],
        head=_rows(series.rows(0, head), names),
        tail=_rows(series.rows(len(series) - tail, len(series)), names),
    )


def figures(path: Path) -> StatisticsView:
    """Return the figures of every symbol."""
    layout = read_layout(path)
    symbols = sorted(layout.slices) if layout is not None else []
    return StatisticsView(
        symbols={symbol: statistics(read_series(path, symbol)) for symbol in symbols}
    )


def chart(
    path: Path, symbol: str, *, style: str, points: int, start_ns: int, end_ns: int
) -> ChartView:
    """Return at most `points` candles, or points of a line, of the rows in [start, end)."""
    series = read_series(path, symbol).between(start_ns, end_ns)
    if style == "candles" and isinstance(series, Bars):
        reduced = charting.candles(series, points)
        columns = {name: _numbers(getattr(reduced, name)) for name in COLUMNS[Kind.CANDLES]}
        return ChartView(
            symbol=symbol,
            style="candles",
            rows=len(series),
            columns={"ts_ms": _milliseconds(reduced.open_ns), **columns},
        )
    times, values = charting.line(series, points)
    return ChartView(
        symbol=symbol,
        style="line",
        rows=len(series),
        columns={"ts_ms": _milliseconds(times), "value": _numbers(values)},
    )


def arrow_stream(path: Path, symbol: str, start_ns: int, end_ns: int) -> Iterator[bytes]:
    """Yield rows as an Arrow IPC stream, in pieces of some megabytes.

    Args:
        symbol: only its rows; all of them, with a column `symbol`, when it is empty.
    """
    layout = read_layout(path)
    if layout is None:
        raise AssertionError("a dataset's file says what it holds")
    table = pq.read_table(path, memory_map=True).replace_schema_metadata(None)
    if symbol:
        table = table.slice(*layout.slices[symbol])
    elif len(layout.slices) > 1:
        names = sorted(layout.slices, key=lambda one: layout.slices[one][0])
        counts = [layout.slices[name][1] for name in names]
        codes = np.repeat(np.arange(len(names), dtype=np.int32), counts)
        table = table.append_column("symbol", pa.DictionaryArray.from_arrays(codes, names))
    times = table.column("ts").cast(pa.int64()).to_numpy()
    if start_ns > times.min(initial=end_ns) or end_ns <= times.max(initial=start_ns):
        table = table.filter(pa.array((times >= start_ns) & (times < end_ns)))
    pipe = _Pipe()
    with pa.ipc.new_stream(pipe, table.schema) as writer:
        for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
            writer.write_batch(batch)
            yield pipe.taken()
    yield pipe.taken()


class _Pipe(io.RawIOBase):
    """What is written to it waits to be taken."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # bytes, or Arrow's buffer
        piece = bytes(data)
        self._waiting.append(piece)
        return len(piece)

    def taken(self) -> bytes:
        pieces, self._waiting = self._waiting, []
        return b"".join(pieces)


def _names(series: Series) -> tuple[str, ...]:
    return COLUMNS[Kind.QUOTES] if hasattr(series, "bid") else COLUMNS[Kind.TRADES]


def _rows(series: Series, names: tuple[str, ...]) -> list[list[float | str | None]]:
    times = [to_datetime(int(one)).isoformat() for one in times_of(series)]
    columns = [_numbers(getattr(series, name)) for name in names]
    return [list(row) for row in zip(times, *columns, strict=True)]


def _numbers(column: NDArray[np.float64]) -> list[float | int | None]:
    """Return numbers as JSON has them: what is not known is null."""
    missing = np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), dtype=bool)
    return [
        None if gone else value
        for value, gone in zip(column.tolist(), missing.tolist(), strict=True)
    ]


def _milliseconds(times: NDArray[np.int64]) -> list[float | int | None]:
    return [*(times // 1_000_000).tolist()]
