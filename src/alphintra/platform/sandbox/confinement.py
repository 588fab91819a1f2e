"""What a child does to itself between the fork and the first line that is not ours.

Nothing of it can be undone from inside. Any step that fails ends the child.
"""

import ctypes
import os
import resource
import signal
from pathlib import Path
from typing import Final

from alphintra.platform.sandbox import landlock, seccomp
from alphintra.platform.sandbox.limits import MIB, Limits

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITY_VERSION_3: Final = 0x20080522
_EINVAL: Final = 22
#: The soft limit ends it with a signal that tells why; a child that catches that ends here.
_CPU_GRACE_S: Final = 1
_STACK_BYTES: Final = 8 * MIB

_libc: Final = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread of `parent` that made it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def drop_privileges() -> None:
    """Give up all capabilities and the way to new ones; nobody may look into this process."""
    _prctl(_PR_SET_DUMPABLE, 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)  # kernels before 4.3 have none
    for capability in range(64):
        # Without CAP_SETPCAP there is nothing in the set that exec could give: it grants nothing
        # with `no_new_privs`.
        if _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) != 0:
            break
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if _libc.capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def confine(limits: Limits, *, ruleset_fd: int | None, shared_bytes: int) -> None:
    """Close every door; the process is one thread and has its descriptors in place.

    Args:
        ruleset_fd: Landlock's rules; None where bubblewrap alone hides the files.
        shared_bytes: memory that the parent has lent, which is not the child's own.
    """
    os.umask(0o077)
    if limits.niceness:
        os.nice(limits.niceness)
    _limit_resources(limits, shared_bytes)
    drop_privileges()
    if ruleset_fd is not None:
        landlock.restrict(ruleset_fd)
        os.close(ruleset_fd)
    seccomp.install(seccomp.allow_list(os.getpid(), threads=limits.threads > 1))


def _limit_resources(limits: Limits, shared_bytes: int) -> None:
    size, data = address_space()
    own = limits.memory_bytes
    # What was there before the fork counts as well, so the room is on top of it.
    _limit(resource.RLIMIT_AS, size + own + shared_bytes)
    # Only this bounds a child that unmaps the libraries to have their room for itself.
    _limit(resource.RLIMIT_DATA, data + own)
    _limit(resource.RLIMIT_STACK, _STACK_BYTES)
    _limit(resource.RLIMIT_NOFILE, limits.files)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_MEMLOCK, 0)
    _limit(resource.RLIMIT_MSGQUEUE, 0)
    _limit(resource.RLIMIT_SIGPENDING, 64)
    _limit(resource.RLIMIT_RTPRIO, 0)
    # Counted over all processes of the user, so a number above none would say nothing about this
    # one: threads are counted by the nursery.
    if limits.threads <= 1:
        _limit(resource.RLIMIT_NPROC, 0)
    if limits.cpu_s is not None:
        _limit(resource.RLIMIT_CPU, limits.cpu_s, grace=_CPU_GRACE_S)


def _limit(what: int, most: int, *, grace: int = 0) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
        grace = min(grace, hard - most)
    resource.setrlimit(what, (most, most + grace))


def address_space() -> tuple[int, int]:
    """Return the size of this process's address space and of what is private to it, in bytes."""
    found = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in {"VmSize", "VmData"}:
            found[name] = int(value.split()[0]) * 1024
    return found["VmSize"], found["VmData"]


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")
