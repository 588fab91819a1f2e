"""The unprivileged user that the servers run as when root starts them."""

import os
import pwd
import subprocess
from collections.abc import Iterable
from pathlib import Path

from alphintra.platform.embedded.errors import DataFolderUnreachable, NoServiceUser
from alphintra.platform.processes import Account

#: The system user of a root installation; made when it is missing.
SERVICE_USER = "alphintra"

_PROBE_TIMEOUT_S = 10

# `test` asks the kernel, so that group membership, ACLs and mount options count as well.
_FIRST_CLOSED = 'for folder do test -x "$folder" || { printf %s "$folder"; exit 0; }; done'


def service_account(existing: Path) -> Account | None:
    """Return who runs the servers; `None` means ourselves, because we are not root.

    Args:
        existing: folder of an existing database; its owner is the answer when there is one, so
            that a later start never runs as somebody who cannot read the data.

    Raises:
        NoServiceUser: there is no user that could, or ours has no name (PostgreSQL insists on one).
    """
    if os.geteuid() != 0:
        if _by_uid(os.geteuid()) is None:
            raise NoServiceUser(
                f"user id {os.geteuid()} has no entry in the user database, and PostgreSQL refuses "
                "to run without one. Add the user, or set ALPHINTRA_DATABASE_URL"
            )
        return None
    if existing.is_dir() and (owner := existing.stat().st_uid) != 0:
        if (account := _by_uid(owner)) is None:
            raise NoServiceUser(
                f"{existing} belongs to user id {owner}, which does not exist here. "
                f"Give the folder to an existing user with `chown -R`"
            )
        return account
    account = _by_name(SERVICE_USER) or _create() or _by_name("nobody")
    if account is None or account.uid == 0:
        raise NoServiceUser(
            "PostgreSQL does not run as root and no other user could be found or made. "
            f"Run `useradd --system {SERVICE_USER}`, or start as an ordinary user"
        )
    return account


def first_closed(account: Account, folders: Iterable[Path]) -> Path | None:
    """Return the first folder or program of a chain that `account` cannot enter or run."""
    answer = subprocess.run(
        ["/bin/sh", "-c", _FIRST_CLOSED, "sh", *map(str, folders)],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
        timeout=_PROBE_TIMEOUT_S,
    )
    return Path(answer.stdout) if answer.stdout else None


def require_reachable(account: Account, folder: Path) -> None:
    """Check that `account` can enter the folder; permissions are never changed to make it so.

    Raises:
        DataFolderUnreachable: it cannot; the message names the folder that is closed.
    """
    chain = [*reversed(folder.parents), folder]
    if (closed := first_closed(account, chain)) is not None:
        raise DataFolderUnreachable(
            f"{folder} cannot be used: the servers run as user '{account.name}', who may not enter "
            f"{closed}. Choose a folder that every user can reach, for example "
            f"`--data /var/lib/alphintra`, or start as an ordinary user",
            folder=str(closed),
        )


def _create() -> Account | None:
    try:
        subprocess.run(
            ["useradd", "--system", "--user-group", "--no-create-home",
             "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", SERVICE_USER],
            check=False,
            capture_output=True,
            timeout=_PROBE_TIMEOUT_S,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    # Looked up whatever `useradd` said: another process may have made the user meanwhile.
    return _by_name(SERVICE_USER)


def _by_name(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _by_uid(uid: int) -> Account | None:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return None
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)
