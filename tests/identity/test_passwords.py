"""Which passwords and e-mail addresses are taken, and what is kept of them."""

import pytest
from sqlalchemy import text

from alphintra.core.errors import Problem
from alphintra.identity.emails import checked
from alphintra.identity.passwords import Cost, Passwords, check_rules, normalise

from .conftest import PASSWORD, World


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short-one", "password_too_short"),
        ("ééééé", "password_too_short"),
        ("x7" * 65, "password_too_long"),
        ("ada.lovelace@example.com", "password_contains_email"),
        ("ADA.LOVELACE@example.com", "password_contains_email"),
        ("ada.lovelace1", "password_contains_email"),
        ("Password123", "password_too_common"),
        ("QWERTYUIOP", "password_too_common"),
        ("aaaaaaaaaaaa", "password_too_common"),
        ("abababababab", "password_too_common"),
        ("2345678901", "password_too_common"),
        ("with\x00a-nul-byte", "password_malformed"),
        ("with-a-\ud800-surrogate", "password_malformed"),
    ],
)
def test_a_password_that_breaks_a_rule_is_refused(password: str, code: str) -> None:
    with pytest.raises(Problem) as refused:
        check_rules(password, email="ada.lovelace@example.com")
    assert (refused.value.code, refused.value.status) == (code, 422)


@pytest.mark.parametrize(
    "password",
    ["violet-harbour-93", "x7!q" * 31, "пароль-для-всех", "a b c d e f g", "ada likes 9 lanterns"],
)
def test_ordinary_passwords_are_taken(password: str) -> None:
    assert check_rules(password, email="ada.lovelace@example.com") == normalise(password)


def test_every_keyboards_accent_is_the_same() -> None:
    assert normalise("cafe\u0301") == normalise("caf\u00e9")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        ("  ada+tag@mail.example.com ", "ada+tag@mail.example.com"),
        ("o'hara@example.ie", "o'hara@example.ie"),
        ("root@localhost", "root@localhost"),
    ],
)
def test_addresses_are_kept_in_one_form(given: str, kept: str) -> None:
    assert checked(given) == kept


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "a da@example.com",
        "ada@exa mple.com",
        "ada@-example.com",
        "ada..b@example.com",
        "ada@example..com",
        "ada@exämple.com",
        "ada@example.com\r\nBcc: all@example.com",
        "a" * 65 + "@example.com",
        "a@" + "b." * 130 + "com",
        "\u212a@example.com",  # the Kelvin sign, whose lower case is an ASCII k
    ],
)
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(Problem) as refused:
        checked(email)
    assert refused.value.code == "email_invalid"


async def test_a_hash_of_yesterdays_cost_is_replaced_at_login(world: World) -> None:
    ada = await world.person()

    async def stored() -> str:
        async with world.api.services.database.reading() as session:
            found = await session.scalar(
                text("SELECT password_hash FROM identity.users WHERE id = :id"), {"id": ada.id}
            )
        return str(found)

    assert "$m=64,t=1,p=1$" in await stored()
    dearer = world.make_api(Passwords(cost=Cost(memory_kib=128), threads=1))
    body = {"email": ada.email, "password": PASSWORD}
    assert (await dearer.call("POST", "/auth/login", body)).status == 200
    assert (await stored()).startswith("$argon2id$v=19$m=128,t=1,p=1$")
    assert (await dearer.call("POST", "/auth/login", body)).status == 200


async def test_the_change_needs_the_present_password_and_ends_other_sessions(world: World) -> None:
    ada = await world.person()
    elsewhere = await world.session_of(ada.email, ada.id)

    async def change(current: str, new: str) -> str:
        body = {"current_password": current, "new_password": new}
        answer = await world.call("PUT", "/auth/password", body, token=ada.access_token)
        return "" if answer.status == 204 else answer.code

    assert await change("wrong-password", "another-harbour-12") == "step_up_failed"
    assert await change(PASSWORD, "short") == "password_too_short"
    assert await change(PASSWORD, ada.email) == "password_contains_email"
    assert (await world.log_in(ada.email)).status == 200
    assert await change(PASSWORD, "another-harbour-12") == ""
    assert (await world.log_in(ada.email)).code == "invalid_credentials"
    assert (await world.log_in(ada.email, "another-harbour-12")).status == 200
    for token, status in ((ada.access_token, 200), (elsewhere.access_token, 401)):
        assert (await world.call("GET", "/users/profile", token=token)).status == status
    refreshed = await world.call("POST", "/auth/refresh", {"refresh_token": ada.refresh_token})
    assert refreshed.status == 200
    refused = await world.call("POST", "/auth/refresh", {"refresh_token": elsewhere.refresh_token})
    assert refused.status == 401


async def test_with_the_second_factor_on_the_change_needs_a_code(world: World) -> None:
    ada = await world.person()
    await world.turn_on_totp(ada)
    world.clock.advance(30)
    body = {"current_password": PASSWORD, "new_password": "another-harbour-12"}
    answer = await world.call("PUT", "/auth/password", body, token=ada.access_token)
    assert (answer.status, answer.code) == (403, "step_up_required")
    body["totp_code"] = world.code(ada)
    answer = await world.call("PUT", "/auth/password", body, token=ada.access_token)
    assert answer.status == 204


async def test_guessing_the_password_inside_a_session_stops_after_five(world: World) -> None:
    ada = await world.person()
    elsewhere = await world.session_of(ada.email, ada.id)
    body = {"current_password": "wrong-password", "new_password": "another-harbour-12"}
    codes = [
        (await world.call("PUT", "/auth/password", body, token=ada.access_token)).code
        for _ in range(7)
    ]
    assert codes == ["step_up_failed"] * 5 + ["too_many_attempts"] * 2
    body["current_password"] = PASSWORD
    other = await world.call("PUT", "/auth/password", body, token=elsewhere.access_token)
    assert other.status == 204


async def test_a_login_that_overlaps_a_password_change_starts_no_session(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old password was right when it was compared, and is void before the session begins."""
    ada = await world.person()
    passwords = world.api.identity.passwords
    verify = passwords.verify

    async def verify_slowly(*args: object, **options: object) -> object:
        monkeypatch.setattr(passwords, "verify", verify)
        verdict = await verify(*args, **options)  # type: ignore[arg-type]
        body = {"current_password": PASSWORD, "new_password": "another-harbour-12"}
        changed = await world.call("PUT", "/auth/password", body, token=ada.access_token)
        assert changed.status == 204
        return verdict

    monkeypatch.setattr(passwords, "verify", verify_slowly)
    answer = await world.log_in(ada.email)
    assert (answer.status, answer.code) == (401, "invalid_credentials")
