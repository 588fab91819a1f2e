"""`alphintra report`: what is written, and what is said when a file is not what it should be."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from alphintra.cli.app import app
from alphintra.cli.errors import CommandFailed
from alphintra.cli.report import write
from alphintra.research.storing import save_result
from tests.research.realistic import make_result


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "result.zip"
    save_result(make_result(count=300), path)
    return path


@pytest.mark.parametrize(
    ("name", "begins"),
    [("r.html", b"<!doctype html>"), ("r.pdf", b"%PDF-"), ("r.json", b"{")],
)
def test_a_saved_result_becomes_a_report(saved: Path, name: str, begins: bytes) -> None:
    out = saved.with_name(name)
    answer = CliRunner().invoke(app, ["report", str(saved), "--out", str(out)])
    assert answer.exit_code == 0, answer.output
    assert str(out) in answer.output
    assert out.read_bytes().startswith(begins)


def test_several_results_are_compared(saved: Path) -> None:
    out = saved.with_name("two.html")
    answer = CliRunner().invoke(app, ["report", str(saved), str(saved), "-o", str(out)])
    assert answer.exit_code == 0
    assert "2 runs compared" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_no_result_is_named(tmp_path: Path, content: bytes) -> None:
    wrong = tmp_path / "wrong.zip"
    wrong.write_bytes(content)
    with pytest.raises(CommandFailed, match=r"wrong\.zip is not a saved result") as raised:
        write([wrong], tmp_path / "r.html")
    assert raised.value.code == "not_a_result"
    assert not (tmp_path / "r.html").exists()


def test_what_cannot_be_read_or_written_is_named(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="No such file") as raised:
        write([tmp_path / "absent.zip"], tmp_path / "r.html")
    assert raised.value.code == "file_not_read"
    with pytest.raises(CommandFailed, match="cannot be written") as raised:
        write([saved], tmp_path / "no folder" / "r.html")
    assert raised.value.code == "file_not_written"
    with pytest.raises(CommandFailed) as raised:
        write([saved], tmp_path / "r.docx")
    assert raised.value.code == "report_format_unknown"
