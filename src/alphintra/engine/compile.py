"""How the kernels are compiled: Numba without object mode or fast-math, cached beside the source.

`NUMBA_DISABLE_JIT=1` runs the same functions as plain Python.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
from numba.core.caching import FunctionCache

_Function = TypeVar("_Function", bound=Callable[..., object])


def _source_digest() -> str:
    """Return a hash of this package's source."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


#: Names the version of the simulator exactly; a result's manifest keeps it.
SOURCE_DIGEST: Final = _source_digest()


class _SourceCache(FunctionCache):
    """A cache that compiled code from another version of the source never leaves.

    Numba's own key covers only the function's own file, but a kernel inlines functions and
    constants of the whole package: after an update it would go on running the rules of the version
    before.
    """

    def _index_key(self, sig: Any, codegen: Any) -> Any:  # numba's types have no stubs
        inherited: tuple[Any, ...] = super()._index_key(sig, codegen)  # type: ignore[no-untyped-call]
        return (*inherited, SOURCE_DIGEST)


def compiled(function: _Function) -> _Function:
    """Compile `function` on its first call, or load it from the cache."""
    dispatcher = numba.njit(function)
    if dispatcher is not function:  # it is with NUMBA_DISABLE_JIT
        dispatcher._cache = _SourceCache(function)  # type: ignore[no-untyped-call]
    return cast(_Function, dispatcher)
