"""Landlock by its system calls: after `restrict` this process opens what the rules name, only to
read, and nothing else.

Source: https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from alphintra.platform.sandbox.syscalls import architecture, number

_VERSION: Final = 1  # a flag of landlock_create_ruleset: answer with the version
_PATH_BENEATH: Final = 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
#: The rights that a version knows; all are handled, so all are denied but for what a rule allows.
_RIGHTS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_BIND_AND_CONNECT_TCP: Final = 3  # from version 4
_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 3  # from version 6


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def version() -> int:
    """Return the kernel's version of Landlock; 0 where there is none or it is switched off."""
    if architecture() is None:
        return 0
    try:
        return _call("landlock_create_ruleset", None, 0, _VERSION)
    except OSError:
        return 0


def rules(readable: Iterable[Path]) -> int:
    """Return a file descriptor of a ruleset: what is under these paths may be read.

    Paths that do not exist are left out. The descriptor closes on exec.

    Raises:
        OSError: there is no Landlock here.
    """
    known = version()
    ruleset = _Ruleset(
        handled_access_fs=_RIGHTS[max(v for v in _RIGHTS if v <= max(known, 1))],
        handled_access_net=_BIND_AND_CONNECT_TCP if known >= 4 else 0,
        scoped=_ABSTRACT_SOCKETS_AND_SIGNALS if known >= 6 else 0,
    )
    # An older kernel takes the longer structure as long as what it does not know is zero.
    fd = _call("landlock_create_ruleset", ctypes.byref(ruleset), ctypes.sizeof(ruleset), 0)
    try:
        for path in readable:
            _allow_reading(fd, path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _allow_reading(ruleset_fd: int, path: Path) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
        rule = _PathBeneath(
            allowed_access=_READ_FILE | (_READ_DIR if is_folder else 0), parent_fd=fd
        )
        _call("landlock_add_rule", ruleset_fd, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(fd)


def restrict(ruleset_fd: int) -> None:
    """Put the rules on this thread and all that come of it, for ever.

    Raises:
        OSError: it did not work; nothing is restricted then.
    """
    _call("landlock_restrict_self", ruleset_fd, 0)


_libc: Final = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> int:
    passed = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    answer = int(_libc.syscall(ctypes.c_long(number(name) or -1), *passed))
    if answer < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return answer
