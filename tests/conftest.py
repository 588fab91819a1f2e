"""Real servers for all tests, and the rule that nothing is skipped unnoticed in CI.

`servers` runs PostgreSQL and NATS once per test process; `database_url` is a fresh, migrated
database per test module. `ALPHINTRA_TEST_ADMIN_URL` (a role that may create databases) and
`ALPHINTRA_TEST_BUS_URL` put servers of your own in their place.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from alphintra.platform.embedded import Endpoints, temporary_servers

_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        _skipped.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _skipped.append(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skipped test is a failure: a missing tool must not pass for a green run."""
    if os.environ.get("CI") and _skipped and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("CI") and _skipped:
        terminalreporter.section("skipped in CI, which counts as failed", red=True)
        for nodeid in _skipped:
            terminalreporter.line(nodeid)


@pytest.fixture(scope="session", autouse=True)
def objects_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The object storage of this test process."""
    folder = tmp_path_factory.mktemp("objects")
    os.environ["ALPHINTRA_OBJECTS_URL"] = folder.as_uri()
    return folder


@pytest.fixture(scope="session")
def servers() -> Iterator[Endpoints]:
    """PostgreSQL and NATS of this test process."""
    admin_url = os.environ.get("ALPHINTRA_TEST_ADMIN_URL", "")
    bus_url = os.environ.get("ALPHINTRA_TEST_BUS_URL", "")
    with ExitStack() as stack:
        ours = Endpoints()
        if not admin_url or not bus_url:
            ours = stack.enter_context(temporary_servers(postgres=not admin_url, nats=not bus_url))
        yield Endpoints(
            database_url=ours.database_url,
            admin_url=admin_url or ours.admin_url,
            bus_url=bus_url or ours.bus_url,
        )


@pytest.fixture(scope="session")
def bus_url(servers: Endpoints) -> str:
    """The NATS server; streams are shared by the tests of one process, so name yours uniquely."""
    return servers.bus_url


@pytest.fixture(scope="session")
def template_database(servers: Endpoints) -> Iterator[str]:
    """The name of a migrated database that nobody is connected to."""
    from alphintra.platform import migrations

    name = f"template_{uuid4().hex[:12]}"
    _execute(servers.admin_url, "CREATE DATABASE {} OWNER {}", name, _owner(servers))
    migrations.upgrade(_url_of(servers, name))
    yield name
    _execute(servers.admin_url, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture(scope="session")
def make_database(servers: Endpoints, template_database: str) -> Iterator[Callable[[], str]]:
    """Make a fresh, migrated database whenever called, owned by the product's own role."""
    made: list[str] = []

    def make() -> str:
        name = f"test_{uuid4().hex[:12]}"
        _execute(
            servers.admin_url,
            "CREATE DATABASE {} OWNER {} TEMPLATE {}",
            name,
            _owner(servers),
            template_database,
        )
        made.append(name)
        return _url_of(servers, name)

    yield make
    for name in made:
        _execute(servers.admin_url, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


@pytest.fixture(scope="module")
def database_url(make_database: Callable[[], str]) -> str:
    """A fresh, migrated database for the tests of one module."""
    return make_database()


@pytest.fixture(scope="session")
def market_data_dir() -> Path:
    """The folder of recorded market data that `ALPHINTRA_TEST_DATA` names."""
    folder = os.environ.get("ALPHINTRA_TEST_DATA", "")
    if not folder:
        pytest.skip("ALPHINTRA_TEST_DATA names no folder of recorded market data")
    assert Path(folder).is_dir(), f"ALPHINTRA_TEST_DATA: there is no folder {folder}"
    return Path(folder)


def _execute(url: str, statement: str, *names: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _role_url(servers: Endpoints) -> str:
    return servers.database_url or servers.admin_url


def _owner(servers: Endpoints) -> str:
    owner = make_url(_role_url(servers)).username
    assert owner, "ALPHINTRA_TEST_ADMIN_URL has to name its role"
    return owner


def _url_of(servers: Endpoints, name: str) -> str:
    return make_url(_role_url(servers)).set(database=name).render_as_string(hide_password=False)
