"""PostgreSQL from its wheel, with our own settings and nobody trusted.

We call `initdb` and `postgres` ourselves: the Python face of the wheel opens every folder above the
data to everyone, makes users and lets any local user in without a password.
"""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from alphintra.platform.embedded.errors import DatabaseFromOtherVersion, ServerDidNotStart
from alphintra.platform.embedded.folder import DataFolder
from alphintra.platform.embedded.programs import PostgresPrograms
from alphintra.platform.processes import Account, Managed, StopStep, end_of_log, spawn

DATABASE = "alphintra"
APP_ROLE = "alphintra"
ADMIN_ROLE = "alphintra_admin"

#: For a machine with two cores and more than 4 GB. Durability is not negotiable: an order that was
#: acknowledged is on the disk. `ALTER SYSTEM` overrides any of these.
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "replica",
    "wal_compression": "on",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "10min",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%a ",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
    "log_lock_waits": "on",
    "password_encryption": "scram-sha-256",
}

_ACCESS = """\
# Written at every start. The only way in is the Unix socket, with a password.
local  all          all               scram-sha-256
local  replication  {admin}  scram-sha-256
"""

_INITDB_TIMEOUT_S = 120
_ORPHAN_GRACE_S = 15.0


class PostgresServer:
    """The database server of one data folder."""

    def __init__(
        self, folder: DataFolder, programs: PostgresPrograms, account: Account | None
    ) -> None:
        self._folder = folder
        self._programs = programs
        self._account = account
        self._data = folder.postgres
        self._log = folder.logs / "postgres.log"
        self._environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
        self._socket_folder = folder.socket_folder(account)
        self.managed = Managed(
            "PostgreSQL",
            self._spawn,
            log=self._log,
            # Fast shutdown, immediate shutdown, and what no program survives.
            stop_steps=(
                StopStep(signal.SIGINT, 8.0),
                StopStep(signal.SIGQUIT, 3.0),
                StopStep(signal.SIGKILL, 2.0),
            ),
        )

    @property
    def database_url(self) -> str:
        """The database of the product, as its own role."""
        return self._url(APP_ROLE, self._folder.memory.app_password, DATABASE)

    @property
    def admin_url(self) -> str:
        """The server's superuser, for backups and for tests that make databases."""
        return self._url(ADMIN_ROLE, self._folder.memory.admin_password, "postgres")

    @property
    def exists(self) -> bool:
        """Whether the database was made already."""
        return (self._data / "PG_VERSION").exists()

    def noted(self, name: str) -> str:
        """Return what `note` wrote into this database's folder, or nothing."""
        try:
            return self._note_file(name).read_text()
        except FileNotFoundError:
            return ""

    def note(self, name: str, text: str) -> None:
        """Keep a fact about the content of the database beside it.

        A copy, a backup or a restored state of the database has the notes of its own time.
        """
        self._write(self._note_file(name), text)

    def _note_file(self, name: str) -> Path:
        return self._data / f"alphintra.{name}"

    def prepare(self) -> None:
        """Make the database where there is none, and leave nothing of a crashed run in the way.

        Raises:
            DatabaseFromOtherVersion: another major version of PostgreSQL made it.
            ServerDidNotStart: `initdb` failed.
        """
        if self.exists:
            self._check_version()
            self._end_orphan()  # also before the passwords below, which need the data to themselves
        else:
            self._create()
        memory = self._folder.memory
        if memory.roles_have != _fingerprint(memory.admin_password, memory.app_password):
            self._set_passwords(self._data)
        self._write_settings(self._data)

    def is_ready(self) -> bool:
        """Whether the server takes connections."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.managed.pid) and lines[7].strip() == "ready"

    def _url(self, role: str, password: str, database: str) -> str:
        folder = quote(str(self._socket_folder), safe="")
        return f"postgresql://{role}:{password}@/{database}?host={folder}"

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._end_orphan()
        return spawn(
            [self._programs.postgres, "-D", self._data],
            environment=self._environment,
            # Fast shutdown: the clients are ours and gone as well.
            death_signal=signal.SIGINT,
            log=self._log,
            account=self._account,
            cwd=Path("/"),
        )

    def _create(self) -> None:
        # Made under another name and renamed when complete, so a crash never leaves half of one.
        partial = self._data.with_name("postgres.partial")
        shutil.rmtree(partial, ignore_errors=True)
        self._folder.give(partial, self._account)
        self._run(
            self._programs.initdb,
            f"--pgdata={partial}",
            f"--username={ADMIN_ROLE}",
            "--encoding=UTF8",
            # The same order of text on every machine, whatever locales are installed there.
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--data-checksums",
            "--auth=reject",
            "--no-instructions",
        )
        with (partial / "postgresql.conf").open("a") as file:
            file.write("\ninclude 'alphintra.conf'\n")
        self._write_settings(partial)
        self._sql(
            partial,
            f"CREATE ROLE {APP_ROLE} LOGIN",
            f"GRANT pg_monitor TO {APP_ROLE}",
            f"CREATE DATABASE {DATABASE} OWNER {APP_ROLE}",
            f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC",
        )
        self._set_passwords(partial)
        partial.rename(self._data)

    def _set_passwords(self, data: Path) -> None:
        memory = self._folder.memory
        self._sql(
            data,
            f"ALTER ROLE {ADMIN_ROLE} PASSWORD '{memory.admin_password}'",
            f"ALTER ROLE {APP_ROLE} PASSWORD '{memory.app_password}'",
        )
        memory.roles_have = _fingerprint(memory.admin_password, memory.app_password)
        self._folder.save()

    def _write_settings(self, data: Path) -> None:
        settings = {**SETTINGS, "unix_socket_directories": str(self._socket_folder)}
        lines = [
            f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in settings.items()
        ]
        self._write(
            data / "alphintra.conf", "# Written at every start.\n" + "\n".join(lines) + "\n"
        )
        self._write(data / "pg_hba.conf", _ACCESS.format(admin=ADMIN_ROLE))

    def _write(self, file: Path, text: str) -> None:
        # The database folder belongs to the service user: never follow a link that it may have put
        # there when writing as root.
        file.unlink(missing_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            if self._account is not None:
                os.fchown(descriptor, self._account.uid, self._account.gid)

    def _sql(self, data: Path, *statements: str) -> None:
        """Run statements in a server of one session, before anybody can connect."""
        self._run(
            self._programs.postgres,
            "--single",
            "-D",
            str(data),
            "-c",
            "exit_on_error=on",
            "-c",
            "log_min_messages=error",
            "postgres",
            text="\n".join(statements) + "\n",
        )

    def _run(self, program: Path, *arguments: str, text: str | None = None) -> None:
        account = self._account
        answer = subprocess.run(
            [program, *arguments],
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=_INITDB_TIMEOUT_S,
            env=self._environment,
            cwd="/",
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
            umask=0o077,
        )
        if answer.returncode != 0:
            said = "\n".join((answer.stdout + answer.stderr).strip().splitlines()[-10:])
            raise ServerDidNotStart(
                f"{program.name} failed while preparing {self._data}:\n{said}", program=program.name
            )

    def _check_version(self) -> None:
        ours = self._programs.major_version()
        theirs = (self._data / "PG_VERSION").read_text().strip()
        if ours != theirs:
            raise DatabaseFromOtherVersion(
                f"{self._data} was made by PostgreSQL {theirs} and this is PostgreSQL {ours}. "
                f"Dump it with version {theirs} and restore it into a fresh folder"
            )

    def _end_orphan(self) -> None:
        """Wait for a server that outlived a killed supervisor, and drop its stale lock files.

        We hold the folder's lock, so whatever still runs there is about to end. Lock files that
        name a process which is something else (after a reboot numbers are given anew) would
        otherwise keep PostgreSQL from starting for ever.
        """
        if not Path("/proc/self").exists():
            return  # no way to tell what a process is: PostgreSQL's own caution has to do
        pid_file = self._data / "postmaster.pid"
        pid = _first_number(pid_file)
        if pid is not None:
            self._wait_for_end(pid)
        for stale in (pid_file, *self._socket_folder.glob(".s.PGSQL.*")):
            stale.unlink(missing_ok=True)

    def _wait_for_end(self, pid: int) -> None:
        give_up_s = time.monotonic() + _ORPHAN_GRACE_S
        sign = signal.SIGINT
        while self._is_our_server(pid):
            with suppress(ProcessLookupError):
                os.kill(pid, sign)
            if time.monotonic() > give_up_s:
                raise ServerDidNotStart(
                    f"process {pid} is a PostgreSQL of an earlier run on {self._data} and does not "
                    f"end. The end of its log:\n{end_of_log(self._log)}"
                )
            # After two thirds of the time: immediate shutdown, which recovery makes good.
            if time.monotonic() > give_up_s - _ORPHAN_GRACE_S / 3:
                sign = signal.SIGQUIT
            time.sleep(0.05)

    def _is_our_server(self, pid: int) -> bool:
        try:
            # The postmaster works in its data folder.
            return Path(f"/proc/{pid}/cwd").readlink() == self._data.resolve()
        except OSError:
            return False


def _first_number(file: Path) -> int | None:
    try:
        return int(file.read_text().splitlines()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None


def _fingerprint(*passwords: str) -> str:
    # Not the passwords again, only enough to see that they changed.
    return "/".join(password[:4] for password in passwords)
