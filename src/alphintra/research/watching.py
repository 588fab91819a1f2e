"""A computation elsewhere, watched from here: its progress passed on, its time bounded."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from alphintra.research.errors import BeyondLimits
from alphintra.research.jobfile import Progress

#: How Python, the loader, C++ and the compiler say that there is no memory left.
NO_MEMORY: Final = (
    "MemoryError",
    "Cannot allocate memory",
    "failed to map segment",
    "std::bad_alloc",
    "LLVM ERROR: out of memory",
)
#: Somebody who says all the time how far he is, is not listened to all the time.
_BREATH_S: Final = 0.02

Tell = Callable[[Progress], Awaitable[bool]]
Next = Callable[[], Awaitable[Progress | None]]


async def watch(following: Next, tell: Tell, seconds_max: float) -> bool:
    """Pass progress on until there is no more; return whether the run is still wanted.

    Args:
        following: returns the next word on the progress, and None at the end.

    Raises:
        BeyondLimits: it took too long.
    """
    latest = Progress(share=0.0, remaining_s=None)
    deadline_s = time.monotonic() + seconds_max
    reading = asyncio.ensure_future(following())
    try:
        while True:
            await asyncio.wait({reading}, timeout=0.5)
            if reading.done():
                word = reading.result()
                if word is None:
                    return True
                latest = word
                await asyncio.sleep(_BREATH_S)
                reading = asyncio.ensure_future(following())
            if not await tell(latest):
                return False
            if time.monotonic() > deadline_s:
                raise BeyondLimits(
                    f"the run took longer than the {seconds_max:g} s that it may take"
                )
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
