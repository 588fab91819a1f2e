from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alphintra.sdk import Bars


@pytest.fixture
def save_bars(tmp_path: Path) -> Callable[[Bars], Path]:
    """Write bars as a plain Parquet file and return where."""

    def save(bars: Bars) -> Path:
        columns = {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")}
        times = pa.array(bars.open_ns // 1000, pa.timestamp("us", tz="UTC"))
        path = tmp_path / f"{bars.symbol}_1m.parquet"
        pq.write_table(pa.table({"ts": times, **columns}), path)
        return path

    return save
