"""Everything that is wrong with a graph, told by block and field."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cache, lru_cache
from keyword import iskeyword
from math import isfinite
from typing import Final
from zoneinfo import available_timezones

from alphintra import indicators
from alphintra.indicators import IndicatorParameterInvalid
from alphintra.sdk import ParameterRefused, Strategy, StrategyRefused
from alphintra.sdk import blocks as vocabulary
from alphintra.sdk.blocks import minutes_of
from alphintra.sdk.parameters import Parameter
from alphintra.sdk.resampling import duration_ns
from alphintra.strategies.blocks.errors import GraphRefused
from alphintra.strategies.blocks.forms import (
    BlockType,
    Category,
    Chain,
    Field,
    FieldKind,
)
from alphintra.strategies.blocks.graph import (
    FAULTS_MOST,
    Block,
    Connection,
    Fault,
    Graph,
    Reference,
    StrategyParameter,
    Value,
    parameter_kind,
    read,
)
from alphintra.strategies.blocks.normal import normalised, wiring
from alphintra.strategies.blocks.palette import kinds

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
#: Names that the Python of a graph uses for something else.
_TAKEN: Final = frozenset(
    {"bar", "self", "nan", "min", "max", "abs", "len", "param", "float", "int", "bool", "str"}
    | {name for name in dir(Strategy) if not name.startswith("_")}
    | {"random", *(name for name in vars(vocabulary) if not name.startswith("_"))}
)
_REFERABLE: Final = {
    FieldKind.INTEGER: "INTEGER",
    FieldKind.NUMBER: "NUMBER",
    FieldKind.BOOLEAN: "BOOLEAN",
    FieldKind.CHOICE: "TEXT",
}


def validate(graph: Graph | object) -> list[Fault]:
    """Return all that is wrong with a graph, of the form's shape and of its sense; empty: nothing.

    Args:
        graph: one, or JSON as text, bytes or decoded.
    """
    if isinstance(graph, Graph):
        return _Check(graph).faults
    made, faults = read(graph)
    if not faults or made.blocks:
        known = {(one.block, one.field) for one in faults}
        faults += [one for one in _Check(made).faults if (one.block, one.field) not in known]
    return faults[:FAULTS_MOST]


def graph_from(document: object) -> Graph:
    """Return the graph that JSON (text, bytes or decoded) holds, written down in the one way.

    Raises:
        GraphRefused: something is wrong with it.
    """
    graph, faults = read(document)
    return checked(graph, faults)


def checked(graph: Graph, faults: list[Fault] | None = None) -> Graph:
    """Return a graph written down in the one way.

    Raises:
        GraphRefused: something is wrong with it.
    """
    found = [*(faults or []), *_Check(graph).faults]
    if found:
        raise GraphRefused(found[:FAULTS_MOST])
    return normalised(graph)


def _is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text)) and not iskeyword(text) and text not in _TAKEN


@lru_cache(maxsize=4096)
def _refused_together(indicator: str, chosen: tuple[tuple[str, Value], ...]) -> str | None:
    try:
        indicators.describe(indicator).warm_up(**dict(chosen))
    except IndicatorParameterInvalid as error:
        return f"{error.detail}."
    return None


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


class _Check:
    """One look at a graph."""

    def __init__(self, graph: Graph) -> None:
        self.faults: list[Fault] = []
        self._graph = graph
        self._blocks: dict[str, Block] = {}
        self._kinds: dict[str, BlockType] = {}
        self._parameters = {one.name: one for one in graph.parameters}
        if not graph.name:
            self._tell("", "name", "name_missing", "Give the strategy a name.")
        self._check_parameters()
        for block in graph.blocks:
            self._check_block(block)
        self._check_names()
        self._wiring = wiring(graph)
        for one in graph.connections:
            self._check_connection(one)
        self._check_double()
        for name, kind in self._kinds.items():
            self._check_inputs(name, kind)
        cyclic = self._check_cycles()
        self._check_reach(cyclic)
        self._check_actions()

    def _tell(self, block: str, field: str, code: str, message: str) -> None:
        if len(self.faults) < FAULTS_MOST:
            self.faults.append(Fault(block, field, code, message))

    # Parameters of the strategy.

    def _check_parameters(self) -> None:
        counts = Counter(one.name for one in self._graph.parameters)
        for one in self._graph.parameters:
            if not _is_name(one.name):
                self._tell("", one.name, "name_not_allowed", _NAMES_RULE)
            if counts[one.name] > 1:
                self._tell("", one.name, "name_taken", "Two parameters have this name.")
            self._check_declaration(one)

    def _check_declaration(self, one: StrategyParameter) -> None:
        kind = parameter_kind(one.default)
        if kind in {"TEXT", "BOOLEAN"} and not (one.low is one.high is one.step is None):
            self._tell("", one.name, "parameter_invalid", "Only numbers have a range.")
            return
        if any(parameter_kind(choice) != kind for choice in one.choices) and kind != "NUMBER":
            self._tell("", one.name, "parameter_invalid", "Choices are of the default's kind.")
            return
        if one.step is not None and one.step <= 0:
            self._tell("", one.name, "parameter_invalid", "A step is above zero.")
        try:
            Parameter(one.default, one.low, one.high, one.step, one.choices, name=one.name)
        except (ParameterRefused, StrategyRefused) as error:
            self._tell("", one.name, "parameter_invalid", f"{error.detail}.")

    # Blocks by themselves.

    def _check_block(self, block: Block) -> None:
        if block.id in self._blocks:
            self._tell(block.id, "id", "name_taken", "Two blocks have this id.")
            return
        self._blocks[block.id] = block
        if not _is_name(block.id):
            self._tell(block.id, "id", "name_not_allowed", _NAMES_RULE)
        kind = kinds().get(block.kind)
        if kind is None:
            self._tell(block.id, "kind", "kind_unknown", f"There is no block {block.kind!r}.")
            return
        self._kinds[block.id] = kind
        for name in block.fields:
            if kind.field(name) is None:
                has = ", ".join(one.name for one in kind.fields) or "none"
                self._tell(block.id, name, "field_unknown", f"{kind.title} has the fields: {has}.")
        values = {one.name: block.fields.get(one.name, one.default) for one in kind.fields}
        count = len(self.faults)
        for one in kind.fields:
            self._check_field(block.id, one, values[one.name])
        if count == len(self.faults) and kind.category is Category.INDICATOR:
            self._check_together(block, kind, values)

    def _check_field(self, block: str, field: Field, value: Value) -> None:
        if isinstance(value, Reference):
            self._check_reference(block, field, value.parameter)
        elif (advice := _wrong_kind(field, value)) is not None:
            self._tell(block, field.name, "wrong_kind", advice)
        elif (advice := _out_of_range(field, value)) is not None:
            self._tell(block, field.name, "out_of_range", advice)

    def _check_reference(self, block: str, field: Field, name: str) -> None:
        declared = self._parameters.get(name)
        if declared is None:
            text = f"The strategy has no parameter {name!r}; add it or set a value."
            self._tell(block, field.name, "parameter_unknown", text)
            return
        wanted = _REFERABLE.get(field.kind)
        kind = parameter_kind(declared.default)
        if wanted is None or (kind != wanted and (kind, wanted) != ("INTEGER", "NUMBER")):
            text = f"{field.title} cannot take the parameter {name!r}, which is {kind.lower()}."
            self._tell(block, field.name, "wrong_kind", text)
            return
        ends: list[object] = [declared.default, *declared.choices]
        if kind in {"INTEGER", "NUMBER"} and not declared.choices:
            ends += [declared.low, declared.high]
            if declared.low is None and field.low is not None:
                ends.append(float("-inf"))
            if declared.high is None and field.high is not None:
                ends.append(float("inf"))
        if kind == "TEXT" and not declared.choices:
            text = f"Give the parameter {name!r} choices, of: {', '.join(field.choices)}."
            self._tell(block, field.name, "out_of_range", text)
            return
        for end in ends:
            if end is not None and (advice := _out_of_range(field, end)) is not None:
                text = f"{advice} The parameter {name!r} may be {end}."
                self._tell(block, field.name, "out_of_range", text)
                return

    def _check_together(self, block: Block, kind: BlockType, values: Mapping[str, Value]) -> None:
        """Some indicators refuse values that are fine each by itself."""
        chosen = {
            name: self._parameters[value.parameter].default
            if isinstance(value, Reference)
            else value
            for name, value in values.items()
            if name not in {"timeframe", "symbol"}
        }
        if advice := _refused_together(kind.kind, tuple(chosen.items())):
            self._tell(block.id, "", "out_of_range", advice)

    def _check_names(self) -> None:
        """Blocks and parameters share the strategy's attributes, and so do outputs."""
        owners = defaultdict[str, list[str]](list)
        for name, kind in self._kinds.items():
            names = [name]
            if kind.category is Category.INDICATOR and len(kind.outputs) > 1:
                names += [f"{name}_{one.name}" for one in kind.outputs]
            for one in names:
                owners[one].append(name)
        for name, blocks in owners.items():
            if name in self._parameters:
                text = f"A parameter is called {name!r} too: rename one of them."
                self._tell(blocks[0], "id", "name_taken", text)
            for block in blocks[1:]:
                text = f"{name!r} is what an output of {blocks[0]} is called: rename the block."
                self._tell(block, "id", "name_taken", text)

    # Connections.

    def _check_connection(self, one: Connection) -> None:
        for end in (one.source, one.target):
            if end not in self._blocks:
                self._tell(
                    one.target, one.input, "block_unknown", f"There is no block {end!r} here."
                )
        source, target = self._kinds.get(one.source), self._kinds.get(one.target)
        output = source.output(one.output) if source else None
        wanted = target.input(one.input) if target else None
        if target and wanted is None:
            has = ", ".join(port.name for port in target.inputs) or "none"
            text = f"{target.title} has the inputs: {has}."
            self._tell(one.target, one.input, "port_unknown", text)
        if source and output is None:
            has = ", ".join(port.name for port in source.outputs) or "none"
            text = f"{one.source} ({source.title}) has the outputs: {has}."
            self._tell(one.target, one.input, "port_unknown", text)
        if output and wanted and not output.type.fits(wanted.type):
            text = (
                f"{one.source} gives {_named(output.type)}, but {wanted.title.lower()} takes "
                f"{_named(wanted.type)}."
            )
            self._tell(one.target, one.input, "type_mismatch", text)

    def _check_double(self) -> None:
        counts = Counter((one.target, one.input) for one in self._graph.connections)
        for (block, port), count in counts.items():
            if count > 1:
                text = f"{count} connections end here; keep one of them."
                self._tell(block, port, "input_taken", text)

    def _check_inputs(self, name: str, kind: BlockType) -> None:
        given = self._wiring.get(name, {})
        for one in kind.inputs:
            if one.required and one.name not in given:
                text = f"Connect {_named(one.type)} to {one.title.lower()!r}."
                self._tell(name, one.name, "input_missing", text)
        if isinstance(kind.form, Chain) and "d" in given and "c" not in given:
            self._tell(name, "c", "input_missing", "Connect the third condition before the fourth.")
        block = self._blocks[name]
        if "on" in given:
            for field in ("timeframe", "symbol"):
                if block.fields.get(field):
                    text = "It follows from what the indicator is computed on: leave it empty."
                    self._tell(name, field, "field_contradicts", text)
        if kind.kind == "exits" and not any(
            one.name in given or block.fields.get(f"{one.name}_percent") for one in kind.inputs
        ):
            text = "Connect a distance, or set a percentage: there is no exit in it."
            self._tell(name, "stop_percent", "exits_empty", text)

    def _check_cycles(self) -> frozenset[str]:
        """Blocks that nothing can be computed before: they are on a cycle, or behind one."""
        left = {name: set[str]() for name in self._blocks}
        feeds = defaultdict[str, set[str]](set)
        for one in self._graph.connections:
            if one.source in left and one.target in left:
                left[one.target].add(one.source)
                feeds[one.source].add(one.target)
        before = {name: len(sources) for name, sources in left.items()}
        after = {name: len(feeds[name]) for name in left}
        blocked = _peeled(before, feeds)
        backwards = defaultdict[str, set[str]](set)
        for name, targets in feeds.items():
            for target in targets:
                backwards[target].add(name)
        # What is behind a cycle is not on it: take off what leads to nothing too.
        cyclic = blocked & _peeled(after, backwards)
        for name in sorted(cyclic):
            text = "It needs its own result. Take out a connection of the circle, or read a value "
            self._tell(name, "", "cycle", text + "that is known, such as the position.")
        return frozenset(cyclic)

    def _check_reach(self, cyclic: frozenset[str]) -> None:
        sources = defaultdict[str, set[str]](set)
        for one in self._graph.connections:
            sources[one.target].add(one.source)
        reached = {name for name, kind in self._kinds.items() if kind.is_action}
        reached |= {name for name in self._blocks if name not in self._kinds}
        waiting = list(reached)
        while waiting:
            for source in sources[waiting.pop()]:
                if source not in reached:
                    reached.add(source)
                    waiting.append(source)
        for name in self._blocks:
            if name not in reached and name not in cyclic:
                text = "Nothing that this block gives reaches an action: connect it or remove it."
                self._tell(name, "", "unreachable", text)

    # What is done.

    def _check_actions(self) -> None:
        actions = [name for name, kind in self._kinds.items() if kind.is_action]
        if not actions:
            self._tell("", "blocks", "no_action", "Nothing is done: add an action, such as Enter.")
        known = defaultdict[tuple[str, str], list[str]](list)
        for name in actions:
            if "when" in (given := self._wiring.get(name, {})):
                known[given["when"].source, given["when"].output].append(name)
        for names in known.values():
            for at, name in enumerate(names):
                for earlier in names[:at]:
                    if advice := self._contradiction(earlier, name):
                        self._tell(name, "when", "actions_contradict", advice)

    def _contradiction(self, earlier: str, later: str) -> str | None:
        """Say why two actions at the same moment make no sense."""
        first, second = self._kinds[earlier].kind, self._kinds[later].kind
        sides = [self._side(name) for name in (earlier, later)]
        same = f"It is done at the same moment as {earlier}: "
        if first == second:
            if first == "enter" and sides[0] != sides[1]:
                return same + "one enters long, the other short."
            if first == "exit" and "any" not in sides and sides[0] != sides[1]:
                return None
            return same + "one of the two is enough."
        both = {first, second}
        if both == {"enter", "rebalance"} or both == {"exit", "rebalance"}:
            return same + "both say how much is to be held."
        if both == {"enter", "exit"} and (sides[0] == sides[1] or "any" in sides):
            return same + "one enters what the other leaves."
        return None

    def _side(self, name: str) -> Value:
        field = self._kinds[name].field("side")
        return self._blocks[name].fields.get("side", field.default) if field else ""


def _peeled(counts: dict[str, int], feeds: Mapping[str, set[str]]) -> set[str]:
    """Take off again and again what waits for nothing; return what is left."""
    ready = [name for name, count in counts.items() if count == 0]
    left = set(counts)
    while ready:
        name = ready.pop()
        left.discard(name)
        for target in feeds.get(name, ()):
            counts[target] -= 1
            if counts[target] == 0:
                ready.append(target)
    return left


_NAMES_RULE: Final = (
    "A name has small letters, digits and underscores, begins with a letter, has at most 40 "
    "characters, and is no word of Python or of the SDK."
)
_TYPE_NAMES: Final = {
    "SERIES": "a series (a price or an indicator)",
    "NUMBER": "a number",
    "BOOLEAN": "a condition",
    "SIZE": "a size",
    "EXITS": "exits",
}


def _named(kind: str) -> str:
    return _TYPE_NAMES[kind]


def _wrong_kind(field: Field, value: object) -> str | None:
    match field.kind:
        case FieldKind.INTEGER:
            is_right = _is_number(value) and value == int(value)  # type: ignore[call-overload]
            wanted = "a whole number"
        case FieldKind.NUMBER:
            is_right, wanted = _is_number(value), "a number"
        case FieldKind.BOOLEAN:
            is_right, wanted = isinstance(value, bool), "true or false"
        case FieldKind.CHOICES:
            is_right, wanted = isinstance(value, tuple), "a list of choices"
        case _:
            is_right, wanted = isinstance(value, str), "a text"
    return None if is_right else f"{field.title} is {wanted}."


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _out_of_range(field: Field, value: object) -> str | None:
    """Say what a field takes if it does not take this value, which is of its kind."""
    match field.kind:
        case FieldKind.INTEGER | FieldKind.NUMBER:
            assert isinstance(value, int | float)
            if field.low is not None and not value >= field.low:
                return f"{field.title} is at least {field.low:g}."
            if field.high is not None and not value <= field.high:
                return f"{field.title} is at most {field.high:g}."
        case FieldKind.CHOICE:
            if value not in field.choices:
                return f"{field.title} is one of: {', '.join(field.choices)}."
        case FieldKind.CHOICES:
            assert isinstance(value, tuple)
            if not value or not set(value) <= {*field.choices} or len({*value}) < len(value):
                return f"{field.title} are one or more of: {', '.join(field.choices)}."
        case FieldKind.TIME | FieldKind.TIMEFRAME | FieldKind.SYMBOL | FieldKind.ZONE:
            return _unreadable(field, str(value))
        case FieldKind.BOOLEAN:
            pass
    return None


def _unreadable(field: Field, value: str) -> str | None:
    try:
        if field.kind is FieldKind.TIME:
            minutes_of(value)
        elif field.kind is FieldKind.TIMEFRAME and value:
            duration_ns(value)
        elif field.kind is FieldKind.ZONE and value not in _zones():
            return f"{field.title} is the name of a zone, such as UTC or America/New_York."
        elif field.kind is FieldKind.SYMBOL and not re.fullmatch(r"[A-Za-z0-9./:_\-]{0,40}", value):
            return f"{field.title} is the name of a symbol, such as SPY."
    except ValueError:
        return f"{field.title} is a time of day, such as 09:30."
    except StrategyRefused as error:
        return f"{error.detail}."
    return None
