"""The inside of a child: how the code that runs there speaks with the parent."""

import fcntl
import mmap
import os
import struct
from typing import Final

from alphintra.platform.sandbox.limits import FRAME_BYTES_MAX

#: Before each frame: its length.
HEADER: Final = struct.Struct("<I")
_READ_BYTES: Final = 64 * 1024
_F_SEAL_WRITE: Final = 0x0008


class Channel:
    """Frames to and from the parent, and what it lent.

    Attributes:
        readable: open file descriptors of the files that were named readable, in their order. No
            other file of a user can be opened.
        shared: the parent's memory, in its order: what it sealed can be read, the rest written.
    """

    def __init__(self, fd: int, *, readable: tuple[int, ...], shared: tuple[int, ...]) -> None:
        self._fd = fd
        self._heard = bytearray()
        self.readable = readable
        self.shared = tuple(_map(one) for one in shared)

    def receive(self) -> bytes | None:
        """Wait for the next frame; None: the parent wants no more."""
        while (body := self._take()) is None:
            part = os.read(self._fd, _READ_BYTES)
            if not part:
                return None
            self._heard += part
        return body

    def send(self, body: bytes) -> None:
        """Send a frame.

        Raises:
            ValueError: it is longer than `FRAME_BYTES_MAX`.
            OSError: the parent is gone.
        """
        if len(body) > FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {len(body)} bytes; {FRAME_BYTES_MAX} are the most")
        left = memoryview(HEADER.pack(len(body)) + body)
        while left:
            left = left[os.write(self._fd, left) :]

    def _take(self) -> bytes | None:
        if len(self._heard) < HEADER.size:
            return None
        (length,) = HEADER.unpack_from(self._heard)
        end = HEADER.size + length
        if len(self._heard) < end:
            return None
        body = bytes(self._heard[HEADER.size : end])
        del self._heard[:end]
        return body


def _map(fd: int) -> mmap.mmap:
    sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _F_SEAL_WRITE
    return mmap.mmap(fd, 0, access=mmap.ACCESS_READ if sealed else mmap.ACCESS_WRITE)
