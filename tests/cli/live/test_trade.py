"""`alphintra trade` against the real product: one order for a cross, and none twice."""

from typing import Any

import pytest

from alphintra.core.clock import to_ns
from alphintra.research.backtest import backtest
from alphintra.sdk.live.orders import Names, time_of_name
from tests.cli.live.conftest import MINUTE, Market, Start
from tests.gateway.product import SYMBOL, Person, Product

#: Falls, so that the fast average is below the slow one when the session begins.
FALLING = [120.0, 118, 116, 114, 112, 110, 108, 106, 104, 102]
CROSS = ["fast=2", "slow=4"]


async def orders_of(product: Product, trader: Person) -> list[dict[str, Any]]:
    answer = await product.client.get("/api/v1/orders", headers=trader.headers)
    found: list[dict[str, Any]] = answer.json()["items"]
    return found[::-1]


async def test_a_cross_is_one_order_and_a_restart_repeats_nothing(
    product: Product, trader: Person, market: Market, start: Start
) -> None:
    await market.past(FALLING)
    async with start("sma_cross", CROSS) as session:
        await session.until("watching")
        assert session.all("order") == []
        await market.now(101, 112)
        (fill,) = await session.until("fill")
        assert (fill["side"], fill["price"]) == ("buy", 101)
        host = await session.end()
    (order,) = await orders_of(product, trader)
    assert order["client_order_id"] == fill["client_order_id"]
    assert float(order["filled_quantity"]) == host.positions[0].quantity > 0
    spent = float(order["filled_quantity"]) * 101 + fill["fee"]
    assert host.cash() == pytest.approx(10_000 - spent, abs=1e-6)

    market.at -= 2 * MINUTE
    await market.past([101, 112])  # what the recorder has stored meanwhile
    async with start("sma_cross", CROSS) as session:
        await session.until("watching")
        await market.now(90, 80)
        (sold,) = await session.until("fill")
        again = await session.end()
    assert sold["side"] == "sell"
    assert [one["side"] for one in await orders_of(product, trader)] == ["BUY", "SELL"]
    assert again.positions[0].is_flat


async def test_decisions_are_those_of_a_backtest_over_the_same_candles(
    product: Product, trader: Person, market: Market, start: Start
) -> None:
    await market.past(FALLING)
    async with start("sma_cross", CROSS) as session:
        await session.until("watching")
        first_live_ns = to_ns(market.at)
        for step, closes in enumerate(([101, 112], [104, 96], [99, 111], [100, 92], [99, 111]), 1):
            await market.now(*closes)
            await session.until("fill", step)
        host = await session.end()
    candles = host.feed.bars(0)
    result = backtest("sma_cross", candles, parameters={"fast": 2, "slow": 4}, cash=10_000)
    expected = [
        (int(order["created_ns"]), "BUY" if order["side"] > 0 else "SELL")
        for order in result.orders
        if order["created_ns"] >= first_live_ns
    ]
    names = Names(f"SmaCross/{SYMBOL}/1m/")
    live = [
        (time_of_name(names.event_of(order["client_order_id"])), order["side"])
        for order in await orders_of(product, trader)
    ]
    assert len(live) == 5
    assert [at for at, _ in live] == [at for at, _ in expected]
    # The backtest sizes as it fills: of its last order, which never did, no side is known.
    assert live[:-1] == expected[:-1]
