"""How many logins a process works on at once.

A login takes a slow hash and a few queries. However many come, they get a few of the database's
connections and one queue with a bound; whoever does not fit in is told to come back in a second,
before anything was spent on it. Part of the queue is for devices that logged in before.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from alphintra.identity.errors import LoginBusy

LOGINS_MAX: Final = 48
LOGINS_OF_UNKNOWN_DEVICES_MAX: Final = 32
_CONNECTIONS_MAX: Final = 3


class Door:
    """Bounds the logins of one process."""

    def __init__(self) -> None:
        self._inside = 0
        #: Held while a login asks the database.
        self.connection = asyncio.Semaphore(_CONNECTIONS_MAX)

    @contextmanager
    def entered(self, *, known_device: bool) -> Iterator[None]:
        """Be one of the logins at work.

        Raises:
            LoginBusy: there are as many as this process takes on.
        """
        limit = LOGINS_MAX if known_device else LOGINS_OF_UNKNOWN_DEVICES_MAX
        if self._inside >= limit:
            raise LoginBusy("more logins wait than this process takes on")
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
