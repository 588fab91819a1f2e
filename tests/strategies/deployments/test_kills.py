"""kill -9 of strategies and of the supervisor: nothing is ordered twice, the state goes on.

A short version runs always; ALPHINTRA_DEPLOYMENT_KILLS=200 makes it a long one.
"""

import asyncio
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from tests.crash.load import WIDE_LIMITS
from tests.gateway.product import product_settings
from tests.strategies.deployments.proof import REMEMBERS, has_caught_up, prove, read
from tests.strategies.deployments.stage import DEADLINE_S, MINUTES, SYMBOL, Stage, running_stage
from tests.strategies.deployments.victims import Supervisor

KILLS: Final = int(os.environ.get("ALPHINTRA_DEPLOYMENT_KILLS", "20"))
SEED: Final = 11
#: One of so many kills is the supervisor's.
SUPERVISOR_EVERY: Final = 7
#: How many of the kills wait until the last one was got over.
PATIENT_SHARE: Final = 0.75


@pytest.fixture(scope="module")
async def scene(
    database_url: str, bus_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Any:  # an async generator's fixture
    log = tmp_path_factory.mktemp("supervisor") / "log"
    settings = product_settings(database_url, bus_url, paper_cash="100000000", access_token_s=1_800)
    minutes = MINUTES + 200 * KILLS
    async with (
        running_stage(settings, supervised=False, minutes=minutes) as stage,
        Supervisor(database_url, bus_url, log) as supervisor,
    ):
        yield stage, supervisor, log


async def test_kills_change_nothing(scene: tuple[Stage, Supervisor, Path]) -> None:
    stage, supervisor, log = scene
    wide = await stage.call("PUT", "/risk/limits", json=WIDE_LIMITS)
    assert wide.status_code == 200, wide.text
    deployment_id = await stage.deploy(
        await stage.write(REMEMBERS, name="Remembers"),
        capital="100000000",
        limits={"orders_per_minute": 10_000},
        seed=7,
    )
    await stage.running(deployment_id)
    first = stage.market.minute
    over = asyncio.Event()
    going = asyncio.create_task(go_on(stage, over))
    kills = await kill(stage, supervisor, deployment_id)
    over.set()
    await going
    await stage.market.go(5)
    await stage.waits_for(lambda: has_caught_up(stage, deployment_id, log))
    orders = await prove(stage, deployment_id, first=first)
    everything = await stage.items("/orders")
    assert len([one for one in everything if one["symbol"] == SYMBOL]) == len(orders)
    assert kills["strategy"] + kills["supervisor"] == KILLS
    assert supervisor.deaths >= kills["supervisor"] > 0


async def go_on(stage: Stage, over: asyncio.Event) -> None:
    while not over.is_set():
        await stage.market.go(pause_s=0.25)


async def kill(stage: Stage, supervisor: Supervisor, deployment_id: str) -> Counter[str]:
    """Kill at random moments: mostly after it has gone on, sometimes in the middle of that."""
    draw = random.Random(SEED)
    kills: Counter[str] = Counter()
    lived = 0
    for number in range(1, KILLS + 1):
        victim = "supervisor" if number % SUPERVISOR_EVERY == 0 else "strategy"
        blow = supervisor.kill if victim == "supervisor" else supervisor.kill_strategy
        if draw.random() < PATIENT_SHARE:
            async with asyncio.timeout(DEADLINE_S):
                while (await read(stage, deployment_id)).frames <= lived:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        await asyncio.sleep(draw.uniform(0.0, 0.5))
        async with asyncio.timeout(DEADLINE_S):
            while not blow():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        lived = (await read(stage, deployment_id)).frames
        kills[victim] += 1
    return kills
