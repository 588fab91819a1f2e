"""The embedded servers; under root most of it runs a second time as an ordinary user."""

import os
import shutil
import signal
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import nats
import psycopg
import pytest
from nats.js.api import StreamConfig

from alphintra.platform.embedded import (
    DatabaseFromOtherVersion,
    DataFolderDamaged,
    DataFolderInUse,
    DataFolderNotYours,
    EmbeddedServers,
    default_data_dir,
    running_on,
)
from tests.platform.supervised import (
    NOBODY,
    refusal,
    servers_in,
    start,
    supervised,
    wait_until_gone,
)

#: `None` is whoever runs the tests. Root also tries an ordinary user.
USERS = [None, NOBODY] if os.geteuid() == 0 else [None]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can reach and write to, unlike pytest's own under root."""
    path = Path(tempfile.mkdtemp(prefix="alphintra-test-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=USERS, ids=lambda uid: "as-us" if uid is None else "as-nobody")
def uid(request: pytest.FixtureRequest) -> int | None:
    return request.param  # type: ignore[no-any-return] # pytest does not know the type


def count_rows(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
        assert row is not None
        return int(row[0])


def write_rows(url: str, *, count: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
        connection.execute("INSERT INTO kept SELECT generate_series(1, %s)", [count])


def wait_for(condition: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    give_up_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_s, f"waited {timeout_s} s for {what}"
        time.sleep(0.02)


def connects(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


async def test_restart_keeps_rows_and_messages(folder: Path, uid: int | None) -> None:
    with supervised(folder / "data", uid=uid) as servers:
        write_rows(servers.database_url, count=3)
        bus = await nats.connect(servers.bus_url)
        stream = bus.jetstream()
        await stream.add_stream(StreamConfig(name="kept", subjects=["kept"]))
        await stream.publish("kept", b"message")
        await bus.close()
        first = servers
    with supervised(folder / "data", uid=uid) as servers:
        assert count_rows(servers.database_url) == 3
        bus = await nats.connect(servers.bus_url)
        assert (await bus.jetstream().stream_info("kept")).state.messages == 1
        await bus.close()
        assert servers.bus_url == first.bus_url
        assert servers.database_url == first.database_url


def test_ctrl_c_with_clients_connected_ends_all_within_five_seconds(
    folder: Path, uid: int | None
) -> None:
    with supervised(folder / "data", uid=uid) as servers:
        connection = psycopg.connect(servers.database_url)
        connection.execute("SELECT 1")
        assert servers.end(signal.SIGINT) < 5.0
        connection.close()
        assert servers.process.returncode == 0
        assert servers_in(folder) == []


def test_killing_the_supervisor_leaves_no_orphans_and_loses_nothing(
    folder: Path, uid: int | None
) -> None:
    with supervised(folder / "data", uid=uid) as servers:
        write_rows(servers.database_url, count=5)
        servers.end(signal.SIGKILL)
        wait_until_gone(list(servers.pids.values()), timeout_s=10)
    wait_for(lambda: not servers_in(folder), timeout_s=5, what="the last child")
    with supervised(folder / "data", uid=uid) as servers:
        assert count_rows(servers.database_url) == 5


def test_start_right_after_the_supervisor_was_killed_waits_for_the_orphan(folder: Path) -> None:
    with supervised(folder / "data") as servers:
        write_rows(servers.database_url, count=5)
        servers.process.kill()
        with EmbeddedServers(folder / "data") as next_servers:
            servers.process.wait(10)
            assert count_rows(next_servers.start().database_url) == 5


def test_pid_file_of_a_crash_is_no_obstacle(folder: Path) -> None:
    with supervised(folder / "data") as servers:
        write_rows(servers.database_url, count=2)
        os.kill(servers.process.pid, signal.SIGSTOP)  # it must not start the server again
        os.kill(servers.pids["PostgreSQL"], signal.SIGKILL)
        servers.end(signal.SIGKILL)
    pid_file = folder / "data" / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    # After a reboot the number belongs to somebody else, which alone makes PostgreSQL refuse.
    lines[0] = str(os.getppid())
    pid_file.write_text("\n".join(lines) + "\n")
    with EmbeddedServers(folder / "data") as next_servers:
        assert count_rows(next_servers.start().database_url) == 2


def test_second_start_says_who_runs_there_and_changes_nothing(folder: Path) -> None:
    with supervised(folder / "data") as servers:
        with pytest.raises(DataFolderInUse) as refused, EmbeddedServers(folder / "data") as second:
            second.start()
        assert f"process {servers.process.pid}" in refused.value.detail
        occupant = running_on(folder / "data")
        assert occupant is not None
        assert occupant.database_url == servers.database_url
        assert connects(servers.database_url)
    assert running_on(folder / "data") is None


def test_second_start_of_a_supervisor_that_was_killed_is_no_obstacle(folder: Path) -> None:
    with supervised(folder / "data") as servers:
        servers.end(signal.SIGKILL)
    assert running_on(folder / "data") is None
    with supervised(folder / "data") as servers:
        assert connects(servers.database_url)


async def test_servers_that_die_are_started_again_with_their_data(folder: Path) -> None:
    with supervised(folder / "data") as servers:
        write_rows(servers.database_url, count=4)
        for name in ("PostgreSQL", "NATS"):
            os.kill(servers.pids[name], signal.SIGKILL)
        wait_for(lambda: connects(servers.database_url), timeout_s=10, what="PostgreSQL")
        assert count_rows(servers.database_url) == 4
        port = urlsplit(servers.bus_url).port
        assert port is not None
        wait_for(lambda: _listens(port), timeout_s=10, what="NATS")
        bus = await nats.connect(servers.bus_url)
        assert (await bus.jetstream().account_info()).streams == 0
        await bus.close()


def test_port_in_use_is_chosen_around(folder: Path) -> None:
    with supervised(folder / "data") as servers:
        port = urlsplit(servers.bus_url).port
    assert port is not None
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with supervised(folder / "data") as servers:
            other = urlsplit(servers.bus_url).port
            assert other is not None
            assert other != port
            assert _listens(other)


def test_data_folder_with_a_very_long_path_works(folder: Path, uid: int | None) -> None:
    deep = folder / ("long" * 30) / "with a space and 'quotes'" / "ünïcödé"
    with supervised(deep, uid=uid) as servers:
        write_rows(servers.database_url, count=1)
        outside = Path(psycopg.conninfo.conninfo_to_dict(servers.database_url)["host"])  # type: ignore[arg-type]
        assert stat.S_IMODE(outside.stat().st_mode) == 0o700
    assert not outside.exists()
    with supervised(deep, uid=uid) as servers:
        assert count_rows(servers.database_url) == 1


def test_nobody_is_let_in_without_the_password(folder: Path) -> None:
    with supervised(folder / "data") as servers:
        for url in (servers.database_url, servers.admin_url):
            parameters = psycopg.conninfo.conninfo_to_dict(url)
            parameters["password"] = "wrong"
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(**parameters)  # type: ignore[arg-type]
        for secret in ("embedded.json", "lock", "nats/nats.conf"):
            mode = stat.S_IMODE((folder / "data" / secret).stat().st_mode)
            assert mode == 0o600, secret
        command_lines = " ".join(
            Path(f"/proc/{pid}/cmdline").read_text() for pid in servers.pids.values()
        )
        password = urlsplit(servers.bus_url).password
        assert password
        assert password not in command_lines


async def test_bus_lets_nobody_in_without_the_password(folder: Path) -> None:
    with supervised(folder / "data") as servers:
        port = urlsplit(servers.bus_url).port
        with pytest.raises(nats.errors.Error, match="Authorization Violation"):
            await nats.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False)


def test_settings_keep_what_was_acknowledged(folder: Path) -> None:
    with supervised(folder / "data") as servers:
        with psycopg.connect(servers.database_url) as connection:
            for name, wanted in {
                "fsync": "on",
                "synchronous_commit": "on",
                "full_page_writes": "on",
                "data_checksums": "on",
                "wal_level": "replica",
                "server_encoding": "UTF8",
                "TimeZone": "UTC",
            }.items():
                row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
                assert row == (wanted,), name
        configuration = (folder / "data" / "nats" / "nats.conf").read_text()
        assert "sync_interval: always" in configuration
        assert 'listen: "127.0.0.1:' in configuration


def test_start_that_died_while_making_the_database_is_made_good(folder: Path) -> None:
    partial = folder / "data" / "postgres.partial"
    partial.mkdir(parents=True)
    (folder / "data").chmod(0o755)
    (partial / "PG_VERSION").write_text("half of one")
    with EmbeddedServers(folder / "data", nats=False) as servers:
        assert connects(servers.start().database_url)
    assert not partial.exists()


def test_lost_key_is_refused_until_the_user_gives_it_up(folder: Path) -> None:
    with EmbeddedServers(folder / "data", nats=False) as servers:
        write_rows(servers.start().database_url, count=1)
    memory = folder / "data" / "embedded.json"
    memory.unlink()
    with pytest.raises(DataFolderDamaged, match="restore it from a backup"):
        EmbeddedServers(folder / "data", nats=False).start()
    memory.write_text("{}")
    keys = []
    for _ in range(2):
        with EmbeddedServers(folder / "data", nats=False) as servers:
            assert count_rows(servers.start().database_url) == 1
            keys.append(servers.folder.memory.master_key)
    assert keys[0] == keys[1]


def test_damaged_memory_is_refused_and_named(folder: Path) -> None:
    with EmbeddedServers(folder / "data", postgres=False, nats=False) as servers:
        servers.start()
    (folder / "data" / "embedded.json").write_text("{")
    with pytest.raises(DataFolderDamaged, match=r"embedded\.json"):
        EmbeddedServers(folder / "data").start()


def test_database_of_another_version_is_refused(folder: Path) -> None:
    with EmbeddedServers(folder / "data", nats=False) as servers:
        servers.start()
    (folder / "data" / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(DatabaseFromOtherVersion, match="PostgreSQL 17"):
        EmbeddedServers(folder / "data", nats=False).start()


def test_servers_that_nobody_asked_for_do_not_run(folder: Path) -> None:
    with EmbeddedServers(folder / "data", postgres=False) as servers:
        endpoints = servers.start()
        assert endpoints.database_url == ""
        assert endpoints.bus_url.startswith("nats://")
        assert list(servers.pids()) == ["NATS"]


def test_file_in_place_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "data").write_text("a file")
    with pytest.raises(DataFolderNotYours, match="not a folder"):
        EmbeddedServers(folder / "data").start()


def test_two_starts_at_the_same_moment_end_with_one_server(folder: Path) -> None:
    racers = [start(folder / "data") for _ in range(2)]
    lines = []
    for racer in racers:
        assert racer.stdout is not None
        lines.append(racer.stdout.readline())
    try:
        assert sum("data_folder_in_use" in line for line in lines) == 1
        assert sum("postgresql://" in line for line in lines) == 1
    finally:
        for racer in racers:
            racer.terminate()
            racer.wait(30)
            assert racer.stdout is not None
            racer.stdout.close()


def test_default_folder_follows_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert default_data_dir() == Path("/somewhere/alphintra")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/trader")
    assert default_data_dir() == Path("/home/trader/.local/share/alphintra")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_data_dir() == Path("/var/lib/alphintra")


def test_refusal_reaches_the_user_with_its_code(folder: Path) -> None:
    with supervised(folder / "data"):
        assert refusal(folder / "data")["code"] == "data_folder_in_use"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
