"""Numba's compiled functions where nothing can be written: the cache is read and never touched."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

#: What had to be compiled because it was in no cache.
missed: Final[list[str]] = []
_CACHING: Final = "numba.core.caching"


def read_only() -> None:
    """Let functions that are compiled with a cache load from it, and keep nothing new.

    Without this, deciding where a function's cache is writes a file, and fails where none can be
    written. Call it before the modules with such functions are imported. Numba itself is loaded
    only by whoever uses it.
    """
    if _CACHING in sys.modules:
        _patch(sys.modules[_CACHING])
    else:
        sys.meta_path.insert(0, _Patching())


class _Patching(MetaPathFinder):
    """Waits for one module, and changes it as soon as it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _CACHING:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def load_and_patch(module: ModuleType) -> None:
            load(module)
            _patch(module)

        spec.loader.exec_module = load_and_patch  # type: ignore[method-assign]
        return spec


def _patch(caching: Any) -> None:  # numba has no types
    def exists(locator: Any) -> None:
        folder = Path(locator.get_cache_path())
        # A folder that is missing is one to which nobody has written: the next place is tried.
        if not folder.is_dir() and not isinstance(locator, caching.UserWideCacheLocator):
            raise FileNotFoundError(folder)

    def keep_nothing(cache: Any, *_: object) -> None:
        missed.append(cache._name)

    caching._CacheLocator.ensure_cache_path = exists
    caching.Cache.save_overload = keep_nothing
