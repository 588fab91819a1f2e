"""Others: what is not theirs is not there; what is shared goes as far as its right."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from alphintra import strategies
from alphintra.core.ids import UserId
from alphintra.platform.security import Principal
from alphintra.strategies.errors import NoSuchStrategy, NoSuchVersion, RightMissing
from tests.gateway.product import Person
from tests.strategies.conftest import CODE, Studio

#: Every route to one strategy: method, the rest of its path, a body that it takes, the right.
ROUTES: list[tuple[str, str, dict[str, Any] | None, str]] = [
    ("GET", "", None, "VIEW"),
    ("GET", "/python", None, "VIEW"),
    ("GET", "/versions", None, "VIEW"),
    ("GET", "/versions/1", None, "VIEW"),
    ("GET", "/versions/1/diff", None, "VIEW"),
    ("PUT", "", {"name": "renamed"}, "EDIT"),
    ("POST", "/versions", {}, "EDIT"),
    ("POST", "/versions/1/restore", {}, "EDIT"),
    ("PUT", "/status", {"status": "ARCHIVED"}, "OWN"),
    ("GET", "/shares", None, "OWN"),
    ("PUT", "/shares/{stranger}", {"right": "EDIT"}, "OWN"),
    ("DELETE", "", None, "OWN"),
]
RIGHTS = ["VIEW", "USE", "EDIT", "OWN"]


async def call(
    studio: Studio, strategy: dict[str, Any], row: tuple[Any, ...], person: Person
) -> Any:
    method, rest, body, _ = row
    if body is not None and rest in {"", "/versions/1/restore", "/status"}:
        seen = await studio.call("GET", f"/strategies/{strategy['id']}")
        body = {**body, "revision": seen.json()["revision"]}
    path = f"/strategies/{strategy['id']}{rest}".format(stranger=studio.stranger.email)
    return await studio.call(method, path, person=person, json=body)


async def test_strangers_find_nothing(studio: Studio) -> None:
    strategy = await studio.made()
    await studio.version(strategy)
    for row in ROUTES:
        answer = await call(studio, strategy, row, studio.stranger)
        problem = answer.json()["code"]
        assert (answer.status_code, problem) == (404, "no_such_strategy"), row
    listed = await studio.call("GET", "/strategies?shared=true", person=studio.stranger)
    assert strategy["id"] not in listed.text


@pytest.mark.parametrize("held", ["VIEW", "USE", "EDIT"])
async def test_right_goes_as_far_as_it_says(studio: Studio, held: str) -> None:
    strategy = await studio.made()
    await studio.version(strategy)
    friend = await studio.product.person("friend")
    share = f"/strategies/{strategy['id']}/shares/{friend.email}"
    answer = await studio.call("PUT", share, json={"right": held})
    assert (answer.status_code, answer.json()["user_id"]) == (200, friend.id)
    seen = (await studio.call("GET", f"/strategies/{strategy['id']}", person=friend)).json()
    assert seen["right"] == held
    for row in ROUTES:
        answer = await call(studio, strategy, row, friend)
        if RIGHTS.index(held) >= RIGHTS.index(row[3]):
            assert answer.status_code in {200, 201}, (row, answer.text)
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "right_missing"), row
    listed = await studio.call("GET", "/strategies?shared=true", person=friend)
    assert [one["id"] for one in listed.json()["items"]] == [strategy["id"]]
    own = await studio.call("GET", "/strategies", person=friend)
    assert own.json()["items"] == []


async def test_right_is_changed_taken_away_and_given_up(studio: Studio) -> None:
    strategy = await studio.made()
    path = f"/strategies/{strategy['id']}"
    friend = await studio.product.person("friend")
    for right in ("VIEW", "EDIT"):
        await studio.call("PUT", f"{path}/shares/{friend.id}", json={"right": right})
    shares = (await studio.call("GET", f"{path}/shares")).json()["items"]
    assert [(one["user_id"], one["right"]) for one in shares] == [(friend.id, "EDIT")]
    gone = await studio.call("DELETE", f"{path}/shares/{friend.id}")
    assert gone.status_code == 204
    assert (await studio.call("GET", path, person=friend)).status_code == 404
    again = await studio.call("DELETE", f"{path}/shares/{friend.id}")
    assert (again.status_code, again.json()["code"]) == (404, "no_such_person")
    await studio.call("PUT", f"{path}/shares/{friend.email.upper()}", json={"right": "VIEW"})
    given_up = await studio.call("DELETE", f"{path}/shares/{friend.id}", person=friend)
    assert given_up.status_code == 204
    assert (await studio.call("GET", path, person=friend)).status_code == 404


@pytest.mark.parametrize(
    ("person", "right", "status", "code"),
    [
        ("nobody@example.com", "VIEW", 404, "no_such_person"),
        ("00000000-0000-4000-8000-000000000001", "VIEW", 404, "no_such_person"),
        ("not a name", "VIEW", 404, "no_such_person"),
        ("{owner}", "VIEW", 422, "strategy_content_wrong"),
        ("{owner}", "OWN", 422, "invalid_request"),
    ],
)
async def test_what_cannot_be_shared(
    studio: Studio, person: str, right: str, status: int, code: str
) -> None:
    strategy = await studio.made()
    path = f"/strategies/{strategy['id']}/shares/{person.format(owner=studio.owner.email)}"
    answer = await studio.call("PUT", path, json={"right": right})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_permissions_are_asked_of_keys(studio: Studio) -> None:
    reader = await studio.product.key(studio.owner, "strategies:read")
    listed = await studio.product.client.get("/api/v1/strategies", headers=reader)
    assert listed.status_code == 200
    for path in ("/strategies", "/code/check", "/code/run", "/code/format", "/code/complete"):
        answer = await studio.product.client.post(f"/api/v1{path}", json={}, headers=reader)
        assert (answer.status_code, answer.json()["missing"]) == (403, ["strategies:write"]), path


async def test_version_is_loaded_for_who_may_run_it(studio: Studio) -> None:
    strategy = await studio.made(parameters={"fast": 7})
    owner = Principal(user_id=UserId(UUID(studio.owner.id)), permissions=frozenset())
    stranger = Principal(user_id=UserId(UUID(studio.stranger.id)), permissions=frozenset())
    database = studio.product.services.database
    strategy_id = UUID(strategy["id"])
    async with database.reading() as session:
        with pytest.raises(NoSuchVersion):
            await strategies.load_version(session, owner, strategy_id)
    version = await studio.version(strategy)
    async with database.reading() as session:
        by_strategy = await strategies.load_version(session, owner, strategy_id)
        by_version = await strategies.load_version(session, owner, UUID(version["id"]))
        assert by_strategy == by_version
        assert (by_version.source, by_version.parameters) == (CODE, {"fast": 7})
        assert (by_version.number, by_version.sha256) == (1, version["sha256"])
        for subject in (strategy_id, UUID(version["id"]), uuid4()):
            with pytest.raises(NoSuchStrategy):
                await strategies.load_version(session, stranger, subject)
    share = f"/strategies/{strategy_id}/shares/{studio.stranger.id}"
    await studio.call("PUT", share, json={"right": "VIEW"})
    async with database.reading() as session:
        with pytest.raises(RightMissing):
            await strategies.load_version(session, stranger, strategy_id)
    await studio.call("PUT", share, json={"right": "USE"})
    async with database.reading() as session:
        assert await strategies.load_version(session, stranger, strategy_id) == by_version
