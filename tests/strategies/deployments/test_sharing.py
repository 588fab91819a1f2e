"""Supervisors side by side: they share deployments out, and take over from each other.

One is killed, one leaves in good order, another joins, and candles close meanwhile: every
deployment lives through every candle once and orders what it would have ordered without all that.
"""

import asyncio
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import select

from alphintra.strategies.deployments.models import DeploymentRow
from tests.crash.load import WIDE_LIMITS
from tests.gateway.product import product_settings
from tests.strategies.deployments.proof import REMEMBERS, has_caught_up, prove
from tests.strategies.deployments.stage import SYMBOL, Stage, running_stage
from tests.strategies.deployments.victims import Supervisor

DEPLOYMENTS: Final = 4


@pytest.fixture(scope="module")
async def stage(database_url: str, bus_url: str) -> Any:  # an async generator's fixture
    settings = product_settings(database_url, bus_url, paper_cash="100000000")
    async with running_stage(settings, supervised=False) as running:
        yield running


async def test_deployments_are_shared_and_taken_over(
    stage: Stage, database_url: str, bus_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    wide = await stage.call("PUT", "/risk/limits", json=WIDE_LIMITS)
    assert wide.status_code == 200, wide.text
    strategy_id = await stage.write(REMEMBERS, name="Remembers")
    ids = [await deployed(stage, strategy_id, seed) for seed in range(DEPLOYMENTS)]

    def supervisor() -> Supervisor:
        return Supervisor(database_url, bus_url, log, returns=False)

    async def seen() -> None:
        for one in ids:
            await stage.waits_for(partial(has_caught_up, stage, one, log))

    async with supervisor() as first, supervisor() as second:
        await shared(stage, ids, [2, 2])
        begun = stage.market.minute
        await stage.market.go(2)
        await seen()
        # Each change comes while a candle is dealt with, and others close before it is over.
        await stage.market.go()
        assert first.kill()
        await stage.market.go(2)
        await shared(stage, ids, [4])
        await seen()
        async with supervisor() as third:
            await stage.market.go()
            await shared(stage, ids, [2, 2])
            await seen()
            await stage.market.go()
            leaving = asyncio.create_task(second.leave())
            await stage.market.go(2)
            await leaving
            await shared(stage, ids, [4])
            await stage.market.go()
            await seen()
            assert len(third.strategies()) == DEPLOYMENTS
            proven = [await prove(stage, one, first=begun) for one in ids]
    everything = await stage.items("/orders")
    ours = [one for one in everything if one["symbol"] == SYMBOL]
    assert len(ours) == sum(map(len, proven))


async def deployed(stage: Stage, strategy_id: str, seed: int) -> str:
    return await stage.deploy(
        strategy_id, capital="10000000", limits={"orders_per_minute": 10_000}, seed=seed
    )


async def shared(stage: Stage, ids: list[str], shares: list[int]) -> None:
    """Wait until so many supervisors have so many deployments each, and all of them run."""
    wanted = [UUID(one) for one in ids]
    seen: list[tuple[str, UUID | None]] = []

    async def is_so() -> bool:
        async with stage.product.services.database.reading() as session:
            rows = await session.scalars(select(DeploymentRow).where(DeploymentRow.id.in_(wanted)))
            seen[:] = [(one.status, one.owner) for one in rows]
        counts = Counter(owner for _, owner in seen)
        return sorted(counts.values()) == shares and {status for status, _ in seen} == {"RUNNING"}

    try:
        await stage.waits_for(is_so)
    except TimeoutError:
        raise AssertionError(f"{shares} is not {seen}") from None
