"""`alphintra up` as a newcomer starts it: a process of its own, on an empty data folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from alphintra.cli.demo import DemoLogin, read_login
from alphintra.platform.embedded import Occupant, running_on

#: Generous: on a busy machine everything takes long, and nothing here is a measurement.
START_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Up:
    """A running platform."""

    data_dir: Path
    config_dir: Path
    occupant: Occupant

    @property
    def url(self) -> str:
        return self.occupant.http_url

    def demo(self) -> DemoLogin:
        """Return the login that `up` made."""
        login = read_login(self.data_dir)
        assert login is not None
        return login

    def environment(self) -> dict[str, str]:
        """Return the environment of commands that talk to it."""
        return {
            **plain_environment(),
            "ALPHINTRA_URL": self.url,
            "XDG_CONFIG_HOME": str(self.config_dir),
        }

    def cli(self, *arguments: str, stdin: str = "", code: int = 0) -> str:
        """Run a command as a person does; return what it printed."""
        answer = subprocess.run(
            [sys.executable, "-m", "alphintra", *arguments],
            env=self.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_TIMEOUT_S,
        )
        assert answer.returncode == code, (arguments, answer.returncode, answer.stderr)
        return answer.stdout if code == 0 else answer.stderr

    def cli_json(self, *arguments: str) -> object:
        """Run a command with `--json`; return what it says."""
        answer: object = json.loads(self.cli(*arguments, "--json"))
        return answer


def plain_environment() -> dict[str, str]:
    """Return our environment without settings of the product."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ALPHINTRA_")}


@pytest.fixture(scope="session")
def up() -> Iterator[Up]:
    """One platform for all tests of this folder; it has to start and to stop cleanly."""
    # Directly in the temporary folder: under root the servers run as another user, who has to pass.
    folder = Path(tempfile.mkdtemp(prefix="alphintra-e2e-"))
    folder.chmod(0o755)
    data_dir = folder / "data"
    output = folder / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "alphintra", "up", "--data", str(data_dir), "--port", "0"],
            # These tests are many users at one address, and quick.
            env={**plain_environment(), "ALPHINTRA_RATE_LIMIT_AUTH": "10000/minute"},
            stdout=file,
            stderr=file,
        )
    try:
        occupant = _wait_until_greeted(process, data_dir, output)
        yield Up(data_dir=data_dir, config_dir=folder / "config", occupant=occupant)
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_TIMEOUT_S) == 0, output.read_text()
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_greeted(process: subprocess.Popen[bytes], data_dir: Path, output: Path) -> Occupant:
    give_up_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up_s:
        assert process.poll() is None, f"{output.read_text()}\n{_logs(data_dir)}"
        if "Ctrl-C" in output.read_text():
            occupant = running_on(data_dir)
            assert occupant is not None
            return occupant
        time.sleep(0.1)
    raise AssertionError(f"not ready in time: {output.read_text()}\n{_logs(data_dir)}")


def _logs(data_dir: Path) -> str:
    return "\n".join(
        f"== {log.name}\n{log.read_text()[-3_000:]}" for log in (data_dir / "logs").glob("*.log")
    )


@pytest.fixture
def http(up: Up) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{up.url}/api/v1", timeout=COMMAND_TIMEOUT_S) as client:
        yield client
