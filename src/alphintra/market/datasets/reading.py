"""Datasets and plain files as columns: what backtests read.

A dataset that this product wrote says in its metadata what it holds (`Layout`); of any other
Parquet file the columns are found by their usual names. Files that need judgement (CSV, odd
times, several symbols unsorted) take the way of an upload, without being kept.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from alphintra.engine.series import Bars, Floats, Quotes, Times, Trades, median_step_ns
from alphintra.market.errors import ColumnsNotRecognised, FileNotReadable
from alphintra.market.files import Kind, find_fields
from alphintra.market.handles import OpenFile, open_bytes, open_parquet

#: The key of our own metadata in a Parquet file.
METADATA_KEY: Final = b"alphintra"
_NS_PER_UNIT: Final = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_DAY_NS: Final = 86_400 * 1_000_000_000


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What a dataset's file holds: which rows are of which symbol, and how long its bars are.

    `slices` gives the first row and the number of rows by symbol; `step_ns` is 0 for ticks.
    """

    kind: str
    slices: dict[str, tuple[int, int]]
    timeframe: str = ""
    step_ns: int = 0


def read_bars(path: Path | OpenFile | str, symbol: str | None = None) -> Bars:
    """Read the candles of one symbol from Parquet or CSV.

    The length of the bars is what the file's metadata says, else the median step.

    Args:
        symbol: which one, where the file has several; else what to call it (default: what the
            file says, or its name up to the first `_`).

    Raises:
        FileNotReadable, ColumnsNotRecognised: the file holds no candles.
        UploadNeedsDecision, UploadRefused: it needs judgement before it can be believed.
        BadSeries: its rows break a rule; the detail names the row.
    """
    found = _read(_file(path), Kind.CANDLES, symbol)
    step_ns = found.layout.step_ns or median_step_ns(found.ts_ns)
    return Bars.of_length(
        found.symbol,
        found.ts_ns,
        step_ns,
        open=found.floats("open"),
        high=found.floats("high"),
        low=found.floats("low"),
        close=found.floats("close"),
        volume=found.floats("volume"),
    )


def read_quotes(path: Path | OpenFile | str, symbol: str | None = None) -> Quotes:
    """Read the quotes of one symbol; sizes are NaN where the file has none. See `read_bars`."""
    found = _read(_file(path), Kind.QUOTES, symbol)
    return Quotes(
        found.symbol,
        found.ts_ns,
        found.floats("bid"),
        found.floats("ask"),
        found.floats("bid_size"),
        found.floats("ask_size"),
    )


def read_trades(path: Path | OpenFile | str, symbol: str | None = None) -> Trades:
    """Read the prints of one symbol; `side` is 0 where the file does not say. See `read_bars`."""
    found = _read(_file(path), Kind.TRADES, symbol)
    return Trades(
        found.symbol, found.ts_ns, found.floats("price"), found.floats("size"), found.sides()
    )


def read_series(path: Path | OpenFile | str, symbol: str | None = None) -> Bars | Quotes | Trades:
    """Read whatever the file holds of one symbol."""
    file = _file(path)
    layout = read_layout(file)
    kind = layout.kind if layout is not None else _kind_of(file)
    if kind == Kind.QUOTES:
        return read_quotes(path, symbol)
    return read_trades(path, symbol) if kind == Kind.TRADES else read_bars(path, symbol)


def read_layout(path: Path | OpenFile) -> Layout | None:
    """Return what a dataset of ours says of itself; `None` for any other file.

    Raises:
        FileNotReadable: there is no such file, or its metadata is damaged.
    """
    if not _is_parquet(path):
        return None
    return _layout(_open(path), path)


@dataclass(slots=True)
class _Found:
    """The columns of one symbol of a file."""

    symbol: str
    layout: Layout
    ts_ns: Times
    columns: dict[str, Any] = field(default_factory=dict)  # pyarrow has no types

    def floats(self, name: str) -> Floats:
        column = self.columns.get(name)
        if column is None:
            return np.full(len(self.ts_ns), np.nan)
        if not pa.types.is_floating(column.type):
            column = column.cast(pa.float64())
        values: Floats = np.asarray(column.to_numpy(), dtype=np.float64)
        return values

    def sides(self) -> NDArray[np.int8]:
        column = self.columns.get("side")
        if column is None:
            return np.zeros(len(self.ts_ns), dtype=np.int8)
        if pa.types.is_integer(column.type):
            signs: NDArray[np.int8] = np.asarray(column.to_numpy(), dtype=np.int8)
            return signs
        encoded = column.combine_chunks().dictionary_encode()
        chunks = encoded.chunks if isinstance(encoded, pa.ChunkedArray) else [encoded]
        return np.concatenate(
            [np.zeros(0, dtype=np.int8), *(_signs(chunk) for chunk in chunks)], dtype=np.int8
        )


def _signs(encoded: Any) -> NDArray[np.int8]:  # pyarrow has no types
    meaning = {"buy": 1, "b": 1, "sell": -1, "s": -1}
    known = [meaning.get(str(one).strip().lower(), 0) for one in encoded.dictionary.to_pylist()]
    indices = encoded.indices.fill_null(len(known)).to_numpy(zero_copy_only=False)
    signs: NDArray[np.int8] = np.array([*known, 0], dtype=np.int8)[indices]
    return signs


def _file(path: Path | OpenFile | str) -> Path | OpenFile:
    return Path(path) if isinstance(path, str) else path


def _is_parquet(path: Path | OpenFile) -> bool:
    try:
        with open_bytes(path) as file:
            return file.read(4) == b"PAR1"
    except OSError as error:
        raise FileNotReadable(f"{path} cannot be read: {error.strerror}") from error


def _open(path: Path | OpenFile) -> Any:  # pyarrow has no types
    try:
        return open_parquet(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FileNotReadable(f"{path.name} is not Parquet that can be read") from error


def _layout(file: Any, path: Path | OpenFile) -> Layout | None:  # pyarrow has no types
    said = (file.schema_arrow.metadata or {}).get(METADATA_KEY)
    if said is None:
        return None
    try:
        return msgspec.json.decode(said, type=Layout)
    except msgspec.DecodeError as error:
        raise FileNotReadable(f"the metadata of {path.name} is damaged") from error


def _kind_of(path: Path | OpenFile) -> str:
    if not _is_parquet(path):
        return Kind.CANDLES
    found = find_fields(_open(path).schema_arrow.names)
    return found[0] if found else Kind.CANDLES


def _read(path: Path | OpenFile, kind: Kind, symbol: str | None) -> _Found:
    if not _is_parquet(path):
        return _read_judged(path, kind, symbol)
    file = _open(path)
    names = file.schema_arrow.names
    layout = _layout(file, path)
    fields = _fields(path, names, kind)
    time = file.schema_arrow.field(fields["time"]).type if "time" in fields else None
    if layout is None and not (_is_plain_time(time) and "symbol" not in fields):
        return _read_judged(path, kind, symbol)
    if layout is not None and layout.kind != kind:
        raise ColumnsNotRecognised(f"{path.name} holds {layout.kind}, not {kind}")
    wanted = {field: names[at] for field, at in fields.items() if field not in {"symbol", "clock"}}
    try:
        table = file.read(columns=list(dict.fromkeys(wanted.values())))
    except (pa.ArrowException, OSError) as error:
        raise FileNotReadable(f"{path.name} is damaged") from error
    if layout is None:
        layout = Layout(kind=kind, slices={symbol or path.stem.split("_")[0]: (0, len(table))})
    name, (start, count) = _choose(layout, path, symbol)
    if (start, count) != (0, len(table)):
        table = table.slice(start, count)
    columns = {field: table.column(column) for field, column in wanted.items()}
    return _Found(name, layout, _times(columns["time"], path), columns)


def _fields(path: Path | OpenFile, names: list[str], kind: Kind) -> dict[str, int]:
    found = None if {"kind", "seq"} <= set(names) else find_fields(names)  # no order books
    if found is None or found[0] is not kind:
        shown = ", ".join(name[:40] for name in names[:20])
        raise ColumnsNotRecognised(f"{path.name} holds no {kind}: its columns are {shown!r}")
    return found[1]


def _choose(
    layout: Layout, path: Path | OpenFile, symbol: str | None
) -> tuple[str, tuple[int, int]]:
    if symbol in layout.slices:
        return symbol, layout.slices[symbol]
    if len(layout.slices) == 1:
        ((own, rows),) = layout.slices.items()
        return symbol or own, rows
    known = ", ".join(sorted(layout.slices)[:20])
    if symbol is None:
        raise ColumnsNotRecognised(f"{path.name} holds several symbols; name one of {known}")
    raise ColumnsNotRecognised(f"{path.name} holds no {symbol}; it has {known}")


def _is_plain_time(kind: Any) -> bool:  # pyarrow has no types
    # Without a zone a timestamp may be local time; that needs a person's word.
    return pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and bool(kind.tz))


def _times(column: Any, path: Path | OpenFile) -> Times:  # pyarrow has no types
    if column.null_count:
        raise FileNotReadable(f"{path.name} has rows without a time")
    if pa.types.is_date(column.type):
        days: Times = np.asarray(column.cast(pa.int32()).to_numpy(), dtype=np.int64)
        return days * _DAY_NS
    factor = _NS_PER_UNIT[column.type.unit]
    ticks: Times = np.asarray(column.cast(pa.int64()).to_numpy())
    return ticks if factor == 1 else ticks * factor


def _read_judged(path: Path | OpenFile, kind: Kind, symbol: str | None) -> _Found:
    """Read a file as an upload would be read, and keep nothing of it."""
    if isinstance(path, OpenFile):
        raise FileNotReadable(f"{path.name} is no dataset of this product")
    # Only files that are not plain need all of this.
    import time

    from alphintra.market.datasets.content import COLUMNS
    from alphintra.market.datasets.findings import refusal_of
    from alphintra.market.datasets.options import UploadOptions
    from alphintra.market.datasets.parsing import parse_file

    parsed = parse_file(path, name=path.name, options=UploadOptions(), now_ns=time.time_ns())
    content = parsed.content
    if content is None:
        raise refusal_of(parsed.report)
    if content.kind is not kind:
        raise ColumnsNotRecognised(f"{path.name} holds {content.kind}, not {kind}")
    layout = content.layout
    name, (start, count) = _choose(layout, path, symbol)
    columns = {
        column: pa.array(content.column(column)[start : start + count]) for column in COLUMNS[kind]
    }
    return _Found(name, layout, content.column("ts")[start : start + count], columns)
