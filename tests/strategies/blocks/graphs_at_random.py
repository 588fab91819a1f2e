"""Valid graphs at random: some for reading and writing, some that trade."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from alphintra.strategies.blocks.forms import BlockType, Field, FieldKind, PortType
from alphintra.strategies.blocks.graph import (
    Block,
    Connection,
    Graph,
    Reference,
    StrategyParameter,
    Value,
)
from alphintra.strategies.blocks.palette import kinds
from alphintra.strategies.blocks.validation import validate

_LABELS = ("", "", "Golden cross", "a \\ label: @3,4", 'says "so"', "größer", "# hash", "x @1,2")
_ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")
#: Indicators that the trading graphs use: quick ones with a value after a few bars.
_QUICK = ("SMA", "EMA", "RSI", "ATR", "MACD", "BBANDS", "MIN", "MAX", "STOCH", "SUPERTREND", "OBV")

#: Conditions that hold now and then.
_LIVELY = ("compare", "cross", "rising", "falling", "every", "recently", "new_period")


@dataclass
class _Made:
    random: Random
    trades: bool
    blocks: list[Block] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    parameters: list[StrategyParameter] = field(default_factory=list)
    outputs: list[tuple[str, str, PortType]] = field(default_factory=list)


def graph_at_random(random: Random, *, trades: bool = False) -> Graph:
    """Return a valid graph; with `trades` one whose actions are likely to happen."""
    made = _Made(random, trades)
    names = [name for name, kind in kinds().items() if not kind.is_action]
    usable = [name for name in names if kinds()[name].category != "INDICATOR"]
    indicators = list(_QUICK) if trades else [name for name in names if name not in usable]
    _add(made, "price")
    if trades:
        _add(made, "ATR")
    for _ in range(random.randint(2, 6)):
        _add(made, random.choice(indicators))
    for name in ("compare", "cross"):
        _add(made, name)
    for _ in range(random.randint(3, 14)):
        _add(made, random.choice(usable))
    if trades:
        for name in _LIVELY:
            _add(made, name)
        for name in ("size_percent", "size_units", "size_risk", "exits"):
            _add(made, name)
    for place in range(random.randint(1, 4)):
        kind = "enter" if place == 0 else random.choice(("enter", "exit", "rebalance", "exit"))
        if not trades and random.random() < 0.2:
            kind = "cancel_orders"
        _add(made, kind)
    return _pruned(made)


def _add(made: _Made, name: str) -> None:
    kind, random = kinds()[name], made.random
    links: dict[str, tuple[str, str, PortType]] = {}
    for port in kind.inputs:
        if name in ("and", "or") and port.name == "d" and "c" not in links:
            continue
        if not port.required and random.random() < (0.1 if name in _LIVELY else 0.5):
            continue
        if name == "enter" and port.name in ("limit", "stop"):
            if (source := _price_near(made, port.name)) is not None:
                links[port.name] = source
            continue
        fitting = [one for one in made.outputs if one[2].fits(port.type)]
        if made.trades and port.type in (PortType.NUMBER, PortType.BOOLEAN) and fitting:
            fitting = _sensible(made, kind, port.name, fitting)
        if fitting:
            links[port.name] = random.choice(fitting)
        elif port.required:
            if port.type in (PortType.SIZE, PortType.EXITS):
                _add(made, {"SIZE": "size_units", "EXITS": "exits"}[port.type])
                links[port.name] = made.outputs[-1]
            else:
                return
    place = len(made.blocks)
    block_id = f"{name.lower()}_{place}"
    fields = {one.name: _value(made, kind, one) for one in kind.fields}
    if "on" in links:
        fields |= {"timeframe": "", "symbol": ""}
    if name == "exits" and not links and not any(fields.values()):
        fields["stop_percent"] = 2.5
    block = Block(
        id=block_id,
        kind=name,
        fields=fields,
        x=random.randint(-500, 2_000),
        y=random.randint(-500, 2_000),
        label=random.choice(_LABELS),
    )
    made.blocks.append(block)
    made.outputs += [(block_id, one.name, one.type) for one in kind.outputs]
    made.connections += [
        Connection(target=block_id, input=port, source=source[0], output=source[1])
        for port, source in links.items()
    ]


def _sensible(
    made: _Made, kind: BlockType, port: str, fitting: list[tuple[str, str, PortType]]
) -> list[tuple[str, str, PortType]]:
    """Prefer what is near a price for comparisons of prices, so that something happens."""
    block_kinds = {block.id: block.kind for block in made.blocks}
    if kind.group == "Sizes and exits" and made.random.random() < 0.9:
        ranges = [one for one in fitting if block_kinds[one[0]] == "ATR"]
        return ranges or fitting
    if port == "when" and made.random.random() < 0.8:
        return [one for one in fitting if block_kinds[one[0]] in _LIVELY]
    if kind.kind in _LIVELY and made.random.random() < 0.8:
        near = ("price", "SMA", "EMA", "BBANDS", "MIN", "MAX", "SUPERTREND")
        return [one for one in fitting if block_kinds[one[0]] in near] or fitting
    return fitting


def _price_near(made: _Made, port: str) -> tuple[str, str, PortType] | None:
    if made.random.random() < 0.6:
        return None
    prices = [block for block in made.blocks if block.kind == "price"]
    block_id = f"near_{port}_{len(made.blocks)}"
    factor = made.random.choice((0.99, 0.998, 1.0, 1.002, 1.01))
    made.blocks.append(Block(id=block_id, kind="arithmetic", fields={"operator": "*", "b": factor}))
    made.connections.append(
        Connection(target=block_id, input="a", source=prices[0].id, output="value")
    )
    return block_id, "value", PortType.NUMBER


def _value(made: _Made, kind: BlockType, one: Field) -> Value:
    random = made.random
    match one.kind:
        case FieldKind.INTEGER | FieldKind.NUMBER:
            value = _number(made, kind, one)
            if random.random() < 0.15:
                return _referred(made, one, value)
            return value
        case FieldKind.BOOLEAN:
            return random.random() < 0.5
        case FieldKind.CHOICE:
            choices = one.choices[:2] if one.name == "matype" else one.choices
            return random.choice(choices)
        case FieldKind.CHOICES:
            return tuple(random.sample(one.choices, random.randint(1, len(one.choices))))
        case FieldKind.TIME:
            return f"{random.randint(0, 23):02}:{random.randint(0, 59):02}"
        case FieldKind.ZONE:
            return random.choice(_ZONES)
        case FieldKind.TIMEFRAME:
            return random.choice(("", "", "", "1w"))
        case FieldKind.SYMBOL:
            return random.choice(("", "", "", "X"))
    raise AssertionError(one.kind)


def _number(made: _Made, kind: BlockType, one: Field) -> float:
    random = made.random
    if kind.category == "INDICATOR":
        if made.trades and one.kind is FieldKind.INTEGER and kind.kind != "MACD":
            return random.randint(2, 20)
        assert isinstance(one.default, int | float)
        return one.default
    spans: Mapping[str, Callable[[], float]] = {
        "bars": lambda: random.randint(1, 6),
        "percent": lambda: random.choice((1.0, 20.0, 95.0, 100.0)),
        "most": lambda: random.choice((50.0, 100.0)),
        "quantity": lambda: random.choice((0.4, 10.0, 55.5)),
        "stop_percent": lambda: random.choice((0.0, 0.2, 1.0, 5.0)),
        "target_percent": lambda: random.choice((0.0, 0.3, 2.0)),
        "trail_percent": lambda: random.choice((0.0, 0.25, 3.0)),
    }
    if kind.kind == "rebalance":
        return random.choice((-50.0, 0.0, 33.3, 100.0))
    if one.name in spans:
        return spans[one.name]()
    return random.choice((0.0, 1.0, -1.0, 0.5, 30.0, 70.0, 99.5, 100.0, 1e-9, 123456.789))


def _referred(made: _Made, one: Field, value: float) -> Value:
    if one.low is not None and one.low < 0 and one.high is None:
        return value
    name = f"setting_{len(made.parameters)}"
    default: Any = int(value) if one.kind is FieldKind.INTEGER else float(value)
    made.parameters.append(
        StrategyParameter(
            name=name,
            default=default,
            low=default if one.low is not None or made.random.random() < 0.5 else None,
            high=default if one.high is not None or made.random.random() < 0.5 else None,
            step=made.random.choice((None, 1)),
            help=made.random.choice(("", 'how "much"', "bars \\ days")),
        )
    )
    return Reference(name)


def _pruned(made: _Made) -> Graph:
    """Take off what reaches no action, and actions that contradict others."""
    graph = Graph(
        name=made.random.choice(("Random", "A 'name' of \"mine\"", "1st try", "ärger & co")),
        description=made.random.choice(("", "One line.", 'Two\n\n  lines """quoted"""\\ end"')),
        parameters=tuple(made.parameters),
        blocks=tuple(made.blocks),
        connections=tuple(made.connections),
    )
    from alphintra.strategies.blocks.graph import tidy

    graph = replace(graph, description=tidy(graph.description))
    while True:
        gone = {
            one.block
            for one in validate(graph)
            if one.code in ("unreachable", "actions_contradict")
        }
        if not gone:
            break
        graph = replace(
            graph,
            blocks=tuple(block for block in graph.blocks if block.id not in gone),
            connections=tuple(
                one for one in graph.connections if not {one.source, one.target} & gone
            ),
        )
    used = {
        value.parameter
        for block in graph.blocks
        for value in block.fields.values()
        if isinstance(value, Reference)
    }
    return replace(graph, parameters=tuple(one for one in graph.parameters if one.name in used))
