"""Limits that a process puts on itself before it touches a file from outside.

Nothing of this can be undone by the process afterwards. What a kernel does not have is left out:
the time limit of whoever started the process holds in any case.
"""

import ctypes
import resource
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_FILES_MAX: Final = 64


def confine_early(*, cpu_s: int, file_bytes: int) -> None:
    """Leave the network, and bound CPU time, written bytes and open files.

    Call it while the process has one thread; the kernel asks for that.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in (
        (_PR_SET_PDEATHSIG, signal.SIGKILL),
        (_PR_SET_DUMPABLE, 0),
        (_PR_SET_NO_NEW_PRIVS, 1),
    ):
        libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0)
    # A network namespace of its own has no way out. Without the right to one, a user namespace
    # gives it; where neither is allowed, the process still has nothing to send and nobody's keys.
    if libc.unshare(_CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, cpu_s)
    _limit(resource.RLIMIT_FSIZE, file_bytes)
    _limit(resource.RLIMIT_NOFILE, _FILES_MAX)


def confine_late(*, memory_bytes: int) -> None:
    """Bound the memory taken from here on, and start no process or thread any more.

    Call it when everything is imported: libraries start their threads then.
    """
    _limit(resource.RLIMIT_DATA, _data_bytes() + memory_bytes)
    _limit(resource.RLIMIT_NPROC, 0)


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    value = most if hard == resource.RLIM_INFINITY else min(most, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(what, (value, value))


def _data_bytes() -> int:
    """Return the private memory that this process has asked for until now."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
