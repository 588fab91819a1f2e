"""From Python back to a graph: what `python_of` writes, also where a person has changed it.

A number, a parameter, an operator, a name or a whole statement may be other ones as long as each
statement is still one that a block reads as. Everything else is refused with its place.
"""

import ast
import io
import re
import tokenize
from collections.abc import Mapping
from inspect import cleandoc
from typing import Final

from alphintra.strategies.blocks.errors import NotBlocks
from alphintra.strategies.blocks.graph import (
    BYTES_MOST,
    Block,
    Connection,
    Graph,
    Scalar,
    StrategyParameter,
)
from alphintra.strategies.blocks.statements import (
    Bound,
    Expressions,
    bound_action,
    bound_line,
    bound_memory,
    scalar,
)
from alphintra.strategies.blocks.validation import checked
from alphintra.strategies.blocks.writing import class_name, written

_PLACE: Final = re.compile(r"#\s*(?P<label>.*?)\s*@(?P<x>-?\d{1,7}),(?P<y>-?\d{1,7})\s*")
#: Deeper ones are no strategy of blocks, and cost the parser its stack.
_BRACKETS_MOST: Final = 50


def graph_of(python: str) -> Graph:
    """Return the graph that Python of blocks means; `python_of` turns it back.

    Raises:
        NotBlocks: it says something that no block does, or is no Python; with line and column.
        GraphRefused: its blocks make no valid graph.
    """
    tree, comments = _parsed(python)
    return _Reader(comments).graph(tree)


def _parsed(python: str) -> tuple[ast.Module, dict[int, str]]:
    if len(python) > BYTES_MOST:
        raise NotBlocks(f"a strategy has at most {BYTES_MOST:,} characters", line=1, column=1)
    comments: dict[int, str] = {}
    depth = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(python).readline):
            if token.type == tokenize.COMMENT:
                comments[token.start[0]] = token.string
            elif token.type == tokenize.OP:
                depth += (token.string in "([{") - (token.string in ")]}")
            if depth > _BRACKETS_MOST:
                row, column = token.start
                raise NotBlocks("there are too many brackets", line=row, column=column + 1)
        return ast.parse(python), comments
    except tokenize.TokenError as error:
        (row, column), text = error.args[1], error.args[0]
        raise NotBlocks(f"{text}", line=row, column=column + 1) from None
    except SyntaxError as error:
        line, column = error.lineno or 1, error.offset or 1
        raise NotBlocks(f"{error.msg}", line=line, column=column) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotBlocks(f"this cannot be read: {error}", line=1, column=1) from None


class _Reader:
    def __init__(self, comments: Mapping[int, str]) -> None:
        self._comments = comments
        self._imported: set[str] = set()
        self._parameters: list[StrategyParameter] = []
        self._blocks: list[Block] = []
        self._connections: list[Connection] = []
        self._expressions = Expressions()
        self._names: set[str] = set()
        self._rank = -1

    def graph(self, tree: ast.Module) -> Graph:
        *imports, last = tree.body or [ast.Pass(lineno=1, col_offset=0)]
        for node in imports:
            self._import(node)
        if not isinstance(last, ast.ClassDef):
            raise _refused(last, "a strategy is one class, after its imports")
        name, description = self._class(last)
        graph = Graph(
            name=name,
            description=description,
            parameters=tuple(self._parameters),
            blocks=tuple(self._blocks),
            connections=tuple(self._connections),
        )
        if unused := self._expressions.unused_memories():
            raise _refused(last, f"on_bar never calls self.{unused[0]}")
        found = checked(graph)
        self._check_imports(last, found)
        if last.name != class_name(found.name):
            text = (
                f"the class of {found.name!r} is called {class_name(found.name)}; the name is the "
                "first line of its description"
            )
            raise _refused(last, text)
        return found

    def _import(self, node: ast.stmt) -> None:
        known = {"math", "alphintra.sdk", "alphintra.sdk.blocks"}
        if not isinstance(node, ast.ImportFrom) or node.module not in known or node.level:
            raise _refused(node, f"only {', '.join(sorted(known))} are imported, with `from`")
        for one in node.names:
            if one.asname or one.name == "*":
                raise _refused(node, "names are imported as they are")
            self._imported.add(one.name)

    def _check_imports(self, node: ast.ClassDef, graph: Graph) -> None:
        wanted = ast.parse(written(graph)).body
        names = {
            one.name for part in wanted if isinstance(part, ast.ImportFrom) for one in part.names
        }
        if missing := sorted(names - self._imported):
            raise _refused(node, f"{', '.join(missing)} is not imported")

    # The class.

    def _class(self, node: ast.ClassDef) -> tuple[str, str]:
        bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
        if bases != ["Strategy"] or len(node.bases) > 1 or node.keywords or node.decorator_list:
            raise _refused(node, "the class has the base Strategy, and nothing else")
        text = ast.get_docstring(node, clean=False)
        if not text:
            raise _refused(node, "the name of the strategy is the first line of its description")
        name, _, description = cleandoc(text).partition("\n")
        body = node.body[1:]
        while body and isinstance(body[0], ast.Assign):
            self._declaration(body.pop(0))
        self._expressions.parameters = frozenset(one.name for one in self._parameters)
        methods = {"setup": [ast.arg("self")], "on_bar": [ast.arg("self"), ast.arg("bar")]}
        for part in body:
            if not isinstance(part, ast.FunctionDef) or part.name not in methods:
                raise _refused(part, "after the parameters come setup and on_bar")
            wanted = methods.pop(part.name)
            if part.name == "setup" and "on_bar" not in methods:
                raise _refused(part, "setup comes before on_bar")
            _check_signature(part, [one.arg for one in wanted])
            for statement in part.body:
                if part.name == "setup":
                    self._in_setup(statement)
                else:
                    self._in_on_bar(statement)
        if "on_bar" in methods:
            raise _refused(node, "there is no on_bar")
        return name.strip(), description.strip("\n")

    def _declaration(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Name(id="param"), args=args, keywords=keywords),
            ) if 1 <= len(args) <= 3:
                values = dict(zip(("default", "low", "high"), map(_literal, args), strict=False))
                for one in keywords:
                    if one.arg not in {"low", "high", "step", "choices", "help"} - set(values):
                        raise _refused(one.value, f"param has no {one.arg}, or has it already")
                    values[one.arg] = _literal(one.value)
            case _:
                raise _refused(node, "a parameter is declared as name = param(default, low, high)")
        self._parameters.append(_parameter(node, name, values))

    # Statements.

    def _in_setup(self, node: ast.stmt) -> None:
        if bound_memory(node, self._expressions):
            return
        bound = bound_line(node, self._expressions)
        if bound is None:
            raise _refused(node, "setup declares indicators, prices, and what on_bar calls")
        self._add(node, bound)

    def _in_on_bar(self, node: ast.stmt) -> None:
        if isinstance(node, ast.If):
            bound = bound_action(node, self._expressions)
            if bound is None:
                raise _refused(node, "what is done if something holds is one action of the palette")
            rank, action = bound
            if rank < self._rank:
                text = "actions come in this order: take back orders, leave, rebalance, enter"
                raise _refused(node, text)
            self._rank = rank
            self._add(node.body[0], action)
            return
        if self._rank >= 0:
            raise _refused(node, "everything else comes before the first action")
        self._add(node, self._expressions.bound(node))

    def _add(self, node: ast.stmt, bound: Bound) -> None:
        label, x, y = self._place(node)
        if not bound.block:  # an action that gives no order has its name in the comment
            bound.block, colon, label = (part.strip() for part in label.partition(":"))
            if not colon:
                raise _refused(node, "its name stands in the comment: # name: @0,0")
        if bound.block in self._names:
            raise _refused(node, f"{bound.block} is there already")
        self._names.add(bound.block)
        self._blocks.append(
            Block(id=bound.block, kind=bound.kind, fields=bound.fields, x=x, y=y, label=label)
        )
        self._connections += [
            Connection(target=bound.block, input=port, source=link.block, output=link.output)
            for port, link in bound.links.items()
        ]

    def _place(self, node: ast.stmt) -> tuple[str, int, int]:
        """Return label and position from the comment at a statement."""
        last = node.end_lineno or node.lineno
        for row in range(last, node.lineno - 1, -1):
            if (comment := self._comments.get(row)) is None:
                continue
            if (found := _PLACE.fullmatch(comment)) is not None:
                return found["label"], int(found["x"]), int(found["y"])
            return comment.lstrip("#").strip(), 0, 0
        return "", 0, 0


def _check_signature(node: ast.FunctionDef, wanted: list[str]) -> None:
    given = node.args
    extra = given.posonlyargs or given.kwonlyargs or given.vararg or given.kwarg or given.defaults
    if [one.arg for one in given.args] != wanted or extra or node.decorator_list:
        raise _refused(node, f"{node.name} takes {', '.join(wanted)}")


def _parameter(node: ast.stmt, name: str, values: Mapping[str, object]) -> StrategyParameter:
    default, help_ = values["default"], values.get("help", "")
    bounds = [values.get(bound) for bound in ("low", "high", "step")]
    choices = values.get("choices", ())
    if (
        not isinstance(default, bool | int | float | str)
        or not isinstance(help_, str)
        or not isinstance(choices, tuple)
        or any(isinstance(one, str | bool | tuple) for one in bounds)
    ):
        raise _refused(node, "the default is a number, a text, True or False; bounds are numbers")
    low, high, step = (one if isinstance(one, int | float) else None for one in bounds)
    return StrategyParameter(
        name=name, default=default, low=low, high=high, step=step, choices=choices, help=help_
    )


def _literal(node: ast.expr) -> object:
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(_scalar(one) for one in node.elts)
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    return _scalar(node)


def _scalar(node: ast.expr) -> Scalar:
    if (value := scalar(node)) is None:
        raise _refused(node, "this is a number, a text, True or False")
    return value


def _refused(node: ast.AST, text: str) -> NotBlocks:
    line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
    return NotBlocks(text, line=line, column=column + 1)
