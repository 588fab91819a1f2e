"""What a deployment hears of the bus: its symbols, its source, the latest; and what it may have
missed.
"""

from decimal import Decimal
from uuid import UUID, uuid4

import msgspec

from alphintra.core.ids import EventId
from alphintra.core.market_data import FEED_SUBJECT, Bar, FeedBatch, Quote, Tick, Trade, encode
from alphintra.platform.events import Event, Topic
from alphintra.platform.events import encode as encode_event
from alphintra.strategies.deployments.feed import TRADES_MAX, Feed, Inbox

D = Decimal
MINUTE_NS = 60_000_000_000


class OrderEvent(msgspec.Struct):
    """What is read of an event of an order."""

    user_id: UUID
    order: dict[str, UUID | None]


def inbox(*, source: str | None = None) -> Inbox:
    one = Inbox(uuid4(), uuid4(), frozenset({"SPY"}), "1m", MINUTE_NS, source=source)
    one.is_suspect = False
    return one


def bar(minute: int, *, closed: bool = True, timeframe: str = "1m") -> Bar:
    return Bar(minute * MINUTE_NS, timeframe, D(1), D(3), D(1), D(2), None, closed)


async def tell(feed: Feed, *ticks: Tick, sequence: int = 1, source: str = "a") -> None:
    batch = FeedBatch(symbol="SPY", source=source, sequence=sequence, ticks=ticks)
    await feed._on_feed(f"{FEED_SUBJECT}.SPY", encode(batch))


async def test_closed_candles_of_its_timeframe_are_heard() -> None:
    feed, one = Feed(), inbox()
    feed.join(one)
    await tell(feed, bar(1), bar(2, closed=False), bar(0, timeframe="5m"))
    ((row, _),) = one.candles
    assert (row.symbol, row.open_ns, row.close_ns) == ("SPY", MINUTE_NS, 2 * MINUTE_NS)
    assert row.volume != row.volume
    assert one.marks == {"SPY": D(2)}
    assert one.wake.is_set()
    feed.leave(one)
    await tell(feed, bar(3), sequence=2)
    assert len(one.candles) == 1


async def test_another_source_is_not_heard() -> None:
    feed, one = Feed(), inbox(source="replay")
    feed.join(one)
    await tell(feed, bar(1), source="simulator:candles")
    await tell(feed, Quote(1, D(7), D(9)), source="simulator")
    assert (len(one.candles), one.marks) == (0, {})
    await tell(feed, bar(1), source="replay:candles")
    await tell(feed, Quote(1, D(1), D(3)), source="replay")
    assert (len(one.candles), one.marks) == (1, {"SPY": D(2)})


async def test_a_lost_message_is_noticed() -> None:
    feed, one = Feed(), inbox()
    feed.join(one)
    await tell(feed, bar(1), sequence=1)
    await tell(feed, bar(2), sequence=2)
    assert not one.is_suspect
    await tell(feed, bar(4), sequence=4)
    assert [one.is_suspect] == [True]


async def test_of_a_flood_the_latest_counts() -> None:
    feed, one = Feed(), inbox()
    feed.join(one)
    one.wants_quotes = one.wants_trades = True
    await tell(feed, *(Quote(at, D(at), D(at + 2)) for at in range(1, 50)))
    assert [quote.ts_ns for quote in one.quotes.values()] == [49]
    prints = [Trade(at, D(1), D(1), "SELL") for at in range(2 * TRADES_MAX)]
    await tell(feed, *prints, sequence=2)
    assert len(one.trades) == TRADES_MAX
    assert (one.trades[-1].ts_ns, one.trades[-1].side) == (2 * TRADES_MAX - 1, -1)


async def test_what_a_feed_derives_is_no_price_of_its_own() -> None:
    feed, one = Feed(), inbox()
    one.wants_quotes = True
    feed.join(one)
    await tell(feed, Quote(1, D(1), D(3)), source="a:candles")
    assert (one.quotes, one.marks) == ({}, {})


async def test_orders_wake_only_whom_they_concern() -> None:
    feed, user = Feed(), uuid4()
    signals = uuid4(), uuid4()
    one, other = (
        Inbox(uuid4(), user, frozenset({"SPY"}), "1m", MINUTE_NS, signals={signal: "its name"})
        for signal in signals
    )
    for inbox in (one, other):
        inbox.has_news = False
        feed.join(inbox)

    async def hear(owner: UUID, signal_id: UUID | None) -> list[bool]:
        event = Event(
            id=EventId(uuid4()),
            topic=Topic.ORDER_EVENTS,
            type="order_event.v1",
            key=str(owner),
            occurred_at_ns=1,
            data=OrderEvent(user_id=owner, order={"signal_id": signal_id}),
        )
        await feed._on_orders(str(Topic.ORDER_EVENTS), b"[" + encode_event(event) + b"]")
        return [inbox.has_news and inbox.wake.is_set() for inbox in (one, other)]

    assert await hear(user, None) == [False, False]
    assert await hear(uuid4(), signals[0]) == [False, False]
    assert await hear(user, signals[1]) == [False, True]
    assert await hear(user, signals[0]) == [True, True]
