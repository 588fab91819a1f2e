"""A feed that is connected but silent is noticed, by a clock that the test moves."""

from decimal import Decimal

from alphintra.core.clock import ManualClock
from alphintra.core.market_data import FeedBatch, FeedStatus, Quote
from alphintra.market.watchdog import Watchdog

SILENCE_S = 15.0


def batch(clock: ManualClock, *, source: str = "live", sequence: int = 1) -> FeedBatch:
    quote = Quote(clock.now_ns(), Decimal(1), Decimal(2))
    return FeedBatch(symbol="SPY", source=source, sequence=sequence, ticks=(quote,))


def states(changes: list[FeedStatus]) -> list[tuple[str, str]]:
    return [(change.source, change.state) for change in changes]


def test_a_silent_feed_goes_stale_once_and_comes_back_with_a_tick() -> None:
    clock, watchdog = ManualClock(), Watchdog(silence_s=SILENCE_S)
    first = watchdog.heard(batch(clock), clock.now_ns())
    assert first is not None
    assert first.state == "LIVE"
    clock.advance(SILENCE_S)
    assert watchdog.check(clock.now_ns()) == []
    clock.advance(0.001)
    assert states(watchdog.check(clock.now_ns())) == [("live", "STALE")]
    assert watchdog.check(clock.now_ns()) == []
    back = watchdog.heard(batch(clock), clock.now_ns())
    assert back is not None
    assert back.state == "LIVE"


def test_a_feed_that_never_speaks_is_noticed_too() -> None:
    clock, watchdog = ManualClock(), Watchdog(silence_s=SILENCE_S)
    watchdog.expect("live", "SPY", clock.now_ns())
    clock.advance(SILENCE_S + 1)
    assert states(watchdog.check(clock.now_ns())) == [("live", "STALE")]


def test_what_the_ticks_say_of_their_time_does_not_count() -> None:
    clock, watchdog = ManualClock(), Watchdog(silence_s=SILENCE_S)
    old = Quote(0, Decimal(1), Decimal(2))
    watchdog.heard(
        FeedBatch(symbol="SPY", source="replay", sequence=1, ticks=(old,)), clock.now_ns()
    )
    assert watchdog.check(clock.now_ns()) == []


def test_candles_made_here_do_not_keep_a_feed_alive() -> None:
    clock, watchdog = ManualClock(), Watchdog(silence_s=SILENCE_S)
    watchdog.heard(batch(clock), clock.now_ns())
    clock.advance(SILENCE_S + 1)
    assert watchdog.heard(batch(clock, source="live:candles"), clock.now_ns()) is None
    assert states(watchdog.check(clock.now_ns())) == [("live", "STALE")]


def test_a_source_that_stopped_on_purpose_is_not_stale() -> None:
    clock, watchdog = ManualClock(), Watchdog(silence_s=SILENCE_S)
    watchdog.heard(batch(clock, source="replay"), clock.now_ns())
    watchdog.told(
        FeedStatus(symbol="SPY", source="replay", state="STOPPED", at_ns=clock.now_ns()),
        clock.now_ns(),
    )
    clock.advance(SILENCE_S + 1)
    assert watchdog.check(clock.now_ns()) == []


def test_latecomers_hear_of_the_living_source_only() -> None:
    clock, watchdog = ManualClock(), Watchdog(silence_s=SILENCE_S)
    watchdog.heard(batch(clock, source="old"), clock.now_ns())
    clock.advance(SILENCE_S + 1)
    watchdog.check(clock.now_ns())
    assert states(watchdog.statuses(clock.now_ns())) == [("old", "STALE")]
    watchdog.heard(batch(clock, source="new"), clock.now_ns())
    assert states(watchdog.statuses(clock.now_ns())) == [("new", "LIVE")]


def test_a_clock_that_jumps_back_makes_nothing_stale() -> None:
    clock, watchdog = ManualClock(), Watchdog(silence_s=SILENCE_S)
    watchdog.heard(batch(clock), clock.now_ns())
    clock.advance(-86_400)
    assert watchdog.check(clock.now_ns()) == []
