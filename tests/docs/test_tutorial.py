"""The tutorial as a new user types it: every file is saved, every command is run."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.conftest import ROOT

BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment with our commands first in the path."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def type_page(page: str, folder: Path, environment: dict[str, str]) -> str:
    """Save the page's files, run its commands, and return all that was printed."""
    printed = ""
    for language, text in BLOCK.findall((ROOT / "docs" / page).read_text()):
        if language == "python":
            name = text.splitlines()[0].removeprefix("# ")
            assert name.endswith(".py"), "a snippet begins with the name of its file"
            (folder / name).write_text(text)
            continue
        for command in text.strip().splitlines():
            ran = subprocess.run(
                ["bash", "-c", command], cwd=folder, env=environment, capture_output=True,
                text=True, check=False, timeout=600,
            )  # fmt: skip
            assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
            printed += ran.stdout
    return printed


def test_the_tutorial_runs_as_it_is_written(tmp_path: Path, environment: dict[str, str]) -> None:
    printed = type_page("tutorial/first-strategy.md", tmp_path, environment)
    assert "SmaCross (fast=10, slow=30, side=long) on IBM" in printed
    assert "Mine (days=55) on IBM" in printed
    assert "Weekly (no parameters) on IBM, GOOG" in printed
    assert "No look-ahead, and nothing depends on where the data begins." in printed
    assert (tmp_path / "mine.html").stat().st_size > 10_000
    with (tmp_path / "mine.csv").open() as file:
        trades = list(csv.DictReader(file))
    assert {trade["tag"] for trade in trades} == {"new high"}
    refused = subprocess.run(
        ["alphintra", "backtest", "mine.py", "--data", "demo:IBM", "--param", "days=1"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "days: 1 is not a whole number from 5 to 200" in refused.stderr


def test_the_page_on_arrays_runs_as_it_is_written(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    printed = type_page("howto/vectorised.md", tmp_path, environment)
    assert "cross (fast=20, slow=100) on IBM" in printed
    assert "No look-ahead" in printed
