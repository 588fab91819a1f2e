"""The way of a live feed: validate, publish, make candles, store. One pipeline per source.

Ticks are published before they are stored, so that an order sees them at once; a candle is stored
before it is published, so that what a strategy acted on can be looked up. Candles made here travel
on the same subject under the source `<source>:candles`: whoever prices or matches must not take
them for new trades (`is_derived`).
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec
import structlog
from prometheus_client import Counter

from alphintra.core.market_data import FEED_SUBJECT, Bar, FeedBatch, Quote, Tick, Trade, encode
from alphintra.market.candles import SymbolCandles
from alphintra.market.recorder import Recorder
from alphintra.market.validation import (
    FUTURE_TOLERANCE_NS,
    SIZE_LIMIT,
    Reason,
    check_tick,
)
from alphintra.platform.services import Services

DERIVED_SUFFIX: Final = ":candles"
FLUSH_S: Final = 0.2
#: How often the candles in the making are published.
RUNNING_S: Final = 1.0
#: How long a candle waits for stragglers when nothing later arrives.
CANDLE_GRACE_NS: Final = 1_000_000_000

#: A tick beyond these multiples of the price before is not believed …
JUMP_LOW: Final = Decimal("0.5")
JUMP_HIGH: Final = Decimal("1.5")
#: … until so many in a row agree that the price has moved, or nothing came for so long.
JUMP_CONFIRMATIONS: Final = 5
JUMP_MEMORY_NS: Final = 300 * 1_000_000_000

INGESTED = Counter("alphintra_market_ticks_total", "Valid ticks taken in", ["source"])
QUARANTINED = Counter(
    "alphintra_market_ticks_quarantined_total", "Ticks not believed", ["source", "reason"]
)
log = structlog.get_logger(__name__)
_raw = msgspec.json.Encoder(decimal_format="string")


def is_derived(source: str) -> bool:
    """Whether this source repeats as candles what was published as ticks or finer bars."""
    return source.endswith(DERIVED_SUFFIX)


@dataclass(slots=True)
class _Symbol:
    """What the pipeline remembers of one symbol."""

    candles: SymbolCandles = field(default_factory=SymbolCandles)
    sequence: int = 0
    derived_sequence: int = 0
    ordinal: int = 0
    low: Decimal | None = None
    high: Decimal | None = None
    seen_ns: int = 0
    jumps: int = 0


class FeedPipeline:
    """Takes in the ticks of one source. `run` has to be running for anything to be stored."""

    def __init__(self, services: Services, source: str, *, store: bool = True) -> None:
        self._bus = services.bus
        self._clock = services.clock
        self._source = source
        self._symbols: dict[str, _Symbol] = {}
        self._recorder = Recorder(services.database, source)
        self._store = store
        self._wake = asyncio.Event()

    async def ingest(self, symbol: str, ticks: Sequence[Tick]) -> None:
        """Take in ticks of one symbol as they arrive.

        Raises:
            BusUnavailable: they could not be published; they were neither stored nor made candles
            of.
        """
        state = self._state(symbol)
        good, bad = self._sift(state, ticks)
        for tick, reason in bad:
            QUARANTINED.labels(self._source, reason).inc()
            self._recorder.add_quarantine(symbol, reason, _raw.encode(tick).decode())
        if not good:
            return
        await self._publish(symbol, self._source, state.sequence + 1, good)
        state.sequence += 1
        INGESTED.labels(self._source).inc(len(good))
        add = state.candles.add
        closed: list[Bar] = []
        for tick in good:
            if bars := add(tick):
                closed += bars
        if self._store:
            self._record(symbol, state, good)
        if closed:
            await self._finish(symbol, state, closed)

    def restore(self, symbol: str, candles: SymbolCandles) -> None:
        """Go on with candles that were rebuilt from what is stored."""
        self._state(symbol).candles = candles

    async def store_candles(self, symbol: str, bars: Sequence[Bar]) -> None:
        """Store and publish candles that a process before this one could not finish."""
        await self._finish(symbol, self._state(symbol), bars)

    async def advance(self, now_ns: int) -> None:
        """Close the candles whose time is over by the clock."""
        for symbol, state in self._symbols.items():
            if closed := state.candles.advance(now_ns - CANDLE_GRACE_NS):
                await self._finish(symbol, state, closed)

    async def publish_running(self) -> None:
        """Publish the candles in the making."""
        for symbol, state in list(self._symbols.items()):
            if running := list(state.candles.running()):
                await self._publish_derived(symbol, state, running)

    async def run(self, stop: asyncio.Event) -> None:
        """Write what was taken in, until `stop` is set and nothing waits."""
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), FLUSH_S)
            self._wake.clear()
            await self.flush()
        await self.flush()
        await self._recorder.close()

    async def flush(self) -> None:
        """Write what waits and publish the candles that are stored by that."""
        stored: dict[str, list[Bar]] = {}
        for symbol, bar in await self._recorder.flush():
            stored.setdefault(symbol, []).append(bar)
        for symbol, bars in stored.items():
            await self._publish_derived(symbol, self._state(symbol), bars)

    async def finish(self) -> None:
        """Close all candles of a source that has ended, and write everything."""
        for symbol, state in self._symbols.items():
            if closed := state.candles.flush():
                await self._finish(symbol, state, closed)
        await self.flush()
        await self._recorder.close()

    def _state(self, symbol: str) -> _Symbol:
        if (state := self._symbols.get(symbol)) is None:
            state = self._symbols[symbol] = _Symbol()
        return state

    def _sift(
        self, state: _Symbol, ticks: Sequence[Tick]
    ) -> tuple[list[Tick], list[tuple[Tick, Reason]]]:
        good: list[Tick] = []
        bad: list[tuple[Tick, Reason]] = []
        latest_ns = self._clock.now_ns() + FUTURE_TOLERANCE_NS
        for tick in ticks:
            if _is_plain(state, tick) and tick.ts_ns <= latest_ns:
                good.append(tick)
                continue
            reason = check_tick(tick)
            if reason is None and tick.ts_ns > latest_ns:
                reason = Reason.IN_THE_FUTURE
            if reason is None:
                reason = _check_jump(state, tick)
            if reason is None:
                good.append(tick)
            else:
                bad.append((tick, reason))
        if good:
            _anchor(state, good[-1])
        return good, bad

    def _record(self, symbol: str, state: _Symbol, ticks: Sequence[Tick]) -> None:
        lines = self._recorder.lines_of(symbol)
        ordinal = state.ordinal
        made: list[str] = []
        for tick in ticks:
            if isinstance(tick, Quote):
                made.append(lines.quote(tick, ordinal))
            elif isinstance(tick, Trade):
                made.append(lines.trade(tick, ordinal))
            elif tick.closed:
                self._recorder.add_candle(symbol, tick, announce=False)
            ordinal = ordinal + 1 & 0x7FFF_FFFF
        state.ordinal = ordinal
        if made:
            # Feeds are in order but for stragglers, which the default partition would take.
            self._recorder.add_ticks(made, ticks[0].ts_ns, ticks[-1].ts_ns)

    async def _finish(self, symbol: str, state: _Symbol, closed: Sequence[Bar]) -> None:
        if not self._store:
            await self._publish_derived(symbol, state, closed)
            return
        for bar in closed:
            self._recorder.add_candle(symbol, bar, announce=True)
        self._wake.set()

    async def _publish_derived(self, symbol: str, state: _Symbol, bars: Sequence[Bar]) -> None:
        state.derived_sequence += 1
        await self._publish(symbol, self._source + DERIVED_SUFFIX, state.derived_sequence, bars)

    async def _publish(
        self, symbol: str, source: str, sequence: int, ticks: Sequence[Tick]
    ) -> None:
        batch = FeedBatch(symbol=symbol, source=source, sequence=sequence, ticks=tuple(ticks))
        await self._bus.publish(f"{FEED_SUBJECT}.{symbol}", encode(batch))


def _is_plain(state: _Symbol, tick: Tick) -> bool:
    """Say quickly of nearly every tick that it is fine; of the others nothing is said.

    Prices near the last one are positive, in range and no jump. A NaN is never plain: it raises.
    """
    low, high = state.low, state.high
    if low is None or high is None or state.jumps:
        return False
    try:
        if isinstance(tick, Quote):
            bid_size, ask_size = tick.bid_size, tick.ask_size
            return (
                low <= tick.bid <= tick.ask <= high
                and (bid_size is None or 0 <= bid_size < SIZE_LIMIT)
                and (ask_size is None or 0 <= ask_size < SIZE_LIMIT)
            )
        if isinstance(tick, Trade):
            return low <= tick.price <= high and 0 < tick.size < SIZE_LIMIT
    except InvalidOperation:
        return False
    return False


def _check_jump(state: _Symbol, tick: Tick) -> Reason | None:
    """Refuse a lone print far from the market; five in a row are the market."""
    low, high = state.low, state.high
    if low is None or high is None or isinstance(tick, Bar):
        return None
    if isinstance(tick, Quote):
        inside = tick.bid >= low and tick.ask <= high
    else:
        inside = low <= tick.price <= high
    if inside:
        state.jumps = 0
        return None
    if tick.ts_ns - state.seen_ns > JUMP_MEMORY_NS:
        return None
    state.jumps += 1
    if state.jumps < JUMP_CONFIRMATIONS:
        return Reason.PRICE_JUMP
    state.low = state.high = None
    return None


def _anchor(state: _Symbol, tick: Tick) -> None:
    if isinstance(tick, Quote):
        price = tick.bid
    elif isinstance(tick, Trade):
        price = tick.price
    else:
        price = tick.close
    state.low, state.high = price * JUMP_LOW, price * JUMP_HIGH
    state.seen_ns = tick.ts_ns
