"""What is shown of results: pages of trades, curves that fit a screen, reports. For threads."""

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from alphintra.platform.http import BadCursor, decode_cursor, encode_cursor
from alphintra.research.errors import RunNotFinished
from alphintra.research.models import RunRow
from alphintra.research.result import BacktestResult
from alphintra.research.schemas import ComparedView
from alphintra.research.storing import load_result, read_columns, read_text

HEADLINES: Final = (
    "start_date",
    "end_date",
    "initial_capital",
    "final_capital",
    "total_return",
    "total_trades",
    "win_rate",
    "sharpe_ratio",
    "max_drawdown",
)
LOGS_MAX: Final = 1_000
_CURVES: Final = ("equity", "cash", "exposure", "benchmark")
T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Return what `work` makes, without holding up the loop."""
    return await asyncio.to_thread(work)


def first_row(cursor: str | None) -> int:
    """Read the cursor of a page of trades.

    Raises:
        BadCursor: it is not one of ours.
    """
    if cursor is None:
        return 0
    (text,) = decode_cursor(cursor, 1)
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise BadCursor("the cursor is not valid")
    return int(text)


def trades(path: Path, first: int, limit: int) -> tuple[list[dict[str, Any]], str | None]:
    """Return one page of a result's trades and the cursor of the next."""
    result = load_result(path)
    page = dataclasses.replace(result, trades=result.trades[first : first + limit])
    rows = [{"number": first + index, **row} for index, row in enumerate(page.trades_as_dicts())]
    end = first + limit
    return rows, encode_cursor(end) if end < len(result.trades) else None


def equity_json(path: Path, points: int) -> bytes:
    """Return the curves, thinned out to ends and extremes, as JSON."""
    from alphintra.research.reports.thinning import rows_to_keep

    ts_ns, *curves = read_columns(path, "ts_ns", *_CURVES)
    kept = rows_to_keep(*curves[:1], limit=points) if len(ts_ns) else slice(None)
    body: dict[str, Any] = {"rows": len(ts_ns), "ts_ns": ts_ns[kept].tolist()}
    for name, curve in zip(_CURVES, curves, strict=True):
        body[name] = [value if np.isfinite(value) else None for value in curve[kept].tolist()]
    return msgspec.json.encode(body)


def equity_arrow(path: Path) -> bytes:
    """Return the whole curves as an Arrow stream."""
    import pyarrow as pa

    names = ("ts_ns", *_CURVES)
    columns = dict(zip(names, read_columns(path, *names), strict=True))
    arrays = {name: pa.array(column) for name, column in columns.items()}
    arrays["ts_ns"] = arrays["ts_ns"].cast(pa.timestamp("ns", tz="UTC"))
    table = pa.table(arrays)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def report(path: Path, form: str) -> bytes:
    """Return the report of a result as html, pdf or json."""
    from alphintra.research import reports

    result = load_result(path)
    if form == "pdf":
        return reports.pdf(result)
    text = reports.html(result) if form == "html" else reports.json(result)
    return text.encode()


def load_named(name: str) -> Callable[[Path], BacktestResult]:
    """Return what loads a result under the name that its owner gave it."""

    def load(path: Path) -> BacktestResult:
        result = load_result(path)
        manifest = dataclasses.replace(result.manifest, strategy=name)
        return dataclasses.replace(result, manifest=manifest)

    return load


def comparison(results: Sequence[BacktestResult]) -> bytes:
    """Return the page that compares results."""
    from alphintra.research import reports

    return reports.html(list(results)).encode()


def compared(rows: Sequence[RunRow]) -> ComparedView:
    """Return the figures of backtests side by side.

    Raises:
        RunNotFinished: one of them has none.
    """
    for row in rows:
        if row.summary is None:
            raise RunNotFinished(f"run {row.id} is {row.status}", status=row.status)
    summaries = [(row.summary or {})["metrics"] for row in rows]
    names = [name for name, value in summaries[0].items() if not isinstance(value, dict | list)]
    return ComparedView(
        ids=[row.id for row in rows],
        names=[row.name for row in rows],
        metrics={name: [summary.get(name) for summary in summaries] for name in names},
    )


def search_part(path: Path, form: str) -> bytes:
    """Return the page of a search, or its JSON."""
    return read_text(path, f"search.{form}").encode()
