"""Strategies run event by event: what they see, what their orders do, how they fail."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from alphintra.engine.portfolio import AccountTerms
from alphintra.engine.series import Series as MarketSeries
from alphintra.research.backtest import Watch, play, prepare
from alphintra.sdk import (
    Bar,
    Bars,
    Fill,
    Quote,
    Quotes,
    RunCancelled,
    Status,
    Strategy,
    StrategyFailed,
    StrategyOutOfTime,
    Trade,
    Trades,
    param,
)
from alphintra.sdk.running import Session
from tests.sdk.conftest import MINUTE_NS, START_NS, walk


def played(
    strategy: Strategy, *series: MarketSeries, watch: Watch | None = None, **market: Any
) -> Session:
    """Run an instance's class over series and return the session."""
    _, session = play(strategy, prepare(list(series), **market), {}, watch=watch)
    return session


class Recorder(Strategy):
    """Notes what each hook was shown; subclasses act."""

    seen: list[Any] = []  # noqa: RUF012 - each test clears it

    def setup(self) -> None:
        self.seen.clear()


def test_bars_come_one_after_the_other_with_all_their_columns(bars: Bars) -> None:
    class Look(Recorder):
        def on_bar(self, bar: Bar) -> None:
            self.seen.append((bar.symbol, bar.open_ns, bar.close, bar.copy()))

    played(Look(), bars)
    assert len(Look.seen) == len(bars)
    assert [row[2] for row in Look.seen] == bars.close.tolist()
    kept = [row[3] for row in Look.seen]
    assert [bar.high for bar in kept] == bars.high.tolist()
    assert [bar.volume for bar in kept] == bars.volume.tolist()
    assert {row[0] for row in Look.seen} == {"X"}


def test_what_the_code_does_not_name_can_still_be_asked_for(bars: Bars) -> None:
    names = ["vol" + "ume", "lo" + "w"]

    class Asks(Recorder):
        def on_bar(self, bar: Bar) -> None:
            self.seen.append([getattr(bar, name) for name in names])

    played(Asks(), bars)
    assert Asks.seen == np.stack([bars.volume, bars.low], axis=1).tolist()


def test_lines_show_up_to_the_bar_at_hand_and_no_further(bars: Bars) -> None:
    class Reads(Recorder):
        def setup(self) -> None:
            super().setup()
            self.average = self.indicator("SMA", timeperiod=3)
            self.closes = self.data().close

        def on_bar(self, bar: Bar) -> None:
            with pytest.raises(IndexError):
                self.average[-1]
            self.seen.append(
                (self.average.now, self.average[2], self.average.ready, self.closes.last(4))
            )

    played(Reads(), bars)
    for row, (now, ago, ready, last) in enumerate(Reads.seen):
        assert last.tolist() == bars.close[max(0, row - 3) : row + 1].tolist()
        assert ready == (row >= 2)
        if row >= 2:
            assert now == pytest.approx(bars.close[row - 2 : row + 1].mean(), rel=1e-12)
        if row >= 4:
            assert ago == Reads.seen[row - 2][0]


def test_a_copy_of_a_line_leads_nowhere(bars: Bars) -> None:
    class Digs(Recorder):
        def setup(self) -> None:
            super().setup()
            self.closes = self.data().close

        def on_bar(self, bar: Bar) -> None:
            view = self.closes.last(2)
            assert view.base is None

    played(Digs(), bars)


def test_longer_bars_are_shown_when_they_have_closed(bars: Bars) -> None:
    class Slow(Recorder):
        def setup(self) -> None:
            super().setup()
            self.five = self.data(timeframe="5m")
            self.average = self.indicator("SMA", on=self.five, timeperiod=2)

        def on_bar(self, bar: Bar) -> None:
            self.seen.append((len(self.five), self.five.close[0], self.average.now))

    played(Slow(), bars)
    for row, (count, close, average) in enumerate(Slow.seen):
        assert count == (row + 1) // 5
        if count >= 1:
            assert close == bars.close[5 * count - 1]
        if count >= 2:
            assert average == pytest.approx(
                (bars.close[5 * count - 1] + bars.close[5 * count - 6]) / 2
            )


def test_market_orders_fill_at_the_next_open(bars: Bars) -> None:
    class Buys(Recorder):
        def on_bar(self, bar: Bar) -> None:
            if bar.close_ns == START_NS + 3 * MINUTE_NS:
                self.order = self.buy(7, tag="in")
                assert self.order.status is Status.OPEN
                assert self.position().is_flat

        def on_fill(self, fill: Fill) -> None:
            self.seen.append((fill.side, fill.quantity, fill.price, fill.tag, self.now.minute))
            assert self.order.status is Status.FILLED
            assert self.order.average_price == fill.price
            assert self.position().quantity == 7

    played(Buys(), bars)
    assert Buys.seen == [("buy", 7.0, bars.open[3], "in", 4)]


def test_a_bracket_leaves_at_its_price_and_cancels_the_other(bars: Bars) -> None:
    class Brackets(Recorder):
        def on_bar(self, bar: Bar) -> None:
            if not self.seen:
                self.orders = self.bracket(10, stop_loss=bar.close - 5, take_profit=bar.close + 0.5)
                self.seen.append(bar.close)

        def on_fill(self, fill: Fill) -> None:
            self.seen.append(fill.price)

    session = played(Brackets(), bars)
    start, entry, leave = Brackets.seen[:3]
    assert entry == bars.open[1]
    assert leave == pytest.approx(start + 0.5)
    _, stop, target = session._strategy.orders  # type: ignore[attr-defined]
    assert (stop.status, target.status) == (Status.CANCELED, Status.FILLED)


def test_an_order_can_be_cancelled(bars: Bars) -> None:
    class Cancels(Recorder):
        def on_bar(self, bar: Bar) -> None:
            if not self.seen:
                self.seen.append(self.buy(1, limit=1.0))
            elif len(self.open_orders()) == 1:
                self.cancel()

    played(Cancels(), bars)
    assert Cancels.seen[0].status is Status.CANCELED


def test_less_than_a_lot_is_rejected(bars: Bars) -> None:
    class Tiny(Recorder):
        def on_bar(self, bar: Bar) -> None:
            if not self.seen:
                self.seen.append(self.buy(0.5))

    session = played(Tiny(), bars)
    assert Tiny.seen[0].status is Status.REJECTED
    assert session.too_small == 1


def test_timers_come_after_the_bar_of_their_time(bars: Bars) -> None:
    class Ticks(Recorder):
        def setup(self) -> None:
            super().setup()
            self.every("2h")
            self.every("3h", "slow")

        def on_timer(self, name: str) -> None:
            self.seen.append((name, self.now.hour, self.now.minute))

    played(Ticks(), bars)
    assert Ticks.seen == [
        ("2h", 2, 0), ("slow", 3, 0), ("2h", 4, 0), ("2h", 6, 0), ("slow", 6, 0), ("2h", 8, 0),
    ]  # fmt: skip


def test_orders_of_a_timer_fill_at_the_next_open(bars: Bars) -> None:
    class Timed(Recorder):
        def setup(self) -> None:
            super().setup()
            self.every("1h")

        def on_timer(self, name: str) -> None:
            self.buy(1)

        def on_fill(self, fill: Fill) -> None:
            self.seen.append((fill.ts_ns, fill.price))

    played(Timed(), bars)
    assert Timed.seen[0] == (START_NS + 60 * MINUTE_NS, bars.open[60])
    assert len(Timed.seen) == 8


def test_symbols_have_lines_and_positions_of_their_own() -> None:
    a, b = walk("A", seed=1), walk("B", seed=2)

    class Two(Recorder):
        def setup(self) -> None:
            super().setup()
            self.own = self.indicator("SMA", timeperiod=5)
            self.of_b = self.data("B").close

        def on_bar(self, bar: Bar) -> None:
            self.seen.append((bar.symbol, bar.close, self.own.now, self.of_b.now))
            if bar.symbol == "B" and self.position("A").is_flat:
                self.buy(3, "A")

    session = played(Two(), a, b)
    assert session.positions[0].quantity == 3
    assert session.positions[1].is_flat
    of = {symbol: [row for row in Two.seen if row[0] == symbol] for symbol in ("A", "B")}
    for symbol, part in (("A", a), ("B", b)):
        assert [row[1] for row in of[symbol]] == part.close.tolist()
        assert of[symbol][10][2] == pytest.approx(part.close[6:11].mean())
        # Bars that end together are all known when the first of them is shown.
        assert [row[3] for row in of[symbol]] == b.close.tolist()


def ticks(count: int = 200) -> tuple[Quotes, Trades]:
    random = np.random.default_rng(5)
    mid = np.round(50 + np.cumsum(random.choice([-0.01, 0, 0.01], count)), 2)
    at = START_NS + 1_000_000 * np.arange(count)
    size = np.full(count, 10.0)
    quotes = Quotes("X", at, mid - 0.01, mid + 0.01, size, size)
    prints = Trades("X", at[::3] + 500_000, mid[::3], size[::3], np.ones(len(at[::3]), np.int8))
    return quotes, prints


def test_quotes_and_prints_come_in_the_order_of_time() -> None:
    class Both(Recorder):
        def on_quote(self, quote: Quote) -> None:
            self.seen.append((quote.ts_ns, quote.bid, quote.ask))

        def on_trade(self, trade: Trade) -> None:
            self.seen.append((trade.ts_ns, trade.price, trade.side))

    quotes, prints = ticks()
    played(Both(), quotes, prints)
    rows = list(zip(quotes.ts_ns.tolist(), quotes.bid.tolist(), quotes.ask.tolist(), strict=True))
    rows += list(zip(prints.ts_ns.tolist(), prints.price.tolist(), [1] * len(prints), strict=True))
    assert Both.seen == sorted(rows)


def test_a_market_order_fills_at_the_other_side_of_the_next_quote() -> None:
    class Takes(Recorder):
        def on_quote(self, quote: Quote) -> None:
            if not self.seen:
                self.seen.append(quote.ask)
                self.buy(1)

        def on_fill(self, fill: Fill) -> None:
            self.seen.append((fill.price, fill.ts_ns))

    quotes, _ = ticks()
    played(Takes(), quotes)
    price, at_ns = Takes.seen[1]
    assert round(price, 2) in np.round(quotes.ask[:2], 2)
    assert at_ns <= quotes.ts_ns[1]


def test_an_order_with_latency_misses_the_next_bar(bars: Bars) -> None:
    class Late(Recorder):
        def on_bar(self, bar: Bar) -> None:
            if not self.seen:
                self.seen.append(self.buy(1))

        def on_fill(self, fill: Fill) -> None:
            self.seen.append(fill.ts_ns)

    played(Late(), bars, account=AccountTerms(latency_ns=MINUTE_NS + 1))
    assert Late.seen[1] == bars.open_ns[3]


def test_a_strategy_that_raises_is_told_with_place_and_time(bars: Bars) -> None:
    class Raises(Recorder):
        def on_bar(self, bar: Bar) -> None:
            if bar.close_ns == START_NS + 5 * MINUTE_NS:
                raise KeyError("oops")

    with pytest.raises(StrategyFailed) as failed:
        played(Raises(), bars)
    assert "test_running.py, line" in failed.value.detail
    assert "in on_bar, at 2024-01-01T00:05:00Z on X: KeyError: 'oops'" in failed.value.detail


def test_an_order_without_sense_is_told_with_its_line(bars: Bars) -> None:
    class Wrong(Recorder):
        def on_bar(self, bar: Bar) -> None:
            self.buy(1, limit=-5)

    with pytest.raises(StrategyFailed, match="limit is a positive number, not -5"):
        played(Wrong(), bars)


def test_a_strategy_that_loops_is_ended(bars: Bars) -> None:
    class Loops(Recorder):
        def on_bar(self, bar: Bar) -> None:
            while True:
                try:
                    self.seen.append(1)
                    self.seen.clear()
                except Exception:
                    self.seen.clear()

    with pytest.raises(StrategyOutOfTime, match=r"in on_bar, at 2024.* longer than 0\.2 s"):
        played(Loops(), bars, watch=Watch(time_limit_s=0.2))


def test_a_run_can_be_cancelled_and_tells_how_far_it_is(bars: Bars) -> None:
    class Idle(Recorder):
        def on_bar(self, bar: Bar) -> None:
            pass

    told: list[float] = []
    played(Idle(), bars, watch=Watch(progress=told.append))
    assert told[-1] == 1.0
    with pytest.raises(RunCancelled):
        played(Idle(), bars, watch=Watch(cancelled=lambda: True))


def test_a_seed_repeats_a_run(bars: Bars) -> None:
    class Dice(Recorder):
        def on_bar(self, bar: Bar) -> None:
            self.seen.append(self.random.random())

    def thrown(seed: int) -> Sequence[float]:
        play(Dice(), prepare([bars]), {}, seed=seed)
        return list(Dice.seen)

    assert thrown(1) == thrown(1)
    assert thrown(1) != thrown(2)


def test_parameters_reach_the_strategy(bars: Bars) -> None:
    class Chosen(Recorder):
        period = param(5, 2, 50)

        def on_bar(self, bar: Bar) -> None:
            self.seen.append(self.period)

    play(Chosen, prepare([bars]), {"period": 9})
    assert set(Chosen.seen) == {9}


def test_the_log_is_kept_with_its_times(bars: Bars) -> None:
    class Talks(Recorder):
        def on_bar(self, bar: Bar) -> None:
            if bar.close_ns == START_NS + MINUTE_NS:
                self.log("hello")

    session = played(Talks(), bars)
    assert session.logs == ["2024-01-01T00:01:00Z hello"]
