"""How the kernels are compiled: Numba without object mode or fast-math, cached beside the source.

`NUMBA_DISABLE_JIT=1` runs the same functions as plain Python.
"""

import ctypes
import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
from llvmlite import binding  # type: ignore[import-untyped]
from numba.core import types
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

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


class _PartLibrary(JITCodeLibrary):
    """LLVM code that waits to be taken into that of an entry.

    Numba optimises each function together with all that it calls, and makes machine code of that:
    at every level of calls the whole again. What nobody calls from outside needs neither.
    """

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()  # type: ignore[no-untyped-call]
        self._verify_declare_only_symbols()  # type: ignore[no-untyped-call]
        # Numba writes to the globals of functions' environments: they have to be somewhere.
        named = [one.name for one in self._final_module.global_variables]
        lines = [f'@"{one}" = common global i8* null' for one in named if _ENVIRONMENT in one]
        module = binding.parse_assembly("\n".join(lines))
        module.triple, module.data_layout = self._final_module.triple, self._codegen._data_layout
        self._codegen._add_module(module)  # type: ignore[no-untyped-call]
        self._codegen._engine.finalize_object()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """Return the address of what raises `TypeError` when plain Python calls a part."""
        self._ensure_finalized()  # type: ignore[no-untyped-call]
        address = ctypes.cast(ctypes.pythonapi.PyErr_BadArgument, ctypes.c_void_p).value
        assert address is not None
        return address


_ENVIRONMENT: Final = "NumbaEnv"


class _PartCompiler(Compiler):
    def define_pipelines(self) -> Any:
        state = self.state
        codegen, name = state.targetctx.codegen(), state.func_id.func_qualname
        state.library = _PartLibrary(codegen, name)  # type: ignore[no-untyped-call]
        return super().define_pipelines()  # type: ignore[no-untyped-call]


def part(function: _Function) -> _Function:
    """Let compiled functions call `function`; plain Python cannot.

    It becomes machine code only as a part of the `compiled` functions that call it.
    """
    options: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    dispatcher = numba.njit(function, pipeline_class=_PartCompiler, **options)
    if dispatcher is not function:
        _widen(dispatcher)
    return cast(_Function, dispatcher)


def _widen(dispatcher: Any) -> None:
    """Let constants and members of enumerations be numbers like any other.

    Numba would compile a function anew for each constant that somebody hands over.
    """
    resolve = dispatcher.get_call_template

    def resolve_widely(given: Iterable[Any], named: dict[str, Any]) -> Any:
        return resolve(
            tuple(_widened(one) for one in given),
            {name: _widened(one) for name, one in named.items()},
        )

    dispatcher.get_call_template = resolve_widely


def _widened(kind: Any) -> Any:
    if isinstance(kind, types.IntEnumMember):
        return kind.dtype
    return types.unliteral(kind)  # type: ignore[no-untyped-call]


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
