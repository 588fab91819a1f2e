"""How the kernels are compiled: Numba without object mode or fast-math, cached beside the source.

`NUMBA_DISABLE_JIT=1` runs the same functions as plain Python.
"""

import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
from numba.core.caching import FunctionCache

_Function = TypeVar("_Function", bound=Callable[..., object])


_HOME: Final = Path(__file__).parent


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.relative_to(_HOME).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def kernel_digest(folder: Path) -> str:
    """Return a hash of the source that a kernel in `folder` may have taken in.

    That is this package's own modules, and those of the sub-package that the kernel lives in:
    sub-packages do not use each other's kernels, so a change of one compiles only that one anew.
    """
    modules = set(_HOME.glob("*.py"))
    if folder != _HOME and folder.is_relative_to(_HOME):
        modules |= set(folder.rglob("*.py"))
    return _digest(modules)


#: Names the version of the simulator exactly; a result's manifest keeps it.
SOURCE_DIGEST: Final = _digest(_HOME.rglob("*.py"))


class _SourceCache(FunctionCache):
    """A cache that compiled code from another version of the source never leaves.

    Numba's own key covers only the function's own file, but a kernel inlines functions and
    constants of the whole package: after an update it would go on running the rules of the version
    before.
    """

    def _index_key(self, sig: Any, codegen: Any) -> Any:  # numba's types have no stubs
        inherited: tuple[Any, ...] = super()._index_key(sig, codegen)  # type: ignore[no-untyped-call]
        return (*inherited, kernel_digest(Path(self._py_func.__code__.co_filename).parent))


def compiled(function: _Function) -> _Function:
    """Compile `function` on its first call, or load it from the cache."""
    return _compiled(function, nogil=False)


def compiled_for_threads(function: _Function) -> _Function:
    """Compile a function that runs for long, and lets other threads run meanwhile."""
    return _compiled(function, nogil=True)


def _compiled(function: _Function, *, nogil: bool) -> _Function:
    dispatcher = numba.njit(function, nogil=nogil)
    if dispatcher is not function:  # it is with NUMBA_DISABLE_JIT
        dispatcher._cache = _SourceCache(function)  # type: ignore[no-untyped-call]
    return cast(_Function, dispatcher)


def entry_of(function: Callable[..., Any], *examples: object) -> Callable[..., Any]:
    """Return the compiled function for arguments of exactly the examples' types.

    Calling it costs 1 µs where the usual way costs 4: nobody looks at the types of its arguments.
    Other ones than promised crash the process.
    """
    if not hasattr(function, "overloads"):
        return function  # plain Python
    signature = tuple(map(numba.typeof, examples))
    function.compile(signature)  # type: ignore[attr-defined]
    entry: Callable[..., Any] = function.overloads[signature].entry_point
    return entry
