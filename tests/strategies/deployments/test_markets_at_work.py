"""What a market and a clock do to a strategy that runs: several symbols, a feed, a schedule."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select

from alphintra.core.market_data import FEED_SUBJECT, Bar, FeedBatch, encode
from alphintra.strategies.deployments.models import FrameRow
from alphintra.strategies.live import frames
from tests.strategies.deployments.stage import MINUTE_NS, SYMBOL, Stage, price_of

SYMBOLS: Final = ("AAPL", "MSFT", "SPY")
#: A share of its money in each symbol, more and less by turns: an order at every candle.
REBALANCE: Final = """
from alphintra.sdk import Strategy, param


class Rebalance(Strategy):
    share = param(0.3, low=0.0, high=1.0)
    turn = 0

    def on_bar(self, bar):
        if bar.symbol == self.symbols[0]:
            self.turn += 1
        self.target_weight(self.share if self.turn % 2 else self.share / 2, bar.symbol)
"""
#: One unit in, and out at the next candle.
IN_AND_OUT: Final = """
from alphintra.sdk import Strategy


class InAndOut(Strategy):
    def on_bar(self, bar):
        if self.position().quantity:
            self.close()
        else:
            self.buy(1)
"""


async def told(stage: Stage, deployment_id: str) -> list[frames.Bars]:
    """Return the groups of candles that a strategy was told as they closed."""
    async with stage.product.services.database.reading() as session:
        rows = await session.scalars(
            select(FrameRow)
            .where(FrameRow.deployment_id == UUID(deployment_id), FrameRow.kind == "Bars")
            .order_by(FrameRow.number)
        )
        bodies = [frames.from_parent(row.body) for row in rows]
    return [one for one in bodies if isinstance(one, frames.Bars)]


async def groups(stage: Stage, deployment_id: str, count: int) -> list[tuple[int, set[str]]]:
    """Wait for so many groups; return minute and symbols of each."""

    async def are_told() -> list[frames.Bars]:
        found = await told(stage, deployment_id)
        return found if len(found) >= count else []

    first_ns = stage.market.first_ns
    return [
        ((one.bars[0].close_ns - first_ns) // MINUTE_NS - 1, {bar.symbol for bar in one.bars})
        for one in await stage.waits_for(are_told)
    ]


async def quoted(stage: Stage, deployment_id: str, fills: int) -> None:
    """Quote all symbols until so many orders have filled."""

    async def are_filled() -> bool:
        for symbol in SYMBOLS:
            await stage.market.quote(symbol=symbol)
        return int((await stage.show(deployment_id))["fills"]) >= fills

    await stage.waits_for(are_filled)


async def test_several_symbols_one_of_which_falls_silent(stage: Stage) -> None:
    market = stage.market
    strategy_id = await stage.write(REBALANCE, name="Rebalance")
    deployment_id = await stage.deploy(
        strategy_id, symbols=list(SYMBOLS), warmup=0, limits={"orders_per_minute": 1_000}
    )
    await stage.running(deployment_id)
    expected: list[tuple[int, set[str]]] = []

    async def minute(*symbols: str, ends: bool = True) -> None:
        await market.close(*symbols)
        expected.append((market.minute, set(symbols)))
        assert await groups(stage, deployment_id, len(expected)) == expected
        await quoted(stage, deployment_id, sum(len(one) for _, one in expected))
        market.minute += ends

    await minute(*SYMBOLS)
    await minute("MSFT", "SPY", "AAPL")
    # Of one nothing is heard in time: the others are not kept waiting, and its candle, when it
    # comes after all, is told by itself.
    await minute("AAPL", "MSFT", ends=False)
    await minute("SPY")
    for _ in range(2):
        await minute("AAPL", "MSFT")
    await minute(*SYMBOLS)

    signals = await stage.signals(deployment_id)
    assert {one["status"] for one in signals} == {"ORDERED"}
    assert len(signals) == sum(len(symbols) for _, symbols in expected)
    closes = [one.close_ns for one in await told(stage, deployment_id)]
    assert closes == sorted(closes)  # time does not run backwards for a strategy
    held = (await stage.show(deployment_id))["positions"]
    assert {one["symbol"] for one in held if Decimal(one["quantity"]) > 0} == set(SYMBOLS)

    await stage.tell(deployment_id, "liquidate")
    await quoted(stage, deployment_id, len(signals) + len(SYMBOLS))
    ended = await stage.over(deployment_id)
    assert {one["quantity"] for one in ended["positions"]} == {"0"}
    assert await verdict(stage, deployment_id) == ("PASSED", [])


async def verdict(stage: Stage, deployment_id: str) -> tuple[str, Sequence[object]]:
    path = f"/deployments/{deployment_id}/certificates"
    today = datetime.now(UTC).date().isoformat()
    asked = await stage.call("POST", path, json={"day": today})
    assert asked.status_code == 202, asked.text

    async def made() -> tuple[str, Sequence[object]] | None:
        (one,) = await stage.items(path)
        return (one["verdict"], one["differences"]) if one["verdict"] != "PENDING" else None

    found = await stage.waits_for(made)
    assert found is not None
    return found


async def test_a_replay_is_followed_and_nothing_else(stage: Stage) -> None:
    strategy_id = await stage.write(IN_AND_OUT, name="In and out")
    follows = await stage.deploy(strategy_id, feed="replay")
    deaf = await stage.deploy(strategy_id, feed="another")
    hears_all = await stage.deploy(strategy_id)
    for one in (follows, deaf, hears_all):
        await stage.running(one)
    # The stage's own market has a past; that is of no replay.
    assert "nothing is known of the past" in await stage.log(follows)
    assert "warmed up with 20 candles" in await stage.log(hears_all)

    minute = stage.market.minute
    await elsewhere_closes(stage)
    assert await groups(stage, hears_all, 1) == [(minute, {SYMBOL})]
    await stage.ordered(hears_all, 1)
    stage.market.minute += 1
    await stage.market.go()
    assert await groups(stage, hears_all, 2) == [(minute, {SYMBOL}), (minute + 1, {SYMBOL})]
    assert await groups(stage, follows, 1) == [(minute + 1, {SYMBOL})]
    (signal,) = await stage.ordered(follows, 1)
    assert signal["action"] == "BUY"
    await stage.market.quote()
    await stage.filled(follows, 1)
    assert await told(stage, deaf) == []
    for one in (follows, deaf, hears_all):
        await stage.tell(one, "liquidate")
    await asyncio.gather(*(finished(stage, one) for one in (follows, deaf, hears_all)))


async def elsewhere_closes(stage: Stage) -> None:
    """Another source tells of this minute's candle."""
    price = price_of(stage.market.minute)
    open_ns = stage.market.first_ns + stage.market.minute * MINUTE_NS
    candle = Bar(open_ns, "1m", price, price + 1, price - 1, price, Decimal(100))
    batch = FeedBatch(symbol=SYMBOL, source="elsewhere", sequence=1, ticks=(candle,))
    await stage.product.services.bus.publish(f"{FEED_SUBJECT}.{SYMBOL}", encode(batch))


async def finished(stage: Stage, deployment_id: str) -> None:
    """Wait until nothing is held any more."""

    async def is_over() -> bool:
        await stage.market.quote()
        return bool((await stage.show(deployment_id))["status"] == "STOPPED")

    await stage.waits_for(is_over)


async def test_its_schedule_holds_entries_back_and_lets_exits_through(stage: Stage) -> None:
    zone, tomorrow = where_it_is_noon()
    schedule = {"days": [tomorrow], "start": "08:30", "end": "16:00", "timezone": zone}
    strategy_id = await stage.write(IN_AND_OUT, name="In and out")
    deployment_id = await stage.deploy(strategy_id, schedule=schedule)
    shown = (await stage.running(deployment_id))["schedule"]
    assert shown == {**schedule, "start": "08:30:00", "end": "16:00:00"}

    async def candle(count: int) -> tuple[str, str, str | None]:
        """Close one more; return what was decided at it."""
        await stage.market.go()

        async def decided() -> list[dict[str, str]]:
            signals = await stage.signals(deployment_id)
            is_decided = len(signals) == count and signals[-1]["status"] != "PUBLISHED"
            return signals[-1:] if is_decided else []

        (one,) = await stage.waits_for(decided)
        return one["action"], one["status"], one["code"]

    try:
        assert await candle(1) == ("BUY", "WITHHELD", "outside_schedule")
        stage.clock.ahead = timedelta(days=1)
        assert await candle(2) == ("BUY", "ORDERED", None)
        await stage.market.quote()
        await stage.filled(deployment_id, 1)
        # The session is over: what is held may go, and nothing new may come.
        stage.clock.ahead = timedelta(days=1, hours=5)
        assert await candle(3) == ("SELL", "ORDERED", None)
        await stage.market.quote()
        await stage.filled(deployment_id, 2)
        assert await candle(4) == ("BUY", "WITHHELD", "outside_schedule")
    finally:
        stage.clock.ahead = timedelta(0)
    await stage.tell(deployment_id, "stop")
    await stage.over(deployment_id)


def where_it_is_noon() -> tuple[str, int]:
    """Return a zone in which it is about noon, so that no midnight is near; and its tomorrow."""
    ahead = 12 - datetime.now(UTC).hour
    zone = f"Etc/GMT{-ahead:+d}" if ahead else "UTC"
    local = datetime.now(ZoneInfo(zone))
    assert 11 <= local.hour <= 13
    return zone, (local + timedelta(days=1)).isoweekday()
