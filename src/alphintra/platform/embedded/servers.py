"""Start, watch and stop the embedded servers of one data folder."""

import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from alphintra.platform.embedded.account import service_account
from alphintra.platform.embedded.errors import ServerDidNotStart
from alphintra.platform.embedded.folder import DataFolder
from alphintra.platform.embedded.nats import NatsServer
from alphintra.platform.embedded.postgres import PostgresServer
from alphintra.platform.embedded.programs import find_nats, find_postgres
from alphintra.platform.processes import Managed, bound_log, stop_all

#: Long enough for the recovery of a database that crashed with a full log.
START_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where the embedded servers are. The URLs carry passwords: never on a command line.

    A server that was not asked for has an empty URL.
    """

    database_url: str = ""
    admin_url: str = ""
    bus_url: str = ""


class EmbeddedServers:
    """PostgreSQL and NATS as children of this process, in a data folder that it alone uses.

    Only the main thread may start them (their life hangs on the thread that forks). Usage:

        with EmbeddedServers(Path("/var/lib/alphintra")) as servers:
            endpoints = servers.start()
            while …:
                servers.tend(now_s=time.monotonic())
    """

    def __init__(self, data_dir: Path, *, postgres: bool = True, nats: bool = True) -> None:
        """Name the data folder and the servers that are wanted; nothing happens yet."""
        self.folder = DataFolder(data_dir)
        self._wants_postgres = postgres
        self._wants_nats = nats
        self._postgres: PostgresServer | None = None
        self._nats: NatsServer | None = None

    def start(self, *, timeout_s: float = START_TIMEOUT_S) -> Endpoints:
        """Start the servers and wait until they take connections.

        Raises:
            DataFolderInUse: another process runs there; the message says which.
            DataFolderNotYours, DataFolderUnreachable: permissions stand in the way.
            ServerDidNotStart, ProcessDidNotStart: with the end of the server's log.
        """
        endpoints = self.launch(timeout_s=timeout_s)
        self.wait_ready(timeout_s=timeout_s)
        return endpoints

    def launch(self, *, timeout_s: float = START_TIMEOUT_S) -> Endpoints:
        """Claim the folder and start the servers without waiting for the database.

        The addresses are final, so work that does not need the database yet can go on meanwhile.

        Raises:
            as `start`.
        """
        try:
            self.folder.claim()
            if self._wants_postgres or self._wants_nats:
                self._launch_servers(timeout_s)
        except BaseException:
            self.stop()
            raise
        endpoints = Endpoints(
            database_url=self._postgres.database_url if self._postgres else "",
            admin_url=self._postgres.admin_url if self._postgres else "",
            bus_url=self._nats.url if self._nats else "",
        )
        self.folder.describe(
            database_url=endpoints.database_url,
            bus_url=endpoints.bus_url,
            master_key=self.folder.memory.master_key,
        )
        return endpoints

    def wait_ready(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the database takes connections.

        Raises:
            ServerDidNotStart, ProcessDidNotStart: it did not; the message has the end of its log.
        """
        if self._postgres is None:
            return
        give_up_s = time.monotonic() + timeout_s
        while not self._postgres.is_ready():
            self._postgres.managed.check_started()
            if time.monotonic() > give_up_s:
                raise ServerDidNotStart(
                    f"PostgreSQL took no connections within {timeout_s:g} s; "
                    f"see {self._postgres.managed.log}"
                )
            time.sleep(0.01)

    def tend(self, *, now_s: float) -> list[str]:
        """Start again what died; call this several times a second.

        Args:
            now_s: monotonic time in seconds.

        Returns:
            A sentence for each thing that happened.

        Raises:
            ProcessKeepsDying: a server died too often.
        """
        said: list[str] = []
        for managed in self._managed():
            if (news := managed.tend(now_s=now_s)) is not None:
                said.append(news)
            if managed.log is not None:
                bound_log(managed.log)
        return said

    def noted(self, name: str) -> str:
        """Return what `note` kept, or nothing; nothing too when the database is not ours."""
        return "" if self._postgres is None else self._postgres.noted(name)

    def note(self, name: str, text: str) -> None:
        """Keep a fact about the content of the database with it, to spare work at the next start.

        It travels with copies and backups, so it never speaks of another state of the data.
        """
        if self._postgres is not None:
            self._postgres.note(name, text)

    def pids(self) -> dict[str, int | None]:
        """Return the process id of each server by name."""
        return {managed.name: managed.pid for managed in self._managed()}

    def stop(self) -> None:
        """End the servers and let go of the folder; what was committed stays."""
        stop_all(self._managed())
        self._postgres = self._nats = None
        self.folder.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _launch_servers(self, timeout_s: float) -> None:
        folder = self.folder
        account = service_account(folder.postgres)
        if self._wants_postgres:
            programs = find_postgres(runtime=folder.runtime, account=account)
            self._postgres = PostgresServer(folder, programs, account)
            self._postgres.prepare()
            self._postgres.managed.start()
        if self._wants_nats:
            program = find_nats(runtime=folder.runtime, account=account)
            self._nats = NatsServer(folder, program, account)
            self._nats.start(timeout_s=timeout_s)

    def _managed(self) -> list[Managed]:
        return [server.managed for server in (self._nats, self._postgres) if server is not None]
