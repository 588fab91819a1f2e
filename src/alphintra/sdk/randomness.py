"""The random numbers of Python and NumPy that belong to nobody: the same in each repeat of a run.

`self.random` is the strategy's own. But `random.random()` and `numpy.random.normal()` draw from one
state for the whole process, and a run that used them could not be repeated. What draws its own seed
from the system (`numpy.random.default_rng()`, `random.Random()`, both without a seed) still cannot
be, nor can random numbers inside Numba's functions.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np

#: What NumPy's global state takes as a seed, exclusive.
_NUMPY_SEEDS: Final = 2**32


def seed_globals(seed: int) -> None:
    """Begin the random numbers of this process anew: for a process that has one strategy."""
    random.seed(seed)
    np.random.seed(seed % _NUMPY_SEEDS)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the random numbers of this process for a block; afterwards they go on as before."""
    ours, numpys = random.getstate(), np.random.get_state()
    seed_globals(seed)
    try:
        yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)
