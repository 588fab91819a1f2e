"""The child of a deployment: faults, parameters, quotes, groups of orders, all by frames."""

from typing import Any

import msgspec
import pytest

from alphintra.sdk.live.told import OrderState
from alphintra.strategies.live import frames
from alphintra.strategies.live.frames import CandleRow, Decided, Fault, Place
from alphintra.strategies.live.inside import Inside, serve
from alphintra.strategies.templates import template_named
from tests.strategies.live.parent import Memory, ask, begin, decided, history

MINUTE_NS = 60_000_000_000


def row(minute: int, close: float, symbol: str = "A") -> CandleRow:
    at_ns = (1_000 + minute) * MINUTE_NS
    return CandleRow(symbol, at_ns, at_ns + MINUTE_NS, close, close + 1, close - 1, close, 5.0)


def bars(*rows: CandleRow, fresh: bool = True) -> frames.Bars:
    return frames.Bars(close_ns=rows[-1].close_ns, bars=rows, fresh=fresh)


def started(source: str, symbols: str = "A", past: int = 0, **terms: object) -> Inside:
    child = Inside()
    answer = ask(child, begin(f"from alphintra.sdk import *\n{source}", symbols, **terms))
    assert isinstance(answer, frames.Begun), answer
    rows = {symbol: [row(minute, 100.0, symbol) for minute in range(past)] for symbol in symbols}
    decided(child, history(rows))
    return child


def fault(child: Inside, frame: frames.FromParent) -> Fault:
    answer = ask(child, frame)
    assert isinstance(answer, Fault), answer
    return answer


def place(answer: Decided) -> Place:
    (intent,) = answer.intents
    assert isinstance(intent, Place)
    return intent


@pytest.mark.parametrize(
    ("source", "code", "line", "column"),
    [
        ("class S(Strategy)\n    pass", "strategy_refused", 2, 18),
        ("x = 1", "strategy_not_found", None, None),
        ("class S(Strategy): pass\nclass T(Strategy): pass", "strategy_not_found", None, None),
        ("import sys\nsys.exit(1)", "strategy_failed", 3, 1),
        ("@vectorised\ndef f(bars):\n    return bars.close", "strategy_refused", None, None),
        (
            "class S(Strategy):\n    def setup(self):\n        self.indicator('SMA', period=1)",
            "strategy_failed", 4, 9,
        ),
        (
            "class S(Strategy):\n    def __init__(self, **p):\n        1 / 0",
            "strategy_failed", 4, 9,
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded_is_told_with_its_place(
    source: str, code: str, line: int | None, column: int | None
) -> None:
    told = fault(Inside(), begin(f"from alphintra.sdk import *\n{source}", "A"))
    assert (told.code, told.line, told.column, told.goes_on) == (code, line, column, False)


RAISES = """
class Raises(Strategy):
    def on_bar(self, bar):
        self.buy(1)
        if bar.close == 105:
            {}
"""


@pytest.mark.parametrize(
    "statement", ["raise ValueError('no idea')", "exit(3)", "self.f()", "1 / 0", "'\\ud800' + 1"]
)
def test_a_strategy_that_raises_is_a_fault_with_its_line_and_decides_nothing(
    statement: str,
) -> None:
    channel = Memory()
    source = "from alphintra.sdk import *\n" + RAISES.format(statement)
    told: list[frames.FromParent] = [
        begin(source, "A"), history({}), bars(row(1, 104.0)), bars(row(2, 105.0)),
        bars(row(3, 104.0)),
    ]  # fmt: skip
    channel.waiting.extend(frames.encode(frame) for frame in told)
    serve(channel)
    *_, fine, last = map(frames.from_child, channel.answers)
    assert isinstance(fine, Decided)
    assert isinstance(last, Fault)
    assert (last.code, last.line, last.goes_on) == ("strategy_failed", 7, False)
    assert "line 7, in on_bar" in last.traceback
    assert len(channel.waiting) == 1  # it has ended


def test_frames_that_make_no_sense_change_nothing() -> None:
    child = Inside()
    assert fault(child, bars(row(1, 100.0))).goes_on
    child = started("class S(Strategy):\n    def on_bar(self, bar): self.buy(1)", past=2)
    for frame in (
        begin("x", "A"),
        frames.Past(),
        history({}),
        bars(row(2, 100.0, "B")),
        bars(row(1, 100.0)),
        bars(row(3, -1.0)),
        bars(row(3, 100.0), row(2, 100.0, "A")),
        frames.Bars(close_ns=row(3, 1.0).close_ns, bars=(row(4, 100.0),), fresh=True),
        frames.OrderNews(
            view=OrderState(
                id="o", client_order_id="else", symbol="A", side="BUY", type="MARKET",
                quantity="1", status="ACCEPTED", version=1,
            )
        ),
    ):  # fmt: skip
        assert fault(child, frame).goes_on, frame
    garbled = frames.from_child(frames.encode(child.hear(b"\xc1no frame")))
    assert isinstance(garbled, Fault)
    assert garbled.goes_on
    assert len(decided(child, bars(row(3, 100.0))).intents) == 1


def test_candles_that_are_not_fresh_or_late_are_shown_and_not_traded() -> None:
    child = started(
        "class S(Strategy):\n    def on_bar(self, bar):\n"
        "        self.log(f'{bar.symbol} {bar.close:g}'); self.buy(1)",
        "AB",
    )
    answer = decided(child, bars(row(1, 100.0), fresh=False))
    assert (answer.intents, [log.message for log in answer.logs]) == ((), ["A 100"])
    assert "nobody watched" in answer.warnings[0]
    late = frames.Bars(
        close_ns=row(2, 1.0).close_ns,
        bars=(row(2, 101.0), row(1, 102.0, "B"), row(2, 103.0, "B")),
        fresh=True,
    )
    answer = decided(child, late)
    assert [log.message for log in answer.logs] == ["B 102", "A 101", "B 103"]
    assert [one.symbol for one in answer.intents if isinstance(one, Place)] == ["A", "B"]


SEES = """
class Sees(Strategy):
    period = param(2, 1, 50)
    level = param(0.5, 0.0, 1.0)

    def setup(self):
        self.average = self.indicator("SMA", timeperiod=self.period)
        self.closes = self.data().close
        self.double = 2 * self.period
        self.seen = []
        self.every(f"{self.period}m")

    def on_bar(self, bar):
        self.seen.append(bar.close)
        self.buy(1, tag="why", confidence=self.level)

    def on_timer(self, name):
        self.log(f"{name} {self.average.now:g} {self.double} {len(self.seen)}")
"""


def test_a_decision_says_why_and_how_sure_it_is() -> None:
    child = started(SEES, past=3)
    intent = place(decided(child, bars(row(3, 103.0))))
    assert intent.because == {"average": 101.5, "closes": 103.0}
    assert (intent.hook, intent.reason, intent.confidence) == ("on_bar", "why", 0.5)
    assert intent.name == "d7f19700101T164400Z/0"
    assert intent.at_ns == row(3, 1.0).close_ns
    assert intent.body == {
        "symbol": "A", "side": "BUY", "type": "MARKET", "quantity": "1",
        "time_in_force": "GTC", "client_order_id": intent.name,
    }  # fmt: skip
    assert fault(started(SEES.replace("self.level)", "2)")), bars(row(1, 1.5))).line == 16


def test_lines_follow_parameters_and_memory_stays() -> None:
    child = started(SEES, past=5)
    decided(child, bars(row(5, 110.0)))
    decided(child, frames.SetParameters(values={"period": 3, "level": 1}))
    answer = decided(child, bars(row(6, 120.0)))
    assert place(answer).because["average"] == pytest.approx((100 + 110 + 120) / 3)
    assert place(answer).confidence == 1.0
    (log,) = decided(child, bars(row(7, 120.0))).logs
    timer, average, double, seen = log.message.split()
    assert (timer, double, seen) == ("3m", "6", "8")
    assert float(average) == pytest.approx(350 / 3, rel=1e-5)


@pytest.mark.parametrize("values", [{"period": 0}, {"other": 1}, {"period": "x"}, {"level": 2.0}])
def test_parameters_that_are_not_allowed_change_nothing(values: dict[str, Any]) -> None:
    child = started(SEES, past=5)
    refused = fault(child, frames.SetParameters(values=values))
    assert (refused.code, refused.goes_on) == ("parameter_refused", True)
    assert place(decided(child, bars(row(5, 110.0)))).because["average"] == 105.0


def test_a_setup_that_does_not_take_new_parameters_leaves_the_strategy_as_it_was() -> None:
    source = SEES.replace("self.double = 2", "self.double = 0 // (7 - self.period) + 2")
    child = started(source, past=5)
    refused = fault(child, frames.SetParameters(values={"period": 7}))
    assert (refused.code, refused.goes_on) == ("parameter_refused", True)
    assert place(decided(child, bars(row(5, 110.0)))).because["average"] == 105.0


TICKS = """
class Ticks(Strategy):
    def on_quote(self, quote):
        self.log(f"{quote.symbol} {quote.bid:g} {quote.ask:g} {quote.time:%H:%M:%S}")
        if quote.ask < 100:
            self.buy(1, limit=quote.ask, lifetime="ioc")

    def on_trade(self, trade):
        self.log(f"print {trade.price:g} {trade.side}")
        self.target_weight(0.5, "B")
"""


def quote(second: int, bid: float, ask: float) -> frames.QuoteTick:
    ts_ns = row(1, 1.0).close_ns + second * 1_000_000_000
    return frames.QuoteTick(symbol="A", ts_ns=ts_ns, bid=bid, ask=ask, bid_size=1.0, ask_size=1.0)


def test_strategies_of_quotes_and_prints_are_called_for_them() -> None:
    child = Inside()
    begun = ask(child, begin(f"from alphintra.sdk import *\n{TICKS}", "AB"))
    assert isinstance(begun, frames.Begun)
    assert (begun.wants_quotes, begun.wants_trades) == (True, True)
    decided(child, history({"B": [row(0, 50.0, "B")]}))
    decided(child, bars(row(1, 100.0), row(1, 50.0, "B")))
    assert decided(child, quote(1, 100.0, 100.5)).logs[0].message == "A 100 100.5 16:42:01"
    (first,) = decided(child, quote(2, 98.5, 99.0)).intents
    (second,) = decided(child, quote(2, 98.0, 98.5)).intents  # of the same second
    assert isinstance(first, Place)
    assert (first.name, first.hook) == ("d7f19700101T164202Zq/0", "on_quote")
    assert second.name == "d7f19700101T164202Zq/1"
    assert (first.body["type"], first.body["time_in_force"]) == ("LIMIT", "IOC")
    answer = decided(
        child,
        frames.TradeTick(symbol="B", ts_ns=quote(3, 1.0, 1.0).ts_ns, price=40.0, size=1.0, side=-1),
    )
    assert answer.logs[0].message == "print 40 -1"
    assert place(answer).body["quantity"] == "1250"  # half of 100,000 at the price seen last


BRACKET = """
class Bracketed(Strategy):
    def on_bar(self, bar):
        if bar.close == 105:
            self.orders = self.bracket(2, stop_loss=95.0, take_profit=120.0)
        if bar.close == 106:
            self.log(" ".join(o.status for o in self.orders))
            self.orders[2].cancel()
        if bar.close == 107:
            self.log(" ".join(o.status for o in self.orders))
            o = self.buy(1, limit=50.0)
            o.cancel()
            self.log(o.status)
"""


def test_a_bracket_is_one_order_and_its_exits_can_be_taken_back() -> None:
    child = started(BRACKET)
    intent = place(decided(child, bars(row(1, 105.0))))
    assert intent.body["order_class"] == "BRACKET"
    assert intent.body["stop_loss"] == {"stop_price": "95.00"}
    assert intent.body["take_profit"] == {"price": "120.00"}
    for number, (kind, parent) in enumerate((("MARKET", None), ("STOP", "0"), ("LIMIT", "0"))):
        view = OrderState(
            id=str(number), client_order_id=intent.name if parent is None else f"leg{number}",
            symbol="A", side="SELL" if parent else "BUY", type=kind, quantity="2",
            status="PENDING" if parent else "ACCEPTED", version=1, parent_id=parent,
        )  # fmt: skip
        decided(child, frames.OrderNews(view=view))
    answer = decided(child, bars(row(2, 106.0)))
    assert answer.logs[0].message == "open open open"
    assert answer.intents == (
        frames.Cancel(name=f"{intent.name}/1", order_id="2", at_ns=row(2, 1.0).close_ns),
    )
    answer = decided(child, bars(row(3, 107.0)))
    assert [log.message for log in answer.logs] == ["open open canceled", "canceled"]
    assert answer.intents == ()


def test_a_refusal_rejects_the_order_with_its_exits() -> None:
    child = started(BRACKET)
    intent = place(decided(child, bars(row(1, 105.0))))
    answer = decided(child, frames.Refusal(name=intent.name, reason="not approved"))
    assert any("not approved" in warning for warning in answer.warnings)
    answer = decided(child, bars(row(2, 106.0)))
    assert answer.logs[0].message == "rejected rejected rejected"
    assert answer.intents == ()


SIZES = """
class Sizes(Strategy):
    def on_bar(self, bar):
        self.log(f"{self.whole_lots(0.1239):g} {self.whole_lots(0.00999):g}")
        self.buy(0.004)
        self.target_weight(0.5)
        self.buy(bar.close)
"""


def test_what_comes_to_nothing_is_told_in_words_with_its_figures() -> None:
    bitcoin = frames.Instrument(symbol="BTC", tick_size="0.01", lot_size="0.01")
    child = Inside()
    first = begin(f"from alphintra.sdk import *\n{SIZES}", ["BTC"], capital=1_500.0)
    ask(child, msgspec.structs.replace(first, instruments=(bitcoin,)))
    decided(child, history({}))
    answer = decided(child, bars(row(1, 100_000.0, "BTC")))
    assert [log.message for log in answer.logs] == ["0.12 0"]
    small, share = answer.warnings
    assert small == "buy BTC, not ordered: it is for 0.004, less than one lot of 0.01 BTC"
    assert share.startswith("buy BTC, not ordered: a share of 0.5 of 1,500.00 is less than one lot")
    assert share.endswith(" of 0.01 BTC at 100000")
    intent = place(answer)
    rejected = OrderState(
        id="1", client_order_id=intent.name, symbol="BTC", side="BUY", type="MARKET",
        quantity="100000", status="REJECTED", version=1, reject_reason="risk_order_notional",
        reject_detail="the order is worth 10000000000, and 1000000 is the limit of one order",
    )  # fmt: skip
    (warning,) = decided(child, frames.OrderNews(view=rejected)).warnings
    assert warning == (
        "buy 100000 BTC, not ordered: the order is worth 10000000000, and 1000000 is the limit of"
        " one order (risk_order_notional)"
    )
    # The same news again in the next bar would be noise.
    answer = decided(child, bars(row(2, 100_000.0, "BTC")))
    assert [one for one in answer.warnings if "a share of" in one] == []


@pytest.mark.parametrize("name", ["grid", "dollar_cost_averaging"])
def test_templates_buy_parts_of_what_is_dear(name: str) -> None:
    bitcoin = frames.Instrument(symbol="BTC", tick_size="0.01", lot_size="0.0001")
    child = Inside()
    parameters = {"window": 10} if name == "grid" else {"weeks": 1}
    first = begin(template_named(name).code, ["BTC"], capital=10_000.0, parameters=parameters)
    ask(child, msgspec.structs.replace(first, instruments=(bitcoin,)))
    decided(child, history({"BTC": [row(minute, 60_000.0, "BTC") for minute in range(260)]}))
    for minute in (261, 261 + 7 * 24 * 60):
        intents = decided(child, bars(row(minute, 60_000.0, "BTC"))).intents
    orders = [one.body for one in intents if isinstance(one, Place)]
    assert [one["side"] for one in orders] == ["BUY"]
    assert 0 < float(str(orders[0]["quantity"])) < 1


def test_floods_are_bounded() -> None:
    child = started(
        "class S(Strategy):\n    def on_bar(self, bar):\n"
        "        for i in range(int(bar.close)): self.buy(1)\n"
        "        for i in range(1000): self.log('\\ud800' * 5000)"
    )
    answer = decided(child, bars(row(1, 900.0)))
    assert len(answer.intents) == 900
    assert len(answer.logs) == frames.LOGS_MAX
    assert "lines were kept" in answer.warnings[0]
    assert fault(child, bars(row(2, 1_001.0))).code == "too_many_orders"


def test_the_process_needs_little_that_is_heavy() -> None:
    import subprocess
    import sys

    program = (
        "import sys, alphintra.strategies.live.inside\n"
        "heavy = {'fastapi', 'sqlalchemy', 'nats', 'pydantic', 'httpx', 'asyncio', 'pyarrow'}\n"
        "print(sorted(heavy & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
