"""Trials on a Ray cluster: the same work, on other machines."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from alphintra.research.search.compute import Cancelled, Work
from alphintra.research.search.errors import ComputeUnavailable
from alphintra.sdk.errors import RunCancelled

_POLL_S: Final = 0.2
#: What modules of strategies that came from a file are called: no other machine can import them.
_FROM_FILE: Final = "alphintra_strategy_"
_RETRIES: Final = 2


class RayPool:
    """Tasks on a cluster. The work is stored there once, and each task takes one item."""

    def __init__(self, ray: Any, work: Work) -> None:
        self._ray = ray
        for module in _unknown_elsewhere():
            ray.cloudpickle.register_pickle_by_value(module)
        self._work = ray.put(work)
        # A computer that goes away takes its tasks with it; they are done again elsewhere.
        self._task = ray.remote(max_retries=_RETRIES)(_perform)
        self.workers = max(1, int(ray.cluster_resources().get("CPU", 1)))

    @classmethod
    @contextmanager
    def connected(cls, work: Work, address: str) -> Iterator["RayPool"]:
        """Connect to a cluster, or begin one on this machine, and leave it at the end.

        Args:
            address: "ray" for this machine, "ray://host:port" for another.

        Raises:
            ComputeUnavailable: Ray is not installed, or nobody answers.
        """
        try:
            ray: Any = import_module("ray")
        except ImportError as error:
            raise ComputeUnavailable(
                "Ray is not installed; install alphintra[ray] or unset ALPHINTRA_COMPUTE"
            ) from error
        ours = not ray.is_initialized()
        try:
            if ours:
                ray.init(
                    address=None if address == "ray" else address,
                    log_to_driver=False,
                    logging_level="ERROR",
                    **({"include_dashboard": False} if address == "ray" else {}),
                )
        except Exception as error:  # Ray raises many kinds
            raise ComputeUnavailable(f"no Ray cluster at {address}: {error}") from error
        try:
            yield cls(ray, work)
        finally:
            if ours:
                ray.shutdown()

    def run(self, items: Sequence[Any], cancelled: Cancelled) -> Iterator[tuple[int, Any]]:
        waiting: dict[Any, int] = {}
        upcoming = iter(enumerate(items))
        try:
            while True:
                for position, item in upcoming:
                    waiting[self._task.remote(self._work, item)] = position
                    if len(waiting) >= 2 * self.workers:
                        break
                if not waiting:
                    return
                if cancelled():
                    raise RunCancelled("the search was cancelled")
                done, _ = self._ray.wait(list(waiting), num_returns=1, timeout=_POLL_S)
                for reference in done:
                    yield waiting.pop(reference), self._ray.get(reference)
        finally:
            for reference in waiting:
                self._ray.cancel(reference, force=True)


def _perform(work: Work, item: Any) -> Any:
    return work(item, _never)


def _never() -> bool:
    return False


def _unknown_elsewhere() -> list[ModuleType]:
    return [module for name, module in sys.modules.items() if name.startswith(_FROM_FILE)]
