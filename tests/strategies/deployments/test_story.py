"""A strategy is deployed over HTTP, trades, is watched, paused, changed, stopped and liquidated."""

from decimal import Decimal

from tests.strategies.deployments.stage import SYMBOL, Stage


async def test_a_strategy_trades_on_paper_and_is_liquidated(stage: Stage) -> None:
    deployment_id = await stage.deploy()
    running = await stage.running(deployment_id)
    assert running["capital"] == "50000"
    signals = []
    for number in range(1, 4):
        await stage.market.go()
        signals = await stage.ordered(deployment_id, number)
        # The market has to speak once more for the order to fill.
        await stage.market.quote()
        await stage.filled(deployment_id, number)
    assert [one["action"] for one in signals] == ["BUY", "SELL", "BUY"]
    first = signals[0]
    assert first["reason"] == "in"
    assert set(first["because"]) == {"mean"}
    assert first["order"]["quantity"] == "1"
    held = (await stage.show(deployment_id))["positions"]
    assert [(one["symbol"], one["quantity"]) for one in held] == [(SYMBOL, "1")]

    await stage.tell(deployment_id, "liquidate")
    await stage.until(deployment_id, lambda one: one["status"] in {"LIQUIDATING", "STOPPED"})
    await stage.market.quote()
    ended = await stage.over(deployment_id)
    assert ended["status"] == "STOPPED", await stage.log(deployment_id)
    assert ended["reason_code"] == "by_owner"
    assert ended["fills"] == 4
    assert all(one["quantity"] == "0" for one in ended["positions"])
    orders = await stage.items(f"/deployments/{deployment_id}/orders")
    assert [one["status"] for one in orders] == ["FILLED"] * 4
    # By hand: what the fills made of the capital, fees included.
    cash = Decimal(50_000)
    for order in orders:
        value = Decimal(order["average_fill_price"]) * Decimal(order["filled_quantity"])
        cash += (value if order["side"] == "SELL" else -value) - Decimal(order["fees"])
    assert Decimal(ended["cash"]) == Decimal(ended["equity"]) == cash
    assert "sell 1" in await stage.log(deployment_id)
