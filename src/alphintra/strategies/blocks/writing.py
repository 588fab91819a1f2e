"""From a graph to the Python that it means: a strategy as a person would write it.

Each block is one statement with its name, and where the editor has put it in the comment behind.
"""

import re
import textwrap
from collections.abc import Iterator
from typing import Final

from alphintra.sdk import blocks as vocabulary
from alphintra.strategies.blocks.forms import (
    BlockType,
    Chain,
    Done,
    Expression,
    Line,
    Made,
    PortType,
    Remembered,
)
from alphintra.strategies.blocks.graph import (
    Block,
    Connection,
    Graph,
    Reference,
    StrategyParameter,
    Value,
)
from alphintra.strategies.blocks.normal import declared_lines, wiring
from alphintra.strategies.blocks.palette import kinds
from alphintra.strategies.blocks.validation import checked

_INDENT: Final = "    "
#: Whole numbers up to here are written without a point.
_PLAIN_MOST: Final = 10**15
_WIDTH: Final = 100
_STATEMENT_MOST: Final = 88


def python_of(graph: Graph) -> str:
    """Return the SDK strategy that a graph means.

    Raises:
        GraphRefused: something is wrong with the graph.
    """
    return written(checked(graph))


def written(graph: Graph) -> str:
    """Do as `python_of` with a graph that is checked and written down in the one way."""
    return _Writer(graph).text()


def example_of(kind: BlockType) -> str:
    """Return how a block of a kind reads, with what it needs connected."""
    sources = {
        PortType.SERIES: "price", PortType.NUMBER: "number", PortType.BOOLEAN: "compare",
        PortType.SIZE: "size_units", PortType.EXITS: "exits",
    }  # fmt: skip
    needed = [port for port in kind.inputs if port.required]
    blocks = [Block(id=port.name, kind=sources[port.type]) for port in needed]
    name = f"my_{kind.kind.lower()}"
    fields = {one.name: one.default for one in kind.fields}
    block = Block(id=name, kind=kind.kind, fields=fields)
    connections = tuple(
        Connection(
            target=name, input=port.name, source=port.name,
            output=kinds()[sources[port.type]].outputs[0].name,
        )
        for port in needed
    )  # fmt: skip
    graph = Graph(name=kind.title, blocks=(*blocks, block), connections=connections)
    return _Writer(graph).example(block)


def class_name(name: str) -> str:
    """Return what the class of a strategy with this name is called."""
    words = re.findall(r"[A-Za-z0-9]+", name)
    joined = "".join(word[0].upper() + word[1:] for word in words)
    if not joined or joined[0].isdigit() or joined in _NOT_CLASSES:
        joined = f"Strategy{joined.removeprefix('Strategy')}"
    return f"{joined}OfBlocks" if joined in _NOT_CLASSES else joined


_NOT_CLASSES: Final = frozenset(
    {"Strategy", "Bar", "True", "False", "None"} | set(vars(vocabulary))
)


def literal(value: Value) -> str:
    """Return a field's value as Python writes it."""
    if isinstance(value, Reference):
        return f"self.{value.parameter}"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(quoted, value))}{',' * (len(value) == 1)})"
    if isinstance(value, float) and value.is_integer() and abs(value) < _PLAIN_MOST:
        return str(int(value))
    return repr(value)


def quoted(text: str) -> str:
    """Return a text without line breaks in double quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class _Writer:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._wiring = wiring(graph)
        self._lines = declared_lines(graph)
        self._kinds = {block.id: kinds()[block.kind] for block in graph.blocks}
        self._words: set[str] = set()
        self._needs_nan = False

    def text(self) -> str:
        graph = self._graph
        setup = [line for block in graph.blocks for line in self._in_setup(block)]
        on_bar = [line for block in graph.blocks for line in self._in_on_bar(block)]
        body = [*_docstring(graph), ""]
        if graph.parameters:
            body += [*map(_declaration, graph.parameters), ""]
        if setup:
            body += ["def setup(self) -> None:", *(_INDENT + line for line in setup), ""]
        body += ["def on_bar(self, bar: Bar) -> None:", *(_INDENT + line for line in on_bar)]
        lines = [*self._imports(), "", "", f"class {class_name(graph.name)}(Strategy):"]
        lines += [_INDENT + line if line else "" for line in body]
        return "\n".join(lines) + "\n"

    def example(self, block: Block) -> str:
        """Return the statements of one block, without its place."""
        lines = [*self._in_setup(block), *self._in_on_bar(block)]
        return "\n".join(line.partition("  # ")[0] for line in lines)

    def _imports(self) -> Iterator[str]:
        if self._needs_nan:
            yield "from math import nan"
            yield ""
        param = ", param" if self._graph.parameters else ""
        yield f"from alphintra.sdk import Bar, Strategy{param}"
        if self._words:
            words = sorted(self._words, key=lambda word: (word.islower(), word))
            line = f"from alphintra.sdk.blocks import {', '.join(words)}"
            if len(line) <= _WIDTH:
                yield line
            else:
                yield "from alphintra.sdk.blocks import ("
                yield from (f"{_INDENT}{word}," for word in words)
                yield ")"

    # Statements.

    def _in_setup(self, block: Block) -> Iterator[str]:
        form = self._kinds[block.id].form
        if block.id in self._lines:
            yield from _commented(block, self._line(block))
        elif isinstance(form, Remembered):
            self._words.add(form.name)
            given = (["self"] if form.owned else []) + list(self._fields(block))
            yield f"self.{block.id} = {form.name}({', '.join(given)})"

    def _in_on_bar(self, block: Block) -> Iterator[str]:
        form = self._kinds[block.id].form
        if isinstance(form, Done):
            yield f"if {self._operand(block, 'when')}:"
            named = "" if form.tagged else f"{block.id}: "
            statement = _commented(block, self._action(block, form), named)
            yield from (_INDENT + line for line in statement)
        elif block.id not in self._lines:
            yield from _commented(block, f"{block.id} = {self._expression(block)}")

    def _line(self, block: Block) -> str:
        kind = self._kinds[block.id]
        if kind.kind == "price":
            of = ", ".join(self._fields(block, without=("column",)))
            return f"self.{block.id} = self.data({of}).{block.fields['column']}"
        given = [quoted(block.kind)]
        if "on" in self._wiring.get(block.id, {}):
            given.append(f"on={self._operand(block, 'on').removesuffix('.now')}")
        given += self._fields(block)
        names = ", ".join(f"self.{name}" for name in line_names(block.id, kind))
        method = "outputs" if len(kind.outputs) > 1 else "indicator"
        return f"{names} = self.{method}({', '.join(given)})"

    def _expression(self, block: Block) -> str:
        form = self._kinds[block.id].form
        match form:
            case Line():
                return f"bar.{block.fields['column']}"
            case Expression():
                text = form.texts[str(block.fields[form.chosen]) if form.chosen else ""]
                self._needs_nan |= "nan" in text
                self._words |= {"smaller", "larger"} & set(re.findall(r"\w+", text))
                names = re.findall(r"\{(\w+)\}", text)
                return text.format(**{name: self._operand(block, name) for name in names})
            case Chain():
                given = [
                    self._operand(block, port.name)
                    for port in self._kinds[block.id].inputs
                    if port.name in self._wiring[block.id]
                ]
                return f" {form.word} ".join(given)
            case Remembered():
                calls = [call if "." in call else self._operand(block, call) for call in form.calls]
                return f"self.{block.id}({', '.join(calls)})"
            case Made():
                self._words.add(form.name)
                return f"{form.name}({', '.join(self._arguments(block, form.first))})"
        raise AssertionError(f"{block.kind} is no expression")

    def _action(self, block: Block, form: Done) -> str:
        given = [] if form.is_method else ["self"]
        given += self._arguments(block, form.first, form.fixed)
        if form.tagged:
            given.append(f"tag={quoted(block.id)}")
        if form.is_method:
            return f"self.{form.name}({', '.join(given)})"
        self._words.add(form.name)
        return f"{form.name}({', '.join(given)})"

    # Values.

    def _arguments(
        self, block: Block, first: tuple[str, ...], fixed: tuple[tuple[str, str], ...] = ()
    ) -> Iterator[str]:
        """Yield the inputs and fields of a call, those of `first` without names."""
        kind = self._kinds[block.id]
        given = self._wiring.get(block.id, {})
        yield from (self._operand(block, name) for name in first)
        yield from (f"{name}={text}" for name, text in fixed)
        for port in kind.inputs:
            if port.name not in {*first, "when"} and port.name in given:
                yield f"{port.name}={self._operand(block, port.name)}"
        yield from self._fields(block, without=first)

    def _fields(self, block: Block, without: tuple[str, ...] = ()) -> Iterator[str]:
        for field in self._kinds[block.id].fields:
            value = block.fields[field.name]
            is_input = self._kinds[block.id].input(field.name) is not None
            if field.name in without or is_input or (field.quiet and value == field.default):
                continue
            yield f"{field.name}={literal(value)}"

    def _operand(self, block: Block, name: str) -> str:
        """Return what an input is connected to, or the field of that name."""
        if (one := self._wiring.get(block.id, {}).get(name)) is None:
            return literal(block.fields[name])
        kind = self._kinds[one.source]
        if one.source not in self._lines:
            return one.source
        at = [output.name for output in kind.outputs].index(one.output)
        return f"self.{line_names(one.source, kind)[at]}.now"


def line_names(block_id: str, kind: BlockType) -> list[str]:
    """Return the attributes that hold the lines of a block."""
    if len(kind.outputs) == 1:
        return [block_id]
    return [f"{block_id}_{output.name}" for output in kind.outputs]


def _commented(block: Block, statement: str, named: str = "") -> Iterator[str]:
    """Yield a statement with its block's place behind it, in several lines where it is long."""
    place = f"@{block.x},{block.y}"
    label = f"{block.label} " if block.label else ""
    comment = f"  # {named}{label}{place}"
    if len(statement) <= _STATEMENT_MOST:
        yield statement + comment
        return
    head, _, rest = statement.partition("(")
    yield f"{head}("
    yield from textwrap.wrap(
        rest.removesuffix(")"), _STATEMENT_MOST, initial_indent=_INDENT,
        subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    yield f"){comment}"


def _docstring(graph: Graph) -> Iterator[str]:
    name = _escaped(graph.name)
    if not graph.description:
        yield f'"""{name}"""'
        return
    yield f'"""{name}'
    yield ""
    yield from _escaped(graph.description).split("\n")
    yield '"""'


def _escaped(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'{escaped[:-1]}\\"' if escaped.endswith('"') and not text.endswith('"""') else escaped


def _declaration(one: StrategyParameter) -> str:
    given = [repr(one.default) if not isinstance(one.default, str) else quoted(one.default)]
    if one.low is not None or one.high is not None:
        given.append(repr(one.low))
    if one.high is not None:
        given.append(repr(one.high))
    if one.step is not None:
        given.append(f"step={one.step!r}")
    if one.choices:
        shown = [
            quoted(choice) if isinstance(choice, str) else repr(choice) for choice in one.choices
        ]
        given.append(f"choices=({', '.join(shown)}{',' * (len(shown) == 1)})")
    if one.help:
        given.append(f"help={quoted(one.help)}")
    return f"{one.name} = param({', '.join(given)})"
