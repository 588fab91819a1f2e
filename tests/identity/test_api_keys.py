"""API keys: scopes, expiry, revocation, and what a key can never do."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from alphintra.core.clock import now
from alphintra.identity import Role, disable_user, enable_user, set_roles
from alphintra.platform.security import NOT_DELEGABLE, Permission

from .conftest import PASSWORD, Answer, Person, World, eventually


@pytest.fixture
async def ada(world: World) -> Person:
    return await world.person(Role.TRADER)


async def _make(world: World, person: Person, *scopes: str, **more: Any) -> Answer:
    body = {"name": "bot", "scopes": list(scopes), "password": PASSWORD, **more}
    return await world.call("POST", "/api-keys", body, token=person.access_token)


async def _with_key(world: World, key: str, path: str = "/users/profile", **options: Any) -> Answer:
    return await world.call(options.pop("method", "GET"), path, headers={"x-api-key": key})


async def test_a_key_works_in_both_headers_and_is_shown_once(world: World, ada: Person) -> None:
    made = await _make(world, ada, "profile:read", "orders:read")
    assert made.status == 201
    key = made.body["key"]
    assert (await _with_key(world, key)).body["id"] == ada.id
    assert (await world.call("GET", "/users/profile", token=key)).status == 200
    listed = await world.call("GET", "/api-keys", token=ada.access_token)
    assert [one["id"] for one in listed.body["items"]] == [made.body["id"]]
    assert "key" not in listed.body["items"][0]
    assert listed.body["items"][0]["last_used_at"] is not None
    secret = key.rpartition("_")[2]
    async with world.api.services.database.reading() as session:
        row = (await session.execute(text("SELECT * FROM identity.api_keys"))).one()
    assert all(secret.encode() not in str(value).encode() for value in row)
    assert all(secret not in body for body in await world.events("user_events"))


async def test_a_key_may_do_what_its_scopes_say_and_no_more(world: World, ada: Person) -> None:
    key = (await _make(world, ada, "orders:read")).body["key"]
    answer = await _with_key(world, key)
    assert (answer.status, answer.code) == (403, "forbidden")
    principal = await world.api.authenticator.authenticate_credential(key)
    assert principal.permissions == {Permission.ORDERS_READ}
    assert principal.session_id is None


@pytest.mark.parametrize("scope", sorted(NOT_DELEGABLE))
async def test_no_key_carries_what_is_for_people(world: World, scope: str) -> None:
    admin = await world.person(Role.ADMIN)
    answer = await _make(world, admin, "orders:read", scope)
    assert (answer.status, answer.code) == (422, "scope_not_delegable")
    assert answer.body["refused"] == [scope]


async def test_a_key_cannot_do_what_its_owner_cannot(world: World, ada: Person) -> None:
    answer = await _make(world, ada, "orders:read", "platform:halt")
    assert (answer.status, answer.code) == (403, "scope_not_held")
    assert answer.body["missing"] == ["platform:halt"]


async def test_a_key_loses_what_its_owner_loses(world: World) -> None:
    other = world.make_api()
    ada = await world.person(Role.TRADER)
    key = (await _make(world, ada, "orders:write", "market:read")).body["key"]
    principals = [await api.authenticator.authenticate_credential(key) for api in world.apis]
    assert all(Permission.ORDERS_WRITE in one.permissions for one in principals)
    await set_roles(
        world.api.identity,
        actor_id=None,
        user_id=principals[0].user_id,
        roles=frozenset({Role.SUPPORT}),
    )
    here = await world.api.authenticator.authenticate_credential(key)
    assert here.permissions == {Permission.MARKET_READ}
    assert not world.api.authenticator.still_valid(principals[0])

    async def dropped() -> bool:
        found = await other.authenticator.authenticate_credential(key)
        return found.permissions == {Permission.MARKET_READ}

    await eventually(dropped)


async def test_a_revoked_key_and_a_disabled_owners_key_stop_everywhere(
    world: World, ada: Person
) -> None:
    other = world.make_api()
    first = (await _make(world, ada, "profile:read")).body
    second = (await _make(world, ada, "profile:read")).body["key"]

    async def status(api: Any, key: str) -> int:
        answer: Answer = await api.call("GET", "/users/profile", headers={"x-api-key": key})
        return answer.status

    for api in world.apis:
        assert await status(api, first["key"]) == await status(api, second) == 200
    path = f"/api-keys/{first['id']}"
    assert (await world.call("DELETE", path, token=ada.access_token)).status == 204
    assert await status(world.api, first["key"]) == 401

    async def refused(key: str) -> bool:
        return await status(other, key) == 401

    await eventually(lambda: refused(first["key"]))
    again = await world.call("DELETE", path, token=ada.access_token)
    assert (again.status, again.code) == (404, "api_key_not_found")

    principal = await other.authenticator.authenticate_credential(second)
    user_id = principal.user_id
    await disable_user(world.api.identity, actor_id=None, user_id=user_id, reason="test")
    assert await status(world.api, second) == 401
    await eventually(lambda: refused(second))
    assert not other.authenticator.still_valid(principal)
    await enable_user(world.api.identity, actor_id=None, user_id=user_id, reason="test")
    assert await status(world.api, second) == 200


async def test_a_key_ends_at_its_expiry(world: World, ada: Person) -> None:
    at = now(world.clock)
    for wrong in (at, at - timedelta(days=1), at + timedelta(days=9_999)):
        answer = await _make(world, ada, "profile:read", expires_at=wrong.isoformat())
        assert (answer.status, answer.code) == (422, "expiry_out_of_range")
    ends = at + timedelta(seconds=30)
    key = (await _make(world, ada, "profile:read", expires_at=ends.isoformat())).body["key"]
    principal = await world.api.authenticator.authenticate_credential(key)
    world.clock.advance(29)
    assert (await _with_key(world, key)).status == 200
    assert world.api.authenticator.still_valid(principal)
    world.clock.advance(1)
    assert (await _with_key(world, key)).code == "api_key_invalid"
    assert not world.api.authenticator.still_valid(principal)


async def test_making_a_key_needs_a_fresh_proof(world: World, ada: Person) -> None:
    missing = await _make(world, ada, "orders:read", password=None)
    assert (missing.status, missing.code) == (403, "step_up_required")
    assert missing.body["needed"] == ["password"]
    wrong = await _make(world, ada, "orders:read", password="not-the-password")
    assert (wrong.status, wrong.code) == (403, "step_up_failed")
    await world.turn_on_totp(ada)
    world.clock.advance(30)
    no_code = await _make(world, ada, "orders:read")
    assert (no_code.status, no_code.code) == (403, "step_up_required")
    made = await _make(world, ada, "orders:read", totp_code=world.code(ada))
    assert made.status == 201


async def test_another_secret_or_somebody_elses_id_opens_nothing(world: World, ada: Person) -> None:
    first = (await _make(world, ada, "profile:read")).body["key"]
    second = (await _make(world, ada, "profile:read")).body["key"]
    mixed = first[: len("alp_") + 32] + second[len("alp_") + 32 :]
    for wrong in (mixed, first[:-1], first + "a", first.upper()):
        assert (await _with_key(world, wrong)).code == "api_key_invalid"


async def test_fifty_keys_are_enough_also_when_they_are_made_at_once(
    world: World, ada: Person
) -> None:
    async with world.api.services.database.transaction() as session:
        await session.execute(
            text("""INSERT INTO identity.api_keys
                  (id, user_id, name, secret_hash, scopes, created_at)
                SELECT gen_random_uuid(), :user, 'old', '', '{}', now()
                FROM generate_series(1, 48)"""),
            {"user": ada.id},
        )
    answers = await asyncio.gather(*(_make(world, ada, "orders:read") for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [201, 201, 409, 409]
