import asyncio
from typing import cast

import pytest

from alphintra.cli.errors import CommandFailed
from alphintra.cli.serve import RoleEnded, run, run_roles
from alphintra.platform.services import Services

NO_SERVICES = cast(Services, None)  # these roles use none


async def until_stopped(_: Services, stop: asyncio.Event) -> None:
    await stop.wait()


async def returns_at_once(_: Services, stop: asyncio.Event) -> None:
    return None


async def fails(_: Services, stop: asyncio.Event) -> None:
    raise ValueError("broken")


async def deaf(_: Services, stop: asyncio.Event) -> None:
    await asyncio.sleep(3600)


async def test_roles_run_until_they_are_told_to_stop() -> None:
    stop = asyncio.Event()
    started: list[bool] = []
    running = asyncio.create_task(
        run_roles(
            {"a": until_stopped, "b": until_stopped},
            NO_SERVICES,
            stop,
            started=lambda: started.append(True),
        )
    )
    await asyncio.sleep(0)
    stop.set()
    await running
    assert started == [True]


async def test_a_role_that_fails_ends_the_others() -> None:
    stop = asyncio.Event()
    with pytest.raises(RoleEnded, match="b failed: broken"):
        await run_roles({"a": until_stopped, "b": fails}, NO_SERVICES, stop)
    assert stop.is_set()


async def test_a_role_that_ends_by_itself_is_a_fault() -> None:
    with pytest.raises(RoleEnded, match="b ended without being told to"):
        await run_roles({"a": until_stopped, "b": returns_at_once}, NO_SERVICES, asyncio.Event())


async def test_a_role_that_does_not_stop_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alphintra.cli.serve.STOP_TIMEOUT_S", 0.05)
    stop = asyncio.Event()
    stop.set()
    await asyncio.wait_for(run_roles({"a": deaf}, NO_SERVICES, stop), timeout=5)


def test_an_unknown_role_is_refused_with_the_list() -> None:
    with pytest.raises(CommandFailed) as caught:
        run(["api", "nonsense"])
    assert "nonsense" in caught.value.detail
    assert "desk" in caught.value.text()
