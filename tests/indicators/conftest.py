"""Bars to compute indicators on."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[np.float64]]


def random_columns(rows: int, *, seed: int = 1) -> dict[str, NDArray[np.float64]]:
    """Return bars of a random walk, with the columns that some indicators want besides."""
    generator = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(generator.normal(0, 0.01, rows)))
    opened = close * np.exp(generator.normal(0, 0.004, rows))
    return {
        "open": opened,
        "high": np.maximum(opened, close) * np.exp(np.abs(generator.normal(0, 0.003, rows))),
        "low": np.minimum(opened, close) * np.exp(-np.abs(generator.normal(0, 0.003, rows))),
        "close": close,
        "volume": generator.integers(0, 5_000, rows).astype(np.float64),
        "periods": generator.integers(2, 20, rows).astype(np.float64),
        "session": np.arange(rows) // 7.0,
    }


@pytest.fixture(scope="session")
def walk() -> Columns:
    """400 bars of a random walk."""
    return random_columns(400)


@pytest.fixture(scope="session")
def spy502(market_data_dir: Path) -> Columns:
    """The 502 daily bars that the reference values were computed on."""
    return read_columns(market_data_dir / "us_daily/SPY502_1d_stockindicators-default.parquet")


@pytest.fixture(scope="session")
def spy_minutes(market_data_dir: Path) -> Columns:
    """600 real one-minute bars: equal prices and flat bars among them."""
    columns = read_columns(market_data_dir / "us_intraday/SPY_1m_lean.parquet")
    return {name: column[:600] for name, column in columns.items()}


def read_columns(path: Path) -> dict[str, NDArray[np.float64]]:
    table = pq.read_table(path)
    columns = {
        name: table.column(name).to_numpy().astype(np.float64)
        for name in ("open", "high", "low", "close", "volume")
    }
    rows = table.num_rows
    columns["periods"] = 2.0 + np.arange(rows) % 17
    columns["session"] = np.arange(rows) // 50.0
    return columns
