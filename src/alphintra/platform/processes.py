"""Child processes that end with their parent and are started again, within bounds, when they die.

`Managed` keeps one process alive, `Crew` our own Python processes (`alphintra serve …`).
Nothing here waits for anything but the end of a process: the supervisor calls `tend` in its loop.

The death of the parent reaches a child by `PR_SET_PDEATHSIG`. The kernel clears that setting when a
process changes its user, so it is set after the change; and it fires when the *thread* that forked
ends, so only the main thread may start a child.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from alphintra.core.errors import Unavailable

#: Names of the two file descriptors that a child of `Crew` finds in its environment.
GATE_VARIABLE = "ALPHINTRA_GATE_FD"
READY_VARIABLE = "ALPHINTRA_READY_FD"

#: A log file that grew beyond this is moved to `<name>.1` and started again.
LOG_BYTES_MAX = 50_000_000

_PR_SET_PDEATHSIG = 1
# Resolved before any fork: between fork and exec only the call itself may happen.
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An operating-system user that a child runs as."""

    name: str
    uid: int
    gid: int


class ProcessKeepsDying(Unavailable):
    """A process died too often. Read the end of its log, mend the cause and start again."""

    code = "process_keeps_dying"


class ProcessDidNotStart(Unavailable):
    """A process did not become ready in time. Read the end of its log."""

    code = "process_did_not_start"


def spawn(
    argv: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    death_signal: signal.Signals,
    log: Path | None = None,
    account: Account | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a process that receives `death_signal` the moment this process is gone.

    It gets a session of its own, so Ctrl-C reaches only the supervisor, which ends the children in
    the right order.

    Args:
        log: file that takes both output streams; `None` leaves them where ours go.
        account: user to run as, which only root can ask for; `None` stays who we are.

    Raises:
        RuntimeError: not called from the main thread.
        OSError: the program cannot be run.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("children end with the thread that starts them: start them from main")
    parent = os.getpid()

    def tie() -> None:
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the line above
            os._exit(1)

    output = None if log is None else open_log(log)
    try:
        return subprocess.Popen(
            [str(part) for part in argv],
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
            umask=0o077,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
            # Safe here: one call into a library that is loaded already, and CPython runs it after
            # setgroups, setgid and setuid.
            preexec_fn=tie,
        )
    finally:
        if output is not None:
            os.close(output)


def open_log(path: Path) -> int:
    """Open a log file for appending, readable by its owner only."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def bound_log(path: Path) -> None:
    """Move a log that grew too large aside; writers keep their descriptor and go on."""
    try:
        if path.stat().st_size < LOG_BYTES_MAX:
            return
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)
    except FileNotFoundError:
        return


def end_of_log(path: Path | None, *, lines: int = 15) -> str:
    """Return the last lines of a log for an error message, or what to look at instead."""
    if path is None:
        return "(its output is above)"
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return "(it wrote nothing)"
    return "\n".join(text.splitlines()[-lines:]) or "(it wrote nothing)"


@dataclass(slots=True)
class Backoff:
    """How often a process that died is started again, and after which pause."""

    restarts_max: int = 8
    window_s: float = 60.0
    delay_first_s: float = 0.05
    delay_max_s: float = 5.0
    _deaths: list[float] = field(default_factory=list)

    def delay_s(self, *, now_s: float) -> float | None:
        """Record a death; return the pause before the next start, or `None` to give up."""
        self._deaths = [at for at in self._deaths if now_s - at < self.window_s]
        self._deaths.append(now_s)
        if len(self._deaths) > self.restarts_max:
            return None
        return float(min(self.delay_max_s, self.delay_first_s * 3 ** (len(self._deaths) - 1)))


@dataclass(frozen=True, slots=True)
class StopStep:
    """One attempt to end a process: the signal and how long to wait for its effect."""

    signal: signal.Signals
    grace_s: float


class Managed:
    """One process that is meant to run until it is told to stop."""

    def __init__(
        self,
        name: str,
        start: Callable[[], subprocess.Popen[bytes]],
        *,
        stop_steps: Sequence[StopStep],
        log: Path | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._start = start
        self._stop_steps = tuple(stop_steps)
        self._backoff = backoff or Backoff()
        self._process: subprocess.Popen[bytes] | None = None
        self._start_again_at_s: float | None = None

    @property
    def pid(self) -> int | None:
        """The process id, or `None` while there is no process."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there at this moment."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process."""
        self._start_again_at_s = None
        self._process = self._start()

    def tend(self, *, now_s: float) -> str | None:
        """Notice a death and start again when the pause is over.

        Args:
            now_s: monotonic time in seconds.

        Returns:
            A sentence about what happened, or `None` when nothing did.

        Raises:
            ProcessKeepsDying: it died more often than `Backoff` allows.
        """
        if self._start_again_at_s is not None:
            if now_s < self._start_again_at_s:
                return None
            self.start()
            return f"{self.name} was started again (process {self.pid})"
        if self._process is None or self._process.poll() is None:
            return None
        ended = describe_end(self._process.returncode)
        delay_s = self._backoff.delay_s(now_s=now_s)
        self._process = None
        if delay_s is None:
            raise ProcessKeepsDying(
                f"{self.name} {ended}, again and again. The end of its log:\n"
                f"{end_of_log(self.log)}",
                process=self.name,
            )
        self._start_again_at_s = now_s + delay_s
        return f"{self.name} {ended}; starting it again in {delay_s:.2g} s"

    @property
    def stop_attempts(self) -> int:
        """How many signals there are to try, the last of them SIGKILL."""
        return len(self._stop_steps)

    def send_stop(self, attempt: int) -> float:
        """Send the signal of this attempt; return how many seconds to wait for its effect."""
        self._start_again_at_s = None
        if self._process is None or self._process.poll() is not None:
            return 0.0
        step = self._stop_steps[min(attempt, len(self._stop_steps) - 1)]
        self._process.send_signal(step.signal)
        return step.grace_s

    def wait(self, *, until_s: float) -> None:
        """Wait for the end of the process, at most until a monotonic time in seconds."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(max(0.0, until_s - time.monotonic()))

    def bury(self) -> None:
        """Kill what the process left behind in its session and forget it."""
        if self._process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def check_started(self) -> None:
        """Refuse to wait longer for a process that is gone.

        Raises:
            ProcessDidNotStart: it ended before it was ready.
        """
        if self._process is None or self._process.poll() is None:
            return
        raise ProcessDidNotStart(
            f"{self.name} {describe_end(self._process.returncode)} before it was ready. "
            f"The end of its log:\n{end_of_log(self.log)}",
            process=self.name,
        )


def stop_all(processes: Sequence[Managed]) -> None:
    """End all of them at once: each signal goes to all before anyone waits."""
    for attempt in range(max((managed.stop_attempts for managed in processes), default=0)):
        signalled = [(managed, managed.send_stop(attempt)) for managed in processes]
        now_s = time.monotonic()
        for managed, grace_s in signalled:
            managed.wait(until_s=now_s + grace_s)
    for managed in processes:
        managed.bury()


def describe_end(code: int | None) -> str:
    """Say how a process ended, from the code that `Popen.poll` gave."""
    if code is None:
        return "is running"
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"ended with code {code}"


class _PythonProcess:
    """One `python -m alphintra …` with its gate and its sign of readiness."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        environment: Mapping[str, str],
        log: Path | None,
    ) -> None:
        self._argv = tuple(argv)
        self._environment = environment
        self._log = log
        self._gate: int | None = None
        self._gate_is_open = False
        self._ready: int | None = None
        self.is_ready = False
        self.managed = Managed(
            name,
            self._spawn,
            log=log,
            stop_steps=(StopStep(signal.SIGTERM, 8.0), StopStep(signal.SIGKILL, 2.0)),
        )

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.close()
        self.is_ready = False
        gate_read, gate_write = os.pipe()
        ready_read, ready_write = os.pipe()
        os.set_blocking(ready_read, False)
        try:
            process = spawn(
                self._argv,
                environment={
                    **self._environment,
                    GATE_VARIABLE: str(gate_read),
                    READY_VARIABLE: str(ready_write),
                },
                # Everything a client was told is in the database, so the hardest signal is also
                # the right one: no half-dead process goes on without its supervisor.
                death_signal=signal.SIGKILL,
                log=self._log,
                pass_fds=(gate_read, ready_write),
            )
        finally:
            os.close(gate_read)
            os.close(ready_write)
        self._gate, self._ready = gate_write, ready_read
        if self._gate_is_open:
            self.open_gate()
        return process

    def open_gate(self) -> None:
        self._gate_is_open = True
        if self._gate is not None:
            with suppress(BrokenPipeError):  # it died; `tend` sees that
                os.write(self._gate, b"1")
            os.close(self._gate)
            self._gate = None

    def look(self) -> bool:
        if self._ready is not None and not self.is_ready:
            try:
                self.is_ready = os.read(self._ready, 64) != b""
            except BlockingIOError:
                return False
        return self.is_ready

    def close(self) -> None:
        for descriptor in (self._gate, self._ready):
            if descriptor is not None:
                os.close(descriptor)
        self._gate = self._ready = None


class Crew:
    """Our own Python processes, each running some roles: `python -m alphintra serve ROLE…`.

    A process begins with its imports, which take longest, then waits at the gate (`wait_for_start`)
    until the supervisor has prepared the database, and says when it serves (`announce_ready`).

    They run as whoever started the supervisor, also when that is root: the interpreter and the
    installed package often lie where only that user can read them (a virtual environment under
    /root), and a product that runs as one user on one machine and as another on the next has twice
    the ways to fail. Who does not want a root server starts it as an ordinary user, as the
    container image does.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        log_dir: Path | None,
        program: Sequence[str | Path] = (sys.executable, "-m", "alphintra"),
    ) -> None:
        """Prepare to start processes that share an environment.

        Args:
            environment: all of it. Addresses and secrets travel here, not in the arguments, which
                every user of the machine can list.
            log_dir: folder for `<name>.log`; `None` passes their output through to ours.
            program: what the arguments of `start` are appended to.
        """
        self._program = tuple(program)
        self._environment = dict(environment)
        self._log_dir = log_dir
        self._members: dict[str, _PythonProcess] = {}
        self._gate_is_open = False

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Start a process under a name of its own, e.g. `("front", ["serve", "api", "desk"])`."""
        if name in self._members:
            raise ValueError(f"there is a process {name!r} already")
        log = None if self._log_dir is None else self._log_dir / f"{name}.log"
        member = _PythonProcess(name, (*self._program, *arguments), self._environment, log)
        self._members[name] = member
        member.managed.start()
        if self._gate_is_open:
            member.open_gate()

    def open_gate(self) -> None:
        """Let the processes begin their work; those started later do not wait at all."""
        self._gate_is_open = True
        for member in self._members.values():
            member.open_gate()

    def ready(self) -> bool:
        """Whether every process has announced that it serves.

        Raises:
            ProcessDidNotStart: one of them ended first.
        """
        all_ready = True
        for member in self._members.values():
            if not member.look():
                member.managed.check_started()
                all_ready = False
        return all_ready

    def tend(self, *, now_s: float) -> list[str]:
        """Start again what died; return a sentence for each thing that happened.

        Raises:
            ProcessKeepsDying: one of them died too often.
        """
        said: list[str] = []
        for member in self._members.values():
            member.look()
            if (news := member.managed.tend(now_s=now_s)) is not None:
                said.append(news)
            if member.managed.log is not None:
                bound_log(member.managed.log)
        return said

    def pids(self) -> dict[str, int | None]:
        """Return the process id of each member."""
        return {name: member.managed.pid for name, member in self._members.items()}

    def stop(self) -> None:
        """End all of them: SIGTERM, then SIGKILL for those that do not listen."""
        stop_all([member.managed for member in self._members.values()])
        for member in self._members.values():
            member.close()


def wait_for_start() -> None:
    """Wait until the supervisor has prepared the database; called after the imports.

    Returns at once in a process that no supervisor started.

    Raises:
        SystemExit: the supervisor went away.
    """
    if (descriptor := _inherited(GATE_VARIABLE)) is None:
        return
    opened = os.read(descriptor, 1)
    os.close(descriptor)
    if not opened:
        raise SystemExit("the supervisor went away before the start")


class _Announcement:
    """What this process still has to do before its supervisor hears that it is ready."""

    def __init__(self) -> None:
        self.awaited: set[str] = set()
        self.is_due = False

    def make(self) -> None:
        if self.awaited or not self.is_due:
            return
        if (descriptor := _inherited(READY_VARIABLE)) is None:
            return
        try:
            os.write(descriptor, b"ready\n")
        finally:
            os.close(descriptor)


# One process has one supervisor.
_announcement = _Announcement()


def expect_work(part: str) -> None:
    """Let `announce_ready` wait until this part has said `work_began`."""
    _announcement.awaited.add(part)


def work_began(part: str) -> None:
    """Say that a part of this process is at work; harmless where nobody waits for it."""
    _announcement.awaited.discard(part)
    _announcement.make()


def announce_ready() -> None:
    """Tell the supervisor that this process serves; without a supervisor nothing happens.

    Parts that were named by `expect_work` are waited for, without blocking.
    """
    _announcement.is_due = True
    _announcement.make()


def _inherited(variable: str) -> int | None:
    # Taken out of the environment, so that no grandchild believes the number to be its own.
    value = os.environ.pop(variable, None)
    return None if value is None else int(value)
