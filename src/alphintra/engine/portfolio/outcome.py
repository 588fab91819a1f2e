"""What a run has come to, computed afterwards from its tape and journal: curves and round trips."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.compile import part
from alphintra.engine.portfolio.handle import AHEAD, fetch_row
from alphintra.engine.portfolio.money import cash_of, price_of, standing
from alphintra.engine.portfolio.records import NO_ORDER, Cause, Desk, What
from alphintra.engine.portfolio.rows import group_end, kind_at, last_price, symbol_at
from alphintra.engine.portfolio.tape import RowKind

#: A round trip: from flat, or the turn of the position's sign, to flat or the next turn.
TRIP: Final = np.dtype(
    [
        ("symbol", "i8"),
        ("side", "i8"),  # +1 long, -1 short
        ("entry_ns", "i8"),
        ("exit_ns", "i8"),
        ("quantity", "f8"),  # units, all entries together
        ("entry_price", "f8"),  # average
        ("exit_price", "f8"),  # average
        ("pnl", "f8"),  # in the symbol's currency: fees, dividends, interest included
        ("return", "f8"),  # pnl by the value of the entries
        ("fees", "f8"),
        ("bars", "i8"),  # rows of the symbol from the entry's to the exit's
        ("mae", "f8"),  # worst price on the way, as a share of the entry price; not above 0
        ("mfe", "f8"),  # best price on the way; not below 0
        ("entry_order", "i8"),
        ("exit_order", "i8"),
        ("tag", "i8"),  # of the order that entered
        ("cause", "i8"),  # of the last fill, when it was not an order's
        ("open_at_end", "i8"),
    ]
)

#: A round trip under way.
_GOING: Final = np.dtype(
    [
        ("trip", "i8"),  # its row; -1: none
        ("entered", "f8"),  # units
        ("entry_value", "f8"),  # price × units
        ("left", "f8"),
        ("exit_value", "f8"),
        ("low", "f8"),
        ("high", "f8"),
        ("rows", "i8"),  # of the symbol, so far
        ("entry_rows", "i8"),
    ]
)


@part
def _extremes(desk: Desk, number: int, row: int, kind: int) -> tuple[float, float]:
    symbol = desk.symbols[number]
    if kind == RowKind.BAR:
        return price_of(symbol, desk.cells[6, row]), price_of(symbol, desk.cells[5, row])
    price = last_price(desk, number, row, kind, symbol["mark"])
    return price, price


@part
def _enter(desk: Desk, going: Any, trips: NDArray[np.void], count: int, entry: Any) -> None:
    going["trip"] = count
    going["entered"] = going["entry_value"] = going["left"] = going["exit_value"] = 0.0
    going["low"], going["high"] = np.inf, -np.inf
    going["entry_rows"] = going["rows"]
    trip = trips[count]
    trip["symbol"] = entry["symbol"]
    trip["side"] = 1 - 2 * entry["side"]
    trip["entry_ns"] = entry["ts_ns"]
    trip["entry_order"] = entry["order"]
    trip["tag"] = desk.tickets[entry["order"]]["tag"] if entry["order"] >= 0 else 0
    trip["pnl"] = trip["fees"] = 0.0
    trip["exit_order"] = trip["cause"] = trip["open_at_end"] = 0


@part
def _leave(going: Any, trip: Any, ts_ns: int) -> None:
    """Write the sums of a round trip that has ended."""
    trip["exit_ns"] = ts_ns
    trip["quantity"] = going["entered"]
    trip["entry_price"] = going["entry_value"] / going["entered"]
    trip["exit_price"] = going["exit_value"] / going["left"]
    trip["bars"] = going["rows"] - going["entry_rows"]
    entry = trip["entry_price"]
    down = min(0.0, min(going["low"], trip["exit_price"]) / entry - 1.0)
    up = max(0.0, max(going["high"], trip["exit_price"]) / entry - 1.0)
    trip["mae"] = down if trip["side"] > 0 else -up
    trip["mfe"] = up if trip["side"] > 0 else -down
    going["trip"] = -1


@part
def _follow(desk: Desk, going: Any, trips: NDArray[np.void], count: int, entry: Any) -> int:
    """Take one row of the journal into the round trips; return how many there are."""
    symbol = desk.symbols[entry["symbol"]]
    if entry["what"] == What.SPLIT and going["trip"] >= 0:
        over, under = desk.cells[5, entry["row"]], desk.cells[6, entry["row"]]
        going["entered"] = going["entered"] * over / under
        going["left"] = going["left"] * over / under
        going["low"], going["high"] = going["low"] * under / over, going["high"] * under / over
    if entry["what"] != What.FILL:
        if going["trip"] >= 0:
            trips[going["trip"]]["pnl"] += entry["cash"]
            if entry["position"] == 0 and entry["what"] == What.SPLIT:
                going["exit_value"], going["left"] = entry["price"], 1.0
                _leave(going, trips[going["trip"]], entry["ts_ns"])
        return count
    sign = 1 - 2 * entry["side"]
    units = entry["lots"] * symbol["lot_size"]
    before = entry["position"] - sign * entry["lots"]
    if going["trip"] < 0:
        _enter(desk, going, trips, count, entry)
        count += 1
    trip = trips[going["trip"]]
    trip["pnl"] += entry["cash"]
    trip["fees"] += entry["fee"]
    if before * sign >= 0:
        going["entered"] += units
        going["entry_value"] += units * entry["price"]
        return count
    going["left"] += units
    going["exit_value"] += units * entry["price"]
    trip["exit_order"] = entry["order"]
    trip["cause"] = entry["cause"]
    if entry["position"] == 0:
        trip["open_at_end"] = entry["cause"] == Cause.END
        _leave(going, trip, entry["ts_ns"])
    return count


@part
def replay(
    desk: Desk, going: NDArray[np.void], trips: NDArray[np.void], curve: NDArray[np.float64]
) -> tuple[int, int]:
    """Go through a finished run once more.

    Args:
        desk: a copy whose symbols and currencies are those of the start; its marks, positions and
            cash move along.
        going: one for each symbol, none under way.
        trips: room for as many as there are fills.
        curve: shape (4, groups or more): equity, cash, exposure, time (the bits of an int64); of a
            plain tape without the time.

    Returns:
        How many points and how many round trips there are.
    """
    cells = desk.cells
    head = desk.head[0]
    cells = desk.cells
    rows, entries = cells.shape[1], head["journal"]
    points = count = entry = row = 0
    while row < rows:
        if head["plain"] and len(desk.currencies) == 1:
            end = rows
            if entry < entries:
                end = max(row, desk.journal[entry]["row"])
            _pass_bars(desk, going[0], row, end, curve)
            points = row = end
            if row == rows:
                break
        is_action = kind_at(desk, row) == RowKind.ACTION
        end = group_end(desk, row)
        while entry < entries and desk.journal[entry]["row"] < end:
            told = desk.journal[entry]
            number = told["symbol"]
            if told["what"] == What.FILL and told["ts_ns"] == cells[0, row] and not is_action:
                _look(desk, going[number], number, row, end)
            desk.symbols[number]["position"] = told["position"]
            desk.currencies[desk.symbols[number]["currency"]]["cash"] += told["cash"]
            count = _follow(desk, going[number], trips, count, told)
            entry += 1
            if entry + AHEAD < entries:
                fetch_row(desk, desk.journal[entry + AHEAD]["row"])
        if is_action:
            row = end
            continue
        for index in range(row, end):
            number, kind = symbol_at(desk, index), kind_at(desk, index)
            symbol = desk.symbols[number]
            state = going[number]
            state["rows"] += 1
            if state["trip"] >= 0:
                low, high = _extremes(desk, number, index, kind)
                state["low"], state["high"] = min(state["low"], low), max(state["high"], high)
            symbol["mark"] = last_price(desk, number, index, kind, symbol["mark"])
        equity, _, _, gross = standing(desk)
        curve[0, points] = equity
        curve[1, points] = cash_of(desk)
        curve[2, points] = gross / equity if equity > 0.0 else 0.0
        if not head["plain"]:
            curve[3].view(np.int64)[points] = cells[0, row]
        points += 1
        row = end
    return points, _end_trips(desk, going, trips, count)


@part
def _pass_bars(desk: Desk, going: Any, first: int, end: int, curve: NDArray[np.float64]) -> None:
    """Pass rows of a plain tape at which nothing happened.

    As `replay` would, but all that it needs is at hand.
    """
    if end <= first:
        return
    highs, lows, closes = (
        desk.cells[5, first:end],
        desk.cells[6, first:end],
        desk.cells[7, first:end],
    )
    equities, cashes, exposures = curve[0, first:end], curve[1, first:end], curve[2, first:end]
    symbol = desk.symbols[0]
    over, under = symbol["tick_over"], symbol["tick_under"]
    worth = symbol["position"] * symbol["unit"]
    cash = desk.currencies[0]["cash"] * 1.0
    for index in range(len(cashes)):
        cashes[index] = cash
    if symbol["position"] == 0:
        for index in range(len(equities)):
            equities[index] = cash
            exposures[index] = 0.0
    else:
        low, high = lows[0], highs[0]  # in ticks: rounding keeps their order
        for index in range(len(closes)):
            low, high = min(low, lows[index]), max(high, highs[index])
            value = worth * (closes[index] * over / under)
            equity = cash + value
            equities[index] = equity
            exposures[index] = abs(value) / equity if equity > 0.0 else 0.0
        going["low"] = min(going["low"], price_of(symbol, low))
        going["high"] = max(going["high"], price_of(symbol, high))
    going["rows"] += end - first
    symbol["mark"] = price_of(symbol, closes[-1])


@part
def _look(desk: Desk, going: Any, number: int, first: int, end: int) -> None:
    """What ends at a row's close has seen its extremes."""
    if going["trip"] < 0:
        return
    for row in range(first, end):
        if desk.cells[2, row] == number:
            low, high = _extremes(desk, number, row, desk.cells[3, row])
            going["low"], going["high"] = min(going["low"], low), max(going["high"], high)


@part
def _end_trips(desk: Desk, going: NDArray[np.void], trips: NDArray[np.void], count: int) -> int:
    """Value the round trips that are under way at the last price."""
    for number in range(len(going)):
        state = going[number]
        if state["trip"] < 0:
            continue
        symbol = desk.symbols[number]
        trip = trips[state["trip"]]
        units = state["entered"] - state["left"]
        state["left"] += units
        state["exit_value"] += units * symbol["mark"]
        trip["pnl"] += symbol["position"] * symbol["unit"] * symbol["mark"]
        trip["exit_order"] = NO_ORDER
        trip["open_at_end"] = 1
        _leave(state, trip, desk.cells[0, desk.cells.shape[1] - 1])
    for row in range(count):
        trip = trips[row]
        symbol = desk.symbols[trip["symbol"]]
        value = trip["entry_price"] * trip["quantity"] * symbol["unit"] / symbol["lot_size"]
        trip["return"] = trip["pnl"] / value
    return count


def going_of(symbols: int) -> NDArray[np.void]:
    """Return the state of no round trip for each symbol."""
    going = np.zeros(symbols, _GOING)
    going["trip"] = -1
    return going
