"""A strategy as a graph of blocks: what it is made of, from JSON and back.

    {"version": 1, "name": "Averages", "description": "",
     "parameters": [{"name": "bars", "default": 20, "low": 2, "high": 200}],
     "blocks": [{"id": "fast", "kind": "SMA", "parameters": {"timeperiod": {"parameter": "bars"}},
                 "position": {"x": 40, "y": 40}, "label": ""}],
     "connections": [{"from": {"block": "fast", "output": "real"},
                      "to": {"block": "golden", "input": "above"}}]}

What a web editor sends is read without trust: sizes are bounded before anything is looked at, and
whatever has not the shape above is told by block and field, all at once.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import cleandoc
from typing import Any, Final, TypeGuard

VERSION: Final = 1
BYTES_MOST: Final = 512 * 1024
BLOCKS_MOST: Final = 500
CONNECTIONS_MOST: Final = 2_000
PARAMETERS_MOST: Final = 50
CHOICES_MOST: Final = 64
TEXT_MOST: Final = 80
DESCRIPTION_MOST: Final = 2_000
#: Faults that are told of one graph; a graph with more is not one that anybody repairs by hand.
FAULTS_MOST: Final = 200
_AT_MOST: Final = 1_000_000
_KEYS_MOST: Final = 64

Scalar = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Reference:
    """A field that takes the value of a parameter of the strategy."""

    parameter: str


#: What a field of a block holds.
Value = Scalar | tuple[str, ...] | Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block: its kind says what it does (see `palette`), its fields how."""

    id: str
    kind: str
    fields: Mapping[str, Value] = field(default_factory=dict)
    x: int = 0
    y: int = 0
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Connection:
    """An output of a block that is an input of another one."""

    target: str
    input: str
    source: str
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyParameter:
    """A value that a run may choose, as `alphintra.sdk.param` declares it."""

    name: str
    default: Scalar
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[Scalar, ...] = ()
    help: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A strategy made of blocks."""

    name: str
    description: str = ""
    parameters: tuple[StrategyParameter, ...] = ()
    blocks: tuple[Block, ...] = ()
    connections: tuple[Connection, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the form that `read` takes."""
        return {
            "version": VERSION,
            "name": self.name,
            "description": self.description,
            "parameters": [_parameter_json(one) for one in self.parameters],
            "blocks": [
                {
                    "id": block.id,
                    "kind": block.kind,
                    "parameters": {name: _value_json(one) for name, one in block.fields.items()},
                    "position": {"x": block.x, "y": block.y},
                    "label": block.label,
                }
                for block in self.blocks
            ],
            "connections": [
                {
                    "from": {"block": one.source, "output": one.output},
                    "to": {"block": one.target, "input": one.input},
                }
                for one in self.connections
            ],
        }


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a graph: in which block (empty: in none) and field or port, and advice."""

    block: str
    field: str
    code: str
    message: str


def read(document: object) -> tuple[Graph, list[Fault]]:
    """Read what JSON gave, as far as it goes, and say what could not be read.

    Args:
        document: text or bytes of JSON, or what was decoded from it.
    """
    reader = _Reader()
    return reader.graph(document), reader.faults


class _Reader:
    """Takes a document apart; what is wrong is kept and left out."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def graph(self, document: object) -> Graph:
        body = self._decoded(document)
        if body is None:
            return Graph(name="")
        self._keys(body, _GRAPH_KEYS, "", "")
        if body.get("version", VERSION) != VERSION:
            self._tell("", "version", "version_unknown", f"The version of this form is {VERSION}.")
        parameters = self._rows(body, "parameters", PARAMETERS_MOST)
        blocks = self._rows(body, "blocks", BLOCKS_MOST)
        connections = self._rows(body, "connections", CONNECTIONS_MOST)
        if self.faults and any(one.code == "too_many" for one in self.faults):
            return Graph(name="")
        return Graph(
            name=plain_text(self._text(body, "name", TEXT_MOST, "", default="")),
            description=tidy(self._text(body, "description", DESCRIPTION_MOST, "", default="")),
            parameters=tuple(filter(None, map(self._parameter, parameters))),
            blocks=tuple(filter(None, map(self._block, blocks))),
            connections=tuple(filter(None, map(self._connection, connections))),
        )

    def _decoded(self, document: object) -> Mapping[str, Any] | None:
        if isinstance(document, str | bytes):
            if len(document) > BYTES_MOST:
                self._tell("", "", "too_large", f"A graph has at most {BYTES_MOST:,} bytes.")
                return None
            try:
                document = json.loads(document)
            except (ValueError, RecursionError) as error:
                self._tell("", "", "not_json", f"This is not JSON: {type(error).__name__}.")
                return None
        if not isinstance(document, Mapping):
            self._tell("", "", "not_a_graph", "A graph is an object with blocks and connections.")
            return None
        return document

    def _rows(self, body: Mapping[str, Any], name: str, most: int) -> Sequence[Any]:
        rows = body.get(name, [])
        if not isinstance(rows, list | tuple):
            self._tell("", name, "wrong_shape", f"{name} is a list.")
            return ()
        if len(rows) > most:
            self._tell("", name, "too_many", f"A graph has at most {most} {name}.")
            return ()
        return rows

    def _block(self, row: Any) -> Block | None:
        if not isinstance(row, Mapping):
            self._tell("", "blocks", "wrong_shape", "A block is an object with an id and a kind.")
            return None
        block_id, kind = row.get("id"), row.get("kind")
        if not _is_short(block_id) or not _is_short(kind):
            shown = block_id if _is_short(block_id) else ""
            self._tell(shown, "kind" if shown else "id", "wrong_shape", "Give it an id and a kind.")
            return None
        self._keys(row, _BLOCK_KEYS, block_id, "")
        fields = row.get("parameters", {})
        if not isinstance(fields, Mapping) or len(fields) > _KEYS_MOST:
            self._tell(block_id, "parameters", "wrong_shape", "Parameters are names and values.")
            fields = {}
        position = row.get("position", {})
        x, y = 0, 0
        if isinstance(position, Mapping):
            x, y = (self._place(block_id, position.get(name, 0)) for name in ("x", "y"))
        else:
            self._tell(block_id, "position", "wrong_shape", "A position has an x and a y.")
        read = {
            str(name): value
            for name, raw in fields.items()
            if (value := self._value(block_id, str(name)[:TEXT_MOST], raw)) is not None
        }
        label = plain_text(self._text(row, "label", TEXT_MOST, block_id, default=""))
        return Block(id=block_id, kind=kind, fields=read, x=x, y=y, label=label)

    def _place(self, block: str, value: object) -> int:
        if _is_number(value) and -_AT_MOST <= value <= _AT_MOST:
            return round(value)
        self._tell(block, "position", "wrong_shape", f"x and y are numbers up to {_AT_MOST:,}.")
        return 0

    def _value(self, block: str, name: str, raw: object) -> Value | None:
        if _is_scalar(raw) or raw == "":
            return raw
        if isinstance(raw, Mapping) and len(raw) == 1 and _is_short(raw.get("parameter")):
            return Reference(raw["parameter"])
        if isinstance(raw, list | tuple) and len(raw) <= CHOICES_MOST and all(map(_is_short, raw)):
            return tuple(raw)
        self._tell(
            block,
            name,
            "wrong_shape",
            'A value is a number, a text, true or false, a list of texts, or {"parameter": name}.',
        )
        return None

    def _connection(self, row: Any) -> Connection | None:
        source, target = (
            (row.get("from"), row.get("to")) if isinstance(row, Mapping) else (None, None)
        )
        if not isinstance(source, Mapping) or not isinstance(target, Mapping):
            self._tell(
                "",
                "connections",
                "wrong_shape",
                'A connection goes {"from": {"block", "output"}, "to": {"block", "input"}}.',
            )
            return None
        ends = (source.get("block"), source.get("output"), target.get("block"), target.get("input"))
        names = [end for end in ends if _is_short(end)]
        if len(names) < len(ends):
            shown = ends[2] if _is_short(ends[2]) else ""
            self._tell(shown, "connections", "wrong_shape", "Its ends are names of block and port.")
            return None
        return Connection(source=names[0], output=names[1], target=names[2], input=names[3])

    def _parameter(self, row: Any) -> StrategyParameter | None:
        if not isinstance(row, Mapping) or not _is_short(row.get("name")):
            self._tell("", "parameters", "wrong_shape", "A parameter has a name and a default.")
            return None
        name = row["name"]
        self._keys(row, _PARAMETER_KEYS, "", name)
        default = row.get("default")
        bounds = [row.get(bound) for bound in ("low", "high", "step")]
        choices: Any = row.get("choices") or ()
        kind = row.get("kind")
        if kind == "NUMBER" and _is_number(default):
            default = float(default)  # a browser writes 10 for 10.0
        if (
            not _is_scalar(default)
            or kind not in (None, *PARAMETER_KINDS)
            or kind not in (None, parameter_kind(default))
            or not all(one is None or _is_number(one) for one in bounds)
            or not isinstance(choices, list | tuple)
            or len(choices) > CHOICES_MOST
            or not all(map(_is_scalar, choices))
        ):
            self._tell(
                "",
                name,
                "wrong_shape",
                "The default is a number, a text, true or false, and of its kind; low, high and "
                "step are numbers.",
            )
            return None
        low, high, step = bounds
        return StrategyParameter(
            name=name,
            default=default,
            low=low,
            high=high,
            step=step,
            choices=tuple(choices),
            help=plain_text(self._text(row, "help", TEXT_MOST, "", default="")),
        )

    def _text(self, body: Mapping[str, Any], name: str, most: int, block: str, default: str) -> str:
        text = body.get(name, default)
        if isinstance(text, str) and len(text) <= most:
            return text
        self._tell(block, name, "wrong_shape", f"{name} is a text of at most {most} characters.")
        return default

    def _keys(self, body: Mapping[Any, Any], known: frozenset[str], block: str, name: str) -> None:
        for key in body:
            if key not in known:
                where = str(key)[:TEXT_MOST]
                self._tell(block, name or where, "key_unknown", f"There is no {where!r} here.")

    def _tell(self, block: str, name: str, code: str, message: str) -> None:
        if len(self.faults) < FAULTS_MOST:
            self.faults.append(Fault(block, name, code, message))


_GRAPH_KEYS: Final = frozenset(
    {"version", "name", "description", "parameters", "blocks", "connections"}
)
#: `type`, `category` and `connections` follow from kind and graph: an editor may send them back.
_BLOCK_KEYS: Final = frozenset(
    {"id", "kind", "parameters", "position", "label", "type", "category", "connections"}
)
_PARAMETER_KEYS: Final = frozenset(
    {"name", "kind", "default", "low", "high", "step", "choices", "help"}
)
PARAMETER_KINDS: Final = ("INTEGER", "NUMBER", "BOOLEAN", "TEXT")


def parameter_kind(default: object) -> str:
    """Return what a parameter with this default takes."""
    if isinstance(default, bool):
        return "BOOLEAN"
    if isinstance(default, str):
        return "TEXT"
    return "INTEGER" if isinstance(default, int) else "NUMBER"


def plain_text(text: str) -> str:
    """Return a text as one line of what can be printed."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def tidy(text: str) -> str:
    """Return a text of several lines without what nobody sees: indents of all, blanks at ends."""
    lines = ("".join(_printable(text)).expandtabs(4)).split("\n")
    return cleandoc("\n".join(line.rstrip() for line in lines)).strip()


def _printable(text: str) -> Iterator[str]:
    return (one if one.isprintable() or one == "\n" else " " for one in text)


def _is_short(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= TEXT_MOST


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= 2**53  # NaN and infinity are not


def _is_scalar(value: object) -> TypeGuard[Scalar]:
    return isinstance(value, bool) or _is_short(value) or _is_number(value)


def _value_json(value: Value) -> Any:
    if isinstance(value, Reference):
        return {"parameter": value.parameter}
    return list(value) if isinstance(value, tuple) else value


def _parameter_json(one: StrategyParameter) -> dict[str, Any]:
    kind = parameter_kind(one.default)
    found: dict[str, Any] = {"name": one.name, "kind": kind, "default": one.default}
    for name in ("low", "high", "step"):
        if (value := getattr(one, name)) is not None:
            found[name] = value
    if one.choices:
        found["choices"] = list(one.choices)
    if one.help:
        found["help"] = one.help
    return found
