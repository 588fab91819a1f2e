"""The rule of the root conftest: in CI a skipped test fails the run."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
@pytest.mark.parametrize("workers", ["0", "2"])
def test_skipped_test_fails_the_run_in_ci_only(
    tmp_path: Path, ci: str, code: int, workers: str
) -> None:
    shutil.copyfile(CONFTEST, tmp_path / "conftest.py")
    (tmp_path / "test_skipped.py").write_text(
        "import pytest\n\ndef test_absent():\n    pytest.skip('tool')\n\ndef test_present(): pass\n"
    )
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "CI": ci},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert answer.returncode == code, answer.stdout + answer.stderr
    assert ("skipped in CI" in answer.stdout) is bool(ci)
