"""Guessing passwords stops early, and keeps nobody out of the own account (S9)."""

import asyncio
import statistics
import time
from collections.abc import Callable

import pytest

from alphintra.core.errors import Problem
from alphintra.identity.passwords import HASHED, Cost, Passwords
from alphintra.identity.service.login import Attempt, log_in
from alphintra.identity.service.rows import Client

from .conftest import PASSWORD, Person, World

pytestmark = pytest.mark.usefixtures("database_url")


@pytest.fixture
def database_url(make_database: Callable[[], str]) -> str:
    """A database per test: what is counted here is counted from nothing."""
    return make_database()


def _hashed() -> float:
    return HASHED._value.get()


async def _guess(world: World, email: str, address: str, *, api: int = 0, **more: str) -> str:
    """Guess once, and return the code of the answer, or `success`."""
    attempt = Attempt(
        email=email,
        password=more.pop("password", "guess-that-fails"),
        client=Client(address=address),
        **more,
    )
    try:
        await log_in(world.apis[api].identity, attempt)
    except Problem as problem:
        return problem.code
    return "success"


@pytest.mark.parametrize("addresses", [1, 200])
async def test_ten_thousand_guesses_on_one_account_reach_the_hash_twenty_times(
    world: World, addresses: int
) -> None:
    world.make_api()
    ada = await world.person()
    before = _hashed()
    codes: list[str] = []
    for batch in range(100):
        codes += await asyncio.gather(
            *(
                _guess(world, ada.email, f"198.51.100.{number % addresses}", api=number % 2)
                for number in range(batch * 100, batch * 100 + 100)
            )
        )
    reached = _hashed() - before
    assert 1 <= reached <= 20
    assert codes.count("invalid_credentials") == reached
    assert codes.count("too_many_attempts") == 10_000 - reached
    # The owner: from the known device at once, even from an attacker's address.
    assert (
        await _guess(
            world, ada.email, "198.51.100.0", password=PASSWORD, device_token=ada.device_token
        )
        == "success"
    )


async def test_an_attacker_at_one_address_leaves_the_owner_some_attempts_at_another(
    world: World,
) -> None:
    ada = await world.person()
    for _ in range(50):
        await _guess(world, ada.email, "198.51.100.1")
    assert await _guess(world, ada.email, "203.0.113.5", password=PASSWORD) == "success"


async def test_one_guess_on_each_of_many_accounts_is_throttled(world: World) -> None:
    before = _hashed()
    codes = [await _guess(world, f"user{n}@example.com", "198.51.100.9") for n in range(500)]
    assert _hashed() - before == 30
    assert codes[:30] == ["invalid_credentials"] * 30
    assert set(codes[30:]) == {"too_many_attempts"}
    assert await _guess(world, "user1000@example.com", "198.51.100.10") == "invalid_credentials"


async def test_a_known_device_has_attempts_of_its_own_and_not_for_others(world: World) -> None:
    ada, bob = await world.person(), await world.person()
    codes = [
        await _guess(world, ada.email, "198.51.100.1", device_token=ada.device_token)
        for _ in range(30)
    ]
    assert codes.count("invalid_credentials") == 10
    # Bob's device token is worth nothing for Ada's account.
    for _ in range(5):
        await _guess(world, ada.email, "198.51.100.2", device_token=bob.device_token)
    assert (
        await _guess(world, ada.email, "198.51.100.2", device_token=bob.device_token)
        == "too_many_attempts"
    )


async def test_after_a_password_change_old_devices_are_devices_like_any_other(
    world: World,
) -> None:
    ada = await world.person()
    world.clock.advance(10)
    body = {"current_password": PASSWORD, "new_password": "another-harbour-12"}
    changed = await world.call("PUT", "/auth/password", body, token=ada.access_token)
    assert changed.status == 204
    for _ in range(5):
        await _guess(world, ada.email, "198.51.100.3")
    code = await _guess(world, ada.email, "198.51.100.3", device_token=ada.device_token)
    assert code == "too_many_attempts"


async def test_success_gives_the_attempt_back_and_time_fills_the_bucket(world: World) -> None:
    ada = await world.person()
    for _ in range(40):
        assert await _guess(world, ada.email, "198.51.100.4", password=PASSWORD) == "success"
    for _ in range(5):
        assert await _guess(world, ada.email, "198.51.100.4") == "invalid_credentials"
    assert await _guess(world, ada.email, "198.51.100.4") == "too_many_attempts"
    world.clock.advance(301)
    assert await _guess(world, ada.email, "198.51.100.4", password=PASSWORD) == "success"


async def test_the_count_survives_a_restart_and_a_clock_that_jumps_back(world: World) -> None:
    ada = await world.person()
    for _ in range(6):
        await _guess(world, ada.email, "198.51.100.5")
    world.make_api()
    assert await _guess(world, ada.email, "198.51.100.5", api=1) == "too_many_attempts"
    world.clock.advance(-86_400)
    assert await _guess(world, ada.email, "198.51.100.5", password=PASSWORD) == "success"


async def test_unknown_users_get_the_same_answer(world: World) -> None:
    ada = await world.person()
    known = await world.log_in(ada.email, "not-the-password")
    unknown = await world.log_in("nobody@example.com", "not-the-password")
    for body in (known.body, unknown.body):
        del body["correlation_id"]
    assert known.body == unknown.body
    assert known.status == unknown.status == 401
    assert known.headers.keys() == unknown.headers.keys()


async def test_unknown_users_take_as_long(world: World) -> None:
    """Medians over interleaved attempts, at a cost that would show a skipped hash at once."""
    identity = world.make_api(Passwords(cost=Cost(memory_kib=8_192), threads=1)).identity  # type: ignore[call-arg]
    ada = await world.person()
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(120):
        for known in (True, False):
            email = ada.email if known else f"nobody{number}@example.com"
            world.clock.advance(3_600)  # no bucket is ever empty
            started = time.perf_counter()
            with pytest.raises(Problem):
                await log_in(
                    identity,
                    Attempt(email=email, password="wrong-guess", client=Client(address="a")),
                )
            times[known].append(time.perf_counter() - started)
    difference_ms = abs(statistics.median(times[True]) - statistics.median(times[False])) * 1e3
    print(f"difference of medians {difference_ms:.2f} ms")
    assert difference_ms < 5


async def test_a_flood_of_logins_does_not_stop_the_event_loop(world: World) -> None:
    api = world.make_api(Passwords())  # type: ignore[call-arg]
    ada = await world.person()
    number = len(world.apis) - 1
    await api.call("GET", "/users/profile", token=ada.access_token)
    flood = asyncio.gather(
        *(_guess(world, f"u{n}@example.com", f"198.51.100.{n}", api=number) for n in range(100))
    )
    waits_ms = []
    while not flood.done():
        started = time.perf_counter()
        answer = await api.call("GET", "/users/profile", token=ada.access_token)
        assert answer.status == 200
        waits_ms.append((time.perf_counter() - started) * 1e3)
        await asyncio.sleep(0.01)
    codes = await flood
    print(f"{len(waits_ms)} requests, the slowest took {max(waits_ms):.0f} ms")
    assert len(waits_ms) > 10
    assert sorted(waits_ms)[int(len(waits_ms) * 0.99)] < 250
    # More than the queue takes is turned away at once, not kept waiting for minutes.
    assert set(codes) == {"invalid_credentials", "login_busy"}


async def test_a_search_for_accounts_by_registration_is_bounded(
    world: World,
) -> None:
    people: list[Person] = [await world.person()]

    async def register(email: str) -> str:
        body = {"email": email, "password": PASSWORD}
        answer = await world.call("POST", "/auth/register", body, address="198.51.100.66")
        return "created" if answer.status == 201 else answer.code

    assert [await register(people[0].email) for _ in range(20)] == ["email_taken"] * 20
    # From here on nothing is told: neither for taken addresses nor for free ones.
    assert await register(people[0].email) == "too_many_attempts"
    assert await register("free@example.com") == "too_many_attempts"
    world.clock.advance(181)
    assert await register("free@example.com") == "created"
