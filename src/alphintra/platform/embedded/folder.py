"""The data folder: who may use it, who uses it now, and what it remembers.

    lock            held by the supervisor while it runs; says who that is
    embedded.json   passwords and ports of the servers, for our eyes only
    postgres/       the database         nats/      the streams
    run/            the Unix socket      logs/      one file per process
    runtime/        copies of the server programs, where the installed ones cannot be reached

The lock is the kernel's: it ends with the process that holds it, however that ends.
"""

import fcntl
import json
import os
import pwd
import secrets
import tempfile
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path

from alphintra.platform.embedded.account import require_reachable
from alphintra.platform.embedded.errors import (
    DataFolderDamaged,
    DataFolderInUse,
    DataFolderNotYours,
)
from alphintra.platform.processes import Account

#: A Unix socket address holds 108 bytes with its final zero; PostgreSQL appends `/.s.PGSQL.5432`.
SOCKET_FOLDER_BYTES_MAX = 107 - len("/.s.PGSQL.5432.lock")

_PASSWORD_BYTES = 24
_MASTER_KEY_BYTES = 32


def default_data_dir() -> Path:
    """Return where the data of this user goes unless told otherwise."""
    if os.geteuid() == 0:
        return Path("/var/lib/alphintra")
    base = os.environ.get("XDG_DATA_HOME", "")
    # The specification says that a relative path is to be ignored.
    root = Path(base) if base.startswith("/") else Path.home() / ".local" / "share"
    return root / "alphintra"


def _password() -> str:
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def _master_key() -> str:
    return urlsafe_b64encode(secrets.token_bytes(_MASTER_KEY_BYTES)).decode()


@dataclass(slots=True, kw_only=True)
class Memory:
    """What a data folder remembers between two starts. Secret."""

    admin_password: str = field(default_factory=_password)
    app_password: str = field(default_factory=_password)
    bus_password: str = field(default_factory=_password)
    #: Encrypts the secrets at rest in the database; without it they are lost.
    master_key: str = field(default_factory=_master_key)
    #: Which passwords the roles in the database have; empty before the first start.
    roles_have: str = ""
    bus_port: int = 0
    #: A socket folder outside the data folder, when the path of that one is too long.
    socket_folder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupant:
    """The supervisor that holds a data folder, as it describes itself in the lock file."""

    pid: int
    since: str
    http_url: str = ""
    database_url: str = ""
    bus_url: str = ""
    master_key: str = ""


class DataFolder:
    """A data folder that this process may claim for itself."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.memory = Memory()
        self._lock: int | None = None

    @property
    def postgres(self) -> Path:
        """The folder of the database."""
        return self.path / "postgres"

    @property
    def nats(self) -> Path:
        """The folder of the streams."""
        return self.path / "nats"

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.path / "logs"

    @property
    def runtime(self) -> Path:
        """The folder of copied programs."""
        return self.path / "runtime"

    def claim(self) -> None:
        """Make the folder where it is missing and take its lock.

        Raises:
            DataFolderInUse: somebody else has it.
            DataFolderNotYours: we may not write there.
        """
        try:
            _make_chain(self.path)
            self._lock = self._take_lock()
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self._load()
        except PermissionError as error:
            self.release()
            raise DataFolderNotYours(
                f"{self.path} cannot be used by {_user_name(os.geteuid())}: {error.strerror} "
                f"({error.filename}). It belongs to {self._owner()}. Start as that user, or choose "
                "another folder with --data",
                folder=str(self.path),
            ) from error
        except NotADirectoryError as error:
            raise DataFolderNotYours(f"{self.path} is not a folder; choose another") from error

    def give(self, folder: Path, account: Account | None) -> None:
        """Make a private folder inside for the user that the servers run as."""
        if account is not None:
            require_reachable(account, self.path)
        folder.mkdir(mode=0o700, exist_ok=True)
        if account is not None:
            os.chown(folder, account.uid, account.gid)

    def socket_folder(self, account: Account | None) -> Path:
        """Return a private folder for the Unix socket whose path is short enough."""
        inside = self.path / "run"
        if len(os.fsencode(inside)) <= SOCKET_FOLDER_BYTES_MAX:
            self.give(inside, account)
            return inside
        if self.memory.socket_folder:
            _remove_socket_folder(Path(self.memory.socket_folder))
        # A fresh unguessable name each time: nobody else can have put anything there.
        outside = Path(tempfile.mkdtemp(prefix="alphintra-", dir="/tmp"))
        self.memory.socket_folder = str(outside)
        self.save()
        if account is not None:
            os.chown(outside, account.uid, account.gid)
        return outside

    def describe(
        self, *, database_url: str, bus_url: str, master_key: str, http_url: str = ""
    ) -> None:
        """Write into the lock who we are, and what other commands of our user need to join."""
        assert self._lock is not None
        occupant = Occupant(
            pid=os.getpid(),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            http_url=http_url,
            database_url=database_url,
            bus_url=bus_url,
            master_key=master_key,
        )
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, json.dumps(asdict(occupant)).encode(), 0)

    def save(self) -> None:
        """Write the memory so that a crash leaves either the old or the new one."""
        partial = self.path / "embedded.json.partial"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self.memory), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(self.path / "embedded.json")
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def release(self) -> None:
        """Let go of the folder."""
        if self._lock is None:
            return
        if self.memory.socket_folder:
            _remove_socket_folder(Path(self.memory.socket_folder))
        os.ftruncate(self._lock, 0)
        os.close(self._lock)
        self._lock = None

    def _take_lock(self) -> int:
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            occupant = _read_occupant(lock)
            os.close(lock)
            raise DataFolderInUse(_in_use(self.path, occupant), folder=str(self.path)) from error
        os.ftruncate(lock, 0)
        return lock

    def _load(self) -> None:
        file = self.path / "embedded.json"
        if not file.exists():
            if self.postgres.exists():
                raise DataFolderDamaged(
                    f"{file} is missing although there is a database. It holds the key that "
                    "encrypts secrets; restore it from a backup. To give those secrets up and "
                    f"start with a fresh key: echo '{{}}' > {file}"
                )
            self.save()
            return
        try:
            read = json.loads(file.read_text())
            known = {each.name for each in fields(Memory)}
            self.memory = Memory(**{key: value for key, value in read.items() if key in known})
        except (ValueError, AttributeError, TypeError) as error:
            raise DataFolderDamaged(
                f"{file} cannot be read: {error}. It holds the passwords of the servers and the "
                "key that encrypts secrets; restore it from a backup"
            ) from error
        if known - read.keys():
            self.save()  # what was not there was made anew and has to stay the same from here on

    def _owner(self) -> str:
        try:
            return _user_name(self.path.stat().st_uid)
        except OSError:
            return "another user"


def running_on(data_dir: Path) -> Occupant | None:
    """Return who runs on a data folder at this moment, with the addresses of the servers.

    Raises:
        DataFolderNotYours: it runs as another user, whose secrets we may not read.
    """
    try:
        lock = os.open(data_dir.expanduser() / "lock", os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise DataFolderNotYours(
            f"{data_dir} belongs to another user; run this as that user", folder=str(data_dir)
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_occupant(lock)
    else:
        return None
    finally:
        os.close(lock)


def _read_occupant(lock: int) -> Occupant | None:
    try:
        return Occupant(**json.loads(os.pread(lock, 16_384, 0)))
    except (ValueError, TypeError):
        return None  # it holds the lock and has not introduced itself yet


def _in_use(folder: Path, occupant: Occupant | None) -> str:
    if occupant is None:
        return (
            f"Alphintra is just starting on {folder}. Wait for it, or choose another folder "
            "with --data"
        )
    where = f", at {occupant.http_url}" if occupant.http_url else ""
    return (
        f"Alphintra runs on {folder} already: process {occupant.pid}, since "
        f"{occupant.since}{where}. "
        f"Use that one, stop it with `kill {occupant.pid}`, or choose another folder with --data"
    )


def _make_chain(path: Path) -> None:
    """Make missing folders; those that exist keep their permissions."""
    as_root = os.geteuid() == 0
    for missing in reversed([each for each in path.parents if not each.exists()]):
        missing.mkdir(exist_ok=True)
        if as_root:
            missing.chmod(0o755)  # whatever the umask is: the service user has to pass
    if not path.exists():
        path.mkdir(exist_ok=True)
        path.chmod(0o711 if as_root else 0o700)


def _remove_socket_folder(folder: Path) -> None:
    if folder.parent != Path("/tmp") or folder.is_symlink() or not folder.is_dir():  # noqa: S108
        return
    for file in folder.iterdir():
        file.unlink(missing_ok=True)
    folder.rmdir()


def _user_name(uid: int) -> str:
    try:
        return f"user '{pwd.getpwuid(uid).pw_name}'"
    except KeyError:
        return f"user id {uid}"
