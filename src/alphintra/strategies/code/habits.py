"""What Python allows and a strategy is quietly wrong with: habits from other libraries and mistakes
of beginners. Pure; all of it is advice.
"""

import ast
import difflib
from collections.abc import Iterator
from functools import cache
from typing import Final

from alphintra.strategies.code.frames import Finding, Severity

#: How other libraries call what is called otherwise here.
HOOKS: Final = {
    "next": "on_bar", "on_candle": "on_bar", "on_data": "on_bar", "handle_data": "on_bar",
    "OnData": "on_bar", "on_tick": "on_trade", "on_price": "on_bar", "update": "on_bar",
    "run": "on_bar", "execute": "on_bar", "generate_signals": "on_bar", "should_long": "on_bar",
    "calculate": "on_bar", "init": "setup", "initialize": "setup", "Initialize": "setup",
    "on_start": "setup", "on_init": "setup", "start": "setup", "prenext": "on_bar",
    "populate_indicators": "setup", "notify_order": "on_fill", "notify_trade": "on_fill",
    "on_order": "on_fill", "on_order_filled": "on_fill", "on_schedule": "on_timer",
}  # fmt: skip
_METHODS: Final = {
    "order": "buy", "order_target_percent": "target_weight", "set_holdings": "target_weight",
    "order_percent": "target_weight", "order_target": "target_weight", "liquidate": "close",
    "market_order": "buy", "limit_order": "buy", "place_order": "buy", "submit_order": "buy",
    "enter_long": "buy", "go_long": "buy", "enter_short": "sell", "go_short": "sell",
    "short": "sell", "exit": "close", "close_position": "close", "stop_loss": "bracket",
    "get_position": "position", "positions": "position", "sma": "indicator", "rsi": "indicator",
    "ema": "indicator", "print": "log", "history": "data", "get_bars": "data",
}  # fmt: skip
#: Hooks whose argument is filled anew for each event.
_REUSED: Final = frozenset({"on_bar", "on_quote", "on_trade"})
_ORDERS: Final = frozenset({"bracket", "buy", "close", "sell", "target_weight"})
_CLOCKS: Final = frozenset(
    {
        "date.today", "datetime.date.today", "datetime.datetime.now", "datetime.datetime.utcnow",
        "datetime.now", "datetime.today", "datetime.utcnow", "pd.Timestamp.now", "time.monotonic",
        "time.perf_counter", "time.time", "time.time_ns",
    }
)  # fmt: skip
_GENERATORS: Final = frozenset({"Random", "RandomState", "SystemRandom", "default_rng"})
_CONTAINERS: Final = frozenset(
    {"Counter", "OrderedDict", "defaultdict", "deque", "dict", "list", "set"}
)
_NAME_LENGTH_MAX: Final = 40
#: Of what is looked at more closely, in each class.
_MOST: Final = 50
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def found_in(tree: ast.Module, strategies: list[ast.ClassDef]) -> Iterator[Finding]:
    """Yield what is suspicious in a text whose strategies are these classes of it."""
    for node in ast.walk(tree):
        match node:
            case ast.Call():
                yield from _call(node)
            case ast.While() if not _can_end(node):
                yield _advice(
                    node,
                    "endless_loop",
                    "this loop never ends: a hook is called for each event and returns",
                )
            case _:
                pass
    known = _attributes_of_module(tree)
    for strategy in strategies:
        yield from _class_state(strategy)
        for method in _methods(strategy):
            yield from _hook(method)
        if known is not None:
            yield from _unknown_attributes(strategy, known)


def never_orders(tree: ast.Module) -> bool:
    """Say whether a text of classes names nothing that gives an order.

    `close` counts when it is called: `bar.close` is a price.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in _ORDERS:
            return False
        if isinstance(node, ast.Attribute) and node.attr in _ORDERS - {"close"}:
            return False  # handed on as a function
        if isinstance(node, ast.ImportFrom) and node.module == "alphintra.sdk.blocks":
            return False
    return True


# Calls.


def _call(node: ast.Call) -> Iterator[Finding]:
    name = _dotted(node.func)
    last = name.rpartition(".")[2]
    if name in _CLOCKS:
        yield _advice(
            node, "wall_clock", f"{name}() is not the time of the market, which is self.now"
        )
    elif name in {"time.sleep", "sleep"}:
        yield _advice(
            node,
            "wall_clock",
            "sleeping holds up the run, and no time goes by in the market: self.every(…) calls "
            "on_timer when time has passed there",
        )
    elif last in _GENERATORS and not node.args and not node.keywords:
        yield _advice(
            node,
            "random_unseeded",
            f"{last}() draws other numbers in each run: use self.random, or give it a seed",
        )
    elif (future := _future(node, last)) is not None:
        yield _advice(
            node,
            "looks_ahead",
            f"{future} takes values of the future, which nobody has when it trades",
        )


def _future(node: ast.Call, last: str) -> str | None:
    """Return how a call reaches into the future, if it plainly does."""
    if last in {"bfill", "backfill"}:
        return f".{last}()"
    values = {one.arg: one.value for one in node.keywords}
    if last in {"shift", "roll", "diff", "pct_change"}:
        place = 1 if last == "roll" else 0
        names = {"shift": "periods", "diff": "periods", "pct_change": "periods", "roll": "shift"}
        step = node.args[place] if len(node.args) > place else values.get(names[last])
        if isinstance(step, ast.UnaryOp) and isinstance(step.op, ast.USub):
            return f".{last}({ast.unparse(step)})"[:_NAME_LENGTH_MAX]
    center = values.get("center")
    if last == "rolling" and isinstance(center, ast.Constant) and center.value is True:
        return ".rolling(center=True)"
    return None


def _dotted(node: ast.expr) -> str:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return ".".join([node.id, *names]) if isinstance(node, ast.Name) else ".".join(["", *names])


def _can_end(node: ast.While) -> bool:
    if not (isinstance(node.test, ast.Constant) and node.test.value):
        return True
    return any(
        isinstance(one, ast.Return | ast.Raise | ast.Yield | ast.YieldFrom)
        or (isinstance(one, ast.Break) and not nested)
        for one, nested in _inside(node.body)
    )


def _inside(body: list[ast.stmt], *, nested: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Yield what is in some statements without their inner functions; and if in an inner loop."""
    waiting: list[tuple[ast.AST, bool]] = [(one, nested) for one in body]
    while waiting:
        node, deep = waiting.pop()
        yield node, deep
        if not isinstance(node, _FUNCTIONS):
            loops = deep or isinstance(node, ast.While | ast.For)
            waiting += [(one, loops) for one in ast.iter_child_nodes(node)]


# Hooks and what a strategy keeps.


def _hook(method: ast.FunctionDef) -> Iterator[Finding]:
    if method.name != "setup" and not method.name.startswith("on_"):
        return
    arguments = [*method.args.posonlyargs, *method.args.args]
    event = arguments[1].arg if method.name in _REUSED and len(arguments) > 1 else None
    for node, _ in _inside(method.body):
        if isinstance(node, ast.Return) and not _is_nothing(node.value):
            yield _advice(
                node,
                "return_ignored",
                f"nobody takes what {method.name} returns: order with self.buy(…), self.sell(…), "
                "self.target_weight(…) or self.close()",
            )
        elif event is not None and (kept := _kept(node, event)) is not None:
            yield _advice(
                kept,
                "kept_without_copy",
                f"{event} is filled anew for each event, so all that is kept would be the newest: "
                f"keep {event}.copy()",
            )


def _is_nothing(value: ast.expr | None) -> bool:
    """Say whether a `return` only leaves: alone, with None, or with the order it has given."""
    if value is None or (isinstance(value, ast.Constant) and value.value is None):
        return True
    return isinstance(value, ast.Call)


def _kept(node: ast.AST, event: str) -> ast.expr | None:
    """Return the event itself where a statement keeps it on `self` or in something that stays."""
    if isinstance(node, ast.Assign) and any(
        isinstance(inner, ast.Attribute | ast.Subscript) for inner in node.targets
    ):
        return node.value if _is(node.value, event) else None
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in {
        "append", "appendleft", "insert", "add",
    }:  # fmt: skip
        return next((one for one in node.args if _is(one, event)), None)
    return None


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _class_state(strategy: ast.ClassDef) -> Iterator[Finding]:
    held = [
        (node.targets[0] if isinstance(node, ast.Assign) else node.target, node.value)
        for node in strategy.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and _is_container(node.value)
    ]
    for target, value in held[:_MOST]:
        if value is not None and isinstance(target, ast.Name) and _is_changed(strategy, target.id):
            name = target.id[:_NAME_LENGTH_MAX]
            yield _advice(
                value,
                "shared_state",
                f"{name} belongs to the class: all runs of a search share it. Begin with "
                f"self.{name} = … in setup",
            )


def _is_container(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        return _dotted(value.func).rpartition(".")[2] in _CONTAINERS
    return isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp)


def _is_changed(strategy: ast.ClassDef, name: str) -> bool:
    """Say whether a container of the class is added to: a table of constants is not."""
    for node in ast.walk(strategy):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            held = node.func.value
            changes = node.func.attr in {
                "add", "append", "appendleft", "clear", "extend", "insert", "pop", "popleft",
                "remove", "setdefault", "update",
            }  # fmt: skip
            if changes and isinstance(held, ast.Attribute) and held.attr == name:
                return not _is_own(strategy, name)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            held = node.value
            if isinstance(held, ast.Attribute) and held.attr == name:
                return not _is_own(strategy, name)
    return False


def _is_own(strategy: ast.ClassDef, name: str) -> bool:
    """Say whether `self.name` is set somewhere: then it is the object's own from there on."""
    return any(
        isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Store)
        for node in ast.walk(strategy)
    )


# Attributes that nobody has.


@cache
def _of_strategy() -> frozenset[str]:
    from alphintra.sdk import Strategy

    return frozenset({*dir(Strategy), "random"})


def _attributes_of_module(tree: ast.Module) -> frozenset[str] | None:
    """Return every name that anything in a text may have given a class or an object.

    None where nobody can know by reading.
    """
    names = set(_of_strategy())
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ctx=ast.Store() | ast.Del()):
                names.add(node.attr)
            case ast.ClassDef() | ast.FunctionDef():
                names.add(node.name)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.Name(id="setattr" | "vars") | ast.Attribute(attr="__dict__" | "__getattr__"):
                return None
            case _:
                pass
    return None if "__getattr__" in names else frozenset(names)


def _unknown_attributes(strategy: ast.ClassDef, known: frozenset[str]) -> Iterator[Finding]:
    seen: set[str] = set()
    for method in _methods(strategy):
        if not method.args.args:
            continue
        myself = method.args.args[0].arg
        called = {id(node.func) for node in ast.walk(method) if isinstance(node, ast.Call)}
        for node in ast.walk(method):
            if (
                isinstance(node, ast.Attribute)
                and _is(node.value, myself)
                and node.attr not in known
                and node.attr not in seen
                and len(seen) < _MOST
            ):
                seen.add(node.attr)
                yield _advice(
                    node,
                    "attribute_unknown",
                    _nobody_has(node.attr, known, is_called=id(node) in called),
                )


def _nobody_has(name: str, known: frozenset[str], *, is_called: bool) -> str:
    near = _METHODS.get(name.lower()) if is_called else None
    if near is None and len(name) <= _NAME_LENGTH_MAX:
        public = [one for one in known if not one.startswith("_")]
        near = next(iter(difflib.get_close_matches(name, sorted(public), n=1, cutoff=0.7)), None)
    if near:
        hint = f"did you mean self.{near}?"
    else:
        hint = "there is no such method" if is_called else "set it in setup first"
    return f"self.{name[:_NAME_LENGTH_MAX]} is never defined: {hint}"


def _methods(strategy: ast.ClassDef) -> Iterator[ast.FunctionDef]:
    return (one for one in strategy.body if isinstance(one, ast.FunctionDef))


def _advice(node: ast.expr | ast.stmt, code: str, message: str) -> Finding:
    return Finding(
        code=code,
        message=message,
        severity=Severity.WARNING,
        line=node.lineno,
        column=node.col_offset + 1,
    )
