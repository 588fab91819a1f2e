"""What ends a session or changes rights holds everywhere within a second (S7)."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import psycopg
import pytest

from alphintra.core.ids import UserId
from alphintra.identity import Role, disable_user, set_roles
from alphintra.identity.revocations import STALE_AFTER_S
from alphintra.platform.security import Permission, Principal

from .conftest import PASSWORD, Api, Person, World, eventually

WITHIN_S = 1.0
Act = Callable[[World, Person], Awaitable[None]]


async def _logout(world: World, ada: Person) -> None:
    await world.call("POST", "/auth/logout", token=ada.access_token)


async def _logout_everywhere(world: World, ada: Person) -> None:
    elsewhere = await world.session_of(ada.email, ada.id)
    await world.call("POST", "/auth/logout", {"everywhere": True}, token=elsewhere.access_token)


async def _revoke(world: World, ada: Person) -> None:
    elsewhere = await world.session_of(ada.email, ada.id)
    listed = await world.call("GET", "/auth/sessions", token=elsewhere.access_token)
    for one in listed.body["items"]:
        if not one["is_current"]:
            path = f"/auth/sessions/{one['id']}"
            answer = await world.call("DELETE", path, token=elsewhere.access_token)
            assert answer.status == 204


async def _change_password(world: World, ada: Person) -> None:
    elsewhere = await world.session_of(ada.email, ada.id)
    body = {"current_password": PASSWORD, "new_password": "another-harbour-12"}
    answer = await world.call("PUT", "/auth/password", body, token=elsewhere.access_token)
    assert answer.status == 204, answer.body
    assert (
        await world.call("GET", "/users/profile", token=elsewhere.access_token)
    ).status == 200, "the session that changed the password goes on"


async def _change_second_factor(world: World, ada: Person) -> None:
    await world.turn_on_totp(await world.session_of(ada.email, ada.id))


async def _disable(world: World, ada: Person) -> None:
    identity = world.api.identity
    await disable_user(identity, actor_id=None, user_id=_user_id(ada), reason="test")


async def _drop_roles(world: World, ada: Person) -> None:
    roles = frozenset({Role.SUPPORT})
    await set_roles(world.api.identity, actor_id=None, user_id=_user_id(ada), roles=roles)


async def _gone(api: Api, principal: Principal) -> None:
    async def gone() -> bool:
        return not api.authenticator.still_valid(principal)

    await eventually(gone, within_s=WITHIN_S)


def _user_id(person: Person) -> UserId:
    return UserId(UUID(person.id))


@pytest.mark.parametrize(
    "act",
    [
        _logout,
        _logout_everywhere,
        _revoke,
        _change_password,
        _change_second_factor,
        _disable,
        _drop_roles,
    ],
)
async def test_the_end_reaches_all_processes_and_open_sockets(world: World, act: Act) -> None:
    other = world.make_api()
    ada, bob = await world.person(), await world.person()
    sockets: list[tuple[Api, Principal]] = []
    for api in world.apis:
        assert (await api.call("GET", "/users/profile", token=ada.access_token)).status == 200
        principal = await api.authenticator.authenticate_credential(ada.access_token)
        assert api.authenticator.still_valid(principal)
        sockets.append((api, principal))

    await act(world, ada)

    # In the process that did it there is no delay at all.
    assert not world.api.authenticator.still_valid(sockets[0][1])
    assert (await world.call("GET", "/users/profile", token=ada.access_token)).status == 401
    await _gone(other, sockets[1][1])
    assert (await other.call("GET", "/users/profile", token=ada.access_token)).status == 401
    # A process that starts only now knows it, too; and nobody else is touched.
    late = world.make_api()
    assert (await late.call("GET", "/users/profile", token=ada.access_token)).status == 401
    for api in world.apis:
        assert (await api.call("GET", "/users/profile", token=bob.access_token)).status == 200


async def test_after_a_role_drop_refresh_gives_a_token_with_the_new_rights(world: World) -> None:
    ada = await world.person(Role.TRADER)
    await _drop_roles(world, ada)
    stale = await world.call("GET", "/users/profile", token=ada.access_token)
    assert (stale.status, stale.code) == (401, "token_superseded")
    fresh = await world.call("POST", "/auth/refresh", {"refresh_token": ada.refresh_token})
    principal = await world.api.authenticator.authenticate_credential(fresh.body["access_token"])
    assert Permission.ORDERS_WRITE not in principal.permissions
    assert Permission.USERS_READ in principal.permissions


async def test_a_disabled_user_cannot_refresh_or_log_in(world: World) -> None:
    ada = await world.person()
    await _disable(world, ada)
    refreshed = await world.call("POST", "/auth/refresh", {"refresh_token": ada.refresh_token})
    assert (refreshed.status, refreshed.code) == (401, "refresh_token_invalid")
    login = await world.log_in(ada.email)
    assert (login.status, login.code) == (403, "account_disabled")
    wrong = await world.log_in(ada.email, "not-the-password")
    assert (wrong.status, wrong.code) == (401, "invalid_credentials")


async def test_a_revocation_held_back_by_an_older_transaction_is_not_missed(world: World) -> None:
    """A transaction that began early may commit late; its rows must still be seen."""
    other = world.make_api()
    ada, bob = await world.person(), await world.person()
    principal = await other.authenticator.authenticate_credential(ada.access_token)
    async with _open_transaction(world) as early:
        await early.execute(
            """INSERT INTO identity.revocations (subject, subject_id, version, revoked_at)
               VALUES ('SESSION', %s, 0, now())""",
            [principal.session_id],
        )
        for _ in range(3):  # others overtake it
            await _logout(world, await world.session_of(bob.email, bob.id))
        await asyncio.sleep(0.4)  # longer than a poll: the reader has moved on
        assert other.authenticator.still_valid(principal)
    # No notification was sent: the poll alone has to find it.
    await _gone(other, principal)


async def test_nobody_is_let_in_while_revocations_cannot_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await world.person()
    authenticator = world.api.authenticator
    principal = await authenticator.authenticate_credential(ada.access_token)
    revocations = world.api.identity.revocations
    loop = asyncio.get_running_loop()
    heard_at_s = loop.time()

    async def away(**_: object) -> psycopg.AsyncConnection:
        raise psycopg.OperationalError("the server is away")

    await revocations.close()
    monkeypatch.setattr(world.api.services.database, "connect_raw", away)
    monkeypatch.setattr("alphintra.identity.revocations.START_TIMEOUT_S", 0.2)
    monkeypatch.setattr("alphintra.identity.revocations.WAKE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(revocations, "_fresh_at_s", heard_at_s - STALE_AFTER_S + 60)
    assert authenticator.still_valid(principal)
    monkeypatch.setattr(revocations, "_fresh_at_s", heard_at_s - STALE_AFTER_S)
    assert not authenticator.still_valid(principal)
    answer = await world.call("GET", "/users/profile", token=ada.access_token)
    assert (answer.status, answer.code) == (503, "authentication_unavailable")
    assert answer.body["retryable"] is True
    monkeypatch.undo()
    assert (await world.call("GET", "/users/profile", token=ada.access_token)).status == 200


async def test_a_process_that_was_suspended_reads_before_it_answers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await world.person()
    revocations = world.api.identity.revocations
    monkeypatch.setattr(revocations, "_fresh_at_s", float("-inf"))
    assert (await world.call("GET", "/users/profile", token=ada.access_token)).status == 200


async def test_revocations_go_on_after_the_connection_was_cut(world: World) -> None:
    other = world.make_api()
    ada = await world.person()
    principal = await other.authenticator.authenticate_credential(ada.access_token)
    async with await world.api.services.database.connect_raw(autocommit=True) as connection:
        await connection.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()
                 AND query LIKE '%identity.revocations%'"""
        )
    await _logout(world, ada)
    await _gone(other, principal)


async def test_a_request_with_a_known_token_costs_microseconds(world: World) -> None:
    ada = await world.person()
    authenticate = world.api.authenticator.authenticate_credential
    principal = await authenticate(ada.access_token)
    rounds = 2_000
    started = time.perf_counter()
    for _ in range(rounds):
        await authenticate(ada.access_token)
    each_us = (time.perf_counter() - started) / rounds * 1e6
    started = time.perf_counter()
    for _ in range(rounds):
        world.api.authenticator.still_valid(principal)
    still_valid_us = (time.perf_counter() - started) / rounds * 1e6
    print(f"authenticate {each_us:.1f} µs, still_valid {still_valid_us:.1f} µs")
    # Generous: the point is that neither the database nor RSA (85 µs) is asked.
    assert each_us < 60
    assert still_valid_us < 30


@asynccontextmanager
async def _open_transaction(world: World) -> AsyncIterator[psycopg.AsyncConnection]:
    async with await world.api.services.database.connect_raw() as connection:
        await connection.execute("SELECT pg_current_xact_id()")
        yield connection
        await connection.commit()
