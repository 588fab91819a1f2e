"""What a row of the tape does to the orders of its symbol. Compiled.

The rules are those of `engine.steps`, made of the same pieces; but after each fill the account has
its say, siblings shrink, and children come in at the price and moment of their parent's fill.
"""

from alphintra.engine.chain import expire_orders, finish, is_quiet, settle
from alphintra.engine.compile import part
from alphintra.engine.layout import NEVER_NS, NO_PRICE, UNKNOWN_SIZE, Side, Source
from alphintra.engine.matching import (
    awaken,
    follow_to,
    gather,
    gather_leg,
    is_beyond_limit,
    share_of,
    trigger,
)
from alphintra.engine.portfolio.auctions import end_close, open_auction, wake_for_close
from alphintra.engine.portfolio.dealing import harvest, raise_children, trade
from alphintra.engine.portfolio.money import book_of, price_of
from alphintra.engine.portfolio.records import NO_ORDER, Desk
from alphintra.engine.portfolio.tape import RowKind

_OPEN, _HIGH, _LOW, _CLOSE, _VOLUME = 4, 5, 6, 7, 8
_BID, _ASK, _BID_SIZE, _ASK_SIZE = 4, 5, 6, 7
_PRICE, _SIZE = 4, 5


@part
def symbol_at(desk: Desk, row: int) -> int:
    """Return the number of a row's symbol, without a look at the tape where there is one only."""
    return 0 if desk.head[0]["plain"] else int(desk.cells[2, row])


@part
def kind_at(desk: Desk, row: int) -> int:
    """Return a row's kind, without a look at the tape where there is one only."""
    return 0 if desk.head[0]["plain"] else int(desk.cells[3, row])


@part
def group_end(desk: Desk, row: int) -> int:
    """Return the row behind the group that `row` belongs to."""
    cells = desk.cells
    end = row + 1
    if desk.head[0]["plain"]:
        return end
    is_action = cells[3, row] == RowKind.ACTION
    while (
        end < cells.shape[1]
        and cells[0, end] == cells[0, row]
        and (cells[3, end] == RowKind.ACTION) == is_action
    ):
        end += 1
    return end


@part
def set_moment(desk: Desk, buy_ticks: int, sell_ticks: int, volume_lots: int) -> None:
    """Tell what orders meet at this moment."""
    head = desk.head[0]
    head["buy_ticks"] = buy_ticks
    head["sell_ticks"] = sell_ticks
    head["volume_lots"] = volume_lots


@part
def deal_all(
    desk: Desk, number: int, source: int, since: int, until: int, eligible_ns: int, born_ns: int,
    ts_ns: int,
) -> None:  # fmt: skip
    """Let all active orders that the moment reaches deal: best price first, then the earliest."""
    book = book_of(desk, number)
    head = desk.head[0]
    buy_ticks, sell_ticks = head["buy_ticks"], head["sell_ticks"]
    count = gather(book, buy_ticks, sell_ticks, source, since, until, eligible_ns)
    for index in range(count):
        slot = book.hits[index]["slot"]
        order = book.orders[slot]
        if order["remaining_lots"] > 0 and order["sequence"] == book.hits[index]["sequence"]:
            trade(desk, number, slot, source, ts_ns)
            if head["raising"] != NO_ORDER:
                raise_children(desk, source, born_ns, ts_ns)


@part
def walk_leg(
    desk: Desk, number: int, start_ticks: int, end_ticks: int, open_ns: int, ts_ns: int
) -> None:
    """Move the price within a bar: orders act in the order in which the path reaches them."""
    book = book_of(desk, number)
    head = desk.head[0]
    direction = 1 if end_ticks > start_ticks else -1
    begins = start_ticks != end_ticks
    while begins:
        begins = False
        count = gather_leg(book, start_ticks, end_ticks, open_ns)
        for index in range(count):
            slot = book.hits[index]["slot"]
            order = book.orders[slot]
            sequence = book.hits[index]["sequence"]
            if order["remaining_lots"] == 0 or order["sequence"] != sequence:
                continue
            level = start_ticks - direction * book.hits[index]["rank"]
            head["buy_ticks"] = head["sell_ticks"] = level
            if order["dormant"]:
                awaken(book, slot, ts_ns)
                harvest(desk, number)
                sequence = order["sequence"]
            if not is_beyond_limit(order, level):
                trade(desk, number, slot, Source.BAR, ts_ns)
            if order["sequence"] == sequence:
                finish(book, slot, ts_ns)
                harvest(desk, number)
            if head["raising"] != NO_ORDER:
                # The children stand in the way of what is left of the leg; who else is at this
                # level has its turn even when the leg ends here.
                raise_children(desk, Source.BAR, open_ns, ts_ns)
                start_ticks = level
                begins = True
                break
    follow_to(book, end_ticks, open_ns)


@part
def close_auction(
    desk: Desk, number: int, row: int, source: int, buy_ticks: int, sell_ticks: int, ts_ns: int
) -> None:
    """Let the orders deal whose closing auction the row holds; the rest of them expires."""
    since = wake_for_close(desk, number, row)
    if desk.states[number, 0]["next_sequence"] == since:
        return
    set_moment(desk, buy_ticks, sell_ticks, desk.head[0]["volume_lots"])
    deal_all(desk, number, source, since, NEVER_NS, NEVER_NS, ts_ns, ts_ns)
    end_close(desk, number, since, ts_ns)


@part
def on_bar(desk: Desk, number: int, row: int) -> None:
    """A bar is complete; see `steps.on_bar`."""
    book = book_of(desk, number)
    state = book.state[0]
    if state["open_orders"] == 0:
        return
    cells = desk.cells
    open_ns, close_ns = cells[1, row], cells[0, row]
    expire_orders(book, open_ns)
    harvest(desk, number)
    first, high, low, last = (
        cells[_OPEN, row], cells[_HIGH, row], cells[_LOW, row], cells[_CLOSE, row],
    )  # fmt: skip
    auctions = state["expires_fence_ns"] <= open_ns
    if (
        state["restless"] == 0
        and not auctions
        and is_quiet(book, Side.BUY, low, high)
        and is_quiet(book, Side.SELL, low, high)
    ):
        return
    volume = cells[_VOLUME, row]
    limited = desk.symbols[number]["limited"] and volume >= 0
    state["flow_left_lots"] = (
        share_of(volume, state["participation_bps"]) if limited else UNKNOWN_SIZE
    )
    set_moment(desk, first, first, volume)
    if auctions:
        open_auction(desk, number, row, first, first)
    trigger(book, first, first, True, open_ns, open_ns)
    harvest(desk, number)
    deal_all(desk, number, Source.BAR, 0, NEVER_NS, open_ns, open_ns, open_ns)
    settle(book, open_ns, open_ns)
    harvest(desk, number)
    if state["open_orders"] == 0:
        return
    nearer, other = low, high
    if high - first < first - low:
        nearer, other = high, low
    walk_leg(desk, number, first, nearer, open_ns, close_ns)
    walk_leg(desk, number, nearer, other, open_ns, close_ns)
    walk_leg(desk, number, other, last, open_ns, close_ns)
    settle(book, open_ns, close_ns)
    harvest(desk, number)
    if auctions:
        close_auction(desk, number, row, Source.BAR, last, last, close_ns)


@part
def set_quote(desk: Desk, number: int, row: int) -> None:
    """Remember the best bid and ask, and their sizes."""
    cells = desk.cells
    desk.states[number, 0]["quoted"] = 1
    buys, sells = desk.sides[number, Side.BUY], desk.sides[number, Side.SELL]
    buys["opposite_price_ticks"] = cells[_ASK, row]
    buys["opposite_left_lots"] = cells[_ASK_SIZE, row]
    sells["opposite_price_ticks"] = cells[_BID, row]
    sells["opposite_left_lots"] = cells[_BID_SIZE, row]


@part
def on_quote(desk: Desk, number: int, row: int) -> None:
    """The best bid and ask change; see `steps.on_quote`."""
    book = book_of(desk, number)
    state = book.state[0]
    set_quote(desk, number, row)
    if state["open_orders"] == 0:
        return
    ts_ns = desk.cells[0, row]
    bid, ask = desk.cells[_BID, row], desk.cells[_ASK, row]
    expire_orders(book, ts_ns)
    harvest(desk, number)
    auctions = state["expires_fence_ns"] <= ts_ns
    if (
        state["restless"] == 0
        and not auctions
        and (ask == NO_PRICE or is_quiet(book, Side.BUY, ask, ask))
        and (bid == NO_PRICE or is_quiet(book, Side.SELL, bid, bid))
    ):
        return
    set_moment(desk, ask, bid, UNKNOWN_SIZE)
    if auctions:
        open_auction(desk, number, row, ask, bid)
    trigger(book, ask, bid, True, NEVER_NS, ts_ns)
    harvest(desk, number)
    deal_all(desk, number, Source.QUOTE, 0, NEVER_NS, NEVER_NS, ts_ns, ts_ns)
    settle(book, NEVER_NS, ts_ns)
    harvest(desk, number)
    if auctions:
        close_auction(desk, number, row, Source.QUOTE, ask, bid, ts_ns)


@part
def on_trade(desk: Desk, number: int, row: int) -> None:
    """Somebody traded; see `steps.on_trade`."""
    book = book_of(desk, number)
    state = book.state[0]
    if state["open_orders"] == 0:
        return
    ts_ns = desk.cells[0, row]
    price = desk.cells[_PRICE, row]
    expire_orders(book, ts_ns)
    harvest(desk, number)
    auctions = state["expires_fence_ns"] <= ts_ns
    if (
        state["restless"] == 0
        and not auctions
        and is_quiet(book, Side.BUY, price, price)
        and is_quiet(book, Side.SELL, price, price)
    ):
        return
    state["flow_left_lots"] = desk.cells[_SIZE, row]
    if auctions:
        open_auction(desk, number, row, price, price)
    quoted = bool(state["quoted"])
    first_triggered = state["next_sequence"]
    trigger(book, price, price, not quoted, NEVER_NS, ts_ns)
    harvest(desk, number)
    until = NEVER_NS
    if quoted:
        until = first_triggered
        ask = book.sides[Side.BUY]["opposite_price_ticks"]
        bid = book.sides[Side.SELL]["opposite_price_ticks"]
        ask = max(ask, price) if ask != NO_PRICE else NO_PRICE
        bid = min(bid, price)
        set_moment(desk, ask, bid, UNKNOWN_SIZE)
        deal_all(desk, number, Source.QUOTE, first_triggered, NEVER_NS, NEVER_NS, ts_ns, ts_ns)
    set_moment(desk, price, price, desk.cells[_SIZE, row])
    deal_all(desk, number, Source.PRINT, 0, until, NEVER_NS, ts_ns, ts_ns)
    settle(book, NEVER_NS, ts_ns)
    harvest(desk, number)
    if auctions:
        close_auction(desk, number, row, Source.PRINT, price, price, ts_ns)


@part
def mark_before(desk: Desk, number: int, row: int, kind: int) -> None:
    """Let the position count at what the row showed first: a bar's open."""
    if kind == 0:
        symbol = desk.symbols[number]
        symbol["mark"] = price_of(symbol, desk.cells[_OPEN, row])


@part
def last_price(desk: Desk, number: int, row: int, kind: int, before: float) -> float:
    """Return what a row leaves behind: the close, the middle of the quote, the print."""
    symbol = desk.symbols[number]
    if kind == 0:
        return price_of(symbol, desk.cells[_CLOSE, row])
    if kind == 2:
        return price_of(symbol, desk.cells[_PRICE, row])
    bid, ask = desk.cells[_BID, row], desk.cells[_ASK, row]
    if bid == NO_PRICE and ask == NO_PRICE:
        return before
    if bid == NO_PRICE:
        return price_of(symbol, ask)
    if ask == NO_PRICE:
        return price_of(symbol, bid)
    return 0.5 * (price_of(symbol, bid) + price_of(symbol, ask))
