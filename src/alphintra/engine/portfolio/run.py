"""Moving along the tape, to the next row at which something may happen. Compiled."""

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.chain import is_quiet
from alphintra.engine.compile import compiled, part
from alphintra.engine.layout import NEVER_NS, NO_PRICE, Kind, Lifetime, Side
from alphintra.engine.matching import share_of
from alphintra.engine.portfolio.dealing import DAY_NS, deal_without_book, is_unsized
from alphintra.engine.portfolio.handle import AHEAD, desk_at, fetch_row
from alphintra.engine.portfolio.happenings import act, charge_interest, liquidate
from alphintra.engine.portfolio.money import book_of, price_of, scanned_shortfall
from alphintra.engine.portfolio.records import NO_ORDER, NO_ROW, SIBLINGS_MOST, Desk, Status
from alphintra.engine.portfolio.requests import (
    NO_ROOM_FOR_ORDER,
    NO_ROOM_FOR_REQUEST,
    NO_ROOM_IN_BOOK,
    answer,
    is_due,
    submit,
)
from alphintra.engine.portfolio.rows import (
    group_end,
    kind_at,
    last_price,
    mark_before,
    on_bar,
    on_quote,
    on_trade,
    set_quote,
    symbol_at,
)
from alphintra.engine.portfolio.tape import RowKind

#: What `process` returns when the journal has to grow first.
NO_ROOM_IN_JOURNAL = -4
#: What a row, a request or the end of a group can write at most: for each open order of a symbol
#: trigger, cut, two fills, cancellation, and what each fill takes off its siblings; for each other
#: order its cancellation; for each symbol interest and the fills that close it.
_ROWS_PER_ORDER = 5 + 2 * SIBLINGS_MOST
_ROWS_PER_SYMBOL = 4
_ROWS_AT_LEAST = 16


@part
def _has_room(desk: Desk) -> bool:
    """Say that whatever comes next fits into the journal."""
    head = desk.head[0]
    most = _ROWS_AT_LEAST + _ROWS_PER_SYMBOL * len(desk.symbols)
    most += head["live"] + _ROWS_PER_ORDER * min(head["live"], desk.slots.shape[1])
    return bool(len(desk.journal) - head["journal"] >= most)


@part
def is_idle(desk: Desk, row: int) -> bool:
    """Say that no order of the row's symbol cares about it."""
    cells = desk.cells
    number = cells[2, row]
    state = desk.states[number, 0]
    if state["open_orders"] == 0:
        return True
    if state["restless"] != 0 or state["expires_fence_ns"] <= cells[1, row]:
        return False
    book = book_of(desk, number)
    kind = cells[3, row]
    if kind == RowKind.BAR:
        low, high = cells[6, row], cells[5, row]
        return is_quiet(book, Side.BUY, low, high) and is_quiet(book, Side.SELL, low, high)
    if kind == RowKind.QUOTE:
        bid, ask = cells[4, row], cells[5, row]
        return (ask == NO_PRICE or is_quiet(book, Side.BUY, ask, ask)) and (
            bid == NO_PRICE or is_quiet(book, Side.SELL, bid, bid)
        )
    price = cells[4, row]
    return is_quiet(book, Side.BUY, price, price) and is_quiet(book, Side.SELL, price, price)


@part
def is_endangered(desk: Desk) -> bool:
    """Say that falling marks could bring the account below its maintenance margin."""
    head = desk.head[0]
    if not head["liquidates"]:
        return False
    if head["shorts"] > 0:
        return True
    indebted = False  # by funding or fees
    for currency in range(len(desk.currencies)):
        indebted |= desk.currencies[currency]["cash"] < 0.0
    if head["geared"] or indebted:
        for number in range(len(desk.symbols)):
            if desk.symbols[number]["position"] != 0:
                return True
    return False


@part
def next_stop(desk: Desk, limit_row: int) -> int:
    """Return the first row at or behind the cursor at which anything may happen, or `limit_row`."""
    head = desk.head[0]
    cells = desk.cells
    row = head["cursor"]
    group = row
    arrives_ns = NEVER_NS
    if head["asked"] < head["requests"]:
        arrives_ns = desk.requests[head["asked"]]["arrives_ns"]
    endangered = is_endangered(desk)
    if endangered:
        for number in range(len(desk.symbols)):
            desk.symbols[number]["scanned_mark"] = desk.symbols[number]["mark"]
    accrues = head["shorts"] > 0 and head["borrows"]
    if head["live"] == 0 and not (endangered or accrues or head["actions"]):
        return int(max(row, limit_row))
    while row < limit_row:
        if cells[0, row] != cells[0, group] or cells[3, row] == RowKind.ACTION:
            if endangered and row > group and scanned_shortfall(desk):
                return int(group)
            group = row
        if (
            cells[3, row] == RowKind.ACTION
            or arrives_ns <= cells[0, row]
            or (accrues and cells[0, row] // DAY_NS > head["borrow_day"])
            or not is_idle(desk, row)
        ):
            return int(group)
        if endangered:
            symbol = desk.symbols[cells[2, row]]
            symbol["scanned_mark"] = last_price(
                desk, cells[2, row], row, cells[3, row], symbol["scanned_mark"]
            )
        row += 1
    if endangered and row > group and scanned_shortfall(desk):
        return int(group)
    return limit_row


@part
def advance(desk: Desk, row: int) -> None:
    """Move the cursor over idle rows: positions count at what these leave behind."""
    head = desk.head[0]
    cells = desk.cells
    if row <= head["cursor"]:
        return
    first = head["cursor"]
    if len(desk.symbols) == 1 and not head["quotes"] and kind_at(desk, row - 1) != RowKind.ACTION:
        first = row - 1  # what it leaves behind hides all before it
    for index in range(first, row):
        leave_behind(desk, index)
    head["cursor"] = row
    head["now_ns"] = cells[0, row - 1]


@part
def leave_behind(desk: Desk, row: int) -> None:
    """Set what a row leaves behind when nothing happens at it."""
    number, kind = symbol_at(desk, row), kind_at(desk, row)
    if kind == RowKind.ACTION:
        return
    symbol = desk.symbols[number]
    if kind == RowKind.QUOTE:
        set_quote(desk, number, row)
    symbol["mark"] = last_price(desk, number, row, kind, symbol["mark"])


@part
def process(desk: Desk) -> int:
    """Let the group at the cursor happen and move behind it.

    Returns:
        The new cursor, or `NO_ROOM_IN_JOURNAL`: call again when it has grown.
    """
    head = desk.head[0]
    cells = desk.cells
    if head["cursor"] >= cells.shape[1]:
        return int(head["cursor"])
    if head["stage"] == 0:
        head["group_end"] = group_end(desk, head["cursor"])
        head["row"] = head["cursor"]
        head["stage"] = 1
    first, end = head["cursor"], head["group_end"]
    if head["stage"] == 1:
        opened_ns = cells[1, first]
        for row in range(first + 1, end):
            opened_ns = max(opened_ns, cells[1, row])
        while is_due(desk, opened_ns):
            if not _has_room(desk):
                return NO_ROOM_IN_JOURNAL
            answer(desk)
        if not _has_room(desk):
            return NO_ROOM_IN_JOURNAL
        if cells[3, first] != RowKind.ACTION:
            if head["shorts"] > 0 and head["borrows"]:
                charge_interest(desk, cells[0, first])
            for row in range(first, end):
                mark_before(desk, cells[2, row], row, cells[3, row])
        head["stage"] = 2
    while head["stage"] == 2 and head["row"] < end:
        if not _has_room(desk):
            return NO_ROOM_IN_JOURNAL
        number, kind = cells[2, head["row"]], cells[3, head["row"]]
        if kind == RowKind.ACTION:
            act(desk, number, head["row"])
        elif desk.symbols[number]["delisted"]:
            pass
        elif kind == RowKind.BAR:
            on_bar(desk, number, head["row"])
        elif kind == RowKind.QUOTE:
            on_quote(desk, number, head["row"])
        else:
            on_trade(desk, number, head["row"])
        head["row"] += 1
    head["stage"] = 3
    if not _has_room(desk):
        return NO_ROOM_IN_JOURNAL
    head["row"] = end - 1
    return _end_group(desk, first, end)


@part
def _end_group(desk: Desk, first: int, end: int) -> int:
    """Positions count at what the rows leave behind; requests that came meanwhile are taken."""
    head = desk.head[0]
    ts_ns = desk.cells[0, first]
    if kind_at(desk, first) != RowKind.ACTION:
        for row in range(first, end):
            number, kind = symbol_at(desk, row), kind_at(desk, row)
            symbol = desk.symbols[number]
            symbol["mark"] = last_price(desk, number, row, kind, symbol["mark"])
        if is_endangered(desk):
            liquidate(desk, ts_ns)
    while is_due(desk, ts_ns):
        if not _has_room(desk):
            return NO_ROOM_IN_JOURNAL
        answer(desk)
    head["stage"] = 0
    head["cursor"] = end
    head["now_ns"] = ts_ns
    return end


@part
def happens_quickly(desk: Desk) -> bool:
    """Let a bar at which there is nothing but one weight order happen, as `process` would.

    That is most of what following targets does, and it needs no book. `False`: it is not so.
    """
    head = desk.head[0]
    cells = desk.cells
    row = head["cursor"]
    if (
        head["stage"] != 0
        or head["live"] != 1
        or head["requests"] - head["asked"] != 1
        or kind_at(desk, row) != RowKind.BAR
        or group_end(desk, row) != row + 1
        or (head["shorts"] > 0 and head["borrows"])
        or not _has_room(desk)
    ):
        return False
    request = desk.requests[head["asked"]]
    order = request["order"]
    ticket = desk.tickets[order]
    number = symbol_at(desk, row)
    symbol = desk.symbols[number]
    if (
        request["arrives_ns"] > cells[1, row]
        or ticket["status"] != Status.SENT
        or ticket["symbol"] != number
        or not is_unsized(ticket)
        or ticket["lifetime"] != Lifetime.REST
        or symbol["limited"]
        or symbol["delisted"]
        or desk.states[number, 0]["quoted"]
    ):
        return False
    head["asked"] += 1
    head["row"] = row
    head["volume_lots"] = cells[8, row]
    ticket["accepted_ns"] = request["arrives_ns"]
    symbol["mark"] = price_of(symbol, cells[4, row])
    deal_without_book(desk, order, cells[4, row], cells[1, row])
    _end_group(desk, row, row + 1)
    return True


@part
def _send_target(desk: Desk, row: int, weight: float, stop_bps: int, take_bps: int) -> int:
    """Send a weight order for a row's symbol, with a bracket around the row's last price."""
    head = desk.head[0]
    number = symbol_at(desk, row)
    if head["orders"] + 3 > len(desk.tickets):
        return NO_ROOM_FOR_ORDER
    if desk.symbols[number]["live"] + 3 > desk.slots.shape[1]:
        return NO_ROOM_IN_BOOK
    if head["requests"] + 3 > len(desk.requests):
        return NO_ROOM_FOR_REQUEST
    parent = submit(
        desk, number, Side.BUY, Kind.MARKET, 0, weight, NO_PRICE, NO_PRICE, 0, 0, 0, 0, 0,
        NEVER_NS, NO_ROW, NO_ORDER, NO_ORDER, 0,
    )  # fmt: skip
    side = Side.SELL if weight > 0.0 else Side.BUY
    sign = 1 if weight > 0.0 else -1
    kind = kind_at(desk, row)
    ticks = desk.cells[7, row] if kind == RowKind.BAR else desk.cells[4, row]
    sibling = NO_ORDER
    if take_bps > 0 and weight != 0.0:
        sibling = submit(
            desk, number, side, Kind.LIMIT, 0, np.nan, ticks + sign * share_of(ticks, take_bps),
            NO_PRICE, 0, 0, 0, 0, 1, NEVER_NS, NO_ROW, parent, NO_ORDER, 0,
        )  # fmt: skip
    if stop_bps > 0 and weight != 0.0:
        submit(
            desk, number, side, Kind.STOP, 0, np.nan, NO_PRICE,
            ticks - sign * share_of(ticks, stop_bps), 0, 0, 0, 0, 1, NEVER_NS, NO_ROW, parent,
            sibling, 0,
        )  # fmt: skip
    return parent


@compiled
def decide(
    targets: NDArray[np.float64], decisions: NDArray[np.int64], weights: NDArray[np.float64]
) -> int:
    """Write the rows that have a target, and the targets; return how many there are.

    -1: one of them is infinite.
    """
    count = finite = 0
    for row in range(len(targets)):
        target = targets[row]
        decisions[count] = row
        weights[count] = target
        count += target == target
        finite += target - target == 0.0
    return count if finite == count else -1


@compiled
def go(
    address: int, once: int, decisions: NDArray[np.int64], weights: NDArray[np.float64],
    stops: NDArray[np.int64], takes: NDArray[np.int64],
) -> int:  # fmt: skip
    """Let the group at the cursor happen (`once`), or run to the end following targets.

    Args:
        address: of the desk.
        decisions: rows whose closes decide on a weight order, rising.
        weights: of these, the target weights.
        stops, takes: shape (rows,) or (0,): with them go a stop and a limit that close the position
            at that many basis points below and above the row's last price (for a short, above and
            below); 0: none.

    Returns:
        The new cursor, or the negative number of what has to grow before it is called again.
    """
    desk = desk_at(address)
    head = desk.head[0]
    count = desk.cells.shape[1]
    while True:
        if not once:
            while head["decided"] < len(decisions) and decisions[head["decided"]] < head["cursor"]:
                row = decisions[head["decided"]]
                stop = stops[row] if len(stops) > 0 else 0
                take = takes[row] if len(takes) > 0 else 0
                order = _send_target(desk, row, weights[head["decided"]], stop, take)
                if order < 0:
                    return order
                head["decided"] += 1
            if head["cursor"] == count:
                return int(count)
            if head["stage"] == 0:
                limit = count
                if head["decided"] < len(decisions):
                    limit = group_end(desk, decisions[head["decided"]])
                if head["decided"] + AHEAD < len(decisions):
                    fetch_row(desk, decisions[head["decided"] + AHEAD] + 1)
                stop_row = next_stop(desk, limit)
                advance(desk, stop_row)
                if stop_row == limit:
                    continue
        if not once and happens_quickly(desk):
            continue
        done = process(desk)
        if once or done < 0:
            return done
