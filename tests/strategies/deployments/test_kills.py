"""kill -9 of strategies and of the supervisor: nothing is ordered twice, the state goes on.

The strategy's decisions depend on all that it has seen: on an indicator, a counter and random
numbers. What it decides between the kills has to be what it decides without any.

A short version runs always; ALPHINTRA_DEPLOYMENT_KILLS=200 makes it a long one.
"""

import asyncio
import os
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import select

from alphintra.strategies.deployments.models import DeploymentRow, FrameRow, SignalRow
from alphintra.strategies.live import frames
from alphintra.strategies.live.inside import Inside
from tests.crash.load import WIDE_LIMITS
from tests.gateway.product import product_settings
from tests.strategies.deployments.stage import (
    DEADLINE_S,
    MINUTE_NS,
    SYMBOL,
    Stage,
    running_stage,
)
from tests.strategies.deployments.victims import Supervisor

KILLS: Final = int(os.environ.get("ALPHINTRA_DEPLOYMENT_KILLS", "20"))
SEED: Final = 11
#: One of so many kills is the supervisor's.
SUPERVISOR_EVERY: Final = 7
#: How many of the kills wait until the last one was got over.
PATIENT_SHARE: Final = 0.75

REMEMBERS = """
from alphintra.sdk import Strategy


class Remembers(Strategy):
    seen = 0

    def setup(self):
        self.mean = self.indicator("SMA", timeperiod=7)

    def on_bar(self, bar):
        self.seen += 1
        quantity = round(0.01 * (1 + int(self.random.random() * 5)), 2)
        above = self.mean.now is not None and bar.close > self.mean.now
        if self.seen % 3 == 0 and not above:
            self.sell(quantity, tag=f"{self.seen}")
        else:
            self.buy(quantity, tag=f"{self.seen}")
"""


@pytest.fixture(scope="module")
async def scene(
    database_url: str, bus_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Any:  # an async generator's fixture
    log = tmp_path_factory.mktemp("supervisor") / "log"
    settings = product_settings(database_url, bus_url, paper_cash="100000000")
    async with (
        running_stage(settings, supervised=False) as stage,
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
    last_ns = stage.market.first_ns + stage.market.minute * MINUTE_NS

    async def has_caught_up() -> bool:
        await stage.market.quote()
        row = await read(stage, deployment_id)
        assert row.status != "FAILED", (row.reason, log.read_text()[-3_000:])
        return row.last_close_ns == last_ns

    await stage.waits_for(has_caught_up)
    await prove(stage, deployment_id, first=first)
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


async def read(stage: Stage, deployment_id: str) -> DeploymentRow:
    async with stage.product.services.database.reading() as session:
        row = await session.get(DeploymentRow, UUID(deployment_id))
    assert row is not None
    return row


async def prove(stage: Stage, deployment_id: str, *, first: int) -> None:
    """Compare what was lived through and decided with a life without any kill."""
    row = await read(stage, deployment_id)
    async with stage.product.services.database.reading() as session:
        told = (
            await session.scalars(
                select(FrameRow).where(FrameRow.deployment_id == row.id).order_by(FrameRow.number)
            )
        ).all()
        signals = (
            await session.scalars(
                select(SignalRow)
                .where(SignalRow.deployment_id == row.id)
                .order_by(SignalRow.frame, SignalRow.name)
            )
        ).all()
    assert [one.number for one in told] == list(range(row.frames))

    # Every candle once, in order, none left out.
    bars = [frames.from_parent(one.body) for one in told if one.kind == "Bars"]
    closed = [bar.close_ns for bar in bars if isinstance(bar, frames.Bars)]
    start_ns = stage.market.first_ns + (first + 1) * MINUTE_NS
    assert closed == list(range(start_ns, start_ns + len(closed) * MINUTE_NS, MINUTE_NS))
    assert len(closed) == stage.market.minute - first

    expected = undisturbed(row, [one for one in told if one.kind in {"Begin", "History", "Bars"}])
    assert {one.name: one.body for one in signals} == expected
    assert len(expected) == len(closed)

    # Each signal is one order at most, and the book is what the orders have filled.
    orders = await stage.quiet(deployment_id)
    by_signal = Counter(one["signal_id"] for one in orders)
    assert set(by_signal.values()) == {1}
    assert {one["client_order_id"] for one in orders} <= set(expected)
    ordered = [one for one in signals if one.status == "ORDERED"]
    assert len(ordered) >= len(expected) / 2
    held = Decimal(0)
    for order in orders:
        filled = Decimal(order["filled_quantity"])
        held += filled if order["side"] == "BUY" else -filled

    async def is_booked() -> bool:
        shown = await stage.show(deployment_id)
        return [Decimal(one["quantity"]) for one in shown["positions"]] == [held]

    await stage.waits_for(is_booked)
    log = await stage.log(deployment_id)
    assert "went on after" in log
    assert "decided otherwise" not in log
    everything = await stage.items("/orders")
    assert len([one for one in everything if one["symbol"] == SYMBOL]) == len(orders)


def undisturbed(row: DeploymentRow, told: list[FrameRow]) -> dict[str, Any]:
    """Return what the strategy decides in one life: the bodies of its orders by their names."""
    inside = Inside()
    decided: dict[str, Any] = {}
    for one in told:
        frame = frames.from_parent(one.body)
        if isinstance(frame, frames.Begin):
            frame = msgspec.structs.replace(frame, source=row.source)
        reply = inside.hear(frames.encode(frame))
        assert not isinstance(reply, frames.Fault), reply
        if isinstance(reply, frames.Decided):
            decided |= {
                place.name: place.body for place in reply.intents if isinstance(place, frames.Place)
            }
    return decided
