"""Pages that speak HTTP, typed as they are written."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx

from tests.e2e.conftest import Up, plain_environment

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
FENCE = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: With the first opening of the sandbox, on a machine that runs other tests too.
PATIENCE_S = 480
SCOPES = [
    "strategies:read", "strategies:write", "datasets:read", "research:read", "research:write",
]  # fmt: skip


def snippets(page: str, language: str) -> list[str]:
    return [text for kind, text in FENCE.findall((HOWTO / page).read_text()) if kind == language]


def run(command: list[str], folder: Path, **variables: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**plain_environment(), "PATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    return done.stdout


def test_the_page_on_access_works_as_it_is_written(up: Up, tmp_path: Path) -> None:
    where, *steps = snippets("authenticate.md", "sh")
    assert where.startswith("export URL=http://127.0.0.1:8000/api/v1 EMAIL=")
    login = up.demo()
    script = "\n".join(steps)
    said = run(
        ["bash", "-euo", "pipefail", "-c", script],
        tmp_path,
        URL=f"{up.url}/api/v1",
        EMAIL=login.email,
        PASSWORD=login.password,
    )
    assert '"buying_power"' in said
    assert '"items"' in said
    refused = json.loads((tmp_path / "refused.json").read_text())
    assert (refused["status"], "datasets:read" in refused["detail"]) == (403, True), refused
    assert [one.name for one in tmp_path.iterdir()] == ["refused.json"], "secrets are removed"


def test_the_page_on_blocks_works_as_it_is_written(
    up: Up, http: httpx.Client, tmp_path: Path
) -> None:
    login = up.demo()
    answer = http.post("/auth/login", json={"email": login.email, "password": login.password})
    token = answer.json()["access_token"]
    made = http.post(
        "/api-keys",
        json={"name": "pages", "scopes": SCOPES, "password": login.password},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert made.status_code == 201, made.text
    (program,) = snippets("make-a-strategy.md", "python")
    assert program.startswith("# edit_blocks.py\n")
    (tmp_path / "edit_blocks.py").write_text(program)
    said = run(
        [sys.executable, "edit_blocks.py"],
        tmp_path,
        URL=f"{up.url}/api/v1",
        KEY=made.json()["key"],
    )
    assert "fast_bars = param(15, 2, 200" in said
    assert "self.rsi" in said
    assert re.search(r"^SUCCEEDED [1-9]\d* trades, -?\d", said, re.MULTILINE), said
