"""Who may call what: every route, by everybody who may not, and then by whoever may (S2)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.routing import APIRoute

from alphintra.core.ids import UserId
from alphintra.identity import Role, disable_user, router, well_known_router
from alphintra.platform.security import Access, Permission, declared_access

from .conftest import PASSWORD, Person, World

P = Permission
SOMEBODY = "00000000-0000-7000-8000-000000000000"


@dataclass(frozen=True)
class Row:
    """What a route demands, a body that it takes, and what its owner gets for it."""

    method: str
    path: str
    permission: Permission | None
    status: int
    body: Callable[[Person], Any] = lambda _: None
    #: What an administrator gets, where an ordinary user gets 403.
    for_staff: bool = False


ROWS = [
    Row("POST", "/auth/register", None, 201, lambda _: _new_user()),
    Row("POST", "/auth/login", None, 200, lambda p: {"email": p.email, "password": PASSWORD}),
    Row("POST", "/auth/refresh", None, 200, lambda p: {"refresh_token": p.refresh_token}),
    Row("GET", "/auth/jwks", None, 200),
    Row("POST", "/auth/logout", P.SESSIONS_MANAGE, 204),
    Row("PUT", "/auth/password", P.PROFILE_WRITE, 204, lambda _: _new_password()),
    Row("POST", "/auth/2fa/setup", P.PROFILE_WRITE, 200),
    Row("POST", "/auth/2fa/verify", P.PROFILE_WRITE, 409, lambda _: {"code": "123456"}),
    Row("POST", "/auth/2fa/disable", P.PROFILE_WRITE, 409, lambda _: {}),
    Row("GET", "/auth/sessions", P.SESSIONS_MANAGE, 200),
    Row("DELETE", "/auth/sessions/{session_id}", P.SESSIONS_MANAGE, 404),
    Row("GET", "/users/profile", P.PROFILE_READ, 200),
    Row("PUT", "/users/profile", P.PROFILE_WRITE, 200, lambda _: _names()),
    Row("POST", "/api-keys", P.API_KEYS_MANAGE, 201, lambda _: _new_key()),
    Row("GET", "/api-keys", P.API_KEYS_MANAGE, 200),
    Row("DELETE", "/api-keys/{key_id}", P.API_KEYS_MANAGE, 404),
    Row("GET", "/users", P.USERS_READ, 200, for_staff=True),
    Row("GET", "/users/{user_id}", P.USERS_READ, 404, for_staff=True),
    Row(
        "PUT", "/users/{user_id}/roles", P.USERS_MANAGE, 404, lambda _: {"roles": ["TRADER"]}, True
    ),
    Row("POST", "/users/{user_id}/disable", P.USERS_MANAGE, 404, lambda _: {"reason": "x"}, True),
    Row("POST", "/users/{user_id}/enable", P.USERS_MANAGE, 404, lambda _: {"reason": "x"}, True),
]
BY_NAME = {f"{row.method} {row.path}": row for row in ROWS}
GUARDED = [name for name, row in BY_NAME.items() if row.permission is not None]
#: Wrong fields that a client might hope to write (S4).
SERVER_FIELDS = {
    "id": SOMEBODY,
    "user_id": SOMEBODY,
    "roles": ["ADMIN"],
    "kyc_status": "APPROVED",
    "plan": "market_maker",
    "version": 0,
    "disabled_at": None,
    "is_admin": True,
}


def _new_user() -> dict[str, str]:
    return {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}


def _new_password() -> dict[str, str]:
    return {"current_password": PASSWORD, "new_password": "another-harbour-12"}


def _names() -> dict[str, str]:
    return {"first_name": "Ada", "last_name": "L"}


def _new_key() -> dict[str, Any]:
    return {"name": "bot", "scopes": ["orders:read"], "password": PASSWORD}


def _path(row: Row) -> str:
    for name in ("{session_id}", "{key_id}", "{user_id}"):
        if name in row.path:
            return row.path.replace(name, SOMEBODY)
    return row.path


def test_every_route_has_a_row_and_declares_what_it_says() -> None:
    found = {}
    for route in router.routes:
        assert isinstance(route, APIRoute)
        (method,) = sorted(route.methods or set())
        found[f"{method} {route.path}"] = declared_access(route.dependant)
    expected = {
        name: Access(is_public=True)
        if row.permission is None
        else Access(permissions=frozenset({row.permission}))
        for name, row in BY_NAME.items()
    }
    assert found == expected
    for route in well_known_router.routes:
        assert isinstance(route, APIRoute)
        assert declared_access(route.dependant) == Access(is_public=True)


def test_every_guarded_route_tells_its_refusals_to_openapi() -> None:
    for route in router.routes:
        assert isinstance(route, APIRoute)
        if route.path != "/auth/jwks":
            assert {401, 422} & route.responses.keys(), route.path


@pytest.mark.parametrize("name", GUARDED)
async def test_without_credentials_nothing_opens(world: World, name: str) -> None:
    row = BY_NAME[name]
    ada = await world.person()
    answer = await world.call(row.method, _path(row), row.body(ada))
    assert (answer.status, answer.code) == (401, "not_authenticated")


@pytest.mark.parametrize("name", GUARDED)
async def test_a_disabled_user_and_an_expired_token_open_nothing(world: World, name: str) -> None:
    row = BY_NAME[name]
    ada, bob = await world.person(Role.ADMIN), await world.person(Role.ADMIN)
    await disable_user(
        world.api.identity, actor_id=None, user_id=UserId(UUID(ada.id)), reason="test"
    )
    for person, advance_s, code in ((ada, 0, "session_ended"), (bob, 605, "token_expired")):
        world.clock.advance(advance_s)
        answer = await world.call(
            row.method, _path(row), row.body(person), token=person.access_token
        )
        assert (answer.status, answer.code) == (401, code)


@pytest.mark.parametrize("name", GUARDED)
async def test_a_key_without_the_scope_opens_nothing(world: World, name: str) -> None:
    row = BY_NAME[name]
    assert row.permission is not None
    admin = await world.person(Role.ADMIN)
    scopes = sorted({P.ORDERS_READ, P.PROFILE_READ, P.USERS_READ} - {row.permission})
    made = await world.call(
        "POST",
        "/api-keys",
        {"name": "bot", "scopes": scopes, "password": PASSWORD},
        token=admin.access_token,
    )
    headers = {"x-api-key": made.body["key"]}
    answer = await world.call(row.method, _path(row), row.body(admin), headers=headers)
    assert (answer.status, answer.code) == (403, "forbidden")
    assert answer.body["missing"] == [row.permission]


@pytest.mark.parametrize("name", BY_NAME)
async def test_whoever_may_gets_an_answer_and_others_are_refused(world: World, name: str) -> None:
    row = BY_NAME[name]
    person = await world.person(Role.ADMIN if row.for_staff else Role.TRADER)
    token = None if row.permission is None else person.access_token
    if row.for_staff:
        trader = await world.person(Role.TRADER)
        refused = await world.call(
            row.method, _path(row), row.body(trader), token=trader.access_token
        )
        assert (refused.status, refused.code) == (403, "forbidden")
    answer = await world.call(row.method, _path(row), row.body(person), token=token)
    assert answer.status == row.status, answer.body


async def test_support_reads_users_and_changes_none(world: World) -> None:
    support, ada = await world.person(Role.SUPPORT), await world.person()
    read = await world.call("GET", f"/users/{ada.id}", token=support.access_token)
    assert (read.status, read.body["email"]) == (200, ada.email)
    changed = await world.call(
        "PUT", f"/users/{ada.id}/roles", {"roles": ["ADMIN"]}, token=support.access_token
    )
    assert changed.status == 403


async def test_what_is_somebody_elses_is_absent(world: World) -> None:
    ada, eve = await world.person(), await world.person()
    key = await world.call("POST", "/api-keys", _new_key(), token=ada.access_token)
    session = (await world.call("GET", "/auth/sessions", token=ada.access_token)).body["items"][0]
    for path, owned in (("/api-keys", key.body["id"]), ("/auth/sessions", session["id"])):
        foreign = await world.call("DELETE", f"{path}/{owned}", token=eve.access_token)
        absent = await world.call("DELETE", f"{path}/{uuid4()}", token=eve.access_token)
        for answer in (foreign, absent):
            del answer.body["correlation_id"]
        assert foreign.status == absent.status == 404
        assert foreign.body == absent.body
    assert (await world.call("GET", "/users/profile", token=ada.access_token)).status == 200
    listed = await world.call("GET", "/api-keys", token=eve.access_token)
    assert listed.body == {"items": [], "next": None}


@pytest.mark.parametrize("name", [name for name, row in BY_NAME.items() if row.method != "GET"])
async def test_server_fields_are_refused(world: World, name: str) -> None:
    row = BY_NAME[name]
    admin = await world.person(Role.ADMIN)
    body: dict[str, Any] = row.body(admin) or {}
    for field in SERVER_FIELDS.keys() - body.keys():
        if row.method == "DELETE":
            break  # takes no body at all
        answer = await world.call(
            row.method, _path(row), {**body, field: SERVER_FIELDS[field]}, token=admin.access_token
        )
        assert (answer.status, answer.code) == (422, "invalid_request"), field
    assert (await world.call("GET", "/users/profile", token=admin.access_token)).status == 200


@pytest.mark.parametrize(
    "text", ["nul\x00", "line\nbreak", "\x1b[31mred", "lone \ud800", "x" * 101]
)
async def test_text_that_cannot_be_kept_is_refused_and_changes_nothing(
    world: World, text: str
) -> None:
    ada = await world.person()
    body = {"first_name": text, "last_name": "L"}
    answer = await world.call("PUT", "/users/profile", body, token=ada.access_token)
    assert (answer.status, answer.code) == (422, "invalid_request")
    profile = await world.call("GET", "/users/profile", token=ada.access_token)
    assert profile.body["first_name"] == ""
