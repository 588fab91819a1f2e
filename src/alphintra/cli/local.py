"""What commands need that work on the database itself rather than over HTTP."""

import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from alphintra.cli.errors import CommandFailed

if TYPE_CHECKING:
    import asyncio

    from alphintra.platform.services import Services
    from alphintra.platform.settings import Settings

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder of `alphintra up`; there is a default."),
]
T = TypeVar("T")


def run_local(data_dir: Path | None, work: "Callable[[Services], Awaitable[T]]", *, name: str) -> T:
    """Run `work` with the services of this machine, in an event loop of its own.

    Raises:
        CommandFailed: there is no database to work on.
        BusUnavailable, DatabaseUnavailable: they do not answer.
    """
    import asyncio

    from alphintra.platform.services import open_services
    from alphintra.platform.telemetry import configure_logging

    settings = local_settings(data_dir)
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}), process=name)

    async def main() -> T:
        async with open_services(settings, name=name) as services:
            return await work(services)

    return asyncio.run(main())


def disconnected_services() -> "Services":
    """Return services that are connected to nothing, for what only describes the product."""
    from base64 import urlsafe_b64encode

    from pydantic import SecretStr

    from alphintra.core.clock import SystemClock
    from alphintra.core.ids import TimeOrderedIds
    from alphintra.platform.bus import Bus
    from alphintra.platform.database import Database
    from alphintra.platform.services import Services
    from alphintra.platform.settings import Settings

    clock = SystemClock()
    return Services(
        settings=Settings(master_key=SecretStr(urlsafe_b64encode(bytes(32)).decode())),
        database=Database("postgresql://nobody@localhost/nothing"),
        bus=Bus("nats://localhost"),
        clock=clock,
        ids=TimeOrderedIds(clock),
    )


def stop_on_signals() -> "asyncio.Event":
    """Return an event that SIGINT and SIGTERM set, so that long work ends in good order."""
    import asyncio

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def local_settings(data_dir: Path | None) -> "Settings":
    """Return the settings, with the database and the bus of a running `alphintra up`.

    A database that the settings name wins, unless the folder was asked for with --data.

    Raises:
        CommandFailed: nothing is configured and nothing is running.
    """
    from pydantic import SecretStr

    from alphintra.platform.embedded import default_data_dir, running_on
    from alphintra.platform.settings import load_settings

    settings = load_settings()
    if settings.database_url.get_secret_value() and data_dir is None:
        return settings
    folder = data_dir or default_data_dir()
    occupant = running_on(folder)
    if occupant is None or not occupant.database_url:
        raise CommandFailed(
            f"no database: ALPHINTRA_DATABASE_URL is not set and nothing runs on {folder}",
            code="no_database",
            advice="Start it with: alphintra up\nor name its folder with --data.",
        )
    return settings.model_copy(
        update={
            "database_url": SecretStr(occupant.database_url),
            "bus_url": SecretStr(occupant.bus_url),
            "master_key": SecretStr(occupant.master_key),
        }
    )
