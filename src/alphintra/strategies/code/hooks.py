"""The hooks of a strategy's class: are they there, and can they be called as the SDK calls them?"""

import ast
import difflib
import inspect
from collections.abc import Iterator
from functools import cache
from typing import Final

from alphintra.strategies.code import habits
from alphintra.strategies.code.frames import Finding, Severity

_NAME_LENGTH_MAX: Final = 40
_METHODS_MAX: Final = 500


@cache
def hooks() -> dict[str, tuple[str, ...]]:
    """Return the hooks that a strategy may override, with their arguments after `self`."""
    from alphintra.sdk import Strategy

    return {
        name: tuple(inspect.signature(method).parameters)[1:]
        for name, method in vars(Strategy).items()
        if name == "setup" or name.startswith("on_")
    }


def found_in(tree: ast.Module) -> list[Finding]:
    """Return what is wrong with the strategy classes of a text, and whether there is one at all."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    strategies = [node for node in classes.values() if _is_strategy(node, classes)]
    is_vectorised = any(
        isinstance(node, ast.FunctionDef) and _decorated(node) for node in tree.body
    )
    findings = [finding for node in strategies for finding in _of_class(node)]
    findings += habits.found_in(tree, strategies)
    if not strategies and not is_vectorised:
        findings.append(
            Finding(
                code="no_strategy",
                message="there is no strategy here: write class Mine(Strategy) with an on_bar, or "
                "a function with @vectorised",
            )
        )
    elif is_vectorised:
        pass
    elif any(map(_overrides, strategies)):
        if habits.never_orders(tree):
            findings.append(
                Finding(
                    code="never_orders",
                    message="it never orders: call self.buy(…), self.sell(…) or "
                    "self.target_weight(…)",
                    severity=Severity.WARNING,
                    line=strategies[-1].lineno,
                    column=strategies[-1].col_offset + 1,
                )
            )
    else:
        node = strategies[-1]
        findings.append(
            Finding(
                code="hook_missing",
                message=f"{node.name[:_NAME_LENGTH_MAX]} never acts: it needs on_bar(self, bar), "
                "on_quote, on_trade or on_timer",
                line=node.lineno,
                column=node.col_offset + 1,
            )
        )
    return findings


def _is_strategy(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> bool:
    seen: set[str] = set()
    waiting = [node]
    while waiting:
        for base in waiting.pop().bases:
            name = (
                base.id
                if isinstance(base, ast.Name)
                else base.attr
                if isinstance(base, ast.Attribute)
                else ""
            )
            if name == "Strategy":
                return True
            if name in classes and name not in seen:
                seen.add(name)
                waiting.append(classes[name])
    return False


def _decorated(node: ast.FunctionDef) -> bool:
    names = set()
    for one in node.decorator_list:
        called = one.func if isinstance(one, ast.Call) else one
        names.add(called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", ""))
    return "vectorised" in names


def _overrides(node: ast.ClassDef) -> bool:
    acting = set(hooks()) - {"setup"}
    return any(isinstance(one, ast.FunctionDef) and one.name in acting for one in node.body)


def _of_class(node: ast.ClassDef) -> Iterator[Finding]:
    methods = [one for one in node.body if isinstance(one, ast.FunctionDef)]
    called = {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}
    for method in methods[:_METHODS_MAX]:
        if method.name in hooks():
            yield from _signature(method)
        elif (near := _meant(method.name)) and method.name not in called:
            yield Finding(
                code="hook_unknown",
                message=f"nothing calls {method.name}; did you mean {near}?",
                severity=Severity.WARNING,
                line=method.lineno,
                column=method.col_offset + 1,
            )


def _meant(name: str) -> str | None:
    """Return the hook that a method seems to be meant as."""
    if name in habits.HOOKS:
        return habits.HOOKS[name]
    if not name.startswith("on") or len(name) > _NAME_LENGTH_MAX:
        return None
    return next(iter(difflib.get_close_matches(name, hooks(), n=1, cutoff=0.75)), None)


def _signature(method: ast.FunctionDef) -> Iterator[Finding]:
    wanted = hooks()[method.name]
    given = [*method.args.posonlyargs, *method.args.args]
    needed = len(given) - len(method.args.defaults)
    asked = 1 + len(wanted)
    unnamed = [
        one
        for one, default in zip(method.args.kwonlyargs, method.args.kw_defaults, strict=True)
        if default is None
    ]
    fits = needed <= asked and (len(given) >= asked or method.args.vararg is not None)
    if fits and not unnamed and not method.decorator_list:
        return
    arguments = ", ".join(("self", *wanted))
    yield Finding(
        code="hook_signature",
        message=f"{method.name} is called as {method.name}({arguments}): write "
        f"def {method.name}({arguments})",
        line=method.lineno,
        column=method.col_offset + 1,
    )
