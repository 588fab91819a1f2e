"""Candles from ticks: what a candle is, whatever the order in which its ticks come."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphintra.core.market_data import Bar, Quote, Tick, Trade
from alphintra.market.candles import CHAIN, SymbolCandles
from alphintra.market.timeframes import FIXED_NS, bucket_end_ns, bucket_start_ns

SECOND = 1_000_000_000
T0 = 1_700_000_000 // 86_400 * 86_400 * SECOND

offsets = st.integers(min_value=0, max_value=3 * 3_600 * SECOND)
prices = st.integers(min_value=1, max_value=10**6).map(lambda cents: Decimal(cents) / 100)
sizes = st.integers(min_value=1, max_value=10**4).map(Decimal)
trades = st.builds(lambda at, price, size: Trade(T0 + at, price, size), offsets, prices, sizes)


def run(ticks: Sequence[Tick]) -> list[Bar]:
    candles = SymbolCandles()
    bars = [bar for tick in ticks for bar in candles.add(tick)]
    return bars + candles.flush()


def expected(ticks: Sequence[Trade], timeframe: str) -> list[Bar]:
    """The definition, written down without any cleverness."""
    buckets: dict[int, list[Trade]] = defaultdict(list)
    for tick in ticks:
        buckets[bucket_start_ns(tick.ts_ns, timeframe)].append(tick)
    bars = []
    for start_ns, members in sorted(buckets.items()):
        prints = [tick.price for tick in members]
        volume = sum((tick.size for tick in members), Decimal(0))
        bars.append(
            Bar(start_ns, timeframe, prints[0], max(prints), min(prints), prints[-1], volume)
        )
    return bars


@given(st.lists(trades, min_size=1, max_size=80))
def test_candles_of_ordered_ticks_are_their_definition(ticks: list[Trade]) -> None:
    ordered = sorted(ticks, key=lambda tick: tick.ts_ns)
    bars = run(ordered)
    for timeframe in CHAIN:
        made = [bar for bar in bars if bar.timeframe == timeframe]
        assert made == expected(ordered, timeframe)


@given(st.lists(trades, min_size=1, max_size=40, unique_by=lambda t: t.ts_ns), st.randoms())
def test_late_ticks_count_in_every_candle_that_is_still_open(
    ticks: list[Trade], random: object
) -> None:
    shuffled = list(ticks)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis's own `Random`
    daily = [bar for bar in run(shuffled) if bar.timeframe == "1d"]
    assert daily == expected(sorted(ticks, key=lambda tick: tick.ts_ns), "1d")


@given(st.lists(trades, min_size=1, max_size=80))
def test_closed_candles_never_change_and_never_repeat(ticks: list[Trade]) -> None:
    bars = run(ticks)
    keys = [(bar.timeframe, bar.ts_ns) for bar in bars]
    assert len(keys) == len(set(keys))


@given(st.lists(trades, min_size=1, max_size=60))
def test_the_running_candle_becomes_the_closed_one(ticks: list[Trade]) -> None:
    ordered = sorted(ticks, key=lambda tick: tick.ts_ns)
    candles = SymbolCandles()
    for tick in ordered:
        candles.add(tick)
    running = {bar.timeframe: bar for bar in candles.running()}
    closed = {bar.timeframe: bar for bar in candles.flush()}
    assert set(running) == set(CHAIN)
    for timeframe, bar in running.items():
        assert not bar.closed
        final = closed[timeframe]
        assert (bar.ts_ns, bar.open, bar.high, bar.low, bar.close, bar.volume) == (
            final.ts_ns,
            final.open,
            final.high,
            final.low,
            final.close,
            final.volume,
        )


@settings(max_examples=50)
@given(st.lists(trades, min_size=2, max_size=60), st.data())
def test_a_restart_from_stored_minutes_and_ticks_changes_nothing(
    ticks: list[Trade], data: st.DataObject
) -> None:
    ordered = sorted(ticks, key=lambda tick: tick.ts_ns)
    whole = run(ordered)
    cut = data.draw(st.integers(min_value=1, max_value=len(ordered)))
    before = SymbolCandles()
    first = [bar for tick in ordered[:cut] for bar in before.add(tick)]
    minutes = [bar for bar in first if bar.timeframe == "1m"]
    unfolded_ns = minutes[-1].ts_ns + FIXED_NS["1m"] if minutes else T0
    after = SymbolCandles()
    again = after.resume(minutes)
    for tick in ordered[:cut]:
        if tick.ts_ns >= unfolded_ns:
            again += after.add(tick)
    for tick in ordered[cut:]:
        again += after.add(tick)
    again += after.flush()
    known = {(bar.timeframe, bar.ts_ns): bar for bar in [*first, *again]}
    assert known == {(bar.timeframe, bar.ts_ns): bar for bar in whole}
    for bar in again:  # what is made twice is made alike
        assert bar in whole


def test_mids_make_candles_until_the_first_trade() -> None:
    candles = SymbolCandles()
    assert candles.add(Quote(T0, Decimal("1.0"), Decimal("1.1"))) == []
    (bar, *_) = candles.add(Quote(T0 + SECOND, Decimal(2), Decimal(2)))
    assert (bar.timeframe, bar.open, bar.volume) == ("1s", Decimal("1.05"), None)
    candles.add(Trade(T0 + SECOND + 1, Decimal(5), Decimal(3)))
    candles.add(Quote(T0 + SECOND + 2, Decimal(90), Decimal(91)))
    minute = next(bar for bar in candles.flush() if bar.timeframe == "1m")
    assert (minute.open, minute.high, minute.volume) == (Decimal(5), Decimal(5), Decimal(3))


def test_bars_make_only_longer_candles_and_complete_ones_close_at_once() -> None:
    candles = SymbolCandles()
    closed: list[Bar] = []
    for minute in range(5):
        start_ns = T0 + minute * FIXED_NS["1m"]
        price = Decimal(10 + minute)
        closed += candles.add(Bar(start_ns, "1m", price, price + 1, price - 1, price, Decimal(2)))
    assert [
        (bar.timeframe, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in closed
    ] == [("5m", Decimal(10), Decimal(15), Decimal(9), Decimal(14), Decimal(10))]


def test_the_clock_closes_a_quiet_candle() -> None:
    candles = SymbolCandles()
    candles.add(Trade(T0 + 1, Decimal(1), Decimal(1)))
    assert candles.advance(T0 + SECOND - 1) == []
    assert [bar.timeframe for bar in candles.advance(T0 + SECOND)] == ["1s"]
    candles.add(Trade(T0 + 2, Decimal(9), Decimal(1)))  # late for the second, in time for the rest
    bars = {bar.timeframe: bar for bar in candles.advance(T0 + 60 * SECOND)}
    assert "1s" not in bars
    assert bars["1m"].high == Decimal(9)
    candles.add(Trade(T0 + 3, Decimal(7), Decimal(1)))
    assert candles.late_ticks == 0  # the five-minute candle is still open
    candles.flush()
    candles.add(Trade(T0 + 3, Decimal(7), Decimal(1)))
    assert candles.late_ticks == 1


@pytest.mark.parametrize("timeframe", [*CHAIN, "1w", "1mo"])
def test_every_instant_lies_in_exactly_one_candle(timeframe: str) -> None:
    start_ns = bucket_start_ns(T0 + 12_345 * SECOND, timeframe)
    end_ns = bucket_end_ns(start_ns, timeframe)
    assert bucket_start_ns(start_ns, timeframe) == start_ns
    assert bucket_start_ns(end_ns - 1, timeframe) == start_ns
    assert bucket_start_ns(end_ns, timeframe) == end_ns
