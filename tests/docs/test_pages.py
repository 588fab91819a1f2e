"""What the pages show works: links lead somewhere, snippets parse, commands exist."""

import ast
import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.conftest import PAGES, ROOT

IDS = [str(page.relative_to(ROOT)) for page in PAGES]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def snippets(page: Path, *languages: str) -> list[str]:
    return [text for language, text in FENCE.findall(page.read_text()) if language in languages]


def anchors(page: Path) -> set[str]:
    """Return the anchors that headings get, as the common forges make them."""
    text = FENCE.sub("", page.read_text())
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_are_pages() -> None:
    names = {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/README.md"}
    assert names <= set(IDS)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"https?://|mailto:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{link} leads nowhere"
        assert file.is_relative_to(ROOT), f"{link} leads out of the repository"
        if anchor:
            assert anchor in anchors(file), f"{link}: there is no such heading"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {
        str(page.relative_to(ROOT / "docs"))
        for page in ROOT.glob("docs/*/*.md")
        if page.parent.name != "decisions"
    }
    assert {page for page in pages if f"({page})" not in index} == set()
    decisions = (ROOT / "docs" / "decisions" / "README.md").read_text()
    for page in ROOT.glob("docs/decisions/0*.md"):
        assert f"({page.name})" in decisions


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_snippets_parse(page: Path) -> None:
    for text in snippets(page, "python"):
        ast.parse(text)
    for text in snippets(page, "json"):
        json.loads(text)
    for text in snippets(page, "toml"):
        tomllib.loads(text)
    for text in snippets(page, "sh"):
        checked = subprocess.run(
            ["bash", "-n"], input=text, text=True, capture_output=True, check=False
        )
        assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_that_are_shown_exist(page: Path, generate: ModuleType) -> None:
    known = generate.commands()
    for text in snippets(page, "sh"):
        for line in text.replace("\\\n", " ").splitlines():
            found = re.search(r"(?:^|\$\(|run |\| )(alphintra(?: .*)?)$", line)
            if found is None or line.lstrip().startswith("#"):
                continue
            command = re.split(r"\s[|>&#]|\)$", found[1])[0]
            words = [word for word in shlex.split(command) if not word.startswith("-")]
            longest = max(
                (len(name.split()) for name in known if words[: len(name.split())] == name.split()),
                default=0,
            )
            command_words = known[" ".join(words[:longest])]
            assert (
                not hasattr(command_words, "commands")
                or longest == len(words)
                or (command_words.invoke_without_command)
            ), f"there is no command `{command}`"
            options = re.findall(r"(?<!\S)(--[a-z-]+)", command)
            accepted = {
                option
                for parameter in command_words.params
                for option in (*parameter.opts, *parameter.secondary_opts)
            } | {"--help"}
            assert set(options) <= accepted, f"`{command}`: {set(options) - accepted}"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_diagrams_have_a_kind_and_balanced_blocks(page: Path) -> None:
    for text in snippets(page, "mermaid"):
        kind = text.strip().splitlines()[0].split()[0]
        assert kind in {"flowchart", "stateDiagram-v2", "sequenceDiagram"}
        opened = len(re.findall(r"^\s*subgraph\b", text, re.MULTILINE))
        closed = len(re.findall(r"^\s*end\s*$", text, re.MULTILINE))
        assert opened == closed
        for left, right in ("[]", "()", "{}"):
            assert text.count(left) == text.count(right)
