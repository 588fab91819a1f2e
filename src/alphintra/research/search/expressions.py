"""Rules such as `fast < slow` or `max_drawdown > -0.3`, read without running anything else."""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from alphintra.research.search.errors import SearchRefused

_COMPARISONS: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}
_LONGEST: Final = 500


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition on names, such as `fast * 2 <= slow and side == "long"`."""

    text: str
    names: frozenset[str] = field(init=False)
    _tree: ast.expr = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            if len(self.text) > _LONGEST:
                raise SearchRefused(f"a rule has at most {_LONGEST} characters")
            tree = ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError):
            raise SearchRefused(f"{self.text!r} is not a rule such as fast < slow") from None
        _check(tree, self.text)
        object.__setattr__(self, "_tree", tree)
        names = frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
        object.__setattr__(self, "names", names)

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether the condition is true; a comparison with what has no value is not.

        Raises:
            SearchRefused: it uses a name that has no value, or compares what cannot be compared.
        """
        if missing := sorted(self.names - set(values)):
            raise SearchRefused(f"the rule {self.text!r} uses {missing[0]}, which is not known")
        try:
            return bool(_value(self._tree, values))
        except ZeroDivisionError:
            return False
        except TypeError as error:
            if any(values[name] is None for name in self.names):
                return False
            raise SearchRefused(f"the rule {self.text!r} cannot be computed: {error}") from None


def _check(node: ast.expr, text: str) -> None:
    """Refuse everything but comparisons, and/or/not and arithmetic on names and constants."""
    match node:
        case ast.BoolOp(values=parts):
            children = list(parts)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=inner):
            children = [inner]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            children = [left, right]
        case ast.Compare(left=left, ops=ops, comparators=others) if all(
            type(op) in _COMPARISONS for op in ops
        ):
            children = [left, *others]
        case ast.Name():
            children = []
        case ast.Constant(value=bool() | int() | float() | str()):
            children = []
        case _:
            raise SearchRefused(
                f"{text!r} is not a rule: it may have names, numbers, + - * / %, comparisons, "
                "and, or, not"
            )
    for child in children:
        _check(child, text)


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_value(part, values) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_value(part, values) for part in parts)
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return not _value(inner, values)
        case ast.UnaryOp(operand=inner):
            return -_value(inner, values)
        case ast.BinOp(left=left, op=op, right=right):
            return _ARITHMETIC[type(op)](_value(left, values), _value(right, values))
        case ast.Compare(left=left, ops=ops, comparators=others):
            before = _value(left, values)
            for compare, other in zip(ops, others, strict=True):
                after = _value(other, values)
                if not _COMPARISONS[type(compare)](before, after):
                    return False
                before = after
            return True
        case ast.Name(id=name):
            return values[name]
        case ast.Constant(value=value):
            return value
    raise AssertionError(ast.dump(node))
