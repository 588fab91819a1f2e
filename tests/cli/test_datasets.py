"""`alphintra dataset` without a server: checking files, reading actions, showing findings."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alphintra.cli.app import app
from alphintra.cli.datasets import read_actions, show_report
from alphintra.cli.errors import CommandFailed

ROWS = "ts,open,high,low,close\n2024-01-02 10:00,1,2,1,2\n2024-01-02 10:01,2,3,2,3\n"


def test_check_says_what_is_asked_and_with_what_to_answer(tmp_path: Path) -> None:
    file = tmp_path / "SPY_1m.csv"
    file.write_text(ROWS)
    asked = CliRunner().invoke(app, ["dataset", "check", str(file)])
    assert asked.exit_code == 1
    assert asked.output.splitlines()[0] == "needs decision"
    assert "--timezone …" in asked.output
    taken = CliRunner().invoke(
        app, ["dataset", "check", str(file), "--timezone", "Europe/Berlin", "--json"]
    )
    assert taken.exit_code == 0, taken.output
    told = json.loads(taken.output)
    assert (told["report"]["verdict"], told["facts"]["symbols"]) == ("accepted", ["SPY"])
    assert told["facts"]["first_ns"] == 1_704_186_000 * 10**9  # 09:00 UTC


def test_actions_are_read_from_a_table(tmp_path: Path) -> None:
    file = tmp_path / "splits.csv"
    file.write_text("ex_date,ratio,amount\n2020-08-31,4,\n2020-11-06,,0.205\n")
    assert read_actions(file) == [
        {"ex_date": "2020-08-31", "symbol": "", "ratio": 4.0, "amount": 0.0},
        {"ex_date": "2020-11-06", "symbol": "", "ratio": 0.0, "amount": 0.205},
    ]
    file.write_text("ex_date,ratio\n31.08.2020,4\n")
    with pytest.raises(CommandFailed, match="row 1"):
        read_actions(file)


def test_report_names_rows_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    finding = {
        "code": "price_missing",
        "severity": "decision",
        "reason": "7 of 9 rows have no price",
        "advice": "Correct the rows, or leave them out with bad_rows=drop.",
        "count": 7,
        "rows": [1, 2, 3, 4, 5, 6, 7],
        "option": "bad_rows",
        "choices": ["drop"],
    }
    show_report({"verdict": "needs_decision", "findings": [finding]})
    shown = capsys.readouterr().out
    assert "? 7 of 9 rows have no price (rows 1, 2, 3, 4, 5…)  [price_missing]" in shown
    assert "--bad-rows 'drop'" in shown
