"""A limit on the time that somebody else's Python may take."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from alphintra.sdk.errors import StrategyOutOfTime

#: A strategy that catches everything is interrupted again after this long.
_AGAIN_S = 0.5


class _TimeIsUp(BaseException):
    """Raised in the middle of a strategy's code; not an Exception, which it may catch."""


@contextmanager
def time_limit(limit_s: float | None) -> Iterator[None]:
    """End what runs inside after this long, a loop without end too; None is no limit.

    It is Python code that is ended; a single call into compiled code runs to its end first.

    Raises:
        StrategyOutOfTime: the time was up.
    """
    if limit_s is None:
        yield
        return
    thread = threading.get_ident()
    over = threading.Event()

    def interrupt() -> None:
        pause_s = limit_s
        while not over.wait(pause_s):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread), ctypes.py_object(_TimeIsUp)
            )
            pause_s = _AGAIN_S

    watcher = threading.Thread(target=interrupt, name="time-limit", daemon=True)
    watcher.start()
    try:
        yield
    except _TimeIsUp as error:
        raise StrategyOutOfTime(f"the run took longer than {limit_s:g} s") from error
    finally:
        _stop(over, watcher, thread)


def _stop(over: threading.Event, watcher: threading.Thread, thread: int) -> None:
    try:
        over.set()
        watcher.join()
    except _TimeIsUp:  # it came in between; what runs next has nothing to do with it
        watcher.join()
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None)
