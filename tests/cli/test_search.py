"""`alphintra optimize`, `walkforward` and `montecarlo`, as they are typed."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from alphintra.cli.app import app
from alphintra.cli.errors import CommandFailed
from alphintra.cli.search import read_ranges

STRATEGY = """\
import numpy as np

from alphintra.sdk import Bars, indicators, param, vectorised


@vectorised
def cross(bars: Bars, *, fast=param(3, 2, 50), slow=param(20, 5, 200)):
    lines = [
        indicators.compute("SMA", {"close": bars.close}, timeperiod=period)["real"]
        for period in (fast, slow)
    ]
    above = (lines[0] > lines[1]).astype(np.float64)
    changes = np.concatenate(([True], above[1:] != above[:-1]))
    return np.where(changes & ~np.isnan(lines[1]), above, np.nan)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A strategy and 400 days of data in files."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "cross.py").write_text(STRATEGY)
    close = np.round(100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, 400))), 2)
    opened = np.concatenate(([100.0], close[:-1]))
    days = (14_610 + np.arange(400)) * 86_400_000_000
    table = pa.table(
        {
            "ts": pa.array(days, pa.timestamp("us", tz="UTC")),
            "open": opened,
            "high": np.maximum(opened, close),
            "low": np.minimum(opened, close),
            "close": close,
            "volume": np.full(400, 1e6),
        }
    )
    pq.write_table(table, folder / "WALK.parquet")
    return folder


def say(folder: Path, *words: str) -> str:
    """Run a command on the strategy and the data; return what it printed."""
    command, *rest = words
    arguments = [command, str(folder / "cross.py"), "--data", str(folder / "WALK.parquet"), *rest]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_optimize(folder: Path, tmp_path: Path) -> None:
    words = ("--param", "fast=2:6:2", "--param", "slow=10,20", "--fee", "0.001", "--rule",
             "fast < slow", "--compute", "inline")  # fmt: skip
    page = tmp_path / "search.html"
    found = json.loads(say(folder, "optimize", *words, "--report", str(page), "--json"))
    assert found["total_trials"] == found["credibility"]["trials_counted"] == 6
    assert found["best"]["parameters"].keys() == {"fast", "slow"}
    assert page.exists()
    text = say(folder, "optimize", *words, "--limit", "2")
    assert "sharpe_ratio" in text
    assert "probability of overfitting" in text
    assert "[deflated_sharpe_low]" in text


def test_walkforward(folder: Path) -> None:
    words = ("--train", "150", "--test", "100", "--param", "fast=2,4", "--compute", "inline")
    found = json.loads(say(folder, "walkforward", *words, "--json"))
    assert len(found["windows"]) == 3
    assert found["trials_counted"] == 6
    assert "efficiency" in say(folder, "walkforward", *words, "--anchored")


def test_montecarlo(folder: Path, tmp_path: Path) -> None:
    words = ("--paths", "200", "--param", "fast=3", "--compute", "inline")
    found = json.loads(say(folder, "montecarlo", *words, "--json"))
    assert found == json.loads(say(folder, "montecarlo", *words, "--json"))
    assert found["paths"] == 200
    say(folder, "montecarlo", *words, "--method", "blocks", "--report", str(tmp_path / "a.html"))
    assert (tmp_path / "a.html").exists()
    jitter = say(folder, "montecarlo", "--method", "jitter", "--paths", "5", "--compute", "inline")
    assert "sharpe_ratio, observed" in jitter


def test_ranges() -> None:
    assert read_ranges(["fast=5:50:5", "side=long,both", "slow", "share=0.5"]) == (
        {"fast": "5:50:5", "side": "long,both", "slow": None},
        {"share": "0.5"},
    )
    assert read_ranges([]) == (None, {})
    for text in ("=5", "fast="):
        with pytest.raises(CommandFailed, match="NAME=VALUE"):
            read_ranges([text])
