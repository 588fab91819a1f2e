"""Graphs that come with the product."""

from pathlib import Path

from alphintra.strategies.blocks.graph import Graph
from alphintra.strategies.blocks.validation import graph_from


def example(name: str = "sma_cross") -> Graph:
    """Return one of the graphs of this folder."""
    return graph_from(Path(__file__).with_name(f"{name}.json").read_text())
