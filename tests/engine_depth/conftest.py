"""The kernels are compiled before the first test, so that no test is timed with it."""

import pytest

from alphintra.engine.depth.simulation import warm_up


@pytest.fixture(scope="session", autouse=True)
def _compiled_kernels() -> None:
    warm_up()
