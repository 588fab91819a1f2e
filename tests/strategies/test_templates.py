"""Templates are what they claim: their results are computed again, and each becomes a strategy."""

import pytest

from alphintra import strategies
from alphintra.research.template_results import template_result
from alphintra.strategies import Template
from tests.strategies.conftest import Studio

NAMES = [one.name for one in strategies.all_templates()]


@pytest.fixture(params=NAMES)
def template(request: pytest.FixtureRequest) -> Template:
    return strategies.template_named(request.param)


def test_there_is_a_choice() -> None:
    kinds = [one.type for one in strategies.all_templates()]
    assert len(kinds) == len(set(NAMES)) >= 12
    assert {kind: kinds.count(kind) for kind in kinds} == {"CODE_BASED": 10, "NO_CODE": 5}
    assert len({one.category for one in strategies.all_templates()}) >= 8


def test_result_is_what_comes_of_it(template: Template) -> None:
    told = template_result(template)
    pinned = template.result
    assert set(told) == set(pinned)
    for name, value in pinned.items():
        if isinstance(value, float):
            assert told[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name
        else:
            assert told[name] == value, name
    assert "liquidated" not in told["warnings"]
    assert told["total_trades"] >= 1


async def test_template_becomes_a_strategy_that_makes_a_version(
    studio: Studio, template: Template
) -> None:
    made = await studio.made(template=template.name, name=f"my {template.name}")
    assert (made["template"], made["type"]) == (template.name, template.type)
    assert made["blocks"] == template.blocks
    version = await studio.version(made)
    assert version["declared"], "a template can be set"
    python = (await studio.call("GET", f"/strategies/{made['id']}/python")).json()["source"]
    assert python == version["code"]
    if template.code:
        assert python == template.code


async def test_templates_are_listed_and_shown(studio: Studio) -> None:
    listed = (await studio.call("GET", "/strategy-templates")).json()["items"]
    assert [one["name"] for one in listed] == NAMES
    graphs = await studio.call("GET", "/strategy-templates", params={"type": "NO_CODE"})
    assert len(graphs.json()["items"]) == 5
    shown = (await studio.call("GET", "/strategy-templates/grid")).json()
    assert shown["code"].startswith('"""A grid')
    assert shown["result"]["total_trades"] == 48
    answer = await studio.call("GET", "/strategy-templates/no_such")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_template")


async def test_name_and_description_are_the_templates_unless_said(studio: Studio) -> None:
    answer = await studio.call("POST", "/strategies", json={"template": "grid"})
    made = answer.json()
    template = strategies.template_named("grid")
    assert (made["name"], made["description"]) == (template.title, template.description)
