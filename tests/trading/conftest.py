"""A desk on a real database, with prices in the test's hand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from alphintra.core.clock import ManualClock
from alphintra.core.ids import OrderId, TimeOrderedIds, UserId
from alphintra.core.instruments import Asset, AssetClass, Instrument, Symbol
from alphintra.core.market_data import FeedBatch, Quote
from alphintra.core.orders import OrderType, Side, TimeInForce
from alphintra.platform.database import Database
from alphintra.trading import leases, store
from alphintra.trading.commands import PlaceOrder, Terms
from alphintra.trading.desk import Desk
from alphintra.trading.paper import PaperRules, PaperVenue
from alphintra.trading.prices import Prices
from alphintra.trading.store import PostgresStore
from alphintra.trading.surroundings import Surroundings
from alphintra.trading.venue import FeeSchedule

D = Decimal


def instrument(symbol: str, *, tick: str = "0.01", lot: str = "1", base: str = "") -> Instrument:
    return Instrument(
        symbol=Symbol(symbol),
        name=symbol,
        asset_class=AssetClass.EQUITY,
        base=Asset(base or symbol),
        quote=Asset("USD"),
        tick_size=D(tick),
        lot_size=D(lot),
    )


INSTRUMENTS: dict[str, Instrument] = {
    one.symbol: one
    for one in (
        instrument("SPY"),
        instrument("QQQ"),
        instrument("BTC-USD", lot="0.0001", base="BTC"),
    )
}
FEES = FeeSchedule(maker_bps=D(2), taker_bps=D(5))


def surroundings(clock: ManualClock) -> Surroundings:
    return Surroundings(
        clock=clock,
        ids=TimeOrderedIds(clock),
        prices=Prices(clock, silence_s=3600),
        instruments=dict(INSTRUMENTS),
        fee_rate=FEES.taker_bps / 10_000,
    )


def place(user_id: UserId, symbol: str = "SPY", **terms: object) -> PlaceOrder:
    """A market order for one unit, unless `terms` say otherwise."""
    client_order_id = terms.pop("client_order_id", None)
    defaults: dict[str, object] = {
        "side": Side.BUY,
        "type": OrderType.MARKET,
        "time_in_force": TimeInForce.GTC,
    }
    if "notional" not in terms:
        defaults["quantity"] = D(1)
    return PlaceOrder(
        user_id=user_id,
        actor=f"user:{user_id}",
        order_id=OrderId(uuid4()),
        client_order_id=client_order_id,  # type: ignore[arg-type]
        terms=Terms(symbol=symbol, **{**defaults, **terms}),  # type: ignore[arg-type]
    )


class Bench:
    """A running desk with its surroundings."""

    def __init__(self, desk: Desk, around: Surroundings, clock: ManualClock) -> None:
        self.desk = desk
        self.around = around
        self.clock = clock
        self.submit = desk.submit

    def quote(self, bid: str, ask: str, *, symbol: str = "SPY", size: str | None = None) -> None:
        self.clock.advance(0.001)
        amount = None if size is None else D(size)
        quote = Quote(self.clock.now_ns(), D(bid), D(ask), amount, amount)
        self.desk.on_market_data(
            FeedBatch(symbol=symbol, source="test", sequence=1, ticks=(quote,))
        )

    async def settle(self) -> None:
        """Wait until the desk has nothing left to do."""
        await asyncio.wait_for(self.desk.idle(), 10)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def user_id() -> UserId:
    return UserId(uuid4())


StartBench = Callable[[], "asyncio.Future[Bench]"]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    one = Database(database_url, pool_size=4)
    yield one
    await one.close()


async def start(stack: AsyncExitStack, database: Database, clock: ManualClock) -> Bench:
    """Start a desk that takes over all shards; it ends with `stack`."""
    desk_id: UUID = uuid4()
    writing = await stack.enter_async_context(await store.connect(database))
    reading = await stack.enter_async_context(await store.connect(database))
    epochs = await leases.take(writing, desk_id=desk_id, address="", shards=range(64))
    around = surroundings(clock)
    venue = PaperVenue(around.instruments, PaperRules(fees=FEES))
    listed = dict(around.instruments)

    async def refresh() -> None:
        around.instruments.update(listed)

    books = PostgresStore(writing, reading, desk_id=desk_id, epochs=epochs)
    desk = Desk(books, around, venue, refresh=refresh)
    await desk.load()
    task = asyncio.create_task(desk.work())

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)
    return Bench(desk, around, clock)


@pytest.fixture
async def bench(database: Database, clock: ManualClock) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        yield await start(stack, database, clock)
