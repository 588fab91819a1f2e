"""The product as separate processes on servers of its own, each of which can be killed.

What ends is started again at once, without the growing pauses of `alphintra up`: here deaths are
the rule. Only what this module started can be killed, by its process id.
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from alphintra.market import seed_instruments
from alphintra.platform import migrations
from alphintra.platform.embedded.account import service_account
from alphintra.platform.embedded.folder import DataFolder
from alphintra.platform.embedded.nats import NatsServer
from alphintra.platform.embedded.postgres import PostgresServer
from alphintra.platform.embedded.programs import find_nats, find_postgres
from alphintra.platform.processes import Managed, StopStep, spawn, stop_all
from alphintra.platform.services import open_services
from alphintra.platform.settings import Settings
from tests.crash.http_client import HttpClient, NoAnswer

HOST = "127.0.0.1"
START_TIMEOUT_S = 120.0
RESTART_PAUSE_S = 0.05
TEND_EVERY_S = 0.01

#: Which roles run together in which process.
SEPARATE: Mapping[str, tuple[str, ...]] = {
    "api": ("api", "stream"),
    "desk": ("desk",),
    "market": ("market",),
    "back": ("signals", "relay"),
}
#: As `alphintra up` lays them out.
TOGETHER: Mapping[str, tuple[str, ...]] = {
    "front": ("api", "stream", "desk"),
    "back": ("market", "signals", "relay"),
}
#: No rate limit gets into the way of a measurement; no test waits for tokens.
UNBOUNDED: Mapping[str, str] = {
    "ALPHINTRA_RATE_LIMIT_AUTH": "1000000000/minute",
    "ALPHINTRA_RATE_LIMIT_ORDERS": "1000000000/minute",
    "ALPHINTRA_RATE_LIMIT_MARKET_DATA": "1000000000/minute",
    "ALPHINTRA_RATE_LIMIT_OTHER": "1000000000/minute",
    "ALPHINTRA_ACCESS_TOKEN_S": "1800",
    "ALPHINTRA_PAPER_CASH": "1000000000",
}


class Victim(StrEnum):
    """What can be killed."""

    DESK = "desk"
    API = "api"
    POSTGRES = "postgres"
    BACKEND = "backend"  #: one server process of one database connection
    NATS = "nats"


@dataclass(slots=True)
class _Part:
    """A process that has to run."""

    managed: Managed
    is_ours: bool
    killed: set[int] = field(default_factory=set)
    is_stopped: bool = False
    start_again_at_s: float | None = None


class Product:
    """Servers, processes and how to reach them; made by `running_product`."""

    def __init__(
        self, folder: Path, *, layout: Mapping[str, tuple[str, ...]], settings: Mapping[str, str]
    ) -> None:
        self._folder = DataFolder(folder)
        self._layout = layout
        self._settings = settings
        self._parts: dict[str, _Part] = {}
        self._tending: asyncio.Task[None] | None = None
        self.port = free_port()
        self.database_url = ""
        self.admin_url = ""
        self.bus_url = ""
        #: Processes of the product that ended although nobody had killed them.
        self.ended_by_themselves: list[str] = []

    @property
    def logs(self) -> Path:
        return self._folder.logs

    def client(self, *, timeout_s: float = 15.0) -> HttpClient:
        """Return a client with a connection of its own."""
        return HttpClient(HOST, self.port, timeout_s=timeout_s)

    async def start(self) -> None:
        """Start everything and wait until it is ready."""
        self._start_servers()
        settings = self.read_settings()
        await asyncio.to_thread(migrations.upgrade, self.database_url)
        async with open_services(settings, name="seed") as services:
            await seed_instruments(services)
        for name, roles in self._layout.items():
            self.start_process(name, roles)
        self._tending = asyncio.create_task(self._tend())
        await self.until_ready()

    def read_settings(self) -> Settings:
        """Return the settings of the processes, for what looks at the product from outside."""
        return Settings(
            database_url=self.database_url,
            bus_url=self.bus_url,
            master_key=self._folder.memory.master_key,
            log_level="WARNING",
        )

    def start_process(self, name: str, roles: tuple[str, ...], **environment: str) -> None:
        """Start a process of the product that is kept running."""
        log = self._folder.logs / f"{name}.log"
        everything = {**self._environment(), **environment}

        def start() -> subprocess.Popen[bytes]:
            return spawn(
                [sys.executable, "-m", "alphintra", "serve", *roles],
                environment=everything,
                death_signal=signal.SIGKILL,
                log=log,
            )

        self._add(
            name,
            Managed(
                name,
                start,
                log=log,
                stop_steps=(StopStep(signal.SIGTERM, 10.0), StopStep(signal.SIGKILL, 2.0)),
            ),
            is_ours=True,
        ).managed.start()

    async def until_ready(self) -> None:
        """Wait until the HTTP face says that it is ready."""
        client = self.client(timeout_s=5)
        give_up_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                if (await client.ask("GET", "/health/ready")).status == 200:
                    break
            except NoAnswer:
                pass
            if time.monotonic() > give_up_s:
                raise TimeoutError(f"not ready in {START_TIMEOUT_S:g} s\n{self.ends_of_logs()}")
            await asyncio.sleep(0.05)
        client.close()

    def pid(self, name: str) -> int | None:
        """Return the process id of a process or server while it runs."""
        managed = self._parts[name].managed
        return managed.pid if managed.running else None

    def kill(self, victim: Victim, choose: Callable[[list[int]], int]) -> int | None:
        """Kill a process and return its id; `None` when there is none at the moment.

        Args:
            choose: which of several backends.
        """
        name = Victim.POSTGRES if victim is Victim.BACKEND else victim
        part = self._parts[name]
        if (pid := self.pid(name)) is None:
            return None
        if victim is Victim.BACKEND:
            backends = _backends_of(pid)
            if not backends:
                return None
            pid = choose(backends)
        else:
            part.killed.add(pid)
        os.kill(pid, signal.SIGKILL)
        return pid

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal that does not end it (SIGSTOP, SIGCONT)."""
        if (pid := self.pid(name)) is not None:
            os.kill(pid, number)

    async def stop_process(self, name: str) -> None:
        """End a process for good, as an operator does."""
        part = self._parts[name]
        part.is_stopped = True
        for attempt in range(part.managed.stop_attempts):
            give_up_s = time.monotonic() + part.managed.send_stop(attempt)
            while part.managed.running and time.monotonic() < give_up_s:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        part.managed.bury()

    async def stop(self) -> None:
        """End everything."""
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.gather(self._tending, return_exceptions=True)
        ours = [part.managed for part in self._parts.values() if part.is_ours]
        stop_all(ours)
        stop_all([part.managed for part in self._parts.values() if not part.is_ours])
        self._folder.release()

    def ends_of_logs(self, *, bytes_each: int = 3_000) -> str:
        """Return the end of each log, for the message of a failed test."""
        texts = []
        for log in sorted(self.logs.glob("*.log")):
            text = log.read_text(errors="replace")[-bytes_each:]
            texts.append(f"== {log.name}\n{text}")
        return "\n".join(texts)

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if "ALPHINTRA_" not in name}
        return {
            **ours,
            "PYTHONUNBUFFERED": "1",
            "ALPHINTRA_DATABASE_URL": self.database_url,
            "ALPHINTRA_BUS_URL": self.bus_url,
            "ALPHINTRA_MASTER_KEY": self._folder.memory.master_key,
            "ALPHINTRA_HOST": HOST,
            "ALPHINTRA_PORT": str(self.port),
            **self._settings,
        }

    def _start_servers(self) -> None:
        folder = self._folder
        folder.claim()
        account = service_account(folder.postgres)
        programs = find_postgres(runtime=folder.runtime, account=account)
        postgres = PostgresServer(folder, programs, account)
        postgres.prepare()
        self._add(Victim.POSTGRES, postgres.managed, is_ours=False).managed.start()
        nats = NatsServer(folder, find_nats(runtime=folder.runtime, account=account), account)
        self._add(Victim.NATS, nats.managed, is_ours=False)
        nats.start(timeout_s=START_TIMEOUT_S)
        give_up_s = time.monotonic() + START_TIMEOUT_S
        while not postgres.is_ready():
            postgres.managed.check_started()
            if time.monotonic() > give_up_s:
                raise TimeoutError("PostgreSQL did not start")
            time.sleep(0.01)
        self.database_url, self.admin_url = postgres.database_url, postgres.admin_url
        self.bus_url = nats.url

    def _add(self, name: str, managed: Managed, *, is_ours: bool) -> _Part:
        part = self._parts[name] = _Part(managed, is_ours)
        return part

    async def _tend(self) -> None:
        while True:
            now_s = time.monotonic()
            for name, part in list(self._parts.items()):
                if not part.is_stopped:
                    self._tend_part(name, part, now_s)
            await asyncio.sleep(TEND_EVERY_S)

    def _tend_part(self, name: str, part: _Part, now_s: float) -> None:
        managed = part.managed
        if part.start_again_at_s is not None:
            if now_s >= part.start_again_at_s:
                part.start_again_at_s = None
                managed.start()
            return
        if managed.running:
            return
        # PostgreSQL may refuse until the last backend of its killed predecessor is gone.
        if part.is_ours and managed.pid not in part.killed:
            end = managed.log.read_text(errors="replace")[-2_000:] if managed.log else ""
            self.ended_by_themselves.append(f"{name} (process {managed.pid}) ended:\n{end}")
        part.start_again_at_s = now_s + RESTART_PAUSE_S


def _backends_of(postmaster: int) -> list[int]:
    """Return the server processes of client connections."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name may hold blanks and brackets; what follows its last bracket is fixed.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            title = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == postmaster and title.startswith(b"postgres: alphintra "):
            found.append(int(entry.name))
    return sorted(found)


def free_port() -> int:
    """Return a port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running_product(
    *,
    layout: Mapping[str, tuple[str, ...]] = SEPARATE,
    settings: Mapping[str, str] = UNBOUNDED,
) -> AsyncIterator[Product]:
    """Run the product in a folder that is gone afterwards. Only from the main thread."""
    # Directly in the temporary folder: under root the servers run as another user, who has to pass.
    folder = Path(tempfile.mkdtemp(prefix="alphintra-crash-"))
    folder.chmod(0o755)
    product = Product(folder / "data", layout=layout, settings=settings)
    try:
        await product.start()
        yield product
    finally:
        try:
            await product.stop()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
