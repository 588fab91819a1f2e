"""A child from its fork to its end: its descriptors, its walls, then the code it is there for."""

import faulthandler
import fcntl
import importlib
import os
import random
import resource
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn

from alphintra.platform.sandbox.channel import Channel
from alphintra.platform.sandbox.confinement import confine, die_with_parent
from alphintra.platform.sandbox.limits import Limits

#: How a child says that Python found no memory any more.
OUT_OF_MEMORY_CODE: Final = 86
#: Kept to say so with: what has taken all memory is still held then.
_RESERVE_BYTES: Final = 1 << 20
_CHANNEL: Final = 3
_FIRST_FREE: Final = 4
_ABOVE_ALL: Final = 256


def become(
    entry: str,
    limits: Limits,
    *,
    channel: int,
    output: int,
    readable: Sequence[int],
    shared: Sequence[int],
    shared_bytes: int,
    ruleset_fd: int | None,
    nursery: int,
) -> NoReturn:
    """Be the child: close everything but what was given, confine, run the entry, exit.

    Args:
        entry: "package.module:function", called with the `Channel`.
    """
    code = 1
    try:
        die_with_parent(nursery)
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(one, signal.SIG_DFL)
        ruleset = _arrange([channel, *readable, *shared], output, ruleset_fd)
        sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115
        faulthandler.enable(2)
        files = tuple(range(_FIRST_FREE, _FIRST_FREE + len(readable)))
        memory = tuple(
            range(_FIRST_FREE + len(readable), _FIRST_FREE + len(readable) + len(shared))
        )
        _reseed()
        confine(limits, ruleset_fd=ruleset, shared_bytes=shared_bytes)
        code = _run(entry, Channel(_CHANNEL, readable=files, shared=memory))
    except BaseException:
        _print_exception()
    finally:
        os._exit(code)


def _arrange(given: Sequence[int], output: int, ruleset_fd: int | None) -> int | None:
    """Put the descriptors where they belong and close all others; return the ruleset's place."""
    wanted = [os.open(os.devnull, os.O_RDONLY), output, output, *given]
    if ruleset_fd is not None:
        wanted.append(ruleset_fd)
    # Out of the way first: a target may be another's source.
    high = [fcntl.fcntl(one, fcntl.F_DUPFD, _ABOVE_ALL) for one in wanted]
    for target, source in enumerate(high):
        os.dup2(source, target, inheritable=target <= 2)
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.closerange(len(wanted), most)
    return len(wanted) - 1 if ruleset_fd is not None else None


def _reseed() -> None:
    """Give each child random numbers of its own; the standard library's do so by themselves."""
    random.seed()
    numpys: Any = sys.modules.get("numpy.random")  # loaded later, they seed themselves
    if numpys is not None:
        numpys.seed()


def _run(entry: str, channel: Channel) -> int:
    module, _, name = entry.partition(":")
    reserve = bytearray(_RESERVE_BYTES)
    try:
        getattr(importlib.import_module(module), name)(channel)
    except MemoryError:
        del reserve
        _print_exception()
        return OUT_OF_MEMORY_CODE
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        _print_exception()
        return 1
    finally:
        _flush()
    return 0


def _print_exception() -> None:
    try:
        traceback.print_exc()
    except BaseException:
        os._exit(1)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
