"""A day at a real desk on a real database: identical, until somebody changes one thing."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from alphintra.core.clock import ManualClock, now, to_datetime
from alphintra.core.ids import UserId
from alphintra.core.market_data import FeedBatch, Quote, Tick, Trade
from alphintra.core.orders import OrderClass, OrderStatus, OrderType, Side, TimeInForce
from alphintra.market.copying import COPY_TICKS, TickLines, copy
from alphintra.platform.database import Database
from alphintra.trading import leases, store
from alphintra.trading.book import account_id_of
from alphintra.trading.commands import CancelOrder, ModifyOrder, SetMargin, StopLoss, TakeProfit
from alphintra.trading.desk import Desk
from alphintra.trading.errors import DayNotBegun, NoSuchAccount
from alphintra.trading.journal import Journal
from alphintra.trading.journal_store import JournalWriter, unpack
from alphintra.trading.paper import PaperRules, PaperVenue
from alphintra.trading.parity_loading import check_day
from alphintra.trading.parity_report import Cause, FillPair, ParityReport
from alphintra.trading.store import PostgresStore
from tests.trading.conftest import FEES, place, surroundings

D = Decimal
USERS = (UserId(uuid4()), UserId(uuid4()))
PRICES = {"SPY": 10_000, "QQQ": 20_000, "BTC-USD": 3_000_000}  # in cents
STEPS = 700
#: These markets have no sessions, and so no auctions.
ROUND_THE_CLOCK = [one for one in TimeInForce if not one.is_for_auction]


class Traders:
    """Two accounts that send every kind of order into three markets."""

    def __init__(self, desk: Desk, clock: ManualClock, seed: int) -> None:
        self.desk = desk
        self.clock = clock
        self.rng = random.Random(seed)
        self.cents = dict(PRICES)
        self.shown: list[tuple[str, Tick]] = []
        self._sequence = 0

    async def trade(self) -> None:
        for user_id in USERS:
            await self.desk.submit(
                SetMargin(user_id=user_id, actor="test", leverage=D(4), short_selling=True)
            )
        for symbol in PRICES:
            self.speak(symbol)
        for step in range(STEPS):
            self.clock.advance(self.rng.choice((0.001, 0.05, 0.4)))
            self.speak(self.rng.choice(list(PRICES)))
            if step % 2 == 0:
                await self.act()
            if step % 40 == 0:
                self.desk.tick()
            if self.rng.random() < 0.7:
                await self.desk.idle()
        await asyncio.wait_for(self.desk.idle(), 10)

    def speak(self, symbol: str) -> None:
        """Let the market of a symbol say one to three things."""
        rng = self.rng
        ticks: list[Tick] = []
        for _ in range(rng.randint(1, 3)):
            self.clock.advance(0.000_013)
            cents = self.cents[symbol] = self.cents[symbol] + rng.randint(-12, 12)
            size = D(rng.choice((1, 5, 40, 1_000)))
            if rng.random() < 0.2:
                ticks.append(Trade(self.clock.now_ns(), D(cents) / 100, size, "BUY"))
            else:
                ask = cents + rng.randint(1, 3)
                ticks.append(Quote(self.clock.now_ns(), D(cents) / 100, D(ask) / 100, size, size))
        self.shown += ((symbol, tick) for tick in ticks)
        self._sequence += 1
        self.desk.on_market_data(
            FeedBatch(symbol=symbol, source="test", sequence=self._sequence, ticks=tuple(ticks))
        )

    async def act(self) -> None:
        rng = self.rng
        user_id = rng.choice(USERS)
        account = self.desk._book.accounts[account_id_of(user_id)]
        opened = [one for one in account.open_orders.values() if one.status is OrderStatus.ACCEPTED]
        draw = rng.random()
        if opened and draw < 0.15:
            order = rng.choice(opened)
            await self.desk.submit(CancelOrder(user_id=user_id, actor="test", order_id=order.id))
        elif opened and draw < 0.35:
            order = rng.choice(opened)
            if order.price is not None:
                price = order.price + D(rng.randint(-10, 10)) / 100
                await self.desk.submit(
                    ModifyOrder(user_id=user_id, actor="test", order_id=order.id, price=price)
                )
        else:
            symbol = rng.choice(list(PRICES))
            await self.desk.submit(place(user_id, symbol, **self.terms(symbol)))

    def terms(self, symbol: str) -> dict[str, Any]:
        rng, cents = self.rng, self.cents[symbol]
        side = rng.choice(list(Side))
        kind = rng.choices(list(OrderType), (4, 5, 2, 2, 2))[0]
        near = D(cents - side.sign * rng.randint(-5, 30)) / 100
        beyond = D(cents + side.sign * rng.randint(1, 30)) / 100
        terms: dict[str, Any] = {
            "side": side,
            "type": kind,
            "quantity": D("0.01") if symbol == "BTC-USD" else D(rng.choice((1, 3, 20))),
            "price": near if kind.has_limit else None,
            "stop_price": beyond if kind.has_stop else None,
            "trail": D(rng.randint(2, 20)) / 100 if kind is OrderType.TRAILING_STOP else None,
        }
        in_force = rng.choices(ROUND_THE_CLOCK, (1, 6, 2, 1, 1))[0]
        if in_force in {TimeInForce.IOC, TimeInForce.FOK} and kind.has_stop:
            in_force = TimeInForce.GTC
        if kind is OrderType.TRAILING_STOP:
            in_force = TimeInForce.GTC
        terms["time_in_force"] = in_force
        if in_force is TimeInForce.GTD:
            terms["expires_at"] = now(self.clock) + timedelta(seconds=rng.randint(1, 6))
            if kind is OrderType.LIMIT:
                terms["price"] = near - side.sign * 2
        if kind is OrderType.LIMIT and in_force is TimeInForce.GTC:
            if rng.random() < 0.4:
                exit_at = near + side.sign * D(rng.randint(3, 15)) / 100
                stop_at = near - side.sign * D(rng.randint(3, 15)) / 100
                terms |= {
                    "order_class": OrderClass.BRACKET,
                    "take_profit": TakeProfit(exit_at),
                    "stop_loss": StopLoss(stop_at, None),
                }
            elif rng.random() < 0.3:
                terms["post_only"] = True
        return terms


class Session:
    """What the day left behind, and means to change it and to change it back."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.database = database
        self.clock = clock

    async def check(self, user_id: UserId = USERS[0]) -> ParityReport:
        return await check_day(
            self.database,
            self.clock,
            account_id=account_id_of(user_id),
            day=to_datetime(ManualClock().now_ns()).date(),
            tick_days=3,
        )

    async def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        async with await self.database.connect_raw(autocommit=True) as connection:
            cursor = await connection.execute(statement.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def a_fill(self, report: ParityReport, kind: str) -> FillPair:
        """Return a fill on a quote, of an order that was the only one which that quote filled."""
        counts: dict[str, int] = {}
        for pair in report.pairs:
            counts[pair.event] = counts.get(pair.event, 0) + 1
        other = await self.check(USERS[1])
        taken = {pair.event for pair in other.pairs}
        return next(
            pair
            for pair in report.pairs
            if kind in pair.event and counts[pair.event] == 1 and pair.event not in taken
        )


@pytest.fixture(scope="module")
async def session(database_url: str) -> AsyncIterator[Session]:
    database = Database(database_url, pool_size=4)
    clock = ManualClock()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        desk_id = uuid4()
        writing = await stack.enter_async_context(await store.connect(database))
        reading = await stack.enter_async_context(await store.connect(database))
        epochs = await leases.take(writing, desk_id=desk_id, address="", shards=range(64))
        around = surroundings(clock)
        books = PostgresStore(writing, reading, desk_id=desk_id, epochs=epochs)
        journal = Journal(desk_id, clock)
        writer = JournalWriter(database, clock, days=30)
        writer.begin(journal)
        venue = PaperVenue(around.instruments, PaperRules(fees=FEES))
        desk = Desk(books, around, venue, record=journal)
        await desk.load()
        work = asyncio.create_task(desk.work())
        traders = Traders(desk, clock, seed=11)
        await traders.trade()
        await writer.flush(everything=True)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await _store_ticks(database, traders.shown)
        clock.advance(10)
        session = Session(database, clock)
        # What follows forges what the product itself cannot change.
        for table in ("trades", "order_history"):
            await session.execute(f"ALTER TABLE trading.{table} DISABLE TRIGGER USER")
        yield session


async def _store_ticks(database: Database, shown: list[tuple[str, Tick]]) -> None:
    lines = {symbol: TickLines(symbol, "test") for symbol in PRICES}
    made = [
        lines[symbol].quote(tick, ordinal)
        if isinstance(tick, Quote)
        else lines[symbol].trade(tick, ordinal)
        for ordinal, (symbol, tick) in enumerate(shown)
        if isinstance(tick, Quote | Trade)
    ]
    async with await database.connect_raw() as connection:
        await copy(connection, COPY_TICKS, made)


async def test_the_day_is_identical(session: Session) -> None:
    for user_id in USERS:
        report = await session.check(user_id)
        wrong = [pair for pair in report.pairs if pair.cause] + list(report.order_differences)
        assert not wrong, wrong[:3]
        assert report.is_identical
        assert report.fills == len(report.pairs) > 50
        assert report.orders > 100
        assert report.outcomes > 20
        assert not report.notes
        assert {check.symbol for check in report.market} == set(PRICES)
        for check in report.market:
            assert check.is_stored
            assert (check.missing, check.different, check.late, check.unseen) == (0, 0, 0, 0)


async def test_all_kinds_of_orders_were_there(session: Session) -> None:
    rows = await session.execute(
        "SELECT type, order_class, time_in_force, parent_id IS NOT NULL, status FROM trading.orders"
    )
    assert {row[0] for row in rows} == set(OrderType)
    assert {row[2] for row in rows} == set(ROUND_THE_CLOCK)
    assert any(row[3] and row[4] == "FILLED" for row in rows), "a bracket's exit was filled"
    assert {"FILLED", "CANCELED", "EXPIRED"} <= {row[4] for row in rows}
    changed = await session.execute(
        "SELECT 1 FROM trading.order_history WHERE event_type = 'MODIFIED' AND actor = 'test'"
    )
    assert len(changed) > 5


Change = Callable[[Session, FillPair], Any]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ("fee = fee + 0.01", Cause.FEE),
        ("fee = fee + 0.00000001", Cause.ROUNDING),
        ("price = price + 0.01", Cause.FILL),
        ("price = price + 0.001", Cause.ROUNDING),
        ("quantity = quantity + 1", Cause.FILL),
        ("liquidity = CASE liquidity WHEN 'MAKER' THEN 'TAKER' ELSE 'MAKER' END", Cause.FILL),
    ],
)
async def test_changed_fill_is_named(session: Session, change: str, cause: Cause) -> None:
    pair = (await session.check()).pairs[20]
    ((before,),) = await session.execute(
        "SELECT to_json(t)::text FROM trading.trades t WHERE id = %s", pair.trade_id
    )
    await session.execute(
        f"UPDATE trading.trades SET {change} WHERE id = %s",  # noqa: S608 - of this test
        pair.trade_id,
    )
    report = await session.check()
    await _put_back(session, before)
    (found,) = [one for one in report.pairs if one.cause]
    assert (found.trade_id, found.cause) == (pair.trade_id, cause)
    assert "booked" in found.detail
    assert not report.is_identical
    assert (await session.check()).is_identical


async def _put_back(session: Session, trade: str) -> None:
    await session.execute("DELETE FROM trading.trades WHERE id = (%s::json ->> 'id')::uuid", trade)
    await session.execute(
        "INSERT INTO trading.trades SELECT * FROM json_populate_record(NULL::trading.trades, %s)",
        trade,
    )


async def test_fill_that_was_never_booked_is_named(session: Session) -> None:
    pair = (await session.check()).pairs[-5]
    ((before,),) = await session.execute(
        "SELECT to_json(t)::text FROM trading.trades t WHERE id = %s", pair.trade_id
    )
    await session.execute("DELETE FROM trading.trades WHERE id = %s", pair.trade_id)
    report = await session.check()
    await _put_back(session, before)
    (found,) = [one for one in report.pairs if one.cause]
    assert (found.trade_id, found.booked, found.cause) == (pair.trade_id, None, Cause.FILL)


async def test_fill_of_nowhere_is_named(session: Session) -> None:
    pair = (await session.check()).pairs[10]
    invented = uuid4()
    await session.execute(
        "INSERT INTO trading.trades (id, order_id, account_id, user_id, symbol, side, quantity,"
        " price, fee, liquidity, realized_pnl, strategy_id, executed_at)"
        " SELECT %s, order_id, account_id, user_id, symbol, side, quantity, price, fee, liquidity,"
        " realized_pnl, strategy_id, executed_at FROM trading.trades WHERE id = %s",
        invented,
        pair.trade_id,
    )
    report = await session.check()
    await session.execute("DELETE FROM trading.trades WHERE id = %s", invented)
    (found,) = [one for one in report.pairs if one.cause]
    assert (found.trade_id, found.replayed, found.cause) == (invented, None, Cause.FILL)


@pytest.mark.parametrize(
    ("change", "counted", "words"),
    [
        ("DELETE FROM market.ticks {where}", "missing", "not stored"),
        (
            "UPDATE market.ticks SET bid = bid + 3, ask = ask + 3 {where}",
            "different",
            "differently",
        ),
        (
            "UPDATE market.ticks SET at = at + interval '3 seconds' {where}",
            "late",
            "at another time",
        ),
    ],
)
async def test_changed_market_data_are_named(
    session: Session, change: str, counted: str, words: str
) -> None:
    pair = await session.a_fill(await session.check(), "quote")
    at = pair.event.rsplit(" at ", 1)[1]
    kept = await session.execute(
        "SELECT to_json(t)::text FROM market.ticks t WHERE symbol = %s AND at = %s", pair.symbol, at
    )
    statement = change.format(where="WHERE symbol = %s AND at = %s")
    await session.execute(statement, pair.symbol, at)
    report = await session.check()
    for (row,) in kept:
        await session.execute(
            "DELETE FROM market.ticks t USING json_populate_record(NULL::market.ticks, %s) k"
            " WHERE (t.symbol, t.ordinal) = (k.symbol, k.ordinal)",
            row,
        )
        await session.execute(
            "INSERT INTO market.ticks SELECT * FROM json_populate_record(NULL::market.ticks, %s)",
            row,
        )
    found = {one.trade_id: one for one in report.pairs if one.cause}
    assert {one.cause for one in found.values()} == {Cause.DATA}
    assert words in found[pair.trade_id].detail
    (check,) = [one for one in report.market if one.symbol == pair.symbol]
    assert getattr(check, counted) == 1
    assert (await session.check()).is_identical


async def test_stored_event_that_never_reached_the_venue_is_named(session: Session) -> None:
    stops = {
        row[0]: row[1]
        for row in await session.execute(
            "SELECT id, side FROM trading.orders WHERE type = 'STOP' AND status = 'FILLED'"
        )
    }
    report = await session.check()
    pair = next(one for one in report.pairs if one.order_id in stops and "quote" in one.event)
    factor = 2 if stops[pair.order_id] == "BUY" else 0.5  # triggers it, at a price of its own
    await session.execute(
        "INSERT INTO market.ticks (symbol, at, kind, source, ordinal, bid, ask, bid_size, ask_size)"
        " SELECT symbol, at - interval '40 microseconds', 'Q', source, 999999, bid * %s, ask * %s,"
        " 1000000, 1000000 FROM market.ticks WHERE symbol = %s AND at = %s",
        factor,
        factor,
        pair.symbol,
        pair.event.rsplit(" at ", 1)[1],
    )
    changed = await session.check()
    await session.execute("DELETE FROM market.ticks WHERE ordinal = 999999")
    assert sum(check.unseen for check in changed.market) == 1
    found = {one.trade_id: one for one in changed.pairs if one.cause}
    assert {one.cause for one in found.values()} == {Cause.DATA}
    assert "never reached the venue" in found[pair.trade_id].detail
    assert (await session.check()).is_identical


async def test_shifted_time_is_latency(session: Session) -> None:
    report = await session.check()
    pair = next(one for one in report.pairs if not one.event)  # it filled as it arrived
    changed = (
        "UPDATE trading.order_history SET at = at {} interval '4 seconds'"
        " WHERE order_id = %s AND version = 1"
    )
    await session.execute(changed.format("+"), pair.order_id)
    shifted = await session.check()
    await session.execute(changed.format("-"), pair.order_id)
    found = {one.trade_id: one for one in shifted.pairs if one.cause}
    assert found[pair.trade_id].cause is Cause.LATENCY
    assert {one.cause for one in found.values()} == {Cause.LATENCY}
    assert "by the order's history" in found[pair.trade_id].detail
    assert (await session.check()).is_identical


async def test_lost_record_is_a_matter_of_data(session: Session) -> None:
    pair = (await session.check()).pairs[-1]
    rows = await session.execute(
        "SELECT sequence, body FROM trading.venue_records WHERE symbol = %s ORDER BY sequence",
        pair.symbol,
    )
    assert sum(len(unpack(body)) for _, body in rows) > 100
    await session.execute(
        "UPDATE trading.venue_records SET symbol = 'ELSEWHERE' WHERE symbol = %s", pair.symbol
    )
    report = await session.check()
    await session.execute(
        "UPDATE trading.venue_records SET symbol = %s WHERE symbol = 'ELSEWHERE'", pair.symbol
    )
    found = [one for one in report.pairs if one.cause]
    assert {one.symbol for one in found} == {pair.symbol}
    assert {one.cause for one in found} == {Cause.DATA}
    assert "does not have the order's arrival" in found[0].detail


async def test_unknown_account_and_tomorrow_are_refused(session: Session) -> None:
    with pytest.raises(NoSuchAccount):
        await check_day(
            session.database,
            session.clock,
            account_id=uuid4(),
            day=now(session.clock).date(),
            tick_days=3,
        )
    with pytest.raises(DayNotBegun):
        await check_day(
            session.database,
            session.clock,
            account_id=account_id_of(USERS[0]),
            day=now(session.clock).date() + timedelta(days=1),
            tick_days=3,
        )


async def test_record_is_kept_as_long_as_the_setting_says(session: Session) -> None:
    clock = ManualClock(session.clock.now_ns())
    clock.advance(31 * 86_400)
    writer = JournalWriter(session.database, clock, days=32)
    await writer._purge()
    (before,) = (await session.execute("SELECT count(*) FROM trading.venue_records"))[0]
    assert before > 0
    writer = JournalWriter(session.database, clock, days=30)
    async with await psycopg.AsyncConnection.connect(session.database.conninfo) as keeping:
        rows = await (await keeping.execute("SELECT * FROM trading.venue_records")).fetchall()
        await writer._purge()
        (after,) = (await session.execute("SELECT count(*) FROM trading.venue_records"))[0]
        assert after == 0
        for row in rows:
            marks = ", ".join(["%s"] * len(row))
            await keeping.execute(f"INSERT INTO trading.venue_records VALUES ({marks})", row)  # noqa: S608
        await keeping.commit()
