"""Strategies made of blocks: a typed graph, the Python that it means, and its compiled run.

    graph = graph_from(text)        # JSON; GraphRefused names every fault
    python_of(graph)                # a strategy of the SDK; `graph_of` reads it back
    compile_graph(graph)            # what the compiled simulator runs, with the same orders
    palette(), validate(graph)

docs/concepts/blocks.md says what the blocks do.
"""

from alphintra.strategies.blocks.compiling import CompiledGraph, compile_graph
from alphintra.strategies.blocks.errors import GraphRefused, NotBlocks
from alphintra.strategies.blocks.examples import example
from alphintra.strategies.blocks.forms import BlockType
from alphintra.strategies.blocks.graph import Block, Connection, Fault, Graph, StrategyParameter
from alphintra.strategies.blocks.palette import palette
from alphintra.strategies.blocks.reading import graph_of
from alphintra.strategies.blocks.validation import graph_from, validate
from alphintra.strategies.blocks.writing import python_of

__all__ = [
    "Block",
    "BlockType",
    "CompiledGraph",
    "Connection",
    "Fault",
    "Graph",
    "GraphRefused",
    "NotBlocks",
    "StrategyParameter",
    "compile_graph",
    "example",
    "graph_from",
    "graph_of",
    "palette",
    "python_of",
    "validate",
]
