"""A strategy's life over HTTP: draft, versions, publication, sharing, the end."""

from typing import Any
from uuid import UUID

import psycopg
import pytest

from alphintra.strategies.service import FOLLOWING
from tests.strategies.conftest import CODE, Studio


async def test_draft_is_made_read_changed_and_deleted(studio: Studio) -> None:
    made = await studio.made(description="first")
    assert (made["type"], made["status"], made["version"]) == ("CODE_BASED", "DRAFT", 0)
    assert (made["revision"], made["changed"], made["right"]) == (1, True, "OWN")
    answer = await studio.call("GET", f"/strategies/{made['id']}")
    assert answer.headers["etag"] == '"1"'
    assert answer.json() == made
    changed = await studio.changed(made, name="Renamed", parameters={"fast": 8})
    assert (changed["name"], changed["description"]) == ("Renamed", "first")
    assert (changed["parameters"], changed["code"], changed["revision"]) == ({"fast": 8}, CODE, 2)
    assert await studio.changed(changed, name="Renamed", code=CODE) == changed  # no revision of it
    gone = await studio.call("DELETE", f"/strategies/{made['id']}")
    assert gone.status_code == 204
    answer = await studio.call("GET", f"/strategies/{made['id']}")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_strategy")


async def test_change_without_or_with_an_old_revision_is_refused(studio: Studio) -> None:
    made = await studio.made()
    path = f"/strategies/{made['id']}"
    answer = await studio.call("PUT", path, json={"name": "x"})
    assert (answer.status_code, answer.json()["code"]) == (422, "revision_needed")
    answer = await studio.call("PUT", path, json={"name": "x"}, headers={"If-Match": '"1"'})
    assert answer.json()["revision"] == 2
    answer = await studio.call("PUT", path, json={"name": "y"}, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.json()["code"]) == (409, "strategy_changed")
    assert answer.json()["revision"] == 2
    answer = await studio.call("PUT", path, json={"name": "y"}, headers={"If-Match": "*"})
    assert answer.json()["code"] == "revision_needed"
    assert (await studio.call("GET", path)).json()["name"] == "x"


async def test_versions_are_made_of_what_has_changed_and_stay(studio: Studio) -> None:
    made = await studio.made(parameters={"fast": 6})
    first = await studio.version(made, "begin")
    assert (first["number"], first["note"], first["parameters"]) == (1, "begin", {"fast": 6})
    assert first["declared"]["fast"] == {
        "kind": "int",
        "default": 5,
        "low": 2.0,
        "high": 50.0,
        "step": None,
        "choices": [],
        "help": "bars in the fast average",
    }
    assert len(first["sha256"]) == 64
    # The same draft is the same version.
    assert await studio.version(made, "again") == first
    seen = (await studio.call("GET", f"/strategies/{made['id']}")).json()
    assert (seen["version"], seen["changed"], seen["declared"]) == (1, False, first["declared"])
    await studio.changed(seen, code=CODE.replace("(20, 3, 200)", "(30, 3, 200)"))
    second = await studio.version(made)
    assert (second["number"], second["declared"]["slow"]["default"]) == (2, 30)
    listed = (await studio.call("GET", f"/strategies/{made['id']}/versions")).json()["items"]
    assert [one["number"] for one in listed] == [2, 1]
    again = await studio.call("GET", f"/strategies/{made['id']}/versions/1")
    assert again.json() == first


async def test_difference_and_restoring(studio: Studio) -> None:
    made = await studio.made(parameters={"fast": 6})
    await studio.version(made)
    changed = await studio.changed(
        made, code=CODE.replace("(20, 3, 200)", "(30, 3, 200)"), parameters={"slow": 40}
    )
    path = f"/strategies/{made['id']}/versions/1"
    difference = (await studio.call("GET", f"{path}/diff")).json()
    assert "-    slow = param(20, 3, 200)\n+    slow = param(30, 3, 200)\n" in difference["source"]
    assert difference["parameters"] == {"fast": [6, None], "slow": [None, 40]}
    restored = await studio.call("POST", f"{path}/restore", json={"revision": changed["revision"]})
    assert restored.status_code == 200, restored.text
    body = restored.json()
    assert (body["code"], body["parameters"], body["changed"]) == (CODE, {"fast": 6}, False)
    assert (await studio.call("GET", f"{path}/diff")).json() == {"source": "", "parameters": {}}
    answer = await studio.call("GET", f"/strategies/{made['id']}/versions/9/diff")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_version")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"code": "import socket\n" + CODE}, "code_faulty"),
        ({"code": "x = 1"}, "code_faulty"),
        ({"code": CODE + "\nraise ValueError('no')\n"}, "code_faulty"),
        ({"code": CODE + "\nwhile True:\n    pass\n"}, "code_faulty"),
        ({"parameters": {"fast": 1}}, "parameter_refused"),
        ({"parameters": {"faster": 10}}, "parameter_refused"),
        ({"parameters": {"fast": "many"}}, "parameter_refused"),
    ],
)
async def test_draft_that_makes_no_strategy_gets_no_version(
    studio: Studio, changes: dict[str, Any], code: str
) -> None:
    made = await studio.made(**changes)  # a draft may be anything
    answer = await studio.call("POST", f"/strategies/{made['id']}/versions", json={})
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    seen = (await studio.call("GET", f"/strategies/{made['id']}")).json()
    assert (seen["version"], seen["changed"]) == (0, True)


async def test_life_cycle_is_the_table(studio: Studio) -> None:
    for start, following in FOLLOWING.items():
        for status in FOLLOWING:
            strategy = await in_status(studio, start)
            answer = await put_status(studio, strategy, status)
            if status in following:
                assert answer.json()["status"] == status, (start, status, answer.text)
            else:
                problem = answer.json()["code"]
                assert (answer.status_code, problem) == (409, "strategy_status_refused")


async def put_status(studio: Studio, strategy: dict[str, Any], status: str) -> Any:
    return await studio.call(
        "PUT",
        f"/strategies/{strategy['id']}/status",
        json={"status": status, "revision": strategy["revision"]},
    )


async def in_status(studio: Studio, status: str) -> dict[str, Any]:
    strategy = await studio.made()
    if status != "DRAFT":
        answer = await put_status(studio, strategy, status)
        assert answer.status_code == 200, answer.text
        strategy = answer.json()
    return strategy


async def test_published_version_is_frozen_and_its_strategy_kept(studio: Studio) -> None:
    strategy = await in_status(studio, "PUBLISHED")
    assert (strategy["published_version"], strategy["version"]) == (1, 1)
    version = (await studio.call("GET", f"/strategies/{strategy['id']}/versions/1")).json()
    assert version["frozen_at"] is not None
    answer = await studio.call("DELETE", f"/strategies/{strategy['id']}")
    assert (answer.status_code, answer.json()["code"]) == (409, "strategy_kept")
    # Editing goes on beside what is published.
    changed = await studio.changed(strategy, parameters={"fast": 9})
    assert (changed["published_version"], changed["changed"]) == (1, True)
    again = (await put_status(studio, changed, "PUBLISHED")).json()
    assert (again["published_version"], again["version"]) == (2, 2)


async def test_archived_strategy_is_neither_changed_nor_versioned(studio: Studio) -> None:
    strategy = await in_status(studio, "ARCHIVED")
    path = f"/strategies/{strategy['id']}"
    for answer in (
        await studio.call("PUT", path, json={"revision": 2, "name": "x"}),
        await studio.call("POST", f"{path}/versions", json={}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "strategy_archived")


async def test_database_itself_keeps_versions(studio: Studio, database_url: str) -> None:
    draft = await studio.made()
    version = await studio.version(draft)
    published = await in_status(studio, "PUBLISHED")

    def refused(statement: str, *values: object) -> str:
        with psycopg.connect(database_url) as connection:
            with pytest.raises(psycopg.errors.RaiseException) as caught:
                connection.execute(statement, values)
            return str(caught.value)

    by_id = "UPDATE strategies.versions SET code = 'x' WHERE id = %s"
    change = refused(by_id, UUID(version["id"]))
    assert "does not change" in change
    by_strategy = UUID(published["id"])
    thawed = "UPDATE strategies.versions SET frozen_at = NULL WHERE strategy_id = %s"
    assert "does not change" in refused(thawed, by_strategy)
    gone = refused("DELETE FROM strategies.versions WHERE strategy_id = %s", by_strategy)
    assert "is kept" in gone
    assert "are kept" in refused("TRUNCATE strategies.versions")


async def test_list_is_filtered_and_paged(studio: Studio) -> None:
    person = await studio.product.person("lister")
    made = [await studio.made(person=person, name=f"number {one}") for one in range(3)]
    first = (await studio.call("GET", "/strategies?limit=2", person=person)).json()
    assert [one["name"] for one in first["items"]] == ["number 2", "number 1"]
    rest = await studio.call("GET", f"/strategies?cursor={first['next']}", person=person)
    assert [one["id"] for one in rest.json()["items"]] == [made[0]["id"]]
    none = await studio.call("GET", "/strategies?status=PUBLISHED", person=person)
    assert none.json() == {"items": [], "next": None}
    assert "code" not in first["items"][0]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "x"}, "strategy_content_wrong"),
        ({"name": "x", "code": CODE, "blocks": {}}, "strategy_content_wrong"),
        ({"name": "x", "code": CODE, "type": "NO_CODE"}, "strategy_content_wrong"),
        ({"name": "x", "template": "no_such"}, "no_such_template"),
        ({"name": "", "code": CODE}, "invalid_request"),
        ({"name": "x\n", "code": CODE, "more": 1}, "invalid_request"),
        ({"name": "x", "code": "a\x00b"}, "not_text"),
        ({"name": "x", "code": "#" * 100_001}, "invalid_request"),
        ({"name": "x", "blocks": {"a": "\x00"}}, "not_text"),
        ({"name": "x", "blocks": {"a": "b" * 200_000}}, "invalid_request"),
        ({"name": "x", "code": CODE, "parameters": {"a b": 1}}, "invalid_request"),
        ({"name": "x", "code": CODE, "parameters": {"a": [1]}}, "invalid_request"),
    ],
)
async def test_what_is_no_strategy_is_refused(
    studio: Studio, body: dict[str, Any], code: str
) -> None:
    answer = await studio.call("POST", "/strategies", json=body)
    assert answer.status_code in {404, 422}
    assert answer.json()["code"] == code
