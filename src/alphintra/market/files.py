"""Files of market data as a stream of rows: Parquet and CSV, their columns found by their usual
names.

Everything is bounded: bytes, rows, columns, the length of a cell. A file is read once, from front
to back, and nothing of it is kept.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from typing import Any, Final

from alphintra.market.errors import ColumnsNotRecognised, FileNotReadable, FileTooLarge
from alphintra.market.handles import AnyFile, open_bytes, open_parquet, open_text, size_of

FILE_BYTES_MAX: Final = 2 * 1024**3
ROWS_MAX: Final = 5_000_000
COLUMNS_MAX: Final = 1_000
CELL_LENGTH_MAX: Final = 4_096
#: Parquet says how large its columns are unpacked; more is not unpacked.
UNPACKED_BYTES_MAX: Final = 4 * 1024**3
#: How far down the header may be: some vendors put a banner above it.
HEADER_LINES_MAX: Final = 5
SAMPLE_ROWS: Final = 2_000
_BATCH_ROWS: Final = 8_192

Row = Sequence[object]


class Kind(StrEnum):
    """What a file holds."""

    CANDLES = "candles"
    QUOTES = "quotes"
    TRADES = "trades"


_ALIASES: Final[dict[str, Sequence[str]]] = {
    "time": [
        "ts",
        "timestamp",
        "datetime",
        "date_time",
        "date",
        "time",
        "open_time",
        "opentime",
        "t",
        "gmt_time",
        "utc_time",
        "local_time",
        "epoch",
        "unix",
        "unix_timestamp",
        "start",
        "start_time",
        "starttime",
        "starts_at",
        "at",
    ],
    "close_time": ["close_time", "close_datetime", "closetime", "end_time", "endtime"],
    "open": ["open", "o", "open_price", "openprice", "first"],
    "high": ["high", "h", "high_price", "highprice", "max"],
    "low": ["low", "l", "low_price", "lowprice", "min"],
    "close": ["close", "c", "close_price", "closeprice"],
    "volume": ["volume", "vol", "v", "base_volume", "total_volume"],
    "bid": ["bid", "bid_price", "bidprice", "best_bid", "b"],
    "ask": ["ask", "ask_price", "askprice", "best_ask", "offer", "a"],
    "bid_size": ["bid_size", "bidsize", "bid_qty", "bid_quantity", "bid_volume"],
    "ask_size": ["ask_size", "asksize", "ask_qty", "ask_quantity", "ask_volume"],
    "price": ["price", "p", "last", "trade_price"],
    "size": ["size", "qty", "quantity", "amount", "s", "volume", "vol"],
    "side": ["side", "taker_side", "aggressor"],
    "symbol": ["symbol", "ticker", "instrument"],
}
_NEEDED: Final = {
    Kind.CANDLES: ("open", "high", "low", "close"),
    Kind.QUOTES: ("bid", "ask"),
    Kind.TRADES: ("price", "size"),
}
_OPTIONAL: Final = {
    Kind.CANDLES: ("volume", "symbol"),
    Kind.QUOTES: ("bid_size", "ask_size", "symbol"),
    Kind.TRADES: ("side", "symbol"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """An open file: what it holds, where its fields are, and its rows.

    `fields` gives the position of each known field in a row. `rows` yields the number of the row
    in the file (the first data row is 1) and its cells, or `None` for a row that has another
    number of them. `names` are the columns' own names, `above` is the text above the header. Of
    text, `delimiter` parts the cells, and `header_rows` come before the first data row.
    """

    kind: Kind
    fields: dict[str, int]
    names: tuple[str, ...]
    above: str = ""
    delimiter: str = ""
    header_rows: int = 0
    sample: list[Row]
    rows: Iterator[tuple[int, Row | None, str]]


def open_table(path: AnyFile, *, columns: Sequence[str] = (), base: str = "") -> Table:
    """Open a file.

    Args:
        columns: the names of the columns in order, for files without a header (or with a wrong
        one). base: the instrument's base asset, whose volume is meant where there are several.

    Raises:
        FileNotReadable: not Parquet, not text, damaged, or not there.
        FileTooLarge: beyond a bound.
        ColumnsNotRecognised: the columns do not tell what the file holds.
    """
    try:
        size = size_of(path)
        with open_bytes(path) as file:
            magic = file.read(4)
    except OSError as error:
        raise FileNotReadable(f"{path.name} cannot be read: {error.strerror}") from error
    if size > FILE_BYTES_MAX:
        raise FileTooLarge(f"{path.name} has more than {FILE_BYTES_MAX:,} bytes")
    if size == 0:
        raise FileNotReadable(f"{path.name} is empty")
    if magic == b"PAR1":
        return _open_parquet(path, columns=columns, base=base)
    if magic[:2] in {b"PK", b"\x1f\x8b"}:
        raise FileNotReadable(f"{path.name} is packed; unpack it first")
    return _open_csv(path, columns=columns, base=base)


def _normalise(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lstrip("\ufeff").lower()).strip("_")


def find_fields(names: Sequence[str], base: str = "") -> tuple[Kind, dict[str, int]] | None:
    """Return what columns of these names hold and where, or `None` if they do not tell."""
    plain = [_normalise(name) for name in names]
    aliases = dict(_ALIASES)
    if base:
        aliases["volume"] = (f"volume_{base.lower()}", *aliases["volume"])
    found: dict[str, int] = {}
    for field, accepted in aliases.items():
        for alias in accepted:
            if alias in plain:
                found[field] = plain.index(alias)
                break
    # A date and a time of day apart belong together.
    if "date" in plain and "time" in plain:
        found["time"], found["clock"] = plain.index("date"), plain.index("time")
    if "time" not in found and "close_time" not in found:
        return None
    for kind, needed in _NEEDED.items():
        if all(field in found for field in needed):
            wanted = {*needed, *_OPTIONAL[kind], "time", "clock", "close_time"}
            return kind, {field: at for field, at in found.items() if field in wanted}
    return None


def _not_recognised(names: Sequence[str]) -> ColumnsNotRecognised:
    shown = ", ".join(name[:40] for name in names[:20])
    return ColumnsNotRecognised(
        f"columns {shown!r} are not candles (time, open, high, low, close, volume), quotes (time, "
        "bid, ask) or trades (time, price, size)"
    )


def _open_csv(path: AnyFile, *, columns: Sequence[str], base: str) -> Table:
    lines = csv_lines(path)
    head = list(islice(lines, HEADER_LINES_MAX))
    if not head:
        raise FileNotReadable(f"{path.name} has no rows")
    found = find_fields(columns, base) if columns else None
    body = head
    names, above = list(columns), ""
    if columns:
        if found is None:
            raise _not_recognised(columns)
        own = find_fields(head[0][0], base)
        body = head[1:] if own is not None else head
    else:
        for at, (cells, _) in enumerate(head):
            if (found := find_fields(cells, base)) is not None:
                body, names = head[at + 1 :], cells
                above = "\n".join(raw for _, raw in head[:at])
                break
    if found is None:
        raise _not_recognised(head[0][0])
    kind, fields = found
    rows = _number(chain(body, lines), width=len(names))
    ahead = list(islice(rows, SAMPLE_ROWS))
    return Table(
        kind=kind,
        fields=fields,
        names=tuple(names),
        above=above,
        delimiter=find_delimiter(path),
        header_rows=len(head) - len(body),
        sample=[row for _, row, _ in ahead if row is not None],
        rows=chain(ahead, rows),
    )


def csv_lines(path: AnyFile) -> Iterator[tuple[list[str], str]]:
    """Yield the cells and the text of each line of a CSV file that is not empty.

    Raises:
        FileNotReadable, FileTooLarge: it is no text, or beyond a bound.
    """
    csv.field_size_limit(CELL_LENGTH_MAX)
    try:
        with open_text(path) as file:
            delimiter = find_delimiter(path)
            reader = csv.reader(_bounded(file, path), delimiter=delimiter)
            for cells in reader:
                if not cells:
                    continue
                if len(cells) > COLUMNS_MAX:
                    raise FileTooLarge(f"{path.name} has more than {COLUMNS_MAX} columns")
                yield cells, delimiter.join(cells)
    except UnicodeDecodeError as error:
        raise FileNotReadable(f"{path.name} is neither Parquet nor text in UTF-8") from error
    except csv.Error as error:
        raise FileNotReadable(f"{path.name} is not CSV: {error}") from error
    except OSError as error:
        raise FileNotReadable(f"{path.name} cannot be read: {error.strerror}") from error


def find_delimiter(path: AnyFile) -> str:
    """Return what parts the cells of a text, by its first lines."""
    with open_text(path) as file:
        first = "".join(file.readline(CELL_LENGTH_MAX) for _ in range(HEADER_LINES_MAX))
    return max(",;\t|", key=first.count)


def _bounded(
    file: Any, path: AnyFile
) -> Iterator[str]:  # a text file; `TextIO` has no bounded lines
    line_length_max = CELL_LENGTH_MAX * 64
    while line := file.readline(line_length_max):
        if len(line) == line_length_max:
            raise FileTooLarge(f"{path.name} has a line longer than {line_length_max:,} characters")
        if "\0" in line:
            raise FileNotReadable(f"{path.name} is neither Parquet nor text: it has a NUL in it")
        yield line


def _number(
    lines: Iterable[tuple[list[str], str]], *, width: int
) -> Iterator[tuple[int, Row | None, str]]:
    for count, (cells, raw) in enumerate(lines, start=1):
        if count > ROWS_MAX:
            raise FileTooLarge(f"the file has more than {ROWS_MAX:,} rows")
        yield count, cells if len(cells) == width else None, raw


def _open_parquet(path: AnyFile, *, columns: Sequence[str], base: str) -> Table:
    import pyarrow as pa

    try:
        file = open_parquet(path)
        meta = file.metadata
        names = list(columns) if columns else list(file.schema_arrow.names)
        own = list(file.schema_arrow.names)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FileNotReadable(f"{path.name} is not Parquet that can be read") from error
    if meta.num_rows > ROWS_MAX:
        raise FileTooLarge(f"{path.name} has more than {ROWS_MAX:,} rows")
    if meta.num_columns > COLUMNS_MAX:
        raise FileTooLarge(f"{path.name} has more than {COLUMNS_MAX} columns")
    unpacked = sum(meta.row_group(at).total_byte_size for at in range(meta.num_row_groups))
    if unpacked > UNPACKED_BYTES_MAX:
        raise FileTooLarge(f"{path.name} unpacks to more than {UNPACKED_BYTES_MAX:,} bytes")
    if columns and len(columns) != len(own):
        raise ColumnsNotRecognised(f"the file has {len(own)} columns, not {len(columns)}")
    found = find_fields(names, base)
    if found is None:
        raise _not_recognised(names)
    kind, positions = found
    wanted = list(dict.fromkeys(own[at] for at in positions.values()))
    fields = {field: wanted.index(own[at]) for field, at in positions.items()}
    rows = _parquet_rows(file, wanted, path)
    ahead = list(islice(rows, SAMPLE_ROWS))
    return Table(
        kind=kind,
        fields=fields,
        names=tuple(names),
        sample=[row for _, row, _ in ahead if row is not None],
        rows=chain(ahead, rows),
    )


def _parquet_rows(
    file: Any,  # pyarrow has no types
    wanted: list[str],
    path: AnyFile,
) -> Iterator[tuple[int, Row | None, str]]:
    import pyarrow as pa

    count = 0
    try:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
            ordered = [batch.column(batch.schema.get_field_index(name)) for name in wanted]
            for row in zip(*map(_cells, ordered), strict=True):
                count += 1
                yield count, row, ""
    except (pa.ArrowException, OSError, ValueError, IndexError) as error:
        raise FileNotReadable(f"{path.name} is damaged after row {count}") from error


def _cells(column: Any) -> list[object]:  # pyarrow has no types
    import pyarrow as pa

    # Python's datetime has no nanoseconds; the database has none either.
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    cells: list[object] = column.to_pylist()
    return cells
