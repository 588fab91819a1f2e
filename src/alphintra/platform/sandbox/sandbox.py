"""Users' code in processes of its own: `Sandbox` opens a nursery and starts children in it."""

import asyncio
import fcntl
import os
import signal
import socket
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from alphintra.platform.sandbox import bubblewrap
from alphintra.platform.sandbox.child import Child
from alphintra.platform.sandbox.errors import SandboxUnavailable
from alphintra.platform.sandbox.frames import Frames
from alphintra.platform.sandbox.limits import Limits
from alphintra.platform.sandbox.output import Output
from alphintra.platform.sandbox.places import environment, python, readable_places
from alphintra.platform.sandbox.wire import (
    DESCRIPTORS_MAX,
    MESSAGE_BYTES_MAX,
    Gone,
    Open,
    Opened,
    Refused,
    Start,
    Started,
    encode,
    from_nursery,
)

#: Preloading compiles what is not compiled yet, on a busy machine.
OPEN_TIMEOUT_S: Final = 180.0
START_TIMEOUT_S: Final = 30.0
_READ_ONLY_CACHE: Final = "alphintra.platform.sandbox.compiled_code:read_only"
_FOREVER: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

log = structlog.get_logger(__name__)


class Isolation(StrEnum):
    """What to isolate with; AUTO takes bubblewrap where it works, else Landlock alone."""

    AUTO = "auto"
    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"


def isolation_of(wanted: Isolation | str | None) -> Isolation:
    """Return what to isolate with; None: what the settings say."""
    if wanted is None:
        # The nursery imports this package too, and has no use for settings.
        from alphintra.platform.settings import load_settings

        wanted = load_settings().sandbox
    return Isolation(wanted)


class Mode(StrEnum):
    """What isolates: Landlock and seccomp, with bubblewrap around them, or nothing does."""

    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"
    NONE = "none"


def memory(size: int, *, name: str = "shared") -> int:
    """Return a file descriptor of zeroed memory of a fixed size, to lend to children.

    Its size never changes, so neither side can pull the other's pages away. Seal it against writing
    with `seal` when children should only read it; a start fixes who may write for good.
    """
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    except BaseException:
        os.close(fd)
        raise
    return fd


def seal(fd: int) -> None:
    """Let nobody write to this memory any more, the parent included.

    Raises:
        OSError: somebody has it mapped for writing.
    """
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


class Sandbox:
    """A nursery and its children.

        async with Sandbox(preload=("pandas",)) as box:
            child = await box.start("some.module:serve", limits=Limits())
            answer = await child.call(b"...", timeout_s=1.0)

    Args:
        preload: what the nursery imports before it forks, so that children start with it: modules,
            or "module:function" to be called once (to load compiled code).
        isolation: what to isolate with; None: what the settings say.
        import_from: more folders with modules.
    """

    def __init__(
        self,
        *,
        preload: Sequence[str] = (),
        isolation: Isolation | str | None = None,
        import_from: Iterable[Path] = (),
    ) -> None:
        self._preload = tuple(preload)
        self._isolation = isolation_of(isolation)
        self._import_from = tuple(import_from)
        self._nursery: _Nursery | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._is_closed = False

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def mode(self) -> Mode:
        """What isolates the children."""
        return self._nursery.mode if self._nursery is not None else Mode.NONE

    async def open(self) -> None:
        """Start the nursery, unless there is one.

        Raises:
            SandboxUnavailable: nothing isolates on this host, or a preload failed.
        """
        async with self._opening:
            self._is_closed = False
            await self._open()

    async def prepare(self) -> None:
        """Compile what the nursery would have to compile, giving way to all else; then open it.

        Raises:
            SandboxUnavailable: as `open`.
        """
        if self._nursery is None and self._preparing is None:
            self._preparing = asyncio.create_task(self._prepare())
            await asyncio.wait({self._preparing})
        await self.open()

    async def close(self) -> None:
        """End the nursery and all children."""
        async with self._opening:
            self._is_closed = True
            if self._preparing is not None:
                preparing, self._preparing = self._preparing, None
                preparing.cancel()
                await asyncio.gather(preparing, return_exceptions=True)
            if self._nursery is not None:
                nursery, self._nursery = self._nursery, None
                await nursery.close()

    async def start(
        self,
        entry: str,
        *,
        limits: Limits,
        readable: Sequence[Path] = (),
        shared: Sequence[int] = (),
        name: str = "",
    ) -> Child:
        """Start a child that runs `entry`, "package.module:function", with its `Channel`.

        Args:
            readable: regular files that it may read, through the descriptors in
                `channel.readable`.
            shared: memory to lend, made by `memory`; in `channel.shared`.
            name: for logs.

        Raises:
            SandboxUnavailable: nothing isolates on this host, or no process could be made.
            OSError: a file cannot be opened.
        """
        async with self._opening:
            if self._is_closed:
                raise SandboxUnavailable("the sandbox is closed")
            nursery = await self._open()
        return await nursery.start(entry, limits, readable, shared, name)

    async def _open(self) -> "_Nursery":
        if self._nursery is not None and self._nursery.is_alive:
            return self._nursery
        if self._nursery is not None:
            log.warning("sandbox_nursery_lost")
            await self._nursery.close()
            self._nursery = None
        refusals = []
        for mode in self._modes():
            try:
                self._nursery = await _Nursery.open(mode, self._preload, self._import_from)
            except SandboxUnavailable as refusal:
                refusals.append(f"{mode}: {refusal.detail}")
            else:
                if self._nursery.compiled and self._preparing is None:
                    self._preparing = asyncio.create_task(self._prepare())
                return self._nursery
        raise SandboxUnavailable("; ".join(refusals))

    async def _prepare(self) -> None:
        """Compile for the next nursery what this one has compiled for itself only."""
        process = await asyncio.create_subprocess_exec(
            *python("alphintra.platform.sandbox.preloading", *self._preload),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/",
            env={**environment(), "PYTHONPATH": os.pathsep.join(map(str, self._import_from))},
        )
        try:
            if await process.wait() != 0:
                log.warning("sandbox_code_not_kept", preload=self._preload)
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise

    def _modes(self) -> tuple[Mode, ...]:
        match self._isolation:
            case Isolation.BUBBLEWRAP:
                return (Mode.BUBBLEWRAP,)
            case Isolation.LANDLOCK:
                return (Mode.LANDLOCK,)
            case Isolation.AUTO:
                return (Mode.BUBBLEWRAP, Mode.LANDLOCK)


class _Nursery:
    """One nursery process as its parent holds it."""

    def __init__(
        self, mode: Mode, process: asyncio.subprocess.Process, control: socket.socket
    ) -> None:
        self.mode = mode
        self.landlock = 0
        self.compiled = 0
        self.is_alive = True
        self._process = process
        # The process's own `kill` would reap it under the hands of asyncio's watcher.
        try:
            self._pidfd = os.pidfd_open(process.pid)
        except ProcessLookupError:  # it is gone already
            self._pidfd = -1
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._children: dict[int, Child] = {}
        self._starting: dict[int, asyncio.Future[int]] = {}
        self._early: dict[int, Gone] = {}
        self._opened: asyncio.Future[Opened | Refused] = self._loop.create_future()
        self._ids = 0
        self._stderr = asyncio.create_task(_last_words(process))

    @classmethod
    async def open(
        cls, mode: Mode, preload: Sequence[str], import_from: Sequence[Path]
    ) -> "_Nursery":
        places = readable_places(import_from)
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = python("alphintra.platform.sandbox.nursery", str(its.fileno()))
        if mode is Mode.BUBBLEWRAP:
            bwrap = bubblewrap.program()
            if bwrap is None:
                ours.close()
                its.close()
                raise SandboxUnavailable("it is not installed")
            command = bubblewrap.around(command, bwrap=bwrap, places=places)
        ours.setblocking(False)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                cwd="/",
                env=environment(),
                pass_fds=(its.fileno(),),
                start_new_session=True,  # a terminal's Ctrl-C is for its parent
            )
        except OSError as error:
            ours.close()
            raise SandboxUnavailable(f"the nursery cannot be started: {error}") from error
        finally:
            its.close()
        nursery = cls(mode, process, ours)
        nursery._loop.add_reader(ours, nursery._hear)
        order = Open(
            preload=(_READ_ONLY_CACHE, *preload) if preload else (),
            import_from=tuple(map(str, import_from)),
            readable=tuple(map(str, places)),
            has_bubblewrap=mode is Mode.BUBBLEWRAP,
        )
        try:
            await nursery._await_opened(order)
        except BaseException:
            await nursery.close()
            raise
        return nursery

    async def _await_opened(self, order: Open) -> None:
        with suppress(OSError):
            await self._post(encode(order), [])
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                answer = await self._opened
        except TimeoutError:
            raise SandboxUnavailable(f"the nursery did not open in {OPEN_TIMEOUT_S:g} s") from None
        finally:
            if not self._opened.done() or isinstance(self._opened.result(), Refused):
                self._kill()
        match answer:
            case Opened():
                self.landlock, self.compiled = answer.landlock, answer.compiled
            case Refused():
                # Its last word, and no more: what goes before it names folders of this host.
                said = (await self._stderr).strip().rpartition("\n")[2][:200]
                raise SandboxUnavailable(answer.detail or said or "its process ended at once")

    async def start(
        self,
        entry: str,
        limits: Limits,
        readable: Sequence[Path],
        shared: Sequence[int],
        name: str,
    ) -> Child:
        self._ids += 1
        number = self._ids
        channel, its_channel = socket.socketpair()
        output, its_output = os.pipe()
        files: list[int] = []
        started: asyncio.Future[int] = self._loop.create_future()
        self._starting[number] = started
        try:
            files.extend(_open_file(path) for path in readable)
            for one in shared:
                _fix_seals(one)
            order = Start(
                id=number,
                entry=entry,
                limits=limits,
                readable=len(files),
                shared_bytes=tuple(os.fstat(one).st_size for one in shared),
            )
            given = [its_channel.fileno(), its_output, *files, *shared]
            if len(given) > DESCRIPTORS_MAX:
                raise ValueError(f"a child is given {len(given)} descriptors; it may have 200")
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._post(encode(order), given)
                pidfd = await started
        except (OSError, TimeoutError) as error:
            channel.close()
            os.close(output)
            if isinstance(error, TimeoutError) or not self.is_alive:
                self._kill()
                raise SandboxUnavailable("the nursery does not answer") from error
            raise
        except BaseException:
            channel.close()
            os.close(output)
            raise
        finally:
            self._starting.pop(number, None)
            its_channel.close()
            os.close(its_output)
            for fd in files:
                os.close(fd)
        return self._adopt(number, name, limits, pidfd, channel, output)

    def _adopt(
        self,
        number: int,
        name: str,
        limits: Limits,
        pidfd: int,
        channel: socket.socket,
        output: int,
    ) -> Child:
        child = Child(
            name or f"child-{number}",
            limits=limits,
            pidfd=pidfd,
            frames=Frames(channel, limits.frame_bytes),
            output=Output(output, limits.output_bytes),
        )
        if number in self._early or not self.is_alive:
            child.bury(self._early.pop(number, None))
        else:
            self._children[number] = child
        return child

    async def close(self) -> None:
        for child in self._children.values():
            child.kill()
        self._kill()
        self._fail()
        await self._process.wait()
        await self._stderr
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def _hear(self) -> None:
        while self.is_alive:
            try:
                body, given, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES_MAX, 1)
            except BlockingIOError:
                return
            except OSError:
                body, given = b"", []
            if not body:
                self._fail()
                return
            match from_nursery.decode(body):
                case Opened() | Refused() as answer:
                    if not self._opened.done():
                        self._opened.set_result(answer)
                case Started() as started:
                    self._take(started, given)
                case Gone() as gone:
                    child = self._children.pop(gone.id, None)
                    if child is not None:
                        child.bury(gone)
                    else:
                        self._early[gone.id] = gone

    def _take(self, started: Started, given: list[int]) -> None:
        waiting = self._starting.get(started.id)
        if waiting is None or waiting.done():
            # Nobody wants it any more.
            for pidfd in given:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                os.close(pidfd)
        elif not given:
            waiting.set_exception(SandboxUnavailable("no process can be made now"))
        else:
            waiting.set_result(given[0])

    async def _post(self, body: bytes, given: Sequence[int]) -> None:
        while True:
            try:
                socket.send_fds(self._control, [body], list(given))
            except BlockingIOError:
                await asyncio.sleep(0.005)
            else:
                return

    def _fail(self) -> None:
        """The nursery is gone; so is everything in it."""
        if not self.is_alive:
            return
        self.is_alive = False
        self._loop.remove_reader(self._control)
        self._control.close()
        self._kill()
        if not self._opened.done():
            self._opened.set_result(Refused(detail=""))
        for waiting in self._starting.values():
            if not waiting.done():
                waiting.set_exception(SandboxUnavailable("the nursery ended"))
        children, self._children = self._children, {}
        for child in children.values():
            child.bury(None)

    def _kill(self) -> None:
        if self._pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)


async def _last_words(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    kept = b""
    while part := await process.stderr.read(4_096):
        kept = (kept + part)[-2_000:]
    return kept.decode(errors="replace")


def _fix_seals(fd: int) -> None:
    """Let a child change neither the size of lent memory nor who may write to it."""
    if fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _FOREVER != _FOREVER:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _FOREVER)


def _open_file(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{path} is not a regular file")
    return fd
