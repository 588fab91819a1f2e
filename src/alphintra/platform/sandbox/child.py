"""A child as its parent holds it: frames both ways, its output, its end."""

import asyncio
import os
import signal
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

from alphintra.platform.sandbox.channel import HEADER
from alphintra.platform.sandbox.errors import ChildEnded, ChildTimedOut
from alphintra.platform.sandbox.inside import OUT_OF_MEMORY_CODE
from alphintra.platform.sandbox.limits import FRAME_BYTES_MAX, Ended, Limits, Reason
from alphintra.platform.sandbox.output import Output
from alphintra.platform.sandbox.wire import Gone

#: A child whose channel is closed has this long to be gone.
_LINGER_S: Final = 2.0
#: So many bytes of frames nobody has asked for yet; then the child has to wait.
_UNREAD_BYTES_MAX: Final = 1 << 20
#: How Python, the loader, C++ and the compiler say that there is no memory left.
_NO_MEMORY: Final = (
    "MemoryError",
    "Cannot allocate memory",
    "failed to map segment",
    "std::bad_alloc",
    "out of memory",
)


class Frames(asyncio.Protocol):
    """Cuts what a child sends into frames, and stops listening when too much waits."""

    def __init__(self, frame_bytes_max: int) -> None:
        self._most = frame_bytes_max
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._frames: deque[bytes] = deque()
        self._unread_bytes = 0
        self._waiting: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self.fault = ""
        self.is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.fault:
            return
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= HEADER.size:
            (length,) = HEADER.unpack_from(self._buffer, at)
            if length > self._most:
                self.fault = f"a frame of {length} bytes; {self._most} are the most"
                self._buffer.clear()
                self._end()
                return
            end = at + HEADER.size + length
            if len(self._buffer) < end:
                break
            self._frames.append(bytes(self._buffer[at + HEADER.size : end]))
            # A frame without a body takes memory too.
            self._unread_bytes += HEADER.size + length
            at = end
        del self._buffer[:at]
        if self._unread_bytes > _UNREAD_BYTES_MAX and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def eof_received(self) -> bool:
        self._end()
        return True  # keep the way to the child until it is closed here

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    async def next(self) -> bytes | None:
        """Return the next frame; None: there will be none."""
        while not self._frames:
            if self.is_over:
                return None
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        frame = self._frames.popleft()
        self._unread_bytes -= HEADER.size + len(frame)
        if self._unread_bytes <= _UNREAD_BYTES_MAX and self._transport is not None:
            self._transport.resume_reading()
        return frame

    async def write(self, body: bytes) -> None:
        """Send a frame; return when it is under way."""
        await self._writable.wait()
        if self._transport is None or self._transport.is_closing() or self.is_over:
            return  # whoever waits for the answer is told
        self._transport.writelines((HEADER.pack(len(body)), body))
        await self._writable.wait()

    def finish(self) -> None:
        """Tell the child that no more frames come."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def _end(self) -> None:
        self.is_over = True
        self._writable.set()
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


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
        if len(body) > FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {len(body)} bytes; {FRAME_BYTES_MAX} are the most")
        try:
            async with asyncio.timeout(timeout_s):
                await self._frames.write(body)
        except TimeoutError:
            raise await self._too_slow(f"it took nothing for {timeout_s:g} s") from None
        if self._frames.is_over:
            raise ChildEnded(await self._end())

    async def receive(self, *, timeout_s: float | None = None) -> bytes:
        """Return the next frame of the child.

        Raises:
            ChildEnded: it ended, or sent what is no frame.
            ChildTimedOut: it took too long; it is killed.
        """
        try:
            async with asyncio.timeout(timeout_s):
                frame = await self._frames.next()
        except TimeoutError:
            raise await self._too_slow(f"no answer in {timeout_s:g} s") from None
        if frame is None:
            raise ChildEnded(await self._end())
        return frame

    async def call(self, body: bytes, *, timeout_s: float) -> bytes:
        """Send a frame and return the next one that comes; calls wait for each other.

        Raises:
            ChildEnded: it ended, or sent what is no frame.
            ChildTimedOut: it took too long; it is killed.
        """
        async with self._calling:
            try:
                async with asyncio.timeout(timeout_s):
                    await self.send(body, timeout_s=timeout_s)
                    return await self.receive()
            except TimeoutError:
                raise await self._too_slow(f"no answer in {timeout_s:g} s") from None
            except asyncio.CancelledError:
                # The answer would be taken for that of the next call.
                self.kill()
                raise

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
        if self._frames.fault and self._verdict is None:
            self._verdict = (Reason.BROKE_RULES, self._frames.fault)
        self._ended.set_result(self._judge(gone))
        self._frames.close()
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
