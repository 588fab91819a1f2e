"""What a check of parity says: figures side by side, and in words where a difference comes from."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import msgspec

from alphintra.core import money
from alphintra.core.clock import to_datetime
from alphintra.core.ids import OrderId, TradeId
from alphintra.core.market_data import Bar, Quote, Tick
from alphintra.trading.replay import Deviation, MarketDifference, ReplayedFill


class Cause(StrEnum):
    """Where a difference comes from."""

    DATA = "data"  #: a market event is missing, late or different
    LATENCY = "latency"  #: the order reached the venue at another time than its history says
    FILL = "fill"  #: another price or quantity, or no fill at all
    FEE = "fee"
    ROUNDING = "rounding"  #: less than a tick of price or a unit of the last place of a fee


class Amounts(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a fill."""

    quantity: Decimal
    price: Decimal
    fee: Decimal
    liquidity: str


class BookedFill(msgspec.Struct, frozen=True, kw_only=True):
    """A fill as the account has it."""

    id: TradeId
    order_id: OrderId
    symbol: str
    at: datetime
    amounts: Amounts


class FillPair(msgspec.Struct, frozen=True, kw_only=True):
    """A booked fill and its replay, either of which may be absent."""

    trade_id: UUID
    order_id: UUID
    symbol: str
    at: datetime
    booked: Amounts | None
    replayed: Amounts | None
    #: The market event that the simulator filled on; empty: it filled at its arrival.
    event: str
    cause: Cause | None = None
    detail: str = ""


class OrderDifference(msgspec.Struct, frozen=True, kw_only=True):
    """An order's trigger or end at the venue that the replay has otherwise."""

    order_id: UUID
    symbol: str
    what: str
    booked: str | None
    replayed: str | None
    cause: Cause
    detail: str


class MarketCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How what the venue saw of a source compares with what is stored of it."""

    symbol: str
    source: str
    events: int
    is_stored: bool
    missing: int = 0
    different: int = 0
    late: int = 0
    unseen: int = 0


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long instructions were on their way, and what of it the fills show."""

    instructions: int
    median_ms: float
    max_ms: float
    #: Fills that would have another price or not exist had nothing been on its way.
    fills_changed: int


class ParityReport(msgspec.Struct, frozen=True, kw_only=True):
    """One account's day, booked and replayed."""

    account_id: UUID
    day: date
    is_identical: bool
    orders: int
    fills: int
    outcomes: int
    #: Fills that the desk did not book because the order had ended before it heard of them.
    void: int
    pairs: list[FillPair]
    order_differences: list[OrderDifference]
    market: list[MarketCheck]
    latency: Latency
    notes: list[str]


def nearest(
    deviations: Sequence[MarketDifference], made: ReplayedFill | None
) -> MarketDifference | None:
    """Return the deviation that most likely moved a fill: of its own event, or the nearest."""
    if not deviations:
        return None
    if made is None:
        return deviations[0]
    tick = made.heard.tick
    for one in deviations:
        if tick is not None and (one.seen is tick or one.stored is tick):
            return one
    at_ns = made.fill.ts_ns if tick is None else tick.ts_ns
    return min(deviations, key=lambda one: abs(one.at_ns - at_ns))


def describe(difference: MarketDifference | None) -> str:
    if difference is None:
        return "the stored market data differ"
    source, seen, stored = difference.source, tick_text(difference.seen), difference.stored
    match difference.kind:
        case Deviation.MISSING:
            return f"an event of {source} that the venue saw is not stored: {seen}"
        case Deviation.UNSEEN:
            return f"a stored event of {source} never reached the venue: {tick_text(stored)}"
        case Deviation.LATE | Deviation.DIFFERENT:
            word = "at another time" if difference.kind is Deviation.LATE else "differently"
            return f"an event of {source} is stored {word}: seen {seen}, stored {tick_text(stored)}"


def tick_text(tick: Tick | None) -> str:
    if tick is None:
        return "nothing"
    at = to_datetime(tick.ts_ns).isoformat()
    if isinstance(tick, Quote):
        return f"quote {money.text(tick.bid)}/{money.text(tick.ask)} at {at}"
    if isinstance(tick, Bar):
        return f"bar {tick.timeframe} of {at}"
    return f"trade {money.text(tick.size)} at {money.text(tick.price)}, {at}"
