"""Does the simulator, told again what the venue was told, do what was booked? And if not, why not?

Up to four replays of each symbol tell: the record as it is, then with the orders' terms and their
times as the history has them, then with the market data that is stored. The first of them that
does not give what was booked names the cause. See docs/concepts/parity.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from statistics import median
from uuid import UUID

from alphintra.core import money
from alphintra.core.clock import to_datetime
from alphintra.core.ids import OrderId, TradeId
from alphintra.trading.journal import Entry, Opened, Restored, Shown, Submitted, time_of
from alphintra.trading.parity_report import (
    Amounts,
    BookedFill,
    Cause,
    FillPair,
    Latency,
    MarketCheck,
    OrderDifference,
    ParityReport,
    describe,
    nearest,
    tick_text,
)
from alphintra.trading.replay import (
    TRIGGERED,
    Arrival,
    Deviation,
    History,
    MarketDifference,
    OutcomeKey,
    Replayed,
    ReplayedFill,
    Stored,
    arrivals,
    at_times,
    replay,
    with_market,
    with_terms,
    without_latency,
)
from alphintra.trading.venue import VenueOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskRecord:
    """One desk's record of one symbol, and what is stored of the same market."""

    symbol: str
    entries: Sequence[Entry]
    is_whole: bool
    stored: Stored

    @property
    def tick_size(self) -> Decimal:
        """The grid of the symbol's prices, as the venue had it."""
        opened = (entry for entry in self.entries if isinstance(entry, Opened))
        return next((entry.instrument.tick_size for entry in opened), money.QUANTUM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """Everything about an account's day that the comparison needs. Times are UTC nanoseconds."""

    account_id: UUID
    day: date
    start_ns: int
    end_ns: int
    symbols: Mapping[OrderId, str]
    history: History
    fills: Sequence[BookedFill]
    #: Outcomes at the venue that the history has, with their reason.
    outcomes: Mapping[OutcomeKey, str]
    #: Of these fills and outcomes another day is the place.
    elsewhere: frozenset[TradeId | OutcomeKey]
    records: Sequence[DeskRecord]


@dataclass(slots=True)
class _Played:
    """The replays of one desk's record, from the record itself to what is stored."""

    record: DeskRecord
    as_told: Replayed
    by_terms: Replayed
    by_times: Replayed
    by_market: Replayed
    moved: Mapping[OrderId, tuple[int, int]]
    deviations: Sequence[MarketDifference]
    prompt: Replayed
    arrived: Sequence[Arrival]
    last_ns: int
    known: frozenset[OrderId]

    @property
    def steps(self) -> tuple[tuple[Cause, Replayed], ...]:
        """The replays in order, with the cause of a difference that first shows in each."""
        return (
            (Cause.FILL, self.as_told),
            (Cause.FILL, self.by_terms),
            (Cause.LATENCY, self.by_times),
            (Cause.DATA, self.by_market),
        )


def compare(day: Day) -> ParityReport:
    """Replay the day and pair what was booked with what the simulator does. Pure, and slow."""
    return _Comparison(day).report()


@dataclass(slots=True)
class _Comparison:
    day: Day
    notes: list[str] = field(default_factory=list)
    void: int = 0

    def report(self) -> ParityReport:
        day = self.day
        played = [self._play(record) for record in day.records]
        for one in played:
            if not one.record.is_whole:
                self.notes.append(
                    f"{one.record.symbol}: the beginning of the venue's record is gone"
                )
        pairs = self._pairs(played)
        differences = self._order_differences(played)
        market = [check for one in played for check in _market_checks(one)]
        for check in market:
            if not check.is_stored and check.events:
                self.notes.append(
                    f"{check.symbol}: events of {check.source} are not stored; the replay uses"
                    " the venue's own record of them"
                )
        return ParityReport(
            account_id=day.account_id,
            day=day.day,
            is_identical=not differences and all(pair.cause is None for pair in pairs),
            orders=len(day.symbols),
            fills=len(day.fills),
            outcomes=len(day.outcomes),
            void=self.void,
            pairs=pairs,
            order_differences=differences,
            market=market,
            latency=self._latency(played),
            notes=sorted(set(self.notes)),
        )

    def _play(self, record: DeskRecord) -> _Played:
        day, symbol = self.day, record.symbol
        orders = day.symbols.keys()
        told = list(record.entries)
        first = replay(told, symbol, orders)

        def again(before: list[Entry], after: list[Entry], last: Replayed) -> Replayed:
            is_same = len(before) == len(after) and all(
                one is other for one, other in zip(before, after, strict=True)
            )
            return last if is_same else replay(after, symbol, orders)

        termed = with_terms(told, day.history)
        by_terms = again(told, termed, first)
        timed, moved = at_times(termed, day.history)
        by_times = again(termed, timed, by_terms)
        marketed, deviations = with_market(timed, record.stored)
        by_market = again(timed, marketed, by_times)
        return _Played(
            record=record,
            as_told=first,
            by_terms=by_terms,
            by_times=by_times,
            by_market=by_market,
            moved=moved,
            deviations=deviations,
            prompt=again(told, without_latency(told, orders), first),
            arrived=arrivals(told, orders),
            last_ns=max((time_of(entry) for entry in told), default=0),
            known=frozenset(
                entry.order.order_id for entry in told if isinstance(entry, Submitted | Restored)
            ),
        )

    def _pairs(self, played: Sequence[_Played]) -> list[FillPair]:
        booked = {fill.id: fill for fill in self.day.fills}
        candidates: dict[TradeId, _Played] = {}
        for one in played:  # in time order: what a desk lost, the next one may have done again
            for _, step in one.steps:
                candidates |= dict.fromkeys(step.fills, one)
        pairs = [
            pair
            for fill_id in {**booked, **candidates}
            if (pair := self._pair(fill_id, booked.get(fill_id), candidates.get(fill_id), played))
        ]
        return sorted(pairs, key=lambda pair: (pair.at, pair.order_id, pair.trade_id))

    def _pair(
        self,
        fill_id: TradeId,
        booked: BookedFill | None,
        one: _Played | None,
        played: Sequence[_Played],
    ) -> FillPair | None:
        """Return the pair of one fill, or nothing if the fill is void or of another day."""
        if one is None:
            assert booked is not None
            cause, detail = self._cause_of_absence(booked, played)
            return _fill_pair(booked, None, cause, detail)
        last = one.by_market.fills.get(fill_id)
        if booked is None:
            some = next(step.fills[fill_id] for _, step in one.steps if fill_id in step.fills)
            if self._is_void(fill_id, some, one, played):
                return None
            if last is None:
                return None  # a change of the record would have made it; nothing did
        figures = None if booked is None else booked.amounts
        for cause, step in one.steps:
            made = step.fills.get(fill_id)
            found = None if made is None else _amounts(made, step.reduced.get(fill_id))
            if found == figures:
                continue
            finer = _finer_cause(cause, figures, found, one.record.tick_size)
            order_id = booked.order_id if booked else last.fill.order_id if last else None
            detail = self._detail(finer, cause, one, order_id, made, figures, found)
            return _fill_pair(
                booked, made or last, finer, detail, shown=found, symbol=one.record.symbol
            )
        if booked is None:
            return None
        return _fill_pair(booked, last, None, "", shown=figures)

    def _is_void(
        self, fill_id: TradeId, made: ReplayedFill, one: _Played, played: Sequence[_Played]
    ) -> bool:
        day, fill = self.day, made.fill
        if fill_id in day.elsewhere or not day.start_ns <= made.heard.at_ns < day.end_ns:
            return True
        if one.as_told.reduced.get(fill_id) == money.ZERO:
            self.void += 1
            return True
        return self._was_lost(
            fill.order_id, one, played, lambda order: order.filled_quantity < fill.filled_quantity
        )

    def _was_lost(
        self,
        order_id: OrderId,
        one: _Played,
        played: Sequence[_Played],
        is_before: Callable[[VenueOrder], bool],
    ) -> bool:
        """Say whether a desk stopped before it booked this: a later one began from before it."""
        was_lost = any(
            isinstance(entry, Restored)
            and entry.order.order_id == order_id
            and is_before(entry.order)
            for other in played[played.index(one) + 1 :]
            for entry in other.record.entries
        )
        if was_lost:
            self.notes.append(
                f"{one.record.symbol}: a desk stopped before it had booked what the venue did with"
                f" order {order_id}; the order went on as if it had not happened"
            )
        return was_lost

    def _cause_of_absence(self, booked: BookedFill, played: Sequence[_Played]) -> tuple[Cause, str]:
        """Say why no replay has a booked fill."""
        mine = [one for one in played if booked.order_id in one.known]
        if not mine:
            return Cause.DATA, "the venue's record does not have the order's arrival"
        last = mine[-1]
        if booked.order_id in last.by_market.still_open:
            at = to_datetime(last.last_ns).isoformat()
            return Cause.DATA, (
                f"nothing in the venue's record fills it: the order is still open at {at}, where"
                " the record ends"
            )
        return Cause.FILL, "the simulator had ended the order before this fill"

    def _detail(
        self,
        cause: Cause,
        step: Cause,
        one: _Played,
        order_id: OrderId | None,
        made: ReplayedFill | None,
        booked: Amounts | None,
        found: Amounts | None,
    ) -> str:
        if step is Cause.LATENCY and order_id is not None and order_id in one.moved:
            decided_ns, history_ns = one.moved[order_id]
            return (
                f"decided at {to_datetime(decided_ns).isoformat()} by the venue's record, at"
                f" {to_datetime(history_ns).isoformat()} by the order's history"
            )
        if step is Cause.DATA:
            original = None if order_id is None else _original(one, order_id)
            return describe(nearest(one.deviations, original or made))
        if booked is None:
            return "the simulator fills, the account has no such fill"
        if found is None:
            return "with the terms of the order's history the simulator does not fill"
        return "; ".join(
            f"{name} {booked_value} booked, {replayed_value} replayed"
            for name, booked_value, replayed_value in (
                ("quantity", money.text(booked.quantity), money.text(found.quantity)),
                ("price", money.text(booked.price), money.text(found.price)),
                ("fee", money.text(booked.fee), money.text(found.fee)),
                ("liquidity", booked.liquidity, found.liquidity),
            )
            if booked_value != replayed_value
        )

    def _order_differences(self, played: Sequence[_Played]) -> list[OrderDifference]:
        day = self.day
        of: dict[OutcomeKey, _Played] = {}
        for one in played:
            for _, step in one.steps:
                of |= dict.fromkeys(step.outcomes, one)
        found: list[OrderDifference] = []
        for key in {**day.outcomes, **of}:
            booked = day.outcomes.get(key)
            if key in of:
                difference = self._outcome_difference(key, booked, of[key], played)
            elif self._is_unrecorded(key[0], played):
                difference = None
            else:
                difference = self._order_difference(key, booked, None, Cause.FILL, "")
            if difference is not None:
                found.append(difference)
        return found

    def _outcome_difference(
        self,
        key: OutcomeKey,
        booked: str | None,
        one: _Played,
        played: Sequence[_Played],
    ) -> OrderDifference | None:
        order_id, what = key
        for cause, step in one.steps:
            made = step.outcomes.get(key)
            if (None if made is None else made[0]) == booked:
                continue
            if booked is None and made is not None and self._is_foreign(key, made[1], step):
                return None
            if booked is None and self._was_lost(
                order_id, one, played, lambda order: what != TRIGGERED or not order.triggered
            ):
                return None
            detail = describe(nearest(one.deviations, None)) if cause is Cause.DATA else ""
            replayed = None if made is None else made[0] or what
            return self._order_difference(key, booked, replayed, cause, detail)
        return None

    def _is_unrecorded(self, order_id: OrderId, played: Sequence[_Played]) -> bool:
        """Whether the record ends with the order open: what ended it was not recorded."""
        mine = [one for one in played if order_id in one.known]
        if mine and order_id not in mine[-1].as_told.still_open:
            return False
        self.notes.append(f"order {order_id}: the venue's record ends before the order does")
        return True

    def _is_foreign(self, key: OutcomeKey, at_ns: int, step: Replayed) -> bool:
        """Whether an outcome belongs to another day, or came too late to count."""
        day = self.day
        is_here = day.start_ns <= at_ns < day.end_ns
        return not is_here or key in day.elsewhere or key[0] in step.ignored

    def _order_difference(
        self, key: OutcomeKey, booked: str | None, replayed: str | None, cause: Cause, detail: str
    ) -> OrderDifference:
        order_id, what = key
        return OrderDifference(
            order_id=order_id,
            symbol=self.day.symbols[order_id],
            what=what,
            booked=None if booked is None else booked or what,
            replayed=replayed,
            cause=cause,
            detail=detail or f"{what}: {booked} booked, {replayed} replayed",
        )

    def _latency(self, played: Sequence[_Played]) -> Latency:
        waits = [
            (one.arrived_ns - one.decided_ns) / 1e6
            for each in played
            for one in each.arrived
            if self.day.start_ns <= one.arrived_ns < self.day.end_ns
        ]
        changed = 0
        for one in played:
            for fill_id, made in one.as_told.fills.items():
                if self.day.start_ns <= made.heard.at_ns < self.day.end_ns:
                    prompt = one.prompt.fills.get(fill_id)
                    changed += prompt is None or prompt.fill.price != made.fill.price
        return Latency(
            instructions=len(waits),
            median_ms=round(median(waits), 3) if waits else 0.0,
            max_ms=round(max(waits), 3) if waits else 0.0,
            fills_changed=changed,
        )


def _amounts(made: ReplayedFill, booked: Decimal | None) -> Amounts:
    """Return a replayed fill as the desk books it; `booked` is what it took of it, if not all."""
    fill = made.fill
    quantity, fee = fill.quantity, fill.fee
    if booked:
        quantity, fee = booked, money.divide(fee * booked, fill.quantity)
    return Amounts(quantity=quantity, price=fill.price, fee=fee, liquidity=str(fill.liquidity))


def _finer_cause(
    cause: Cause, booked: Amounts | None, found: Amounts | None, tick_size: Decimal
) -> Cause:
    if cause is not Cause.FILL or booked is None or found is None:
        return cause
    if booked.quantity != found.quantity or booked.liquidity != found.liquidity:
        return Cause.FILL
    if booked.price != found.price:
        is_small = abs(booked.price - found.price) < tick_size
        return Cause.ROUNDING if is_small else Cause.FILL
    return Cause.ROUNDING if abs(booked.fee - found.fee) <= money.QUANTUM else Cause.FEE


def _fill_pair(
    booked: BookedFill | None,
    made: ReplayedFill | None,
    cause: Cause | None,
    detail: str,
    *,
    shown: Amounts | None = None,
    symbol: str = "",
) -> FillPair:
    tick = made.heard.tick if made else None
    if booked is not None:
        ids: tuple[TradeId, OrderId] = (booked.id, booked.order_id)
        at, symbol = booked.at, booked.symbol
    else:
        assert made is not None
        ids = (made.fill.fill_id, made.fill.order_id)
        at = to_datetime(made.heard.at_ns)
    return FillPair(
        trade_id=ids[0],
        order_id=ids[1],
        symbol=symbol,
        at=at,
        booked=None if booked is None else booked.amounts,
        replayed=shown,
        event=f"{made.heard.source}: {tick_text(tick)}" if made and tick else "",
        cause=cause,
        detail=detail,
    )


def _original(one: _Played, order_id: OrderId) -> ReplayedFill | None:
    """Return the order's last fill with the market as the venue saw it."""
    mine = [made for made in one.by_times.fills.values() if made.fill.order_id == order_id]
    return mine[-1] if mine else None


def _market_checks(one: _Played) -> list[MarketCheck]:
    seen: dict[str, int] = {}
    for entry in one.record.entries:
        if isinstance(entry, Shown):
            source = entry.batch.source
            seen[source] = seen.get(source, 0) + len(entry.batch.ticks)
    counts: dict[tuple[str, Deviation], int] = {}
    for difference in one.deviations:
        key = difference.source, difference.kind
        counts[key] = counts.get(key, 0) + 1
    return [
        MarketCheck(
            symbol=one.record.symbol,
            source=source,
            events=events,
            is_stored=source in one.record.stored,
            missing=counts.get((source, Deviation.MISSING), 0),
            different=counts.get((source, Deviation.DIFFERENT), 0),
            late=counts.get((source, Deviation.LATE), 0),
            unseen=counts.get((source, Deviation.UNSEEN), 0),
        )
        for source, events in seen.items()
    ]
