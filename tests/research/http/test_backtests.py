"""Upload → backtest → progress → result → report, as a client sees it."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pytest

from alphintra.core.instruments import Asset, AssetClass, Instrument, Symbol
from alphintra.market import save_instrument
from alphintra.research.backtest import backtest
from alphintra.research.storing import load_result
from tests.research.http.conftest import Lab, candles


async def test_backtest_from_upload_to_report(lab: Lab) -> None:
    run_id = await lab.started(name="first try")
    run = await lab.over(run_id)
    assert run["status"] == "SUCCEEDED", run["error"]
    assert (run["name"], run["strategy"], run["progress"]) == ("first try", "sma_cross", 1.0)
    assert run["remaining_s"] == 0
    assert run["total_trades"] > 5
    assert run["initial_capital"] == 100_000
    assert run["metrics"]["sharpe_ratio"] == run["sharpe_ratio"]
    assert run["manifest"]["parameters"]["fast"] == 5
    assert len(run["result_sha256"]) == 64

    trades = (await lab.call("GET", f"/backtests/{run_id}/trades", params={"limit": 3})).json()
    assert [trade["number"] for trade in trades["items"]] == [0, 1, 2]
    assert trades["items"][0]["symbol"] == "ACME"
    following = (
        await lab.call("GET", f"/backtests/{run_id}/trades", params={"cursor": trades["next"]})
    ).json()
    assert following["items"][0]["number"] == 3
    assert following["next"] is None
    assert 3 + len(following["items"]) == run["total_trades"]

    page = await lab.call("GET", f"/backtests/{run_id}/report")
    assert page.headers["content-type"].startswith("text/html")
    assert "ACME" in page.text
    paper = await lab.call(
        "GET", f"/backtests/{run_id}/report", headers={"Accept": "application/pdf"}
    )
    assert paper.content.startswith(b"%PDF-")
    document = await lab.call("GET", f"/backtests/{run_id}/report", params={"format": "json"})
    assert document.json()["total_trades"] == run["total_trades"]


async def test_result_is_that_of_the_same_run_in_process(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "ACME.csv"
    file.write_text(candles())
    run = await lab.over(await lab.started(seed=3))
    alone = backtest(
        "sma_cross", file, cash=100_000, costs=0.001, parameters={"fast": 5, "slow": 20}, seed=3
    )
    assert run["final_capital"] == pytest.approx(alone.final_capital, abs=1e-6)
    assert run["total_trades"] == len(alone.trades)
    folder = Path(urlsplit(lab.product.services.settings.objects_url).path)
    sha256 = run["result_sha256"]
    kept = load_result(folder / "results" / sha256[:2] / f"{sha256}.zip")
    assert kept.equity.tolist() == alone.equity.tolist()
    assert kept.fills.tolist() == alone.fills.tolist()
    assert kept.prices["ACME"].close.tolist() == alone.prices["ACME"].close.tolist()
    assert kept.manifest.datasets[0].sha256 == alone.manifest.datasets[0].sha256


async def test_equity_is_thinned_out_or_whole(lab: Lab) -> None:
    run_id = await lab.started()
    run = await lab.over(run_id)
    thin = (await lab.call("GET", f"/backtests/{run_id}/equity", params={"points": 100})).json()
    assert thin["rows"] == 3_000
    assert 20 <= len(thin["ts_ns"]) <= 120
    assert thin["equity"][-1] == pytest.approx(run["final_capital"])
    whole = await lab.call("GET", f"/backtests/{run_id}/equity", params={"format": "arrow"})
    table = pa.ipc.open_stream(whole.content).read_all()
    assert table.num_rows == 3_000
    assert max(thin["equity"]) == pytest.approx(max(table["equity"].to_pylist()))


async def test_compare(lab: Lab) -> None:
    ids = [await lab.started(name=f"slow {slow}", parameters={"slow": slow}) for slow in (20, 60)]
    for run_id in ids:
        await lab.over(run_id)
    figures = (await lab.call("POST", "/backtests/compare", json={"ids": ids})).json()
    assert figures["names"] == ["slow 20", "slow 60"]
    assert len(figures["metrics"]["sharpe_ratio"]) == 2
    page = await lab.call(
        "POST", "/backtests/compare", json={"ids": ids}, params={"format": "html"}
    )
    assert "slow 20" in page.text
    assert "slow 60" in page.text


async def test_list_is_filtered_and_paged(lab: Lab) -> None:
    ids = [await lab.started(strategy="rsi_mean_reversion", parameters={}) for _ in range(3)]
    for run_id in ids:
        await lab.over(run_id)
    first = (
        await lab.call("GET", "/backtests", params={"strategy": "rsi_mean_reversion", "limit": 2})
    ).json()
    assert [one["id"] for one in first["items"]] == ids[:0:-1]
    rest = (
        await lab.call(
            "GET",
            "/backtests",
            params={"strategy": "rsi_mean_reversion", "cursor": first["next"]},
        )
    ).json()
    assert [one["id"] for one in rest["items"]] == ids[:1]
    none = (await lab.call("GET", "/backtests", params={"status": "FAILED"})).json()
    assert all(one["status"] == "FAILED" for one in none["items"])


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"code": "print(1)"}, 422, "strategy_code_not_allowed"),
        ({"strategy": None}, 422, "unknown_strategy"),
        ({"strategy": "no_such_thing"}, 422, "unknown_strategy"),
        ({"parameters": {"fast": -4}}, 422, "parameter_refused"),
        ({"parameters": {"fastt": 4}}, 422, "parameter_refused"),
        ({"dataset_ids": ["00000000-0000-4000-8000-000000000000"]}, 404, "unknown_dataset"),
        ({"dataset_ids": []}, 422, "invalid_request"),
        ({"symbols": ["NOPE"]}, 422, "bad_request"),
        ({"cash": 0}, 422, "invalid_request"),
        ({"strategy": "../../etc/passwd"}, 422, "invalid_request"),
    ],
)
async def test_what_cannot_run_is_refused_at_once(
    lab: Lab, changes: dict[str, object], status: int, code: str
) -> None:
    answer = await lab.call("POST", "/backtests", json=lab.order(**changes))
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_run_that_fails_says_why(lab: Lab) -> None:
    run = await lab.over(
        await lab.started(start="2030-01-01T00:00:00Z", end="2031-01-01T00:00:00Z")
    )
    assert (run["status"], run["error"]["code"]) == ("FAILED", "range_empty")
    assert "2030" in run["error"]["detail"]
    answer = await lab.call("GET", f"/backtests/{run['id']}/report")
    assert (answer.status_code, answer.json()["code"]) == (409, "run_not_finished")


async def test_others_see_nothing(lab: Lab) -> None:
    run_id = await lab.started()
    await lab.over(run_id)
    stranger = await lab.product.person("stranger")
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/trades"),
        ("GET", "/equity"),
        ("GET", "/report"),
    ):
        answer = await lab.call(method, f"/backtests/{run_id}{path}", person=stranger)
        assert (answer.status_code, answer.json()["code"]) == (404, "no_such_run"), path
    assert (await lab.call("GET", "/backtests", person=stranger)).json()["items"] == []
    theirs = await lab.call("POST", "/backtests", person=stranger, json=lab.order())
    assert (theirs.status_code, theirs.json()["code"]) == (404, "unknown_dataset")
    both = await lab.call(
        "POST", "/backtests/compare", person=stranger, json={"ids": [run_id, run_id]}
    )
    assert both.status_code == 404


async def test_library_is_listed_with_parameters(lab: Lab) -> None:
    items = (await lab.call("GET", "/strategy-library")).json()["items"]
    cross = next(item for item in items if item["name"] == "sma_cross")
    assert cross["parameters"]["fast"]["default"]
    assert cross["description"]


async def test_optimization_counts_its_trials(lab: Lab) -> None:
    answer = await lab.call(
        "POST",
        "/optimizations",
        json=lab.order(
            parameters={},
            search={"fast": [5, 10], "slow": {"low": 20, "high": 40, "step": 10}},
        ),
    )
    assert answer.status_code == 202, answer.text
    run = await lab.over(answer.json()["id"], kind="optimizations")
    assert run["status"] == "SUCCEEDED", run["error"]
    assert run["result"]["total_trials"] == 6
    assert set(run["result"]["credibility"]) >= {
        "deflated_sharpe_ratio",
        "probability_of_overfitting",
        "trials_counted",
    }
    page = await lab.call("GET", f"/optimizations/{run['id']}/report")
    assert page.headers["content-type"].startswith("text/html")
    whole = await lab.call("GET", f"/optimizations/{run['id']}/report", params={"format": "json"})
    assert len(json.loads(whole.content)["trials"]) == 6
    listed = (await lab.call("GET", "/optimizations")).json()["items"]
    assert run["id"] in [one["id"] for one in listed]
    assert (await lab.call("GET", f"/backtests/{run['id']}")).status_code == 404


async def test_started_runs_are_limited(lab: Lab) -> None:
    busy = await lab.product.person("busy")
    answers = await asyncio.gather(
        *(lab.call("POST", "/backtests", person=busy, json={}) for _ in range(3))
    )
    assert {answer.status_code for answer in answers} == {422}


async def test_sessions_are_those_of_the_calendar_or_of_the_instrument(lab: Lab) -> None:
    run = await lab.over(await lab.started(calendar="XNYS"))
    assert run["status"] == "SUCCEEDED", run["error"]
    assert run["request"]["calendar"] == "XNYS"
    run = await lab.over(await lab.started(calendar="XNOWHERE"))
    assert (run["status"], run["error"]["code"]) == ("FAILED", "unknown_calendar")

    async def trades_on(calendar: str) -> None:
        async with lab.product.services.database.transaction() as session:
            acme = Instrument(
                symbol=Symbol("ACME"), name="Acme", asset_class=AssetClass.EQUITY,
                base=Asset("ACME"), quote=Asset("USD"), tick_size=Decimal("0.01"),
                lot_size=Decimal(1), calendar=calendar,
            )  # fmt: skip
            await save_instrument(session, acme)

    await trades_on("XNOWHERE")
    run = await lab.over(await lab.started())
    assert run["error"]["code"] == "unknown_calendar", "the instrument's is taken"
    run = await lab.over(await lab.started(calendar="ALWAYS"))
    assert run["status"] == "SUCCEEDED", "what is asked for comes first"
    await trades_on("ALWAYS")
