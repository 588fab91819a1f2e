"""The palette and the faults over HTTP."""

import json
from pathlib import Path

from alphintra.strategies import blocks
from tests.strategies.conftest import Studio

RSI = (Path(blocks.__file__).parent / "examples" / "rsi_reversion.json").read_text()


async def test_the_palette_is_for_those_who_may_see_strategies(studio: Studio) -> None:
    answer = await studio.product.client.get("/api/v1/blocks")
    assert answer.status_code == 401
    answer = await studio.call("GET", "/blocks")
    assert answer.status_code == 200, answer.text
    page = answer.json()
    assert page["next"] is None
    found = {one["kind"]: one for one in page["items"]}
    assert len(found) > 200
    assert found["RSI"]["example"] == 'self.my_rsi = self.indicator("RSI", timeperiod=14)'
    assert found["compare"]["inputs"][1]["field"] == "b"
    few = (await studio.call("GET", "/blocks?category=TIME")).json()["items"]
    assert {one["category"] for one in few} == {"TIME"}


async def test_faults_come_by_block_and_field(studio: Studio) -> None:
    graph = json.loads(RSI)
    answer = await studio.call("POST", "/blocks/validate", json=graph)
    assert answer.json() == {"valid": True, "faults": []}
    graph["blocks"][0]["parameters"]["timeperiod"] = 0
    answer = await studio.call("POST", "/blocks/validate", json=graph)
    assert answer.status_code == 200
    (fault,) = answer.json()["faults"]
    assert (fault["block"], fault["field"], fault["code"]) == ("rsi", "timeperiod", "out_of_range")
    answer = await studio.product.client.post("/api/v1/blocks/validate", json=graph)
    assert answer.status_code == 401
    answer = await studio.call("POST", "/blocks/validate", json=[1])
    assert answer.status_code == 422
