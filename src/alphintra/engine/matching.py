"""What a price does to the orders: triggers, fills in price-time priority, the path within a bar.

Every function here is compiled. A *moment* is one price for buys and one for sells, and an amount
that all orders reached at that moment share.
"""

from typing import Any

from alphintra.engine.chain import (
    cancel_slot,
    emit,
    finish,
    has_limit,
    move_to_end,
    remove,
    sign_of,
    wakes,
)
from alphintra.engine.compile import part
from alphintra.engine.layout import (
    BPS,
    FAR,
    NO_PRICE,
    NO_SLOT,
    Book,
    EventKind,
    Kind,
    Lifetime,
    Reason,
    Side,
    Source,
)


@part
def share_of(whole: int, bps: int) -> int:
    """Return `whole` × `bps` / 10,000, rounded down, for any `whole` >= 0."""
    return whole // BPS * bps + whole % BPS * bps // BPS


@part
def follow(order: Any, price_ticks: int) -> None:
    """Move a trailing stop behind a price that is better than all before; never back."""
    sign = sign_of(order["side"])
    mark = order["mark_price_ticks"]
    if mark == NO_PRICE or sign * price_ticks < sign * mark:
        order["mark_price_ticks"] = price_ticks
        place_behind_mark(order)


@part
def place_behind_mark(order: Any) -> None:
    """Set a trailing stop's stop price from its mark: its trail away, at least one tick."""
    distance = order["trail_ticks"]
    if distance == 0:
        distance = max(1, share_of(abs(order["mark_price_ticks"]), order["trail_bps"]))
    order["stop_price_ticks"] = order["mark_price_ticks"] + sign_of(order["side"]) * distance


@part
def awaken(book: Book, slot: int, ts_ns: int) -> None:
    """Trigger the order: from here on it is a market or limit order that arrives at this moment."""
    event = emit(book, EventKind.TRIGGERED, slot, ts_ns)
    order = book.orders[slot]
    event["price_ticks"] = order["stop_price_ticks"]
    order["dormant"] = 0
    order["fresh"] = 1
    move_to_end(book, slot)


@part
def touch(book: Book, slot: int, price_ticks: int, follows: bool, ts_ns: int) -> None:
    """Show a price to one dormant order: its trail follows, or it triggers."""
    order = book.orders[slot]
    if follows and order["kind"] == Kind.TRAILING_STOP:
        follow(order, price_ticks)
    stop = order["stop_price_ticks"]
    if stop != NO_PRICE and sign_of(order["side"]) * (price_ticks - stop) >= 0:
        awaken(book, slot, ts_ns)


@part
def trigger(
    book: Book, buy_ticks: int, sell_ticks: int, follows: bool, eligible_ns: int, ts_ns: int
) -> None:
    """Show a moment's prices to all dormant orders, in order of arrival."""
    if not (
        book.state[0]["restless"]
        or (buy_ticks != NO_PRICE and wakes(book, Side.BUY, buy_ticks))
        or (sell_ticks != NO_PRICE and wakes(book, Side.SELL, sell_ticks))
    ):
        return
    slot = book.state[0]["first"]
    while slot != NO_SLOT:
        order = book.orders[slot]
        following = order["next"]
        price = buy_ticks if order["side"] == Side.BUY else sell_ticks
        if order["dormant"] and price != NO_PRICE and order["accepted_ns"] <= eligible_ns:
            touch(book, slot, price, follows, ts_ns)
        slot = following


@part
def _spend(book: Book, order: Any, source: int) -> int:
    """Return what the order gets of the amount at hand, and take it off."""
    state = book.state[0]
    side = book.sides[order["side"]]
    left = side["opposite_left_lots"] if source == Source.QUOTE else state["flow_left_lots"]
    wanted = order["remaining_lots"]
    if left < 0:  # UNKNOWN_SIZE
        return int(wanted)
    lots = min(wanted, left)
    if order["lifetime"] == Lifetime.FOK and lots < wanted:
        return 0
    if source == Source.QUOTE:
        side["opposite_left_lots"] = left - lots
    else:
        state["flow_left_lots"] = left - lots
    return int(lots)


@part
def deal_price(book: Book, order: Any, price_ticks: int, source: int) -> int:
    """Return the price at which an active order trades when the market is at `price_ticks`."""
    if not has_limit(order):
        return int(price_ticks + sign_of(order["side"]) * book.state[0]["slippage_ticks"])
    if order["fresh"] or source == Source.BAR:
        return price_ticks  # a bar tells the level itself: the limit, or the open of a gap
    return int(order["limit_price_ticks"])


@part
def execute(book: Book, slot: int, price_ticks: int, source: int, ts_ns: int) -> None:
    """Fill an active order that `price_ticks` reaches, as far as the amount at hand goes."""
    order = book.orders[slot]
    if has_limit(order) and order["fresh"] and order["post_only"]:
        cancel_slot(book, slot, Reason.POST_ONLY_WOULD_TAKE, ts_ns)
        return
    lots = _spend(book, order, source)
    if lots == 0:
        return
    event = emit(book, EventKind.FILL, slot, ts_ns)
    event["lots"] = lots
    event["price_ticks"] = deal_price(book, order, price_ticks, source)
    event["is_maker"] = has_limit(order) and not order["fresh"]
    order["remaining_lots"] -= lots
    if order["remaining_lots"] == 0:
        remove(book, slot)


@part
def reach(book: Book, order: Any, price_ticks: int, source: int) -> int:
    """Return how far an active order goes beyond a price; negative when it is not reached.

    A market order goes beyond every price.
    """
    if not has_limit(order):
        return FAR
    room = sign_of(order["side"]) * (order["limit_price_ticks"] - price_ticks)
    if room == 0 and source != Source.QUOTE and book.state[0]["through_only"]:
        return -1
    return int(room)


@part
def _precedes(hit: Any, other: Any) -> bool:
    if hit["rank"] != other["rank"]:
        return bool(hit["rank"] > other["rank"])
    return bool(hit["sequence"] < other["sequence"])


@part
def _sort_hits(book: Book, count: int) -> None:
    """Sort by rank, highest first, then by arrival. Shell's method: short, and no memory."""
    hits = book.hits
    gap = 1
    while gap < count // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for start in range(gap, count):
            place = start
            while place >= gap and _precedes(hits[place], hits[place - gap]):
                for_slot, for_sequence, for_rank = (
                    hits[place]["slot"],
                    hits[place]["sequence"],
                    hits[place]["rank"],
                )
                hits[place]["slot"] = hits[place - gap]["slot"]
                hits[place]["sequence"] = hits[place - gap]["sequence"]
                hits[place]["rank"] = hits[place - gap]["rank"]
                hits[place - gap]["slot"] = for_slot
                hits[place - gap]["sequence"] = for_sequence
                hits[place - gap]["rank"] = for_rank
                place -= gap
        gap //= 3


@part
def _note_hit(book: Book, count: int, slot: int, rank: int) -> int:
    hit = book.hits[count]
    hit["slot"] = slot
    hit["sequence"] = book.orders[slot]["sequence"]
    hit["rank"] = rank
    return count + 1


@part
def match(
    book: Book,
    buy_ticks: int,
    sell_ticks: int,
    source: int,
    since_sequence: int,
    until_sequence: int,
    eligible_ns: int,
    ts_ns: int,
) -> None:
    """Fill the active orders that a moment reaches: the best price first, then the earliest.

    The arguments are those of `gather`.
    """
    count = gather(book, buy_ticks, sell_ticks, source, since_sequence, until_sequence, eligible_ns)
    for index in range(count):
        slot = book.hits[index]["slot"]
        price = buy_ticks if book.orders[slot]["side"] == Side.BUY else sell_ticks
        execute(book, slot, price, source, ts_ns)


@part
def gather(
    book: Book,
    buy_ticks: int,
    sell_ticks: int,
    source: int,
    since_sequence: int,
    until_sequence: int,
    eligible_ns: int,
) -> int:
    """Put the active orders that a moment reaches into `book.hits`; return how many they are.

    Args:
        buy_ticks, sell_ticks: what buys and sells meet; `NO_PRICE` where nobody is.
        source: whose amount they share. A print fills market orders only where no quote is known,
            and those of an auction.
        since_sequence, until_sequence: only orders that arrived in this range, end excluded.
        eligible_ns: only orders accepted up to here.
    """
    state = book.state[0]
    count = 0
    slot = state["first"]
    while slot != NO_SLOT:
        order = book.orders[slot]
        price = buy_ticks if order["side"] == Side.BUY else sell_ticks
        if (
            not order["dormant"]
            and price != NO_PRICE
            and since_sequence <= order["sequence"] < until_sequence
            and order["accepted_ns"] <= eligible_ns
            and (
                has_limit(order)
                or source != Source.PRINT
                or not state["quoted"]
                or order["lifetime"] >= Lifetime.OPG
            )
        ):
            rank = reach(book, order, price, source)
            if rank >= 0:
                count = _note_hit(book, count, slot, rank)
        slot = order["next"]
    _sort_hits(book, count)
    return count


@part
def _level_within(book: Book, order: Any, start_ticks: int, end_ticks: int) -> int:
    """Return the price at which a move from start to end reaches the order, or `NO_PRICE`."""
    sign = sign_of(order["side"])
    if order["dormant"]:
        stop = order["stop_price_ticks"]
        if order["lifetime"] >= Lifetime.OPG:
            return NO_PRICE
        if sign * (end_ticks - start_ticks) < 0 or sign * (end_ticks - stop) < 0:
            return NO_PRICE
        return int(stop) if sign * (stop - start_ticks) > 0 else start_ticks
    if not has_limit(order) or sign * (end_ticks - start_ticks) > 0:
        return NO_PRICE  # a market order that is still here has found the volume used up
    limit = order["limit_price_ticks"]
    if reach(book, order, end_ticks, Source.BAR) < 0:
        return NO_PRICE
    return int(limit) if sign * (limit - start_ticks) < 0 else start_ticks


@part
def walk(book: Book, start_ticks: int, end_ticks: int, eligible_ns: int, ts_ns: int) -> None:
    """Move the price within a bar: orders act in the order in which the path reaches them."""
    if start_ticks == end_ticks:
        return
    count = gather_leg(book, start_ticks, end_ticks, eligible_ns)
    direction = 1 if end_ticks > start_ticks else -1
    for index in range(count):
        slot = book.hits[index]["slot"]
        level = start_ticks - direction * book.hits[index]["rank"]
        order = book.orders[slot]
        if order["dormant"]:
            awaken(book, slot, ts_ns)
            if is_beyond_limit(order, level):
                finish(book, slot, ts_ns)
                continue
        execute(book, slot, level, Source.BAR, ts_ns)
        finish(book, slot, ts_ns)
    follow_to(book, end_ticks, eligible_ns)


@part
def gather_leg(book: Book, start_ticks: int, end_ticks: int, eligible_ns: int) -> int:
    """Put the orders that a move reaches into `book.hits`, in its order; return how many.

    The rank of a hit is its distance from the start, negated.
    """
    count = 0
    slot = book.state[0]["first"]
    while slot != NO_SLOT:
        order = book.orders[slot]
        if order["accepted_ns"] <= eligible_ns:
            level = _level_within(book, order, start_ticks, end_ticks)
            if level != NO_PRICE:
                count = _note_hit(book, count, slot, -abs(level - start_ticks))
        slot = order["next"]
    _sort_hits(book, count)
    return count


@part
def is_beyond_limit(order: Any, price_ticks: int) -> bool:
    """Say that the order has a limit that does not allow this price."""
    return bool(
        has_limit(order) and sign_of(order["side"]) * (order["limit_price_ticks"] - price_ticks) < 0
    )


@part
def follow_to(book: Book, price_ticks: int, eligible_ns: int) -> None:
    """Let the trailing stops follow to the end of a move."""
    slot = book.state[0]["first"]
    while slot != NO_SLOT:
        order = book.orders[slot]
        if (
            order["dormant"]
            and order["kind"] == Kind.TRAILING_STOP
            and order["accepted_ns"] <= eligible_ns
        ):
            follow(order, price_ticks)
        slot = order["next"]
