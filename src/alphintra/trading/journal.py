"""The venue's record: what the paper venue was told, in the order in which it heard it.

A fill follows from three things: the orders, the market, and which of the two came first. Orders
and market data are stored elsewhere; the record keeps the third, and the market as this venue saw
it, so that `parity` can play any day again. Noting something is one append to a list: encoding and
storing happen beside the desk (`journal_store.py`).

While no order of a symbol is open, nothing can be filled, so of that time only the last quote is
kept: it is what the next order meets first, and the last event, from which on all are there.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Protocol
from uuid import UUID

import msgspec

from alphintra.core.clock import NS_PER_SECOND, Clock, to_ns
from alphintra.core.ids import OrderId, TradeId
from alphintra.core.instruments import Instrument
from alphintra.core.market_data import Bar, FeedBatch, Quote
from alphintra.trading.paper import PaperRules
from alphintra.trading.state import Order
from alphintra.trading.venue import VenueEvent, VenueFill, VenueOrder

#: A block is handed over when it has so many entries, or is so old without anything urgent in it.
BLOCK_ENTRIES: Final = 2_000
BLOCK_AGE_S: Final = 20
#: What waits at most for a database that is away; then nothing more is noted, and parity says so.
ENTRIES_WAITING_MAX: Final = 500_000


class Opened(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The first order comes into an empty market.

    `is_fresh`: the last quote follows, so that nothing before this entry matters any more.
    """

    at_ns: int
    instrument: Instrument
    rules: PaperRules
    is_fresh: bool


class Shown(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The market spoke. `is_idle`: while no order was open."""

    received_ns: int
    batch: FeedBatch
    is_idle: bool


class SourceChanged(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Another source has taken over the symbol."""

    at_ns: int


class Submitted(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """An order arrived at `order.accepted_ns`, as its history has it at `version`."""

    order: VenueOrder
    version: int
    decided_ns: int


class Restored(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """An order came back after a restart of the desk."""

    order: VenueOrder
    version: int


class Modified(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """An order's new terms arrived."""

    order: VenueOrder
    version: int
    decided_ns: int
    at_ns: int


class Canceled(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The desk took an order out of the market."""

    order_id: OrderId
    version: int
    decided_ns: int
    at_ns: int


class Expired(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Time ended some of the orders."""

    at_ns: int


class Reduced(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The desk booked less of a fill than the venue reported: the order had ended or shrunk."""

    at_ns: int
    order_id: OrderId
    fill_id: TradeId
    booked: Decimal


class Ignored(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The desk had ended an order before it heard from the venue how it went on."""

    at_ns: int
    order_id: OrderId
    kind: str


Entry = (
    Opened
    | Shown
    | SourceChanged
    | Submitted
    | Restored
    | Modified
    | Canceled
    | Expired
    | Reduced
    | Ignored
)


def time_of(entry: Entry) -> int:
    """Return when the venue heard it, by the desk's clock."""
    match entry:
        case Shown(received_ns=at_ns):
            return at_ns
        case Submitted(order=order) | Restored(order=order):
            return order.accepted_ns
        case _:
            return entry.at_ns


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of one symbol's record."""

    desk_id: UUID
    symbol: str
    sequence: int
    entries: list[Entry]

    @property
    def is_restart(self) -> bool:
        """Whether a replay may begin in this block."""
        return any(type(entry) is Opened and entry.is_fresh for entry in self.entries)


@dataclass(slots=True)
class _Symbol:
    """What waits to be stored, and what an idle market has shown."""

    sequence: int = 0
    entries: list[Entry] = field(default_factory=list)
    is_urgent: bool = False
    idle_quote: Shown | None = None
    idle_last: Shown | None = None
    has_ticks: bool = False


class Record(Protocol):
    """What the desk notes of its dealings with the venue, each before or as it happens."""

    def shown(self, batch: FeedBatch, *, is_idle: bool) -> None: ...

    def source_changed(self, symbol: str) -> None: ...

    def opened(self, symbol: str, instrument: Instrument | None, rules: PaperRules) -> None: ...

    def submitted(self, order: Order, venue_order: VenueOrder) -> None: ...

    def restored(self, order: Order, venue_order: VenueOrder) -> None: ...

    def modified(self, order: Order, venue_order: VenueOrder, at_ns: int) -> None: ...

    def canceled(self, order: Order, at_ns: int) -> None: ...

    def expired(self, symbols: Iterable[str], at_ns: int) -> None: ...

    def reported(self, symbols: Iterable[str]) -> None: ...

    def reduced(self, symbol: str, event: VenueFill, booked: Decimal) -> None: ...

    def ignored(self, symbol: str, event: VenueEvent) -> None: ...


class NoRecord:
    """Notes nothing: for desks that nobody will ask."""

    def shown(self, batch: FeedBatch, *, is_idle: bool) -> None: ...

    def source_changed(self, symbol: str) -> None: ...

    def opened(self, symbol: str, instrument: Instrument | None, rules: PaperRules) -> None: ...

    def submitted(self, order: Order, venue_order: VenueOrder) -> None: ...

    def restored(self, order: Order, venue_order: VenueOrder) -> None: ...

    def modified(self, order: Order, venue_order: VenueOrder, at_ns: int) -> None: ...

    def canceled(self, order: Order, at_ns: int) -> None: ...

    def expired(self, symbols: Iterable[str], at_ns: int) -> None: ...

    def reported(self, symbols: Iterable[str]) -> None: ...

    def reduced(self, symbol: str, event: VenueFill, booked: Decimal) -> None: ...

    def ignored(self, symbol: str, event: VenueEvent) -> None: ...


class Journal:
    """The record of one desk's venue, until it is stored."""

    def __init__(self, desk_id: UUID, clock: Clock) -> None:
        self.desk_id = desk_id
        self._clock = clock
        self._symbols: dict[str, _Symbol] = {}
        self._waiting = 0
        #: A record with a hole would be taken for the truth: once it is full, it ends.
        self.is_full = False

    def shown(self, batch: FeedBatch, *, is_idle: bool) -> None:
        """Note market data before orders meet them."""
        state = self._state(batch.symbol)
        entry = Shown(self._clock.now_ns(), batch, is_idle)
        kinds = {type(tick) for tick in batch.ticks}
        state.has_ticks = state.has_ticks or kinds != {Bar}
        if not (is_idle and state.has_ticks):
            # Where only bars are known, which of them orders meet depends on those before.
            self._add(state, entry)
        elif kinds != {Bar}:
            state.idle_last = entry
            if Quote in kinds:
                state.idle_quote = entry

    def source_changed(self, symbol: str) -> None:
        """Note that another source has taken over, before its first data."""
        state = self._state(symbol)
        state.idle_quote = state.idle_last = None
        state.has_ticks = False
        self._add(state, SourceChanged(self._clock.now_ns()))

    def opened(self, symbol: str, instrument: Instrument | None, rules: PaperRules) -> None:
        """Note that an order is about to enter an empty market."""
        if instrument is None:
            return  # the venue will refuse the order
        state = self._state(symbol)
        is_fresh = state.idle_quote is not None
        self._add(state, Opened(self._clock.now_ns(), instrument, rules, is_fresh))
        if state.idle_quote is not None:
            self._add(state, state.idle_quote)
        # From the last event on, whoever compares can expect to find every one.
        if state.idle_last is not None and state.idle_last is not state.idle_quote:
            self._add(state, state.idle_last)
        state.idle_quote = state.idle_last = None

    def submitted(self, order: Order, venue_order: VenueOrder) -> None:
        """Note an order before it meets the market."""
        self._urgent(order.symbol, Submitted(venue_order, order.version, to_ns(order.updated_at)))

    def restored(self, order: Order, venue_order: VenueOrder) -> None:
        """Note an order that comes back after a restart."""
        self._urgent(order.symbol, Restored(venue_order, order.version))

    def modified(self, order: Order, venue_order: VenueOrder, at_ns: int) -> None:
        """Note new terms before they take effect."""
        decided_ns = to_ns(order.updated_at)
        self._urgent(order.symbol, Modified(venue_order, order.version, decided_ns, at_ns))

    def canceled(self, order: Order, at_ns: int) -> None:
        """Note a cancellation."""
        decided_ns = to_ns(order.updated_at)
        self._urgent(order.symbol, Canceled(order.id, order.version, decided_ns, at_ns))

    def expired(self, symbols: Iterable[str], at_ns: int) -> None:
        """Note that orders of these symbols were ended by time."""
        for symbol in symbols:
            self._urgent(symbol, Expired(at_ns))

    def reported(self, symbols: Iterable[str]) -> None:
        """Note that the venue did something: what led to it is stored soon."""
        for symbol in symbols:
            self._state(symbol).is_urgent = True

    def reduced(self, symbol: str, event: VenueFill, booked: Decimal) -> None:
        """Note that of a fill only `booked` was booked."""
        at_ns = self._clock.now_ns()
        self._urgent(symbol, Reduced(at_ns, event.order_id, event.fill_id, booked))

    def ignored(self, symbol: str, event: VenueEvent) -> None:
        """Note a report that came too late to change anything."""
        self._urgent(symbol, Ignored(self._clock.now_ns(), event.order_id, type(event).__name__))

    def take(self, *, everything: bool = False) -> list[Block]:
        """Hand over what is due, to be stored; what is handed over is no longer here."""
        now_ns = self._clock.now_ns()
        blocks: list[Block] = []
        for symbol, state in self._symbols.items():
            entries = state.entries
            if not entries:
                continue
            is_old = abs(now_ns - time_of(entries[0])) > BLOCK_AGE_S * NS_PER_SECOND
            if everything or state.is_urgent or is_old or len(entries) >= BLOCK_ENTRIES:
                blocks.append(Block(self.desk_id, symbol, state.sequence, entries))
                state.sequence += 1
                state.entries = []
                state.is_urgent = False
        return blocks

    def stored(self, blocks: Iterable[Block]) -> None:
        """Make room: these blocks are safe."""
        self._waiting -= sum(len(block.entries) for block in blocks)

    def _state(self, symbol: str) -> _Symbol:
        if (state := self._symbols.get(symbol)) is None:
            state = self._symbols[symbol] = _Symbol()
        return state

    def _urgent(self, symbol: str, entry: Entry) -> None:
        state = self._state(symbol)
        state.is_urgent = True
        self._add(state, entry)

    def _add(self, state: _Symbol, entry: Entry) -> None:
        if self._waiting >= ENTRIES_WAITING_MAX:
            self.is_full = True
        if not self.is_full:
            self._waiting += 1
            state.entries.append(entry)
