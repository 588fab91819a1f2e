"""Several symbols in one session: what closes together is shown together."""

import pytest

from alphintra.cli.errors import CommandFailed
from tests.cli.live.conftest import MINUTE, Market, Start
from tests.cli.live.test_trade import orders_of
from tests.gateway.product import SYMBOL, Person, Product

OTHER = "ETH-USD"
PAIR = '''
from alphintra.sdk import Bar, Strategy


class Pair(Strategy):
    """Sees both closes whichever of them is at hand."""

    def setup(self) -> None:
        self.closes = [self.data(symbol).close for symbol in self.symbols]

    def on_bar(self, bar: Bar) -> None:
        values = " ".join(f"{line.now:g}" for line in self.closes)
        self.log(f"{bar.symbol} {bar.close:g}: {values}")
        if values == "102 52":
            self.buy(1, self.symbols[1])
'''


async def test_candles_that_close_together_are_one_group(
    product: Product, trader: Person, market: Market, start: Start
) -> None:
    async with start(PAIR, symbol=f"{SYMBOL},{OTHER}") as session:
        await session.until("watching")
        await market.together(ETH_USD=51, BTC_USD=101)
        await market.together(BTC_USD=102, ETH_USD=52)
        await session.until("log", 4)
        await session.until("order", 2)
        host = await session.end()
    assert [one["message"] for one in session.all("log")] == [
        "BTC-USD 101: 101 51",
        "ETH-USD 51: 101 51",
        "BTC-USD 102: 102 52",
        "ETH-USD 52: 102 52",
    ]
    orders = await orders_of(product, trader)
    assert {order["symbol"] for order in orders} == {OTHER}
    assert [order["client_order_id"].rpartition("/")[2] for order in orders] == ["0", "1"]
    assert orders[0]["client_order_id"].startswith("Pair/BTC-USD+ETH-USD/1m/")
    assert len(host.feed) == 4
    (stopped,) = session.all("stopped")
    assert set(stopped["positions"]) <= {OTHER}


async def test_who_is_late_is_shown_and_not_traded(market: Market, start: Start) -> None:
    async with start(PAIR, symbol=f"{SYMBOL},{OTHER}") as session:
        await session.until("watching")
        for number, close in enumerate((101, 102), 1):
            await market.together(BTC_USD=close)  # nobody trades the other one, or it is late
            await session.until("log", number)
        market.at -= 2 * MINUTE
        await market.together(ETH_USD=52)
        await session.until("rejected")
        await session.end()
    assert session.all("order") == []
    assert "nobody watched" in session.all("rejected")[0]["reason"]


async def test_a_symbol_is_named_once(start: Start) -> None:
    with pytest.raises(CommandFailed, match="each symbol once"):
        async with start(PAIR, symbol="BTC-USD,btc-usd") as session:
            await session.until("watching")
