import json
import multiprocessing
import stat
from pathlib import Path

import pytest

from alphintra.cli.credentials import CredentialStore, default_path
from alphintra.cli.errors import CommandFailed
from tests.cli.conftest import login


def test_a_login_is_kept_for_the_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "config" / "credentials.json"
    store = CredentialStore(path)
    store.save("http://a.test", login())
    assert store.login("http://a.test") == login()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["credentials.json"]


def test_servers_have_logins_of_their_own(tmp_path: Path) -> None:
    store = CredentialStore(tmp_path / "credentials.json")
    store.save("http://a.test", login(refresh_token="a"))
    store.save("http://b.test", login(refresh_token="b"))
    assert store.current_server() == "http://b.test"
    store.forget("http://b.test")
    assert store.current_server() is None
    assert store.login("http://b.test") is None
    assert store.login("http://a.test") == login(refresh_token="a")


@pytest.mark.parametrize("text", ["{", "[]", '{"current": null}', '{"logins": {"x": {}}}'])
def test_a_damaged_file_says_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(text)
    with pytest.raises(CommandFailed, match="not a credentials file") as caught:
        CredentialStore(path).login("http://a.test")
    assert "log in again" in caught.value.text()


def test_a_relative_xdg_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert default_path() == Path.home() / ".config" / "alphintra" / "credentials.json"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    assert default_path() == Path("/somewhere/alphintra/credentials.json")


def _add_one(path: Path) -> None:
    store = CredentialStore(path)
    for _ in range(20):
        with store.locked():
            before = store.login("http://a.test")
            assert before is not None
            store.save("http://a.test", login(refresh_token=str(int(before.refresh_token) + 1)))


def test_the_lock_keeps_processes_apart(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    CredentialStore(path).save("http://a.test", login(refresh_token="0"))
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_add_one, args=(path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    written = json.loads(path.read_text())["logins"]["http://a.test"]["refresh_token"]
    assert written == "60"
