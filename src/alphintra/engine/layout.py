"""How a simulated book lies in memory.

One book holds the open orders of one symbol. Everything is an `int64`: prices in ticks, quantities
in lots, times in nanoseconds since the UNIX epoch, UTC. Orders sit in the slots of one structured
array, chained in order of arrival, so that entering, cancelling and filling cost the same however
many orders there have been.
"""

from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: No price: nobody is there, or it is not known yet. Far from every real price, and safe to negate.
NO_PRICE: Final = -(2**62)
#: Beyond every real price.
FAR: Final = 2**62
#: Real prices and quantities are smaller than this, so that no sum of two of them overflows.
MAGNITUDE_LIMIT: Final = 2**60
#: A size that the source does not tell: it does not limit fills.
UNKNOWN_SIZE: Final = -1
#: The time at which nothing has ended yet.
NEVER_NS: Final = 2**63 - 1
#: Nothing has been shown yet.
NO_SOURCE: Final = -1
#: The end of a chain of slots.
NO_SLOT: Final = -1
#: Not the handle of any order.
NO_HANDLE: Final = -1
#: A handle is a slot in the low bits and the slot's generation above, so that the handle of an
#: order that is gone never means the next one in its slot.
SLOT_BITS: Final = 32
SLOT_MASK: Final = 2**SLOT_BITS - 1

BPS: Final = 10_000
#: One step emits at most TRIGGERED, FILL and CANCELED for each order.
EVENTS_PER_ORDER: Final = 3


class Side(IntEnum):
    """Which way an order trades; also its row in `Book.sides`."""

    BUY = 0
    SELL = 1


class Kind(IntEnum):
    """How an order finds its price."""

    MARKET = 0
    LIMIT = 1
    STOP = 2
    STOP_LIMIT = 3
    TRAILING_STOP = 4


class Lifetime(IntEnum):
    """What happens to what does not fill at once. DAY, GTC and GTD are `REST` with an expiry."""

    REST = 0
    IOC = 1  #: what the first moment does not fill is cancelled
    FOK = 2  #: the first moment fills all of it, or all of it is cancelled
    OPG = 3  #: takes part in the opening auction only: what it does not fill expires
    CLS = 4  #: the same for the closing auction


class EventKind(IntEnum):
    """What a step did to an order."""

    FILL = 0
    TRIGGERED = 1
    CANCELED = 2
    EXPIRED = 3


class Reason(IntEnum):
    """Why an order was canceled."""

    NONE = 0
    REQUESTED = 1
    IMMEDIATE_OR_CANCEL = 2
    FILL_OR_KILL = 3
    POST_ONLY_WOULD_TAKE = 4


class Outcome(IntEnum):
    """How a request to modify ended."""

    DONE = 0
    NOT_FOUND = 1
    POST_ONLY_WOULD_TAKE = 2


class Source(IntEnum):
    """What fills orders at a moment."""

    QUOTE = 0
    PRINT = 1
    BAR = 2


#: What every walk over the orders reads comes first, so that it lies in one cache line.
ORDER: Final = np.dtype(
    [
        ("next", "i8"),
        ("side", "i8"),
        ("kind", "i8"),
        ("dormant", "i8"),  # waits for its trigger, or for its auction
        ("limit_price_ticks", "i8"),
        ("accepted_ns", "i8"),
        ("sequence", "i8"),  # arrival; a later one stands behind at the same price
        ("fresh", "i8"),  # has not met the market since it became active
        ("expires_ns", "i8"),
        ("remaining_lots", "i8"),
        ("stop_price_ticks", "i8"),  # a trailing stop's follows its mark
        (
            "mark_price_ticks",
            "i8",
        ),  # best price a trailing stop has seen; NO_PRICE before the first
        ("trail_ticks", "i8"),
        ("trail_bps", "i8"),  # used when trail_ticks is zero
        ("lifetime", "i8"),
        ("post_only", "i8"),
        ("previous", "i8"),
        ("generation", "i8"),
        ("wakes_ns", "i8"),  # when to look for its auction; NEVER_NS: there is none to come
        ("owner", "i8"),  # whatever the caller wants to find again; the matching never reads it
    ]
)

#: What one side's orders trade against, and when they need to be looked at again. The fences are in
#: signed prices (× +1 for buys, × -1 for sells), so that one comparison serves both sides; they may
#: be too careful (an order behind them is gone), never too lax.
SIDE: Final = np.dtype(
    [
        ("opposite_price_ticks", "i8"),  # the ask for buys, the bid for sells
        ("opposite_left_lots", "i8"),  # what our orders have not taken of its size yet
        ("limit_fence", "i8"),  # a limit is reached when the signed price is not above
        ("stop_fence", "i8"),  # a stop is reached when the signed price is not below
        ("mark_fence", "i8"),  # a trailing stop moves when the signed price is below
    ]
)

STATE: Final = np.dtype(
    [
        ("first", "i8"),
        ("last", "i8"),
        ("free", "i8"),
        ("open_orders", "i8"),
        ("next_sequence", "i8"),
        ("events", "i8"),  # emitted by the last step
        ("quoted", "i8"),  # a quote has been seen
        ("flow_left_lots", "i8"),  # what is left of the print or bar at hand
        ("restless", "i8"),  # orders that any event may fill
        ("expires_fence_ns", "i8"),  # no order expires, and none has its auction, before
        ("last_source", "i8"),  # of the last event, or NO_SOURCE
        ("last_price_ticks", "i8"),  # what a print or the close of a bar has shown last
        ("slippage_ticks", "i8"),
        ("participation_bps", "i8"),
        ("through_only", "i8"),
    ]
)

EVENT: Final = np.dtype(
    [
        ("kind", "i8"),
        ("handle", "i8"),
        ("lots", "i8"),
        ("price_ticks", "i8"),
        ("is_maker", "i8"),
        ("reason", "i8"),
        ("ts_ns", "i8"),
    ]
)

HIT: Final = np.dtype([("slot", "i8"), ("sequence", "i8"), ("rank", "i8")])


class Book(NamedTuple):
    """The open orders of one symbol, and the room that a step needs, as compiled code takes it."""

    state: NDArray[np.void]  #: one STATE
    sides: NDArray[np.void]  #: two SIDE: `Side.BUY`, `Side.SELL`
    orders: NDArray[np.void]  #: ORDER for each slot
    hits: NDArray[np.void]  #: HIT for each slot: what a moment reaches, in its order
    events: NDArray[np.void]  #: EVENT: the first `state["events"]` are what the last step did


class Event(NamedTuple):
    """One row of `Book.events`."""

    kind: int
    handle: int
    lots: int
    price_ticks: int
    is_maker: int
    reason: int
    ts_ns: int


def new_book(
    capacity: int = 8,
    *,
    slippage_ticks: int = 0,
    participation_bps: int = BPS,
    through_only: bool = False,
) -> Book:
    """Return an empty book.

    Args:
        capacity: orders that can be open at once before `grown` is needed.
        slippage_ticks: by how much orders without a limit fill worse than the price they meet.
        participation_bps: the share of a bar's volume that our orders together may fill.
        through_only: prints and bars must trade through a resting limit to fill it; touching it,
            which fills the orders that queue in front, is not enough.

    Raises:
        ValueError: a capacity below one, negative slippage, or participation outside 0 to 10,000.
    """
    if not 0 < capacity <= SLOT_MASK:
        raise ValueError(f"capacity {capacity} is not between 1 and {SLOT_MASK}")
    if not 0 <= slippage_ticks < MAGNITUDE_LIMIT:
        raise ValueError(f"slippage_ticks {slippage_ticks} is negative or too large")
    if not 0 <= participation_bps <= BPS:
        raise ValueError(f"participation_bps {participation_bps} is not between 0 and {BPS}")
    book = Book(
        state=np.zeros(1, STATE),
        sides=np.zeros(2, SIDE),
        orders=np.zeros(0, ORDER),
        hits=np.zeros(0, HIT),
        events=np.zeros(0, EVENT),
    )
    state = book.state[0]
    state["first"] = state["last"] = state["free"] = NO_SLOT
    state["expires_fence_ns"] = NEVER_NS
    state["last_source"] = NO_SOURCE
    state["slippage_ticks"] = slippage_ticks
    state["participation_bps"] = participation_bps
    state["through_only"] = through_only
    book.sides["opposite_price_ticks"] = NO_PRICE
    book.sides["limit_fence"] = book.sides["mark_fence"] = -FAR
    book.sides["stop_fence"] = FAR
    return grown(book, capacity)


def grown(book: Book, capacity: int) -> Book:
    """Return the book with room for `capacity` orders; handles stay valid, emitted events do not.

    The state is shared with `book`, which must not be used again.
    """
    held = len(book.orders)
    if capacity <= held:
        return book
    orders = np.zeros(capacity, ORDER)
    orders[:held] = book.orders
    state = book.state[0]
    added = orders[held:]
    added["generation"] = 1
    added["next"] = np.arange(held + 1, capacity + 1)
    added["next"][-1] = state["free"]
    state["free"] = held
    state["events"] = 0
    return book._replace(
        orders=orders,
        hits=np.zeros(capacity, HIT),
        events=np.zeros(EVENTS_PER_ORDER * capacity, EVENT),
    )
