"""`alphintra strategy …` against a server: from a template to a shared, published strategy."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from alphintra.cli.app import app
from alphintra.platform.security import Permission
from tests.strategies.conftest import CODE, Studio

Command = Callable[..., Awaitable[Result]]


@pytest.fixture
async def command(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    key = await studio.product.key(
        studio.owner, Permission.STRATEGIES_READ, Permission.STRATEGIES_WRITE
    )
    monkeypatch.setenv("ALPHINTRA_URL", studio.product.url)
    monkeypatch.setenv("ALPHINTRA_API_KEY", key["X-API-Key"])
    monkeypatch.chdir(tmp_path)

    async def run(*words: str) -> Result:
        # The server answers from this very loop.
        return await asyncio.to_thread(CliRunner().invoke, app, ["strategy", *words])

    return run


async def made(command: Command, *words: str) -> str:
    result = await command("new", *words, "--json")
    assert result.exit_code == 0, result.output
    return str(json.loads(result.output)["id"])


async def test_from_template_to_file_and_back(command: Command, tmp_path: Path) -> None:
    listed = await command("templates")
    assert "momentum_rotation" in listed.output
    assert "NO_CODE" in listed.output
    shown = await command("templates", "grid")
    assert "class Grid(Strategy)" in shown.output
    strategy = await made(command, "--template", "grid", "--name", "My grid")
    pulled = await command("pull", strategy, "grid.py")
    assert pulled.exit_code == 0, pulled.output
    file = tmp_path / "grid.py"
    again = await command("pull", strategy, "grid.py")
    assert again.exit_code != 0
    file.write_text(file.read_text().replace("param(5, 1, 20", "param(7, 1, 20"))
    edited = await command("edit", strategy, "grid.py")
    assert edited.output == "My grid: revision 2\n"
    versions = await command("versions", strategy, "--make", "--note", "seven steps")
    assert versions.exit_code == 0, versions.output
    assert "seven steps" in versions.output
    repeated = await command("versions", strategy, "--make", "--note", "once more")
    assert "The draft is version 1: no new one" in repeated.output
    shown = await command("show", strategy)
    assert "steps = 7  1 to 20" in shown.output
    assert "param(7, 1, 20" in shown.output
    same = await command("versions", strategy, "--diff", "1")
    assert same.output == "nothing differs\n"
    listing = await command("list")
    assert "My grid" in listing.output


async def test_blocks_are_pulled_as_json_and_python(command: Command, tmp_path: Path) -> None:
    strategy = await made(command, "--template", "blocks_average_cross")
    await command("pull", strategy, "cross.json")
    graph = json.loads((tmp_path / "cross.json").read_text())
    assert {block["kind"] for block in graph["blocks"]} >= {"SMA", "cross", "enter"}
    graph["parameters"][0]["default"] = 12
    (tmp_path / "cross.json").write_text(json.dumps(graph))
    edited = await command("edit", strategy, "cross.json")
    assert edited.exit_code == 0, edited.output
    python = await command("pull", strategy)
    assert "param(12, 2, 200" in python.output
    # And the other way: Python that blocks can say becomes blocks.
    (tmp_path / "cross.py").write_text(python.output.replace("param(12,", "param(14,"))
    edited = await command("edit", strategy, "cross.py")
    assert edited.exit_code == 0, edited.output
    await command("pull", strategy, "cross.json", "--force")
    graph = json.loads((tmp_path / "cross.json").read_text())
    assert graph["parameters"][0]["default"] == 14
    (tmp_path / "more.py").write_text(python.output + "\nprint('more than blocks')\n")
    refused = await command("edit", strategy, "more.py")
    assert refused.exit_code != 0


async def test_check_names_places_and_fails(command: Command, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(CODE)
    bad.write_text("import os\n" + CODE)
    fine = await command("check", str(good))
    assert fine.exit_code == 0
    assert "Averages is fine" in fine.output
    wrong = await command("check", str(bad))
    assert wrong.exit_code == 1
    assert f"{bad}:1:1: error: a strategy cannot import os" in wrong.output
    raises = tmp_path / "raises.py"
    raises.write_text(
        CODE.replace("        if self.cross.now:\n", "        1 / 0\n        if self.cross.now:\n")
    )
    failed = await command("check", str(raises), "--run")
    assert f"{raises}, line " in failed.output
    assert "strategy.py" not in failed.output
    assert ":59 on" not in failed.output  # a bar of a day is called by its day
    ran = await command("check", str(good), "--run", "--data", "demo:AAPL")
    assert ran.exit_code == 0, ran.output
    assert "over 500 bars of demo:AAPL" in ran.output


async def test_published_shared_and_deleted(
    command: Command, studio: Studio, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(CODE)
    strategy = await made(command, "mine.py")
    published = await command("status", strategy, "published")
    assert "mine: PUBLISHED, version 1\n" in published.output
    shared = await command("share", strategy, studio.stranger.email, "--right", "use")
    assert studio.stranger.id in shared.output
    assert "USE" in shared.output
    gone = await command("share", strategy, studio.stranger.email, "--right", "none")
    assert gone.output == "Nobody else has it.\n"
    kept = await command("delete", strategy, "--yes")
    assert kept.exit_code != 0
    other = await made(command, "mine.py", "--name", "other")
    deleted = await command("delete", other, "--yes")
    assert deleted.output == "other is deleted\n"
