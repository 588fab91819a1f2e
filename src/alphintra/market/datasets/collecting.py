"""From the rows of a table to columns of numbers, a chunk at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pc
from numpy.typing import NDArray

from alphintra.engine.series import Floats, Times
from alphintra.market.datasets.content import COLUMNS
from alphintra.market.datasets.moments import TimeColumn, time_cells
from alphintra.market.datasets.options import SYMBOL
from alphintra.market.errors import FileNotReadable, FileTooLarge
from alphintra.market.files import ROWS_MAX, Kind, Table
from alphintra.market.handles import AnyFile, open_bytes, open_parquet

CHUNK_ROWS: Final = 65_536
_BLOCK_BYTES: Final = 4 * 1024**2
#: Different symbols that one file may have.
SYMBOLS_MAX: Final = 2_000
NO_SYMBOL: Final = -1
_MISSING: Final = frozenset({"", "nan", "null", "none", "na", "n/a", "-"})
_SIDES: Final = {"buy": 1, "b": 1, "1": 1, "sell": -1, "s": -1, "-1": -1}
#: Columns besides the prices that tell of corporate actions.
_EXTRAS: Final = {
    "splits": ("stock splits", "split", "splits", "split ratio"),
    "dividends": ("dividends", "dividend", "ex-dividend"),
}


@dataclass(slots=True, kw_only=True)
class Raw:
    """Columns as the file has them, one length, in its order.

    `numbers` are the rows' numbers in the file. `garbled` are cells that are not numbers, by row;
    `misshapen` are rows that have another number of cells and are in no column.
    """

    kind: Kind
    numbers: NDArray[np.int64]
    times: Times
    floats: dict[str, Floats]
    sides: NDArray[np.int8]
    symbols: tuple[str, ...]
    codes: NDArray[np.int32]
    garbled: NDArray[np.bool_]
    misshapen: list[int]
    rows: int
    extras: dict[str, Floats] = field(default_factory=dict)


@dataclass(slots=True)
class _Chunk:
    numbers: list[int] | range
    columns: Mapping[int, Any]  # cells by position: a tuple, or an Arrow array
    times: Any  # cells, or an Arrow array
    length: int


def collect(path: AnyFile, table: Table, column: TimeColumn, *, is_parquet: bool) -> Raw:
    """Read all rows.

    Raises:
        FileNotReadable, FileTooLarge: the file turned out to be damaged or too large.
    """
    if table.delimiter:
        try:
            return _filled(_Collector(table, column), _csv_chunks(path, table))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            # Something in it is no number, or a row is too long: slowly, so that it can be named.
            pass
    collector = _Collector(table, column)
    chunks = _parquet_chunks(path, table) if is_parquet else _chunks(table, collector.misshapen)
    return _filled(collector, chunks)


def _filled(collector: "_Collector", chunks: Iterator["_Chunk"]) -> Raw:
    for chunk in chunks:
        collector.add(chunk)
    return collector.raw()


class _Collector:
    def __init__(self, table: Table, column: TimeColumn) -> None:
        self._table = table
        self._column = column
        fields = table.fields
        wanted = [name for name in COLUMNS[table.kind] if name != "side"]
        self._floats = {name: fields[name] for name in wanted if name in fields}
        self._extras = _extras(table.names) if table.kind is Kind.CANDLES else {}
        self._parts: dict[str, list[NDArray[Any]]] = {}
        self._codes: dict[str, int] = {}
        self.misshapen: list[int] = []

    def add(self, chunk: _Chunk) -> None:
        garbled = np.zeros(chunk.length, dtype=np.bool_)
        self._keep("numbers", np.array(chunk.numbers, dtype=np.int64))
        self._keep("times", self._column.read(chunk.times))
        for name, at in {**self._floats, **self._extras}.items():
            values, wrong = _numbers(chunk.columns[at])
            self._keep(name, values)
            if name in self._floats:
                garbled |= wrong
        self._keep("garbled", garbled)
        fields = self._table.fields
        if "side" in fields and self._table.kind is Kind.TRADES:
            self._keep("side", _sides(chunk.columns[fields["side"]]))
        if "symbol" in fields:
            self._keep("codes", self._coded(chunk.columns[fields["symbol"]]))

    def raw(self) -> Raw:
        numbers = self._whole("numbers", np.int64)
        count = len(numbers)
        floats = {name: self._whole(name, np.float64) for name in self._floats}
        codes = self._whole("codes", np.int32)
        return Raw(
            kind=self._table.kind,
            numbers=numbers,
            times=self._whole("times", np.int64),
            floats=floats,
            sides=self._whole("side", np.int8, count),
            symbols=tuple(self._codes),
            codes=codes if "symbol" in self._table.fields else np.zeros(count, dtype=np.int32),
            garbled=self._whole("garbled", np.bool_),
            misshapen=self.misshapen,
            rows=count + len(self.misshapen),
            extras={name: self._whole(name, np.float64) for name in self._extras},
        )

    def _keep(self, name: str, part: NDArray[Any]) -> None:
        self._parts.setdefault(name, []).append(part)

    def _whole(self, name: str, kind: Any, count: int = 0) -> NDArray[Any]:  # a NumPy type
        parts = self._parts.pop(name, None)
        return np.concatenate(parts).astype(kind) if parts else np.zeros(count, dtype=kind)

    def _coded(self, cells: Any) -> NDArray[np.int32]:  # cells, or an Arrow array
        listed = cells.to_pylist() if isinstance(cells, pa.Array) else cells
        return np.fromiter(map(self._code, listed), dtype=np.int32, count=len(listed))

    def _code(self, cell: object) -> int:
        text = str(cell).strip()
        known = self._codes.get(text)
        if known is not None:
            return known
        if not SYMBOL.fullmatch(text) or len(self._codes) >= SYMBOLS_MAX:
            return NO_SYMBOL
        return self._codes.setdefault(text, len(self._codes))


def _extras(names: Sequence[str]) -> dict[str, int]:
    plain = [name.strip().lower() for name in names]
    return {
        extra: plain.index(alias)
        for extra, aliases in _EXTRAS.items()
        for alias in aliases
        if alias in plain
    }


def _chunks(table: Table, misshapen: list[int]) -> Iterator[_Chunk]:
    while taken := list(islice(table.rows, CHUNK_ROWS)):
        misshapen.extend(number for number, row, _ in taken if row is None)
        rows = [row for _, row, _ in taken if row is not None]
        if rows:
            yield _Chunk(
                [number for number, row, _ in taken if row is not None],
                dict(enumerate(zip(*rows, strict=True))),
                time_cells(table, rows),
                len(rows),
            )


def _csv_chunks(path: AnyFile, table: Table) -> Iterator[_Chunk]:
    """Yield the rows of a text whose every cell is what it should be.

    Raises:
        pyarrow.ArrowInvalid: one is not; nothing is said about where.
    """
    fields = table.fields
    texts = [
        fields[name] for name in ("time", "close_time", "clock", "symbol", "side") if name in fields
    ]
    floats = {*fields.values(), *_extras(table.names).values()} - set(texts)
    names = [f"c{at}" for at in range(len(table.names))]
    reader = pc.open_csv(
        open_bytes(path),
        read_options=pc.ReadOptions(
            use_threads=False,
            block_size=_BLOCK_BYTES,
            skip_rows=table.header_rows,
            column_names=names,
        ),
        parse_options=pc.ParseOptions(delimiter=table.delimiter),
        convert_options=pc.ConvertOptions(
            column_types={names[at]: pa.float64() for at in floats}
            | {names[at]: pa.string() for at in texts},
            include_columns=[names[at] for at in sorted({*floats, *texts})],
            null_values=sorted(_MISSING),
            strings_can_be_null=False,
        ),
    )
    read = 0
    at_time = fields.get("time", fields.get("close_time", 0))
    with reader:
        for batch in reader:
            length = batch.num_rows
            columns = {at: batch.column(names[at]) for at in {*floats, *texts}}
            times = columns[at_time]
            if (clock := fields.get("clock")) is not None:
                times = pa.compute.binary_join_element_wise(times, columns[clock], " ")
            if read == 0:
                _require_same(times, time_cells(table, table.sample))
            read += length
            if read > ROWS_MAX:
                raise FileTooLarge(f"the file has more than {ROWS_MAX:,} rows")
            yield _Chunk(range(read - length + 1, read + 1), columns, times, length)


def _require_same(times: Any, sample: list[Any]) -> None:  # an Arrow array, and cells
    """Make sure that both ways of reading begin at the same row."""
    count = min(len(times), len(sample))
    if times[:count].to_pylist() != sample[:count]:
        raise pa.ArrowInvalid("the header is not where it was thought to be")


def _parquet_chunks(path: AnyFile, table: Table) -> Iterator[_Chunk]:
    positions = {*table.fields.values(), *_extras(table.names).values()}
    at_time = table.fields.get("time", table.fields.get("close_time", 0))
    read = 0
    try:
        # One thread and no read-ahead: this process may not start more.
        file = open_parquet(path, pre_buffer=False)
        own = file.schema_arrow.names
        wanted = {own[at]: at for at in sorted(positions)}
        batches = file.iter_batches(CHUNK_ROWS, columns=list(wanted), use_threads=False)
        for batch in batches:
            columns = {
                at: batch.column(batch.schema.get_field_index(name)) for name, at in wanted.items()
            }
            length = batch.num_rows
            times = columns[at_time]
            if (clock := table.fields.get("clock")) is not None:
                pairs = zip(times.to_pylist(), columns[clock].to_pylist(), strict=True)
                times = [f"{day} {hour}" for day, hour in pairs]
            yield _Chunk(range(read + 1, read + length + 1), columns, times, length)
            read += length
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, IndexError) as error:
        raise FileNotReadable(f"the file is damaged after row {read}") from error


def _numbers(cells: Any) -> tuple[Floats, NDArray[np.bool_]]:  # cells, or an Arrow array
    """Return the numbers in cells, NaN where there is none, and which cells are something else."""
    if isinstance(cells, pa.Array):
        kind = cells.type
        if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
            values = cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            return values, np.isinf(values)
        if pa.types.is_null(kind):
            return np.full(len(cells), np.nan), np.zeros(len(cells), dtype=np.bool_)
        cells = cells.to_pylist()
    try:
        values = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
    except (ValueError, TypeError, OverflowError):
        return _numbers_one_by_one(cells)
    # Python reads 1_000 as a number; in a file it is a mistake.
    if isinstance(cells[0], str) and "_" in "".join(map(str, cells)):
        return _numbers_one_by_one(cells)
    return values, np.isinf(values)


def _numbers_one_by_one(cells: Sequence[object]) -> tuple[Floats, NDArray[np.bool_]]:
    values = np.full(len(cells), np.nan)
    wrong = np.zeros(len(cells), dtype=np.bool_)
    for at, cell in enumerate(cells):
        text = "" if cell is None else str(cell).strip()
        if text.lower() in _MISSING:
            continue
        try:
            value = float(text)
        except ValueError:
            wrong[at] = True
            continue
        if "_" in text or np.isinf(value):
            wrong[at] = True
        else:
            values[at] = value
    return values, wrong


def _sides(cells: Any) -> NDArray[np.int8]:  # cells, or an Arrow array
    listed = cells.to_pylist() if isinstance(cells, pa.Array) else cells
    found = (_SIDES.get(str(cell).strip().lower(), 0) for cell in listed)
    return np.fromiter(found, dtype=np.int8, count=len(listed))
