"""A recording of a book and its trades, checked and put in the order of the venue.

What is wrong with a recording is found here, before any strategy runs, so that the simulator may
rely on its tape: a book that is whole from the first row and never crossed after a message.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alphintra.core.errors import BadRequest
from alphintra.engine.compile import compiled
from alphintra.engine.depth.ladder import is_crossed, set_level
from alphintra.engine.depth.layout import RECORDED, SIZE_LIMIT, Ladder, Tape, What, new_ladder
from alphintra.engine.depth.series import Depth, DepthKind
from alphintra.engine.series import Times, Trades

#: By how much of a tick a price may miss it: doubles tell a tick of 1e-8 at 1e6 to 1e-2.
_OFF_TICK: Final = 0.02
_TICKS_LIMIT: Final = 2**53


class BadDepth(BadRequest):
    """A recording of an order book cannot be replayed. Repair the row, or ask for `resync`.

    The detail names the row: a change before the first snapshot of a book that has none, a message
    number that goes back or leaves a gap, a price off the tick, a book whose best bid is not below
    its best ask after a message.
    """

    code = "bad_depth"


class _Events(NamedTuple):
    """What happens at the venue, oldest first, and how long it takes to be seen."""

    venue_ns: Times
    latency_ns: Times
    what: NDArray[np.int8]
    rank: NDArray[np.int32]
    lots: NDArray[np.int32]


#: What `_follow` may find wrong with a row.
_FINE, _WENT_BACK, _GAP, _LEFT_CROSSED = range(4)
_RULES: Final = {
    _WENT_BACK: "its message number is before that of the row above",
    _GAP: "messages are missing before it",
    _LEFT_CROSSED: "after its message the best bid is not below the best ask",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Repairs:
    """What `tape_of` has left out or put right: numbers of rows."""

    before_snapshot: int  #: changes before the first snapshot
    already_in_snapshot: int  #: changes that are older than the snapshot before them
    gaps: int  #: messages missing, after which the book waited for the next snapshot
    after_gap: int  #: changes that were left out until then
    crossed_levels: int  #: levels taken away because a newer one on the other side crosses them
    rounded_sizes: int  #: sizes between two lots


def tape_of(
    depth: Depth,
    trades: Trades | None = None,
    *,
    tick_size: float,
    lot_size: float,
    feed_ns: int = 0,
    trades_recv_ns: Times | None = None,
    contiguous: bool = False,
    resync: bool = False,
) -> tuple[Tape, Repairs]:
    """Return the recording as the simulator replays it, and what had to be repaired.

    Args:
        depth: the book; it begins with a snapshot, rows before which are left out.
        trades: of the same venue and clock. At the same time a trade comes before a change.
        tick_size, lot_size: the steps of price and size.
        feed_ns: how much later we see what happens at the venue; `RECORDED` takes it from the
            recording.
        trades_recv_ns: when the recording saw each trade; without it, as late as the last change.
        contiguous: message numbers count up by one, so that a gap can be told.
        resync: repair instead of refusing: after a gap wait for the next snapshot, and let the
            newer side of a crossed book win.

    Raises:
        BadDepth: see there; `extra` has the `row`.
    """
    first = _first_snapshot(depth)
    rows = depth.rows(first, len(depth))
    ticks = _in_ticks(rows, tick_size, first)
    lots, rounded = _in_lots(rows, lot_size, first)
    if trades is None:
        trades, trades_recv_ns = _no_trades(depth.symbol), None
    begun = int(np.searchsorted(trades.ts_ns, rows.ts_ns[0]))
    late = trades.rows(begun, len(trades))
    traded_ticks = _in_ticks(late, tick_size, begun)
    traded_lots, traded_rounded = _in_lots(late, lot_size, begun)
    prices = np.unique(np.concatenate([ticks, traded_ticks]))
    book, counts = _book_events(rows, ticks, lots, prices, contiguous, resync, first)
    recv_ns = None if trades_recv_ns is None else trades_recv_ns[begun:]
    prints = _Events(
        venue_ns=late.ts_ns,
        latency_ns=_print_latency(late.ts_ns, recv_ns, book),
        what=_TAKER[late.side],
        rank=np.searchsorted(prices, traded_ticks).astype(np.int32),
        lots=traded_lots,
    )
    # A stable sort of prints before changes leaves them so where the times are the same.
    order = np.argsort(np.concatenate([prints.venue_ns, book.venue_ns]), kind="stable")
    events = _Events(
        venue_ns=np.concatenate([prints.venue_ns, book.venue_ns])[order],
        latency_ns=np.concatenate([prints.latency_ns, book.latency_ns])[order],
        what=np.concatenate([prints.what, book.what])[order],
        rank=np.concatenate([prints.rank, book.rank])[order],
        lots=np.concatenate([prints.lots, book.lots])[order],
    )
    tape = Tape(
        venue_ns=events.venue_ns,
        seen_ns=_seen_ns(events, feed_ns),
        what=events.what,
        rank=events.rank,
        lots=events.lots,
        prices=prices,
    )
    repairs = Repairs(
        before_snapshot=first,
        already_in_snapshot=int(counts[_OLD]),
        gaps=int(counts[_GAPS]),
        after_gap=int(counts[_AFTER_GAP]),
        crossed_levels=int(counts[_CROSSED]),
        rounded_sizes=rounded + traded_rounded,
    )
    return tape, repairs


#: By the side of a print: -1 is the last.
_TAKER: Final = np.array([What.TRADED, What.BOUGHT, What.SOLD], np.int8)
#: Places in what `_follow` counts.
_OLD, _GAPS, _AFTER_GAP, _CROSSED = range(4)


def _first_snapshot(depth: Depth) -> int:
    snapshots = np.flatnonzero(depth.kind == DepthKind.SNAPSHOT)
    if not len(snapshots):
        raise BadDepth(f"{depth.symbol}: there is no snapshot, so the book is never known")
    return int(snapshots[0])


def _no_trades(symbol: str) -> Trades:
    empty = np.zeros(0)
    return Trades(symbol, empty.astype(np.int64), empty, empty, empty.astype(np.int8))


def _in_ticks(rows: Depth | Trades, tick_size: float, first: int) -> NDArray[np.int64]:
    """Return the prices in ticks; `first` is the number of the first row in its recording."""
    exact = rows.price / tick_size
    ticks = np.rint(exact)
    off = (np.abs(exact - ticks) > _OFF_TICK) | (ticks < 1) | (ticks > _TICKS_LIMIT)
    if off.any():
        row = int(np.argmax(off))
        raise BadDepth(
            f"{rows.symbol}, row {first + row}: {rows.price[row]} is not on the tick {tick_size}",
            row=first + row,
        )
    return ticks.astype(np.int64)


def _in_lots(rows: Depth | Trades, lot_size: float, first: int) -> tuple[NDArray[np.int32], int]:
    """Return the sizes in lots, rounded down but to one at least, and how many were rounded."""
    exact = np.nan_to_num(rows.size, posinf=np.inf) / lot_size
    if (exact >= SIZE_LIMIT).any():
        row = int(np.argmax(exact >= SIZE_LIMIT))
        raise BadDepth(
            f"{rows.symbol}, row {first + row}: a size of {rows.size[row]} is 2^31 lots or more",
            row=first + row,
        )
    whole = np.rint(exact)
    between = np.abs(exact - whole) > _OFF_TICK
    lots = np.where(between, np.floor(exact), whole)
    return np.maximum(lots, exact > 0).astype(np.int32), int(between.sum())


def _print_latency(ts_ns: Times, recv_ns: Times | None, book: _Events) -> Times:
    if recv_ns is not None:
        return recv_ns - ts_ns
    before = np.searchsorted(book.venue_ns, ts_ns, side="right") - 1
    return book.latency_ns[np.maximum(before, 0)]


def _seen_ns(events: _Events, feed_ns: int) -> Times:
    """Return when each event is seen: never before one that came before it."""
    if feed_ns != RECORDED:
        return events.venue_ns + feed_ns
    # Latencies below zero are the work of two clocks: the quickest message shows how far apart.
    ahead = min(0, int(events.latency_ns.min()))
    return np.maximum.accumulate(events.venue_ns + events.latency_ns - ahead)


def _book_events(
    rows: Depth,
    ticks: NDArray[np.int64],
    lots: NDArray[np.int32],
    prices: NDArray[np.int64],
    contiguous: bool,
    resync: bool,
    first: int,
) -> tuple[_Events, NDArray[np.int64]]:
    """Return the changes of the book, and what was repaired by `_OLD`, `_GAPS`, …"""
    # Whatever a snapshot or a repair takes away was put there by a row.
    room = 2 * len(rows)
    source, what = np.empty(room, np.int64), np.empty(room, np.int8)
    rank, held = np.empty(room, np.int32), np.empty(room, np.int32)
    counts = np.zeros(4, np.int64)
    count, fault, row = _follow(
        rows.kind, rows.side, np.searchsorted(prices, ticks), lots, rows.seq, new_ladder(prices),
        contiguous, resync, source, what, rank, held, counts,
    )  # fmt: skip
    if fault != _FINE:
        raise BadDepth(f"{rows.symbol}, row {first + row}: {_RULES[fault]}", row=first + row)
    source = source[:count]
    latency = (rows.recv_ns - rows.ts_ns)[source]
    return _Events(rows.ts_ns[source], latency, what[:count], rank[:count], held[:count]), counts


@compiled
def _follow(
    kind: NDArray[np.int8],
    side: NDArray[np.int8],
    rank: NDArray[np.int64],
    lots: NDArray[np.int32],
    seq: NDArray[np.int64],
    ladder: Ladder,
    contiguous: bool,
    resync: bool,
    out_row: NDArray[np.int64],
    out_what: NDArray[np.int8],
    out_rank: NDArray[np.int32],
    out_lots: NDArray[np.int32],
    counts: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Follow the book message by message; return the events written, the fault and its row."""
    stamps = np.zeros(ladder.levels.shape, np.int64)  # the message that has set each level
    out, row, message = 0, 0, 0
    snapshot_seq, last_seq, waiting = seq[0], seq[0], False
    while row < len(kind):
        begun, message = row, message + 1
        is_snapshot = kind[row] == DepthKind.SNAPSHOT
        while row < len(kind) and seq[row] == seq[begun] and kind[row] == kind[begun]:
            row += 1
        if is_snapshot:
            if seq[begun] < last_seq:
                return out, _WENT_BACK, begun
            snapshot_seq, waiting = seq[begun], False
        else:
            if seq[begun] < last_seq and last_seq != snapshot_seq:
                return out, _WENT_BACK, begun
            if seq[begun] <= snapshot_seq:
                counts[_OLD] += row - begun
                continue
            if contiguous and not waiting and seq[begun] > last_seq + 1:
                if not resync:
                    return out, _GAP, begun
                counts[_GAPS] += 1
                waiting = True
            if waiting:
                counts[_AFTER_GAP] += row - begun
                continue
        last_seq = seq[begun]
        for index in range(begun, row):
            stamps[side[index], rank[index]] = message
        written = out
        if is_snapshot:
            out = _clear_others(ladder, stamps, message, out_what, out_rank, out_lots, out)
        for index in range(begun, row):
            if not is_snapshot or ladder.levels[side[index], rank[index]]["lots"] != lots[index]:
                out_what[out], out_rank[out], out_lots[out] = side[index], rank[index], lots[index]
                set_level(ladder, side[index], rank[index], lots[index])
                out += 1
        if is_crossed(ladder):
            if not resync:
                return out, _LEFT_CROSSED, row - 1
            counts[_CROSSED] -= out
            out = _uncross(ladder, stamps, out_what, out_rank, out_lots, out)
            counts[_CROSSED] += out
        out_row[written:out] = row - 1
    return out, _FINE, 0


@compiled
def _clear_others(
    ladder: Ladder,
    stamps: NDArray[np.int64],
    message: int,
    out_what: NDArray[np.int8],
    out_rank: NDArray[np.int32],
    out_lots: NDArray[np.int32],
    out: int,
) -> int:
    """Take away every level that a snapshot does not have."""
    for side in range(2):
        for rank in range(len(ladder.prices)):
            if ladder.levels[side, rank]["lots"] > 0 and stamps[side, rank] != message:
                out_what[out], out_rank[out], out_lots[out] = side, rank, 0
                set_level(ladder, side, rank, 0)
                out += 1
    return out


@compiled
def _uncross(
    ladder: Ladder,
    stamps: NDArray[np.int64],
    out_what: NDArray[np.int8],
    out_rank: NDArray[np.int32],
    out_lots: NDArray[np.int32],
    out: int,
) -> int:
    """Take away crossed levels: of the two best the one that was set before, else both."""
    while is_crossed(ladder):
        bid, ask = ladder.best[0], ladder.best[1]
        bid_set, ask_set = stamps[0, bid], stamps[1, ask]
        for side in range(2):
            rank = bid if side == What.BID else ask
            if (bid_set <= ask_set) if side == What.BID else (ask_set <= bid_set):
                out_what[out], out_rank[out], out_lots[out] = side, rank, 0
                set_level(ladder, side, rank, 0)
                out += 1
    return out
