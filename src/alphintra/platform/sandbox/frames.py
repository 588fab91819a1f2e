"""The parent's end of a child's channel: frames both ways over one socket.

The socket is read and written here and not by a transport of the event loop: a frame goes out in
the call that sends it, and a tick's way to a strategy and back costs half as much.
"""

import asyncio
import socket
from collections import deque
from typing import Final

from alphintra.platform.sandbox.channel import HEADER

#: So many bytes of frames nobody has asked for yet; then the child has to wait.
UNREAD_BYTES_MAX: Final = 1 << 20
_READ_BYTES: Final = 64 * 1024


class Frames:
    """Cuts what a child sends into frames, and stops listening when too much waits.

    Args:
        channel: the connection to the child; it becomes ours.
        frame_bytes_max: the longest frame that a child may send.

    Attributes:
        fault: what the child sent that is no frame.
        is_over: no more frames come, and none are taken.
    """

    def __init__(self, channel: socket.socket, frame_bytes_max: int) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._most = frame_bytes_max
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._frames: deque[bytes] = deque()
        self._unread_bytes = 0
        self._waiting: asyncio.Future[None] | None = None
        self._unsent = bytearray()
        self._sending: asyncio.Future[None] | None = None
        self.fault = ""
        self.is_over = False
        self._is_listening = False
        self._listen()

    @property
    def has_waiting(self) -> bool:
        """Whether the next frame is there already."""
        return bool(self._frames)

    async def next(self) -> bytes | None:
        """Return the next frame; None: there will be none."""
        while not self._frames:
            if self.is_over:
                return None
            self._waiting = self._loop.create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        frame = self._frames.popleft()
        self._unread_bytes -= HEADER.size + len(frame)
        if self._unread_bytes <= UNREAD_BYTES_MAX:
            self._listen()
        return frame

    async def write(self, body: bytes) -> None:
        """Send a frame; return when the kernel has it all, or nobody is there to read it."""
        await self._sent()
        if self.is_over:
            return  # whoever waits for the answer is told
        message = HEADER.pack(len(body)) + body
        count = self._send(message)
        if count < len(message) and not self.is_over:
            self._sending = self._loop.create_future()
            self._loop.add_writer(self._channel.fileno(), self._flush)
            # Whatever becomes of the task that asked: half a frame is never left.
            self._unsent += memoryview(message)[count:]
            await self._sent()

    def finish(self) -> None:
        """Tell the child that no more frames come."""
        if not self.is_over:
            try:
                self._channel.shutdown(socket.SHUT_WR)
            except OSError:
                self._end()

    def close(self) -> None:
        """Take what has arrived already, and then hear and say nothing any more."""
        self._take_rest()
        self._end()
        self._channel.close()

    def _listen(self) -> None:
        if not self._is_listening and not self.is_over:
            self._is_listening = True
            self._loop.add_reader(self._channel.fileno(), self._hear)

    def _deafen(self) -> None:
        if self._is_listening:
            self._is_listening = False
            self._loop.remove_reader(self._channel.fileno())

    def _hear(self) -> None:
        self._take()

    def _take_rest(self) -> None:
        while self._unread_bytes <= UNREAD_BYTES_MAX and self._take():
            pass

    def _take(self) -> bool:
        """Take some of what has arrived; say whether there was anything."""
        if self.is_over:
            return False
        try:
            data = self._channel.recv(_READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            self._cut(data)
        else:
            self._end()
        return bool(data)

    def _cut(self, data: bytes) -> None:
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= HEADER.size:
            (length,) = HEADER.unpack_from(self._buffer, at)
            if length > self._most:
                self.fault = f"a frame of {length} bytes; {self._most} are the most"
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
        if self._unread_bytes > UNREAD_BYTES_MAX:
            self._deafen()
        self._wake()

    def _send(self, message: bytes | bytearray) -> int:
        try:
            return self._channel.send(message)
        except BlockingIOError:
            return 0
        except OSError:
            self._take_rest()
            self._end()
            return 0

    def _flush(self) -> None:
        del self._unsent[: self._send(self._unsent)]
        if not self._unsent:
            self._stop_sending()

    async def _sent(self) -> None:
        while self._sending is not None:
            await asyncio.shield(self._sending)

    def _stop_sending(self) -> None:
        if self._sending is not None:
            self._loop.remove_writer(self._channel.fileno())
            self._sending.set_result(None)
            self._sending = None

    def _end(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        self._deafen()
        self._stop_sending()
        self._unsent.clear()
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
