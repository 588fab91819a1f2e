"""The kernels are compiled before the first test, so that no test is timed with it."""

import pytest

from alphintra.engine import warm_up
from tests.engine.session import Desk


@pytest.fixture(scope="session", autouse=True)
def _compiled_kernels() -> None:
    warm_up()


@pytest.fixture
def desk() -> Desk:
    return Desk()
