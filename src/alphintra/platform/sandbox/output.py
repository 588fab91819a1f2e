"""What a child prints: the last of it is kept, and a flood only slows the child down."""

import asyncio
import os
from typing import Final

_READ_BYTES: Final = 64 * 1024
#: Once more was printed than is kept, a read is followed by a pause: 6 MB/s are enough for anybody
#: and cost the parent nothing.
_PAUSE_S: Final = 0.01


class Output:
    """Reads the output of one child as it comes.

    Args:
        fd: the reading end of a pipe; it becomes ours.
        bytes_max: how much is kept.
    """

    def __init__(self, fd: int, bytes_max: int) -> None:
        self._fd = fd
        self._most = bytes_max
        self._kept = bytearray()
        self.dropped = 0
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._read)

    def text(self) -> str:
        """Return it as text that a database and a terminal take: no control characters."""
        text = self._kept.decode(errors="replace")
        return "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in text)

    def close(self) -> None:
        """Take what is left in the pipe, and close it."""
        if self._fd < 0:
            return
        self._stop()
        # A pipe holds 64 KiB; nobody writes to this one any more.
        for _ in range(32):
            if not self._take():
                break
        os.close(self._fd)
        self._fd = -1

    def _read(self) -> None:
        if not self._take():
            self._loop.remove_reader(self._fd)
        elif self.dropped:
            self._loop.remove_reader(self._fd)
            self._pause = self._loop.call_later(_PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._fd, self._read)

    def _stop(self) -> None:
        self._loop.remove_reader(self._fd)
        if self._pause is not None:
            self._pause.cancel()

    def _take(self) -> bool:
        """Return whether there may be more."""
        try:
            part = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._kept += part
        excess = len(self._kept) - self._most
        if excess > 0:
            del self._kept[:excess]
            self.dropped += excess
        return bool(part)
