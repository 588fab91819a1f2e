"""`alphintra up`: everything on this machine, in one process tree, until Ctrl-C.

This process is the supervisor. It stays small and imports nothing heavy: servers and roles run as
its children, and migrations and the demo data in short-lived ones. To be quick, the children begin
their imports while PostgreSQL starts and wait at a gate until the tables are there.
"""

import errno
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import alphintra.platform
from alphintra.platform.embedded import EmbeddedServers, ServerDidNotStart, default_data_dir
from alphintra.platform.processes import Crew, ProcessDidNotStart

#: What runs in which process: a client's path in one, everything that may wait in the other.
PROCESSES: Mapping[str, tuple[str, ...]] = {
    "front": ("api", "stream", "desk"),
    "back": ("market", "signals", "relay", "worker", "history"),
}

DEFAULT_PORT = 8000
HISTORY_PORT = 50051
PORTS_TRIED = 100
#: The first start compiles the market simulator, which is slow on a busy machine.
READY_TIMEOUT_S = 300.0
STEP_TIMEOUT_S = 120.0
#: A start that is not ready by then says what it waits for.
PATIENCE_S = 8.0
TEND_EVERY_S = 0.1

_PREFIX = "ALPHINTRA_"
#: Places besides the environment where the address of a server may be configured.
_OTHER_SOURCES = ("SECRETS_DIR", "CONFIG_FILE", "GCP_PROJECT")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What the user asked for on the command line."""

    data_dir: Path = field(default_factory=default_data_dir)
    host: str = "127.0.0.1"
    #: The wanted port; when it is taken the next free one is used and named.
    port: int = DEFAULT_PORT
    demo: bool = True
    #: Children write to our output instead of to files in the data folder.
    verbose: bool = False


class _Stop(BaseException):
    """A signal asked us to end. Not an `Exception`: nothing on the way may take it for a fault."""


def run_up(options: UpOptions) -> int:
    """Run until a signal; return the exit code.

    Raises:
        Problem: every reason not to start or to stop, with its code and what to do about it.
    """
    with _signals():
        try:
            _run(options)
        except _Stop:
            _say("Stopped. Your data is kept.")
    return 0


def _run(options: UpOptions) -> None:
    began_s = time.monotonic()
    database_url, bus_url = _configured("DATABASE_URL"), _configured("BUS_URL")
    if is_first := not options.data_dir.exists():
        _say(f"Setting up {options.data_dir}; all of this happens once.")
    steps = 4 if options.demo else 3
    with EmbeddedServers(options.data_dir, postgres=not database_url, nats=not bus_url) as servers:
        if is_first:
            _say(f"  1/{steps} starting the database and the bus")
        endpoints = servers.launch()
        port = _free_port(options.host, options.port)
        if port != options.port:
            _say(f"Port {options.port} is in use; taking {port}.")
        url = f"http://{_in_url(options.host)}:{port}"
        environment = _environment(
            options.host,
            port,
            url,
            database_url=database_url or endpoints.database_url,
            bus_url=bus_url or endpoints.bus_url,
            master_key=_configured("MASTER_KEY") or servers.folder.memory.master_key,
            objects_url=_configured("OBJECTS_URL") or (servers.folder.path / "objects").as_uri(),
        )
        crew = Crew(
            environment=environment, log_dir=None if options.verbose else servers.folder.logs
        )
        try:
            for name, roles in PROCESSES.items():
                crew.start(name, ("serve", *roles))
            servers.wait_ready()
            if is_first:
                _say(f"  2/{steps} making the tables")
            _migrate(servers, environment)
            crew.open_gate()
            if is_first:
                _say(f"  3/{steps} starting Alphintra; a new installation compiles the simulator")
            _wait_ready(crew, servers, options.host, port)
            servers.folder.describe(
                http_url=url,
                database_url=environment[f"{_PREFIX}DATABASE_URL"],
                bus_url=environment[f"{_PREFIX}BUS_URL"],
                master_key=environment[f"{_PREFIX}MASTER_KEY"],
            )
            if is_first and options.demo:
                _say(f"  4/{steps} making a demo user and demo prices")
            login = _seed(servers, environment) if options.demo else ""
            _greet(options, servers, url, login, seconds=time.monotonic() - began_s)
            _tend(crew, servers)
        finally:
            crew.stop()


def _tend(crew: Crew, servers: EmbeddedServers) -> None:
    while True:
        now_s = time.monotonic()
        for news in (*servers.tend(now_s=now_s), *crew.tend(now_s=now_s)):
            _say(news)
        time.sleep(TEND_EVERY_S)


def _wait_ready(crew: Crew, servers: EmbeddedServers, host: str, port: int) -> None:
    began_s = time.monotonic()
    give_up_s, tell_s = began_s + READY_TIMEOUT_S, began_s + PATIENCE_S
    while not (crew.ready() and _answers_ready(host, port)):
        if time.monotonic() > give_up_s:
            raise ProcessDidNotStart(
                f"the processes are not ready after {READY_TIMEOUT_S:g} s; see the logs in "
                f"{servers.folder.logs} and GET /health/ready on port {port}"
            )
        if time.monotonic() > tell_s:
            tell_s = give_up_s
            _say(f"It takes a while: what changed is compiled, once. Logs: {servers.folder.logs}")
        servers.tend(now_s=time.monotonic())
        time.sleep(0.02)


def _answers_ready(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(_reachable(host), port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _migrate(servers: EmbeddedServers, environment: Mapping[str, str]) -> None:
    """Bring the tables to this version, which a prepared database is at already."""
    folder = Path(alphintra.platform.__file__).with_name("migrations") / "versions"
    version = 0
    for file in sorted(folder.glob("*.py")):
        version = zlib.crc32(file.read_bytes(), version)
    if servers.noted("tables") != f"{version:08x}":
        _python(environment, _MIGRATE, what="preparing the tables")
        servers.note("tables", f"{version:08x}")


def _seed(servers: EmbeddedServers, environment: Mapping[str, str]) -> str:
    """Make the demo data, once per database; return the login in words."""
    login = servers.noted("demo")
    if not login:
        folder = str(servers.folder.path)
        login = _python(environment, _SEED, folder, what="making demo data")
        servers.note("demo", login)
    return login


# Both run in a process of their own: what they import would stay in the supervisor for its life.
_MIGRATE = """\
import os
from alphintra.platform import migrations
migrations.upgrade(os.environ["ALPHINTRA_DATABASE_URL"])
"""
_SEED = """\
import sys
from pathlib import Path
from alphintra.cli import demo
print(demo.seed(Path(sys.argv[1])))
"""


def _python(environment: Mapping[str, str], code: str, *arguments: str, what: str) -> str:
    try:
        answer = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=STEP_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise ServerDidNotStart(f"{what} took longer than {STEP_TIMEOUT_S:g} s") from error
    if answer.returncode != 0:
        end = "\n".join(answer.stderr.strip().splitlines()[-15:])
        raise ServerDidNotStart(f"{what} failed:\n{end}")
    return answer.stdout.strip()


def _greet(
    options: UpOptions, servers: EmbeddedServers, url: str, login: str, *, seconds: float
) -> None:
    lines = [f"Alphintra is ready at {url} ({seconds:.1f} s)", ""]
    if login:
        lines += [f"  Demo login   {login}"]
    lines += [f"  API          {url}/docs", f"  Data         {servers.folder.path}"]
    if not options.verbose:
        lines += [f"  Logs         {servers.folder.logs}"]
    venv = os.environ.get("VIRTUAL_ENV", "")
    data = "" if options.data_dir == default_data_dir() else f" --data {options.data_dir}"
    lines += [
        "",
        "Three things to try in another terminal"
        + (f", after `. {venv}/bin/activate`:" if venv else ":"),
        f"  alphintra user login --demo{data} && alphintra market quote AAPL",
        "  alphintra order place AAPL buy 10",
        "  alphintra portfolio",
        "",
        "Ctrl-C stops everything; the data stays.",
    ]
    _say("\n".join(lines))


def _environment(
    host: str,
    port: int,
    url: str,
    *,
    database_url: str,
    bus_url: str,
    master_key: str,
    objects_url: str,
) -> dict[str, str]:
    """Return the environment of the children: ours, completed by what only we know."""
    environment = {
        # An empty variable, as compose files make them, is a variable that nobody set.
        name: value
        for name, value in os.environ.items()
        if value or not name.startswith(_PREFIX)
    }
    environment |= {
        f"{_PREFIX}DATABASE_URL": database_url,
        f"{_PREFIX}BUS_URL": bus_url,
        f"{_PREFIX}MASTER_KEY": master_key,
        f"{_PREFIX}OBJECTS_URL": objects_url,
        f"{_PREFIX}HOST": host,
        f"{_PREFIX}PORT": str(port),
        "PYTHONUNBUFFERED": "1",
    }
    if not _configured("PUBLIC_URL"):
        environment[f"{_PREFIX}PUBLIC_URL"] = url
    if not _configured("HISTORY_PORT"):
        environment[f"{_PREFIX}HISTORY_PORT"] = str(_free_port("127.0.0.1", HISTORY_PORT))
    return environment


def _configured(name: str) -> str:
    """Return a setting that the user made anywhere, or nothing where it was left to us."""
    if value := os.environ.get(_PREFIX + name):
        return value
    if not any(os.environ.get(_PREFIX + source) for source in _OTHER_SOURCES):
        return ""
    # Only now, because reading those costs more to import than all the rest of the supervisor.
    from pydantic import SecretStr

    from alphintra.platform.settings import load_settings

    settings = load_settings()
    if (field_name := name.lower()) not in settings.model_fields_set:
        return ""
    value = getattr(settings, field_name)
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _free_port(host: str, wanted: int) -> int:
    last = min(wanted + PORTS_TRIED, 65_536)
    for port in range(wanted, last):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                raise ServerDidNotStart(
                    f"cannot listen on {host}:{port}: {error.strerror}. Choose another with --port"
                ) from error
            return int(probe.getsockname()[1])
    raise ServerDidNotStart(
        f"all ports from {wanted} to {last - 1} are in use; name one with --port"
    )


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def _in_url(host: str) -> str:
    reachable = _reachable(host)
    return f"[{reachable}]" if ":" in reachable else reachable


@contextmanager
def _signals() -> Iterator[None]:
    """Turn the first signal into `_Stop`; later ones cannot interrupt the clean end."""
    # What is ignored stays ignored: that is how `nohup` keeps a program running.
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]

    def stop(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        _say("Stopping …")
        raise _Stop

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    print(text, flush=True)
