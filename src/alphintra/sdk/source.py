"""Strategies from text: what a file or an editor holds becomes a class or a vectorised function.

The text is run as Python, with all that Python may do. A server does this in its sandbox only.
"""

import ast
import hashlib
import linecache
import sys
import traceback
from collections.abc import Iterable
from types import ModuleType
from typing import Final

from alphintra.core.errors import Problem
from alphintra.sdk.errors import StrategyNotFound, StrategyRefused
from alphintra.sdk.strategy import Strategy
from alphintra.sdk.vectorised import Vectorised

#: What messages and tracebacks call text that has no file.
SOURCE_FILE: Final = "strategy.py"
_MODULES: Final = "alphintra_strategy_"


def load_source(text: str, *, file: str = SOURCE_FILE) -> type[Strategy] | Vectorised:
    """Return the one strategy that a text defines. Runs the text.

    Raises:
        StrategyNotFound: it defines none, or several that are not bases of one another.
        StrategyRefused: it is not Python, or raises when it is run; with `line` and `column`, from
            1, where they are known.
    """
    return only_strategy(module_of(text, file=file), where=file)


def module_of(text: str, *, file: str = SOURCE_FILE) -> ModuleType:
    """Run a text as a module of its own; the same text is run once.

    Raises:
        StrategyRefused: as `load_source`.
    """
    digest = hashlib.sha256(f"{file}\0{text}".encode(errors="surrogatepass")).hexdigest()
    name = f"{_MODULES}{digest}"
    if name in sys.modules:
        return sys.modules[name]
    try:
        code = compile(ast.parse(text, filename=file), file, "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line, column = getattr(error, "lineno", None), getattr(error, "offset", None)
        raise StrategyRefused(
            f"{file}, line {line}: {getattr(error, 'msg', None) or type(error).__name__}",
            file=file,
            line=line,
            column=column,
        ) from error
    module = ModuleType(name)
    module.__file__ = file
    module.__dict__["__source__"] = text
    # Without a time of the file the lines are kept for tracebacks however the disk looks.
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    sys.modules[name] = module  # dataclasses and Numba look their module up
    try:
        exec(code, module.__dict__)  # noqa: S102 - this is what it is for; see above
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, Problem) or not isinstance(error, Exception):
            raise
        line = line_in(error, file)
        raise StrategyRefused(
            f"{file}, line {line}: {type(error).__name__}: {error}", file=file, line=line
        ) from error
    return module


def only_strategy(module: ModuleType, *, where: str, name: str = "") -> type[Strategy] | Vectorised:
    """Return the strategy that a module defines.

    Args:
        where: how messages call the module.
        name: which one, where there are several.

    Raises:
        StrategyNotFound: there is none, or several and none was named.
    """
    found: dict[str, type[Strategy] | Vectorised] = {}
    for key, value in vars(module).items():
        own_class = (
            isinstance(value, type)
            and issubclass(value, Strategy)
            and value.__module__ == module.__name__
        )
        if own_class or (
            isinstance(value, Vectorised) and value.function.__module__ == module.__name__
        ):
            found[key] = value
    if name:
        if name not in found:
            raise StrategyNotFound(f"{where} has no strategy {name}; it has: {_listed(found)}")
        return found[name]
    bases = {
        base for value in found.values() if isinstance(value, type) for base in value.__mro__[1:]
    }
    leaves = {
        key: value
        for key, value in found.items()
        if not isinstance(value, type) or value not in bases
    }
    if not leaves:
        raise StrategyNotFound(
            f"{where} defines no strategy: neither a subclass of alphintra.sdk.Strategy nor a "
            "function with @vectorised"
        )
    if len(leaves) > 1:
        raise StrategyNotFound(
            f"{where} defines several strategies: {_listed(leaves)}; name one of them as "
            f"{where}:{next(iter(leaves))}"
        )
    return next(iter(leaves.values()))


def source_of(strategy: object) -> str | None:
    """Return the text that a strategy was loaded from by `load_source`, if it was."""
    owner = strategy.function if isinstance(strategy, Vectorised) else strategy
    if not isinstance(owner, type) and not isinstance(strategy, Vectorised):
        owner = type(owner)
    module = sys.modules.get(getattr(owner, "__module__", ""))
    text = vars(module).get("__source__") if module is not None else None
    return text if isinstance(text, str) else None


def line_in(error: BaseException, file: str) -> int | None:
    """Return the innermost line of a file that an error came through."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == file
    ]
    return lines[-1] if lines else None


def _listed(found: Iterable[str]) -> str:
    return ", ".join(found) or "none"
