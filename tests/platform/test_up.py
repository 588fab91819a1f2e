"""`alphintra up` as a process: it starts, says what is in the way, heals and ends cleanly."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from alphintra.cli import up
from alphintra.platform.embedded import running_on
from tests.platform.supervised import children_of, describe, servers_in, wait_until_gone

START_TIMEOUT_S = 90.0


@dataclass(frozen=True, slots=True)
class Up:
    """A running `alphintra up` and what it printed until it was ready."""

    process: subprocess.Popen[str]
    folder: Path
    url: str
    output: str

    def children(self) -> list[int]:
        """All processes below it, however deep."""
        below, unseen = [], [self.process.pid]
        while unseen:
            found = children_of(unseen.pop(0))
            below += found
            unseen += found
        return below


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="alphintra-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def command(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALPHINTRA_")}
    return subprocess.Popen(
        [sys.executable, "-m", "alphintra", "up", "--data", folder, "--no-demo", *arguments],
        env={**clean, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def running(folder: Path, *arguments: str, **environment: str) -> Iterator[Up]:
    process = command(folder, *arguments, **environment)
    assert process.stdout is not None
    output = ""
    try:
        while "is ready at" not in output:
            line = process.stdout.readline()
            assert line, output
            output += line
        url = output.rpartition("is ready at ")[2].split()[0]
        yield Up(process, folder, url, output)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def status(url: str, path: str) -> int:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def wait_for(condition: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    give_up_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_s, f"waited {timeout_s} s for {what}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_port_in_use_is_chosen_around_and_a_second_up_is_refused(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with running(folder / "data", "--port", str(port)) as first:
            assert f"Port {port} is in use" in first.output
            assert not first.url.endswith(f":{port}")
            assert status(first.url, "/health/ready") == 200
            second = command(folder / "data")
            said, _ = second.communicate(timeout=30)
            assert second.returncode == 1
            assert "data_folder_in_use" in said
            assert str(first.process.pid) in said
            assert first.url in said
            assert status(first.url, "/health/ready") == 200


def test_first_start_tells_its_steps_and_the_next_does_not(folder: Path) -> None:
    with running(folder / "data") as first:
        steps = [line.split()[0] for line in first.output.splitlines() if "/3 " in line]
        assert steps == ["1/3", "2/3", "3/3"]  # the fourth would be demo data
        assert "happens once" in first.output.splitlines()[0]
    with running(folder / "data") as second:
        assert "/3 " not in second.output


def test_ctrl_c_ends_everything_within_five_seconds(folder: Path) -> None:
    with running(folder / "data", "--port", str(free_port())) as started:
        children = started.children()
        assert len(children) >= 4
        began_s = time.monotonic()
        started.process.send_signal(signal.SIGINT)
        assert started.process.wait(30) == 0
        # Five seconds on a machine of its own; the other tests may keep this one busy.
        busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        assert time.monotonic() - began_s < 5.0 * busy
        wait_until_gone(children, timeout_s=0.5)
        assert servers_in(folder) == []


def test_killed_supervisor_leaves_nothing_behind(folder: Path) -> None:
    with running(folder / "data", "--port", str(free_port())) as started:
        children = started.children()
        started.process.kill()
        wait_until_gone(children, timeout_s=10)
    assert running_on(folder / "data") is None


def test_whatever_dies_is_started_again(folder: Path) -> None:
    with running(folder / "data", "--port", str(free_port())) as started:
        occupant = running_on(folder / "data")
        assert occupant is not None
        for pid in children_of(started.process.pid):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: status(started.url, "/health/ready") != 200, timeout_s=5, what="the end")
        wait_for(
            lambda: status(started.url, "/health/ready") == 200, timeout_s=60, what="the new start"
        )
        assert started.process.poll() is None
        with psycopg.connect(occupant.database_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_external_servers_are_used_instead(folder: Path, database_url: str, bus_url: str) -> None:
    environment = {"ALPHINTRA_DATABASE_URL": database_url, "ALPHINTRA_BUS_URL": bus_url}
    port = str(free_port())
    with running(folder / "data", "--port", port, **environment) as started:
        assert status(started.url, "/health/ready") == 200
        assert len(children_of(started.process.pid)) == len(up.PROCESSES)
        assert not (folder / "data" / "postgres").exists()
        command_lines = [describe(pid) for pid in (started.process.pid, *started.children())]
        assert not any("postgresql://" in line or "nats://" in line for line in command_lines)


def test_settings_of_the_user_beat_what_up_would_choose(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALPHINTRA_MASTER_KEY", "of the user")
    monkeypatch.setenv("ALPHINTRA_PUBLIC_URL", "")
    assert up._configured("MASTER_KEY") == "of the user"
    environment = up._environment(
        "127.0.0.1",
        1,
        "http://u",
        database_url="d",
        bus_url="b",
        master_key="k",
        objects_url="file:///o",
    )
    assert environment["ALPHINTRA_PUBLIC_URL"] == "http://u"
    secrets = folder / "secrets"
    secrets.mkdir()
    (secrets / "public_url").write_text("https://trade.example")
    monkeypatch.delenv("ALPHINTRA_PUBLIC_URL")
    monkeypatch.setenv("ALPHINTRA_SECRETS_DIR", str(secrets))
    code = "from alphintra.cli import up; print(up._configured('PUBLIC_URL'))"
    # In a process of its own, because settings are read once per process.
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert said.stdout.strip() == "https://trade.example"


def test_supervisor_imports_nothing_heavy() -> None:
    code = "import alphintra.cli.up, sys, json; print(json.dumps(sorted(sys.modules)))"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(json.loads(said.stdout))
    assert not loaded & {
        "sqlalchemy",
        "fastapi",
        "pydantic",
        "numba",
        "numpy",
        "asyncio",
        "psycopg",
    }
