"""NATS with JetStream from its wheel: loopback only, with a password, synced at every write."""

import errno
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path

from alphintra.platform.embedded.errors import ServerDidNotStart
from alphintra.platform.embedded.folder import DataFolder
from alphintra.platform.processes import Account, Managed, StopStep, spawn

HOST = "127.0.0.1"
USER = "alphintra"
PAYLOAD_BYTES_MAX = 8 * 1024 * 1024

_FIRST_PORT = 4222
_PORTS_TRIED = 200
_INFO_TIMEOUT_S = 1.0


class NatsServer:
    """The message server of one data folder."""

    def __init__(self, folder: DataFolder, program: Path, account: Account | None) -> None:
        self._folder = folder
        self._program = program
        self._account = account
        self._configuration = folder.nats / "nats.conf"
        self._name = f"alphintra-{secrets.token_hex(8)}"
        self.managed = Managed(
            "NATS",
            self._spawn,
            log=folder.logs / "nats.log",
            stop_steps=(StopStep(signal.SIGTERM, 5.0), StopStep(signal.SIGKILL, 2.0)),
        )

    @property
    def url(self) -> str:
        """The address with its user and password."""
        memory = self._folder.memory
        return f"nats://{USER}:{memory.bus_password}@{HOST}:{memory.bus_port}"

    def start(self, *, timeout_s: float) -> None:
        """Start and wait until it answers; a port that is taken is passed over.

        Raises:
            ServerDidNotStart: it ended or did not answer in time.
        """
        give_up_s = time.monotonic() + timeout_s
        self._folder.give(self._folder.nats, self._account)
        for port in self._ports():
            self._folder.memory.bus_port = port
            self._write_configuration(port)
            self.managed.start()
            while self.managed.running:
                if self._answers(port):
                    self._folder.save()  # the same port next time
                    return
                if time.monotonic() > give_up_s:
                    raise ServerDidNotStart(
                        f"NATS did not answer within {timeout_s:g} s; see {self.managed.log}"
                    )
                time.sleep(0.01)
            if _is_free(port):
                self.managed.check_started()
            # Somebody took the port between our look and its start: on to the next.
        raise ServerDidNotStart("no free port for NATS was found")

    def _ports(self) -> list[int]:
        last = self._folder.memory.bus_port
        candidates = [last] if last else []
        candidates += range(_FIRST_PORT, _FIRST_PORT + _PORTS_TRIED)
        return [port for port in candidates if _is_free(port)]

    def _write_configuration(self, port: int) -> None:
        text = "\n".join(
            (
                f"server_name: {self._name}",
                f'listen: "{HOST}:{port}"',
                f"max_payload: {PAYLOAD_BYTES_MAX}",
                f'authorization {{ user: {USER}, password: "{self._folder.memory.bus_password}" }}',
                "jetstream {",
                "  max_memory_store: 256MB",
                f"  store_dir: {json.dumps(str(self._folder.nats), ensure_ascii=False)}",
                # Measured: with the default a power loss takes a stream of seconds ago whole.
                "  sync_interval: always",
                "}",
                "",
            )
        )
        self._configuration.unlink(missing_ok=True)
        descriptor = os.open(
            self._configuration, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600
        )
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            if self._account is not None:
                os.fchown(descriptor, self._account.uid, self._account.gid)

    def _spawn(self) -> subprocess.Popen[bytes]:
        return spawn(
            [self._program, "--config", self._configuration],
            environment={"PATH": os.defpath, "TZ": "UTC"},
            death_signal=signal.SIGTERM,
            log=self.managed.log,
            account=self._account,
            cwd=Path("/"),
        )

    def _answers(self, port: int) -> bool:
        """Whether our own server, and not a stranger on the port, greets there."""
        try:
            with socket.socket() as connection:
                connection.settimeout(_INFO_TIMEOUT_S)
                connection.connect((HOST, port))
                greeting = connection.recv(4096)
        except OSError:
            return False
        return greeting.startswith(b"INFO ") and self._name.encode() in greeting


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server itself does: a port whose last connections linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True
