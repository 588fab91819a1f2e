"""The venue's record played again through the simulator, as it was or with something changed.

Pure: entries in, fills and outcomes out. `with_terms`, `at_times` and `with_market` return the
entries as they would have been had the orders' history, its times or the stored market data been
what the venue was told; comparing the replays tells which of them a difference comes from.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from alphintra.core import money
from alphintra.core.ids import OrderId, TradeId
from alphintra.core.instruments import Instrument
from alphintra.core.market_data import FeedBatch, Quote, Tick, Trade
from alphintra.trading.journal import (
    Canceled,
    Entry,
    Expired,
    Ignored,
    Modified,
    Opened,
    Reduced,
    Restored,
    Shown,
    SourceChanged,
    Submitted,
    time_of,
)
from alphintra.trading.paper import PaperVenue
from alphintra.trading.venue import (
    VenueCanceled,
    VenueEvent,
    VenueExpired,
    VenueFill,
    VenueOrder,
    VenueRejected,
    VenueTriggered,
)

#: What an order's end by time, and a reached stop, are called among the outcomes.
EXPIRED: Final = "expired"
TRIGGERED: Final = "triggered"
ENDED: Final = "ended"
#: A stored event that is the same in all but its time is looked for this far away.
LATE_NS: Final = 5_000_000_000

Version = tuple[OrderId, int]
OutcomeKey = tuple[OrderId, str]


@dataclass(frozen=True, slots=True)
class Heard:
    """The market event, or the instruction, that the simulator was told when something happened."""

    at_ns: int
    source: str = ""
    sequence: int = 0
    tick: Tick | None = None


@dataclass(frozen=True, slots=True)
class ReplayedFill:
    """A fill as the simulator made it, and what made it."""

    fill: VenueFill
    heard: Heard


@dataclass(slots=True)
class Replayed:
    """What the simulator did with some orders."""

    fills: dict[TradeId, ReplayedFill] = field(default_factory=dict)
    #: (order, TRIGGERED or ENDED) -> (reason, when).
    outcomes: dict[OutcomeKey, tuple[str, int]] = field(default_factory=dict)
    #: What the desk booked of fills that it did not book whole.
    reduced: dict[TradeId, Decimal] = field(default_factory=dict)
    ignored: set[OrderId] = field(default_factory=set)
    still_open: set[OrderId] = field(default_factory=set)


def replay(entries: Sequence[Entry], symbol: str, orders: Collection[OrderId]) -> Replayed:
    """Play one desk's record of a symbol and return what became of `orders`."""
    instruments: dict[str, Instrument] = {}
    rules = next((entry.rules for entry in entries if isinstance(entry, Opened)), None)
    venue = PaperVenue(instruments, rules)
    done = Replayed()
    for entry in entries:
        match entry:
            case Opened(instrument=instrument):
                instruments[symbol] = instrument
            case Shown(received_ns=at_ns, batch=batch):
                for tick in batch.ticks:
                    if events := venue.on_market_data(symbol, tick):
                        heard = Heard(at_ns, batch.source, batch.sequence, tick)
                        _note(done, events, heard, orders)
            case SourceChanged():
                venue.on_other_source(symbol)
            case Submitted(order=order) if not venue.is_open(order.order_id):
                _note(done, venue.submit(order), Heard(order.accepted_ns), orders)
            case Restored(order=order) if not venue.is_open(order.order_id):
                _note(done, venue.restore(order), Heard(order.accepted_ns), orders)
            case Modified(order=order, at_ns=at_ns) if venue.is_open(order.order_id):
                _note(done, venue.modify(order, at_ns), Heard(at_ns), orders)
            case Canceled(order_id=order_id, at_ns=at_ns):
                venue.cancel(order_id, at_ns)  # the desk's own doing: it does not hear of it
            case Expired(at_ns=at_ns):
                _note(done, venue.expire(at_ns), Heard(at_ns), orders)
            case Reduced(fill_id=fill_id, booked=booked):
                done.reduced.setdefault(fill_id, booked)  # of a repeat nothing more was booked
            case Ignored(order_id=order_id):
                done.ignored.add(order_id)
            case _:
                pass  # an order that is in the market already, or a change of one that is not
    done.still_open = {order_id for order_id in orders if venue.is_open(order_id)}
    return done


def _note(
    done: Replayed, events: Sequence[VenueEvent], heard: Heard, orders: Collection[OrderId]
) -> None:
    for event in events:
        order_id = event.order_id
        if order_id not in orders:
            continue
        match event:
            case VenueFill():
                done.fills[event.fill_id] = ReplayedFill(event, heard)
            case VenueTriggered():
                done.outcomes[order_id, TRIGGERED] = ("", heard.at_ns)
            case VenueExpired():
                done.outcomes[order_id, ENDED] = (EXPIRED, heard.at_ns)
            case VenueCanceled(reason=reason) | VenueRejected(reason=reason):
                done.outcomes[order_id, ENDED] = (str(reason), heard.at_ns)
            case _:
                pass  # its own change, confirmed


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """An order as its history has it after one step, in the venue's words."""

    at_ns: int
    terms: VenueOrder


History = Mapping[Version, Step]


def with_terms(entries: Sequence[Entry], history: History) -> list[Entry]:
    """Return the entries with the orders' terms as the history has them."""
    changed: list[Entry] = []
    for entry in entries:
        if isinstance(entry, Submitted | Restored | Modified):
            step = history.get((entry.order.order_id, entry.version))
            if step is not None:
                given = _terms(entry.order, step.terms)
                if given != entry.order:
                    entry = msgspec.structs.replace(entry, order=given)
        changed.append(entry)
    return changed


def _terms(told: VenueOrder, terms: VenueOrder) -> VenueOrder:
    return msgspec.structs.replace(
        terms,
        accepted_ns=told.accepted_ns,
        filled_quantity=told.filled_quantity,
        triggered=told.triggered,
        water_mark=told.water_mark,
    )


@dataclass(frozen=True, slots=True)
class Arrival:
    """When the desk decided on an instruction and when the venue heard it."""

    order_id: OrderId
    decided_ns: int
    arrived_ns: int


def arrivals(entries: Iterable[Entry], orders: Collection[OrderId]) -> list[Arrival]:
    """Return how long the instructions of `orders` were on their way."""
    found: list[Arrival] = []
    for entry in entries:
        match entry:
            case Submitted(order=order, decided_ns=decided_ns):
                found.append(Arrival(order.order_id, decided_ns, order.accepted_ns))
            case Modified(order=order, decided_ns=decided_ns, at_ns=at_ns):
                found.append(Arrival(order.order_id, decided_ns, at_ns))
            case Canceled(order_id=order_id, decided_ns=decided_ns, at_ns=at_ns):
                found.append(Arrival(order_id, decided_ns, at_ns))
            case _:
                pass
    return [one for one in found if one.order_id in orders]


def at_times(
    entries: Sequence[Entry], history: History
) -> tuple[list[Entry], dict[OrderId, tuple[int, int]]]:
    """Return the entries with the instructions at the times that the history gives them.

    An instruction that the history has at another time than the desk's decision is moved by that
    much. The second value tells, for each order that was moved, both times.
    """
    kept: list[Entry] = []
    moved: list[tuple[int, Entry]] = []
    times: dict[OrderId, tuple[int, int]] = {}
    for entry in entries:
        if not isinstance(entry, Submitted | Modified | Canceled):
            kept.append(entry)
            continue
        order_id = entry.order_id if isinstance(entry, Canceled) else entry.order.order_id
        step = history.get((order_id, entry.version))
        if step is None or step.at_ns // 1_000 == entry.decided_ns // 1_000:
            kept.append(entry)
            continue
        times[order_id] = (entry.decided_ns, step.at_ns)
        at_ns = time_of(entry) + step.at_ns - entry.decided_ns
        moved.append((at_ns, _arriving_at(entry, at_ns)))
    return _inserted(kept, moved), times


def without_latency(entries: Sequence[Entry], orders: Collection[OrderId]) -> list[Entry]:
    """Return the entries as if what was decided on `orders` reached the venue at that moment."""
    kept: list[Entry] = []
    moved: list[tuple[int, Entry]] = []
    for entry in entries:
        if isinstance(entry, Submitted | Modified | Canceled):
            order_id = entry.order_id if isinstance(entry, Canceled) else entry.order.order_id
            if order_id in orders:
                moved.append((entry.decided_ns, _arriving_at(entry, entry.decided_ns)))
                continue
        kept.append(entry)
    return _inserted(kept, moved)


def _arriving_at(entry: Submitted | Modified | Canceled, at_ns: int) -> Entry:
    if isinstance(entry, Submitted):
        order = msgspec.structs.replace(entry.order, accepted_ns=at_ns)
        return msgspec.structs.replace(entry, order=order)
    return msgspec.structs.replace(entry, at_ns=at_ns)


def _inserted(entries: Sequence[Entry], moved: Iterable[tuple[int, Entry]]) -> list[Entry]:
    """Return the entries with others put in by time, never before the market is open."""
    floors: list[int] = []
    latest = 0
    for entry in entries:
        # What an idle market showed is older than the order that it is kept for.
        if not (isinstance(entry, Opened) or (isinstance(entry, Shown) and entry.is_idle)):
            latest = max(latest, time_of(entry))
        floors.append(latest)
    places: dict[int, list[Entry]] = defaultdict(list)
    for at_ns, entry in sorted(moved, key=lambda one: one[0]):
        places[bisect_right(floors, at_ns)].append(entry)
    merged: list[Entry] = []
    for index, entry in enumerate(entries):
        merged += places.get(index, ())
        merged.append(entry)
    return merged + places.get(len(entries), [])


class Deviation(StrEnum):
    """How what the venue was shown differs from what market data has stored."""

    MISSING = "missing"  #: the venue saw it; it is not stored
    DIFFERENT = "different"  #: stored with other prices or sizes
    LATE = "late"  #: stored with another time
    UNSEEN = "unseen"  #: stored; it never reached the venue


@dataclass(frozen=True, slots=True)
class MarketDifference:
    """One market event about which the venue and the store disagree."""

    kind: Deviation
    source: str
    seen: Tick | None
    stored: Tick | None

    @property
    def at_ns(self) -> int:
        tick = self.seen or self.stored
        return 0 if tick is None else tick.ts_ns

    @property
    def stored_ns(self) -> int:
        return 0 if self.stored is None else self.stored.ts_ns


Stored = Mapping[str, Sequence[Quote | Trade]]  #: by source, in order


def with_market(
    entries: Sequence[Entry], stored: Stored
) -> tuple[list[Entry], list[MarketDifference]]:
    """Return the entries with the market data that is stored in place of what the venue saw.

    Sources that are not in `stored`, and bars, are left as they are.
    """
    left = {source: _Left(ticks) for source, ticks in stored.items()}
    for entry in entries:
        if isinstance(entry, Shown) and entry.batch.source in left:
            for tick in entry.batch.ticks:
                left[entry.batch.source].strike(tick)
    for one in left.values():
        one.strike_done()
    differences: list[MarketDifference] = []
    changed: list[Entry] = []
    for entry in entries:
        if isinstance(entry, Shown) and entry.batch.source in left:
            entry = _as_stored(entry, left[entry.batch.source], differences)
        changed.append(entry)
    _find_unseen(entries, left, differences)
    moved = [one for one in differences if one.kind in {Deviation.LATE, Deviation.UNSEEN}]
    return _with_moved(changed, moved), differences


class _Left:
    """What is stored of a source and was not found among what the venue saw."""

    def __init__(self, ticks: Sequence[Quote | Trade]) -> None:
        self._counts = Counter(_key(tick) for tick in ticks)
        self._ticks = {_key(tick): tick for tick in ticks}
        self._order = sorted(self._ticks, key=_instant)
        self._seen: Counter[_Key] = Counter()

    def strike(self, tick: Tick) -> None:
        """Note that the venue saw this."""
        key = _key(tick)
        if self._counts[key] > 0:
            self._counts[key] -= 1
            self._seen[key] += 1

    def strike_done(self) -> None:
        """Keep in order only what the venue did not see: it is looked through from now on."""
        self._order = [key for key in self._order if self._counts[key] > 0]

    def has(self, tick: Tick) -> bool:
        """Say whether it is stored as the venue saw it; each stored event counts once."""
        key = _key(tick)
        if self._seen[key] > 0:
            self._seen[key] -= 1
            return True
        return False

    def take_like(self, tick: Tick) -> tuple[Deviation, Quote | Trade] | None:
        """Find what is stored in its place: of the same moment, or the same at another moment."""
        kind, at_us, values = _key(tick)
        late_us = LATE_NS // 1_000
        nearby = [key for key in self._within(at_us - late_us, at_us + late_us) if key[0] == kind]
        best = min(
            (key for key in nearby if key[1] == at_us or key[2] == values),
            key=lambda key: abs(key[1] - at_us),
            default=None,
        )
        if best is None:
            return None
        self._counts[best] -= 1
        kind_of = Deviation.DIFFERENT if best[1] == at_us else Deviation.LATE
        return kind_of, self._ticks[best]

    def between(self, first_ns: int, last_ns: int) -> list[Quote | Trade]:
        """Take out what is left of that time, without its ends."""
        taken: list[Quote | Trade] = []
        for key in self._within(first_ns // 1_000 + 1, last_ns // 1_000 - 1):
            taken += [self._ticks[key]] * self._counts[key]
            self._counts[key] = 0
        return taken

    def _within(self, first_us: int, last_us: int) -> list["_Key"]:
        begin = bisect_left(self._order, first_us, key=_instant)
        end = bisect_right(self._order, last_us, key=_instant)
        return [key for key in self._order[begin:end] if self._counts[key] > 0]


_Key = tuple[str, int, tuple[Decimal | str | None, ...]]


def _key(tick: Tick) -> _Key:
    """Return what the store keeps of an event: microseconds and eight places."""
    if isinstance(tick, Quote):
        sizes = (_places(tick.bid_size), _places(tick.ask_size))
        return "Q", tick.ts_ns // 1_000, (_places(tick.bid), _places(tick.ask), *sizes)
    if isinstance(tick, Trade):
        return "T", tick.ts_ns // 1_000, (_places(tick.price), _places(tick.size), tick.side)
    return "B", tick.ts_ns // 1_000, ()


def _instant(key: _Key) -> int:
    return key[1]


def _places(value: Decimal | None) -> Decimal | None:
    return None if value is None else round(value, money.PLACES)


def _as_stored(entry: Shown, left: _Left, differences: list[MarketDifference]) -> Shown:
    source = entry.batch.source
    ticks: list[Tick] = []
    for tick in entry.batch.ticks:
        if not isinstance(tick, Quote | Trade) or left.has(tick):
            ticks.append(tick)
            continue
        like = left.take_like(tick)
        kind, stored = like or (Deviation.MISSING, None)
        differences.append(MarketDifference(kind, source, tick, stored))
        if stored is not None and kind is Deviation.DIFFERENT:
            ticks.append(stored)
    if len(ticks) == len(entry.batch.ticks) and all(
        one is other for one, other in zip(ticks, entry.batch.ticks, strict=True)
    ):
        return entry
    batch = msgspec.structs.replace(entry.batch, ticks=tuple(ticks))
    return msgspec.structs.replace(entry, batch=batch)


def _find_unseen(
    entries: Sequence[Entry], left: Mapping[str, _Left], differences: list[MarketDifference]
) -> None:
    """Note what is stored and should have reached the venue while orders were open."""
    last: dict[str, int] = {}
    for entry in entries:
        if isinstance(entry, Opened | SourceChanged):
            last = {}
        if isinstance(entry, Shown) and entry.batch.ticks and entry.batch.source in left:
            source, ticks = entry.batch.source, entry.batch.ticks
            if source in last and not entry.is_idle:
                differences += (
                    MarketDifference(Deviation.UNSEEN, source, None, tick)
                    for tick in left[source].between(last[source], ticks[-1].ts_ns)
                )
            last[source] = ticks[-1].ts_ns


def _with_moved(entries: Sequence[Entry], moved: Sequence[MarketDifference]) -> list[Entry]:
    """Return the entries with events shown where their stored time puts them.

    That is before the message in whose time they fall: no finer, no coarser.
    """
    if not moved:
        return list(entries)
    shown = [
        (entry.batch.ticks[-1].ts_ns, index, entry)
        for index, entry in enumerate(entries)
        if isinstance(entry, Shown) and entry.batch.ticks and not entry.is_idle
    ]
    places: dict[int, list[Entry]] = defaultdict(list)
    for one in sorted(moved, key=lambda difference: difference.stored_ns):
        assert one.stored is not None
        behind = next((found for found in shown if found[0] > one.stored_ns), None)
        index = len(entries) if behind is None else behind[1]
        received_ns = max(map(time_of, entries)) if behind is None else behind[2].received_ns
        batch = FeedBatch(symbol="", source=one.source, sequence=0, ticks=(one.stored,))
        places[index].append(Shown(received_ns, batch, is_idle=False))
    changed: list[Entry] = []
    for index, entry in enumerate(entries):
        changed += places.get(index, ())
        changed.append(entry)
    return changed + places.get(len(entries), [])
