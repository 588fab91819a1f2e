"""The auctions of a run: which rows of the tape hold them, and what happens there.

The opening auction is the first moment of a session's first row, the closing auction the last of
its last row. Which rows these are is known from the tape; the strategy is never shown it.
"""

import numpy as np

from alphintra.engine.chain import finish, move_to_end, rouse, settle
from alphintra.engine.compile import part
from alphintra.engine.layout import NEVER_NS, NO_PRICE, NO_SLOT, Lifetime, Side
from alphintra.engine.portfolio.dealing import harvest
from alphintra.engine.portfolio.money import book_of
from alphintra.engine.portfolio.records import NO_ROW, Desk
from alphintra.engine.portfolio.sessions import Sessions
from alphintra.engine.portfolio.tape import RowKind, Tape
from alphintra.engine.series import Times

_NOBODY_NS = -(2**62)


class AuctionRows:
    """The rows at which the sessions of one symbol begin and end."""

    def __init__(self, tape: Tape, symbol_index: int, sessions: Sessions) -> None:
        """Look for them.

        A session has a row where something of the symbol happens in it: a quote or print from its
        open to before its close, or a bar that has any time in common with it. It has ended where
        the tape goes on to its close.
        """
        self._opens, self._closes = sessions.opens_ns, sessions.closes_ns
        of_market = (tape.symbol == symbol_index) & (tape.kind != RowKind.ACTION)
        rows = np.flatnonzero(of_market)
        starts = np.maximum.accumulate(tape.open_ns[rows])
        # The last moment that a row tells of: the end of a bar is not in it.
        ends = np.maximum.accumulate(tape.close_ns[rows] - (tape.kind[rows] == RowKind.BAR))
        rows, starts, ends = (np.append(column, last) for column, last in (
            (rows, NO_ROW), (starts, NEVER_NS), (ends, NEVER_NS)
        ))  # fmt: skip
        first = np.searchsorted(ends, self._opens)
        last = np.searchsorted(starts, self._closes) - 1
        self._first: Times = np.where(starts[first] < self._closes, rows[first], NO_ROW)
        has_ended = self._closes <= (tape.close_ns[-1] if len(tape) else 0)
        held = (ends[last] >= self._opens) & (last >= 0) & has_ended
        self._last: Times = np.where(held, rows[last], NO_ROW)
        self._starts_ns = tape.open_ns

    def of(self, lifetime: Lifetime, arrives_ns: int) -> tuple[int, int]:
        """Return the row at which an order takes part, or `NO_ROW`, and when it ends at the latest.

        Args:
            lifetime: OPG is for the next session that opens, CLS for the next that closes.
            arrives_ns: when the order comes; a bar has no opening auction for what comes after its
                own open.
        """
        opening = lifetime == Lifetime.OPG
        at = int(
            np.searchsorted(self._opens, arrives_ns)
            if opening
            else np.searchsorted(self._closes, arrives_ns, side="right")
        )
        if at == len(self._opens):
            return NO_ROW, NEVER_NS
        row = int((self._first if opening else self._last)[at])
        if opening and row != NO_ROW and self._starts_ns[row] < arrives_ns:
            row = NO_ROW
        return row, int(self._closes[at])


@part
def open_auction(desk: Desk, number: int, row: int, buy_ticks: int, sell_ticks: int) -> None:
    """Wake the orders whose opening auction a row holds; who finds nobody waits on."""
    book = book_of(desk, number)
    slot = book.state[0]["first"]
    while slot != NO_SLOT:
        order = book.orders[slot]
        price = buy_ticks if order["side"] == Side.BUY else sell_ticks
        auction_row = desk.tickets[order["owner"]]["auction_row"]
        if (
            order["dormant"]
            and order["lifetime"] == Lifetime.OPG
            and auction_row != NO_ROW
            and auction_row <= row
            and order["accepted_ns"] <= desk.cells[1, row]
            and price != NO_PRICE
        ):
            rouse(book, slot)
        slot = order["next"]


@part
def wake_for_close(desk: Desk, number: int, row: int) -> int:
    """Wake the orders whose closing auction a row holds; they stand behind all others.

    Returns:
        The sequence number of the first of them; that of the next order to come when there is none.
    """
    book = book_of(desk, number)
    since = book.state[0]["next_sequence"]
    slot = book.state[0]["first"]
    while slot != NO_SLOT:
        order = book.orders[slot]
        following = order["next"]
        if (
            order["dormant"]
            and order["lifetime"] == Lifetime.CLS
            and desk.tickets[order["owner"]]["auction_row"] == row
        ):
            rouse(book, slot)
            move_to_end(book, slot)
        slot = following
    return int(since)


@part
def end_close(desk: Desk, number: int, since: int, ts_ns: int) -> None:
    """End what the closing auction has not filled."""
    book = book_of(desk, number)
    slot = book.state[0]["first"]
    while slot != NO_SLOT:
        order = book.orders[slot]
        following = order["next"]
        if order["sequence"] >= since and order["lifetime"] == Lifetime.CLS:
            finish(book, slot, ts_ns)
        slot = following
    settle(book, _NOBODY_NS, ts_ns)  # which only draws the fences anew
    harvest(desk, number)
