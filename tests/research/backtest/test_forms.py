"""A job of blocks runs compiled, with the result of its Python; where it cannot, it says so."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from alphintra.core.errors import Problem
from alphintra.engine.series import Bars, Quotes
from alphintra.research.backtest import backtest
from alphintra.research.choosing import chosen_form
from alphintra.research.computing import NOT_COMPILED, compute
from alphintra.research.jobfile import BacktestJob, Job, OptimizeJob, Outcome, Progress, Source
from alphintra.research.loading import load_data
from alphintra.research.reports import write_report
from alphintra.research.search import walk_forward
from alphintra.research.search.experiment import Experiment, Run
from alphintra.research.storing import load_result, read_text
from alphintra.sdk import StrategyOutOfTime
from alphintra.sdk.source import load_source
from alphintra.strategies import blocks
from alphintra.strategies.blocks import (
    CompiledGraph,
    compile_graph,
    example,
    python_of,
)

DEMO = Path(blocks.__file__).parents[2] / "market" / "demo"
EXAMPLES = ("bollinger_breakout", "monthly_rebalance", "rsi_reversion", "sma_cross")
COLUMNS = ("ts_ns", "equity", "cash", "exposure", "benchmark", "fills", "trades")


def document(name: str) -> dict[str, Any]:
    path = Path(blocks.__file__).parent / "examples" / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def job(name: str, **changes: Any) -> BacktestJob:
    """Return what a worker hands over for a version of blocks."""
    path = next(DEMO.glob("IBM_*.parquet"))
    values: dict[str, Any] = {
        "strategy": name,
        "source": python_of(example(name)),
        "blocks": document(name),
        "strategy_id": "one",
        "strategy_version": 3,
        "sources": [Source(path=str(path), symbol="IBM")],
        "sessions": {},
        "parameters": {},
        "cash": 100_000.0,
        "costs": {"rate": 0.001},
        "account": {},
        "start": None,
        "end": None,
        "seed": 0,
        "time_limit_s": 60.0,
    }
    return BacktestJob(**values | changes)


def outcome_of(wanted: Job, target: Path) -> Outcome:
    # As it comes to the other process.
    wanted = msgspec.json.decode(msgspec.json.encode(wanted), type=Job)
    with target.open("wb") as result:
        return compute(wanted, result, say=lambda progress: None, files=None)


@pytest.mark.parametrize("name", EXAMPLES)
def test_both_forms_of_a_version_come_to_the_same(name: str, tmp_path: Path) -> None:
    compiled = outcome_of(job(name), tmp_path / "compiled.zip")
    stepped = outcome_of(job(name, blocks=None), tmp_path / "stepped.zip")
    assert compiled.summary is not None
    assert stepped.summary is not None
    assert compiled.summary["manifest"].pop("form") == "compiled"
    assert stepped.summary["manifest"].pop("form") == "python"
    for one in (compiled.summary, stepped.summary):
        for changing in ("created_at", "duration_s"):
            del one["manifest"][changing]
    assert compiled.summary == stepped.summary
    fast, slow = (load_result(tmp_path / f"{form}.zip") for form in ("compiled", "stepped"))
    for column in COLUMNS[:-2]:
        assert getattr(fast, column).tobytes() == getattr(slow, column).tobytes(), column
    tags = [[one.tags[tag] for tag in one.orders["tag"]] for one in (fast, slow)]
    assert tags[0] == tags[1]
    for records in ("orders", "fills", "trades"):
        one, other = (getattr(result, records).copy() for result in (fast, slow))
        for field in one.dtype.names:
            if field != "tag":
                np.testing.assert_array_equal(one[field], other[field])
    assert fast.trades_as_dicts() == slow.trades_as_dicts()
    pages: list[str] = []
    for result in (fast, slow):
        same = replace(
            result.manifest, form="", duration_s=0.0, created_at=fast.manifest.created_at
        )
        path = write_report(replace(result, manifest=same), tmp_path / f"{len(pages)}.html")
        pages.append(path.read_text())
    assert pages[0] == pages[1]


def test_the_graph_is_not_run_when_the_version_says_something_else() -> None:
    source = python_of(example("sma_cross")).replace('"long"', '"short"')
    assert source != python_of(example("sma_cross"))
    found = chosen_form(job("sma_cross", source=source), load_data("demo:IBM"))
    assert not isinstance(found.strategy, CompiledGraph)
    assert "other Python" in found.reason


def test_a_graph_that_this_release_does_not_take_runs_as_python() -> None:
    graph = document("sma_cross")
    graph["blocks"][0]["kind"] = "A_KIND_OF_LONG_AGO"
    found = chosen_form(job("sma_cross", blocks=graph), load_data("demo:IBM"))
    assert not isinstance(found.strategy, CompiledGraph)
    assert "does not take the graph" in found.reason


def test_quotes_run_as_python() -> None:
    bars = load_data("demo:IBM")[0]
    assert isinstance(bars, Bars)
    quotes = Quotes(
        "IBM", bars.close_ns, bid=bars.close - 0.01, ask=bars.close + 0.01,
        bid_size=bars.volume, ask_size=bars.volume,
    )  # fmt: skip
    found = chosen_form(job("sma_cross"), [bars, quotes])
    assert "quotes" in found.reason


def test_the_result_says_why_it_did_not_run_compiled(tmp_path: Path) -> None:
    graph = document("sma_cross")
    graph["name"] = "Another name"
    told = outcome_of(job("sma_cross", blocks=graph), tmp_path / "result.zip")
    assert told.status == "SUCCEEDED"
    assert told.summary is not None
    assert told.summary["manifest"]["form"] == "python"
    warnings = {one["code"]: one["message"] for one in told.summary["warnings"]}
    assert "other Python" in warnings[NOT_COMPILED]


@pytest.mark.parametrize("has_blocks", [True, False])
def test_a_search_runs_compiled_and_says_so(has_blocks: bool, tmp_path: Path) -> None:
    given = {
        name: value
        for name, value in msgspec.structs.asdict(job("sma_cross")).items()
        if has_blocks or name != "blocks"
    }
    search = OptimizeJob(
        **given,
        search={"fast_bars": "5:20:5", "slow_bars": [50, 100]},
        method="grid",
        objective=["sharpe_ratio"],
        trials=None,
        rules=[],
        minimum_trades=0,
    )
    told = outcome_of(search, tmp_path / "search.zip")
    assert told.summary is not None
    assert told.summary["form"] == ("compiled" if has_blocks else "python")
    assert told.summary["total_trials"] == 8
    trials = json.loads(read_text(tmp_path / "search.zip", "search.json"))["trials"]
    for trial in trials:
        alone = backtest(
            compile_graph(example("sma_cross")), "demo:IBM",
            parameters=trial["parameters"], costs=0.001,
        )  # fmt: skip
        for name in ("sharpe_ratio", "total_return", "max_drawdown", "total_trades"):
            assert trial["metrics"][name] == pytest.approx(alone.metrics[name], rel=1e-9)


@pytest.mark.parametrize("name", ["sma_cross", "rsi_reversion"])
def test_walk_forward_of_both_forms_is_the_same(name: str) -> None:
    found = []
    for strategy in (compile_graph(example(name)), load_source(python_of(example(name)))):
        walked = walk_forward(
            strategy, "demo:IBM", train_days=900, test_days=600, warm_up_days=300,
            method="random", trials=2, costs=0.001, compute="inline", start="2006-01-01",
        )  # fmt: skip
        found.append(walked)
    compiled, stepped = found
    assert len(compiled.steps) >= 2
    assert compiled.equity.tobytes() == stepped.equity.tobytes()
    assert compiled.metrics == stepped.metrics
    for one, other in zip(compiled.steps, stepped.steps, strict=True):
        assert [t.metrics for t in one.search.trials] == [t.metrics for t in other.search.trials]
    if name == "sma_cross":
        assert compiled.metrics["total_trades"]


def test_indicators_that_are_kept_change_nothing() -> None:
    strategy = compile_graph(example("sma_cross"))
    experiment = Experiment.of(strategy, "demo:IBM", options={"costs": 0.001})
    for fast, slow in ((5, 50), (10, 50), (5, 50), (50, 5)):
        parameters = {"fast_bars": fast, "slow_bars": slow}
        kept = experiment.result(Run(parameters=parameters))
        alone = backtest(strategy, "demo:IBM", parameters=parameters, costs=0.001)
        assert kept.equity.tobytes() == alone.equity.tobytes()


def test_progress_is_told_and_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alphintra.strategies.blocks.compiling._OPERATIONS", 0)
    monkeypatch.setattr("alphintra.strategies.blocks.compiling._ROWS_LEAST", 500)
    told: list[float] = []
    strategy = compile_graph(example("sma_cross"))
    whole = backtest(strategy, "demo:IBM", progress=told.append)
    assert len(told) > 5
    assert told == sorted(told)
    assert told[-1] == 1.0
    # Stretches change nothing.
    monkeypatch.undo()
    assert backtest(strategy, "demo:IBM").equity.tobytes() == whole.equity.tobytes()
    monkeypatch.setattr("alphintra.strategies.blocks.compiling._OPERATIONS", 0)
    monkeypatch.setattr("alphintra.strategies.blocks.compiling._ROWS_LEAST", 1)
    with pytest.raises(StrategyOutOfTime):
        backtest(strategy, "demo:IBM", time_limit_s=0.01)


def test_a_refusal_is_the_same_in_both_forms(tmp_path: Path) -> None:
    for changes in ({}, {"blocks": None}):
        with pytest.raises(Problem) as refusal:
            outcome_of(job("sma_cross", parameters={"fast_bars": 0}, **changes), tmp_path / "none")
        assert refusal.value.code == "parameter_refused"


def test_progress_goes_to_the_worker(tmp_path: Path) -> None:
    told: list[Progress] = []
    with (tmp_path / "result.zip").open("wb") as target:
        compute(job("sma_cross"), target, say=told.append, files=None)
    assert told[-1].share == 1.0
