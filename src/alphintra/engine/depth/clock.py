"""Time passes: the tape at the venue and, later, before our eyes; requests and news under way.

All compiled. Everything that is on its way lies in a log in the order of its arrival, so nothing is
ever sorted, and a run that has filled a log can go on after the log has grown.
"""

from typing import Any

from alphintra.engine.compile import compiled
from alphintra.engine.depth.ladder import set_level
from alphintra.engine.depth.layout import (
    Desk,
    Floor,
    Market,
    News,
    Pause,
    Request,
    Status,
    What,
    Why,
)
from alphintra.engine.depth.matching import (
    arrive,
    cancel,
    change_taken,
    emit,
    meet,
    modify,
    note_traded,
    on_print,
    reachable,
    requeue,
)
from alphintra.engine.layout import NEVER_NS, Kind, Side

#: News that a request itself may cause, besides its fills.
_NEWS_OF_REQUEST = 4


@compiled
def advance(market: Market, until_ns: int) -> int:
    """Let time pass up to and including this moment; return a `Pause`."""
    if venue_until(market, until_ns) == Pause.NEEDS_ROOM:
        return Pause.NEEDS_ROOM
    if not market.state[0]["shares_view"]:
        view_until(market, until_ns)
    hear_until(market, until_ns)
    market.state[0]["now_ns"] = max(market.state[0]["now_ns"], until_ns)
    return Pause.DONE


@compiled
def venue_until(market: Market, until_ns: int) -> int:
    """Let the venue handle events and requests; at the same time, the market's events go first."""
    state = market.state[0]
    while True:
        request_ns = NEVER_NS
        if state["arrived"] < state["requests"]:
            request_ns = market.desk.requests[state["arrived"]]["arrives_ns"]
        if rows_until(market, min(until_ns, request_ns)) == Pause.NEEDS_ROOM:
            return Pause.NEEDS_ROOM
        if request_ns > until_ns:
            return Pause.DONE
        request = market.desk.requests[state["arrived"]]
        if not has_room(market.floor, request):
            return Pause.NEEDS_ROOM
        handle(market.floor, request)
        state["arrived"] += 1


@compiled
def has_room(floor: Floor, request: Any) -> bool:
    """Say whether all that this request can cause fits the log of news."""
    levels = 0
    if request["what"] != Request.CANCEL:
        limited = request["kind"] == Kind.LIMIT
        _, levels = reachable(
            floor, request["side"], limited, request["price_ticks"], request["lots"]
        )
    return bool(floor.state[0]["news"] + levels + _NEWS_OF_REQUEST <= len(floor.news))


@compiled
def handle(floor: Floor, request: Any) -> None:
    """Let the venue do what we have asked for."""
    order_id, ts_ns = request["order"], request["arrives_ns"]
    if request["what"] == Request.SUBMIT:
        arrive(floor, request)
    elif request["what"] == Request.MODIFY:
        modify(floor, order_id, request["price_ticks"], request["lots"], ts_ns)
    elif floor.orders[order_id]["status"] == Status.OPEN:
        cancel(floor, order_id, Why.REQUESTED, ts_ns)
    else:
        news = emit(floor, News.REFUSED, order_id, ts_ns)
        news["why"] = Why.NOT_OPEN


@compiled
def rows_until(market: Market, until_ns: int) -> int:
    """Replay the tape at the venue up to and including this moment; return a `Pause`."""
    state = market.state[0]
    tape = market.tape
    floor = market.floor
    book = floor.book
    levels = book.levels
    row = state["row"]
    rows = len(tape.venue_ns)
    shares_view = state["shares_view"]
    # Fences move only with fills and requests, and each of our orders fills once by a row.
    buy_fence, sell_fence = state["buy_fence"], state["sell_fence"]
    room = len(floor.news) - state["news"]
    while row < rows and tape.venue_ns[row] <= until_ns:
        what, rank, lots = tape.what[row], tape.rank[row], tape.lots[row]
        if what >= What.SOLD:
            if rank <= buy_fence or rank >= sell_fence:
                if room < floor.resting_count[0] + floor.resting_count[1]:
                    state["row"] = row
                    return Pause.NEEDS_ROOM
                state["venue_latency_ns"] = tape.seen_ns[row] - tape.venue_ns[row]
                on_print(floor, what, rank, lots, tape.venue_ns[row])
                buy_fence, sell_fence = state["buy_fence"], state["sell_fence"]
                room = len(floor.news) - state["news"]
            note_traded(book, what, rank, lots)
            if shares_view:
                note_print(state, what, tape.prices[rank], lots)
        else:
            level = levels[what, rank]
            if level["ours"]:
                requeue(floor, what, rank, lots)
            if level["taken"]:
                change_taken(floor, what, rank, lots)
            level["traded"] = 0
            set_level(book, what, rank, lots)
            if lots > 0 and (rank <= buy_fence if what == What.ASK else rank >= sell_fence):
                ours = 1 - what
                if room < floor.resting_count[ours]:
                    # The row is replayed: to set a level twice changes nothing.
                    state["row"] = row
                    return Pause.NEEDS_ROOM
                state["venue_latency_ns"] = tape.seen_ns[row] - tape.venue_ns[row]
                meet(floor, ours, tape.venue_ns[row])
                buy_fence, sell_fence = state["buy_fence"], state["sell_fence"]
                room = len(floor.news) - state["news"]
        row += 1
    state["row"] = row
    if row > 0:
        state["venue_latency_ns"] = tape.seen_ns[row - 1] - tape.venue_ns[row - 1]
    return Pause.DONE


@compiled
def view_until(market: Market, until_ns: int) -> None:
    """Show us the tape as far as we have received it by then."""
    state = market.state[0]
    tape = market.tape
    row = state["view_row"]
    rows = len(tape.seen_ns)
    while row < rows and tape.seen_ns[row] <= until_ns:
        what, rank, lots = tape.what[row], tape.rank[row], tape.lots[row]
        if what >= What.SOLD:
            note_print(state, what, tape.prices[rank], lots)
        else:
            set_level(market.seen, what, rank, lots)
        row += 1
    state["view_row"] = row
    if row > 0:
        state["feed_latency_ns"] = tape.seen_ns[row - 1] - tape.venue_ns[row - 1]


@compiled
def note_print(state: Any, what: int, price_ticks: int, lots: int) -> None:
    """Remember a print that we see."""
    state["last_price_ticks"] = price_ticks
    if what == What.BOUGHT:
        state["bought_lots"] += lots
    elif what == What.SOLD:
        state["sold_lots"] += lots


@compiled
def hear_until(market: Market, until_ns: int) -> None:
    """Tell us the news that have reached us by then."""
    state = market.state[0]
    while state["told"] < state["news"] and market.floor.news[state["told"]]["seen_ns"] <= until_ns:
        news = market.floor.news[state["told"]]
        state["told"] += 1
        order = market.desk.orders[news["order"]]
        kind = news["kind"]
        if kind == News.ACCEPTED:
            order["status"] = Status.OPEN
        elif kind == News.FILL:
            book_fill(state, news)
            order["remaining_lots"] -= news["lots"]
            if order["remaining_lots"] == 0:
                order["status"] = Status.FILLED
        elif kind == News.REPLACED:
            order["price_ticks"] = news["price_ticks"]
            order["remaining_lots"] = news["lots"]
        elif kind == News.CANCELED:
            order["status"] = Status.CANCELED
        elif kind == News.REJECTED:
            order["status"] = Status.REJECTED
        if order["status"] >= Status.FILLED:
            forget(market.desk, news["order"])


@compiled
def book_fill(state: Any, news: Any) -> None:
    """Put a fill on our account: position, money and fee."""
    lots = news["lots"]
    signed = lots if news["side"] == Side.BUY else -lots
    rate = state["maker_rate"] if news["is_maker"] else state["taker_rate"]
    state["position_lots"] += signed
    state["cash_ticks"] -= news["price_ticks"] * signed
    state["fee_ticks"] += news["price_ticks"] * lots * rate


@compiled
def forget(desk: Desk, order_id: int) -> None:
    """Take an order that has ended out of those that we think about."""
    state = desk.state[0]
    working = desk.working
    for place in range(state["working"]):
        if working[place] == order_id:
            for index in range(place, state["working"] - 1):
                working[index] = working[index + 1]
            state["working"] -= 1
            return
