"""Where trials are computed: in this process, on the cores of this machine, or on Ray.

`ALPHINTRA_COMPUTE` chooses: nothing or `local` for all cores, `local:2` for two processes, `inline`
for this process, `ray` for a Ray cluster on this machine, `ray://host:port` for one elsewhere.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol

from alphintra.research.search.errors import ComputeUnavailable, SearchRefused
from alphintra.sdk.errors import RunCancelled

VARIABLE: Final = "ALPHINTRA_COMPUTE"

Cancelled = Callable[[], bool]


class Work(Protocol):
    """A kind of work: takes one item, and asks now and then whether to stop."""

    def __call__(self, item: Any, cancelled: Cancelled, /) -> Any: ...

    def warm_up(self) -> None:
        """Do once what every worker would have to do, before there are any."""


#: How long a cancellation may wait for an answer, and how often progress is looked at.
_POLL_S: Final = 0.2


class Pool(Protocol):
    """Something that does one kind of work on many items."""

    workers: int

    def run(self, items: Sequence[Any], cancelled: Cancelled) -> Iterator[tuple[int, Any]]:
        """Yield `(position, result)` as results come in, in any order.

        Raises:
            RunCancelled: `cancelled` said so.
            Exception: what the work raised.
        """


@contextmanager
def open_pool(work: Work, *, compute: str | None = None) -> Iterator[Pool]:
    """Open a pool for one kind of work, and close it whatever happens.

    Args:
        work: is sent to every worker once. On Ray, and where processes cannot be forked, it has to
            be possible to pickle it.
        compute: as `ALPHINTRA_COMPUTE`, which is taken when it is `None`.

    Raises:
        SearchRefused: `compute` is none of the known.
        ComputeUnavailable: Ray is not installed or does not answer.
    """
    where = (os.environ.get(VARIABLE, "") if compute is None else compute) or "local"
    kind, _, rest = where.partition(":")
    if where == "inline":
        yield InlinePool(work)
    elif kind == "local" and (not rest or (rest.isdigit() and int(rest) > 0)):
        workers = int(rest) if rest else len(_cores())
        if workers == 1:
            yield InlinePool(work)
            return
        work.warm_up()
        pool = ProcessPool(work, workers)
        try:
            yield pool
        finally:
            pool.close()
    elif where == "ray" or where.startswith("ray://"):
        from alphintra.research.search.ray_pool import RayPool

        with RayPool.connected(work, where) as ray_pool:
            yield ray_pool
    else:
        raise SearchRefused(
            f"{VARIABLE} is {where!r}, but has to be local, local:N, inline, ray or ray://host:port"
        )


class InlinePool:
    """This process."""

    workers = 1

    def __init__(self, work: Work) -> None:
        self._work = work

    def run(self, items: Sequence[Any], cancelled: Cancelled) -> Iterator[tuple[int, Any]]:
        for position, item in enumerate(items):
            if cancelled():
                raise RunCancelled("the search was cancelled")
            yield position, self._work(item, cancelled)


#: In a worker: what it does, and how it hears of a cancellation.
_work: Work | None = None
_stop: Any = None


def _begin(work: Work, stop: Any) -> None:
    global _work, _stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _work, _stop = work, stop


def _perform(item: Any) -> Any:
    assert _work is not None
    return _work(item, _stop.is_set)


class ProcessPool:
    """Processes on this machine.

    They are forked where that is possible: market data is shared instead of copied, and a strategy
    may be one that was typed into a notebook.
    """

    def __init__(self, work: Work, workers: int) -> None:
        forks = "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
        context: Any = multiprocessing.get_context("fork" if forks else "spawn")
        self.workers = workers
        self._stop = context.Event()
        self._executor = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_begin, initargs=(work, self._stop)
        )

    def run(self, items: Sequence[Any], cancelled: Cancelled) -> Iterator[tuple[int, Any]]:
        waiting: dict[Future[Any], int] = {}
        upcoming = iter(enumerate(items))
        try:
            while True:
                # A few items ahead of the workers: a long list is never in the queue as a whole.
                for position, item in upcoming:
                    waiting[self._executor.submit(_perform, item)] = position
                    if len(waiting) >= 2 * self.workers:
                        break
                if not waiting:
                    return
                if cancelled():
                    raise RunCancelled("the search was cancelled")
                done, _ = wait(waiting, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                for future in done:
                    yield waiting.pop(future), future.result()
        except BrokenProcessPool as error:
            raise ComputeUnavailable(
                "a worker process was killed; usually the machine ran out of memory"
            ) from error
        finally:
            if waiting:
                self._stop.set()
                for future in waiting:
                    future.cancel()

    def close(self) -> None:
        """Tell the workers to stop and wait until they have."""
        self._stop.set()
        with suppress(BrokenProcessPool):
            self._executor.shutdown(wait=True, cancel_futures=True)


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
