"""The list of system calls that users' code may make, as a filter in the kernel.

Everything that is not listed answers EPERM: sockets, processes, other processes' memory, shared
memory, message queues, keys, io_uring, BPF, namespaces, mounts, and whatever comes after today.
Arguments are looked at where they are numbers: files are only opened to be read, threads are made
and processes are not, signals reach nobody but the process itself.

Source: https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from alphintra.platform.sandbox.syscalls import architecture, number

_PR_GET_SECCOMP: Final = 21
_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2
_PR_SET_NAME, _PR_GET_NAME = 15, 16

# struct seccomp_data: nr, arch, instruction pointer, six arguments of 64 bits, little endian.
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = 0, 4, 16

_LOAD, _IS, _HAS_ANY, _AND, _RETURN = 0x20, 0x15, 0x45, 0x54, 0x06
_ALLOW: Final = 0x7FFF0000
_KILL_PROCESS: Final = 0x80000000
_ERROR: Final = 0x00050000

#: A thread as every libc makes it, and no process: the memory of all is the memory of one.
_CLONE_THREAD: Final = 0x00010000
#: New namespaces (also of time and cgroups), vfork, a tracer, another parent, a pidfd.
_CLONE_NEVER: Final = 0x7E020000 | 0x80 | 0x1000 | 0x2000 | 0x4000 | 0x8000
_WRITING: Final = (
    os.O_WRONLY
    | os.O_RDWR
    | os.O_CREAT
    | os.O_TRUNC
    | os.O_APPEND
    | (os.O_TMPFILE & ~os.O_DIRECTORY)
)
_F_GET_SEALS: Final = 1034
_FCNTL: Final = (0, 1, 2, 3, 1030, _F_GET_SEALS)  # DUPFD, GETFD, SETFD, GETFL, DUPFD_CLOEXEC

#: Allowed whatever their arguments, the busiest first.
_ALWAYS: Final = (
    "read", "write", "futex", "clock_gettime", "mmap", "munmap", "mprotect", "madvise", "brk",
    "mremap", "close", "fstat", "newfstatat", "stat", "lstat", "statx", "lseek", "pread64",
    "readv", "writev", "preadv", "getdents64", "getcwd", "readlink", "readlinkat", "access",
    "faccessat", "faccessat2", "dup", "dup2", "dup3", "close_range", "msync", "fadvise64",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait",
    "rt_sigsuspend", "sigaltstack", "pause", "alarm", "getitimer", "setitimer", "poll", "ppoll",
    "select", "pselect6", "nanosleep", "clock_nanosleep", "clock_getres", "gettimeofday", "time",
    "times", "getrusage", "getrlimit", "getrandom", "getcpu", "sched_yield", "sched_getaffinity",
    "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "uname", "sysinfo",
    "set_tid_address", "set_robust_list", "rseq", "restart_syscall", "exit", "exit_group",
)  # fmt: skip
#: Answered with "there is no such call", so that libraries take the older way.
_ABSENT: Final = ("clone3", "openat2")


class Instruction(NamedTuple):
    """One step of the kernel's filter machine; jumps count the steps in between."""

    code: int
    operand: int
    if_true: int = 0
    if_false: int = 0


def allow_list(pid: int, *, threads: bool) -> list[Instruction]:
    """Return the filter for the process `pid`, whose signals to itself are its own affair.

    Args:
        threads: whether it may have more than one.
    """
    allow, deny = Instruction(_RETURN, _ALLOW), _refusal(errno.EPERM)
    steps = [
        Instruction(_LOAD, _AT_ARCHITECTURE),
        Instruction(_IS, architecture() or 0, if_true=1),
        # Calls of another architecture have other numbers.
        Instruction(_RETURN, _KILL_PROCESS),
        Instruction(_LOAD, _AT_NUMBER),
    ]
    for name in _ALWAYS:
        steps += _case(name, [allow])
    steps += _case("openat", [*_unless_any(2, _WRITING), _refusal(errno.EACCES)])
    steps += _case("open", [*_unless_any(1, _WRITING), _refusal(errno.EACCES)])
    steps += _case("clone", [*(_thread_only() if threads else ()), deny])
    for name in ("kill", "tgkill"):
        steps += _case(name, [*_if_one_of(0, (pid,)), deny])
    steps += _case("fcntl", [*_if_one_of(1, _FCNTL), deny])
    steps += _case("prctl", [*_if_one_of(0, (_PR_SET_NAME, _PR_GET_NAME)), deny])
    steps += _case("prlimit64", [*_only_asking(pid), deny])
    steps += _case("ioctl", [_refusal(errno.ENOTTY)])
    for name in _ABSENT:
        steps += _case(name, [_refusal(errno.ENOSYS)])
    return [*steps, deny]


def deny_list(names: Iterable[str], error: int) -> list[Instruction]:
    """Return a filter that answers `error` to these calls and allows all others."""
    steps = [Instruction(_LOAD, _AT_NUMBER)]
    for name in names:
        steps += _case(name, [_refusal(error)])
    return [*steps, Instruction(_RETURN, _ALLOW)]


def is_available() -> bool:
    """Return whether this kernel and this machine have what `install` needs."""
    return architecture() is not None and _libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) >= 0


def install(steps: Sequence[Instruction]) -> None:
    """Put the filter on this thread and all that come of it, for ever.

    The process has to have given up new privileges (`no_new_privs`) before.

    Raises:
        OSError: the kernel did not take it.
    """
    code = b"".join(
        struct.pack("=HBBI", one.code, one.if_true, one.if_false, one.operand) for one in steps
    )
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(length=len(steps), steps=ctypes.cast(buffer, ctypes.c_void_p))
    if _libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


_libc: Final = ctypes.CDLL(None, use_errno=True)


def _refusal(error: int) -> Instruction:
    return Instruction(_RETURN, _ERROR | error)


def _case(name: str, then: Sequence[Instruction]) -> list[Instruction]:
    """Return `if number == name: then`; `then` ends in a return."""
    nr = number(name)
    return [] if nr is None else [Instruction(_IS, nr, if_false=len(then)), *then]


def _argument(index: int, *, high: bool = False) -> Instruction:
    return Instruction(_LOAD, _AT_ARGUMENTS + 8 * index + (4 if high else 0))


def _unless_any(index: int, bits: int) -> list[Instruction]:
    """Allow when the argument, an int, has none of the bits."""
    return [
        _argument(index),
        Instruction(_HAS_ANY, bits, if_true=1),
        Instruction(_RETURN, _ALLOW),
    ]


def _if_one_of(index: int, values: Sequence[int]) -> list[Instruction]:
    """Allow when the argument, an int, is one of these."""
    steps = [_argument(index)]
    for value in values:
        steps += [Instruction(_IS, value, if_false=1), Instruction(_RETURN, _ALLOW)]
    return steps


def _thread_only() -> list[Instruction]:
    return [
        _argument(0),
        Instruction(_HAS_ANY, _CLONE_NEVER, if_true=2),
        Instruction(_HAS_ANY, _CLONE_THREAD, if_false=1),
        Instruction(_RETURN, _ALLOW),
    ]


def _only_asking(pid: int) -> list[Instruction]:
    """Allow prlimit64 of the process itself when it has no new limits to set."""
    return [
        _argument(2),
        Instruction(_IS, 0, if_false=6),
        _argument(2, high=True),
        Instruction(_IS, 0, if_false=4),
        _argument(0),
        Instruction(_IS, 0, if_true=1),
        Instruction(_IS, pid, if_false=1),
        Instruction(_RETURN, _ALLOW),
    ]
