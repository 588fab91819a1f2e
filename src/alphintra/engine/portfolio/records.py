"""How a portfolio lies in memory: a handful of structured arrays that compiled code shares.

Orders and what happened are appended and never removed, so an order's id is its row. Few arrays,
because handing one to compiled code costs 50 ns.
"""

from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alphintra.engine import layout
from alphintra.engine.layout import (
    EVENT,
    EVENTS_PER_ORDER,
    HIT,
    ORDER,
    SIDE,
    STATE,
)
from alphintra.engine.portfolio.tape import RowKind, Tape
from alphintra.engine.portfolio.terms import (
    MAINTENANCE_MOST,
    AccountTerms,
    BadTerms,
    SymbolTerms,
)

#: Not an order: what the account did by itself, and the parent of an order that has none.
NO_ORDER: Final = -1

#: No row of the tape.
NO_ROW: Final = -1

#: How many orders may be siblings of one another.
SIBLINGS_MOST: Final = 8


class Status(IntEnum):
    """Where an order is in its life."""

    SENT = 0  #: on its way
    WAITING = 1  #: for the fill of its parent
    OPEN = 2
    FILLED = 3
    CANCELED = 4
    EXPIRED = 5
    REJECTED = 6


class What(IntEnum):
    """What a row of the journal tells."""

    FILL = 0
    TRIGGERED = 1
    CANCELED = 2
    EXPIRED = 3
    REJECTED = 4
    REDUCED = 5  #: the order's quantity, by `lots`
    DIVIDEND = 6
    FUNDING = 7
    BORROW = 8
    SPLIT = 9
    LIQUIDATION = 10  #: the account's equity is below its maintenance margin
    DELISTING = 11


class Cause(IntEnum):
    """Why; the first five are those of `layout.Reason`."""

    NONE = 0
    REQUESTED = 1
    IMMEDIATE_OR_CANCEL = 2
    FILL_OR_KILL = 3
    POST_ONLY_WOULD_TAKE = 4
    BUYING_POWER = 10  #: the account cannot carry it
    SHORT_NOT_ALLOWED = 11
    NOTHING_TO_REDUCE = 12
    SIBLING_FILLED = 13
    PARENT_ENDED = 14  #: the parent ended without a fill
    LIQUIDATION = 15
    DELISTED = 16
    SPLIT = 17
    NOTHING_TO_DO = 18  #: a target weight that is reached already
    END = 19  #: of the run


class Ask(IntEnum):
    """What a request wants."""

    SUBMIT = 0
    CANCEL = 1
    MODIFY = 2


_REQUESTABLE: Final = [
    ("lots", "i8"),
    ("limit_price_ticks", "i8"),
    ("stop_price_ticks", "i8"),
    ("trail_ticks", "i8"),
    ("trail_bps", "i8"),
    ("expires_ns", "i8"),
]

#: A submitted order, whatever became of it.
TICKET: Final = np.dtype(
    [
        ("symbol", "i8"),
        ("side", "i8"),
        ("kind", "i8"),
        *_REQUESTABLE,
        ("lifetime", "i8"),
        ("post_only", "i8"),
        ("reduce_only", "i8"),
        ("weight", "f8"),  # NaN: `lots` tells the size
        ("tag", "i8"),
        ("auction_row", "i8"),  # of the tape, at which it takes part; NO_ROW: none to come
        ("parent", "i8"),
        ("follows", "i8"),  # its quantity is what its parent has filled
        ("first_child", "i8"),
        ("next_child", "i8"),
        ("ring", "i8"),  # the next of its siblings; itself when there are none
        ("status", "i8"),
        ("slot", "i8"),
        ("filled_lots", "i8"),
        ("value", "f8"),  # of its fills: price × quantity × multiplier
        ("fees", "f8"),
        ("submitted_ns", "i8"),
        ("accepted_ns", "i8"),
        ("ended_ns", "i8"),
        ("cause", "i8"),
        ("submitted_row", "i8"),
    ]
)

REQUEST: Final = np.dtype([("ask", "i8"), ("order", "i8"), ("arrives_ns", "i8"), *_REQUESTABLE])

#: What happened, in its order. Fills, events of orders, and money that moved by itself.
JOURNAL: Final = np.dtype(
    [
        ("what", "i8"),
        ("order", "i8"),
        ("symbol", "i8"),
        ("side", "i8"),
        ("lots", "i8"),
        ("price", "f8"),
        ("fee", "f8"),
        ("cash", "f8"),  # by which the symbol's currency changed, fee included
        ("slippage", "f8"),  # what dealing at a worse price than the one met has cost
        ("position", "i8"),  # lots afterwards
        ("is_maker", "i8"),
        ("cause", "i8"),
        ("ts_ns", "i8"),
        ("row", "i8"),  # of the tape
    ]
)

#: One instrument: its terms and the account's position in it.
SYMBOL: Final = np.dtype(
    [
        ("position", "i8"),  # lots
        ("mark", "f8"),  # the price that the position counts at; NaN before the first
        ("scanned_mark", "f8"),  # the same, ahead of the cursor
        ("live", "i8"),  # orders that have not ended
        ("delisted", "i8"),
        ("currency", "i8"),
        ("tick_over", "f8"),  # a tick is this, divided by the next: exact where a float is not
        ("tick_under", "f8"),
        ("unit", "f8"),  # what one lot is worth at a price of one: lot size × multiplier
        ("lot_size", "f8"),
        ("initial", "f8"),  # margin, leverage included
        ("maintenance", "f8"),
        ("shortable", "i8"),
        ("limited", "i8"),  # by the bar's volume
        ("rate", "f8"),
        ("maker_rate", "f8"),
        ("per_unit", "f8"),
        ("per_order", "f8"),
        ("minimum", "f8"),
        ("maximum", "f8"),
        ("worse", "f8"),  # share by which orders without a limit deal worse
        ("impact", "f8"),
        ("borrow_rate", "f8"),
        ("tiers", "i8"),
        ("traded", "f8"),  # value so far, for the tiers
    ]
)

CURRENCY: Final = np.dtype(
    [
        ("cash", "f8"),
        ("start", "f8"),  # cash at the start
        ("rate", "f8"),  # fixed
        ("pair", "i8"),  # symbol that tells the rate; -1: fixed
        ("inverse", "i8"),
    ]
)

#: Everything there is one of.
HEAD: Final = np.dtype(
    [
        ("cursor", "i8"),  # first row that has not been processed
        ("stage", "i8"),  # of the group at the cursor
        ("group_end", "i8"),
        ("orders", "i8"),
        ("requests", "i8"),
        ("asked", "i8"),  # requests that have been dealt with
        ("journal", "i8"),
        ("now_ns", "i8"),
        ("latency_ns", "i8"),
        ("shrink", "i8"),
        ("liquidates", "i8"),
        ("allow_short", "i8"),
        ("borrows", "i8"),  # some symbol costs interest when short
        ("borrow_day", "i8"),
        ("shorts", "i8"),  # symbols with a short position
        ("geared", "i8"),  # leverage may make a long position dangerous
        ("row", "i8"),  # at hand
        ("buy_ticks", "i8"),  # the moment at hand: what orders that come now meet
        ("sell_ticks", "i8"),
        ("source", "i8"),
        ("eligible_ns", "i8"),
        ("ts_ns", "i8"),
        ("volume_lots", "i8"),
        ("raising", "i8"),  # the order whose children have to come into the book
        ("plain", "i8"),  # `Tape.is_plain`
        ("quotes", "i8"),  # the tape has quotes
        ("actions", "i8"),  # the tape has corporate actions
        ("live", "i8"),  # orders that have not ended
        ("decided", "i8"),  # targets that have been sent
    ]
)


class Desk(NamedTuple):
    """A portfolio as compiled code takes it."""

    cells: NDArray[np.int64]  #: of the tape
    head: NDArray[np.void]  #: one HEAD
    symbols: NDArray[np.void]  #: SYMBOL for each
    currencies: NDArray[np.void]  #: CURRENCY for each; the base is the first
    tiers: NDArray[np.float64]  #: shape (symbols, tiers, 2)
    tickets: NDArray[np.void]  #: TICKET for each order
    requests: NDArray[np.void]  #: REQUEST
    journal: NDArray[np.void]  #: JOURNAL
    states: NDArray[np.void]  #: shape (symbols, 1); with the next four: a `Book` for each symbol
    sides: NDArray[np.void]  #: shape (symbols, 2)
    slots: NDArray[np.void]  #: shape (symbols, capacity)
    hits: NDArray[np.void]  #: shared by the symbols
    events: NDArray[np.void]  #: shared by the symbols


_SLOTS_FIRST: Final = 8
_ORDERS_FIRST: Final = 256
_JOURNAL_FIRST: Final = 1024


def new_desk(tape: Tape, terms: tuple[SymbolTerms, ...], account: AccountTerms) -> Desk:
    """Return a portfolio that has not begun.

    Raises:
        BadTerms: a currency has no rate, or terms that do not belong to the tape.
    """
    if tape.symbols != tuple(one.symbol for one in terms):
        raise BadTerms(f"the tape has {tape.symbols}, the terms are of other symbols")
    currencies = _currencies(tape, terms, account)
    names = list(currencies)
    count = len(terms)
    head = np.zeros(1, HEAD)
    head["latency_ns"] = account.latency_ns
    head["shrink"] = account.shrink
    head["liquidates"] = account.liquidation
    head["allow_short"] = account.allow_short
    head["raising"] = NO_ORDER
    head["plain"] = tape.is_plain
    head["actions"] = RowKind.ACTION in tape.kinds
    head["quotes"] = RowKind.QUOTE in tape.kinds
    head["borrow_day"] = -1
    head["now_ns"] = tape.open_ns[0] if len(tape) else 0
    symbols = np.zeros(count, SYMBOL)
    tiers = np.zeros((count, max(1, *(len(one.costs.tiers) for one in terms), 1), 2))
    states, sides = np.zeros((count, 1), STATE), np.zeros((count, 2), SIDE)
    for number, one in enumerate(terms):
        _set_terms(symbols[number], one, account)
        symbols[number]["currency"] = names.index(one.currency)
        for row, tier in enumerate(one.costs.tiers):
            tiers[number, row] = tier
        book = layout.new_book(
            1,
            slippage_ticks=one.costs.slippage_ticks,
            participation_bps=one.participation_bps,
            through_only=one.through_only,
        )
        states[number], sides[number] = book.state, book.sides
        states[number]["free"] = layout.NO_SLOT
    head["borrows"] = bool((symbols["borrow_rate"] > 0).any())
    head["geared"] = bool((symbols["initial"] < 1).any())
    symbols["mark"] = tape.first_ticks * symbols["tick_over"] / symbols["tick_under"]
    desk = Desk(
        cells=tape.cells,
        head=head,
        symbols=symbols,
        currencies=np.array(list(currencies.values()), CURRENCY),
        tiers=tiers,
        tickets=np.empty(_ORDERS_FIRST, TICKET),
        requests=np.empty(_ORDERS_FIRST, REQUEST),
        journal=np.empty(_JOURNAL_FIRST, JOURNAL),
        states=states,
        sides=sides,
        slots=np.zeros((count, 0), ORDER),
        hits=np.zeros(0, HIT),
        events=np.zeros(0, EVENT),
    )
    return with_slots(desk, _SLOTS_FIRST)


def _set_terms(symbol: np.void, terms: SymbolTerms, account: AccountTerms) -> None:
    costs = terms.costs
    initial = terms.margin_initial / account.leverage
    maintenance = terms.margin_maintenance
    symbol["tick_over"], symbol["tick_under"] = terms.tick_ratio
    symbol["unit"] = terms.lot_size * terms.multiplier
    symbol["lot_size"] = terms.lot_size
    symbol["initial"] = initial
    symbol["maintenance"] = (
        min(MAINTENANCE_MOST, initial / 2) if maintenance is None else maintenance
    )
    symbol["shortable"] = terms.shortable
    symbol["limited"] = not terms.unlimited_volume
    symbol["rate"] = costs.rate
    symbol["maker_rate"] = costs.rate if costs.maker_rate is None else costs.maker_rate
    symbol["worse"] = (costs.half_spread_bps + costs.slippage_bps) / layout.BPS
    symbol["tiers"] = len(costs.tiers)
    for name in ("per_unit", "per_order", "minimum", "maximum", "impact", "borrow_rate"):
        symbol[name] = getattr(costs, name)


def _currencies(
    tape: Tape, terms: tuple[SymbolTerms, ...], account: AccountTerms
) -> dict[str, tuple[float, float, float, int, int]]:
    names = dict.fromkeys((account.base, *account.cash, *(one.currency for one in terms)))
    found: dict[str, tuple[float, float, float, int, int]] = {}
    for name in names:
        cash = float(account.cash.get(name, 0.0))
        rate = 1.0 if name == account.base else account.fx.get(name)
        if rate is None:
            raise BadTerms(f"fx has no rate for {name}, which is not the base {account.base}")
        if not isinstance(rate, str):
            found[name] = (cash, cash, float(rate), -1, 0)
            continue
        pair = rate.removeprefix("1/")
        if pair not in tape.symbols:
            raise BadTerms(f"fx: {name} is told by {pair}, which is not on the tape")
        found[name] = (cash, cash, 0.0, tape.symbols.index(pair), int(pair != rate))
    return found


def with_slots(desk: Desk, capacity: int) -> Desk:
    """Return the desk with room for `capacity` open orders of each symbol."""
    count, held = desk.slots.shape
    if capacity <= held:
        return desk
    slots = np.zeros((count, capacity), ORDER)
    slots[:, :held] = desk.slots
    slots["generation"][:, held:] = 1
    slots["next"][:, held:] = np.arange(held + 1, capacity + 1)
    slots["next"][:, -1] = desk.states["free"][:, 0]
    desk.states["free"] = held
    return desk._replace(
        slots=slots,
        hits=np.zeros(capacity, HIT),
        events=np.zeros(EVENTS_PER_ORDER * capacity, EVENT),
    )


def with_room(desk: Desk, name: str, count: int = 0) -> Desk:
    """Return the desk with one of its growing arrays twice as long, or longer."""
    old: NDArray[np.void] = getattr(desk, name)
    new = np.empty(max(2 * len(old), count), old.dtype)
    new.view(np.uint8)[: old.nbytes] = old.view(
        np.uint8
    )  # element by element takes 20 times as long
    replaced: Desk = desk._replace(**{name: new})  # type: ignore[arg-type]  # the name tells which
    return replaced


def currency_names(
    tape: Tape, terms: tuple[SymbolTerms, ...], account: AccountTerms
) -> tuple[str, ...]:
    """Return the names of `Desk.currencies`."""
    return tuple(_currencies(tape, terms, account))
