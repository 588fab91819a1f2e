"""Running a strategy over recorded history: plain Python between the stops of the simulator.

The simulator knows the next row at which an order fills or anything else happens to the account;
the strategy is not shown it. Up to there nothing but the strategy's own hooks runs. Rows that end
at one time form a group: all of it is matched before any hook sees a part of it.
"""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from math import nan
from random import Random
from typing import Any, Final

import numpy as np

from alphintra.engine import Kind, Side
from alphintra.engine.layout import Lifetime as EngineLifetime
from alphintra.engine.portfolio import RowKind, Simulation, SymbolTerms, What
from alphintra.engine.portfolio import Status as EngineStatus
from alphintra.engine.series import DAY_NS
from alphintra.sdk.blame import blamed
from alphintra.sdk.errors import RunCancelled
from alphintra.sdk.feed import Feed, Whole
from alphintra.sdk.hosting import Lifetime, Order, Status, Terms
from alphintra.sdk.lines import Line, Timeline
from alphintra.sdk.stepping import Stepper
from alphintra.sdk.strategy import Strategy
from alphintra.sdk.ticks import Ticks
from alphintra.sdk.views import Fill, Position, moment
from alphintra.sdk.watchdog import time_limit

#: Rows that are turned into Python objects at a time: few enough to stay in the cache.
CHUNK: Final = 4096
#: A chunk of a slow strategy is made smaller, so that cancelling and progress come in time.
_CHUNK_S: Final = 0.05
_PROGRESS_PAUSE_S: Final = 0.2
#: How far the simulator first looks for the next stop after an order; doubled while it finds none.
_FIRST_LOOK: Final = 64
_FURTHEST_LOOK: Final = 65_536
#: Lines of log that are kept; a strategy that logs every bar must not fill the memory.
LOG_LINES_MOST: Final = 10_000

_LIFETIMES: Final = {
    Lifetime.GTC: EngineLifetime.REST,
    Lifetime.DAY: EngineLifetime.REST,
    Lifetime.IOC: EngineLifetime.IOC,
    Lifetime.FOK: EngineLifetime.FOK,
    Lifetime.OPG: EngineLifetime.OPG,
    Lifetime.CLS: EngineLifetime.CLS,
}
_STATUSES: Final = {
    EngineStatus.SENT: Status.OPEN,
    EngineStatus.WAITING: Status.OPEN,
    EngineStatus.OPEN: Status.OPEN,
    EngineStatus.FILLED: Status.FILLED,
    EngineStatus.CANCELED: Status.CANCELED,
    EngineStatus.EXPIRED: Status.EXPIRED,
    EngineStatus.REJECTED: Status.REJECTED,
}
#: The id of an order that was too small to be sent.
_UNSENT: Final = -1


class Session:
    """One run of one strategy; also what the strategy knows as its host.

    Args:
        terms: those of the simulation, one per symbol of the feed.
        seed: of the strategy's `random`.
        progress: called now and then with the share of rows that is done.
        cancelled: asked now and then; true ends the run.
        time_limit_s: wall time after which the run is ended.
    """

    def __init__(
        self,
        strategy: Strategy,
        feed: Feed,
        simulation: Simulation,
        terms: tuple[SymbolTerms, ...],
        *,
        seed: int = 0,
        progress: Callable[[float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        time_limit_s: float | None = None,
    ) -> None:
        self.feed = feed
        self.positions = tuple(Position(symbol) for symbol in feed.symbols)
        self.lines: list[Line] = []
        self.tags: dict[str, int] = {"": 0}
        self.logs: list[str] = []
        self._live: list[Order] = []
        self._tag_of: dict[int | str, str] = {}
        self._rows_of: dict[int, Whole] = {}  #: of a symbol that was asked for
        self._strategy = strategy
        self._simulation = simulation
        self._terms = terms
        self.too_small = 0
        self._ticks = [Ticks(one.tick_size, one.lot_size) for one in terms]
        self._progress = progress
        self._cancelled = cancelled
        self._time_limit_s = time_limit_s
        self._stirred: list[bool] = []
        self._timers: list[tuple[int, str]] = []
        self._starts = _group_starts(feed)
        self._cursor = 0
        self._at_once = simulation.account.latency_ns == 0
        self._on_fill = type(strategy).on_fill is not Strategy.on_fill
        self._chunk = 64
        self._told_at = self._chunk_at = time.monotonic()
        strategy.random = Random(seed)
        strategy._host = self

    def run(self) -> None:
        """Call the strategy for everything in its feed.

        Raises:
            StrategyFailed, StrategyOutOfTime, RunCancelled, ParameterRefused: as they say.
        """
        with blamed(self._strategy, self.feed), time_limit(self._time_limit_s):
            self._strategy.setup()
            self._stepper = Stepper(self._strategy, self.feed, self._stirred, self.lines)
            self._timers.sort(reverse=True)  # the next one last, where it is taken from
            self._play()

    # The host.

    def submit(self, terms: Terms) -> Order:
        """Give an order to the simulator."""
        self._catch_up()
        ticks = self._ticks[terms.symbol]
        lots = ticks.lots(terms.quantity)
        if lots == 0 and terms.parent is None:
            self.too_small += 1
            return Order(self, _UNSENT, self.feed.symbols[terms.symbol], terms.is_buy, terms.tag)
        order_id = self._simulation.submit(
            terms.symbol,
            Side.BUY if terms.is_buy else Side.SELL,
            _kind_of(terms),
            lots,
            tag=self._tag(terms.tag),
            lifetime=_LIFETIMES[terms.lifetime],
            post_only=terms.post_only,
            reduce_only=terms.reduce_only,
            **self._prices(terms, ticks),
            **self._links(terms),
        )
        return self._given(order_id, terms.symbol, terms.is_buy, terms.tag)

    def whole_lots(self, symbol: int, quantity: float) -> float:
        """Return a quantity as an order takes it: rounded down to whole lots."""
        ticks = self._ticks[symbol]
        return ticks.lots(quantity) * ticks.lot_size

    def timeline(self, pinned: int | None, timeframe: str | None) -> Timeline:
        """Return the bars that lines go with."""
        return Timeline(self.feed, pinned, timeframe)

    def submit_weight(self, symbol: int, weight: float, tag: str, confidence: float) -> Order:
        """Give an order that is sized as it fills."""
        self._catch_up()
        is_buy = weight >= 0
        side = Side.BUY if is_buy else Side.SELL
        order_id = self._simulation.submit(
            symbol, side, Kind.MARKET, weight=weight, tag=self._tag(tag) if tag else 0
        )
        return self._given(order_id, symbol, is_buy, tag)

    def cancel(self, order: Order) -> None:
        """Take back an order."""
        self._catch_up()
        self._simulation.cancel(int(order.id))
        self._stirred.append(True)

    def state_of(self, order: Order) -> tuple[Status, float, float]:
        """Return an order's status, what of it has filled, and its average price."""
        if order.id == _UNSENT:
            return Status.REJECTED, 0.0, nan
        ticket = self._simulation.orders()[int(order.id)]
        terms = self._terms[ticket["symbol"]]
        filled = float(ticket["filled_lots"] * terms.lot_size)
        price = float(ticket["value"]) / (filled * terms.multiplier) if filled else nan
        return _STATUSES[ticket["status"]], filled, price

    def open_orders(self, symbol: int) -> list[Order]:
        """Return the orders of a symbol that can still fill, oldest first."""
        name = self.feed.symbols[symbol]
        self._live = [order for order in self._live if order.is_open]
        return [order for order in self._live if order.symbol == name]

    def cash(self) -> float:
        """Return the money at hand."""
        return float(self._simulation.cash())

    def equity(self) -> float:
        """Return what the account is worth at the latest prices."""
        self._catch_up()
        return float(self._simulation.equity())

    def every(self, length_ns: int, name: str) -> None:
        """Find the rows behind which a timer is due."""
        feed = self.feed
        if len(feed) == 0:
            return
        ends = np.append(self._starts[1:], len(feed)) if self._starts is not None else None
        closes = feed.close_ns if ends is None else feed.close_ns[ends - 1]
        # A bar of a day ends just before midnight, and what is due at midnight comes behind it.
        stretch = (closes + 1) // length_ns
        due = np.flatnonzero(np.diff(stretch, prepend=feed.open_ns[0] // length_ns) > 0)
        rows = due + 1 if ends is None else ends[due]
        self._timers += [(row, name) for row in rows.tolist()]

    def note(self, message: str) -> None:
        """Keep a line of the strategy's log."""
        if len(self.logs) < LOG_LINES_MOST:
            self.logs.append(f"{moment(self.feed.now_ns):%Y-%m-%dT%H:%M:%SZ} {message}")
        elif len(self.logs) == LOG_LINES_MOST:
            self.logs.append(f"only the first {LOG_LINES_MOST} lines are kept")

    # The run.

    def _play(self) -> None:
        rows, stepper = len(self.feed), self._stepper
        calls = stepper.calls
        total = rows if calls is None else len(calls)
        called = prepared = 0
        chunk: Iterator[Any] = iter(())
        look = _FIRST_LOOK
        stirred = False
        while True:
            due = self._timers[-1][0] if self._timers else rows
            if stirred and self._at_once and self._cursor < due:
                # What was asked for has arrived, so the next group has work: no need to look.
                stop, limit = self._cursor, rows
            else:
                limit = min(self._group_end(min(self._cursor + look, rows)), due)
                limit = max(limit, self._cursor)
                stop = self._simulation.next_stop(limit)
            bound = stop if calls is None else int(np.searchsorted(calls, stop))
            stirred = False
            while called < bound and not stirred:
                if called == prepared:
                    prepared = min(called + self._pause(called / total), total)
                    chunk = stepper.prepare(called, prepared)
                until = min(bound, prepared)
                stirred = stepper.run(islice(chunk, until - called))
                called = self._called_up_to(calls) if stirred else until
            if stirred:
                self._stirred.clear()
                look = _FIRST_LOOK
            elif stop < limit:
                stirred = self._process(stop)
            elif self._timers and stop == due:
                stirred = self._fire(stop)
            else:
                self._move_to(stop)
                if stop == rows:
                    break
                look = min(2 * look, _FURTHEST_LOOK)
        if self._progress is not None:
            self._progress(1.0)

    def _called_up_to(self, calls: Any) -> int:
        """Return how many calls have been made, the one at the feed's row included."""
        row = self.feed.row
        return row + 1 if calls is None else int(np.searchsorted(calls, row, side="right"))

    def _process(self, stop: int) -> bool:
        """Let the simulator work on the group in which something happens, and tell of it.

        Returns:
            Whether the strategy has given orders.
        """
        self._move_to(stop)
        self._cursor = self._simulation.process()
        for event in self._simulation.news().tolist():
            if event[0] == What.FILL:
                self._tell(event)
            elif event[0] == What.SPLIT:
                self._split(event[2], event[9])
        return self._calmed()

    def _tell(self, event: tuple[Any, ...]) -> None:
        """Book a fill; the columns are those of the engine's journal."""
        _, order, symbol, side, lots, price, fee, _, _, held, is_maker, _, ts_ns, row = event
        lot_size = self._ticks[symbol].lot_size
        is_buy = side == Side.BUY
        position = self.positions[symbol]
        position.take(lots * lot_size if is_buy else -lots * lot_size, price)
        position.quantity = held * lot_size
        if not self._on_fill:
            return
        self._stand_at(row)
        self._strategy.on_fill(
            Fill(
                symbol=self.feed.symbols[symbol],
                side="buy" if is_buy else "sell",
                quantity=lots * lot_size,
                price=price,
                fee=fee,
                is_maker=bool(is_maker),
                ts_ns=ts_ns,
                order_id=order,
                tag=self._tag_of.get(order, ""),
            )
        )

    def _split(self, symbol: int, held: int) -> None:
        position = self.positions[symbol]
        before, position.quantity = position.quantity, held * self._ticks[symbol].lot_size
        if position.quantity:
            position.average_price *= before / position.quantity

    def _fire(self, row: int) -> bool:
        """Call the timers that are due behind a group; true when one gave orders."""
        self._move_to(row)
        while self._timers and self._timers[-1][0] == row:
            self._stand_at(row - 1)
            self._strategy.on_timer(self._timers.pop()[1])
        return self._calmed()

    def _calmed(self) -> bool:
        stirred = bool(self._stirred)
        self._stirred.clear()
        return stirred

    def _stand_at(self, row: int) -> None:
        """Bring everything that the strategy can see to a row that is not one of its calls."""
        self.feed.row = row
        for line in self._stepper.set_lines:
            line.now = line[0]

    def _move_to(self, row: int) -> None:
        if row > self._cursor:
            self._simulation.advance(row)
            self._cursor = row

    def _catch_up(self) -> None:
        """Bring the simulator to the time at which the strategy stands."""
        if self.feed.row >= self._cursor:
            self._move_to(self._group_end(self.feed.row + 1))

    def _group_end(self, row: int) -> int:
        """Return the first row at or behind `row` that begins a group, or the number of rows."""
        if self._starts is None:
            return row
        at = int(np.searchsorted(self._starts, row))
        return int(self._starts[at]) if at < len(self._starts) else len(self.feed)

    def _pause(self, done: float) -> int:
        """Look up from the work: progress, cancelling. Returns how many calls to make next."""
        now = time.monotonic()
        self._chunk = (
            min(CHUNK, 2 * self._chunk)
            if now - self._chunk_at < _CHUNK_S
            else max(1, self._chunk // 4)
        )
        self._chunk_at = now
        if now - self._told_at >= _PROGRESS_PAUSE_S:
            self._told_at = now
            if self._progress is not None:
                self._progress(done)
        if self._cancelled is not None and self._cancelled():
            raise RunCancelled(f"the run was cancelled after {done:.0%}")
        return self._chunk

    def _given(self, order_id: int, symbol: int, is_buy: bool, tag: str) -> Order:
        order = Order(self, order_id, self.feed.symbols[symbol], is_buy, tag)
        if tag:
            self._tag_of[order_id] = tag
        self._live.append(order)
        self._stirred.append(True)
        return order

    def _tag(self, tag: str) -> int:
        return self.tags.setdefault(tag, len(self.tags))

    def _prices(self, terms: Terms, ticks: Ticks) -> dict[str, int]:
        prices = {}
        if terms.limit is not None:
            prices["limit_price_ticks"] = ticks.of(terms.limit, up=not terms.is_buy)
        if terms.stop is not None:
            prices["stop_price_ticks"] = ticks.of(terms.stop, up=terms.is_buy)
        if terms.trail is not None:
            prices["trail_ticks"] = max(1, ticks.of(terms.trail, up=True))
        if terms.trail_percent is not None:
            prices["trail_bps"] = max(1, round(terms.trail_percent * 100))
        if terms.lifetime is Lifetime.DAY:
            prices["expires_ns"] = self._day_end(terms.symbol)
        return prices

    def _day_end(self, symbol: int) -> int:
        """Return how long a day order lives: to the end of the session, or of the UTC day.

        Without a calendar it is the day on which the market goes on: an order that is given when a
        market has closed is for its next day.
        """
        if self._terms[symbol].sessions is not None:
            return int(self._simulation.session_end_ns(symbol))
        feed = self.feed
        rows = self._rows_of.get(symbol)
        if rows is None:
            of_market = (feed.row_symbol == symbol) & (feed.row_kind != RowKind.ACTION)
            rows = self._rows_of[symbol] = np.flatnonzero(of_market)
        at = int(np.searchsorted(rows, self._group_end(feed.row + 1)))
        begins_ns = int(feed.open_ns[rows[at]]) if at < len(rows) else feed.now_ns
        return (max(begins_ns, feed.now_ns) // DAY_NS + 1) * DAY_NS

    def _links(self, terms: Terms) -> dict[str, int]:
        links = {}
        if terms.parent is not None:
            links["parent"] = int(terms.parent.id)
        if terms.sibling is not None:
            links["sibling"] = int(terms.sibling.id)
        return links


def _kind_of(terms: Terms) -> Kind:
    if terms.trail is not None or terms.trail_percent is not None:
        return Kind.TRAILING_STOP
    if terms.stop is not None:
        return Kind.STOP if terms.limit is None else Kind.STOP_LIMIT
    return Kind.MARKET if terms.limit is None else Kind.LIMIT


def _group_starts(feed: Feed) -> Any:
    """Return the rows that begin a group; None when every row is one."""
    if len(feed) == 0:
        return None
    different = np.diff(feed.close_ns, prepend=feed.close_ns[0] - 1) != 0
    # Corporate actions are a group of their own, behind the market's rows of their time.
    different |= np.diff(feed.row_kind == RowKind.ACTION, prepend=False) != 0
    return None if different.all() else np.flatnonzero(different)
