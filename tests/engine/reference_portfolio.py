"""The portfolio simulator written down a second time: slow, obvious, plain Python and Decimal.

The matching of one symbol is that of `reference.Reference`; here is what an account adds to it:
what a fill costs and whether the account can carry it, brackets and siblings, corporate actions,
borrowing, liquidation. Nothing is shared with the engine but the names of kinds and the terms. Rows
are those of a `Tape`; what happens is told in `Portfolio.journal`.
"""

import struct
from decimal import Decimal

from alphintra.engine import NO_PRICE, Kind, Lifetime, Side
from alphintra.engine.portfolio import AccountTerms, Cause, RowKind, SymbolTerms
from alphintra.engine.series import ActionKind
from tests.engine.reference_book import Book, Ticket, exact

DAY_NS = 86_400 * 10**9
#: Rounding of doubles must not cost a lot: a need that is larger by this share still fits.
SLACK = Decimal("1e-9")
Row = tuple[int, ...]


class Portfolio:
    """Many symbols in one account of one currency."""

    def __init__(self, terms: list[SymbolTerms], account: AccountTerms, rows: list[Row]) -> None:
        """Stand before the first row; a symbol counts with what it will show first."""
        self.terms = terms
        self.account = account
        self.rows = rows
        self.cash = exact(account.cash[account.base])
        self.positions = [0] * len(terms)
        self.marks: list[Decimal | None] = [None] * len(terms)
        for row in reversed(rows):
            if row[3] != RowKind.ACTION and row[4] != NO_PRICE:
                self.marks[row[2]] = row[4] * exact(terms[row[2]].tick_size)
        self.traded = [Decimal(0)] * len(terms)
        self.delisted = [False] * len(terms)
        self.journal: list[tuple[object, ...]] = []
        self.tickets: list[Ticket] = []
        self.requests: list[tuple[int, str, Ticket]] = []
        self.books = [Book(self, number) for number in range(len(terms))]
        self.now_ns = rows[0][1]
        self.borrow_day = 0

    # What the owner asks for.

    def submit(self, ticket: Ticket, sibling: Ticket | None = None) -> None:
        self.tickets.append(ticket)
        if ticket.parent is not None:
            ticket.parent.children.append(ticket)
        ticket.ring = [ticket]
        if sibling is not None:
            # It stands behind the one it is linked to.
            place = sibling.ring.index(sibling) + 1
            sibling.ring.insert(place, ticket)
            ticket.ring = sibling.ring
        if ticket.is_for_auction:
            self.find_auction(ticket, self.now_ns + self.account.latency_ns)
        self.requests.append((self.now_ns + self.account.latency_ns, "SUBMIT", ticket))

    def find_auction(self, ticket: Ticket, arrives_ns: int) -> None:
        """Find the session that an order is for, and the row that holds its auction."""
        sessions = self.terms[ticket.symbol].sessions
        assert sessions is not None
        opening = ticket.lifetime == Lifetime.OPG
        for opens_ns, closes_ns in zip(sessions.opens_ns, sessions.closes_ns, strict=True):
            if (opens_ns >= arrives_ns) if opening else (closes_ns > arrives_ns):
                break
        else:
            return
        ticket.expires_ns = int(closes_ns)
        inside = []
        for row in self.rows:
            close_ns, open_ns, number, kind = row[:4]
            if number != ticket.symbol or kind == RowKind.ACTION:
                continue
            overlaps = open_ns < closes_ns and close_ns > opens_ns
            if overlaps if kind == RowKind.BAR else opens_ns <= close_ns < closes_ns:
                inside.append(row)
        if inside and opening and inside[0][1] >= arrives_ns:
            ticket.auction_row = inside[0]
        if inside and not opening and self.rows[-1][0] >= closes_ns:
            ticket.auction_row = inside[-1]

    def cancel(self, ticket: Ticket) -> None:
        self.requests.append((self.now_ns + self.account.latency_ns, "CANCEL", ticket))

    def answer(self, until_ns: int) -> None:
        while self.requests and self.requests[0][0] <= until_ns:
            ts, wish, ticket = self.requests.pop(0)
            if wish == "SUBMIT" and ticket.status == "SENT":
                self.accept(ticket, ts)
            elif wish == "CANCEL" and ticket.status == "OPEN":
                self.books[ticket.symbol].cancel(ticket.number, ts)
            elif wish == "CANCEL" and ticket.status == "WAITING":
                self.drop(ticket, Cause.REQUESTED)

    def accept(self, ticket: Ticket, ts: int) -> None:
        parent = ticket.parent
        if self.delisted[ticket.symbol]:
            return self.refuse(ticket, Cause.DELISTED)
        if parent is not None:
            if parent.filled == 0 and parent.status in ("SENT", "WAITING", "OPEN"):
                ticket.status = "WAITING"
                return None
            if parent.filled == 0:
                return self.refuse(ticket, Cause.PARENT_ENDED)
            if ticket.follows:
                ticket.lots = parent.filled
        if ticket.expires_ns is not None and ticket.expires_ns <= ts:
            self.journal.append(("EXPIRED", ticket.number))
            return self.end(ticket, "EXPIRED")
        if self.is_beyond_means(ticket):
            return self.refuse(ticket, Cause.BUYING_POWER)
        ticket.status, ticket.accepted_ns = "OPEN", ts
        return self.books[ticket.symbol].submit(ticket)

    def is_beyond_means(self, ticket: Ticket) -> bool:
        """An order that could not be carried at its limit or the last price is refused at once."""
        stops = ticket.kind in (Kind.STOP, Kind.STOP_LIMIT, Kind.TRAILING_STOP)
        if ticket.is_unsized or ticket.reduce_only or stops:
            return False
        price = self.marks[ticket.symbol]
        if ticket.limit is not None:
            price = ticket.limit * exact(self.terms[ticket.symbol].tick_size)
        closing = self.closing(ticket)
        opening = ticket.lots - closing
        if price is None or opening == 0:
            return False
        carried = self.carried(ticket, closing, opening, price, False, first=True)
        return closing + carried == 0 if self.account.shrink else carried < opening

    def refuse(self, ticket: Ticket, cause: Cause) -> None:
        self.journal.append(("REJECTED", ticket.number, int(cause)))
        self.end(ticket, "REJECTED")

    def drop(self, ticket: Ticket, cause: Cause) -> None:
        """Cancel an order that is not in a book."""
        self.journal.append(("CANCELED", ticket.number, int(cause)))
        self.end(ticket, "CANCELED")

    def end(self, ticket: Ticket, status: str) -> None:
        ticket.status = status
        if ticket.filled == 0:
            for child in ticket.children:
                if child.status == "WAITING":
                    self.journal.append(("CANCELED", child.number, int(Cause.PARENT_ENDED)))
                    child.status = "CANCELED"

    def take_from_siblings(self, ticket: Ticket, lots: int, ts: int) -> None:
        place = ticket.ring.index(ticket)
        for other in ticket.ring[place + 1 :] + ticket.ring[:place]:
            if other.status == "OPEN":
                if other.is_unsized or other.lots <= lots:
                    self.books[other.symbol].cancel_order(other, Cause.SIBLING_FILLED, ts)
                else:
                    other.lots -= lots
                    self.journal.append(("REDUCED", other.number, lots))
            elif other.status in ("SENT", "WAITING"):
                self.drop(other, Cause.SIBLING_FILLED)

    # What a fill costs, and whether it may be.

    def unit(self, number: int) -> Decimal:
        return exact(self.terms[number].lot_size) * exact(self.terms[number].multiplier)

    def worsened(
        self, number: int, sign: int, price: Decimal, lots: int, volume: int | None
    ) -> Decimal:
        costs = self.terms[number].costs
        share = (exact(costs.half_spread_bps) + exact(costs.slippage_bps)) / 10_000
        if costs.impact and volume:
            share += exact(costs.impact) * (Decimal(lots) / volume).sqrt()
        return price * (1 + sign * share)

    def rate(self, number: int, maker: bool) -> Decimal:
        costs = self.terms[number].costs
        rate = costs.rate if not maker or costs.maker_rate is None else costs.maker_rate
        for start, tier in costs.tiers:
            if self.traded[number] >= exact(start):
                rate = tier
        return exact(rate)

    def fee(self, number: int, lots: int, price: Decimal, maker: bool, *, first: bool) -> Decimal:
        terms, costs = self.terms[number], self.terms[number].costs
        fee = lots * self.unit(number) * price * self.rate(number, maker)
        fee += lots * exact(terms.lot_size) * exact(costs.per_unit)
        fee += exact(costs.per_order) if first else 0
        if fee < 0:
            return fee  # a rebate
        fee = max(fee, exact(costs.minimum))
        return fee if costs.maximum == float("inf") else min(fee, exact(costs.maximum))

    def initial(self, number: int) -> Decimal:
        return exact(self.terms[number].margin_initial) / exact(self.account.leverage)

    def maintenance(self, number: int) -> Decimal:
        given = self.terms[number].margin_maintenance
        return exact(given) if given is not None else min(self.initial(number) / 2, Decimal("0.25"))

    def value(self, number: int, price: Decimal | None = None) -> Decimal:
        mark = self.marks[number] if price is None else price
        if self.positions[number] == 0:
            return Decimal(0)
        assert mark is not None
        return self.positions[number] * self.unit(number) * mark

    def equity(self) -> Decimal:
        return self.cash + sum(self.value(number) for number in range(len(self.terms)))

    def equity_at(self, number: int, price: Decimal) -> Decimal:
        return self.equity() - self.value(number) + self.value(number, price)

    def closing(self, ticket: Ticket) -> int:
        return min(ticket.lots, max(0, -ticket.sign * self.positions[ticket.symbol]))

    def carried(
        self,
        ticket: Ticket,
        closing: int,
        opening: int,
        price: Decimal,
        maker: bool,
        *,
        first: bool,
    ) -> int:
        """Return how many of `opening` lots the account can carry after closing."""
        number = ticket.symbol
        equity = self.equity_at(number, price)
        others = sum(
            abs(self.value(n)) * self.initial(n) for n in range(len(self.terms)) if n != number
        )
        per_lot = price * self.unit(number) * self.initial(number)
        held = abs(self.positions[number] + ticket.sign * closing)
        free = equity - others - held * per_lot + SLACK * max(Decimal(1), abs(equity))
        if closing:
            free -= self.fee(number, closing, price, maker, first=first)
            first = False
        for lots in range(opening, 0, -1):
            if lots * per_lot + self.fee(number, lots, price, maker, first=first) <= free:
                return lots
        return 0

    def permit(self, ticket: Ticket, price: Decimal, maker: bool) -> tuple[int, Cause]:
        closing = self.closing(ticket)
        opening = ticket.lots - closing
        if opening == 0:
            return closing, Cause.NONE
        whole = ticket.lifetime == Lifetime.FOK
        if ticket.reduce_only:
            return 0 if whole else closing, Cause.NOTHING_TO_REDUCE
        shortable = self.account.allow_short and self.terms[ticket.symbol].shortable
        if not ticket.buys and not shortable:
            return 0 if whole else closing, Cause.SHORT_NOT_ALLOWED
        first = ticket.filled == 0
        carried = self.carried(ticket, closing, opening, price, maker, first=first)
        if carried < opening and whole:
            return 0, Cause.BUYING_POWER
        if carried < opening and not self.account.shrink:
            carried = 0
        return closing + carried, Cause.BUYING_POWER

    def size(self, ticket: Ticket, book: Book, ts: int) -> bool:
        """Give a weight order its side and quantity; False when there is nothing to do."""
        number = ticket.symbol
        some = book.moment.buy if book.moment.buy is not None else book.moment.sell
        assert some is not None
        at = some * exact(self.terms[number].tick_size)
        first = ticket.filled == 0
        wants = self.target(number, ticket.weight, at, first)
        ticket.side = Side.BUY if wants >= self.positions[number] else Side.SELL
        ticks = book.moment.level(ticket)
        if ticks is None:
            return False
        ticks = ticket.worse_by(ticks, book.slippage_ticks)
        at = ticks * exact(self.terms[number].tick_size)
        price = self.worsened(number, ticket.sign, at, 0, None)
        lots = ticket.sign * (
            self.target(number, ticket.weight, price, first) - self.positions[number]
        )
        if lots <= 0:
            book.cancel_order(ticket, Cause.NOTHING_TO_DO, ts)
            return False
        ticket.lots = lots
        return True

    def target(self, number: int, weight: float | None, price: Decimal, first: bool) -> int:
        assert weight is not None
        if weight == 0:
            return 0
        sign = 1 if weight > 0 else -1
        equity = self.equity_at(number, price)
        if self.positions[number] * sign < 0:
            equity -= self.fee(number, abs(self.positions[number]), price, False, first=first)
        if equity <= 0:
            return 0
        per_lot = price * self.unit(number) * (1 + self.rate(number, False))
        return sign * int(abs(exact(weight)) * equity / per_lot)

    def deal(self, ticket: Ticket, lots: int, price: Decimal, maker: bool, ts: int) -> None:
        """Book a fill; one that turns the position is two."""
        closing = min(lots, max(0, -ticket.sign * self.positions[ticket.symbol]))
        if closing:
            self.settle(ticket, ticket.symbol, ticket.sign, closing, price, maker, ts)
            if self.positions[ticket.symbol] == 0:
                book = self.books[ticket.symbol]
                for other in list(book.orders):
                    assert isinstance(other, Ticket)
                    if other.reduce_only and other is not ticket and other in book.orders:
                        book.cancel_order(other, Cause.NOTHING_TO_REDUCE, ts)
        if lots > closing:
            self.settle(ticket, ticket.symbol, ticket.sign, lots - closing, price, maker, ts)

    def settle(
        self, ticket: Ticket | None, number: int, sign: int, lots: int, price: Decimal,
        maker: bool, ts: int, *, free: bool = False,
    ) -> None:  # fmt: skip
        fee = self.fee(number, lots, price, maker, first=ticket is None or ticket.filled == 0)
        fee = Decimal(0) if free else fee
        value = lots * self.unit(number) * price
        shorts = sum(position < 0 for position in self.positions)
        self.positions[number] += sign * lots
        if shorts == 0 and self.positions[number] < 0:
            self.borrow_day = ts // DAY_NS
        self.traded[number] += value
        self.cash -= sign * value + fee
        who = -1 if ticket is None else ticket.number
        side = Side.BUY if sign > 0 else Side.SELL
        self.journal.append(("FILL", who, number, int(side), lots, price, fee, maker, ts))
        if ticket is not None:
            ticket.filled += lots

    # What happens.

    def process(self, rows: list[Row]) -> None:
        """Let a group happen: rows of one end."""
        close_ns, is_action = rows[0][0], rows[0][3] == RowKind.ACTION
        self.answer(max(row[1] for row in rows))
        if is_action:
            for row in rows:
                self.act(row)
        else:
            self.charge_interest(close_ns)
            for row in rows:
                if row[3] == RowKind.BAR:
                    self.marks[row[2]] = row[4] * exact(self.terms[row[2]].tick_size)
            for row in rows:
                if not self.delisted[row[2]]:
                    self.happen(row)
            for row in rows:
                self.leave_behind(row)
            self.liquidate(close_ns)
        self.answer(close_ns)
        self.now_ns = close_ns

    def happen(self, row: Row) -> None:
        close_ns, open_ns, number, kind, a, b, c, d, e = row
        book = self.books[number]
        book.row = row
        if kind == RowKind.BAR:
            book.on_bar(a, b, c, d, None if e < 0 else e, open_ns, close_ns)
        elif kind == RowKind.QUOTE:
            bid, ask = (None if price == NO_PRICE else price for price in (a, b))
            bid_lots, ask_lots = (None if size < 0 else size for size in (c, d))
            book.on_quote(bid, ask, bid_lots, ask_lots, close_ns)
        else:
            book.on_trade(a, None if b < 0 else b, close_ns)

    def leave_behind(self, row: Row) -> None:
        _, _, number, kind, a, b, _, d, _ = row
        tick = exact(self.terms[number].tick_size)
        if kind == RowKind.QUOTE:
            known = [price for price in (a, b) if price != NO_PRICE]
            if known:
                self.marks[number] = sum(known) * tick / len(known)
        else:
            self.marks[number] = (d if kind == RowKind.BAR else a) * tick

    def charge_interest(self, ts: int) -> None:
        days = ts // DAY_NS - self.borrow_day
        if days <= 0 or not any(position < 0 for position in self.positions):
            return
        self.borrow_day = ts // DAY_NS
        for number, position in enumerate(self.positions):
            rate = exact(self.terms[number].costs.borrow_rate)
            if position < 0 and rate:
                self.pay("BORROW", number, self.value(number) * rate * days / 365)

    def pay(self, what: str, number: int, amount: Decimal) -> None:
        self.cash += amount
        self.journal.append((what, number, amount))

    def liquidate(self, ts: int) -> None:
        needed = sum(
            abs(self.value(number)) * self.maintenance(number) for number in range(len(self.terms))
        )
        if not self.account.liquidation or not any(self.positions) or self.equity() >= needed:
            return
        self.journal.append(("LIQUIDATION",))
        self.cancel_everything(Cause.LIQUIDATION, ts)
        for number in range(len(self.terms)):
            self.close(number, Cause.LIQUIDATION, ts)

    def cancel_everything(self, cause: Cause, ts: int) -> None:
        for number in range(len(self.terms)):
            self.cancel_symbol(number, cause, ts)

    def cancel_symbol(self, number: int, cause: Cause, ts: int) -> None:
        while self.books[number].orders:
            self.books[number].cancel_order(self.books[number].orders[0], cause, ts)
        for ticket in reversed(self.tickets):
            if ticket.symbol == number and ticket.status in ("SENT", "WAITING"):
                self.drop(ticket, cause)

    def close(self, number: int, cause: Cause, ts: int) -> None:
        position, price = self.positions[number], self.marks[number]
        if position == 0:
            return
        assert price is not None
        sign = -1 if position > 0 else 1
        if cause != Cause.DELISTED:
            ticks = self.terms[number].costs.slippage_ticks
            price += sign * ticks * exact(self.terms[number].tick_size)
            price = self.worsened(number, sign, price, abs(position), None)
        free = cause == Cause.DELISTED
        self.settle(None, number, sign, abs(position), price, False, ts, free=free)

    def finish(self) -> None:
        self.cancel_everything(Cause.END, self.now_ns)
        for number in range(len(self.terms)):
            self.close(number, Cause.END, self.now_ns)

    def act(self, row: Row) -> None:
        ts, _, number, _, kind, numerator, denominator, amount, _ = row
        paid = exact(struct.unpack("d", struct.pack("q", amount))[0])
        units = self.positions[number] * self.unit(number)
        if kind == ActionKind.DIVIDEND and units:
            self.pay("DIVIDEND", number, units * paid)
        elif kind == ActionKind.FUNDING and units:
            self.pay("FUNDING", number, -self.value(number) * paid)
        elif kind == ActionKind.SPLIT:
            self.split(number, numerator, denominator, ts)
        elif kind == ActionKind.DELISTING and not self.delisted[number]:
            self.delisted[number] = True
            self.journal.append(("DELISTING", number))
            self.cancel_symbol(number, Cause.DELISTED, ts)
            self.close(number, Cause.DELISTED, ts)

    def split(self, number: int, numerator: int, denominator: int, ts: int) -> None:
        mark, held = self.marks[number], self.positions[number]
        if mark is not None:
            self.marks[number] = mark = mark * denominator / numerator
        if held:
            assert mark is not None
            sign = 1 if held > 0 else -1
            exactly = Decimal(abs(held) * numerator) / denominator
            self.positions[number] = sign * int(exactly)
            left = exactly - int(exactly)
            self.pay("SPLIT", number, sign * left * self.unit(number) * mark)
        book = self.books[number]
        book.bid = book.ask = None
        for ticket in list(book.orders):
            assert isinstance(ticket, Ticket)
            if ticket.is_unsized:
                continue
            lots = ticket.lots * numerator // denominator
            if lots == 0:
                book.cancel_order(ticket, Cause.SPLIT, ts)
            else:
                ticket.lots = lots
                ticket.filled = ticket.filled * numerator // denominator
                self.rescale(ticket, numerator, denominator)
        for ticket in self.tickets:
            if ticket.symbol == number and ticket.status in ("SENT", "WAITING"):
                ticket.lots = ticket.lots * numerator // denominator
                self.rescale(ticket, numerator, denominator)

    @staticmethod
    def rescale(ticket: Ticket, numerator: int, denominator: int) -> None:
        def share(ticks: int) -> int:
            return (2 * ticks * denominator + numerator) // (2 * numerator)  # to the nearest

        ticket.limit = None if ticket.limit is None else share(ticket.limit)
        ticket.stop = None if ticket.stop is None else share(ticket.stop)
        ticket.mark = None if ticket.mark is None else share(ticket.mark)
        if ticket.trail_ticks:
            ticket.trail_ticks = max(1, share(ticket.trail_ticks))
