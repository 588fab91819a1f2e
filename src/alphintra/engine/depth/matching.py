"""What happens to our orders at the venue: arrival, the queue, fills. All compiled.

Orders that rest lie in `floor.resting`, one row for each side, the best price first and then who
came first, so that the first one says whether an event concerns any.
"""

from typing import Any

from alphintra.engine.compile import compiled
from alphintra.engine.depth.ladder import left_of, next_rank, rank_at
from alphintra.engine.depth.layout import (
    NO_RANK,
    RECORDED,
    Floor,
    Ladder,
    News,
    QueueModel,
    Status,
    What,
    Why,
)
from alphintra.engine.layout import Kind, Lifetime, Side


@compiled
def sign_of(side: int) -> int:
    """Return +1 for a buy, -1 for a sell: times a price, larger is better for the others."""
    return 1 - 2 * side


@compiled
def emit(floor: Floor, kind: int, order_id: int, ts_ns: int) -> Any:
    """Write news about the order and return them; we hear of them a response later."""
    state = floor.state[0]
    order = floor.orders[order_id]
    news = floor.news[state["news"]]
    latency = state["response_ns"]
    if latency == RECORDED:
        latency = state["venue_latency_ns"]
    seen_ns = ts_ns + latency
    if state["news"] > 0:
        seen_ns = max(seen_ns, floor.news[state["news"] - 1]["seen_ns"])
    state["news"] += 1
    news["kind"] = kind
    news["order"] = order_id
    news["side"] = order["side"]
    news["lots"] = order["remaining_lots"]
    news["price_ticks"] = order["price_ticks"]
    news["is_maker"] = 0
    news["why"] = Why.NONE
    news["venue_ns"] = ts_ns
    news["seen_ns"] = seen_ns
    return news


@compiled
def fill(
    floor: Floor, order_id: int, lots: int, price_ticks: int, is_maker: int, ts_ns: int
) -> None:
    """Fill so much of the order; one that rests and is done leaves the queue."""
    order = floor.orders[order_id]
    news = emit(floor, News.FILL, order_id, ts_ns)
    news["lots"] = lots
    news["price_ticks"] = price_ticks
    news["is_maker"] = is_maker
    order["remaining_lots"] -= lots
    if order["remaining_lots"] == 0:
        if order["status"] == Status.OPEN:
            leave(floor, order_id)
        order["status"] = Status.FILLED


@compiled
def cancel(floor: Floor, order_id: int, why: int, ts_ns: int) -> None:
    """Cancel what remains of the order."""
    order = floor.orders[order_id]
    news = emit(floor, News.CANCELED, order_id, ts_ns)
    news["why"] = why
    if order["status"] == Status.OPEN:
        leave(floor, order_id)
    order["status"] = Status.CANCELED


@compiled
def draw_fence(floor: Floor, side: int) -> None:
    """Set the rank from which the other side of the book meets our best order of a side."""
    state = floor.state[0]
    ranks = len(floor.book.prices)
    if floor.resting_count[side] == 0:
        if side == Side.BUY:
            state["buy_fence"] = -1
        else:
            state["sell_fence"] = ranks
        return
    price = floor.orders[floor.resting[side, 0]]["price_ticks"]
    if side == Side.BUY:
        state["buy_fence"] = rank_at(floor.book, price + 1) - 1
    else:
        state["sell_fence"] = rank_at(floor.book, price)


@compiled
def join(floor: Floor, order_id: int) -> None:
    """Put the order at the end of the queue at its price."""
    order = floor.orders[order_id]
    side = order["side"]
    sign = sign_of(side)
    resting = floor.resting[side]
    place = floor.resting_count[side]
    while place > 0:
        before = floor.orders[resting[place - 1]]
        if sign * before["price_ticks"] >= sign * order["price_ticks"]:
            break
        resting[place] = resting[place - 1]
        place -= 1
    resting[place] = order_id
    floor.resting_count[side] += 1
    order["status"] = Status.OPEN
    rank = rank_at(floor.book, order["price_ticks"])
    order["rank"], order["ahead_lots"] = NO_RANK, 0
    if rank < len(floor.book.prices) and floor.book.prices[rank] == order["price_ticks"]:
        level = floor.book.levels[side, rank]
        level["ours"] += 1
        order["rank"] = rank
        order["ahead_lots"] = max(0, int(level["lots"]) - int(level["traded"]))
    if place == 0:
        draw_fence(floor, side)


@compiled
def leave(floor: Floor, order_id: int) -> None:
    """Take the order out of the queue."""
    order = floor.orders[order_id]
    side = order["side"]
    resting = floor.resting[side]
    count = floor.resting_count[side]
    place = 0
    while resting[place] != order_id:
        place += 1
    for index in range(place, count - 1):
        resting[index] = resting[index + 1]
    floor.resting_count[side] = count - 1
    if order["rank"] != NO_RANK:
        floor.book.levels[side, order["rank"]]["ours"] -= 1
    if place == 0:
        draw_fence(floor, side)


@compiled
def reachable(
    floor: Floor, side: int, has_limit: bool, limit_ticks: int, wanted: int
) -> tuple[int, int]:
    """Return how much of `wanted` an order of a side could take now, and from how many levels."""
    other = 1 - side
    sign = sign_of(side)
    ladder = floor.book
    rank = ladder.best[other]
    lots, levels = 0, 0
    while 0 <= rank < len(ladder.prices) and lots < wanted:
        if has_limit and sign * (ladder.prices[rank] - limit_ticks) > 0:
            break
        lots += left_of(ladder, other, rank)
        levels += 1
        rank = next_rank(ladder, other, rank)
    return min(lots, wanted), levels


@compiled
def take(floor: Floor, order_id: int, ts_ns: int) -> None:
    """Let an order that comes take what it reaches, level by level."""
    order = floor.orders[order_id]
    other = 1 - order["side"]
    sign = sign_of(order["side"])
    ladder = floor.book
    rank = ladder.best[other]
    while 0 <= rank < len(ladder.prices) and order["remaining_lots"] > 0:
        price = ladder.prices[rank]
        if order["kind"] == Kind.LIMIT and sign * (price - order["price_ticks"]) > 0:
            break
        lots = min(left_of(ladder, other, rank), order["remaining_lots"])
        if lots > 0:
            ladder.levels[other, rank]["taken"] += lots
            fill(floor, order_id, lots, price, 0, ts_ns)
        rank = next_rank(ladder, other, rank)


@compiled
def meet(floor: Floor, side: int, ts_ns: int) -> None:
    """The other side of the book has come to our orders of this side: they fill at their price."""
    ladder = floor.book
    other = 1 - side
    sign = sign_of(side)
    while floor.resting_count[side] > 0:
        order_id = floor.resting[side, 0]
        order = floor.orders[order_id]
        wanted = order["remaining_lots"]
        lots = 0
        rank = ladder.best[other]
        while 0 <= rank < len(ladder.prices) and lots < wanted:
            if sign * (ladder.prices[rank] - order["price_ticks"]) > 0:
                break
            share = min(left_of(ladder, other, rank), wanted - lots)
            ladder.levels[other, rank]["taken"] += share
            lots += share
            rank = next_rank(ladder, other, rank)
        if lots == 0:
            return
        fill(floor, order_id, lots, order["price_ticks"], 1, ts_ns)
        if lots < wanted:
            return


@compiled
def arrive(floor: Floor, request: Any) -> None:
    """A new order is at the venue: it takes, rests, or is refused."""
    order_id, ts_ns = request["order"], request["arrives_ns"]
    order = floor.orders[order_id]
    order["side"] = request["side"]
    order["kind"] = request["kind"]
    order["post_only"] = request["post_only"]
    order["price_ticks"] = request["price_ticks"]
    order["remaining_lots"] = request["lots"]
    order["rank"] = NO_RANK
    limited = order["kind"] == Kind.LIMIT
    lots, _ = reachable(
        floor, order["side"], limited, order["price_ticks"], order["remaining_lots"]
    )
    if order["post_only"] and lots > 0:
        news = emit(floor, News.REJECTED, order_id, ts_ns)
        news["why"] = Why.POST_ONLY_WOULD_TAKE
        order["status"] = Status.REJECTED
        return
    emit(floor, News.ACCEPTED, order_id, ts_ns)
    if request["lifetime"] == Lifetime.FOK and lots < order["remaining_lots"]:
        cancel(floor, order_id, Why.FILL_OR_KILL, ts_ns)
        return
    take(floor, order_id, ts_ns)
    if order["remaining_lots"] == 0:
        return
    if request["lifetime"] == Lifetime.IOC:
        cancel(floor, order_id, Why.IMMEDIATE_OR_CANCEL, ts_ns)
    elif not limited:
        cancel(floor, order_id, Why.NOTHING_LEFT, ts_ns)
    else:
        join(floor, order_id)


@compiled
def modify(floor: Floor, order_id: int, price_ticks: int, lots: int, ts_ns: int) -> None:
    """Give an order that rests another price or quantity."""
    order = floor.orders[order_id]
    if order["status"] != Status.OPEN:
        news = emit(floor, News.REFUSED, order_id, ts_ns)
        news["why"] = Why.NOT_OPEN
        return
    moved = price_ticks != order["price_ticks"]
    if moved and order["post_only"]:
        taken, _ = reachable(floor, order["side"], True, price_ticks, 1)
        if taken > 0:
            news = emit(floor, News.REFUSED, order_id, ts_ns)
            news["why"] = Why.POST_ONLY_WOULD_TAKE
            return
    again = moved or lots > order["remaining_lots"]
    if again:
        leave(floor, order_id)
        order["status"] = Status.SENT
    order["price_ticks"] = price_ticks
    order["remaining_lots"] = lots
    emit(floor, News.REPLACED, order_id, ts_ns)
    if again:
        take(floor, order_id, ts_ns)
        if order["remaining_lots"] > 0:
            join(floor, order_id)


@compiled
def requeue(floor: Floor, side: int, rank: int, lots: int) -> None:
    """A level with orders of ours changes: say who has gone, those ahead of us or those behind."""
    level = floor.book.levels[side, rank]
    before = max(0, int(level["lots"]) - int(level["traded"]))
    canceled = max(0, before - lots)
    proportional = floor.state[0]["queue_model"] == QueueModel.PROPORTIONAL
    for index in range(floor.resting_count[side]):
        order = floor.orders[floor.resting[side, index]]
        if order["rank"] == rank:
            ahead = order["ahead_lots"]
            if proportional and canceled > 0:
                ahead -= canceled * min(ahead, before) // before
            order["ahead_lots"] = min(ahead, lots)


@compiled
def change_taken(floor: Floor, side: int, rank: int, lots: int) -> None:
    """A level that we have taken from changes: what goes was ours first, what comes is fresh."""
    level = floor.book.levels[side, rank]
    gone = max(0, int(level["lots"]) - lots)
    level["taken"] = max(0, int(level["taken"]) - gone)


@compiled
def side_hit(ladder: Ladder, what: int, rank: int) -> int:
    """Return the side of the book that a print has used up."""
    if what == What.TRADED:
        return 0 if ladder.best[0] >= rank else 1
    return what - 2


@compiled
def note_traded(ladder: Ladder, what: int, rank: int, lots: int) -> None:
    """Take a print off what its level has left until the level changes."""
    level = ladder.levels[side_hit(ladder, what, rank), rank]
    level["traded"] = min(level["lots"], level["traded"] + lots)


@compiled
def on_print(floor: Floor, what: int, rank: int, lots: int, ts_ns: int) -> None:
    """Somebody traded: orders at better prices fill, those at this price when it is their turn."""
    price = floor.book.prices[rank]
    for side in range(2):
        sign = sign_of(side)
        while floor.resting_count[side] > 0:
            order_id = floor.resting[side, 0]
            order = floor.orders[order_id]
            if sign * (order["price_ticks"] - price) <= 0:
                break
            fill(floor, order_id, order["remaining_lots"], order["price_ticks"], 1, ts_ns)
    pass_queue(floor, side_hit(floor.book, what, rank), price, lots, ts_ns)


@compiled
def pass_queue(floor: Floor, side: int, price_ticks: int, lots: int, ts_ns: int) -> None:
    """Use up the size of a print along the queue: who is ahead, we, who is between, we again."""
    gone = 0
    index = 0
    while index < floor.resting_count[side]:
        order_id = floor.resting[side, index]
        order = floor.orders[order_id]
        if order["price_ticks"] != price_ticks:
            return
        between = max(0, order["ahead_lots"] - gone)
        passed = min(between, lots)
        gone += passed
        lots -= passed
        order["ahead_lots"] = between - passed
        share = min(lots, order["remaining_lots"])
        if share > 0:
            lots -= share
            remains = order["remaining_lots"] > share
            fill(floor, order_id, share, price_ticks, 1, ts_ns)
            index += remains
        else:
            index += 1


__all__ = [
    "arrive",
    "cancel",
    "change_taken",
    "emit",
    "meet",
    "modify",
    "note_traded",
    "on_print",
    "reachable",
    "requeue",
]
