"""What the paper venue did in auctions is what a replay of its record does."""

import random
from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from alphintra.core.clock import NS_PER_SECOND, ManualClock, now
from alphintra.core.ids import OrderId
from alphintra.core.market_data import FeedBatch, Quote, Tick, Trade
from alphintra.core.orders import OrderType, Side, TimeInForce
from alphintra.trading.journal import Journal
from alphintra.trading.journal_store import pack, unpack
from alphintra.trading.paper import PaperRules, PaperVenue
from alphintra.trading.replay import ENDED, replay
from alphintra.trading.state import Order
from alphintra.trading.surroundings import Sessions
from alphintra.trading.venue import FeeSchedule, VenueEvent, VenueExpired, VenueFill, VenueOrder
from tests.trading.traffic import INSTRUMENTS, sessions

D = Decimal
RULES = PaperRules(fees=FeeSchedule(taker_bps=D(5)))
SYMBOL = "DAY"


class Recorded:
    """A venue with a record, beside it people who trade in auctions only."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock = ManualClock()
        self.sessions: Sessions = sessions(self.clock)
        self.journal = Journal(UUID(int=seed), self.clock)
        self.venue = PaperVenue(INSTRUMENTS, RULES)
        self.fills: dict[object, VenueFill] = {}
        self.expired: set[OrderId] = set()
        self.orders: list[OrderId] = []

    def run(self) -> None:
        for _ in range(400):
            self.clock.advance(self.rng.choice((0.05, 0.25, 1, 7, 20)))
            draw = self.rng.random()
            if draw < 0.2:
                self.place()
            elif draw < 0.7:
                self.speak()
            else:
                now_ns = self.clock.now_ns()
                if events := self.venue.expire(now_ns):
                    self.journal.expired((SYMBOL,), now_ns)
                    self.note(events)

    def place(self) -> None:
        rng = self.rng
        in_force = rng.choice((TimeInForce.OPG, TimeInForce.CLS))
        auction_at = self.sessions.next_auction("XNYS", in_force, now(self.clock))
        assert isinstance(auction_at, datetime)
        limit = D(rng.randint(12_450, 12_550)) / 10_000 if rng.random() < 0.5 else None
        order = VenueOrder(
            order_id=OrderId(UUID(int=rng.getrandbits(128))), symbol=SYMBOL,
            side=rng.choice(list(Side)), type=OrderType.LIMIT if limit else OrderType.MARKET,
            quantity=D(rng.choice((1, 5, 50))), accepted_ns=self.clock.now_ns(), price=limit,
            time_in_force=in_force, expires_ns=int(auction_at.timestamp()) * NS_PER_SECOND,
        )  # fmt: skip
        # Of an order the record reads only these.
        known = cast(Order, SimpleNamespace(symbol=SYMBOL, version=1, updated_at=now(self.clock)))
        if not self.venue.has_orders(SYMBOL):
            self.journal.opened(SYMBOL, INSTRUMENTS[SYMBOL], RULES)
        self.journal.submitted(known, order)
        self.orders.append(order.order_id)
        self.note(self.venue.submit(order))

    def speak(self) -> None:
        ticks = tuple(self.tick() for _ in range(self.rng.randint(1, 2)))
        batch = FeedBatch(symbol=SYMBOL, source="test", sequence=0, ticks=ticks)
        self.journal.shown(batch, is_idle=not self.venue.has_orders(SYMBOL))
        for tick in ticks:
            self.note(self.venue.on_market_data(SYMBOL, tick))

    def tick(self) -> Tick:
        rng, at_ns = self.rng, self.clock.now_ns()
        price = D(rng.randint(12_450, 12_550)) / 10_000
        size = rng.choice((D(3), D(40), D(1_000)))
        if rng.random() < 0.4:
            return Trade(at_ns, price, size)
        return Quote(at_ns, price, price + D("0.0003"), size, rng.choice((None, size)))

    def note(self, events: list[VenueEvent]) -> None:
        for event in events:
            if isinstance(event, VenueFill):
                self.fills[event.fill_id] = event
            elif isinstance(event, VenueExpired):
                self.expired.add(event.order_id)


@pytest.mark.parametrize("seed", range(8))
def test_auctions_replay_to_the_same_fills(seed: int) -> None:
    live = Recorded(seed)
    live.run()
    assert len(live.fills) > 10
    assert len(live.expired) > 5
    entries: list[Any] = []
    for block in live.journal.take(everything=True):
        entries += unpack(pack(block.entries))
    done = replay(entries, SYMBOL, set(live.orders))
    assert {key: one.fill for key, one in done.fills.items()} == live.fills
    ended = {order_id for (order_id, what), _ in done.outcomes.items() if what == ENDED}
    assert ended == live.expired


def test_a_replay_without_the_close_is_another() -> None:
    """The record of time that passed matters: closing auctions without later events need it."""
    live = Recorded(3)
    live.run()
    entries: list[Any] = []
    for block in live.journal.take(everything=True):
        entries += unpack(pack(block.entries))
    kept = [one for one in entries if type(one).__name__ != "Expired"]
    assert len(kept) < len(entries)
    done = replay(kept, SYMBOL, set(live.orders))
    ended = {key[0]: value for key, value in done.outcomes.items()}
    fills = {key: one.fill for key, one in done.fills.items()}
    assert fills != live.fills or set(ended) != live.expired
