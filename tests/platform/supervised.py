"""Start `supervisor.py` and look at what it left behind."""

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import alphintra
from alphintra.platform.embedded.programs import (
    NATS_VARIABLE,
    POSTGRES_VARIABLE,
    find_nats,
    find_postgres,
)
from alphintra.platform.processes import Account

_SCRIPT = Path(__file__).with_name("supervisor.py")
_SOURCE = Path(alphintra.__file__).parent.parent

#: An unprivileged user that every system has.
NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Supervised:
    """A running supervisor and what it said."""

    process: subprocess.Popen[str]
    database_url: str
    admin_url: str
    bus_url: str
    pids: dict[str, int]

    def end(self, number: signal.Signals) -> float:
        """Send a signal; return the seconds until the supervisor was gone."""
        began_s = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        return time.monotonic() - began_s


@cache
def _programs(uid: int) -> dict[str, str]:
    """Server programs that this user can reach, wherever the tests are installed."""
    runtime = Path(tempfile.mkdtemp(prefix="alphintra-programs-"))
    atexit.register(shutil.rmtree, runtime)
    runtime.chmod(0o755)
    account = Account(name="nobody", uid=uid, gid=uid)
    return {
        POSTGRES_VARIABLE: str(find_postgres(runtime=runtime / "programs", account=account).folder),
        NATS_VARIABLE: str(find_nats(runtime=runtime / "programs", account=account)),
    }


def start(data_dir: Path, *, uid: int | None = None) -> subprocess.Popen[str]:
    """Start a supervisor without waiting for it."""
    programs = {} if uid is None else _programs(uid)
    return subprocess.Popen(
        [sys.executable, _SCRIPT, data_dir, *([] if uid is None else [str(uid)])],
        env={**os.environ, "PYTHONPATH": str(_SOURCE), **programs},
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def supervised(data_dir: Path, *, uid: int | None = None) -> Iterator[Supervised]:
    """Run a supervisor for the length of a block."""
    process = start(data_dir, uid=uid)
    assert process.stdout is not None
    try:
        said = json.loads(process.stdout.readline())
        assert "code" not in said, said
        yield Supervised(process, **said)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stdout.close()


def refusal(data_dir: Path, *, uid: int | None = None) -> dict[str, str]:
    """Start a supervisor that is expected to refuse; return code and detail of its answer."""
    process = start(data_dir, uid=uid)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1, output
    answer: dict[str, str] = json.loads(output)
    return answer


def wait_until_gone(pids: list[int], *, timeout_s: float) -> None:
    """Wait until none of these processes exists."""
    give_up_s = time.monotonic() + timeout_s
    while left := [pid for pid in pids if _exists(pid)]:
        assert time.monotonic() < give_up_s, f"still there: {[describe(pid) for pid in left]}"
        time.sleep(0.02)


def servers_in(data_dir: Path) -> list[int]:
    """Return all processes that work in this data folder, also those nobody told us of."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if str(data_dir) in describe(pid)]


def children_of(pid: int) -> list[int]:
    """Return the processes that its first thread started; none when it is gone."""
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []


def describe(pid: int) -> str:
    """Return the command line of a process, or nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _exists(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
