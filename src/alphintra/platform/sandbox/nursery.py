"""The nursery: a process with one thread that has everything imported and forks on demand.

    python -s -P -m alphintra.platform.sandbox.nursery FD

Its parent speaks to it over the socket FD. It never hears a child, and it never holds what belongs
to a user: what a child works with goes from the parent to the child alone. When the parent is gone,
it ends, and the kernel ends its children with it.
"""

import gc
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alphintra.platform.sandbox import compiled_code, landlock, seccomp
from alphintra.platform.sandbox.confinement import die_with_parent, drop_privileges
from alphintra.platform.sandbox.inside import become
from alphintra.platform.sandbox.limits import MIB, Limits
from alphintra.platform.sandbox.preloading import preload
from alphintra.platform.sandbox.probing import PROBE, explain
from alphintra.platform.sandbox.wire import (
    DESCRIPTORS_MAX,
    MESSAGE_BYTES_MAX,
    FromNursery,
    Gone,
    Open,
    Opened,
    Refused,
    Start,
    Started,
    encode,
    to_nursery,
)

#: How often children are looked at: what no limit of the kernel bounds is bounded here.
_LOOK_MS: Final = 100
#: Whoever keeps several threads computing for so long gives way to everybody else.
_GREEDY_S: Final = 1.0
_NICEST: Final = 19
_FILES_MAX: Final = 4_096
#: The kernel's count of resident pages is late by some; and libraries are pages too.
_RESIDENT_SLACK: Final = 64 * MIB
_PAGE: Final = resource.getpagesize()


class _CannotOpen(Exception):
    """The reason why this nursery is none."""


@dataclass(slots=True, kw_only=True)
class _Child:
    id: int
    pid: int
    limits: Limits
    shared_bytes: int
    note: str = ""
    #: Since when several of its threads have been computing at every look.
    greedy_since_s: float | None = None


class Nursery:
    """Forks children, watches over them, and tells the parent how they ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._children: dict[int, _Child] = {}
        self._pid = os.getpid()
        self._ruleset_fd: int | None = None
        self._resident_bytes = 0

    def run(self) -> None:
        """Open as the parent says, then serve until it is gone."""
        first, _ = self._receive()
        if not isinstance(first, Open):
            return
        try:
            self._open(first)
        except _CannotOpen as error:
            self._send(Refused(detail=str(error)))
            return
        self._send(Opened(landlock=landlock.version(), compiled=len(compiled_code.missed)))
        while True:
            for fd, _ in self._poll.poll(_LOOK_MS if self._children else None):
                if fd in self._children:
                    self._bury(fd)
                elif fd == self._control.fileno():
                    order, given = self._receive()
                    if not isinstance(order, Start):
                        return
                    self._start(order, given)
            self._look()

    def _open(self, order: Open) -> None:
        die_with_parent(os.getppid())
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = _FILES_MAX if hard == resource.RLIM_INFINITY else min(_FILES_MAX, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        if not seccomp.is_available():
            raise _CannotOpen("this machine or kernel has no seccomp filters")
        if landlock.version():
            self._ruleset_fd = landlock.rules(map(Path, order.readable))
        elif not order.has_bubblewrap:
            raise _CannotOpen("this kernel has no Landlock, or it is switched off")
        if not order.has_bubblewrap and os.getuid() != 0 and _hides_processes():
            raise _CannotOpen("/proc hides the children that are to be watched (hidepid)")
        try:
            drop_privileges()
        except OSError as error:
            raise _CannotOpen(f"privileges cannot be given up: {error}") from error
        sys.path[:0] = order.import_from
        for name in order.preload:
            try:
                preload(name)
            except Exception as error:
                told = f"{type(error).__name__}: {error}"
                raise _CannotOpen(f"cannot preload {name}: {told}") from error
        threads = len(list(Path("/proc/self/task").iterdir()))
        if threads != 1:
            raise _CannotOpen(f"the preloaded modules started {threads - 1} threads")
        # What is there from here on is never collected, so its pages stay shared.
        gc.collect()
        gc.freeze()
        self._resident_bytes = _status(os.getpid())[1]
        self._try_walls()

    def _try_walls(self) -> None:
        """Have a child try what must not work.

        Raises:
            _CannotOpen: something did work.
        """
        ours, its = socket.socketpair()
        output, its_output = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._forget()
            become(
                PROBE,
                Limits(),
                channel=its.detach(),
                output=its_output,
                readable=(),
                shared=(),
                shared_bytes=0,
                ruleset_fd=self._ruleset_fd,
                nursery=self._pid,
            )
        its.close()
        os.close(its_output)
        with ours, os.fdopen(output, "rb") as said:
            text = said.read(4_096).decode(errors="replace")
            _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code != 0:
            raise _CannotOpen(f"the walls do not hold: {explain(code, text)}")

    def _start(self, order: Start, given: list[int]) -> None:
        try:
            pid = os.fork()
        except OSError:
            pid = -1
        if pid == 0:
            self._forget()
            channel, output, *rest = given
            become(
                order.entry,
                order.limits,
                channel=channel,
                output=output,
                readable=rest[: order.readable],
                shared=rest[order.readable :],
                shared_bytes=sum(order.shared_bytes),
                ruleset_fd=self._ruleset_fd,
                nursery=self._pid,
            )
        for fd in given:
            os.close(fd)
        if pid < 0:
            self._send(Started(id=order.id))
            return
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = _Child(
            id=order.id, pid=pid, limits=order.limits, shared_bytes=sum(order.shared_bytes)
        )
        self._poll.register(pidfd, select.POLLIN)
        self._send(Started(id=order.id), [pidfd])

    def _forget(self) -> None:
        """In the child: let no object of ours close a descriptor that is the child's by then."""
        self._control.detach()

    def _bury(self, pidfd: int) -> None:
        child = self._children.pop(pidfd)
        self._poll.unregister(pidfd)
        _, status, used = os.wait4(child.pid, 0)
        os.close(pidfd)
        code = os.waitstatus_to_exitcode(status)
        self._send(
            Gone(
                id=child.id,
                exit_code=code if code >= 0 else None,
                signal=-code if code < 0 else None,
                cpu_s=used.ru_utime + used.ru_stime,
                memory_bytes_max=used.ru_maxrss * 1024,
                note=child.note,
            )
        )

    def _look(self) -> None:
        """End children with too many threads, or more memory than the kernel should have given."""
        for pidfd, child in self._children.items():
            threads, resident = _status(child.pid)
            most = self._resident_bytes + child.limits.memory_bytes + child.shared_bytes
            if threads > 1 and child.limits.niceness == 0:
                _put_back_if_greedy(child)
            if threads > child.limits.threads:
                child.note = f"it had {threads} threads, {child.limits.threads} are the most"
            elif resident > most + _RESIDENT_SLACK:
                child.note = f"it took {resident // MIB} MiB of memory"
            else:
                continue
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def _receive(self) -> tuple[Open | Start | None, list[int]]:
        """Return the parent's next message; None: it is gone."""
        body, given, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES_MAX, DESCRIPTORS_MAX)
        return (to_nursery.decode(body) if body else None), given

    def _send(self, message: FromNursery, given: Sequence[int] = ()) -> None:
        try:
            socket.send_fds(self._control, [encode(message)], list(given))
        except OSError:  # the parent is gone, and we with it
            sys.exit(0)


def _put_back_if_greedy(child: _Child) -> None:
    """Let a child that wants more than one core for long have one, and there what others leave.

    On every core its threads would be in the way of those who wake up to answer a tick: even the
    nicest keeps the core for the rest of its turn, some milliseconds. There is no way back.
    """
    threads = list(_threads(child.pid))
    now_s = time.monotonic()
    if sum(is_computing for _, is_computing in threads) < 2:
        child.greedy_since_s = None
    elif child.greedy_since_s is None:
        child.greedy_since_s = now_s
    elif now_s - child.greedy_since_s >= _GREEDY_S:
        cores = sorted(os.sched_getaffinity(0))
        cores = cores[1:] or cores  # the first one is left to everybody else
        core = cores[child.id % len(cores)]
        # A thread that is made later inherits all of it.
        for thread, _ in threads:
            with suppress(OSError):  # it has ended, or the core is ours no more
                os.setpriority(os.PRIO_PROCESS, thread, _NICEST)
                os.sched_setaffinity(thread, {core})


def _threads(pid: int) -> Iterator[tuple[int, bool]]:
    """Yield the threads of a process, and whether each computes or waits for a core."""
    try:
        for entry in os.scandir(f"/proc/{pid}/task"):
            text = Path(entry.path, "stat").read_bytes()
            yield int(entry.name), text.rpartition(b")")[2].split()[0] == b"R"
    except OSError:  # it is gone
        return


def _hides_processes() -> bool:
    """Return whether /proc shows an ordinary user only what he may trace."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    options = [line.rpartition(" ")[2] for line in mounts if line.split()[4] == "/proc"]
    return any("hidepid=" in one and "hidepid=0" not in one for one in options)


def _status(pid: int) -> tuple[int, int]:
    """Return the number of threads of a process and its resident bytes; zeros when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0, 0
    # The second field is the program's name, in brackets, and may hold anything.
    fields = text.rpartition(b")")[2].split()
    return int(fields[17]), int(fields[21]) * _PAGE


def main() -> None:
    """Be the nursery of the process at the other end of the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Nursery(socket.socket(fileno=int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
