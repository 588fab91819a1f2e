"""Datasets: immutable columns of market data, named by what is in them, for research."""

from alphintra.market.datasets.reading import (
    Layout,
    read_bars,
    read_quotes,
    read_series,
    read_trades,
)
from alphintra.market.handles import OpenFile

__all__ = ["Layout", "OpenFile", "read_bars", "read_quotes", "read_series", "read_trades"]
