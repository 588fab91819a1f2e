"""Refresh tokens are good once; an old one that comes back ends its session (S6)."""

import asyncio
from functools import partial
from uuid import UUID, uuid4

import pytest

from alphintra.core.ids import SessionId
from alphintra.identity.refresh_tokens import RefreshTokens, new_salt

from .conftest import Answer, Api, Person, World, eventually


@pytest.fixture
async def ada(world: World) -> Person:
    return await world.person()


async def _refresh(world: World, token: str, key: str | None = None, *, api: int = 0) -> Answer:
    headers = {"idempotency-key": key} if key else {}
    return await world.apis[api].call(
        "POST", "/auth/refresh", {"refresh_token": token}, headers=headers
    )


async def _profile(world: World, token: str) -> int:
    return (await world.call("GET", "/users/profile", token=token)).status


async def _refused(api: Api, token: str) -> bool:
    return (await api.call("GET", "/users/profile", token=token)).status == 401


async def test_reuse_of_an_old_token_ends_the_session_and_its_access_tokens(
    world: World, ada: Person
) -> None:
    other = world.make_api()
    first = await _refresh(world, ada.refresh_token)
    second = await _refresh(world, first.body["refresh_token"])
    world.clock.advance(1)
    for token in (ada.access_token, second.body["access_token"]):
        assert (await other.call("GET", "/users/profile", token=token)).status == 200
    reused = await _refresh(world, ada.refresh_token)
    assert (reused.status, reused.code) == (401, "refresh_token_reused")
    for token in (ada.access_token, first.body["access_token"], second.body["access_token"]):
        assert await _profile(world, token) == 401
        await eventually(partial(_refused, other, token))
    newest = await _refresh(world, second.body["refresh_token"])
    assert (newest.status, newest.code) == (401, "refresh_token_invalid")
    assert any("REFRESH_TOKEN_REUSED" in one for one in await world.events("user_events"))


async def test_reuse_of_the_predecessor_ends_the_session_at_once(world: World, ada: Person) -> None:
    fresh = await _refresh(world, ada.refresh_token)
    # The answer is out, so whoever sends the old token now did not overlap with it.
    world.clock.advance(0.101)
    assert (await _refresh(world, ada.refresh_token)).code == "refresh_token_reused"
    assert (await _refresh(world, fresh.body["refresh_token"])).code == "refresh_token_invalid"


async def test_fifty_concurrent_refreshes_have_one_winner_who_goes_on(
    world: World, ada: Person
) -> None:
    world.make_api()
    answers = await asyncio.gather(
        *(_refresh(world, ada.refresh_token, api=number % 2) for number in range(50))
    )
    won = [answer for answer in answers if answer.status == 200]
    assert len(won) == 1
    lost = {(answer.status, answer.code) for answer in answers if answer.status != 200}
    assert lost == {(409, "refresh_superseded")}
    assert await _profile(world, won[0].body["access_token"]) == 200
    assert (await _refresh(world, won[0].body["refresh_token"])).status == 200


async def test_a_lost_answer_is_given_again_for_the_same_idempotency_key(
    world: World, ada: Person
) -> None:
    key = uuid4().hex
    lost = await _refresh(world, ada.refresh_token, key)
    world.clock.advance(30)
    # It works across a restart as well: nothing of it lives in memory.
    world.make_api()
    again = await _refresh(world, ada.refresh_token, key, api=1)
    assert again.status == 200
    assert again.body["refresh_token"] == lost.body["refresh_token"]
    assert await _profile(world, again.body["access_token"]) == 200
    assert (await _refresh(world, again.body["refresh_token"])).status == 200


async def test_a_thief_without_the_idempotency_key_gets_nothing(world: World, ada: Person) -> None:
    await _refresh(world, ada.refresh_token, uuid4().hex)
    world.clock.advance(1)
    assert (await _refresh(world, ada.refresh_token, uuid4().hex)).code == "refresh_token_reused"


async def test_a_retry_that_comes_too_late_or_after_the_next_refresh_is_a_reuse(
    world: World, ada: Person
) -> None:
    bob = await world.person()
    key = uuid4().hex
    await _refresh(world, ada.refresh_token, key)
    world.clock.advance(61)
    assert (await _refresh(world, ada.refresh_token, key)).code == "refresh_token_reused"
    fresh = await _refresh(world, bob.refresh_token, key)
    await _refresh(world, fresh.body["refresh_token"], uuid4().hex)
    assert (await _refresh(world, bob.refresh_token, key)).code == "refresh_token_reused"


async def test_a_guessed_token_ends_nobodys_session(world: World, ada: Person) -> None:
    sessions = await world.call("GET", "/auth/sessions", token=ada.access_token)
    session_id = SessionId(UUID(sessions.body["items"][0]["id"]))
    await _refresh(world, ada.refresh_token)
    world.clock.advance(1)
    guess = RefreshTokens(b"k" * 32).text(session_id, 0, new_salt())
    assert (await _refresh(world, guess)).code == "refresh_token_invalid"
    assert await _profile(world, ada.access_token) == 200


@pytest.mark.parametrize(
    "token", ["x", "alr_", "alr_" + "A" * 69, "alr_" + "A" * 70, "alr_é", "eyJ.eyJ.x", "a" * 512]
)
async def test_nonsense_is_refused(world: World, token: str) -> None:
    answer = await _refresh(world, token)
    assert (answer.status, answer.code) == (401, "refresh_token_invalid")


async def test_an_access_token_is_no_refresh_token(world: World, ada: Person) -> None:
    answer = await _refresh(world, ada.access_token[:512])
    assert (answer.status, answer.code) == (401, "refresh_token_invalid")


async def test_a_session_ends_when_it_is_idle_and_when_it_is_old(world: World, ada: Person) -> None:
    week = 7 * 86_400
    world.clock.advance(week - 1)
    token = (await _refresh(world, ada.refresh_token)).body["refresh_token"]
    for _ in range(3):
        world.clock.advance(week - 1)
        token = (await _refresh(world, token)).body["refresh_token"]
    world.clock.advance(2 * 86_400 + 10)
    assert (await _refresh(world, token)).code == "refresh_token_invalid"
    bob = await world.person()
    world.clock.advance(week)
    assert (await _refresh(world, bob.refresh_token)).code == "refresh_token_invalid"


async def test_an_access_token_never_outlives_its_session(world: World, ada: Person) -> None:
    week = 7 * 86_400
    token = ada.refresh_token
    for _ in range(4):
        world.clock.advance(week - 1)
        token = (await _refresh(world, token)).body["refresh_token"]
    world.clock.advance(2 * 86_400 - 56)
    last = await _refresh(world, token)
    principal = await world.api.authenticator.authenticate_credential(last.body["access_token"])
    assert world.api.authenticator.still_valid(principal)
    world.clock.advance(60)
    assert not world.api.authenticator.still_valid(principal)
    world.clock.advance(6)
    assert await _profile(world, last.body["access_token"]) == 401
