"""How a simulated market with depth lies in memory.

Prices are integer ticks, quantities integer lots, times nanoseconds since the UNIX epoch. The
prices that ever occur in a recording are known beforehand, so a book is an array with one place for
each of them, a *rank*: a level is found in one step, and the whole book fits the processor's cache.
Orders and what happened to them are only ever appended, so they are the result as well.
"""

from enum import IntEnum
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

_Item = TypeVar("_Item", bound=np.generic)

#: Sizes are smaller than this, so that the product of two of them fits 64 bits.
SIZE_LIMIT: Final = 2**31
#: A latency that is not given in nanoseconds but taken from the recording.
RECORDED: Final = -1
#: Not the id of any order.
NO_ORDER: Final = -1
#: The rank of an order at a price that the recording never has.
NO_RANK: Final = -1


class What(IntEnum):
    """What a row of the tape says. The first two are also the sides of the book."""

    BID = 0  #: this bid holds so many lots from here on
    ASK = 1
    SOLD = 2  #: a seller took so many lots from the bids
    BOUGHT = 3
    TRADED = 4  #: nobody knows who took


class QueueModel(IntEnum):
    """Which of the others' orders at a price are cancelled when its level shrinks."""

    CONSERVATIVE = 0  #: those behind us, as long as there are any
    PROPORTIONAL = 1  #: those ahead and behind alike, by their share of the level


class Status(IntEnum):
    """Where an order is."""

    SENT = 0  #: on its way to the venue
    OPEN = 1  #: rests there
    FILLED = 2
    CANCELED = 3
    REJECTED = 4


class News(IntEnum):
    """What happened to an order."""

    ACCEPTED = 0
    FILL = 1
    CANCELED = 2
    REJECTED = 3
    REPLACED = 4  #: a modification was done
    REFUSED = 5  #: a cancellation or modification came too late, or would have taken


class Why(IntEnum):
    """Why an order was cancelled, rejected, or a request for it refused."""

    NONE = 0
    REQUESTED = 1
    IMMEDIATE_OR_CANCEL = 2
    FILL_OR_KILL = 3
    POST_ONLY_WOULD_TAKE = 4
    NOTHING_LEFT = 5  #: a market order has emptied the side
    NOT_OPEN = 6


class Request(IntEnum):
    """What is on its way to the venue."""

    SUBMIT = 0
    CANCEL = 1
    MODIFY = 2


class Pause(IntEnum):
    """Why compiled code has come back."""

    DONE = 0
    NEEDS_ROOM = 1  #: a log is full; `grown` and go on


LEVEL: Final = np.dtype(
    [
        ("lots", "i4"),  # as the venue shows it
        ("traded", "i4"),  # since the level last changed: the next change includes it
        ("taken", "i4"),  # by our orders, and not refilled
        ("ours", "i4"),  # how many of our orders rest here
    ]
)

#: An order as the venue has it.
ORDER: Final = np.dtype(
    [
        ("side", "i8"),
        ("kind", "i8"),
        ("post_only", "i8"),
        ("price_ticks", "i8"),
        ("remaining_lots", "i8"),
        ("status", "i8"),
        ("rank", "i8"),
        ("ahead_lots", "i8"),  # of others, before us at our price
    ]
)

#: An order as we know it: what we have sent and heard.
KNOWN: Final = np.dtype(
    [
        ("side", "i8"),
        ("kind", "i8"),
        ("lots", "i8"),
        ("price_ticks", "i8"),
        ("remaining_lots", "i8"),
        ("status", "i8"),
        ("cancel_sent", "i8"),
        ("sent_ns", "i8"),
        ("tag", "i8"),
    ]
)

REQUEST: Final = np.dtype(
    [
        ("what", "i8"),
        ("order", "i8"),
        ("side", "i8"),
        ("kind", "i8"),
        ("lifetime", "i8"),
        ("post_only", "i8"),
        ("price_ticks", "i8"),
        ("lots", "i8"),
        ("arrives_ns", "i8"),
    ]
)

NEWS: Final = np.dtype(
    [
        ("kind", "i8"),
        ("order", "i8"),
        ("side", "i8"),
        ("lots", "i8"),  # filled; of other news, what remains
        ("price_ticks", "i8"),
        ("is_maker", "i8"),
        ("why", "i8"),
        ("venue_ns", "i8"),
        ("seen_ns", "i8"),  # when we hear of it
    ]
)

#: The market and the account as they stood at a moment at which the strategy was called.
MARK: Final = np.dtype(
    [
        ("ts_ns", "i8"),
        ("bid_ticks", "i8"),
        ("ask_ticks", "i8"),
        ("position_lots", "i8"),
        ("cash_ticks", "i8"),
        ("fee_ticks", "f8"),
    ]
)

STATE: Final = np.dtype(
    [
        ("now_ns", "i8"),
        ("row", "i8"),  # of the tape, next at the venue
        ("view_row", "i8"),  # of the tape, next to be seen
        ("shares_view", "i8"),  # the feed has no latency: both books are one
        ("feed_latency_ns", "i8"),  # of the last event seen
        ("venue_latency_ns", "i8"),  # of the last event at the venue
        ("orders", "i8"),
        ("requests", "i8"),
        ("arrived", "i8"),  # requests that the venue has handled
        ("news", "i8"),
        ("told", "i8"),  # news that we have heard
        ("marks", "i8"),
        ("working", "i8"),  # orders that we have sent and not heard the end of
        ("buy_fence", "i8"),  # an ask at this rank or below meets one of our buys
        ("sell_fence", "i8"),  # a bid at this rank or above meets one of our sells
        ("queue_model", "i8"),
        ("entry_ns", "i8"),
        ("response_ns", "i8"),
        ("keeps_marks", "i8"),
        ("short_of_room", "i8"),  # a request was not taken: a log is full
        ("position_lots", "i8"),  # as we have been told
        ("cash_ticks", "i8"),  # in ticks × lots
        ("last_price_ticks", "i8"),  # of the last print seen
        ("bought_lots", "i8"),  # by takers, seen so far
        ("sold_lots", "i8"),
        ("fee_ticks", "f8"),  # in ticks × lots
        ("maker_rate", "f8"),
        ("taker_rate", "f8"),
    ]
)


class Tape(NamedTuple):
    """What a recording says, in the venue's order; see `tape.tape_of`."""

    venue_ns: NDArray[np.int64]
    seen_ns: NDArray[np.int64]
    what: NDArray[np.int8]  #: values of `What`
    rank: NDArray[np.int32]
    lots: NDArray[np.int32]
    prices: NDArray[np.int64]  #: in ticks, ascending: one for each rank


class Ladder(NamedTuple):
    """A book: both sides of every price that occurs."""

    prices: NDArray[np.int64]  #: in ticks, ascending
    levels: NDArray[np.void]  #: LEVEL, shape (2, ranks): bids, asks
    best: NDArray[np.int64]  #: rank of the best bid (-1 where there is none) and ask (ranks)


class Desk(NamedTuple):
    """What a strategy has: what it knows of its orders and account, and the way to the venue."""

    state: NDArray[np.void]  #: one STATE
    orders: NDArray[np.void]  #: KNOWN: every order there has been, by id
    working: NDArray[np.int64]  #: the first `working`: ids that we have not heard the end of
    requests: NDArray[np.void]  #: REQUEST, in the order of arrival
    parameters: NDArray[np.float64]  #: of the strategy
    memory: NDArray[np.float64]  #: the strategy's own, to remember something


class Floor(NamedTuple):
    """The venue: its book and our orders there."""

    book: Ladder
    state: NDArray[np.void]  #: one STATE, that of the desk
    orders: NDArray[np.void]  #: ORDER, by id
    resting: NDArray[np.int64]  #: shape (2, n): ids of a side, best price and then first come
    resting_count: NDArray[np.int64]  #: shape (2,)
    news: NDArray[np.void]  #: NEWS, in the order in which we hear of them


class Market(NamedTuple):
    """A market with our orders in it, as compiled code takes it.

    The parts go into functions by value, so each of them takes no more than it needs.
    """

    tape: Tape
    floor: Floor
    seen: Ladder  #: the book as we see it; that of the floor when the feed has no latency
    desk: Desk
    state: NDArray[np.void]  #: one STATE, that of the desk
    marks: NDArray[np.void]  #: MARK


def new_ladder(prices: NDArray[np.int64]) -> Ladder:
    """Return an empty book with a place for each of these prices."""
    levels = np.zeros((2, len(prices)), LEVEL)
    return Ladder(prices, levels, np.array([-1, len(prices)], np.int64))


def new_market(
    tape: Tape,
    *,
    shares_view: bool,
    queue_model: QueueModel,
    entry_ns: int,
    response_ns: int,
    maker_rate: float,
    taker_rate: float,
    parameters: NDArray[np.float64],
    memory: int,
    keeps_marks: bool,
) -> Market:
    """Return the market before its first event; see `simulation.DepthSimulation`."""
    book = new_ladder(tape.prices)
    state = np.zeros(1, STATE)
    state["now_ns"] = tape.venue_ns[0]
    state["shares_view"] = shares_view
    state["queue_model"] = queue_model
    state["entry_ns"], state["response_ns"] = entry_ns, response_ns
    state["maker_rate"], state["taker_rate"] = maker_rate, taker_rate
    state["keeps_marks"] = keeps_marks
    state["buy_fence"], state["sell_fence"] = -1, len(tape.prices)
    desk = Desk(
        state=state,
        orders=np.zeros(0, KNOWN),
        working=np.zeros(0, np.int64),
        requests=np.zeros(0, REQUEST),
        parameters=parameters,
        memory=np.zeros(memory),
    )
    floor = Floor(
        book=book,
        state=state,
        orders=np.zeros(0, ORDER),
        resting=np.zeros((2, 0), np.int64),
        resting_count=np.zeros(2, np.int64),
        news=np.zeros(0, NEWS),
    )
    seen = book if shares_view else new_ladder(tape.prices)
    market = Market(tape, floor, seen, desk, state, marks=np.zeros(0, MARK))
    return grown(market, FIRST_ROOM)


#: Orders that fit before the logs grow for the first time. Memory is only used as it is written.
FIRST_ROOM: Final = 65_536


def grown(market: Market, room: int = 0) -> Market:
    """Return the market with twice the room in its logs; it shares the books with `market`."""
    floor, desk = market.floor, market.desk
    size = max(room, 2 * len(floor.orders))
    market.state["short_of_room"] = 0
    return market._replace(
        floor=floor._replace(
            orders=_longer(floor.orders, size),
            resting=np.vstack([_longer(side, size) for side in floor.resting]),
            news=_longer(floor.news, 4 * size + len(market.tape.prices)),
        ),
        desk=desk._replace(
            orders=_longer(desk.orders, size),
            working=_longer(desk.working, size),
            requests=_longer(desk.requests, 2 * size),
        ),
        marks=_longer(market.marks, 2 * size),
    )


def _longer(array: NDArray[_Item], size: int) -> NDArray[_Item]:
    longer = np.zeros(size, array.dtype)
    longer[: len(array)] = array
    return longer
