"""The same work in this process, in others, and on a Ray cluster."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alphintra.engine.series import Bars
from alphintra.research.search import optimise
from alphintra.research.search.compute import open_pool
from alphintra.research.search.errors import ComputeUnavailable
from alphintra.sdk import RunCancelled, Vectorised


class Squares:
    """Work that can be told from any other."""

    def __call__(self, item: Any, cancelled: Any) -> Any:
        if item == "die":
            os._exit(1)
        if item == "wait":
            while not cancelled():
                time.sleep(0.01)
            raise RunCancelled("told to stop")
        if item == "raise":
            raise ValueError("no square")
        return item * item

    def warm_up(self) -> None:
        """Nothing to load."""


@pytest.mark.parametrize("compute", ["inline", "local", "local:3"])
def test_every_item_is_done_once(compute: str) -> None:
    with open_pool(Squares(), compute=compute) as pool:
        for _ in range(2):
            found = dict(pool.run(range(50), lambda: False))
            assert found == {place: place * place for place in range(50)}
        assert dict(pool.run([], lambda: False)) == {}


@pytest.mark.parametrize("compute", ["inline", "local:2"])
def test_what_the_work_raises_comes_out(compute: str) -> None:
    with (
        open_pool(Squares(), compute=compute) as pool,
        pytest.raises(ValueError, match="no square"),
    ):
        list(pool.run([1, "raise", 2], lambda: False))


def test_work_that_goes_on_hears_of_a_cancellation() -> None:
    began_s = time.monotonic()
    with open_pool(Squares(), compute="local:2") as pool, pytest.raises(RunCancelled):
        list(pool.run(["wait", "wait"], lambda: time.monotonic() > began_s + 0.3))


def test_a_worker_that_is_killed_is_told() -> None:
    with (
        open_pool(Squares(), compute="local:2") as pool,
        pytest.raises(ComputeUnavailable, match="was killed"),
    ):
        list(pool.run([1, "die", 2], lambda: False))


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHINTRA_COMPUTE", "local:3")
    with open_pool(Squares()) as pool:
        assert pool.workers == 3


def test_ray_has_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ComputeUnavailable, match="install alphintra\\[ray\\]"),
        open_pool(Squares(), compute="ray"),
    ):
        pass


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    """A small Ray cluster on this machine."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=10**8)
    yield
    ray.shutdown()


@pytest.mark.slow
def test_ray_gives_the_same_trials(
    ray_cluster: None, sma_cross: Vectorised, strategy_file: Path, bars: Bars
) -> None:
    """A strategy from a file that the cluster does not have; one that raises there."""
    searches = {
        str(strategy_file): {"slow": "12,13,20", "fast": "3"},
        "vectorised": {"slow": "12,20", "fast": "3,5"},
    }
    for name, search in searches.items():
        strategy: Any = sma_cross if name == "vectorised" else strategy_file
        far = optimise(strategy, bars, search=search, compute="ray")
        near = optimise(strategy, bars, search=search, compute="inline")
        assert far.to_dict()["trials"] == near.to_dict()["trials"]
    stopped = optimise(
        sma_cross, bars, search=searches["vectorised"], compute="ray", cancelled=lambda: True
    )
    assert not stopped.complete
