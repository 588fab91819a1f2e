"""A strategy is deployed over HTTP, trades, is watched, paused, changed, stopped and liquidated."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

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
    assert Decimal(first["order"]["quantity"]) == 1
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

    await the_trace_is_whole(stage, signals[1])
    await the_day_is_certified(stage, deployment_id)
    metrics = (await stage.call("GET", f"/deployments/{deployment_id}/metrics")).json()
    assert metrics["fills"] == 4
    assert Decimal(metrics["net_profit"]) == cash - 50_000
    assert metrics["signals"] == {"ORDERED": 4}
    # Nothing is held any more: all of it is realised, and the fees are no part of what is open.
    assert Decimal(metrics["unrealized_pnl"]) == Decimal(metrics["exposure"]) == 0
    assert metrics["max_drawdown"] >= metrics["drawdown"]
    assert metrics["points"]


async def the_trace_is_whole(stage: Stage, signal: dict[str, Any]) -> None:
    """Candle, signal, order, fill and ledger lines of one decision hang together."""
    trace = (await stage.call("GET", f"/signals/{signal['id']}/trace")).json()
    assert trace["candle"]["symbol"] == SYMBOL
    assert trace["candle"]["closed_at"] == signal["candle_at"]
    (order,), (fill,) = trace["orders"], trace["fills"]
    assert order["signal_id"] == signal["id"]
    assert order["client_order_id"] == signal["name"]
    assert fill["order_id"] == order["id"]
    value = Decimal(fill["quantity"]) * Decimal(fill["price"])
    booked = {
        (one["kind"], one["asset"], one["bucket"]): Decimal(one["amount"])
        for one in trace["ledger"]
        if one["transaction_id"] == fill["id"]
    }
    assert booked["TRADE", "USD", "AVAILABLE"] == value
    assert booked["FEE", "USD", "AVAILABLE"] == -Decimal(fill["fee"])
    stranger = await stage.product.person("stranger")
    hidden = await stage.call("GET", f"/signals/{signal['id']}/trace", person=stranger)
    assert (hidden.status_code, hidden.json()["code"]) == (404, "no_such_signal")


async def the_day_is_certified(stage: Stage, deployment_id: str) -> None:
    """A worker replays the day and finds the same decisions and the same fills."""
    path = f"/deployments/{deployment_id}/certificates"
    early = await stage.call("POST", path, json={"day": "2020-01-01"})
    assert (early.status_code, early.json()["code"]) == (422, "deployment_day_missing")
    today = datetime.now(UTC).date().isoformat()
    asked = await stage.call("POST", path, json={"day": today})
    assert asked.status_code == 202, asked.text
    assert asked.json()["verdict"] == "PENDING"

    async def made() -> dict[str, Any] | None:
        (one,) = await stage.items(path)
        return one if one["verdict"] != "PENDING" else None

    certificate = await stage.waits_for(made)
    assert certificate is not None
    assert certificate["verdict"] == "PASSED", certificate
    assert certificate["differences"] == []
    assert certificate["signals"] == 3
    assert (certificate["orders"], certificate["fills"]) == (4, 4)
    assert not certificate["is_whole_day"]
