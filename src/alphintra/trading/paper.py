"""The paper venue: the market simulator behind the face of a broker, in exact decimals.

Synchronous and pure: it is told what happens and answers with what it did. It keeps no time, writes
nothing down and knows no accounts; orders of different accounts share what the market offers, first
come first served, and never trade with each other. docs/concepts/fills.md states when an order
fills and at what price.
"""

from __future__ import annotations  # the simulator is only loaded with the first order

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final, assert_never
from uuid import uuid5

import msgspec

from alphintra import engine
from alphintra.core import money
from alphintra.core.ids import OrderId, TradeId
from alphintra.core.instruments import Instrument
from alphintra.core.market_data import Bar, Quote, Tick, Trade
from alphintra.engine import BPS, NO_PRICE, Event, EventKind, Outcome, Reason
from alphintra.trading.paper_terms import (
    KINDS,
    LIFETIMES,
    ROWS,
    Terms,
    bar_end_ns,
    change_refusal_of,
    show_bar,
    show_quote,
    show_trade,
    terms_of,
)
from alphintra.trading.venue import (
    CancelReason,
    FeeSchedule,
    Liquidity,
    VenueCanceled,
    VenueEvent,
    VenueExpired,
    VenueFill,
    VenueModified,
    VenueOrder,
    VenueRefusal,
    VenueRejected,
    VenueTriggered,
)

if TYPE_CHECKING:
    from alphintra.engine import MarketSimulator

#: What comes within this part (1/n) of a bar's length after its open counts as coming at the open.
_OPENING_SHARE: Final = 20

_CANCEL_REASONS: Final[dict[int, CancelReason]] = {
    Reason.REQUESTED: CancelReason.REQUESTED,
    Reason.IMMEDIATE_OR_CANCEL: CancelReason.IMMEDIATE_OR_CANCEL,
    Reason.FILL_OR_KILL: CancelReason.FILL_OR_KILL,
    Reason.POST_ONLY_WOULD_TAKE: CancelReason.POST_ONLY_WOULD_TAKE,
}


class PaperRules(msgspec.Struct, frozen=True, kw_only=True):
    """How hard the simulated market is; see docs/concepts/fills.md."""

    fees: FeeSchedule = FeeSchedule()
    slippage_ticks: int = 0
    participation_bps: int = BPS
    through_only: bool = False


class _Open(msgspec.Struct, kw_only=True):
    """An order in the market. None of its events is older than `changed_ns`."""

    order: VenueOrder
    handle: int
    filled: Decimal
    changed_ns: int


#: A market in which nobody offers anything.
_NOBODY: Final = Quote(ts_ns=0, bid=money.ZERO, ask=money.ZERO)


class _Market:
    """One symbol: its simulator, the orders in it by handle, and what the feed has shown."""

    __slots__ = (
        "_bar_length_ns",
        "_first_bar_ns",
        "_shown_until_ns",
        "has_quotes_or_trades",
        "instrument",
        "orders",
        "pending",
        "pending_last",
        "simulator",
    )

    def __init__(self) -> None:
        self.instrument: Instrument | None = None
        self.simulator: MarketSimulator | None = None
        self.orders: dict[int, _Open] = {}
        #: The last quote, when no order was there to see it.
        self.pending: Quote | None = None
        #: What came after it: a closing order may be filled at that.
        self.pending_last: Trade | Bar | None = None
        self.has_quotes_or_trades = False
        self._first_bar_ns: int | None = None
        self._bar_length_ns = 0
        self._shown_until_ns = 0

    def begin_anew(self) -> None:
        """Forget what the feed has shown; the orders stay."""
        self.pending = self.pending_last = None
        self.has_quotes_or_trades = False
        self._first_bar_ns = None
        self._bar_length_ns = 0
        self._shown_until_ns = 0

    def takes_bar(self, bar: Bar) -> bool:
        """Note a bar and say whether orders meet it."""
        if self.has_quotes_or_trades:
            return False
        end_ns = bar_end_ns(bar)
        length_ns = end_ns - bar.ts_ns
        if 0 < self._bar_length_ns < length_ns:
            return False
        self._bar_length_ns = length_ns
        if self._first_bar_ns is None:
            self._first_bar_ns = bar.ts_ns
        self._shown_until_ns = end_ns if bar.closed else bar.ts_ns + 1
        return bar.closed and bar.ts_ns != self._first_bar_ns

    def arrival_ns(self, now_ns: int) -> int:
        """Return the feed's time of an order that comes at `now_ns` by the desk's clock.

        The two times need not agree: a replayed day is years old. Where only bars are known it is
        the end of the last one, so that the order meets the open of the next. When the clock says
        that this next one is under way, the order has come during it and must not meet its past.
        """
        if self.has_quotes_or_trades:
            return now_ns
        late_ns = now_ns - self._shown_until_ns
        under_way = self._bar_length_ns // _OPENING_SHARE < late_ns < self._bar_length_ns
        return self._shown_until_ns + under_way


class PaperVenue:
    """Fills orders against the market data that it is shown."""

    def __init__(
        self, instruments: Mapping[str, Instrument], rules: PaperRules | None = None
    ) -> None:
        """Open the venue.

        Args:
            instruments: by symbol; read when an order comes.
            rules: fees and how hard the market is.
        """
        self._instruments = instruments
        self._rules = rules or PaperRules()
        self._markets: dict[str, _Market] = {}
        self._places: dict[OrderId, tuple[_Market, _Open]] = {}

    @property
    def rules(self) -> PaperRules:
        """Fees and how hard the market is."""
        return self._rules

    @property
    def open_orders(self) -> int:
        """How many orders are in the market."""
        return len(self._places)

    def has_orders(self, symbol: str) -> bool:
        """Say whether any order of the symbol is in the market."""
        market = self._markets.get(symbol)
        return market is not None and bool(market.orders)

    def is_open(self, order_id: OrderId) -> bool:
        """Say whether the order is in the market."""
        return order_id in self._places

    def water_mark(self, order_id: OrderId) -> Decimal | None:
        """Return the best price that an open trailing stop has seen, to be kept for `restore`."""
        place = self._places.get(order_id)
        if place is None:
            return None
        market, opened = place
        instrument, simulator = _tools(market)
        mark = simulator.mark_price_ticks(opened.handle)
        return None if mark is None else instrument.price(mark)

    def submit(self, order: VenueOrder) -> list[VenueEvent]:
        """Take an order and let it meet the last quote, at `order.accepted_ns`.

        An order that rests gives no event; a refused one gives exactly `VenueRejected`.
        """
        terms = self._admit(order)
        if isinstance(terms, VenueRefusal):
            return [_rejected(order.order_id, terms, order.accepted_ns)]
        market, _, simulator = self._market_of(order.symbol)
        handle, events = simulator.submit(
            ROWS[order.side],
            KINDS[order.type],
            terms.lots,
            ts_ns=market.arrival_ns(order.accepted_ns),
            limit_price_ticks=terms.limit_price_ticks,
            stop_price_ticks=terms.stop_price_ticks,
            trail_ticks=terms.trail_ticks,
            trail_bps=terms.trail_bps,
            lifetime=LIFETIMES[order.time_in_force],
            post_only=order.post_only,
            expires_ns=terms.expires_ns,
            auction_ns=terms.auction_ns,
        )
        if len(events) == 1 and events[0].reason == Reason.POST_ONLY_WOULD_TAKE:
            # It never was in the market.
            reason = VenueRefusal.POST_ONLY_WOULD_TAKE
            return [_rejected(order.order_id, reason, order.accepted_ns)]
        self._open(market, order, handle)
        return self._translate(market, events)

    def restore(self, order: VenueOrder) -> list[VenueEvent]:
        """Put an order back into the market after a restart, as it was, without matching it.

        It meets the next market data. Of `order`, `quantity` is the whole and `filled_quantity`
        what was filled.

        Returns:
            Nothing, or `VenueRejected` when the order cannot be in the market.
        """
        terms = self._admit(order)
        if isinstance(terms, VenueRefusal):
            return [_rejected(order.order_id, terms, order.accepted_ns)]
        market, instrument, simulator = self._market_of(order.symbol)
        mark = NO_PRICE if order.water_mark is None else instrument.price_ticks(order.water_mark)
        handle = simulator.restore(
            ROWS[order.side],
            KINDS[order.type],
            terms.lots,
            accepted_ns=market.arrival_ns(order.accepted_ns),
            limit_price_ticks=terms.limit_price_ticks,
            stop_price_ticks=terms.stop_price_ticks,
            trail_ticks=terms.trail_ticks,
            trail_bps=terms.trail_bps,
            lifetime=LIFETIMES[order.time_in_force],
            post_only=order.post_only,
            expires_ns=terms.expires_ns,
            auction_ns=terms.auction_ns,
            triggered=order.triggered,
            mark_price_ticks=mark,
        )
        self._open(market, order, handle)
        return []

    def cancel(self, order_id: OrderId, now_ns: int) -> list[VenueEvent]:
        """Cancel what remains of an order; `VenueRejected` when it is not open."""
        place = self._places.get(order_id)
        if place is None:
            return [_rejected(order_id, VenueRefusal.ORDER_NOT_OPEN, now_ns)]
        market, opened = place
        _, simulator = _tools(market)
        opened.changed_ns = max(opened.changed_ns, now_ns)
        return self._translate(market, simulator.cancel(opened.handle, ts_ns=now_ns))

    def modify(self, order: VenueOrder, now_ns: int) -> list[VenueEvent]:
        """Give an open order the prices, trail, quantity and expiry of `order`.

        `order.quantity` is the whole, with what is filled. A smaller quantity or another expiry
        keeps the order's place in the queue, other prices and a larger quantity lose it.

        Returns:
            `VenueModified` and what the new terms lead to at once, or only `VenueRejected`.
        """
        place = self._places.get(order.order_id)
        if place is None:
            return [_rejected(order.order_id, VenueRefusal.ORDER_NOT_OPEN, now_ns)]
        market, opened = place
        instrument, simulator = _tools(market)
        order = msgspec.structs.replace(order, filled_quantity=opened.filled)
        terms = change_refusal_of(opened.order, order) or terms_of(order, instrument)
        if isinstance(terms, VenueRefusal):
            return [_rejected(order.order_id, terms, now_ns)]
        outcome, events = simulator.modify(
            opened.handle,
            KINDS[order.type],
            terms.lots,
            ts_ns=market.arrival_ns(now_ns),
            limit_price_ticks=terms.limit_price_ticks,
            stop_price_ticks=terms.stop_price_ticks,
            trail_ticks=terms.trail_ticks,
            trail_bps=terms.trail_bps,
            expires_ns=terms.expires_ns,
        )
        if outcome == Outcome.POST_ONLY_WOULD_TAKE:
            return [_rejected(order.order_id, VenueRefusal.POST_ONLY_WOULD_TAKE, now_ns)]
        if outcome != Outcome.DONE:
            raise RuntimeError(f"order {order.order_id} is open here but not in the simulator")
        opened.order = order
        opened.changed_ns = max(opened.changed_ns, now_ns)
        modified = VenueModified(order_id=order.order_id, ts_ns=now_ns)
        return [modified, *self._translate(market, events)]

    def on_market_data(self, symbol: str, tick: Tick) -> list[VenueEvent]:
        """Let the orders of a symbol meet a quote, a trade or a complete bar.

        Orders meet the finest data there is: once a symbol has quotes or trades, its bars are
        ignored, and of bars the longer ones; they would show the same market a second time. A
        running bar fills nothing, and neither does the first bar of all: it was under way already.
        """
        market = self._markets.get(symbol)
        if market is None:
            market = self._markets[symbol] = _Market()
        if type(tick) is Bar:
            if not market.takes_bar(tick):
                return []
        else:
            market.has_quotes_or_trades = True
        if not market.orders:
            if isinstance(tick, Quote):
                market.pending, market.pending_last = tick, None
            else:
                market.pending_last = tick
            return []
        events = _show(*_tools(market), tick)
        return self._translate(market, events) if events else []

    def on_other_source(self, symbol: str) -> None:
        """Forget what a symbol's market data have shown: another source has taken over.

        Its prices and times need not follow on the old ones (a replayed day after the simulator),
        so an order that comes must not meet the last quote of before.
        """
        market = self._markets.get(symbol)
        if market is None:
            return
        if not market.orders:
            del self._markets[symbol]
            return
        instrument, simulator = _tools(market)
        show_quote(simulator, instrument, _NOBODY)  # fills nothing and triggers nothing
        market.begin_anew()

    def expire(self, now_ns: int) -> list[VenueEvent]:
        """End all orders whose time has come.

        An order for a closing auction that no event has held yet takes part in it now.
        """
        found: list[VenueEvent] = []
        for market in self._markets.values():
            if market.orders:
                _, simulator = _tools(market)
                found += self._translate(market, simulator.expire(now_ns))
        return found

    def _admit(self, order: VenueOrder) -> Terms | VenueRefusal:
        instrument = self._instrument_of(order.symbol)
        if instrument is None:
            return VenueRefusal.INSTRUMENT_UNKNOWN
        if order.order_id in self._places:
            return VenueRefusal.ORDER_EXISTS
        return terms_of(order, instrument)

    def _instrument_of(self, symbol: str) -> Instrument | None:
        """Return the instrument; while orders are open, as it was when the first of them came.

        Another tick size would make the ticks of the open orders mean other prices.
        """
        market = self._markets.get(symbol)
        if market is not None and market.orders:
            return market.instrument
        return self._instruments.get(symbol)

    def _market_of(self, symbol: str) -> tuple[_Market, Instrument, MarketSimulator]:
        """Return the market of a known symbol, which has seen the last quote and event."""
        market = self._markets.setdefault(symbol, _Market())
        if not market.orders:
            instrument = self._instruments[symbol]
            if market.simulator is None or market.instrument != instrument:
                market.instrument = instrument
                market.simulator = engine.MarketSimulator(
                    slippage_ticks=self._rules.slippage_ticks,
                    participation_bps=self._rules.participation_bps,
                    through_only=self._rules.through_only,
                )
            for tick in (market.pending, market.pending_last):
                if tick is not None:
                    _show(instrument, market.simulator, tick)
            market.pending = market.pending_last = None
        return market, *_tools(market)

    def _open(self, market: _Market, order: VenueOrder, handle: int) -> None:
        opened = _Open(
            order=order, handle=handle, filled=order.filled_quantity, changed_ns=order.accepted_ns
        )
        market.orders[handle] = opened
        self._places[order.order_id] = (market, opened)

    def _close(self, market: _Market, opened: _Open) -> None:
        del market.orders[opened.handle]
        del self._places[opened.order.order_id]

    def _translate(self, market: _Market, events: list[Event]) -> list[VenueEvent]:
        return list(self._translated(market, events))

    def _translated(self, market: _Market, events: list[Event]) -> Iterator[VenueEvent]:
        for event in events:
            opened = market.orders[event.handle]
            order_id = opened.order.order_id
            ts_ns = max(event.ts_ns, opened.changed_ns)
            if event.kind == EventKind.FILL:
                fill = self._fill(market, opened, event, ts_ns)
                if opened.filled == opened.order.quantity:
                    self._close(market, opened)
                yield fill
            elif event.kind == EventKind.TRIGGERED:
                yield VenueTriggered(order_id=order_id, ts_ns=ts_ns)
            elif event.kind == EventKind.CANCELED:
                self._close(market, opened)
                reason = _CANCEL_REASONS[event.reason]
                yield VenueCanceled(order_id=order_id, reason=reason, ts_ns=ts_ns)
            elif event.kind == EventKind.EXPIRED:
                self._close(market, opened)
                yield VenueExpired(order_id=order_id, ts_ns=ts_ns)
            else:
                raise RuntimeError(f"the simulator emitted an event of unknown kind {event.kind}")

    def _fill(self, market: _Market, opened: _Open, event: Event, ts_ns: int) -> VenueFill:
        instrument, _ = _tools(market)
        quantity = instrument.quantity(event.lots)
        price = instrument.price(event.price_ticks)
        liquidity = Liquidity.MAKER if event.is_maker else Liquidity.TAKER
        opened.filled += quantity
        order_id = opened.order.order_id
        return VenueFill(
            order_id=order_id,
            fill_id=TradeId(uuid5(order_id, money.text(opened.filled))),
            quantity=quantity,
            price=price,
            fee=self._rules.fees.fee(quantity=quantity, price=price, liquidity=liquidity),
            liquidity=liquidity,
            filled_quantity=opened.filled,
            ts_ns=ts_ns,
        )


def _rejected(order_id: OrderId, reason: VenueRefusal, ts_ns: int) -> VenueRejected:
    return VenueRejected(order_id=order_id, reason=reason, ts_ns=ts_ns)


def _show(instrument: Instrument, simulator: MarketSimulator, tick: Tick) -> list[Event]:
    match tick:
        case Quote():
            return show_quote(simulator, instrument, tick)
        case Trade():
            return show_trade(simulator, instrument, tick)
        case Bar():
            return show_bar(simulator, instrument, tick)
        case _:
            assert_never(tick)


def _tools(market: _Market) -> tuple[Instrument, MarketSimulator]:
    if market.instrument is None or market.simulator is None:
        raise RuntimeError("a market that never had an order was asked to match")
    return market.instrument, market.simulator
