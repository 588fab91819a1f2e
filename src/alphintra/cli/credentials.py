"""Who is logged in where: one small file, readable by its owner only.

`$XDG_CONFIG_HOME/alphintra/credentials.json` (or `~/.config/…`) holds the tokens of one login per
server. It is replaced as a whole, so a reader never sees half of it. Whoever renews a login holds
a lock, because a refresh token can be used once: two commands renewing together would end it.
"""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from alphintra.cli.errors import CommandFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The tokens of one login; the access token ends at `expires_at_s`, seconds since the epoch."""

    email: str
    access_token: str
    refresh_token: str
    expires_at_s: float
    #: Keeps this device able to log in while strangers guess at the password.
    device_token: str | None = None
    #: Where the demo user's password is, for a login with `--demo`.
    demo_folder: str | None = None


def default_path() -> Path:
    """Return where credentials are kept on this machine."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    folder = Path(base) if base.startswith("/") else Path.home() / ".config"
    return folder / "alphintra" / "credentials.json"


class CredentialStore:
    """The file of logins."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or default_path()

    def current_server(self) -> str | None:
        """Return the server that was logged in to last."""
        return self._read()[0]

    def login(self, server: str) -> Login | None:
        """Return the login for a server, or `None`."""
        return self._read()[1].get(server)

    def save(self, server: str, login: Login) -> None:
        """Keep the login for a server and make that server the current one."""
        _, logins = self._read()
        self._write(server, {**logins, server: login})

    def forget(self, server: str) -> None:
        """Remove the login for a server."""
        current, logins = self._read()
        logins.pop(server, None)
        self._write(None if current == server else current, logins)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands from changing the file meanwhile."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _read(self) -> tuple[str | None, dict[str, Login]]:
        try:
            document = json.loads(self._path.read_text())
            logins = {server: Login(**login) for server, login in document["logins"].items()}
            return document["current"], logins
        except FileNotFoundError:
            return None, {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CommandFailed(
                f"{self._path} is not a credentials file",
                code="bad_credentials_file",
                advice="Remove it and log in again: alphintra user login",
            ) from error

    def _write(self, current: str | None, logins: dict[str, Login]) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        document = {
            "current": current,
            "logins": {server: asdict(login) for server, login in logins.items()},
        }
        # `mkstemp` makes the file 0600 from the start; `replace` is atomic within a folder.
        descriptor, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=".credentials-")
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(document, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self._path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
