"""Lost connections and lost answers: nothing is traded late, and nothing twice."""

from collections.abc import Mapping
from typing import Any

import pytest

from alphintra.cli.live.desk import execution_of, state_of
from alphintra.sdk import Bar, Status, Strategy
from alphintra.sdk.live.feed import LiveFeed
from alphintra.sdk.live.growing import Candle
from alphintra.sdk.live.host import InDoubt, LiveHost
from alphintra.sdk.live.orders import Grid, Known, Names
from alphintra.sdk.live.run import LiveRun
from tests.cli.live.conftest import Market, Start, Wire
from tests.cli.live.test_trade import CROSS, FALLING, orders_of
from tests.gateway.product import Person, Product


async def test_a_lost_stream_is_found_again_and_what_was_missed_is_not_traded(
    product: Product, trader: Person, market: Market, start: Start
) -> None:
    await market.past(FALLING)
    async with (
        Wire(product.port).open() as wire,
        start("sma_cross", CROSS, url=wire.url, warmup=20) as session,
    ):
        await session.until("watching")
        wire.cut()
        await session.until("disconnected")
        await market.past([101, 112, 114])  # a cross, and one more: nobody watched either
        wire.mend()
        await session.until("connected")
        await market.now(116, 90, 80, 140)
        await session.until("fill")
        host = await session.end()
    assert host.feed.bars(0).close[-7:].tolist() == [101, 112, 114, 116, 90, 80, 140]
    assert [one["reason"] for one in session.all("rejected")] == [
        "its candle closed while nobody watched"
    ]
    (order,) = await orders_of(product, trader)  # of the next cross, which it has seen
    assert order["client_order_id"] == session.all("fill")[0]["client_order_id"]


QUOTED = """
from alphintra.sdk import Quote, Strategy


class Quoted(Strategy):
    def setup(self) -> None:
        self.every("1d")
        self.given = False

    def on_quote(self, quote: Quote) -> None:
        if not self.given:
            self.given = True
            self.buy(1, limit=quote.ask)

    def on_fill(self, fill) -> None:
        self.log(f"{fill.price:g} {self.equity:g}")
"""


async def test_a_strategy_of_quotes_is_called_for_them(
    product: Product, trader: Person, market: Market, start: Start
) -> None:
    async with start(QUOTED) as session:
        (line,) = await session.until("log")
        await session.end()
    price, equity = map(float, line["message"].split())
    assert price == 101
    assert 9_990 < equity < 10_000


class Silent:
    """A server that takes orders and says nothing."""

    def __init__(self) -> None:
        self.bodies: list[Mapping[str, Any]] = []

    def place(self, known: Known, body: Mapping[str, Any]) -> None:
        self.bodies.append(body)
        raise InDoubt("no answer")

    def cancel(self, known: Known) -> None:
        raise InDoubt("no answer")

    def price(self, symbol: str, *, is_buy: bool) -> float:
        return 100.0


class Buys(Strategy):
    def on_bar(self, bar: Bar) -> None:
        self.order = self.buy(1)


@pytest.fixture
def doubtful() -> tuple[LiveHost, Buys, Silent]:
    strategy, feed, desk = Buys(), LiveFeed(["SPY"]), Silent()
    names = Names("Buys/SPY/1m/")
    host = LiveHost(
        strategy,
        feed,
        desk,
        grids=[Grid("0.01", "1")],
        names=names,
        capital=1_000.0,
        fee=0.0,
        say=lambda *_: None,
    )
    run = LiveRun(strategy, host, feed, names)
    run.set_up()
    run.settle()
    candle = Candle(0, 60_000_000_000, 99.0, 101.0, 98.0, 100.0, 5.0)
    run.candles([(0, candle)], candle.close_ns)
    return host, strategy, desk


def test_an_order_without_an_answer_stays_open_until_the_server_is_asked(
    doubtful: tuple[LiveHost, Buys, Silent],
) -> None:
    host, strategy, desk = doubtful
    assert desk.bodies[0]["client_order_id"] == "Buys/SPY/1m/19700101T000100Z/0"
    assert strategy.order.status is Status.OPEN
    (known,) = host.doubtful()
    host.given_up(known)
    assert (strategy.order.status, host.doubtful()) == (Status.REJECTED, [])


def test_an_order_without_an_answer_that_the_server_has_is_its_order(
    doubtful: tuple[LiveHost, Buys, Silent],
) -> None:
    host, strategy, _ = doubtful
    (known,) = host.doubtful()
    view = {
        "id": "one", "version": 1, "quantity": "1", "type": "MARKET", "status": "ACCEPTED",
        "client_order_id": known.order.id, "symbol": "SPY", "side": "BUY",
    }  # fmt: skip
    host.found(known, [state_of(view)])
    fill = {
        "trade_id": "t", "order_id": "one", "side": "BUY", "quantity": "1", "price": "100.5",
        "fee": "0.5", "liquidity": "TAKER", "executed_at": "1970-01-01T00:01:01Z", "symbol": "SPY",
    }  # fmt: skip
    host.book(execution_of(fill))
    host.book(execution_of(fill))
    assert (strategy.order.status, strategy.order.average_price) == (Status.FILLED, 100.5)
    assert (host.positions[0].quantity, host.cash()) == (1, 899.0)


def test_a_name_is_never_given_twice(doubtful: tuple[LiveHost, Buys, Silent]) -> None:
    host, strategy, desk = doubtful
    strategy.buy(2)
    host.flush()
    names = [body["client_order_id"] for body in desk.bodies]
    assert len(set(names)) == 2
