"""A run of a portfolio over a tape, as plain Python sees it: stepped, or in one compiled go."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, isnan, nan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.compile import entry_of
from alphintra.engine.layout import (
    BPS,
    MAGNITUDE_LIMIT,
    NEVER_NS,
    NO_PRICE,
    Kind,
    Lifetime,
    Side,
)
from alphintra.engine.portfolio import entries, outcome, records, requests, run
from alphintra.engine.portfolio.auctions import AuctionRows
from alphintra.engine.portfolio.handle import Handle
from alphintra.engine.portfolio.records import JOURNAL, NO_ORDER, NO_ROW, Desk, Status, What
from alphintra.engine.portfolio.tape import Tape
from alphintra.engine.portfolio.terms import AccountTerms, NoAuction, SymbolTerms
from alphintra.engine.series import Floats, Times
from alphintra.engine.simulator import check_auction, check_terms

#: No targets, and no distances.
_NOTHING: Final = (np.zeros(0, np.int64), np.zeros(0), *(np.zeros(0, np.int64),) * 2)


class _Kernels:
    """The compiled functions that are called without a look at their arguments.

    Each is compiled, or loaded, when a run first needs it.
    """

    @cached_property
    def _address(self) -> int:
        tape = Tape(np.zeros((9, 1), np.int64), ("",))
        address: int = Handle(
            records.new_desk(tape, (SymbolTerms(symbol=""),), AccountTerms())
        ).address
        return address

    @cached_property
    def submit(self) -> Callable[..., int]:
        return entry_of(entries.submit, self._address, 0, 0, 0, 0, nan, *(0,) * 12)

    @cached_property
    def cancel(self) -> Callable[..., int]:
        return entry_of(entries.cancel, self._address, 0)

    @cached_property
    def modify(self) -> Callable[..., int]:
        return entry_of(entries.modify, self._address, *(0,) * 7)

    @cached_property
    def next_stop(self) -> Callable[..., int]:
        return entry_of(entries.next_stop, self._address, 0)

    @cached_property
    def advance(self) -> Callable[..., None]:
        return entry_of(entries.advance, self._address, 0)

    @cached_property
    def go(self) -> Callable[..., int]:
        return entry_of(run.go, self._address, 1, *_NOTHING)

    @cached_property
    def standing(self) -> Callable[..., tuple[float, float, float, float, float]]:
        return entry_of(entries.standing, self._address)


_KERNELS: Final = _Kernels()


#: What `Simulation.fills` returns.
FILL: Final = np.dtype(
    [
        ("ts_ns", "i8"),
        ("order_id", "i8"),
        ("symbol", "i8"),
        ("side", "i8"),
        ("quantity", "f8"),
        ("price", "f8"),
        ("fee", "f8"),
        ("is_maker", "i8"),
        ("slippage", "f8"),
        ("position", "i8"),
        ("cause", "i8"),
        ("row", "i8"),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a run has come to, one point for each time at which the market moved, shape (n,) each.

    Equity and cash are in the base currency; exposure is the gross value of all positions by
    equity (0 where equity is not positive).
    """

    ts_ns: Times
    equity: Floats
    cash: Floats
    exposure: Floats
    trades: NDArray[np.void]  #: `outcome.TRIP` for each round trip, in the order of their entries


class Simulation:
    """One account that trades what is on a tape.

    The cursor is the first row that has not happened. What is asked for (`submit`, `cancel`,
    `modify`) arrives after the account's latency, and takes effect when the cursor moves on.
    """

    def __init__(
        self, tape: Tape, terms: Sequence[SymbolTerms], account: AccountTerms | None = None
    ) -> None:
        """Begin before the first row.

        Raises:
            BadTerms: terms that do not fit the tape, or a currency without a rate.
        """
        self.tape = tape
        self.terms = tuple(terms)
        self.account = account or AccountTerms()
        self._hold(records.new_desk(tape, self.terms, self.account))
        self._currencies = records.currency_names(tape, self.terms, self.account)
        self._start = (self._desk.symbols.copy(), self._desk.currencies.copy())
        self._told = 0
        self._rows = len(tape)
        self._kernels = _KERNELS
        self._auctions: dict[int, AuctionRows] = {}
        #: The first row that has not happened.
        self.cursor = 0

    # What is asked for

    def submit(
        self,
        symbol_index: int,
        side: Side,
        kind: Kind,
        lots: int = 0,
        *,
        weight: float = nan,
        limit_price_ticks: int = NO_PRICE,
        stop_price_ticks: int = NO_PRICE,
        trail_ticks: int = 0,
        trail_bps: int = 0,
        lifetime: Lifetime = Lifetime.REST,
        post_only: bool = False,
        reduce_only: bool = False,
        expires_ns: int = NEVER_NS,
        parent: int = NO_ORDER,
        sibling: int = NO_ORDER,
        tag: int = 0,
    ) -> int:
        """Send an order and return its id: 0, 1, 2, …

        Args:
            symbol_index: the symbol's place in the terms.
            side: of a weight order it follows from the weight.
            lots: how many; 0 for a weight order, or for a child that follows its parent's fills.
            weight: of equity that the position shall be worth, sized when the order (a market
                order) meets its price; negative for short.
            reduce_only: it never opens or turns a position.
            expires_ns: `NEVER_NS`, or when it ends; see `session_end_ns` for a day order. An order
                for an auction ends with it.
            parent: it waits until that order fills. A child has no children.
            sibling: what one of the two fills is taken off the other. Up to eight may be linked,
                each to one that is there already.
            tag: any number that the caller wants to find in the results.

        Raises:
            ValueError: terms that the kind does not allow, or orders that do not exist.
            NoAuction: an OPG or CLS order for a symbol without sessions.
        """
        follows = parent != NO_ORDER and lots == 0 and isnan(weight)
        if not isnan(weight):
            if kind != Kind.MARKET or lots != 0 or not -inf < weight < inf:
                raise ValueError("a weight is a finite number, of a market order without lots")
        elif kind != Kind.MARKET or not 0 < lots < MAGNITUDE_LIMIT:
            check_terms(
                kind,
                lots=1 if follows else lots,
                limit_price_ticks=limit_price_ticks,
                stop_price_ticks=stop_price_ticks,
                trail_ticks=trail_ticks,
                trail_bps=trail_bps,
            )
        if post_only and (kind not in _LIMITED or lifetime != Lifetime.REST):
            raise ValueError("only an order with a limit that may rest can be post-only")
        if not 0 <= symbol_index < len(self.terms):
            raise ValueError(f"there is no symbol {symbol_index}")
        if parent != NO_ORDER or sibling != NO_ORDER:
            self._check_family(symbol_index, parent, sibling)
        auction_row = NO_ROW
        if lifetime >= Lifetime.OPG:
            if parent != NO_ORDER:
                raise ValueError("a child cannot be for an auction")
            check_auction(kind, lifetime, True)
            auction_row, expires_ns = self._auction_of(symbol_index, lifetime)
        while True:
            order = self._kernels.submit(
                self._address, symbol_index, int(side), int(kind), lots, weight,
                limit_price_ticks, stop_price_ticks, trail_ticks, trail_bps, int(lifetime),
                post_only, reduce_only, expires_ns, auction_row, parent, sibling, tag,
            )  # fmt: skip
            if order >= 0:
                return order
            self._grow(order)

    def cancel(self, order_id: int) -> None:
        """Ask for the cancellation of an order; nothing happens when it has ended by then.

        Raises:
            ValueError: there is no such order.
        """
        self._check_known(order_id)
        while (answer := self._kernels.cancel(self._address, order_id)) < 0:
            self._grow(answer)

    def modify(
        self,
        order_id: int,
        *,
        lots: int | None = None,
        limit_price_ticks: int | None = None,
        stop_price_ticks: int | None = None,
        trail_ticks: int | None = None,
        trail_bps: int | None = None,
        expires_ns: int | None = None,
    ) -> None:
        """Ask for other terms; `None` leaves one as it is, `lots` is what shall remain unfilled.

        What the change does to the order's place is what `steps.modify` says.

        Raises:
            ValueError: terms that the kind does not allow, or no such order.
        """
        self._check_known(order_id)
        ticket = self._desk.tickets[order_id]
        remaining = int(ticket["lots"] - ticket["filled_lots"])
        new = {
            "lots": max(1, remaining) if lots is None else lots,
            "limit_price_ticks": limit_price_ticks,
            "stop_price_ticks": stop_price_ticks,
            "trail_ticks": trail_ticks,
            "trail_bps": trail_bps,
        }
        terms = {name: int(ticket[name]) if value is None else value for name, value in new.items()}
        if ticket["kind"] == Kind.TRAILING_STOP:
            terms["stop_price_ticks"] = NO_PRICE
        check_terms(Kind(ticket["kind"]), **terms)
        ends_ns = int(ticket["expires_ns"]) if expires_ns is None else expires_ns
        request = (
            terms["lots"], terms["limit_price_ticks"], terms["stop_price_ticks"],
            terms["trail_ticks"], terms["trail_bps"], ends_ns,
        )  # fmt: skip
        while (answer := self._kernels.modify(self._address, order_id, *request)) < 0:
            self._grow(answer)

    def session_end_ns(self, symbol_index: int) -> int:
        """Return when the session under way, or the next one, ends: the life of a day order.

        Without a calendar a day order lives to the end of the UTC day.
        """
        now_ns = self.now_ns
        sessions = self.terms[symbol_index].sessions
        if sessions is None:
            return (now_ns // _DAY_NS + 1) * _DAY_NS
        ends = sessions.closes_ns
        place = int(np.searchsorted(ends, now_ns, side="right"))
        return int(ends[place]) if place < len(ends) else NEVER_NS

    def _auction_of(self, symbol_index: int, lifetime: Lifetime) -> tuple[int, int]:
        """Return the row of the auction that an order sent now takes part in, and its end."""
        sessions = self.terms[symbol_index].sessions
        if sessions is None:
            raise NoAuction(f"{self.terms[symbol_index].symbol} has no sessions, so no auctions")
        if symbol_index not in self._auctions:
            self._auctions[symbol_index] = AuctionRows(self.tape, symbol_index, sessions)
        rows = self._auctions[symbol_index]
        row, ends_ns = rows.of(lifetime, self.now_ns + self.account.latency_ns)
        # A session of which nothing more is told: the order outlives it in vain.
        return (row if row >= self.cursor else NO_ROW), ends_ns

    # Moving on

    @property
    def now_ns(self) -> int:
        """The time of the last row that has happened."""
        return int(self._desk.head["now_ns"][0])

    def next_stop(self, limit_row: int) -> int:
        """Return the first row at or behind the cursor at which anything may happen.

        At most `limit_row`; a row is the first of its group. Nothing changes.
        """
        return self._kernels.next_stop(self._address, min(limit_row, self._rows))

    def advance(self, row: int) -> None:
        """Move the cursor over rows at which nothing happens, as `next_stop` has told."""
        self.cursor = max(self.cursor, min(row, self._rows))
        self._kernels.advance(self._address, self.cursor)

    def process(self) -> int:
        """Let the group at the cursor happen, and move behind it; return the new cursor."""
        while (cursor := self._kernels.go(self._address, 1, *_NOTHING)) < 0:
            self._grow(cursor)
        self.cursor = cursor
        return cursor

    def run_targets(
        self,
        targets: Floats,
        *,
        stop_bps: Times | None = None,
        take_bps: Times | None = None,
    ) -> None:
        """Run to the end, compiled: wherever a row has a target, it is a weight order.

        Args:
            targets: shape (rows,): decided at a row's close, for its symbol; NaN leaves the
                position as it is.
            stop_bps, take_bps: shape (rows,), whole numbers: with a target goes a stop and a limit
                that close the position, at that many basis points against it and for it from the
                row's last price, rounded to it; 0: none.

        Raises:
            ValueError: another shape, infinite weights, or distances outside 0 to 9,999.
        """
        targets = np.ascontiguousarray(targets, np.float64)
        distances = [_distances(given) for given in (stop_bps, take_bps)]
        for array in (targets, *distances):
            if len(array) > 0 and array.shape != (self._rows,):
                raise ValueError(f"an array has the shape {array.shape}, not ({self._rows},)")
        if len(targets) != self._rows:
            raise ValueError("targets are missing")
        decisions, weights = np.empty(self._rows, np.int64), np.empty(self._rows)
        count = run.decide(targets, decisions, weights)
        if count < 0:
            raise ValueError("a target weight is finite, or NaN")
        # Without brackets that is all the room it takes; growing step by step costs as much again.
        for name in ("tickets", "journal"):
            if len(getattr(self._desk, name)) < count + _ROOM_LEFT:
                self._hold(records.with_room(self._desk, name, count + _ROOM_LEFT))
        given = (decisions[:count], weights[:count], *distances)
        while (answer := self._kernels.go(self._address, 0, *given)) < 0:
            self._grow(answer)
        self.cursor = self._rows

    def finish(self, *, close: bool = True, prices: Floats | None = None) -> None:
        """End the run at the last row that has happened: cancel all orders.

        Args:
            close: also close all positions, at the usual costs.
            prices: at which they are closed, shape (symbols,); by default the last ones.
        """
        while len(self._desk.journal) - self._desk.head["journal"][0] < self._live() + 64:
            self._grow(run.NO_ROOM_IN_JOURNAL)
        if prices is not None:
            self._desk.symbols["mark"] = prices
        entries.end_run(self._address, int(close))

    # What there is

    def news(self) -> NDArray[np.void]:
        """Return what has happened since the last call: rows of `records.JOURNAL`."""
        count = self._desk.head["journal"].item()
        news = self._desk.journal[self._told : count]
        self._told = count
        return news

    def journal(self) -> NDArray[np.void]:
        """Return all that has happened: rows of `records.JOURNAL`."""
        return self._desk.journal[: self._desk.head["journal"].item()]

    def orders(self) -> NDArray[np.void]:
        """Return all orders by id: rows of `records.TICKET`. They change as the run goes on."""
        return self._desk.tickets[: self._desk.head["orders"].item()]

    def status(self, order_id: int) -> Status:
        """Return where an order is in its life."""
        self._check_known(order_id)
        return Status(self._desk.tickets["status"].item(order_id))

    def lots(self, symbol_index: int) -> int:
        """Return the position."""
        return int(self._desk.symbols["position"].item(symbol_index))

    def mark(self, symbol_index: int) -> float:
        """Return the price that a position counts at; NaN before there is one."""
        return float(self._desk.symbols["mark"].item(symbol_index))

    def cash(self, currency: str | None = None) -> float:
        """Return the cash of a currency, or all of it in the base.

        Raises:
            ValueError: the account does not know the currency.
        """
        if currency is None:
            return self._kernels.standing(self._address)[4]
        if currency not in self._currencies:
            raise ValueError(f"there is no {currency} in this account")
        return float(self._desk.currencies["cash"].item(self._currencies.index(currency)))

    def equity(self) -> float:
        """Return cash and positions, in the base."""
        return self._kernels.standing(self._address)[0]

    def exposure(self) -> float:
        """Return the gross value of all positions, in the base."""
        return self._kernels.standing(self._address)[3]

    def buying_power(self) -> float:
        """Return for how much more could be opened, in the base, at a margin of 100 %."""
        equity, initial, *_ = self._kernels.standing(self._address)
        return max(0.0, float(equity - initial)) * self.account.leverage

    def fills(self) -> NDArray[np.void]:
        """Return all fills, oldest first: rows of `FILL`; quantities in units."""
        told = self.journal()
        told = told[told["what"] == What.FILL]
        fills = np.empty(len(told), FILL)
        lot_sizes = self._desk.symbols["lot_size"]
        fills["quantity"] = told["lots"] * lot_sizes[told["symbol"]]
        fills["order_id"] = told["order"]
        same = ("ts_ns", "symbol", "side", "price", "fee", "is_maker", "slippage", "position")
        for name in (*same, "cause", "row"):
            fills[name] = told[name]
        return fills

    def outcome(self) -> Outcome:
        """Return equity curve and round trips of what has happened."""
        desk = self._desk
        symbols, currencies = (array.copy() for array in self._start)
        cells = desk.cells[:, : self.cursor] if self.cursor < self._rows else desk.cells
        if self.cursor < self._rows:
            cells = np.ascontiguousarray(cells)
        plain = self.tape.is_plain  # a point for each row, at its time
        curve = np.empty((3 if plain else 4, cells.shape[1]))
        trips = np.empty(len(self.journal()) + 1, outcome.TRIP)  # a trip takes a fill
        going = outcome.going_of(len(symbols))
        replayed = Handle(desk._replace(cells=cells, symbols=symbols, currencies=currencies))
        points, count = entries.replay(replayed.address, going, trips, curve)
        curve = curve[:, :points]
        times = cells[0].view() if plain else curve[3].view(np.int64)
        times.flags.writeable = False  # it may be the tape's
        return Outcome(times, curve[0], curve[1], curve[2], trips[:count])

    def equity_curve(self) -> tuple[Times, Floats, Floats, Floats]:
        """Return time, equity, cash and exposure; see `Outcome`."""
        told = self.outcome()
        return told.ts_ns, told.equity, told.cash, told.exposure

    # Room and checks

    def _hold(self, desk: Desk) -> None:
        self._desk = desk
        self._handle = Handle(desk)
        self._address = self._handle.address

    def _live(self) -> int:
        return int(self._desk.symbols["live"].sum()) + 2 * len(self.terms)

    def _grow(self, answer: int) -> None:
        """Make room for what a compiled function could not place."""
        match answer:
            case requests.NO_ROOM_FOR_ORDER:
                self._hold(records.with_room(self._desk, "tickets"))
            case requests.NO_ROOM_IN_BOOK:
                self._hold(records.with_slots(self._desk, 2 * self._desk.slots.shape[1]))
            case requests.NO_ROOM_FOR_REQUEST:
                self._hold(records.with_room(self._desk, "requests"))
            case run.NO_ROOM_IN_JOURNAL:
                self._hold(records.with_room(self._desk, "journal"))
            case _:
                raise AssertionError(f"compiled code answered {answer}")

    def _check_known(self, order_id: int) -> None:
        if not 0 <= order_id < self._desk.head["orders"].item():
            raise ValueError(f"there is no order {order_id}")

    def _check_family(self, symbol_index: int, parent: int, sibling: int) -> None:
        for relative in (parent, sibling):
            if relative == NO_ORDER:
                continue
            self._check_known(relative)
            if self._desk.tickets["symbol"].item(relative) != symbol_index:
                raise ValueError(f"order {relative} is of another symbol")
        if sibling != NO_ORDER:
            ring = self._desk.tickets["ring"]
            count, other = 1, ring.item(sibling)
            while other != sibling:
                count, other = count + 1, ring.item(other)
            if count >= records.SIBLINGS_MOST:
                raise ValueError(f"order {sibling} has {count - 1} siblings already")
        if parent != NO_ORDER and self._desk.tickets["parent"].item(parent) != NO_ORDER:
            raise ValueError(f"order {parent} is a child itself")


def _distances(given: Times | None) -> Times:
    if given is None:
        return np.zeros(0, np.int64)
    distances = np.ascontiguousarray(given)
    if distances.dtype.kind not in "iu" or ((distances < 0) | (distances >= BPS)).any():
        raise ValueError("distances are whole basis points from 0 to 9,999")
    return distances.astype(np.int64)


#: Rows beyond what a run is expected to write.
_ROOM_LEFT: Final = 256
_LIMITED: Final = frozenset({Kind.LIMIT, Kind.STOP_LIMIT})
_DAY_NS: Final = 86_400_000_000_000

__all__ = ["FILL", "JOURNAL", "Desk", "Outcome", "Simulation"]
