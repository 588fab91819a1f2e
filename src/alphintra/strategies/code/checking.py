"""What can be said about a strategy's text by reading it: pure, and with places.

This is for people: it says early and clearly what would not work. What keeps users' code from doing
harm is the sandbox, not this list.
"""

import ast
import re
from collections.abc import Iterator
from typing import Final

from alphintra.strategies.code.frames import FINDINGS_MAX, Finding, Severity

#: What a strategy may import: computing, nothing that reads, writes or connects.
MODULES: Final = frozenset(
    {
        "__future__", "abc", "alphintra.indicators", "alphintra.sdk", "alphintra.sdk.blocks",
        "array", "bisect", "calendar", "cmath", "collections", "contextlib", "copy", "dataclasses",
        "datetime", "decimal", "enum", "fractions", "functools", "heapq", "itertools", "json",
        "math", "numba", "numbers", "numpy", "operator", "pandas", "random", "re", "statistics",
        "string", "talib", "textwrap", "time", "types", "typing", "warnings", "zoneinfo",
    }
)  # fmt: skip
#: Why other libraries are not there, and what to do instead.
_INSTEAD: Final = {
    **dict.fromkeys(
        ("aiohttp", "ftplib", "http", "httpx", "requests", "smtplib", "socket", "ssl", "urllib",
         "urllib3", "websocket", "websockets"),
        "there is no network in a sandbox; what a strategy knows comes from the run",
    ),
    **dict.fromkeys(
        ("alpaca_trade_api", "binance", "ccxt", "ib_insync", "yfinance"),
        "prices come from the run, and orders go by self.buy(…)",
    ),
    **dict.fromkeys(
        ("finta", "pandas_ta", "stockstats", "ta", "talipp", "tulipy"),
        'indicators are there already: self.indicator("RSI", timeperiod=14)',
    ),
    **dict.fromkeys(
        ("csv", "glob", "io", "os", "pathlib", "pickle", "shutil", "sqlite3", "sys", "tempfile"),
        "there are no files in a sandbox; upload data as a dataset",
    ),
    **dict.fromkeys(
        ("asyncio", "concurrent", "multiprocessing", "subprocess", "threading"),
        "hooks are called one after another, and start nothing beside them",
    ),
    **dict.fromkeys(
        ("backtesting", "backtrader", "freqtrade", "jesse", "vectorbt", "zipline"),
        "subclass alphintra.sdk.Strategy and write on_bar(self, bar)",
    ),
    "logging": "use self.log(…)",
    "matplotlib": "the report of a run has the charts",
    "plotly": "the report of a run has the charts",
}  # fmt: skip
#: Built-in functions that a strategy has no use for, and what to do instead.
_CALLS: Final = {
    "eval": "write the expression itself",
    "exec": "write the code itself",
    "compile": "write the code itself",
    "__import__": "use import",
    "open": "there are no files in a sandbox; parameters and data come from the run",
    "input": "nobody is there to type; declare a parameter with param(…)",
    "breakpoint": "use self.log(…)",
    "help": "read the documentation",
    "exit": "return from the hook",
    "quit": "return from the hook",
    "globals": "keep what you need on self",
    "locals": "name what you need",
    "vars": "name what you need",
}
#: The inside of Python's objects: ways around the language, never a part of a strategy.
_INSIDES: Final = frozenset(
    {
        "__bases__", "__builtins__", "__closure__", "__code__", "__getattribute__", "__globals__",
        "__import__", "__loader__", "__mro__", "__reduce__", "__reduce_ex__", "__spec__",
        "__subclasses__", "ag_frame", "cr_frame", "ctypeslib", "f_back", "f_builtins", "f_globals",
        "f_locals", "gi_frame", "tb_frame",
    }
)  # fmt: skip
#: Methods of NumPy and pandas that read or write files.
_FILES: Final = re.compile(
    r"(fromfile|tofile|memmap|loadtxt|savetxt|savez|savez_compressed|genfromtxt"
    r"|read_(csv|parquet|pickle|sql|excel|feather|hdf|html|json|table|xml|clipboard)"
    r"|to_(csv|parquet|pickle|sql|excel|feather|hdf|clipboard))"
)
_QUOTED_MAX: Final = 80


def read(source: str) -> tuple[ast.Module | None, list[Finding]]:
    """Return the tree of a text, or None and why there is none."""
    try:
        return ast.parse(source), []
    except SyntaxError as error:
        return None, [
            Finding(
                code="syntax_error",
                message=_quoted(error.msg),
                line=error.lineno or 0,
                column=error.offset or 0,
            )
        ]
    except ValueError as error:  # a null character, half of a surrogate pair
        return None, [Finding(code="syntax_error", message=_quoted(str(error)), line=1, column=1)]
    except (RecursionError, MemoryError):
        return None, [_TOO_DEEP]


def found_in(tree: ast.Module) -> list[Finding]:
    """Return what is forbidden or suspicious in a tree, in the order of its lines."""
    findings = [*_walked(tree), *_names(tree)]
    findings.sort(key=lambda one: (one.line, one.column))
    return findings[:FINDINGS_MAX]


_TOO_DEEP: Final = Finding(
    code="too_deep", message="the code is nested too deeply; write it in several steps"
)


def _walked(tree: ast.Module) -> Iterator[Finding]:
    own = _bound(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                for alias in node.names:
                    if not _is_allowed(alias.name):
                        yield _forbidden_import(node, alias.name)
            case ast.ImportFrom():
                yield from _imported_from(node)
            case ast.Name() if node.id in _CALLS and node.id not in own:
                yield _at(
                    node,
                    "call_forbidden",
                    f"{node.id} is not available to strategies: {_CALLS[node.id]}",
                )
            case ast.Attribute() if node.attr in _INSIDES:
                yield _at(
                    node,
                    "attribute_forbidden",
                    f".{node.attr} reaches into Python itself; a strategy has no use for it",
                )
            case ast.Attribute() if _FILES.fullmatch(node.attr):
                yield _at(
                    node,
                    "call_forbidden",
                    f".{node.attr} reads or writes files, and there are none in a sandbox",
                )
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield _at(
                    node, "async_forbidden", "hooks are ordinary functions: write def, not async"
                )
            case _:
                pass


def _bound(tree: ast.Module) -> set[str]:
    """Return the names that a text gives a meaning of its own, such as `open = bar.open`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
    return found


def _imported_from(node: ast.ImportFrom) -> Iterator[Finding]:
    if node.level:
        yield _at(node, "import_forbidden", "a strategy is one file: there is nothing beside it")
    elif node.module == "alphintra":
        for alias in node.names:
            if not _is_allowed(f"alphintra.{alias.name}"):
                yield _forbidden_import(node, f"alphintra.{alias.name}")
    elif not _is_allowed(node.module or ""):
        yield _forbidden_import(node, node.module or "")


def _is_allowed(module: str) -> bool:
    if module.split(".")[0] == "alphintra":
        return module in MODULES
    return module.split(".")[0] in MODULES


def _forbidden_import(node: ast.AST, module: str) -> Finding:
    own = module.split(".")[0] == "alphintra"
    hint = (
        "of alphintra there is alphintra.sdk and alphintra.indicators"
        if own
        else _INSTEAD.get(module.split(".")[0])
        or "it has alphintra.sdk, numpy, pandas, talib, numba and those of Python that compute"
    )
    return _at(node, "import_forbidden", f"a strategy cannot import {_quoted(module)}: {hint}")


def _names(tree: ast.Module) -> Iterator[Finding]:
    """Return what pyflakes finds: undefined names are errors, the rest is advice."""
    from pyflakes import messages
    from pyflakes.checker import Checker

    errors = (
        messages.UndefinedName,
        messages.UndefinedLocal,
        messages.ReturnOutsideFunction,
        messages.DuplicateArgument,
    )
    try:
        found = list(Checker(tree, filename="strategy.py").messages)
    except RecursionError:
        yield _TOO_DEEP
        return
    for message in found[: 2 * FINDINGS_MAX]:
        is_error = isinstance(message, errors)
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(message).__name__).lower()
        yield Finding(
            code=name,
            message=_quoted(message.message % message.message_args, 300),
            severity=Severity.ERROR if is_error else Severity.WARNING,
            line=message.lineno,
            column=message.col + 1,
        )


def _at(node: ast.AST, code: str, message: str) -> Finding:
    return Finding(
        code=code,
        message=message,
        line=getattr(node, "lineno", 0),
        column=getattr(node, "col_offset", -1) + 1,
    )


def _quoted(text: str, length: int = _QUOTED_MAX) -> str:
    """Return a text that came from a user, as long as a message can carry."""
    return text if len(text) <= length else text[:length] + "…"
