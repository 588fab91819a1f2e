"""From bytes to a table: what a file is, by its content; the one file in an archive; JSON.

A file's name decides nothing. What is packed twice, has several files, or unpacks to far more than
it weighs is refused before it is unpacked; and nothing is unpacked to a disk.
"""

import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from alphintra.market.datasets.options import SYMBOL, UploadOptions
from alphintra.market.errors import ColumnsNotRecognised, FileNotReadable, FileTooLarge
from alphintra.market.files import (
    CELL_LENGTH_MAX,
    COLUMNS_MAX,
    ROWS_MAX,
    SAMPLE_ROWS,
    Kind,
    Row,
    Table,
    find_fields,
    open_table,
)
from alphintra.market.handles import (
    AnyFile,
    OpenFile,
    PackedFile,
    open_archive,
    open_bytes,
    size_of,
)

UNPACKED_BYTES_MAX: Final = 1024**3
JSON_BYTES_MAX: Final = 12 * 1024**2
#: A row of fewer bytes than this is none.
_JSON_ROW_BYTES_MIN: Final = 16
MEMBERS_MAX: Final = 100
#: Prices as text shrink to a tenth at best; what shrinks more is not prices.
RATIO_MAX: Final = 100
RATIO_FREE_BYTES: Final = 4 * 1024**2
_BLOCK: Final = 1024**2
#: Formats that are no tables, by how they begin.
_PACKED: Final = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "rar",
}
_BOM: Final = b"\xef\xbb\xbf"
#: Where vendors put the candles in their JSON.
_LIST_NAMES: Final = ("ohlc", "candles", "bars", "data", "values", "results", "prices", "items")


class NotThisArchive(FileNotReadable):
    """An archive is not one file of data. Pack the one file alone, or send it unpacked."""

    code = "archive_not_taken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A table, or a Parquet file; and what its bytes told.

    `name` is that of the file inside the archive, if there is one.
    """

    path: AnyFile
    name: str
    format: str
    has_bom: bool = False
    is_zipped: bool = False


def recognise(path: Path | OpenFile, name: str) -> Opened:
    """Say what a file is, and what the one file in an archive is.

    Raises:
        FileNotReadable: it is nothing that is taken.
        FileTooLarge: it unpacks to more than is taken.
    """
    opened = _recognise(path, name)
    if opened.format != "zip":
        return opened
    packed = _look_inside(path)
    inner = _recognise(packed, packed.member.filename)
    if inner.format == "zip":
        raise NotThisArchive("an archive in an archive is not taken")
    return replace(inner, is_zipped=True)


def _recognise(path: AnyFile, name: str) -> Opened:
    with open_bytes(path) as file:
        head = file.read(4096)
    if not head:
        raise FileNotReadable("the file is empty")
    for magic, packer in _PACKED.items():
        if head.startswith(magic):
            raise FileNotReadable(f"the file is packed with {packer}; send it unpacked or as zip")
    has_bom = head.startswith(_BOM)
    if head.startswith(b"PK"):
        return Opened(path=path, name=name, format="zip")
    if head.startswith(b"PAR1"):
        return Opened(path=path, name=name, format="parquet")
    text = head[3:] if has_bom else head
    kind = "json" if text.lstrip()[:1] in {b"{", b"["} else "csv"
    return Opened(path=path, name=name, format=kind, has_bom=has_bom)


def _look_inside(path: Path | OpenFile) -> PackedFile:
    """Return the one file in an archive, read once to the end: so its sum is known to be right."""
    try:
        with open_archive(path) as archive:
            packed = PackedFile(path, _only_member(archive))
        with open_bytes(packed) as file:
            while file.read(_BLOCK):
                pass
        return packed
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError) as error:
        raise NotThisArchive(f"the archive is damaged: {str(error)[:100]}") from error


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) > MEMBERS_MAX:
        raise NotThisArchive(f"the archive has {len(members):,} files; one is taken")
    files = [one for one in members if not one.is_dir() and not one.filename.startswith("__MACOSX")]
    if len(files) != 1:
        raise NotThisArchive(f"the archive has {len(files)} files; one is taken")
    (member,) = files
    parts = re.split(r"[/\\]", member.filename)
    # Nothing is ever written under this name; a name like this says what the sender is up to.
    if ".." in parts or not parts[0] or ":" in parts[0] or not member.filename.isprintable():
        raise NotThisArchive("the name of the file in the archive leaves its folder")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise NotThisArchive("the archive holds a link instead of a file")
    if member.flag_bits & 1:
        raise NotThisArchive("the archive is encrypted")
    if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise NotThisArchive("the archive is packed in an unusual way; pack it as ordinary zip")
    allowed = max(RATIO_FREE_BYTES, RATIO_MAX * member.compress_size)
    if member.file_size > min(allowed, UNPACKED_BYTES_MAX):
        raise FileTooLarge(f"the archive unpacks to {member.file_size:,} bytes")
    return member


def open_text(opened: Opened, options: UploadOptions) -> Table:
    """Open CSV or JSON as a table.

    Raises:
        FileNotReadable, FileTooLarge, ColumnsNotRecognised: see there.
    """
    read = _open_json if opened.format == "json" else open_table
    table = read(opened.path, columns=options.columns)
    base = _base_of(table, options.symbol)
    return read(opened.path, columns=options.columns, base=base) if base else table


def _base_of(table: Table, symbol: str) -> str:
    """Return which of several volumes is in the base asset, where the symbol tells it."""
    at = table.fields.get("symbol")
    if not symbol and at is not None and table.sample:
        symbol = str(table.sample[0][at])
    named = (re.fullmatch(r"volume[ _]([a-z]{2,8})", name.strip().lower()) for name in table.names)
    assets = [match[1].upper() for match in named if match]
    return next((asset for asset in assets if symbol.upper().startswith(asset)), "")


def _open_json(path: AnyFile, *, columns: Sequence[str] = (), base: str = "") -> Table:
    size = size_of(path)
    if size > JSON_BYTES_MAX:
        raise FileTooLarge(f"JSON has at most {JSON_BYTES_MAX:,} bytes; send it as CSV or Parquet")
    try:
        with open_bytes(path) as file:
            document = msgspec.json.decode(file.read().removeprefix(_BOM))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FileNotReadable(f"the file is not JSON: {str(error)[:100]}") from error
    names, rows = _table_of(document, rows_max=size // _JSON_ROW_BYTES_MIN + 1)
    if len(names) > COLUMNS_MAX:
        raise FileTooLarge(f"the file has more than {COLUMNS_MAX} columns")
    if len(rows) > ROWS_MAX:
        raise FileTooLarge(f"the file has more than {ROWS_MAX:,} rows")
    names = list(columns) or names
    if (found := find_fields(names, base)) is None:
        shown = ", ".join(name[:40] for name in names[:20])
        raise ColumnsNotRecognised(f"the columns {shown!r} are not candles, quotes or trades")
    kind, fields = found
    return _json_table(kind, fields, names, rows)


def _json_table(kind: Kind, fields: dict[str, int], names: list[str], rows: Sequence[Row]) -> Table:
    def numbered() -> Iterator[tuple[int, Row | None, str]]:
        for number, row in enumerate(rows, start=1):
            plain = len(row) == len(names) and all(_is_cell(cell) for cell in row)
            yield number, row if plain else None, ""

    return Table(
        kind=kind,
        fields=fields,
        names=tuple(names),
        sample=[row for row in rows[:SAMPLE_ROWS] if len(row) == len(names)],
        rows=numbered(),
    )


def _is_cell(cell: object) -> bool:
    if isinstance(cell, str):
        return len(cell) <= CELL_LENGTH_MAX
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))


def _table_of(document: object, *, rows_max: int) -> tuple[list[str], list[Row]]:
    """Return names and rows of objects, of lists, or of columns; also one level further down."""
    if isinstance(document, Mapping):
        lengths = {len(one) for one in document.values() if isinstance(one, list)}
        if len(lengths) == 1 and all(_is_column(one) for one in document.values()):
            columns = {str(name): one for name, one in document.items() if isinstance(one, list)}
            if len(columns) > 1:
                return list(columns), list(zip(*columns.values(), strict=True))
        wrapped = _wrapped(document)
        names, rows = _table_of(wrapped, rows_max=rows_max)
        symbol = document.get("symbol")
        if isinstance(symbol, str) and SYMBOL.fullmatch(symbol) and "symbol" not in names:
            return [*names, "symbol"], [(*row, symbol) for row in rows]
        return names, rows
    if not isinstance(document, list) or not document:
        raise FileNotReadable("the file has no list of rows")
    if len(document) > rows_max:
        raise FileNotReadable("the rows of the file have nothing in them")
    first = document[0]
    if isinstance(first, Mapping):
        names = [str(name) for name in first]
        return names, [
            tuple(row.get(name) for name in names) if isinstance(row, Mapping) else ()
            for row in document
        ]
    if isinstance(first, list):
        return [f"column {at}" for at in range(1, len(first) + 1)], [
            tuple(row) if isinstance(row, list) else () for row in document
        ]
    raise FileNotReadable("the rows of the file are neither objects nor lists")


def _is_column(value: object) -> bool:
    if not isinstance(value, list):
        return isinstance(value, str | int | float | None)
    return not value or not isinstance(value[0], list | dict)


def _wrapped(document: Mapping[Any, object]) -> list[object]:
    lists = {str(name).lower(): one for name, one in document.items() if isinstance(one, list)}
    named = [lists[name] for name in _LIST_NAMES if name in lists]
    if len(lists) == 1:
        named = list(lists.values())
    if not named:
        raise FileNotReadable("the file has no list of rows")
    return named[0]
