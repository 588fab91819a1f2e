"""A child as its parent holds it: frames both ways, its output, its end."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

from alphintra.platform.sandbox.errors import ChildEnded, ChildTimedOut
from alphintra.platform.sandbox.frames import Frames
from alphintra.platform.sandbox.inside import OUT_OF_MEMORY_CODE
from alphintra.platform.sandbox.limits import FRAME_BYTES_MAX, Ended, Limits, Reason
from alphintra.platform.sandbox.output import Output
from alphintra.platform.sandbox.wire import Gone

#: A child whose channel is closed has this long to be gone.
_LINGER_S: Final = 2.0
#: How Python, the loader, C++ and the compiler say that there is no memory left.
_NO_MEMORY: Final = (
    "MemoryError",
    "Cannot allocate memory",
    "failed to map segment",
    "std::bad_alloc",
    "out of memory",
)


class Child:
    """One process with somebody's code in it. `Sandbox.start` makes it.

    Nothing it says is believed: not who it is, not how long its frames are.
    """

    def __init__(
        self, name: str, *, limits: Limits, pidfd: int, frames: Frames, output: Output
    ) -> None:
        self.name = name
        self.limits = limits
        self.pid = _pid_of(pidfd)
        self._pidfd = pidfd
        self._frames = frames
        self._output = output
        self._ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._verdict: tuple[Reason, str] | None = None
        self._calling = asyncio.Lock()

    @property
    def ended(self) -> Ended | None:
        """How it ended, if it has."""
        return self._ended.result() if self._ended.done() else None

    async def send(self, body: bytes, *, timeout_s: float = 30.0) -> None:
        """Send a frame.

        Raises:
            ValueError: it is longer than `FRAME_BYTES_MAX`.
            ChildEnded: there is nobody to read it.
            ChildTimedOut: the child takes nothing; it is killed.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(body)
        except TimeoutError:
            raise await self._too_slow(f"it took nothing for {timeout_s:g} s") from None

    async def receive(self, *, timeout_s: float | None = None) -> bytes:
        """Return the next frame of the child.

        Raises:
            ChildEnded: it ended, or sent what is no frame.
            ChildTimedOut: it took too long; it is killed.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._receive()
        except TimeoutError:
            raise await self._too_slow(f"no answer in {timeout_s:g} s") from None

    async def call(self, body: bytes, *, timeout_s: float) -> bytes:
        """Send a frame and return the next one that comes; calls wait for each other.

        Raises:
            ChildEnded: it ended, or sent what is no frame.
            ChildTimedOut: it took too long; it is killed.
        """
        async with self._calling:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._send(body)
                    return await self._receive()
            except TimeoutError:
                raise await self._too_slow(f"no answer in {timeout_s:g} s") from None
            except asyncio.CancelledError:
                # The answer would be taken for that of the next call.
                self.kill()
                raise

    async def _send(self, body: bytes) -> None:
        if len(body) > FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {len(body)} bytes; {FRAME_BYTES_MAX} are the most")
        await self._frames.write(body)
        if self._frames.is_over and not self._frames.has_waiting:
            raise ChildEnded(await self._end())

    async def _receive(self) -> bytes:
        if (frame := await self._frames.next()) is None:
            raise ChildEnded(await self._end())
        return frame

    def output(self) -> str:
        """Return the last of what it printed, standard output and error together."""
        return self._output.text()

    @property
    def output_bytes_dropped(self) -> int:
        """How much of its output is not kept."""
        return self._output.dropped

    def finish(self) -> None:
        """Tell it that no more frames come: its `receive` returns None."""
        self._frames.finish()

    def kill(self) -> None:
        """End it at once; nothing it can do prevents that."""
        self._end_because(Reason.KILLED, "it was ended")

    def reject(self, detail: str) -> None:
        """End it because of what it sent."""
        self._end_because(Reason.BROKE_RULES, detail)

    async def wait(self) -> Ended:
        """Return how it ended, when it has."""
        return await asyncio.shield(self._ended)

    def bury(self, gone: Gone | None) -> None:
        """Take note of its end; None: the nursery is gone, and all its children with it."""
        if self._ended.done():
            return
        self._output.close()
        self._frames.close()
        if self._frames.fault and self._verdict is None:
            self._verdict = (Reason.BROKE_RULES, self._frames.fault)
        self._ended.set_result(self._judge(gone))
        os.close(self._pidfd)

    def _judge(self, gone: Gone | None) -> Ended:
        if gone is None:
            reason, detail = self._verdict or (Reason.CRASHED, "the nursery of all children ended")
            return Ended(reason=reason, detail=detail)
        reason, detail = self._verdict or _read(gone, self.limits, self._output.text())
        return Ended(
            reason=reason,
            detail=detail,
            exit_code=gone.exit_code,
            signal=gone.signal,
            cpu_s=gone.cpu_s,
            memory_bytes_max=gone.memory_bytes_max,
        )

    def _end_because(self, reason: Reason, detail: str) -> None:
        if self._ended.done():
            return
        if self._verdict is None:
            self._verdict = (reason, detail)
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def _too_slow(self, detail: str) -> ChildTimedOut:
        self._end_because(Reason.KILLED, detail)
        return ChildTimedOut(await self.wait())

    async def _end(self) -> Ended:
        """Return how it ended; one that has only closed its channel is ended."""
        if self._frames.fault:
            self.reject(self._frames.fault)
        try:
            async with asyncio.timeout(_LINGER_S):
                return await self.wait()
        except TimeoutError:
            self.reject("it closed its channel and lived on")
            return await self.wait()


def _pid_of(pidfd: int) -> int:
    """Return the process's number as this process sees it; in a namespace it has another one."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        if line.startswith("Pid:"):
            return int(line.split()[1])
    return -1


def _read(gone: Gone, limits: Limits, output: str) -> tuple[Reason, str]:
    """Return what the kernel's word means."""
    last = output.rstrip().rpartition("\n")[2][-300:]
    if gone.note:
        is_memory = "memory" in gone.note
        return (Reason.OUT_OF_MEMORY if is_memory else Reason.BROKE_RULES), gone.note
    if gone.signal is None:
        if gone.exit_code == 0:
            return Reason.EXITED, "it is done"
        if gone.exit_code == OUT_OF_MEMORY_CODE:
            return Reason.OUT_OF_MEMORY, f"it needed more than {limits.memory_bytes >> 20} MiB"
        return Reason.EXITED, f"it ended with {gone.exit_code}: {last}"
    is_over_cpu = limits.cpu_s is not None and gone.cpu_s >= limits.cpu_s
    if gone.signal == signal.SIGXCPU or (gone.signal == signal.SIGKILL and is_over_cpu):
        return Reason.CPU_LIMIT, f"it took more than {limits.cpu_s} s of processor time"
    if any(words in output for words in _NO_MEMORY):
        return Reason.OUT_OF_MEMORY, f"it needed more than {limits.memory_bytes >> 20} MiB"
    return Reason.CRASHED, f"it was ended by {signal.Signals(gone.signal).name}: {last}"
