"""Which block a statement of Python is, and what its fields and inputs are."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from alphintra.strategies.blocks.errors import NotBlocks
from alphintra.strategies.blocks.forms import (
    BlockType,
    Category,
    Done,
    Expression,
    Made,
    Remembered,
)
from alphintra.strategies.blocks.graph import Reference, Scalar, Value
from alphintra.strategies.blocks.palette import kinds
from alphintra.strategies.blocks.writing import line_names

_COLUMNS: Final = frozenset({"open", "high", "low", "close", "volume"})


@dataclass(frozen=True, slots=True)
class Link:
    """An output that an operand is."""

    block: str
    output: str


#: What stands at a place of a statement: an output, or a value.
Operand = Link | Value


@dataclass(slots=True)
class Bound:
    """A block that was read."""

    block: str
    kind: str
    fields: dict[str, Value] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)

    def put(self, name: str, operand: Operand) -> None:
        """Set an input or a field."""
        if isinstance(operand, Link):
            self.links[name] = operand
        else:
            self.fields[name] = operand


def refused(node: ast.AST, text: str) -> NotBlocks:
    """Return the refusal of a place."""
    line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
    return NotBlocks(text, line=line, column=column + 1)


def scalar(node: ast.expr) -> Scalar | None:
    """Return a number, a text or a bool that stands there as it is."""
    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return None if isinstance(value, bool) else -value
    return None


class Expressions:
    """Reads statements of `on_bar`; knows which names there are."""

    def __init__(self) -> None:
        self.parameters: frozenset[str] = frozenset()
        self.lines: dict[str, Link] = {}  #: attributes that hold lines
        self.memories: dict[str, Bound] = {}  #: made in `setup`, to be called
        self._locals: dict[str, Link] = {}
        self._called: set[str] = set()

    def unused_memories(self) -> list[str]:
        """Return what was made in `setup` and never called."""
        return [name for name in self.memories if name not in self._called]

    def operand(self, node: ast.expr) -> Operand:
        """Return what stands at a place.

        Raises:
            NotBlocks: it is no value, no parameter and no output of a block before.
        """
        if (value := scalar(node)) is not None:
            return value
        match node:
            case ast.Name(id=name) if name in self._locals:
                return self._locals[name]
            case ast.Attribute(value=ast.Name(id="self"), attr=name) if name in self.parameters:
                return Reference(name)
            case ast.Attribute(
                value=ast.Attribute(value=ast.Name(id="self"), attr=name), attr="now"
            ) if name in self.lines:
                return self.lines[name]
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                texts = [scalar(one) for one in elements]
                if all(isinstance(text, str) for text in texts):
                    return tuple(map(str, texts))
        raise refused(
            node,
            f"{ast.unparse(node)[:60]!r} is no number, no parameter, and nothing that a statement "
            "before it has given; a statement does one thing",
        )

    def bound(self, node: ast.stmt) -> Bound:
        """Read a statement and remember its name.

        Raises:
            NotBlocks: no block reads like it.
        """
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found = self._expression(name, value)
            case _:
                raise refused(node, "a block is a name, =, and what it gives")
        self._locals[name] = Link(name, kinds()[found.kind].outputs[0].name)
        return found

    def _expression(self, name: str, node: ast.expr) -> Bound:
        found = (
            self._price(name, node)
            or self._call(name, node)
            or self._made(name, node)
            or self._chain(name, node)
            or self._pattern(name, node)
        )
        if found is not None:
            return found
        if isinstance(node, ast.Constant | ast.UnaryOp | ast.Attribute):
            value = self.operand(node)
            if not isinstance(value, Link):
                return Bound(name, "number", {"value": value})
        raise refused(node, "no block reads like this; a statement does one thing")

    def _price(self, name: str, node: ast.expr) -> Bound | None:
        match node:
            case ast.Attribute(value=ast.Name(id="bar"), attr=column) if column in _COLUMNS:
                return Bound(name, "price", {"column": column})
        return None

    def _call(self, name: str, node: ast.expr) -> Bound | None:
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="self"), attr=called), args=args, keywords=[]
            ) if called in self.memories:
                found = self.memories[called]
            case _:
                return None
        form = kinds()[found.kind].form
        assert isinstance(form, Remembered)
        if called != name or len(args) != len(form.calls):
            raise refused(node, f"self.{called} gives {called}, out of {len(form.calls)} values")
        self._called.add(name)
        for wanted, given in zip(form.calls, args, strict=True):
            if "." not in wanted:
                found.put(wanted, self.operand(given))
            elif ast.unparse(given) != wanted:
                raise refused(given, f"this is {wanted}")
        return found

    def _made(self, name: str, node: ast.expr) -> Bound | None:
        match node:
            case ast.Call(func=ast.Name(id=word)) if word in _named(Made):
                found = Bound(name, _named(Made)[word].kind)
                form = kinds()[found.kind].form
                assert isinstance(form, Made)
                self.arguments(found, node, form.first, {})
                return found
        return None

    def _chain(self, name: str, node: ast.expr) -> Bound | None:
        if not isinstance(node, ast.BoolOp):
            return None
        found = Bound(name, "and" if isinstance(node.op, ast.And) else "or")
        ports = [one.name for one in kinds()[found.kind].inputs]
        if len(node.values) > len(ports):
            raise refused(node, f"{found.kind} takes at most {len(ports)} conditions")
        for port, value in zip(ports, node.values, strict=False):
            self._put_link(found, port, value)
        return found

    def _pattern(self, name: str, node: ast.expr) -> Bound | None:
        for kind, fields, pattern in _patterns():
            places: dict[str, ast.expr] = {}
            if _matches(pattern, node, places):
                found = Bound(name, kind.kind, dict(fields))
                for place, value in places.items():
                    if kind.field(place) is not None:
                        found.put(place, self.operand(value))
                    else:
                        self._put_link(found, place, value)
                return found
        return None

    def _put_link(self, found: Bound, port: str, node: ast.expr) -> None:
        operand = self.operand(node)
        if not isinstance(operand, Link):
            raise refused(node, "here stands the name of a block, not a value")
        found.links[port] = operand

    def arguments(
        self, found: Bound, node: ast.Call, first: tuple[str, ...], fixed: Mapping[str, str]
    ) -> None:
        """Read the arguments of a call into a block.

        Raises:
            NotBlocks: one that the block has not, or that is missing.
        """
        kind = kinds()[found.kind]
        if len(node.args) != len(first):
            raise refused(node, f"{kind.title} takes {len(first)} values without a name")
        given = dict(zip(first, node.args, strict=True))
        left = dict(fixed)
        for one in node.keywords:
            if one.arg in left:
                if ast.unparse(one.value) != left.pop(one.arg):
                    raise refused(one.value, f"{one.arg} is {fixed[one.arg]}")
            elif one.arg is None or one.arg in given:
                raise refused(one.value, "each argument is given once, by its name")
            else:
                given[one.arg] = one.value
        if left:
            raise refused(node, f"{', '.join(left)} is missing")
        for name, value in given.items():
            if kind.field(name) is None and kind.input(name) is None:
                raise refused(value, f"{kind.title} has no {name}")
            operand = self.operand(value)
            if isinstance(operand, Link) and kind.input(name) is None:
                raise refused(value, f"{name} is a value or a parameter")
            if not isinstance(operand, Link) and kind.field(name) is None:
                raise refused(value, f"{name} is what a block gives")
            found.put(name, operand)


def bound_line(node: ast.stmt, known: Expressions) -> Bound | None:
    """Read a statement of `setup` that declares lines; None when it is something else."""
    match node:
        case ast.Assign(
            targets=[target],
            value=ast.Attribute(
                value=ast.Call(
                    func=ast.Attribute(value=ast.Name(id="self"), attr="data"), args=[]
                ) as call,
                attr=column,
            ),
        ) if column in _COLUMNS:
            bound = Bound(_attributes(target)[0], "price", {"column": column})
        case ast.Assign(
            targets=[target],
            value=ast.Call(
                func=ast.Attribute(value=ast.Name(id="self"), attr="indicator" | "outputs" as how),
                args=[ast.Constant(value=str(name))],
            ) as call,
        ):
            kind = kinds().get(name)
            if kind is None or kind.category is not Category.INDICATOR:
                raise refused(call, f"there is no indicator {name} (names are in capitals)")
            bound = Bound(_block_of(target, kind, how), kind.kind)
        case _:
            return None
    _line_arguments(bound, call, known)
    kind = kinds()[bound.kind]
    for name, output in zip(line_names(bound.block, kind), kind.outputs, strict=True):
        known.lines[name] = Link(bound.block, output.name)
    return bound


def _line_arguments(bound: Bound, call: ast.Call, known: Expressions) -> None:
    kind = kinds()[bound.kind]
    for one in call.keywords:
        match one.value:
            case ast.Attribute(value=ast.Name(id="self"), attr=line) if one.arg == "on":
                if line not in known.lines or kind.input("on") is None:
                    raise refused(one.value, f"{kind.title} cannot be computed on this")
                bound.links["on"] = known.lines[line]
            case value if one.arg is not None and kind.field(one.arg) is not None:
                operand = known.operand(value)
                if isinstance(operand, Link):
                    raise refused(value, f"{one.arg} is a value or a parameter")
                bound.fields[one.arg] = operand
            case value:
                raise refused(value, f"{kind.title} has no {one.arg}")


def _attributes(target: ast.expr) -> list[str]:
    elements = target.elts if isinstance(target, ast.Tuple) else [target]
    names = [
        one.attr
        for one in elements
        if isinstance(one, ast.Attribute)
        and isinstance(one.value, ast.Name)
        and one.value.id == "self"
    ]
    if len(names) < len(elements) or not names:
        raise refused(target, "setup sets attributes of self")
    return names


def _block_of(target: ast.expr, kind: BlockType, how: str) -> str:
    names = _attributes(target)
    if how == ("outputs" if len(kind.outputs) == 1 else "indicator"):
        other = "indicator" if how == "outputs" else "outputs"
        raise refused(target, f"the lines of {kind.kind} come from self.{other}")
    block = names[0]
    if len(kind.outputs) > 1:
        block = block.removesuffix(f"_{kind.outputs[0].name}")
    if names != line_names(block, kind):
        wanted = ", ".join(f"self.{name}" for name in line_names(block, kind))
        raise refused(target, f"the lines of {kind.kind} are called {wanted}")
    return block


def bound_memory(node: ast.stmt, known: Expressions) -> bool:
    """Read a statement of `setup` that makes what `on_bar` calls; False: it is something else."""
    match node:
        case ast.Assign(
            targets=[target], value=ast.Call(func=ast.Name(id=word), args=args) as call
        ) if word in _named(Remembered):
            kind = _named(Remembered)[word]
        case _:
            return False
    form = kind.form
    assert isinstance(form, Remembered)
    if [ast.unparse(one) for one in args] != ["self"] * form.owned:
        raise refused(node, f"{word} is made with {'self and ' * form.owned}named values")
    (name,) = _attributes(target)[:1]
    found = Bound(name, kind.kind)
    ports = {one.name for one in kind.inputs}
    for one in call.keywords:
        if one.arg is None or kind.field(one.arg) is None or one.arg in ports:
            raise refused(one.value, f"{kind.title} has no {one.arg}")
        operand = known.operand(one.value)
        if isinstance(operand, Link):
            raise refused(one.value, f"{one.arg} is a value or a parameter")
        found.fields[one.arg] = operand
    known.memories[name] = found
    return True


def bound_action(node: ast.If, known: Expressions) -> tuple[int, Bound] | None:
    """Read an action: `if when: action(…)`. None: it is something else."""
    if node.orelse or len(node.body) != 1:
        return None
    match node.body[0]:
        case ast.Expr(value=ast.Call(func=ast.Name(id=word)) as call) if word in _named(Done):
            kind = _named(Done)[word]
        case ast.Expr(
            value=ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=word)) as call
        ) if word in _named(Done):
            kind = _named(Done)[word]
        case _:
            return None
    form = kind.form
    assert isinstance(form, Done)
    is_method = isinstance(call.func, ast.Attribute)
    own = [] if is_method else call.args[:1]
    if is_method != form.is_method or [ast.unparse(one) for one in own] != ["self"] * len(own):
        return None
    if not is_method and not own:
        raise refused(call, f"{word} begins with self")
    found = Bound("", kind.kind)
    call = ast.Call(
        func=call.func, args=call.args[len(own) :], keywords=call.keywords,
        lineno=call.lineno, col_offset=call.col_offset,
    )  # fmt: skip
    if form.tagged:
        found.block = _tag(call)
        call.keywords = [one for one in call.keywords if one.arg != "tag"]
    known.arguments(found, call, form.first, dict(form.fixed))
    known._put_link(found, "when", node.test)
    return form.rank, found


def _tag(call: ast.Call) -> str:
    for one in call.keywords:
        if one.arg == "tag" and isinstance(one.value, ast.Constant):
            return str(one.value.value)
    raise refused(call, "an action has a tag, which is the block's id")


@cache
def _named(form: type[Remembered] | type[Made] | type[Done]) -> Mapping[str, BlockType]:
    """Return the kinds of a form by the name that their Python begins with."""
    found = {}
    for kind in kinds().values():
        own = kind.form
        if isinstance(own, Remembered | Made | Done) and isinstance(own, form):
            found[own.name] = kind
    return found


@cache
def _patterns() -> tuple[tuple[BlockType, Mapping[str, Value], ast.expr], ...]:
    """Return what expressions look like; a place is a name in double underscores."""
    found = []
    for kind in kinds().values():
        if not isinstance(kind.form, Expression) or kind.kind == "number":
            continue
        names = {one.name for one in kind.inputs} | {one.name for one in kind.fields}
        for choice, text in kind.form.texts.items():
            source = text.format(**{name: f"__{name}__" for name in names})
            fields = {kind.form.chosen: choice} if kind.form.chosen else {}
            found.append((kind, fields, ast.parse(source, mode="eval").body))
    return tuple(found)


def _matches(pattern: ast.expr, node: ast.expr, places: dict[str, ast.expr]) -> bool:
    """Compare an expression with a pattern, and collect what stands at its places."""
    if isinstance(pattern, ast.Name) and pattern.id.startswith("__"):
        before = places.setdefault(pattern.id.strip("_"), node)
        return ast.dump(before) == ast.dump(node)
    if type(pattern) is not type(node):
        return False
    for name, wanted in ast.iter_fields(pattern):
        if name == "ctx":
            continue
        given = getattr(node, name)
        wanted_parts = wanted if isinstance(wanted, list) else [wanted]
        given_parts = given if isinstance(given, list) else [given]
        if len(wanted_parts) != len(given_parts):
            return False
        for one, other in zip(wanted_parts, given_parts, strict=True):
            if isinstance(one, ast.expr):
                if not isinstance(other, ast.expr) or not _matches(one, other, places):
                    return False
            elif isinstance(one, ast.AST):
                if type(one) is not type(other):
                    return False
            elif one != other:
                return False
    return True
