"""What a live strategy sees of its orders: groups, refusals, restarts, errors."""

from typing import Any

import pytest

from alphintra.sdk import StrategyFailed
from tests.cli.live.conftest import MINUTE, Market, Start
from tests.cli.live.test_trade import orders_of
from tests.gateway.product import Person, Product

PAST = [100.0, 101, 100, 101]

BRACKET = '''
from alphintra.sdk import Bar, Fill, Strategy


class Bracketed(Strategy):
    """Enters once with exits, and writes down what it is told, in the order in which it is told."""

    def setup(self) -> None:
        self.entry = None

    def on_bar(self, bar: Bar) -> None:
        self.log(f"bar {bar.close:g} held {self.position().quantity:g}")
        if bar.close == 105 and not self.position():
            self.entry, self.stop, self.target = self.bracket(
                2, stop_loss=50.0, take_profit=150.0, tag="in"
            )
        if self.entry is not None and bar.close == 108:
            self.log(f"open {len(self.open_orders())} {self.stop.status} {self.entry.status}")
            self.cancel()
            self.log(f"open {len(self.open_orders())}")

    def on_fill(self, fill: Fill) -> None:
        self.log(f"fill {fill.side} {fill.quantity:g} {fill.tag}")
'''


async def test_a_bracket_is_one_group_and_survives_a_restart(
    product: Product, trader: Person, market: Market, start: Start
) -> None:
    await market.past(PAST)
    async with start(BRACKET) as session:
        await session.until("watching")
        await market.now(105)
        await session.until("fill")
        await market.now(106)
        await session.until("log", 3)
        await session.end()
    assert [one["message"] for one in session.all("log")] == [
        "bar 105 held 0",
        "fill buy 2 in",
        "bar 106 held 2",
    ]
    (stopped,) = session.all("stopped")
    assert (stopped["position"], len(stopped["open_orders"])) == (2, 2)
    entry, *legs = await orders_of(product, trader)
    assert (entry["order_class"], entry["quantity"]) == ("BRACKET", "2")
    assert {(leg["type"], leg["price"], leg["stop_price"]) for leg in legs} == {
        ("LIMIT", "150", None),
        ("STOP", None, "50"),
    }

    market.at -= 2 * MINUTE
    await market.past([105, 106])
    async with start(BRACKET) as session:
        await session.until("watching")
        await market.now(108)
        await session.until("log", 3)
        host = await session.end()
    # It has lived through its past again: the orders are those that it gave then.
    assert [one["message"] for one in session.all("log")] == [
        "bar 108 held 2",
        "open 2 open filled",
        "open 0",
    ]
    assert (host.positions[0].quantity, host.open_known()) == (2, [])
    statuses = {one["status"] for one in (await orders_of(product, trader))[1:]}
    assert statuses == {"CANCELED"}


REFUSED = """
from alphintra.sdk import Bar, Strategy


class Refused(Strategy):
    order = None

    def on_bar(self, bar: Bar) -> None:
        if self.order is not None:
            self.log(f"{self.order.status} {self.order.filled:g}")
        self.order = self.buy(bar.volume * 10_000_000)
"""


async def test_a_refused_order_is_rejected_for_the_strategy_and_told(
    product: Product, trader: Person, market: Market, start: Start
) -> None:
    await market.past(PAST)
    async with start(REFUSED) as session:
        await session.until("watching")
        await market.now(105, 106)
        lines = await session.until("log", 2)
        await session.end()
    assert [line["message"] for line in lines] == ["rejected 0", "rejected 0"]
    assert "risk_" in session.all("rejected")[0]["reason"]


RAISES = """
from alphintra.sdk import Bar, Strategy


class Raises(Strategy):
    def on_bar(self, bar: Bar) -> None:
        if bar.close == 105:
            self.buy(1, limit=10.0)
        if bar.close == 106:
            raise ValueError("no idea")
"""


@pytest.mark.parametrize(
    ("options", "status"), [({}, "ACCEPTED"), ({"cancel_on_stop": True}, "CANCELED")]
)
async def test_a_strategy_that_raises_stops_with_its_line(
    product: Product,
    trader: Person,
    market: Market,
    start: Start,
    options: dict[str, Any],
    status: str,
) -> None:
    await market.past(PAST)
    async with start(RAISES, warmup=4, **options) as session:
        await session.until("watching")
        await market.now(105, 106)
        with pytest.raises(StrategyFailed, match=r"line 10, in on_bar, at 2025-.*no idea"):
            await session.task
    (order,) = await orders_of(product, trader)
    assert order["status"] == status
    assert len(session.all("stopped")[0]["open_orders"]) == (status == "ACCEPTED")


async def test_a_dry_run_orders_nothing(
    product: Product, trader: Person, market: Market, start: Start
) -> None:
    await market.past(PAST)
    async with start(BRACKET, dry_run=True) as session:
        await session.until("watching")
        await market.now(105)
        (told,) = await session.until("order")
        await session.end()
    assert told["order"]["order_class"] == "BRACKET"
    assert await orders_of(product, trader) == []


async def test_close_leaves_the_position_and_the_exits(
    product: Product, trader: Person, market: Market, start: Start
) -> None:
    await market.past(PAST)
    async with start(BRACKET, close=True) as session:
        await session.until("watching")
        await market.now(105)
        await session.until("fill")
        await session.end()
    (stopped,) = session.all("stopped")
    assert (stopped["position"], stopped["open_orders"]) == (0, [])
    assert [one["status"] for one in await orders_of(product, trader)][-1] == "FILLED"
