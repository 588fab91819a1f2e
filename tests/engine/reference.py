"""The rules of docs/concepts/fills.md written down a second time: slow, obvious, plain Python.

Nothing here is shared with the engine but the names of kinds and reasons: no chain of slots, no
fences. Each event looks at every order. Orders are numbered in the order they were submitted.
"""

from dataclasses import dataclass, field
from itertools import pairwise

from alphintra.engine import Kind, Lifetime, Reason, Side

INFINITY = 10**30


@dataclass
class Order:
    number: int
    side: Side
    kind: Kind
    lots: int
    limit: int | None = None
    stop: int | None = None
    trail_ticks: int = 0
    trail_bps: int = 0
    lifetime: Lifetime = Lifetime.REST
    post_only: bool = False
    expires_ns: int | None = None
    auction_ns: int | None = None
    accepted_ns: int = 0
    dormant: bool = False
    has_met_market: bool = False
    mark: int | None = None

    @property
    def buys(self) -> bool:
        return self.side == Side.BUY

    @property
    def is_for_auction(self) -> bool:
        return self.lifetime in (Lifetime.OPG, Lifetime.CLS)

    @property
    def waits_for_something(self) -> bool:
        stops = self.kind in (Kind.STOP, Kind.STOP_LIMIT, Kind.TRAILING_STOP)
        return stops or self.is_for_auction

    @property
    def has_limit(self) -> bool:
        return self.kind in (Kind.LIMIT, Kind.STOP_LIMIT)

    def is_better(self, price: int, than: int) -> bool:
        """Whether the order would rather trade at `price`."""
        return price < than if self.buys else price > than

    def accepts(self, price: int) -> bool:
        return self.limit is None or price == self.limit or self.is_better(price, self.limit)

    def is_triggered_by(self, price: int) -> bool:
        return self.stop is not None and not self.is_better(price, self.stop)

    def worse_by(self, price: int, ticks: int) -> int:
        return price + ticks if self.buys else price - ticks

    def show_to_trail(self, price: int) -> None:
        if self.mark is None or self.is_better(price, self.mark):
            self.mark = price
            self.stop = self.worse_by(price, self.trail_distance())

    def trail_distance(self) -> int:
        assert self.mark is not None
        return self.trail_ticks or max(1, abs(self.mark) * self.trail_bps // 10_000)


@dataclass
class Amount:
    """What a moment offers; `None` is unlimited."""

    lots: int | None


@dataclass
class Reference:
    slippage_ticks: int = 0
    participation_bps: int = 10_000
    through_only: bool = False
    orders: list[Order] = field(default_factory=list)  # those who came first stand first
    events: list[tuple[object, ...]] = field(default_factory=list)
    quoted: bool = False
    bid: int | None = None
    ask: int | None = None
    bid_amount: Amount = field(default_factory=lambda: Amount(0))
    ask_amount: Amount = field(default_factory=lambda: Amount(0))
    #: What was shown last: a price and what is left of its amount, or the quote.
    last: tuple[int, Amount] | None = None
    shown: bool = False

    def take_events(self) -> list[tuple[object, ...]]:
        events, self.events = self.events, []
        return events

    # What an order can go through.

    def trigger(self, order: Order, ts: int) -> None:
        self.events.append(
            ("TRIGGERED", order.number, order.lots, order.stop, self.time(order, ts))
        )
        order.dormant = False
        order.has_met_market = False
        self.orders.remove(order)
        self.orders.append(order)

    def cancel_order(self, order: Order, reason: Reason, ts: int) -> None:
        self.events.append(("CANCELED", order.number, order.lots, reason, self.time(order, ts)))
        self.orders.remove(order)

    def expire_order(self, order: Order, ts: int) -> None:
        self.events.append(("EXPIRED", order.number, order.lots, self.time(order, ts)))
        self.orders.remove(order)

    def fill(
        self, order: Order, price: int, amount: Amount, ts: int, *, resting_price: int | None
    ) -> None:
        """Fill an order that the price reaches. `resting_price` is a maker's, if not its limit."""
        maker = order.has_limit and order.has_met_market
        if order.has_limit and not maker and order.post_only:
            self.cancel_order(order, Reason.POST_ONLY_WOULD_TAKE, ts)
            return
        if maker:
            assert order.limit is not None
            price = order.limit if resting_price is None else resting_price
        elif not order.has_limit:
            price = order.worse_by(price, self.slippage_ticks)
        lots = order.lots if amount.lots is None else min(order.lots, amount.lots)
        if lots == 0 or (order.lifetime == Lifetime.FOK and lots < order.lots):
            return
        if amount.lots is not None:
            amount.lots -= lots
        self.events.append(("FILL", order.number, lots, price, maker, self.time(order, ts)))
        order.lots -= lots
        if order.lots == 0:
            self.orders.remove(order)

    def end_moment(self, order: Order, ts: int) -> None:
        if order not in self.orders or order.dormant:
            return
        order.has_met_market = True
        if order.lifetime == Lifetime.IOC:
            self.cancel_order(order, Reason.IMMEDIATE_OR_CANCEL, ts)
        elif order.lifetime == Lifetime.FOK:
            self.cancel_order(order, Reason.FILL_OR_KILL, ts)
        elif order.is_for_auction:
            self.expire_order(order, ts)

    @staticmethod
    def time(order: Order, ts: int) -> int:
        return max(ts, order.accepted_ns)

    # What callers do.

    def submit(self, order: Order) -> None:
        order.dormant = order.waits_for_something
        self.orders.append(order)
        self.arrive(order, order.accepted_ns)

    def arrive(self, order: Order, ts: int) -> None:
        if not self.quoted:
            return
        price = self.ask if order.buys else self.bid
        amount = self.ask_amount if order.buys else self.bid_amount
        if price is not None:
            if order.dormant:
                if order.kind == Kind.TRAILING_STOP:
                    order.show_to_trail(price)
                if order.is_triggered_by(price):
                    self.trigger(order, ts)
            if not order.dormant and order.accepts(price):
                self.fill(order, price, amount, ts, resting_price=None)
        self.end_moment(order, ts)

    def cancel(self, number: int, ts: int) -> None:
        for order in self.orders:
            if order.number == number:
                self.cancel_order(order, Reason.REQUESTED, ts)
                return

    def modify(self, number: int, lots: int, shift: int, expires_ns: int | None, ts: int) -> str:
        """Move all prices of the order by `shift`, and the trail with them."""
        found = [order for order in self.orders if order.number == number]
        if not found:
            return "NOT_FOUND"
        order = found[0]
        opposite = self.ask if order.buys else self.bid
        if order.post_only and not order.dormant and shift and opposite is not None:
            assert order.limit is not None
            limit = order.limit + shift
            if opposite == limit or order.is_better(opposite, limit):
                return "POST_ONLY_WOULD_TAKE"
        waits_for_price = order.dormant and not order.is_for_auction
        repriced = bool(shift) and (order.has_limit or waits_for_price)
        grows = lots > order.lots
        order.lots = lots
        order.expires_ns = expires_ns
        if order.limit is not None:
            order.limit += shift
        if order.kind == Kind.TRAILING_STOP:
            if order.trail_ticks:
                order.trail_ticks = max(1, order.trail_ticks + abs(shift))
            else:
                order.trail_bps += abs(shift)
            if order.dormant and shift and order.mark is not None:
                order.stop = order.worse_by(order.mark, order.trail_distance())
        elif order.stop is not None:
            order.stop += shift
        if repriced or grows:
            order.accepted_ns = max(order.accepted_ns, ts)
            if order.has_limit and shift:
                order.has_met_market = False
            self.orders.remove(order)
            self.orders.append(order)
            self.arrive(order, ts)
        return "DONE"

    def expire(self, now: int) -> None:
        for order in list(self.orders):
            if order.expires_ns is not None and order.expires_ns <= now:
                self.expire_order(order, now)

    # Auctions.

    def pass_time(self, now: int) -> None:
        """Nothing has come since the close, so its auction is held now."""
        self.close_auction(
            [o for o in self.orders if o.expires_ns is not None and o.expires_ns <= now], now
        )
        self.expire(now)

    def close_before(self, ts: int) -> None:
        """An event comes that is no longer of the session."""
        self.close_auction([o for o in self.orders if o.auction_ns is not None
                            and o.auction_ns <= ts], ts)  # fmt: skip

    def close_after(self, ts: int) -> None:
        """An event has been the last of the session: only a bar can tell that."""

    def close_auction(self, due: list[Order], ts: int) -> None:
        due = [order for order in due if order.dormant and order.lifetime == Lifetime.CLS]
        for order in due:
            order.dormant = False
            self.orders.remove(order)
            self.orders.append(order)
        if due and self.last is not None:
            self.deal_at(due, *self.last, ts)
        elif due and self.shown:
            self.take_from_quote(due, self.bid, self.ask, ts)
        for order in list(due):
            self.end_moment(order, ts)

    def deal_at(self, orders: list[Order], price: int, amount: Amount, ts: int) -> None:
        reached = [order for order in orders if self.is_touched(order, price)]
        reached.sort(
            key=lambda o: INFINITY if o.limit is None else abs(o.limit - price), reverse=True
        )
        for order in reached:
            self.fill(order, price, amount, ts, resting_price=None)

    def openers(self, until: int) -> list[Order]:
        """Return whose opening auction may be held up to this time."""
        return [o for o in self.orders if o.auction_ns is not None and o.auction_ns <= until]

    def open_auction(self, until: int, buy: int | None, sell: int | None, eligible: int) -> None:
        for order in self.openers(until):
            price = buy if order.buys else sell
            waits = order.dormant and order.lifetime == Lifetime.OPG
            if waits and price is not None and order.accepted_ns <= eligible:
                order.dormant = False

    # What the market does.

    def on_quote(
        self, bid: int | None, ask: int | None, bid_lots: int | None, ask_lots: int | None, ts: int
    ) -> None:
        self.close_before(ts)
        self.quoted = self.shown = True
        self.last = None
        self.bid, self.ask = bid, ask
        self.bid_amount, self.ask_amount = Amount(bid_lots), Amount(ask_lots)
        self.expire(ts)
        self.open_auction(ts, ask, bid, INFINITY)
        for order in list(self.orders):
            price = ask if order.buys else bid
            if order.dormant and price is not None:
                if order.kind == Kind.TRAILING_STOP:
                    order.show_to_trail(price)
                if order.is_triggered_by(price):
                    self.trigger(order, ts)
        self.take_from_quote(self.orders, bid, ask, ts)
        for order in list(self.orders):
            self.end_moment(order, ts)
        self.close_after(ts)

    def take_from_quote(
        self, orders: list[Order], bid: int | None, ask: int | None, ts: int
    ) -> None:
        def eagerness(order: Order) -> int:
            price = ask if order.buys else bid
            assert price is not None
            return INFINITY if order.limit is None else abs(order.limit - price)

        reached = []
        for order in orders:
            price = ask if order.buys else bid
            if not order.dormant and price is not None and order.accepts(price):
                reached.append(order)
        for order in sorted(
            reached, key=eagerness, reverse=True
        ):  # stable: first come, first served
            price = ask if order.buys else bid
            assert price is not None
            amount = self.ask_amount if order.buys else self.bid_amount
            self.fill(order, price, amount, ts, resting_price=None)

    def is_touched(self, order: Order, price: int) -> bool:
        if order.limit == price and self.through_only:
            return False
        return order.accepts(price)

    def on_trade(self, price: int, lots: int | None, ts: int) -> None:
        self.close_before(ts)
        amount = Amount(lots)
        self.last, self.shown = (price, amount), True
        self.expire(ts)
        self.open_auction(ts, price, price, INFINITY)
        triggered = []
        for order in list(self.orders):
            if order.dormant:
                if order.kind == Kind.TRAILING_STOP and not self.quoted:
                    order.show_to_trail(price)
                if order.is_triggered_by(price):
                    self.trigger(order, ts)
                    triggered.append(order)
        others = [order for order in self.orders if order not in triggered]
        if self.quoted:
            bid = None if self.bid is None else min(self.bid, price)
            ask = None if self.ask is None else max(self.ask, price)
            self.take_from_quote(triggered, bid, ask, ts)
            others = [order for order in others if order.has_limit or order.is_for_auction]
        else:
            others = list(self.orders)
        reached = [o for o in others if not o.dormant and self.is_touched(o, price)]
        reached.sort(
            key=lambda o: INFINITY if o.limit is None else abs(o.limit - price), reverse=True
        )
        for order in reached:
            self.fill(order, price, amount, ts, resting_price=None)
        for order in list(self.orders):
            self.end_moment(order, ts)

    def on_bar(
        self,
        opening: int,
        high: int,
        low: int,
        close: int,
        volume: int | None,
        start: int,
        end: int,
    ) -> None:
        self.close_before(start)
        amount = Amount(None if volume is None else volume * self.participation_bps // 10_000)
        self.last, self.shown = (close, amount), True
        self.expire(start)
        self.open_auction(end - 1, opening, opening, start)
        present = [order for order in self.orders if order.accepted_ns <= start]
        for order in list(present):
            if order.dormant:
                if order.kind == Kind.TRAILING_STOP:
                    order.show_to_trail(opening)
                if order.is_triggered_by(opening):
                    self.trigger(order, start)
        reached = [
            o for o in self.orders if o in present and not o.dormant and self.is_touched(o, opening)
        ]
        reached.sort(
            key=lambda o: INFINITY if o.limit is None else abs(o.limit - opening), reverse=True
        )
        for order in reached:
            self.fill(order, opening, amount, start, resting_price=opening)
        for order in list(self.orders):
            if order in present:
                self.end_moment(order, start)
        first, second = (high, low) if high - opening < opening - low else (low, high)
        path = [opening, first, second, close]
        for begin, finish in pairwise(path):
            self.move(begin, finish, amount, present, end)
        self.close_before(end)

    def move(self, begin: int, finish: int, amount: Amount, present: list[Order], ts: int) -> None:
        """Walk tick by tick; at each tick, who it reaches acts in order of arrival."""
        step = 1 if finish > begin else -1
        done: list[Order] = []
        for price in range(begin, finish + step, step):
            if begin == finish:
                return
            # Who acts at this tick is decided before anybody acts.
            acting = [
                order
                for order in self.orders
                if order in present
                and order not in done
                and self.acts_at(order, price, begin, finish)
            ]
            for order in acting:
                if order not in self.orders:
                    continue  # who acted before it at this tick has ended it
                done.append(order)
                if order.dormant:
                    self.trigger(order, ts)
                    if not order.accepts(price):
                        self.end_moment(order, ts)
                        continue
                self.fill(order, price, amount, ts, resting_price=price)
                self.end_moment(order, ts)
        for order in self.orders:
            if order in present and order.dormant and order.kind == Kind.TRAILING_STOP:
                order.show_to_trail(finish)

    def acts_at(self, order: Order, price: int, begin: int, finish: int) -> bool:
        rising = finish > begin
        if order.dormant:
            return rising == order.buys and order.is_triggered_by(price)
        if not order.has_limit or rising == order.buys:
            return False
        # A limit that the path goes through acts at its own price, not a tick later.
        return order.accepts(price) and self.is_touched(order, finish)
