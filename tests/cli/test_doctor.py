import json
import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from alphintra.cli import doctor
from alphintra.cli.app import app
from alphintra.cli.doctor import (
    Finding,
    check_bus,
    check_database,
    check_feeds,
    check_port,
    check_sandbox,
)
from alphintra.platform import sandbox
from alphintra.platform.sandbox import Mode, State

NOBODY = "127.0.0.1:9"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Something that listens on a free port and is not ours."""
    with socket.create_server(("127.0.0.1", 0)) as plug:
        yield plug


def states(findings: Iterator[Finding] | list[Finding]) -> dict[str, str]:
    return {finding.name: finding.state for finding in findings}


def test_a_migrated_database_is_well(database_url: str) -> None:
    found = states(check_database(database_url))
    assert found == {"database": "ok", "clock": "ok", "tables": "ok"}


def test_tables_of_another_version_are_noticed(database_url: str) -> None:
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        before = connection.execute("SELECT version_num FROM platform.schema_version").fetchone()
        assert before is not None
        try:
            connection.execute("UPDATE platform.schema_version SET version_num = 'older'")
            findings = list(check_database(database_url))
        finally:
            connection.execute("UPDATE platform.schema_version SET version_num = %s", before)
    assert states(findings)["tables"] == "wrong"
    assert "alphintra migrate" in findings[-1].advice


def test_a_database_that_is_away_is_a_finding() -> None:
    (finding,) = check_database(f"postgresql://nobody@{NOBODY}/none")
    assert finding.state == "wrong"
    assert "password" not in finding.detail


def test_the_bus_is_asked_for_its_greeting(bus_url: str) -> None:
    assert check_bus(bus_url).state == "ok"
    assert check_bus(f"nats://{NOBODY}").state == "wrong"
    assert check_bus("").state == "skipped"


def test_a_port_that_somebody_else_has_is_wrong(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alphintra.platform.settings import Settings

    port = listener.getsockname()[1]
    monkeypatch.setattr(
        "alphintra.platform.settings.load_settings", lambda: Settings(host="127.0.0.1", port=port)
    )
    assert check_port("").state == "wrong"
    assert check_port(f"http://127.0.0.1:{port}").state == "ok"
    assert check_port(f"http://{NOBODY}").state == "wrong"


def test_a_silent_feed_is_wrong() -> None:
    live = {"source": "simulator", "symbol": "SPY", "state": "LIVE"}
    stale = {"source": "simulator", "symbol": "AAPL", "state": "STALE"}
    assert check_feeds([live]).state == "ok"
    found = check_feeds([live, stale])
    assert found.state == "wrong"
    assert "AAPL" in found.detail


def test_the_exit_code_tells_whether_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ALPHINTRA_URL", "ALPHINTRA_DATABASE_URL", "ALPHINTRA_BUS_URL"):
        monkeypatch.delenv(name, raising=False)
    command = ["doctor", "--data", str(tmp_path), "--json"]
    monkeypatch.setattr(doctor, "check_port", lambda _: doctor._ok("port", "free"))
    well = CliRunner().invoke(app, command)
    assert well.exit_code == 0
    assert {finding["name"] for finding in json.loads(well.output)} >= {"python", "disk"}
    ill = CliRunner().invoke(app, [*command, "--url", f"http://{NOBODY}"])
    assert ill.exit_code == 1
    assert states([Finding(**one) for one in json.loads(ill.output)])["server"] == "wrong"


def test_a_host_that_isolates_nothing_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_sandbox() == Finding(
        name="sandbox", state="ok", detail="users' code and uploads are isolated by bubblewrap"
    )

    async def nothing() -> State:
        return State(mode=Mode.NONE, reason="landlock: this kernel has no Landlock")

    monkeypatch.setattr(sandbox, "state", nothing)
    finding = check_sandbox()
    assert finding.state == "wrong"
    reason = "landlock: this kernel has no Landlock"
    assert finding.detail == f"users' code and uploads are refused: {reason}"
    assert "bubblewrap" in finding.advice
