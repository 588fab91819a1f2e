"""Tests of pages in a real browser. They run where `ALPHINTRA_TEST_BROWSER` names a Chromium.

`.ci/run` installs one and names it; elsewhere nothing here is collected.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Chromium

collect_ignore_glob = [] if os.environ.get("ALPHINTRA_TEST_BROWSER") else ["test_*.py"]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One browser for all tests."""
    executable = Path(os.environ["ALPHINTRA_TEST_BROWSER"])
    with Chromium.started(executable, tmp_path_factory.mktemp("profile")) as browser:
        yield browser
