"""Which files a sandbox can see, read-only: Python, what it imports, the system's libraries."""

import os
import site
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import alphintra

_PACKAGE: Final = Path(alphintra.__file__).parent
#: Shared libraries, their index, locales and time zones. Never /etc or /usr as a whole.
_SYSTEM: Final = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/usr/share/locale",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/null",
    "/dev/urandom",
)


def readable_places(import_from: Iterable[Path] = ()) -> tuple[Path, ...]:
    """Return what users' code may read, as named and as the links lead; what exists of it.

    Not what is in `sys.path`: there the folder stands in which somebody happened to start us.
    """
    program = Path(sys.executable)
    named = (
        *map(Path, (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)),
        *map(Path, site.getsitepackages()),
        *([Path(site.getusersitepackages())] if _is_of_one_user() else []),
        # Python looks for its own files beside the program that was called.
        program.parent,
        program.resolve().parent,
        _PACKAGE,
        *map(Path, _SYSTEM),
        _compiled_code_home(),
        *import_from,
    )
    both = (*named, *(path.resolve() for path in named))
    return tuple(dict.fromkeys(path for path in both if path.exists()))


def python(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module of ours, with nothing of the present folder."""
    isolated = ["-P"] if _is_of_one_user() else ["-P", "-s"]
    return [sys.executable, *isolated, "-m", module, *arguments]


def _is_of_one_user() -> bool:
    """Return whether this product was installed by a user for that user only."""
    return bool(site.ENABLE_USER_SITE) and _PACKAGE.is_relative_to(site.getusersitepackages())


def _compiled_code_home() -> Path:
    """Return where Numba keeps compiled code when it is not beside the source."""
    own = os.environ.get("NUMBA_CACHE_DIR")
    return Path(own) if own else _cache_home() / "numba"


def environment() -> dict[str, str]:
    """Return all that the nursery, and so users' code, knows of an environment."""
    found = {
        "LANG": "C.UTF-8",
        "PATH": "/nonexistent",
        "HOME": "/nonexistent",
        "PYTHONDONTWRITEBYTECODE": "1",
        # A set is walked in the same order in every process: a strategy that is run again over the
        # same market does the same.
        "PYTHONHASHSEED": "0",
        # Threads would be started by an import, and a process with threads cannot be forked.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "1",
        # Where compiled code is read from.
        "XDG_CACHE_HOME": str(_cache_home()),
    }
    if own := os.environ.get("NUMBA_CACHE_DIR"):
        found["NUMBA_CACHE_DIR"] = own
    if _is_of_one_user():
        found["PYTHONUSERBASE"] = site.getuserbase()
    return found


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
