"""`alphintra doctor`: checks the machine and the running platform, and says what to do."""

import asyncio
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from alphintra.core.errors import Problem

if TYPE_CHECKING:
    from alphintra.platform.embedded import Occupant

PYTHON_MIN = (3, 11)
DISK_FREE_MIN_BYTES = 1_000_000_000
POSTGRES_MIN = 160_000
CLOCK_SKEW_MAX_S = 2.0
NOTHING_RUNS = "nothing runs here; start it with: alphintra up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check; `skipped` means that there was nothing to look at."""

    name: str
    state: Literal["ok", "wrong", "skipped"]
    detail: str
    advice: str = ""

    @property
    def ok(self) -> bool:
        return self.state != "wrong"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def _ok(name: str, detail: str) -> Finding:
    return Finding(name=name, state="ok", detail=detail)


def _wrong(name: str, detail: str, advice: str) -> Finding:
    return Finding(name=name, state="wrong", detail=detail, advice=advice)


def _skipped(name: str, detail: str) -> Finding:
    return Finding(name=name, state="skipped", detail=detail)


def examine(*, data_dir: Path | None, url: str | None) -> list[Finding]:
    """Run every check; what cannot be reached is a finding, never an exception."""
    from alphintra.platform.embedded import default_data_dir, running_on

    folder = data_dir or default_data_dir()
    findings = [check_python(), check_disk(folder), check_sandbox()]
    try:
        occupant = running_on(folder)
    except Problem as problem:
        findings.append(_wrong("data folder", problem.detail, problem.title))
        occupant = None
    else:
        findings.append(
            _ok("data folder", f"{folder}, used by process {occupant.pid} since {occupant.since}")
            if occupant
            else _ok("data folder", f"{folder}, not in use")
        )
    server = url or os.environ.get("ALPHINTRA_URL") or (occupant.http_url if occupant else "")
    findings += [check_port(server), *check_database(_url("database_url", occupant))]
    findings += [check_bus(_url("bus_url", occupant)), *check_server(server)]
    return findings


def _url(name: str, occupant: "Occupant | None") -> str:
    from alphintra.platform.settings import load_settings

    configured = str(getattr(load_settings(), name).get_secret_value())
    return configured or (str(getattr(occupant, name)) if occupant else "")


def check_python() -> Finding:
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < PYTHON_MIN:
        return _wrong("python", found, f"Install Python {'.'.join(map(str, PYTHON_MIN))} or newer.")
    return _ok("python", found)


def check_sandbox() -> Finding:
    """Look whether users' code and files can be isolated here."""
    from alphintra.platform.sandbox import Mode, state

    found = asyncio.run(state())
    if found.mode is Mode.NONE:
        return _wrong(
            "sandbox",
            f"users' code and uploads are refused: {found.reason}",
            "Use a kernel with Landlock (5.13 or later, `lsm=landlock,…`), or install bubblewrap.",
        )
    return _ok("sandbox", f"users' code and uploads are isolated by {found.mode}")


def check_disk(folder: Path) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free_bytes = shutil.disk_usage(existing).free
    detail = f"{free_bytes / 1e9:.1f} GB free at {existing}"
    if free_bytes < DISK_FREE_MIN_BYTES:
        return _wrong("disk", detail, "Make room or choose another folder with --data.")
    return _ok("disk", detail)


def check_port(server: str) -> Finding:
    """Look whether the port is free, or whether what listens there is us."""
    from alphintra.platform.settings import load_settings

    if server:
        parts = urlsplit(server)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    else:
        host, port = load_settings().host, load_settings().port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.settimeout(3)
        try:
            listening = probe.connect_ex((host, port)) == 0
        except OSError as error:
            return _wrong("port", f"{host}: {error}", "Check the name and the network.")
    if listening == bool(server):
        return _ok("port", f"{host}:{port} {'answers' if listening else 'is free'}")
    if listening:
        return _wrong(
            "port", f"{host}:{port} is taken by another program", "Start with --port 0 or free it."
        )
    return _wrong(
        "port", f"nothing listens at {host}:{port}", "Start the server, or correct the URL."
    )


def check_database(database_url: str) -> Iterator[Finding]:
    """Connect, and compare version, clock and tables with what we need."""
    if not database_url:
        yield _skipped("database", NOTHING_RUNS)
        return
    import psycopg
    from sqlalchemy.engine import make_url

    conninfo = make_url(database_url).set(drivername="postgresql").render_as_string(False)
    try:
        with psycopg.connect(conninfo, connect_timeout=5) as connection:
            yield _server_version(connection)
            yield _clock(connection)
            yield _tables(connection)
    except psycopg.Error as error:
        yield _wrong(
            "database",
            str(error).strip().splitlines()[0],
            "Start the database, or correct ALPHINTRA_DATABASE_URL.",
        )


def _server_version(connection: Any) -> Finding:
    started_s = time.perf_counter()
    connection.execute("SELECT 1")
    took_ms = (time.perf_counter() - started_s) * 1000
    number = connection.info.server_version
    detail = f"PostgreSQL {number // 10_000}.{number % 10_000}, answers in {took_ms:.1f} ms"
    if number < POSTGRES_MIN:
        return _wrong("database", detail, f"Use PostgreSQL {POSTGRES_MIN // 10_000} or newer.")
    return _ok("database", detail)


def _clock(connection: Any) -> Finding:
    (there_s,) = connection.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
    skew_s = abs(float(there_s) - time.time())
    detail = f"{skew_s:.3f} s apart from the database"
    if skew_s > CLOCK_SKEW_MAX_S:
        return _wrong("clock", detail, "Let NTP set the clocks of both machines.")
    return _ok("clock", detail)


def _tables(connection: Any) -> Finding:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from alphintra.platform import migrations

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    wanted = ScriptDirectory.from_config(config).get_current_head()
    (table,) = connection.execute("SELECT to_regclass('platform.schema_version')").fetchone()
    if table is None:
        return _wrong("tables", "there are none yet", "Run: alphintra migrate")
    found = connection.execute("SELECT version_num FROM platform.schema_version").fetchone()
    if found != (wanted,):
        return _wrong(
            "tables",
            f"the database is at {found[0] if found else 'nothing'}, this program at {wanted}",
            "Run: alphintra migrate (or use the program of that version)",
        )
    return _ok("tables", f"at version {wanted}")


def check_bus(bus_url: str) -> Finding:
    """Ask the NATS server for its greeting; it comes before any login."""
    if not bus_url:
        return _skipped("bus", NOTHING_RUNS)
    parts = urlsplit(bus_url)
    address = (parts.hostname or "", parts.port or 4222)
    try:
        with socket.create_connection(address, timeout=5) as connection:
            greeting = connection.recv(4096)
    except OSError as error:
        return _wrong("bus", f"{address[0]}:{address[1]}: {error}", "Start the bus (NATS).")
    if not greeting.startswith(b"INFO "):
        return _wrong("bus", "what listens there is not NATS", "Correct ALPHINTRA_BUS_URL.")
    return _ok("bus", f"NATS answers at {address[0]}:{address[1]}")


def check_server(server: str) -> Iterator[Finding]:
    """Ask the API whether it is ready, what time it has, and whether its feeds are alive."""
    if not server:
        yield _skipped("server", NOTHING_RUNS)
        return
    import httpx

    from alphintra.cli.client import Api
    from alphintra.cli.errors import CommandFailed

    try:
        response = httpx.get(f"{server.rstrip('/')}/health/ready", timeout=5)
    except httpx.HTTPError as error:
        yield _wrong("server", f"{server}: {error}", "Start it, or look at its logs.")
        return
    if not response.is_success:
        yield _wrong("server", f"not ready: {response.text[:300]}", "Look at the logs.")
        return
    yield _ok("server", f"{server} is ready")
    if date := response.headers.get("Date"):
        skew_s = abs(parsedate_to_datetime(date).timestamp() - time.time())
        if skew_s > CLOCK_SKEW_MAX_S + 1:  # the header has whole seconds
            yield _wrong("clock", f"{skew_s:.0f} s apart from the server", "Let NTP set it.")
    with Api(server) as api:
        try:
            yield check_feeds(api.get("/market-data/sources")["items"])
        except CommandFailed as failure:
            yield _skipped("feeds", f"cannot ask: {failure.detail}")


def check_feeds(sources: list[dict[str, Any]]) -> Finding:
    """Judge the state of each market feed."""
    silent = [
        f"{source.get('source')} {source.get('symbol', '')} is {source.get('state')}".strip()
        for source in sources
        if source.get("state") == "STALE"
    ]
    if silent:
        return _wrong(
            "feeds",
            "; ".join(silent[:10]),
            "Orders in these symbols are refused until the feed is back; look at its logs.",
        )
    if not sources:
        return _ok("feeds", "there is none")
    return _ok("feeds", f"{len(sources)} alive or stopped on purpose")


def print_findings(findings: list[Finding]) -> None:
    """Print one line per finding and the advice where one is wrong."""
    marks = {"ok": "✓", "wrong": "✗", "skipped": "–"}
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{marks[finding.state]} {finding.name:<{width}}  {finding.detail}")
        if finding.state == "wrong" and finding.advice:
            print(f"  {'':<{width}}  → {finding.advice}")
