"""The reference case: what an independent engine has computed, to the cent, by the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from alphintra.cli.app import app
from tests.docs.conftest import ROOT

CASES = [
    "us_daily/GOOG_1d_wiki",
    "us_daily/SPY_1d_lean",
    "us_daily/IBM_1d_lean",
    "us_daily/SPY502_1d_stockindicators-default",
    "crypto/BTCUSDT_15m_binance-2024",
]


def expected(folder: Path, name: str) -> dict[str, Any]:
    cases = json.loads((folder / "reference" / "smacross.json").read_text())
    found: dict[str, Any] = next(case for case in cases if case["file"] == name)
    return found


def test_every_reference_case_is_tested(market_data_dir: Path) -> None:
    cases = json.loads((market_data_dir / "reference" / "smacross.json").read_text())
    assert [case["file"] for case in cases] == CASES


@pytest.mark.parametrize("name", CASES)
def test_the_command_line_agrees_to_the_cent(market_data_dir: Path, name: str) -> None:
    case = expected(market_data_dir, name)
    told = CliRunner().invoke(
        app,
        [
            "backtest", str(ROOT / "examples" / "strategies" / "sma_cross.py"),
            "--data", str(market_data_dir / f"{name}.parquet"),
            "--cash", str(case["cash"]), "--fee", str(case["commission"]),
            "--param", "fast=10", "--param", "slow=30", "--param", "side=both", "--json",
        ],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    result = json.loads(told.stdout)
    assert result["total_trades"] == case["trades"]
    assert result["rows"] == case["bars"]
    assert result["final_capital"] == pytest.approx(case["final_equity"], abs=0.005)
    assert 100 * result["total_return"] == pytest.approx(case["return_pct"], abs=1e-4)
    assert 100 * result["max_drawdown"] == pytest.approx(case["max_drawdown_pct"], abs=1e-4)
    assert 100 * result["win_rate"] == pytest.approx(case["win_rate_pct"], abs=1e-3)
    assert result["total_fees"] == pytest.approx(case["commissions"], abs=0.005)
