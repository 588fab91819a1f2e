"""The one way to write a graph down: every field there, blocks in the order in which they work."""

import heapq
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from alphintra.strategies.blocks.forms import BlockType, Done, Field, FieldKind, Line
from alphintra.strategies.blocks.graph import (
    Block,
    Connection,
    Graph,
    Reference,
    StrategyParameter,
    Value,
)
from alphintra.strategies.blocks.palette import kinds

#: Inputs of a block by name: the connection that goes there.
Wiring = Mapping[str, Mapping[str, Connection]]


def wiring(graph: Graph) -> Wiring:
    """Return for each block what is connected to its inputs."""
    found: dict[str, dict[str, Connection]] = defaultdict(dict)
    for one in graph.connections:
        found[one.target][one.input] = one
    return found


def declared_lines(graph: Graph) -> frozenset[str]:
    """Return the blocks that are declared in `setup`.

    Those are indicators, and prices of another timeframe or symbol or that something is computed
    on; other prices are read from the bar.
    """
    read_whole = {one.source for one in graph.connections if one.input == "on"}
    return frozenset(
        block.id
        for block in graph.blocks
        if isinstance(kinds()[block.kind].form, Line)
        and (
            block.kind != "price"
            or block.id in read_whole
            or block.fields.get("timeframe")
            or block.fields.get("symbol")
        )
    )


def normalised(graph: Graph) -> Graph:
    """Return a valid graph with all fields, its blocks in the order in which they work.

    A field that an input is connected in place of has its default.

    Blocks whose order the connections leave open keep theirs. Of the actions those that leave come
    first, then those that rebalance, then those that enter.
    """
    given = wiring(graph)
    blocks = [_filled(block, given.get(block.id, {})) for block in graph.blocks]
    ordered = _ordered(replace(graph, blocks=tuple(blocks)))
    place = {block.id: at for at, block in enumerate(ordered)}
    ports = {
        block.id: [one.name for one in kinds()[block.kind].inputs] for block in ordered
    }  # fmt: skip
    connections = sorted(
        graph.connections, key=lambda one: (place[one.target], ports[one.target].index(one.input))
    )
    return Graph(
        name=graph.name,
        description=graph.description,
        parameters=tuple(map(_exact, graph.parameters)),
        blocks=tuple(ordered),
        connections=tuple(connections),
    )


def _filled(block: Block, given: Mapping[str, Connection]) -> Block:
    # A field behind an input that is connected says nothing: it goes back to its default.
    fields = {
        one.name: coerced(
            one, one.default if one.name in given else block.fields.get(one.name, one.default)
        )
        for one in kinds()[block.kind].fields
    }
    return replace(block, fields=fields)


def coerced(field: Field, value: Value) -> Value:
    """Return a valid value as its field keeps it: browsers write 2 for 2.0."""
    if isinstance(value, bool | str | Reference):
        return value
    if isinstance(value, tuple):
        return tuple(one for one in field.choices if one in value)
    if field.kind is FieldKind.INTEGER:
        return int(value)
    return float(value) + 0.0  # never -0.0


def _exact(one: StrategyParameter) -> StrategyParameter:
    if isinstance(one.default, bool | str):
        return one
    whole = isinstance(one.default, int)
    bounds = {
        name: _as_kind(value, whole=whole)
        for name in ("low", "high", "step")
        if (value := getattr(one, name)) is not None
    }
    choices = tuple(
        _as_kind(value, whole=whole) for value in one.choices if isinstance(value, int | float)
    )
    return replace(one, choices=choices, **bounds)  # type: ignore[arg-type]


def _as_kind(value: float, *, whole: bool) -> float:
    if whole and value == int(value):
        return int(value)
    return float(value) + 0.0


def _ordered(graph: Graph) -> list[Block]:
    lines = declared_lines(graph)
    waits_for = {block.id: set[str]() for block in graph.blocks}
    feeds = defaultdict[str, set[str]](set)
    for one in graph.connections:
        waits_for[one.target].add(one.source)
        feeds[one.source].add(one.target)
    keys = {
        block.id: (_rank(kinds()[block.kind], is_line=block.id in lines), at)
        for at, block in enumerate(graph.blocks)
    }
    ready = [keys[name] for name, sources in waits_for.items() if not sources]
    heapq.heapify(ready)
    ordered = []
    while ready:
        block = graph.blocks[heapq.heappop(ready)[1]]
        ordered.append(block)
        for target in feeds[block.id]:
            waits_for[target].discard(block.id)
            if not waits_for[target]:
                heapq.heappush(ready, keys[target])
    assert len(ordered) == len(graph.blocks), "a valid graph has no cycle"
    return ordered


def _rank(kind: BlockType, *, is_line: bool) -> int:
    if isinstance(kind.form, Done):
        return 2 + kind.form.rank
    return 0 if is_line else 1
