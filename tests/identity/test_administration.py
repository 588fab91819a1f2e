"""What administrators do, what they cannot do, and what remains of it in the audit trail."""

import asyncio
import json

import pytest

from alphintra.identity import Role

from .conftest import PASSWORD, World


async def test_disable_and_enable_leave_audit_events(world: World) -> None:
    admin, ada = await world.person(Role.ADMIN), await world.person()
    for act in ("disable", "enable", "enable"):
        answer = await world.call(
            "POST", f"/users/{ada.id}/{act}", {"reason": "ticket 7"}, token=admin.access_token
        )
        assert answer.status == 200
        assert (answer.body["disabled_at"] is not None) == (act == "disable")
    answer = await world.call(
        "PUT", f"/users/{ada.id}/roles", {"roles": ["SUPPORT"]}, token=admin.access_token
    )
    assert answer.body["roles"] == ["SUPPORT"]
    audit = [json.loads(body) for body in await world.events("audit_events")]
    ours = [one["data"] for one in audit if one["data"]["subject"] == ada.id]
    assert [one["action"] for one in ours] == [
        "user.create",
        "user.disable",
        "user.enable",
        "user.set_roles",
    ]
    assert {one["actor_id"] for one in ours[1:]} == {admin.id}
    assert ours[1]["details"] == {"reason": "ticket 7"}
    assert ours[3]["details"] == {"before": "TRADER", "after": "SUPPORT"}
    assert {one["type"] for one in audit} == {"audit_event.v1"}


async def test_nobody_changes_the_own_rights(world: World) -> None:
    admin = await world.person(Role.ADMIN)
    for method, path, body in (
        ("PUT", "roles", {"roles": ["ADMIN", "TRADER"]}),
        ("POST", "disable", {"reason": "x"}),
    ):
        path = f"/users/{admin.id}/{path}"
        answer = await world.call(method, path, body, token=admin.access_token)
        assert (answer.status, answer.code) == (409, "not_on_yourself")


async def test_the_last_administrator_stays_one(world: World, make_database: object) -> None:
    first, second = await world.person(Role.ADMIN), await world.person(Role.ADMIN)
    listed = await world.call("GET", "/users", token=first.access_token)
    for user in listed.body["items"]:
        if "ADMIN" in user["roles"] and user["id"] not in {first.id, second.id}:
            await world.call(
                "POST", f"/users/{user['id']}/disable", {"reason": "x"}, token=first.access_token
            )
    # Each takes the other's rights away at the same moment: one of them must remain.
    answers = await asyncio.gather(
        world.call(
            "PUT", f"/users/{second.id}/roles", {"roles": ["TRADER"]}, token=first.access_token
        ),
        world.call(
            "POST", f"/users/{first.id}/disable", {"reason": "x"}, token=second.access_token
        ),
    )
    assert sorted(answer.status for answer in answers) in ([200, 401], [200, 409])
    refused = next(answer for answer in answers if answer.status != 200)
    assert refused.code in {"last_administrator", "token_superseded", "session_ended"}


async def test_users_are_listed_in_pages_the_newest_first(world: World) -> None:
    admin = await world.person(Role.ADMIN)
    people = []
    for _ in range(5):
        world.clock.advance(1)
        people.append((await world.person()).id)
    seen: list[str] = []
    cursor = None
    while True:
        query = f"?limit=2{f'&cursor={cursor}' if cursor else ''}"
        page = await world.call("GET", f"/users{query}", token=admin.access_token)
        assert page.status == 200
        seen += [user["id"] for user in page.body["items"]]
        cursor = page.body["next"]
        if cursor is None:
            break
    assert seen[:5] == people[::-1]
    assert len(seen) == len(set(seen))
    assert admin.id in seen


@pytest.mark.parametrize("cursor", ["x", "AAAA", "eB95", "MjAyNC0wMS0wMR9u"])
async def test_a_foreign_cursor_is_refused(world: World, cursor: str) -> None:
    admin = await world.person(Role.ADMIN)
    answer = await world.call("GET", f"/users?cursor={cursor}", token=admin.access_token)
    assert (answer.status, answer.code) == (422, "bad_cursor")


async def test_a_user_is_found_by_address(world: World) -> None:
    admin, ada = await world.person(Role.ADMIN), await world.person()
    found = await world.call("GET", f"/users?email={ada.email.upper()}", token=admin.access_token)
    assert [user["id"] for user in found.body["items"]] == [ada.id]
    none = await world.call("GET", "/users?email=%00", token=admin.access_token)
    assert none.status == 422


async def test_one_address_is_one_account_also_when_two_register_at_once(world: World) -> None:
    body = {"email": "Twice@example.com", "password": PASSWORD}
    answers = await asyncio.gather(*(world.call("POST", "/auth/register", body) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
    registered = [body for body in await world.events("user_events") if "USER_REGISTERED" in body]
    ids = [json.loads(one)["data"]["user_id"] for one in registered]
    winner = next(answer for answer in answers if answer.status == 201)
    assert ids.count(winner.body["id"]) == 1


async def test_the_fifty_first_session_ends_the_one_that_was_idle_longest(world: World) -> None:
    ada = await world.person()
    second = await world.session_of(ada.email, ada.id)
    world.clock.advance(1)
    await world.call("POST", "/auth/refresh", {"refresh_token": ada.refresh_token})
    for _ in range(49):
        world.clock.advance(1)
        newest = await world.session_of(ada.email, ada.id)
    listed = await world.call("GET", "/auth/sessions", token=newest.access_token)
    assert len(listed.body["items"]) == 50
    assert (await world.call("GET", "/users/profile", token=second.access_token)).status == 401
    assert (await world.call("GET", "/users/profile", token=ada.access_token)).status == 200
