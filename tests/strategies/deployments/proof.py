"""What kills and hand-overs must not change: what a deployment lives through, decides and orders.

The strategy's decisions depend on all that it has seen: on an indicator, a counter and random
numbers. What it decides between the kills has to be what it decides without any.
"""

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import select

from alphintra.strategies.deployments.models import DeploymentRow, FrameRow, SignalRow
from alphintra.strategies.live import frames
from alphintra.strategies.live.inside import Inside
from tests.strategies.deployments.stage import MINUTE_NS, Stage

REMEMBERS: Final = """
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


async def read(stage: Stage, deployment_id: str) -> DeploymentRow:
    async with stage.product.services.database.reading() as session:
        row = await session.get(DeploymentRow, UUID(deployment_id))
    assert row is not None
    return row


async def has_caught_up(stage: Stage, deployment_id: str, log: Path) -> bool:
    """Say whether a deployment has seen the last candle; `log` is its supervisors'."""
    await stage.market.quote()
    row = await read(stage, deployment_id)
    assert row.status != "FAILED", (row.reason, log.read_text()[-3_000:])
    return row.last_close_ns == stage.market.first_ns + stage.market.minute * MINUTE_NS


async def prove(stage: Stage, deployment_id: str, *, first: int) -> list[dict[str, Any]]:
    """Compare what was lived through and decided with a life without any kill.

    Args:
        first: the minute of the first candle that it has to have seen.

    Returns:
        Its orders.
    """
    row = await read(stage, deployment_id)
    async with stage.product.services.database.reading() as session:
        told = (
            await session.scalars(
                select(FrameRow)
                # It lives on, and hears of its fills.
                .where(FrameRow.deployment_id == row.id, FrameRow.number < row.frames)
                .order_by(FrameRow.number)
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
    return orders


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
