"""A supervisor in a process of its own, and how to kill it, or a strategy in it.

Only what this module has started, and what is below it, can be killed.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]
#: Supervisor, nursery, strategy; with bubblewrap there are more between them.
DEPTH_MIN: Final = 2
LEAVE_S: Final = 120


@dataclass
class Supervisor:
    """Starts again whenever it has ended, unless it is told not to."""

    database_url: str
    bus_url: str
    log: Path
    returns: bool = True
    deaths: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _tending: asyncio.Task[None] | None = field(default=None)

    async def __aenter__(self) -> "Supervisor":
        self._start()
        self._tending = asyncio.create_task(self._tend())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._tending is not None
        self._tending.cancel()
        await asyncio.gather(self._tending, return_exceptions=True)
        self._kill(self._pid)
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _start(self) -> None:
        environment = {
            **os.environ,
            "ALPHINTRA_DATABASE_URL": self.database_url,
            "ALPHINTRA_BUS_URL": self.bus_url,
            "ALPHINTRA_DEPLOYMENT_FRAME_S": "30",
            "PYTHONPATH": str(ROOT),
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.strategies.deployments.supervisor_process"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def _tend(self) -> None:
        while True:
            assert self._process is not None
            if self._process.poll() is not None:
                self.deaths += 1
                if not self.returns:
                    return
                self._start()
            await asyncio.sleep(0.02)

    def kill(self) -> bool:
        """Kill the supervisor; say whether there was one at work."""
        return bool(self.strategies()) and self._kill(self._pid)

    async def leave(self) -> None:
        """Let it end in good order, and wait until it has."""
        assert self._process is not None
        os.kill(self._pid, signal.SIGTERM)
        code = await asyncio.to_thread(self._process.wait, LEAVE_S)
        assert code == 0, self.log.read_text()[-3_000:]

    def kill_strategy(self) -> bool:
        """Kill the process of a strategy; say whether there was one."""
        found = self.strategies()
        return bool(found) and self._kill(found[0])

    def strategies(self) -> list[int]:
        """Return the processes of strategies."""
        return strategies_below(self._pid)

    def _kill(self, pid: int) -> bool:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


def strategies_below(supervisor: int) -> list[int]:
    """Return the processes of strategies that a process runs: its nursery's children."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    children[int(fields[1])].append(int(entry.name))
    found, level, depth = [], [supervisor], 0
    while level:
        below = [child for pid in level for child in children[pid]]
        depth += 1
        found += [
            pid for pid in below if depth >= DEPTH_MIN and not children[pid] and _is_strategy(pid)
        ]
        level = below
    return found


def _is_strategy(pid: int) -> bool:
    """A nursery's child was forked from it: it has its command line, and another parent's."""
    with suppress(OSError):
        parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        mine = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"nursery" in mine and mine == Path(f"/proc/{parent}/cmdline").read_bytes()
    return False
