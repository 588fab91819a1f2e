"""A child that dies anywhere is followed by one that decides the same, under the same names."""

from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alphintra.sdk import Bars
from alphintra.strategies.live import frames
from alphintra.strategies.live.frames import CandleRow
from alphintra.strategies.live.inside import serve
from tests.sdk.conftest import walk
from tests.strategies.live.parent import Crash, Memory, Parent, ask, begin, history

#: Does everything that a strategy can do, and writes down what it sees.
BUSY = '''
from alphintra.sdk import Bar, Fill, Strategy, param


class Busy(Strategy):
    """Answers fills, takes orders back, throws dice, and remembers."""

    step = param(3, 1, 20)

    def setup(self) -> None:
        self.average = self.indicator("EMA", timeperiod=4)
        self.slow = self.indicator("EMA", timeframe="5m", timeperiod=2)
        self.resting = {}
        self.bars = 0
        self.every("4m")

    def on_bar(self, bar: Bar) -> None:
        self.bars += 1
        resting = self.resting.get(bar.symbol)
        if resting is not None and resting.is_open and self.bars % 4 == 0:
            resting.cancel()
        if self.bars % self.step == 0:
            if bar.close > self.average.now and self.random.random() < 0.8:
                self.buy(1 + self.bars % 3, tag="above", confidence=0.5)
            else:
                self.resting[bar.symbol] = self.buy(2, limit=bar.close - 0.2, tag="rest")
        if len(self.open_orders()) > 3:
            self.cancel()
        held = self.position().quantity
        self.log(f"{bar.symbol} {self.bars} {held:g} {self.equity:.6f} {self.slow.now!r}"
                 f" {[(o.id, o.status) for o in self.open_orders()]}")

    def on_fill(self, fill: Fill) -> None:
        if fill.tag == "rest":
            self.sell(fill.quantity, limit=fill.price + 0.3, tag="out")
        self.log(f"fill {fill.order_id} {fill.price:g}")

    def on_timer(self, name: str) -> None:
        for symbol in self.symbols:
            if self.position(symbol).quantity > 5:
                self.close(symbol, tag="enough")
'''


def rows_of(bars: Bars) -> list[CandleRow]:
    return [
        CandleRow(bars.symbol, *(getattr(bars, name)[row].item() for name in Bars._columns()))
        for row in range(len(bars))
    ]


def groups(count: int, seed: int) -> list[Sequence[CandleRow]]:
    a, b = (rows_of(walk(name, count, seed=seed + place)) for place, name in enumerate("AB"))
    return [(a[row], b[row]) if row % 7 else (a[row],) for row in range(count)]


class Fate(Crash):
    """Dies as often as drawn."""

    def __init__(self, draws: Sequence[int]) -> None:
        self._draws = draws
        self._at = 0
        self.deaths = 0

    def _dies(self, how: int) -> bool:
        self._at += 1
        dies = self._draws[self._at % len(self._draws)] == how
        self.deaths += dies
        return dies

    def before(self) -> bool:
        return self._dies(1)

    def undone(self) -> bool:
        return self._dies(2)

    def after(self) -> bool:
        return self._dies(3)


def lived(seed: int, crash: Crash, *, change_at: int | None = None) -> Parent:
    parent = Parent(begin(BUSY, ["A", "B"]))
    for number, group in enumerate(groups(40, seed)):
        parent.live(group, crash)
        if number == change_at:
            parent.set_parameters(step=2)
    return parent


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 1_000),
    st.lists(st.integers(0, 9), min_size=1, max_size=60).filter(lambda draws: {*draws} & {1, 2, 3}),
    st.one_of(st.none(), st.integers(3, 30)),
)
def test_however_often_it_dies_it_decides_the_same(
    seed: int, draws: list[int], change_at: int | None
) -> None:
    calm = lived(seed, Crash(), change_at=change_at)
    crash = Fate(draws)
    shaken = lived(seed, crash, change_at=change_at)
    assert shaken.at == calm.at
    assert shaken.bodies == calm.bodies
    assert shaken.orders == calm.orders
    assert shaken.logs == calm.logs
    assert [(one.id, one.price) for one in shaken.fills] == [
        (one.id, one.price) for one in calm.fills
    ]


def test_it_trades_at_all() -> None:
    calm = lived(1, Crash())
    assert len(calm.fills) > 10
    assert {order.status for order in calm.orders.values()} >= {"FILLED", "CANCELED"}
    assert any("fill-" in name for name in calm.orders)


def test_the_same_frames_give_the_same_bytes() -> None:
    told: list[bytes] = []
    parent = Parent(begin(BUSY, ["A", "B"]))
    hear = parent.child.hear
    past: list[frames.FromParent] = [
        begin(BUSY, ["A", "B"]),
        frames.Past(),
        frames.History(candles=(), last=True),
    ]
    told += [frames.encode(one) for one in past]

    def noted(body: bytes) -> frames.FromChild:
        told.append(body)
        return hear(body)

    parent.child.hear = noted  # type: ignore[method-assign]
    for group in groups(30, 5):
        parent.live(group, Crash())
    parent.set_parameters(step=5)
    answers = []
    for _ in range(2):
        channel = Memory()
        channel.waiting.extend([*told, frames.encode(frames.Stop())])
        serve(channel)
        answers.append(channel.answers)
    assert answers[0] == answers[1]
    assert len(answers[0]) == len(told) + 1
    assert sum(b"Place" in answer for answer in answers[0]) > 5


def test_a_fill_that_is_told_again_and_an_order_of_the_past_are_not_traded_again() -> None:
    parent = Parent(begin(BUSY, ["A", "B"]))
    for group in groups(20, 3):
        parent.live(group, Crash())
    # The parent has published, and died before it wrote down what it had told.
    last = parent.groups.pop()
    child = parent.start()
    again = ask(child, frames.Bars(close_ns=last[0].close_ns, bars=last, fresh=True))
    assert isinstance(again, frames.Decided)
    assert {one.name for one in again.intents if isinstance(one, frames.Place)} == set()
    for fill in parent.fills:
        assert ask(child, frames.FillNews(fill=fill)) is not None


def test_a_history_in_pieces_is_the_whole_history() -> None:
    a = rows_of(walk("A", 60))
    answers = []
    for cut in (0, 1, 30, 59):
        child = Parent(begin(BUSY, ["A"])).child.__class__()
        ask(child, begin(BUSY, ["A"]))
        ask(child, history({"A": a[:cut]}, last=False))
        ask(child, history({"A": a[cut:59]}))
        answers.append(ask(child, frames.Bars(close_ns=a[59].close_ns, bars=(a[59],), fresh=True)))
    assert all(answer == answers[0] for answer in answers)
