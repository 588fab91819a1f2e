"""One symbol of `reference_portfolio`: the matching of `reference`, and the account has its say."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

from alphintra.engine import Kind, Lifetime, Reason
from tests.engine.reference import INFINITY, Amount, Order, Reference

if TYPE_CHECKING:
    from tests.engine.reference_portfolio import Portfolio


def exact(number: float) -> Decimal:
    """Return the decimal that a person means by a double."""
    return Decimal(repr(float(number)))


@dataclass(eq=False)
class Ticket(Order):
    """An order of the account."""

    symbol: int = 0
    weight: float | None = None
    reduce_only: bool = False
    parent: Ticket | None = None
    follows: bool = False
    children: list[Ticket] = field(default_factory=list)
    ring: list[Ticket] = field(default_factory=list)
    status: str = "SENT"
    filled: int = 0
    #: The row of its auction, once it is known.
    auction_row: tuple[int, ...] | None = None
    #: An opening order whose row has come.
    is_due: bool = False

    @property
    def is_unsized(self) -> bool:
        return self.weight is not None and self.lots == 0

    @property
    def sign(self) -> int:
        return 1 if self.buys else -1


@dataclass
class Moment:
    """What orders meet: the price of buys, of sells, and the amount that all of them share."""

    source: str
    buy: int | None
    sell: int | None
    flow: Amount = field(default_factory=lambda: Amount(0))
    volume: int | None = None

    def level(self, order: Order) -> int | None:
        return self.buy if order.buys else self.sell


class Book(Reference):
    """The orders of one symbol, whose fills the account decides and books."""

    def __init__(self, account: Portfolio, number: int) -> None:
        terms = account.terms[number]
        super().__init__(
            slippage_ticks=terms.costs.slippage_ticks,
            participation_bps=terms.participation_bps,
            through_only=terms.through_only,
        )
        self.account = account
        self.terms = terms
        self.moment = Moment("QUOTE", None, None)
        self.present: list[Order] = []
        self.row: tuple[int, ...] = ()
        self.born_ns = 0

    # How orders end.

    def trigger(self, order: Order, ts: int) -> None:
        super().trigger(order, ts)
        self.account.journal.append(("TRIGGERED", order.number))

    def cancel_order(self, order: Order, reason: int, ts: int) -> None:
        assert isinstance(order, Ticket)
        self.orders.remove(order)
        self.account.journal.append(("CANCELED", order.number, int(reason)))
        self.account.end(order, "CANCELED")

    def expire_order(self, order: Order, ts: int) -> None:
        assert isinstance(order, Ticket)
        self.orders.remove(order)
        self.account.journal.append(("EXPIRED", order.number))
        self.account.end(order, "EXPIRED")

    # Auctions: here the tape tells which row is the first or the last of a session.

    def close_before(self, ts: int) -> None:
        """What came before was not the last event of a session, or it has been dealt with."""

    def openers(self, until: int) -> list[Order]:
        found: list[Order] = []
        for order in self.orders:
            assert isinstance(order, Ticket)
            order.is_due = order.is_due or order.auction_row is self.row
            if order.is_due:
                found.append(order)
        return found

    def close_after(self, ts: int) -> None:
        due: list[Order] = [
            o for o in self.orders if isinstance(o, Ticket) and o.auction_row is self.row
        ]
        self.close_auction(due, ts)

    def deal_at(self, orders: list[Order], price: int, amount: Amount, ts: int) -> None:
        self.fill_reached(orders, price, ts, None)

    def close_auction(self, due: list[Order], ts: int) -> None:
        self.born_ns = ts
        if self.moment.source == "BAR":
            assert self.last is not None
            self.moment.buy = self.moment.sell = self.last[0]
        super().close_auction(due, ts)

    # What the market does.

    def take_from_quote(
        self, orders: list[Order], bid: int | None, ask: int | None, ts: int
    ) -> None:
        self.moment, self.born_ns = Moment("QUOTE", ask, bid), ts
        super().take_from_quote(orders, bid, ask, ts)

    def arrive(self, order: Order, ts: int) -> None:
        self.moment, self.born_ns = Moment("QUOTE", self.ask, self.bid), ts
        super().arrive(order, ts)

    def on_trade(self, price: int, lots: int | None, ts: int) -> None:
        self.last = (price, Amount(lots))
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
        others = [
            o
            for o in self.orders
            if o not in triggered and (o.has_limit or o.is_for_auction or not self.quoted)
        ]
        if self.quoted:
            bid = None if self.bid is None else min(self.bid, price)
            ask = None if self.ask is None else max(self.ask, price)
            self.take_from_quote(triggered, bid, ask, ts)
        else:
            others = list(self.orders)
        self.moment, self.born_ns = Moment("PRINT", price, price, Amount(lots), lots), ts
        self.fill_reached(others, price, ts, None)
        for order in list(self.orders):
            self.end_moment(order, ts)
        self.close_after(ts)

    def fill_reached(
        self, orders: list[Order], price: int, ts: int, resting_price: int | None
    ) -> None:
        reached = [
            o for o in orders if o in self.orders and not o.dormant and self.is_touched(o, price)
        ]
        reached.sort(
            key=lambda o: INFINITY if o.limit is None else abs(o.limit - price), reverse=True
        )
        for order in reached:
            self.fill(order, price, self.moment.flow, ts, resting_price=resting_price)

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
        self.last = (close, Amount(None))
        self.expire(start)
        self.open_auction(end, opening, opening, start)
        flow = Amount(None)
        if volume is not None and not self.terms.unlimited_volume:
            flow = Amount(volume * self.participation_bps // 10_000)
        self.moment, self.born_ns = Moment("BAR", opening, opening, flow, volume), start
        self.present = [order for order in self.orders if order.accepted_ns <= start]
        for order in list(self.present):
            if order.dormant:
                if order.kind == Kind.TRAILING_STOP:
                    order.show_to_trail(opening)
                if order.is_triggered_by(opening):
                    self.trigger(order, start)
        there = [order for order in self.orders if order in self.present]
        self.fill_reached(there, opening, start, opening)
        for order in list(self.orders):
            if order in self.present:
                self.end_moment(order, start)
        first, second = (high, low) if high - opening < opening - low else (low, high)
        for begin, finish in pairwise([opening, first, second, close]):
            self.move(begin, finish, flow, self.present, end)
        self.close_after(end)

    # A fill.

    def fill(
        self, order: Order, price: int, amount: Amount, ts: int, *, resting_price: int | None
    ) -> None:
        assert isinstance(order, Ticket)
        if order not in self.orders:
            return  # a sibling has taken it away in this moment
        if resting_price is not None:
            self.moment.buy = self.moment.sell = price
        if order.is_unsized:
            if not self.account.size(order, self, ts):
                return
            level = self.moment.level(order)
            assert level is not None
            price, amount = level, self.amount_for(order)
        maker = order.has_limit and order.has_met_market
        if order.has_limit and not maker and order.post_only:
            self.cancel_order(order, Reason.POST_ONLY_WOULD_TAKE, ts)
            return
        ticks = price
        if maker:
            assert order.limit is not None
            ticks = order.limit if resting_price is None else resting_price
        elif not order.has_limit:
            ticks = order.worse_by(price, self.slippage_ticks)
        permitted, cause = self.account.permit(order, self.price(order, ticks, order.lots), maker)
        if permitted == 0:
            self.cancel_order(order, cause, ts)
            return
        if permitted < order.lots:
            self.account.journal.append(("REDUCED", order.number, order.lots - permitted))
            order.lots = permitted
        lots = order.lots if amount.lots is None else min(order.lots, amount.lots)
        if lots == 0 or (order.lifetime == Lifetime.FOK and lots < order.lots):
            return
        if amount.lots is not None:
            amount.lots -= lots
        order.lots -= lots
        if order.lots == 0:
            self.orders.remove(order)
        dealt_ns = self.time(order, ts)
        self.account.deal(order, lots, self.price(order, ticks, lots), maker, dealt_ns)
        if order.lots == 0:
            self.account.end(order, "FILLED")
        self.account.take_from_siblings(order, lots, dealt_ns)
        self.feed_children(order, lots, ts)

    def price(self, order: Ticket, ticks: int, lots: int) -> Decimal:
        """Return what so many lots of an order deal at."""
        price = ticks * exact(self.terms.tick_size)
        if order.has_limit:
            return price
        return self.account.worsened(order.symbol, order.sign, price, lots, self.moment.volume)

    def feed_children(self, parent: Ticket, lots: int, ts: int) -> None:
        """Children that follow get what the parent has filled; those that waited come in."""
        raised = [child for child in parent.children if child.status == "WAITING"]
        for child in parent.children:
            if child.follows and child.status in ("WAITING", "OPEN"):
                child.lots += lots
        for child in raised:
            if child.status == "WAITING":  # not taken away by a sibling that came in before it
                child.status, child.accepted_ns = "OPEN", self.born_ns
                child.dormant = child.kind in (Kind.STOP, Kind.STOP_LIMIT, Kind.TRAILING_STOP)
                self.orders.append(child)
                self.present.append(child)
                self.meet(child, ts)

    def meet(self, order: Ticket, ts: int) -> None:
        """Let an order that comes in the middle of a moment meet it."""
        price = self.moment.level(order)
        if price is not None:
            if order.dormant:
                if order.kind == Kind.TRAILING_STOP:
                    order.show_to_trail(price)
                if order.is_triggered_by(price):
                    self.trigger(order, ts)
            on_quote = self.moment.source == "QUOTE"
            if not order.dormant and (
                order.accepts(price) if on_quote else self.is_touched(order, price)
            ):
                resting = price if self.moment.source == "BAR" else None
                self.fill(order, price, self.amount_for(order), ts, resting_price=resting)
        self.end_moment(order, ts)

    def amount_for(self, order: Order) -> Amount:
        if self.moment.source == "QUOTE":
            return self.ask_amount if order.buys else self.bid_amount
        return self.moment.flow
