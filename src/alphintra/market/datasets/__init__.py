"""Datasets: immutable columns of market data, named by what is in them, for research."""

from alphintra.market.datasets.reading import (
    Layout,
    OpenFile,
    read_bars,
    read_quotes,
    read_series,
    read_trades,
)

__all__ = ["Layout", "OpenFile", "read_bars", "read_quotes", "read_series", "read_trades"]
