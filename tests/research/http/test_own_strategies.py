"""Backtests and searches of strategies that users made: a version is run, and named."""

from typing import Any

import pytest

from alphintra.platform.settings import Settings
from tests.gateway.product import Person
from tests.research.http.conftest import Lab
from tests.strategies.conftest import CODE


async def made(lab: Lab, **changes: Any) -> dict[str, Any]:
    body = {"name": "Mine", "code": CODE, **changes}
    answer = await lab.call("POST", "/strategies", json=body)
    assert answer.status_code == 201, answer.text
    strategy: dict[str, Any] = answer.json()
    return strategy


def terms(lab: Lab, **changes: Any) -> dict[str, Any]:
    return {"dataset_ids": [lab.dataset_id], "costs": {"rate": 0.001}, **changes}


async def test_backtest_runs_the_draft_as_a_version_and_names_it(lab: Lab) -> None:
    lab.product.client.timeout = 120  # the sandbox opens with the first check
    strategy = await made(lab, parameters={"fast": 6})
    path = f"/strategies/{strategy['id']}"
    answer = await lab.call("POST", f"{path}/backtest", json=terms(lab, parameters={"slow": 30}))
    assert answer.status_code == 202, answer.text
    run = await lab.over(answer.json()["id"])
    version = (await lab.call("GET", f"{path}/versions/1")).json()
    assert run["status"] == "SUCCEEDED", run["error"]
    assert (run["strategy"], run["strategy_id"]) == ("Mine", strategy["id"])
    assert (run["strategy_version"], run["strategy_sha256"]) == (1, version["sha256"])
    manifest = run["manifest"]
    assert (manifest["strategy_id"], manifest["strategy_version"]) == (strategy["id"], 1)
    assert manifest["strategy_sha256"] == version["sha256"]
    assert manifest["strategy"] == "Mine"  # as its owner calls it, and not its class
    page = await lab.call("GET", f"/backtests/{run['id']}/report")
    assert "<h1>Mine</h1>" in page.text
    assert manifest["parameters"] == {"fast": 6, "slow": 30}
    assert run["total_trades"] > 5
    listed = await lab.call("GET", "/backtests", params={"strategy_id": strategy["id"]})
    assert [one["id"] for one in listed.json()["items"]] == [run["id"]]
    # The library's strategy of the same rules comes to the same.
    alike = await lab.started(parameters={"fast": 6, "slow": 30})
    assert (await lab.over(alike))["final_capital"] == pytest.approx(run["final_capital"])


async def test_search_runs_a_version(lab: Lab) -> None:
    strategy = await made(lab)
    answer = await lab.call(
        "POST",
        f"/strategies/{strategy['id']}/optimize",
        json=terms(lab, search={"fast": [4, 8], "slow": [20, 30]}),
    )
    assert answer.status_code == 202, answer.text
    run = await lab.over(answer.json()["id"], kind="optimizations")
    assert run["status"] == "SUCCEEDED", run["error"]
    assert (run["strategy_version"], run["result"]["total_trials"]) == (1, 4)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"parameters": {"fast": 0}}, 422, "parameter_refused"),
        ({"parameters": {"quick": 3}}, 422, "parameter_refused"),
        ({"version": 7}, 404, "no_such_version"),
        ({"dataset_ids": []}, 422, "invalid_request"),
        ({"dataset_ids": ["00000000-0000-4000-8000-000000000000"]}, 404, "unknown_dataset"),
        ({"code": CODE}, 422, "invalid_request"),
    ],
)
async def test_what_cannot_run_is_refused_at_once(
    lab: Lab, changes: dict[str, Any], status: int, code: str
) -> None:
    strategy = await made(lab)
    path = f"/strategies/{strategy['id']}/backtest"
    answer = await lab.call("POST", path, json=terms(lab, **changes))
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_faulty_code_is_refused_with_its_line(lab: Lab) -> None:
    strategy = await made(lab, code="import os\n" + CODE)
    answer = await lab.call("POST", f"/strategies/{strategy['id']}/backtest", json=terms(lab))
    assert (answer.status_code, answer.json()["code"]) == (422, "code_faulty")
    assert answer.json()["findings"][0]["line"] == 1


async def test_only_who_may_use_a_strategy_runs_it(lab: Lab) -> None:
    strategy = await made(lab)
    path = f"/strategies/{strategy['id']}"
    version = await lab.call("POST", f"{path}/versions", json={})
    assert version.status_code == 201, version.text
    friend = await lab.product.person("friend")

    async def run(person: Person) -> Any:
        # The friend has no data of its own; that is found out after the strategy.
        return await lab.call("POST", f"{path}/backtest", person=person, json=terms(lab))

    answer = await run(friend)
    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_strategy")
    await lab.call("PUT", f"{path}/shares/{friend.email}", json={"right": "VIEW"})
    answer = await run(friend)
    assert (answer.status_code, answer.json()["code"]) == (403, "right_missing")
    await lab.call("PUT", f"{path}/shares/{friend.email}", json={"right": "USE"})
    answer = await run(friend)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_dataset")


def test_limit_of_backtests_holds_for_strategies() -> None:
    from alphintra.gateway.limits import API, Bucket, bucket_of

    for what in ("backtest", "optimize"):
        assert bucket_of("POST", f"{API}/strategies/x/{what}") is Bucket.BACKTESTS
    assert Settings.model_fields["rate_limit_backtests"].default == "5/hour"
