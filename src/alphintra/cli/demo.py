"""The demo of `alphintra up`: a user with a password of its own, instruments and candles.

The password is random, made once per data folder, and kept there in `demo.json`, for its owner.
"""

import asyncio
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alphintra.cli.errors import CommandFailed

if TYPE_CHECKING:
    from alphintra.cli.credentials import Login
    from alphintra.platform.services import Services

EMAIL = "demo@alphintra.local"
_FILE = "demo.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoLogin:
    """How to log in as the demo user."""

    email: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningDemo:
    """The demo user of a server that runs on this machine."""

    folder: Path
    url: str
    email: str
    password: str


def seed(data_dir: Path) -> str:
    """Make what the demo needs, unless it is there; return the login in words.

    Safe to repeat and to interrupt: the password is written down before the user is made.
    """
    from alphintra.platform.services import open_services
    from alphintra.platform.settings import load_settings
    from alphintra.platform.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings, process="demo")
    known = read_login(data_dir)
    login = known or _new_login(data_dir)

    async def main() -> bool:
        async with open_services(settings, name="demo") as services:
            return await _seed(services, login)

    made = asyncio.run(main())
    if known is None and not made:
        # A database that another data folder has filled: the login made up here is not the one.
        (data_dir / _FILE).unlink()
        return f"{EMAIL}, with the password in the data folder where it was made"
    return f"{login.email}  password {login.password}"


async def _seed(services: "Services", login: DemoLogin) -> bool:
    """Make instruments, candles and the user; say whether there was no such user yet."""
    from alphintra import identity, market

    await market.seed_demo(services)
    await market.seed_datasets(services)
    ours = identity.build_identity(services)
    if await identity.find_user(ours, login.email) is not None:
        return False
    await identity.create_user(
        ours, email=login.email, password=login.password, first_name="Demo", last_name="Trader"
    )
    return True


def _new_login(data_dir: Path) -> DemoLogin:
    """Make a login up and write it down, all of it or nothing."""
    login = DemoLogin(email=EMAIL, password=secrets.token_urlsafe(18))
    partial = data_dir / f"{_FILE}.partial"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(login), file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(data_dir / _FILE)
    return login


def read_login(data_dir: Path) -> DemoLogin | None:
    """Return the demo login of a data folder, or `None` where there is none.

    Raises:
        CommandFailed: the file is not ours to read, or damaged.
    """
    file = data_dir.expanduser() / _FILE
    try:
        return DemoLogin(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (PermissionError, ValueError, TypeError) as error:
        raise CommandFailed(f"{file} cannot be read: {error}", code="bad_demo_file") from error


def running_demo(data_dir: Path | None) -> RunningDemo:
    """Return the demo user of the `up` that runs on a data folder.

    Raises:
        CommandFailed: nothing runs there, or it has no demo user.
    """
    from alphintra.platform.embedded import default_data_dir, running_on

    folder = data_dir or default_data_dir()
    occupant = running_on(folder)
    login = read_login(folder)
    if occupant is None or not occupant.http_url or login is None:
        raise CommandFailed(
            f"no demo runs on {folder}",
            code="no_demo",
            advice="Start it with: alphintra up\nor name its folder with --data.",
        )
    return RunningDemo(
        folder=folder, url=occupant.http_url, email=login.email, password=login.password
    )


def demo_password(login: "Login") -> str | None:
    """Return the password of a login that was made with `--demo`; `None` for any other."""
    if login.demo_folder is None:
        return None
    known = read_login(Path(login.demo_folder))
    return known.password if known is not None and known.email == login.email else None
