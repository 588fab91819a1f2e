"""Two-factor authentication: codes work once, and without one nothing opens (S8)."""

import json

import pytest
from sqlalchemy import text

from .conftest import PASSWORD, Person, World


@pytest.fixture
async def ada(world: World) -> Person:
    """A user with the second factor on; the code of the present step is spent by that."""
    ada = await world.person()
    await world.turn_on_totp(ada)
    world.clock.advance(60)
    return ada


async def test_the_password_alone_opens_nothing(world: World, ada: Person) -> None:
    answer = await world.log_in(ada.email)
    assert (answer.status, answer.code) == (401, "totp_required")
    assert "access_token" not in json.dumps(answer.body)
    assert "set-cookie" not in answer.headers


async def test_a_wrong_password_does_not_tell_that_a_code_is_needed(
    world: World, ada: Person
) -> None:
    for more in ({}, {"totp_code": world.code(ada)}):
        answer = await world.log_in(ada.email, "not-the-password", **more)
        assert (answer.status, answer.code) == (401, "invalid_credentials")


@pytest.mark.parametrize(
    ("steps", "right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)]
)
async def test_a_code_is_taken_one_step_to_either_side(
    world: World, ada: Person, steps: int, right: bool
) -> None:
    answer = await world.log_in(ada.email, totp_code=world.code(ada, steps=steps))
    assert answer.status == (200 if right else 401)
    if not right:
        assert answer.code == "totp_invalid"


async def test_a_code_works_once_and_so_does_none_before_it(world: World, ada: Person) -> None:
    code, older = world.code(ada), world.code(ada, steps=-1)
    assert (await world.log_in(ada.email, totp_code=code)).status == 200
    assert (await world.log_in(ada.email, totp_code=code)).code == "totp_invalid"
    assert (await world.log_in(ada.email, totp_code=older)).code == "totp_invalid"
    world.clock.advance(30)
    assert (await world.log_in(ada.email, totp_code=world.code(ada))).status == 200


async def test_a_clock_that_jumps_back_does_not_make_a_code_good_again(
    world: World, ada: Person
) -> None:
    code = world.code(ada)
    assert (await world.log_in(ada.email, totp_code=code)).status == 200
    world.clock.advance(-3600)
    assert (await world.log_in(ada.email, totp_code=world.code(ada))).code == "totp_invalid"


async def test_five_wrong_codes_and_the_right_one_has_to_wait(world: World, ada: Person) -> None:
    for _ in range(5):
        answer = await world.log_in(ada.email, totp_code="000000")
        assert (answer.status, answer.code) == (401, "totp_invalid")
    answer = await world.log_in(ada.email, totp_code=world.code(ada))
    assert (answer.status, answer.code) == (429, "too_many_attempts")
    assert int(answer.headers["retry-after"]) > 0
    # The owner's own device is not kept out by whoever used up the attempts with the password.
    known = await world.log_in(ada.email, totp_code=world.code(ada), device_token=ada.device_token)
    assert known.status == 200
    world.clock.advance(301)
    assert (await world.log_in(ada.email, totp_code=world.code(ada))).status == 200


async def test_a_recovery_code_works_once_instead_of_a_code(world: World, ada: Person) -> None:
    assert len(set(ada.recovery_codes)) == 10
    spoken = ada.recovery_codes[0].lower().replace("-", " ")
    assert (await world.log_in(ada.email, recovery_code=spoken)).status == 200
    again = await world.log_in(ada.email, recovery_code=ada.recovery_codes[0])
    assert (again.status, again.code) == (401, "totp_invalid")
    assert (await world.log_in(ada.email, recovery_code=ada.recovery_codes[1])).status == 200
    bob = await world.person()
    await world.turn_on_totp(bob)
    foreign = await world.log_in(bob.email, recovery_code=ada.recovery_codes[2])
    assert foreign.code == "totp_invalid"


async def test_neither_seed_nor_recovery_code_is_readable_in_the_database(
    world: World, ada: Person
) -> None:
    assert ada.totp is not None
    seed = ada.totp.byte_secret()
    async with world.api.services.database.reading() as session:
        for table in ("totp_factors", "recovery_codes", "users", "sessions"):
            rows = await session.execute(text(f"SELECT * FROM identity.{table}"))  # noqa: S608
            for row in rows:
                for value in row:
                    raw = (
                        bytes(value)
                        if isinstance(value, (bytes, memoryview))
                        else str(value).encode()
                    )
                    assert seed not in raw
                    assert ada.totp.secret.encode() not in raw
                    for code in ada.recovery_codes:
                        assert code.encode() not in raw
                        assert code.replace("-", "").encode() not in raw


async def test_a_seed_copied_to_another_user_does_not_open(world: World, ada: Person) -> None:
    eve = await world.person()
    await world.turn_on_totp(eve)
    async with world.api.services.database.transaction() as session:
        await session.execute(
            text("""UPDATE identity.totp_factors SET last_step = 0, seed_sealed =
                (SELECT seed_sealed FROM identity.totp_factors WHERE user_id = :eve)
                WHERE user_id = :ada"""),
            {"eve": eve.id, "ada": ada.id},
        )
    world.clock.advance(60)
    answer = await world.log_in(ada.email, totp_code=world.code(eve))
    assert (answer.status, answer.code) == (503, "seal_broken")


async def test_turning_it_on_ends_the_sessions_without_it(world: World) -> None:
    bob = await world.person()
    elsewhere = await world.session_of(bob.email, bob.id)
    await world.turn_on_totp(bob)
    assert (await world.call("GET", "/users/profile", token=bob.access_token)).status == 200
    assert (await world.call("GET", "/users/profile", token=elsewhere.access_token)).status == 401


async def test_turning_it_off_needs_password_and_code(world: World, ada: Person) -> None:
    async def disable(**body: str) -> tuple[int, str]:
        answer = await world.call("POST", "/auth/2fa/disable", body, token=ada.access_token)
        return answer.status, answer.code if answer.status != 204 else ""

    assert await disable() == (403, "step_up_required")
    assert await disable(password=PASSWORD) == (403, "step_up_required")
    assert await disable(totp_code=world.code(ada)) == (403, "step_up_required")
    assert await disable(password=PASSWORD, totp_code="000000") == (403, "step_up_failed")
    assert await disable(password="wrong-one-entirely", totp_code=world.code(ada)) == (
        403,
        "step_up_failed",
    )
    assert (await world.log_in(ada.email)).code == "totp_required"
    assert await disable(password=PASSWORD, totp_code=world.code(ada)) == (204, "")
    assert await disable(password=PASSWORD) == (409, "totp_not_enabled")
    assert (await world.log_in(ada.email)).status == 200


async def test_a_code_for_one_act_cannot_be_used_for_another(world: World, ada: Person) -> None:
    code = world.code(ada)
    body = {"name": "bot", "scopes": ["orders:read"], "totp_code": code}
    made = await world.call("POST", "/api-keys", body, token=ada.access_token)
    assert made.status == 201
    again = await world.call("POST", "/api-keys", body, token=ada.access_token)
    assert (again.status, again.code) == (403, "step_up_failed")
    login = await world.log_in(ada.email, totp_code=code)
    assert login.code == "totp_invalid"


async def test_set_up_needs_the_password_when_the_login_is_old(world: World) -> None:
    bob = await world.person()
    world.clock.advance(590)
    assert (await world.call("POST", "/auth/2fa/setup", token=bob.access_token)).status == 200
    refreshed = await world.call("POST", "/auth/refresh", {"refresh_token": bob.refresh_token})
    token = refreshed.body["access_token"]
    world.clock.advance(11)
    answer = await world.call("POST", "/auth/2fa/setup", token=token)
    assert (answer.status, answer.code) == (403, "step_up_required")
    assert answer.body["needed"] == ["password"]
    answer = await world.call("POST", "/auth/2fa/setup", {"password": "wrong"}, token=token)
    assert (answer.status, answer.code) == (403, "step_up_failed")
    answer = await world.call("POST", "/auth/2fa/setup", {"password": PASSWORD}, token=token)
    assert answer.status == 200


async def test_verify_without_set_up_and_with_a_wrong_code(world: World, ada: Person) -> None:
    bob = await world.person()

    async def verify(person: Person, code: str) -> tuple[int, str]:
        answer = await world.call(
            "POST", "/auth/2fa/verify", {"code": code}, token=person.access_token
        )
        return answer.status, answer.code

    assert await verify(bob, "123456") == (409, "totp_not_set_up")
    assert await verify(ada, world.code(ada)) == (409, "totp_already_enabled")
    again = await world.call("POST", "/auth/2fa/setup", token=ada.access_token)
    assert (again.status, again.code) == (409, "totp_already_enabled")
    await world.call("POST", "/auth/2fa/setup", token=bob.access_token)
    assert await verify(bob, "000000") == (422, "totp_code_wrong")
    assert (await world.log_in(bob.email)).status == 200, "an unverified secret demands nothing"
