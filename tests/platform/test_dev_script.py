"""`./dev` on machines that are not as one would wish. Nothing is installed here: CI does that."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def dev(*arguments: str, script: Path = ROOT / "dev", **environment: str) -> tuple[int, str]:
    # Whoever runs the tests may have named an interpreter for `./dev` itself.
    ours = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    answer = subprocess.run(
        [script, *arguments],
        env={**ours, **environment},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return answer.returncode, answer.stdout + answer.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout on which nothing was installed yet."""
    for name in ("dev", "uv.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "dev").chmod(0o755)
    return tmp_path


def tools(folder: Path, **programs: str) -> str:
    """Return a search path with the few programs the script needs and these scripts."""
    path = folder / "bin"
    path.mkdir()
    for name in ("cat", "cksum", "cut", "dirname", "mkdir", "rm", "sed", "sh"):
        found = shutil.which(name)
        assert found, name
        (path / name).symlink_to(found)
    for name, text in programs.items():
        (path / name.replace("_", ".")).write_text(f"#!/bin/sh\n{text}\n")
        (path / name.replace("_", ".")).chmod(0o755)
    return str(path)


def test_help_names_every_command() -> None:
    code, output = dev("help")
    assert code == 0
    for command in ("up", "test", "check", "bench", "clean"):
        assert f"./dev {command}" in output


def test_unknown_command_is_refused() -> None:
    code, output = dev("tset")
    assert code != 0
    assert "unknown command: tset" in output


def test_old_python_is_refused_with_what_is_needed(checkout: Path) -> None:
    path = tools(checkout, python3="exit 1")
    code, output = dev("test", script=checkout / "dev", PATH=path)
    assert code != 0
    assert "Python 3.11 or later with pip is needed" in output


def test_newer_python_beside_an_old_one_is_found(checkout: Path) -> None:
    # It answers the question about its version and has no pip: the script must get that far.
    newer = 'case "$*" in *version_info*) exit 0 ;; *) exit 1 ;; esac'
    path = tools(checkout, python3="exit 1", python3_12=newer)
    code, output = dev("test", script=checkout / "dev", PATH=path)
    assert code != 0
    assert "python3.12 has no pip" in output


def test_first_call_tells_each_step_and_that_it_happens_once(checkout: Path) -> None:
    # pip that does nothing, and a uv of the right version that does as little.
    python = """
case "$*" in
*"--target"*) mkdir -p {uv}/bin; printf '#!/bin/sh\\necho uv {version}\\n' >{uv}/bin/uv
    /bin/chmod +x {uv}/bin/uv ;;
esac
exit 0"""
    version = (checkout / "dev").read_text().partition("uv_version=")[2].split()[0]
    python = python.format(uv=checkout / ".uv", version=version)
    (checkout / ".venv" / "bin").mkdir(parents=True)
    path = tools(checkout, python3=python)
    code, output = dev("run", "true", script=checkout / "dev", PATH=f"{path}:/usr/bin:/bin")
    assert code == 0, output
    assert f"installing uv {version} into .uv, once" in output
    assert "installing dependencies into .venv, once" in output


def test_clean_removes_what_the_script_made(checkout: Path) -> None:
    for name in (".venv", ".uv", ".ruff_cache"):
        (checkout / name).mkdir()
    assert dev("clean", script=checkout / "dev")[0] == 0
    assert sorted(each.name for each in checkout.iterdir()) == ["dev", "pyproject.toml", "uv.lock"]


def test_ci_refuses_to_run_without_its_market_data(tmp_path: Path) -> None:
    code, output = dev(script=ROOT / ".ci" / "run", ALPHINTRA_TEST_DATA=str(tmp_path / "absent"))
    assert code != 0
    assert "ALPHINTRA_TEST_DATA" in output
