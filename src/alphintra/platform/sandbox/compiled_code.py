"""Numba's compiled functions where nothing can be written: the cache is read and never touched."""

from pathlib import Path
from typing import Any, Final

#: What had to be compiled because it was in no cache.
missed: Final[list[str]] = []


def read_only() -> None:
    """Let functions that are compiled with a cache load from it, and keep nothing new.

    Without this, deciding where a function's cache is writes a file, and fails where none can be
    written. Call it before the modules with such functions are imported.
    """
    from numba.core import caching

    def exists(locator: Any) -> None:  # numba's classes have no types
        folder = Path(locator.get_cache_path())
        # A folder that is missing is one to which nobody has written: the next place is tried.
        if not folder.is_dir() and not isinstance(locator, caching.UserWideCacheLocator):
            raise FileNotFoundError(folder)

    def keep_nothing(cache: Any, *_: object) -> None:
        missed.append(cache._name)

    caching._CacheLocator.ensure_cache_path = exists  # type: ignore[method-assign]
    caching.Cache.save_overload = keep_nothing  # type: ignore[method-assign]
