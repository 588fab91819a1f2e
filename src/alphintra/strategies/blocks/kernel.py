"""The loop around a program of blocks and the simulator. Compiled.

A program is data: operations out of a fixed list over registers, one row of numbers for each. What
users make is never part of what is compiled, so there is one kernel for all strategies.
`sdk.blocks` says the same in Python, and both give the same orders.
"""

import hashlib
from math import ceil, floor, isfinite, isnan, nan
from pathlib import Path
from typing import Any, Final

import numba
import numpy as np
from numba.core.caching import FunctionCache
from numpy.typing import NDArray

from alphintra.engine import SOURCE_DIGEST
from alphintra.engine.compile import part
from alphintra.engine.layout import MAGNITUDE_LIMIT, NEVER_NS, NO_PRICE, Kind, Lifetime, Side
from alphintra.engine.portfolio import requests
from alphintra.engine.portfolio.handle import desk_at
from alphintra.engine.portfolio.money import cash_of, standing
from alphintra.engine.portfolio.records import NO_ORDER, NO_ROW, Desk, Status, What
from alphintra.engine.portfolio.rows import group_end
from alphintra.engine.portfolio.tape import RowKind
from alphintra.strategies.blocks.program import (
    AMOUNT,
    AT,
    DECIDED,
    DISTANCE,
    DO,
    LIMIT,
    MEMORY,
    MOST,
    OP,
    OUT,
    SHARES,
    SIDE,
    SIZE,
    STOP,
    STOP_BY,
    STOP_LEG,
    TAG,
    TARGET_BY,
    TARGET_LEG,
    TOLD,
    TOO_LARGE,
    TOO_SMALL,
    TRAIL_BY,
    TRAIL_LEG,
    WHEN,
    A,
    B,
    Do,
    Leg,
    N,
    Op,
    Size,
)
from alphintra.strategies.blocks.simulator import Calls

_EQUAL: Final = 1e-9
_NEAR: Final = 1e-9
#: An entry and its three exits.
ORDERS_PER_ACTION: Final = 4


#: The kernel takes in code of the simulator, the numbers of `program`, the order of the calls.
_DIGEST: Final = hashlib.sha256(
    SOURCE_DIGEST.encode()
    + b"".join(
        Path(__file__).with_name(f"{one}.py").read_bytes() for one in ("program", "simulator")
    )
).hexdigest()


class _Cache(FunctionCache):
    """A cache that code compiled with another version of the simulator never leaves."""

    def _index_key(self, sig: Any, codegen: Any) -> Any:  # numba's types have no stubs
        inherited: tuple[Any, ...] = super()._index_key(sig, codegen)  # type: ignore[no-untyped-call]
        return (*inherited, _DIGEST)


@part
def _in_steps(value: float, up: int) -> float:
    """Return a number of whole steps, as `sdk.ticks` does; a float, which may be too large."""
    nearest = np.rint(value)
    if abs(value - nearest) <= _NEAR * max(1.0, abs(value)):
        return float(nearest)
    return float(ceil(value)) if up else float(floor(value))


@part
def _is_positive(value: float) -> bool:
    return isfinite(value) and value > 0.0


@part
def _flag(holds: bool) -> float:
    return 1.0 if holds else 0.0


@part
def _calculated(op: int, a: float, b: float) -> float:
    """Return what an operation without memory gives."""
    if op == Op.ADD:
        return a + b
    if op == Op.SUBTRACT:
        return a - b
    if op == Op.MULTIPLY:
        return a * b
    if op == Op.DIVIDE:
        return a / b if b != 0.0 else nan
    if op == Op.SMALLER:
        return nan if isnan(a) or isnan(b) else min(a, b)
    if op == Op.LARGER:
        return nan if isnan(a) or isnan(b) else max(a, b)
    if op == Op.ABSOLUTE:
        return abs(a)
    if op == Op.ABOVE:
        return _flag(a > b)
    if op == Op.AT_LEAST:
        return _flag(a >= b)
    if op == Op.BELOW:
        return _flag(a < b)
    if op == Op.AT_MOST:
        return _flag(a <= b)
    if op == Op.EQUAL:
        return _flag(a == b)
    if op == Op.DIFFERENT:
        return _flag(a != b)
    if op == Op.AND:
        return _flag(a != 0.0 and b != 0.0)
    if op == Op.OR:
        return _flag(a != 0.0 or b != 0.0)
    return _flag(a == 0.0)


@part
def _remembered(op: int, a: float, b: float, n: int, cells: NDArray[np.float64], at: int) -> float:
    """Return what an operation with a memory gives, and remember; the memory begins at `at`."""
    if op == Op.CROSSING:
        apart = a - b
        if not abs(apart) > _EQUAL * abs(b):
            return 0.0
        side = 1.0 if apart > 0.0 else -1.0
        before = cells[at]
        cells[at] = side
        return _flag(before != 0.0 and before != side and (n == 0 or side == n))
    if op == Op.RECENTLY:
        cells[at] = 0.0 if a != 0.0 else cells[at] + 1.0
        return _flag(cells[at] < n)
    if op == Op.LASTING:
        cells[at] = cells[at] + 1.0 if a != 0.0 else 0.0
        return _flag(cells[at] >= n)
    if op == Op.RISING or op == Op.FALLING:
        goes_on = a > cells[at] if op == Op.RISING else a < cells[at]
        cells[at] = a
        cells[at + 1] = cells[at + 1] + 1.0 if goes_on else 0.0
        return _flag(cells[at + 1] >= n)
    if op == Op.SINCE:
        cells[at] = 0.0 if a != 0.0 else cells[at] + 1.0
        return float(cells[at])
    if op == Op.AGO:
        place = int(cells[at])
        found = cells[at + 1 + place]
        cells[at + 1 + place] = a
        cells[at] = place + 1 if place + 1 < n else 0
        return float(found)
    if op == Op.EVERY:
        cells[at] += 1.0
        return _flag(cells[at] % n == 0.0)
    before = cells[at]
    cells[at] = a
    return _flag(not isnan(before) and before != a)


@part
def _stood(
    desk: Desk, op: int, number: int, a: float, held: NDArray[np.float64],
    cells: NDArray[np.float64], at: int,
) -> float:  # fmt: skip
    """Return what an operation on the account gives."""
    quantity, entry_price = held[number, 0], held[number, 1]
    if op == Op.QUANTITY:
        return float(quantity)
    if op == Op.IS_LONG:
        return _flag(quantity > 0.0)
    if op == Op.IS_SHORT:
        return _flag(quantity < 0.0)
    if op == Op.IS_FLAT:
        return _flag(quantity == 0.0)
    if op == Op.ENTRY_PRICE:
        return float(entry_price)
    if op == Op.PROFIT:
        if quantity == 0.0 or entry_price == 0.0:
            return 0.0
        gain = (a / entry_price - 1.0) * 100.0
        return float(gain if quantity > 0.0 else -gain)
    if op == Op.CASH:
        return cash_of(desk)
    if op == Op.EQUITY:
        return standing(desk)[0]
    if op == Op.ORDERS:
        return float(desk.symbols[number]["live"])
    sign = 1.0 if quantity > 0.0 else -1.0 if quantity < 0.0 else 0.0
    if sign == 0.0:
        cells[at + 1] = 0.0
    elif sign == cells[at]:
        cells[at + 1] += 1.0
    else:
        cells[at + 1] = 1.0
    cells[at] = sign
    return float(cells[at + 1])


@part
def _calculate(
    desk: Desk, row: int, place: int, columns: NDArray[np.float64], ops: NDArray[np.int64],
    registers: NDArray[np.float64], memory: NDArray[np.float64], held: NDArray[np.float64],
) -> None:  # fmt: skip
    """Do all operations of a row, which has its place in the columns."""
    number = desk.cells[2, row]
    cells = memory[number]
    for index in range(len(ops)):
        op = ops[index, OP]
        out = ops[index, OUT]
        if op == Op.COLUMN:
            registers[out] = columns[ops[index, N], place]
            continue
        a, b = registers[ops[index, A]], registers[ops[index, B]]
        if op <= Op.NOT:
            registers[out] = _calculated(op, a, b)
        elif op <= Op.CHANGED:
            registers[out] = _remembered(op, a, b, ops[index, N], cells, ops[index, MEMORY])
        else:
            registers[out] = _stood(desk, op, number, a, held, cells, ops[index, MEMORY])


@part
def _cancel_open(calls: Calls, desk: Desk, number: int) -> None:
    """Ask for the cancellation of all open orders of a symbol, oldest first."""
    left = desk.symbols[number]["live"]
    order = desk.head[0]["orders"]
    while left > 0 and order > 0:
        order -= 1
        ticket = desk.tickets[order]
        left -= ticket["symbol"] == number and ticket["status"] < Status.FILLED
    for later in range(order, desk.head[0]["orders"]):
        ticket = desk.tickets[later]
        if ticket["symbol"] == number and ticket["status"] < Status.FILLED:
            calls.cancel(calls.address, later)


@part
def _send(
    calls: Calls, number: int, side: int, kind: int, lots: int, weight: float, limit_ticks: int,
    stop_ticks: int, trail_ticks: int, trail_bps: int, reduces: int, parent: int, sibling: int,
    tag: int,
) -> int:  # fmt: skip
    """Send an order that stays until it fills or is taken back; there is room for it."""
    return calls.submit(
        calls.address, number, side, kind, lots, weight, limit_ticks, stop_ticks, trail_ticks,
        trail_bps, Lifetime.REST, 0, reduces, NEVER_NS, NO_ROW, parent, sibling, tag,
    )  # fmt: skip


@part
def _leg_price(price: float, sign: float, leg: int, by: float) -> float:
    """Return the price of an exit, on the side of the price that `sign` tells."""
    distance = price * by / 100.0 if leg == Leg.PERCENT else by
    return price + sign * distance if distance > 0.0 else nan


@part
def _quantity(
    desk: Desk, action: NDArray[np.int64], registers: NDArray[np.float64], price: float
) -> float:
    """Return how many units an entry is for; see `sdk.blocks`."""
    amount = registers[action[AMOUNT]]
    if action[SIZE] == Size.UNITS:
        return float(amount)
    equity = standing(desk)[0]
    if action[SIZE] == Size.PERCENT:
        return float(equity * (amount / 100.0 / action[SHARES]) / price)
    distance = registers[action[DISTANCE]]
    if not distance > 0.0:
        return nan
    equity /= action[SHARES]
    wanted = equity * amount / 100.0 / distance
    most = equity * registers[action[MOST]] / 100.0 / price
    return float(min(wanted, most))


@part
def _protect(
    calls: Calls, number: int, entry: int, is_buy: int, stop: float, target: float, trail: float,
    trail_bps: int, tag: int, steps: NDArray[np.float64],
) -> bool:  # fmt: skip
    """Send the exits of an entry; NaN and 0: without that one. False: a price is too large."""
    side = Side.SELL if is_buy else Side.BUY
    tick = steps[number, 0]
    first = NO_ORDER
    if not isnan(stop):
        ticks = _in_steps(stop / tick, not is_buy)
        if not abs(ticks) < MAGNITUDE_LIMIT:
            return False
        first = _send(
            calls, number, side, Kind.STOP, 0, nan, NO_PRICE, int(ticks), 0, 0, 1, entry, NO_ORDER,
            tag,
        )  # fmt: skip
    if not isnan(target):
        ticks = _in_steps(target / tick, is_buy)
        if not abs(ticks) < MAGNITUDE_LIMIT:
            return False
        order = _send(
            calls, number, side, Kind.LIMIT, 0, nan, int(ticks), NO_PRICE, 0, 0, 1, entry, first,
            tag,
        )  # fmt: skip
        first = order if first == NO_ORDER else first
    if not isnan(trail) or trail_bps > 0:
        trail_ticks = 0
        if not isnan(trail):
            ticks = max(1.0, _in_steps(trail / tick, 1))
            if not abs(ticks) < MAGNITUDE_LIMIT:
                return False
            trail_ticks = int(ticks)
        _send(
            calls, number, side, Kind.TRAILING_STOP, 0, nan, NO_PRICE, NO_PRICE, trail_ticks,
            trail_bps, 1, entry, first, tag,
        )  # fmt: skip
    return True


@part
def _enter(
    calls: Calls, desk: Desk, number: int, action: NDArray[np.int64],
    registers: NDArray[np.float64], held: NDArray[np.float64], steps: NDArray[np.float64],
    state: NDArray[np.int64],
) -> bool:  # fmt: skip
    """See `sdk.blocks.enter`. False: an order is too large."""
    sign = float(action[SIDE])
    quantity_held = held[number, 0]
    if quantity_held * sign > 0.0:
        return True
    at = registers[action[AT]]
    limit = registers[action[LIMIT]] if action[LIMIT] >= 0 else nan
    stop = registers[action[STOP]] if action[STOP] >= 0 else nan
    price = at
    if action[LIMIT] >= 0:
        price = limit
    elif action[STOP] >= 0:
        price = stop
    known = _is_positive(at) and (action[LIMIT] < 0 or _is_positive(limit))
    known = known and (action[STOP] < 0 or _is_positive(stop))
    loss = target = trail = nan
    trail_bps = 0
    if known and action[STOP_LEG] != Leg.NONE:
        loss = _leg_price(price, -sign, action[STOP_LEG], registers[action[STOP_BY]])
        known = _is_positive(loss)
    if known and action[TARGET_LEG] != Leg.NONE:
        target = _leg_price(price, sign, action[TARGET_LEG], registers[action[TARGET_BY]])
        known = _is_positive(target)
    if known and action[TRAIL_LEG] != Leg.NONE:
        trail = registers[action[TRAIL_BY]]
        known = _is_positive(trail)
        if known and action[TRAIL_LEG] == Leg.PERCENT:
            trail_bps = max(1, int(np.rint(trail * 100.0)))
            trail = nan
    if not known:
        return True
    is_buy = action[SIDE] > 0
    side = Side.BUY if is_buy else Side.SELL
    if action[SIZE] == Size.PERCENT and action[LIMIT] < 0 and action[STOP] < 0:
        weight = registers[action[AMOUNT]] / 100.0 / action[SHARES]
        if not _is_positive(weight):
            return True
        _cancel_open(calls, desk, number)
        entry = _send(
            calls, number, side, Kind.MARKET, 0, sign * weight, NO_PRICE, NO_PRICE, 0, 0, 0,
            NO_ORDER, NO_ORDER, action[TAG],
        )  # fmt: skip
        return _protect(
            calls, number, entry, is_buy, loss, target, trail, trail_bps, action[TAG], steps
        )
    quantity = _quantity(desk, action, registers, price)
    if not _is_positive(quantity):
        return True
    _cancel_open(calls, desk, number)
    lots = _in_steps((quantity + abs(quantity_held)) / steps[number, 1], 0)
    if lots == 0.0:
        state[TOO_SMALL] += 1
        return True
    limit_ticks = stop_ticks = float(NO_PRICE)
    kind = Kind.MARKET
    if action[LIMIT] >= 0:
        limit_ticks = _in_steps(limit / steps[number, 0], not is_buy)
        kind = Kind.LIMIT
    if action[STOP] >= 0:
        stop_ticks = _in_steps(stop / steps[number, 0], is_buy)
        kind = Kind.STOP if action[LIMIT] < 0 else Kind.STOP_LIMIT
    if not (lots < MAGNITUDE_LIMIT and limit_ticks < MAGNITUDE_LIMIT):
        return False
    if not stop_ticks < MAGNITUDE_LIMIT:
        return False
    entry = _send(
        calls, number, side, kind, int(lots), nan, int(limit_ticks), int(stop_ticks), 0, 0, 0,
        NO_ORDER, NO_ORDER, action[TAG],
    )  # fmt: skip
    return _protect(
        calls, number, entry, is_buy, loss, target, trail, trail_bps, action[TAG], steps
    )


@part
def _act(
    calls: Calls, desk: Desk, number: int, action: NDArray[np.int64],
    registers: NDArray[np.float64], held: NDArray[np.float64], steps: NDArray[np.float64],
    state: NDArray[np.int64],
) -> bool:  # fmt: skip
    """Do an action whose moment has come. False: an order is too large."""
    quantity = held[number, 0]
    if action[DO] == Do.CANCEL:
        _cancel_open(calls, desk, number)
    elif action[DO] == Do.LEAVE:
        if quantity != 0.0 and quantity * action[SIDE] >= 0.0:
            _cancel_open(calls, desk, number)
            lots = int(_in_steps(abs(quantity) / steps[number, 1], 0))
            if lots == 0:
                state[TOO_SMALL] += 1
                return True
            _send(
                calls, number, Side.BUY if quantity < 0.0 else Side.SELL, Kind.MARKET, lots, nan,
                NO_PRICE, NO_PRICE, 0, 0, 1, NO_ORDER, NO_ORDER, action[TAG],
            )  # fmt: skip
    elif action[DO] == Do.REBALANCE:
        weight = registers[action[AMOUNT]] / 100.0 / action[SHARES]
        if isfinite(weight):
            _cancel_open(calls, desk, number)
            _send(
                calls, number, Side.BUY if weight >= 0.0 else Side.SELL, Kind.MARKET, 0, weight,
                NO_PRICE, NO_PRICE, 0, 0, 0, NO_ORDER, NO_ORDER, action[TAG],
            )  # fmt: skip
    else:
        return _enter(calls, desk, number, action, registers, held, steps, state)
    return True


@part
def _room(desk: Desk, number: int, actions: int) -> int:
    """Return what has to grow before a row's actions are done, a negative number, or 0."""
    head = desk.head[0]
    most = ORDERS_PER_ACTION * actions
    live = desk.symbols[number]["live"]
    if head["orders"] + most > len(desk.tickets):
        return requests.NO_ROOM_FOR_ORDER
    if live + most > desk.slots.shape[1]:
        return requests.NO_ROOM_IN_BOOK
    waiting = head["requests"] if head["asked"] < head["requests"] else 0
    if waiting + most + actions * (live + most) > len(desk.requests):
        return requests.NO_ROOM_FOR_REQUEST
    return 0


@part
def _book(
    desk: Desk, held: NDArray[np.float64], steps: NDArray[np.float64], state: NDArray[np.int64]
) -> None:
    """Keep the positions that the strategy sees, as `sdk.views.Position` does."""
    while state[TOLD] < desk.head[0]["journal"]:
        event = desk.journal[state[TOLD]]
        state[TOLD] += 1
        number = event["symbol"]
        if event["what"] == What.FILL:
            traded = event["lots"] * steps[number, 1]
            if event["side"] != Side.BUY:
                traded = -traded
            before, price = held[number, 0], event["price"]
            after = before + traded
            if abs(after) < 1e-9 * abs(traded):
                after = 0.0
            if before * traded >= 0.0:
                held[number, 1] = (held[number, 1] * before + price * traded) / after
            elif after * before <= 0.0:
                held[number, 1] = price if after != 0.0 else 0.0
            held[number, 0] = event["position"] * steps[number, 1]
        elif event["what"] == What.SPLIT:
            before = held[number, 0]
            held[number, 0] = event["position"] * steps[number, 1]
            if held[number, 0] != 0.0:
                held[number, 1] *= before / held[number, 0]


def _follow(
    calls: Calls, first: int, until: int, columns: NDArray[np.float64], ops: NDArray[np.int64],
    actions: NDArray[np.int64], registers: NDArray[np.float64], memory: NDArray[np.float64],
    held: NDArray[np.float64], steps: NDArray[np.float64], state: NDArray[np.int64],
) -> int:  # fmt: skip
    """Run a program over the tape until `until` rows are decided.

    Args:
        calls: of the simulation.
        first: the first row of the columns; what is decided now lies between it and `until`.
        columns: shape (columns, until - first): what a strategy sees at each row.
        ops: shape (operations, 6), in the order in which they are done.
        actions: shape (actions, ACTION_WIDTH), likewise.
        registers: constants, and room for what the operations give.
        memory: shape (symbols, cells).
        held: shape (symbols, 2): quantity and average price of the positions.
        steps: shape (symbols, 2): tick size and lot size.
        state: DECIDED rows, TOLD rows of the journal, orders that were TOO_SMALL.

    Returns:
        The rows that are decided, or the negative number of what has to grow before it is called
        again; `TOO_LARGE`: it cannot go on.
    """
    desk = desk_at(calls.address)
    head = desk.head[0]
    while True:
        while state[DECIDED] < min(head["cursor"], until):
            row = state[DECIDED]
            if desk.cells[3, row] == RowKind.BAR:
                number = desk.cells[2, row]
                missing = _room(desk, number, len(actions))
                if missing < 0:
                    return missing
                _calculate(desk, row, row - first, columns, ops, registers, memory, held)
                for index in range(len(actions)):
                    action = actions[index]
                    if registers[action[WHEN]] != 0.0 and not _act(
                        calls, desk, number, action, registers, held, steps, state
                    ):
                        return TOO_LARGE
            state[DECIDED] += 1
        if state[DECIDED] >= until:
            return int(state[DECIDED])
        if head["stage"] == 0:
            end = group_end(desk, head["cursor"])
            if calls.next_stop(calls.address, end) == end:
                calls.advance(calls.address, end)
                continue
        done = calls.go(calls.address, 1, calls.rows, calls.weights, calls.rows, calls.rows)
        if done < 0:
            return done
        _book(desk, held, steps, state)


def _compiled(function: Any) -> Any:  # numba's types have no stubs
    dispatcher = numba.njit(function, nogil=True)
    if dispatcher is not function:  # it is with NUMBA_DISABLE_JIT
        dispatcher._cache = _Cache(function)  # type: ignore[no-untyped-call]
    return dispatcher


follow: Final = _compiled(_follow)
