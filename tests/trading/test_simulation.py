"""Thousands of random days at the desk, each from a seed: no step may break an invariant.

`ALPHINTRA_SIM_SEEDS` seeds are run (a night may take 2,000), each for `ALPHINTRA_SIM_STEPS` steps;
`ALPHINTRA_SIM_SEED` runs one alone.
"""

import os
import subprocess
import sys

import pytest

from .simulation import simulate

SEEDS = int(os.environ.get("ALPHINTRA_SIM_SEEDS", "200"))
STEPS = int(os.environ.get("ALPHINTRA_SIM_STEPS", "100"))
ALONE = os.environ.get("ALPHINTRA_SIM_SEED")
CHUNK = 25


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK) if ALONE is None else [int(ALONE)])
def test_no_seed_breaks_an_invariant(first: int) -> None:
    last = min(first + CHUNK, SEEDS) if ALONE is None else first + 1
    for seed in range(first, last):
        simulate(seed, STEPS)


def test_same_seed_commits_the_same_rows_in_every_process() -> None:
    """Neither hashes nor addresses of objects may decide anything: another process has others."""
    program = f"from {simulate.__module__} import simulate; print(simulate(7, 60))"
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert digests == {f"{simulate(7, 60)}\n"}


def test_different_seeds_commit_different_rows() -> None:
    assert simulate(1, 20) != simulate(2, 20)
