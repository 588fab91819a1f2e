"""Signing keys: published before they sign, kept until nothing needs them, sealed at rest."""

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import text

from alphintra.identity import rotate_signing_key
from alphintra.platform.sealing import SealBroken

from .conftest import World, eventually

pytestmark = pytest.mark.usefixtures("database_url")


@pytest.fixture
def database_url(make_database: Callable[[], str]) -> str:
    """A database per test: these tests move the clock by months."""
    return make_database()


async def _kids(world: World) -> list[str]:
    return [key["kid"] for key in (await world.call("GET", "/auth/jwks")).body["keys"]]


async def _profile(world: World, token: str) -> int:
    return (await world.call("GET", "/users/profile", token=token)).status


async def test_the_next_key_was_published_before_it_signs(world: World) -> None:
    ada = await world.person()
    first, second = await _kids(world)
    assert await rotate_signing_key(world.api.identity) == second
    now_signing, following, retired = await _kids(world)
    assert (now_signing, retired) == (second, first)
    assert following not in {first, second}
    assert await _profile(world, ada.access_token) == 200
    other = world.make_api()
    assert (await other.call("GET", "/users/profile", token=ada.access_token)).status == 200


async def test_a_retired_key_goes_when_its_tokens_have_expired(world: World) -> None:
    keyring = world.api.identity.keyring
    first, _ = await _kids(world)
    await keyring.rotate()
    world.clock.advance(600 + 299)
    await keyring.rotate()
    assert first in await _kids(world)
    world.clock.advance(2)
    await keyring.rotate()
    assert first not in await _kids(world)


async def test_keys_are_replaced_by_age_and_only_once(world: World) -> None:
    before = await _kids(world)
    world.clock.advance(30 * 86_400 + 1)
    processes = [world.make_api() for _ in range(4)]
    await asyncio.gather(*(one.identity.keyring.jwks() for one in processes))
    after = [(await one.call("GET", "/auth/jwks")).body["keys"][0]["kid"] for one in processes]
    assert set(after) == {before[1]}
    events = [body for body in await world.events("audit_events") if "signing_key.rotate" in body]
    assert len(events) == 1


async def test_a_compromised_key_takes_its_tokens_along_everywhere(world: World) -> None:
    other = world.make_api()
    ada = await world.person()
    assert (await other.call("GET", "/users/profile", token=ada.access_token)).status == 200
    await world.api.identity.keyring.rotate(compromised=True)
    assert await _profile(world, ada.access_token) == 401

    async def refused() -> bool:
        return (await other.call("GET", "/users/profile", token=ada.access_token)).status == 401

    await eventually(refused)
    refreshed = await other.call("POST", "/auth/refresh", {"refresh_token": ada.refresh_token})
    assert refreshed.status == 200
    assert await _profile(world, refreshed.body["access_token"]) == 200


async def test_a_private_key_opens_only_in_its_own_row(world: World) -> None:
    await world.call("GET", "/auth/jwks")
    async with world.api.services.database.transaction() as session:
        rows = (await session.execute(text("SELECT * FROM identity.signing_keys"))).mappings().all()
        assert all(b"PRIVATE" not in bytes(row["private_key_sealed"]) for row in rows)
        await session.execute(
            text("""UPDATE identity.signing_keys SET private_key_sealed =
                (SELECT private_key_sealed FROM identity.signing_keys WHERE status = 'NEXT')
                WHERE status = 'CURRENT'""")
        )
    with pytest.raises(SealBroken):
        await world.make_api().identity.keyring.signing()
