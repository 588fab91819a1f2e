"""The content of a dataset: columns by symbol, their hash, and their Parquet file.

The hash covers what the columns mean (kind, symbols, names, types) and every value, in one byte
order, with one kind of NaN and no negative zero. How Parquet packs them plays no part, so the same
prices are the same dataset whatever file they came in.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from alphintra.engine.series import Bars, Quotes, Series, Trades
from alphintra.market.datasets.reading import METADATA_KEY, Layout
from alphintra.market.files import Kind

COLUMNS: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.CANDLES: ("open", "high", "low", "close", "volume"),
    Kind.QUOTES: ("bid", "ask", "bid_size", "ask_size"),
    Kind.TRADES: ("price", "size", "side"),
}
ROW_GROUP_ROWS: Final = 1_048_576
_KINDS: Final[dict[type, Kind]] = {
    Bars: Kind.CANDLES, Quotes: Kind.QUOTES, Trades: Kind.TRADES,
}  # fmt: skip
_FORMAT: Final = b"alphintra dataset 1\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Series of one kind, by symbol in their order; bars with the length that they all have."""

    series: tuple[Series, ...]
    timeframe: str = ""
    step_ns: int = 0

    @property
    def kind(self) -> Kind:
        return _KINDS[type(self.series[0])]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return ("ts", *COLUMNS[self.kind])

    @property
    def layout(self) -> Layout:
        slices: dict[str, tuple[int, int]] = {}
        start = 0
        for one in self.series:
            slices[one.symbol] = (start, len(one))
            start += len(one)
        return Layout(kind=self.kind, slices=slices, timeframe=self.timeframe, step_ns=self.step_ns)

    @property
    def rows(self) -> int:
        return sum(len(one) for one in self.series)

    @property
    def span_ns(self) -> tuple[int, int]:
        """The times of the first and of the last row."""
        times = [times_of(one) for one in self.series]
        return min(int(one[0]) for one in times), max(int(one[-1]) for one in times)

    def column(self, name: str) -> NDArray[Any]:
        """Return one column over all symbols."""
        parts = [times_of(one) if name == "ts" else getattr(one, name) for one in self.series]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def sha256(self) -> str:
        """Return the hash of the content, 64 hex digits."""
        digest = hashlib.sha256(_FORMAT)
        digest.update(msgspec.json.encode(self.layout, order="sorted"))
        for name in self.names:
            column = self.column(name)
            digest.update(f"\n{name} {column.dtype.kind}{column.dtype.itemsize}\n".encode())
            digest.update(_plain(column))
        return digest.hexdigest()


def times_of(series: Series) -> NDArray[np.int64]:
    """Return when the rows of a series begin."""
    return series.open_ns if isinstance(series, Bars) else series.ts_ns


def content_of(series: Iterable[Series], *, timeframe: str = "", step_ns: int = 0) -> Content:
    """Return the content of some series of one kind, by symbol."""
    ordered = tuple(sorted(series, key=lambda one: one.symbol))
    return Content(series=ordered, timeframe=timeframe, step_ns=step_ns)


def write_parquet(content: Content, path: Path) -> None:
    """Write the file of a dataset: whole or not at all is the caller's part."""
    arrays = [pa.array(content.column("ts"), pa.timestamp("ns", tz="UTC"))]
    names = COLUMNS[content.kind]
    arrays += [pa.array(content.column(name)) for name in names]
    fields = [pa.field("ts", arrays[0].type, nullable=False)]
    fields += [
        pa.field(name, array.type, nullable=False)
        for name, array in zip(names, arrays[1:], strict=True)
    ]
    schema = pa.schema(fields, metadata={METADATA_KEY: msgspec.json.encode(content.layout)})
    # Unpacked on purpose: reading is what datasets are for, and a page that is as it was is read
    # at the speed of memory. Dictionaries make prices on a grid small without that cost.
    pq.write_table(
        pa.table(arrays, schema=schema),
        path,
        compression="none",
        use_dictionary=list(names),
        write_statistics=False,
        row_group_size=ROW_GROUP_ROWS,
        store_schema=True,
    )


def _plain(column: NDArray[Any]) -> bytes:
    little = column.dtype.newbyteorder("<")
    values = np.ascontiguousarray(column, dtype=little)
    if values.dtype.kind == "f":
        values = values + 0.0  # a copy in which -0.0 is 0.0
        values[np.isnan(values)] = np.nan
    return values.tobytes()
