"""What the child decides over candles is what a backtest decides over them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from alphintra.research.backtest import backtest
from alphintra.research.result import BacktestResult
from alphintra.sdk import Bars
from alphintra.strategies.live.frames import Value
from tests.sdk.conftest import walk
from tests.strategies.live.parent import Crash, Parent, begin
from tests.strategies.live.test_restarts import BUSY, rows_of

EXAMPLES = Path(__file__).parents[3] / "examples" / "strategies"

#: Whole units at given prices: fills, positions and money are those of the backtest too.
UNITS = """
from alphintra.sdk import Bar, Fill, Strategy


class Units(Strategy):
    def setup(self) -> None:
        self.fast = self.indicator("EMA", timeperiod=3)
        self.slow = self.indicator("EMA", timeperiod=9)
        self.cross = self.crossing(self.fast, self.slow)
        self.long = self.indicator("SMA", timeframe="15m", timeperiod=2)
        self.every("20m")

    def on_bar(self, bar: Bar) -> None:
        if self.cross.now > 0:
            self.buy(10 + len(bar.symbol), tag="up")
        elif self.cross.now < 0 and self.position().quantity > 0:
            self.close(tag="down")
        self.log(f"{bar.symbol} {self.position().quantity:g} {self.cash:.4f} {self.equity:.4f}")

    def on_fill(self, fill: Fill) -> None:
        self.log(f"{fill.side} {fill.quantity:g} {fill.price:g}")

    def on_timer(self, name: str) -> None:
        for symbol in self.symbols:
            if self.position(symbol).quantity > 20 and self.long.now > 0:
                self.sell(3, symbol, tag="less")
        self.log(f"timer {self.long.now!r}")
"""


#: Sizes by weight differ by what the price does until the fill; what is asked for is the same.
ASKED = """

def asked(self, weight, symbol=None, tag="", **terms):
    self.log(f"{{self.now}} {{weight:g}} of {{symbol or self.position().symbol}}")
    return Strategy.target_weight(self, weight, symbol, tag, **terms)


{name}.target_weight = asked
"""


def series(names: str, count: int, seed: int) -> list[Bars]:
    return [walk(name, count, seed=seed + place) for place, name in enumerate(names)]


def live(source: str, bars: list[Bars], parameters: Mapping[str, Value]) -> Parent:
    parent = Parent(begin(source, [one.symbol for one in bars], parameters=dict(parameters)))
    for group in zip(*map(rows_of, bars), strict=True):
        parent.live(group, Crash())
    return parent


def backtested(
    source: str, bars: list[Bars], parameters: Mapping[str, Value], path: Path
) -> BacktestResult:
    file = path / "strategy.py"
    file.write_text(source)
    return backtest(str(file), bars, parameters=parameters, cash=100_000, seed=7)


def test_orders_fills_and_money_of_many_symbols_are_those_of_a_backtest(tmp_path: Path) -> None:
    bars = series("ABC", 400, 3)
    parent = live(UNITS, bars, {})
    result = backtested(UNITS, bars, {}, tmp_path)
    assert len(parent.fills) > 60
    expected = [
        (int(order["created_ns"]), bars[order["symbol"]].symbol, int(order["side"]),
         float(order["quantity"]))
        for order in result.orders
    ]  # fmt: skip
    decided = [
        (at_ns, body["symbol"], 1 if body["side"] == "BUY" else -1, float(str(body["quantity"])))
        for (at_ns, name), body in zip(parent.at, parent.bodies.values(), strict=True)
    ]
    assert decided == expected[: len(decided)]
    # Live a fill is told at the candle before the one in which it happens, so its time differs.
    assert parent.logs == [line.partition(" ")[2] for line in result.logs]


@pytest.mark.parametrize(
    ("name", "symbols", "parameters"),
    [
        ("pairs", "AB", {"window": 20, "entry": 1.0, "leave": 0.3}),
        ("cross_sectional_momentum", "ABCD", {"lookback": 30, "skip": 2, "top": 2, "weeks": 1}),
        ("rsi_mean_reversion", "A", {}),
        ("sma_cross", "A", {"fast": 3, "slow": 9}),
    ],
)
def test_examples_decide_live_as_in_a_backtest(
    name: str, symbols: str, parameters: dict[str, Any], tmp_path: Path
) -> None:
    source = (EXAMPLES / f"{name}.py").read_text()
    bars = series(symbols, 400, 11)
    if name == "cross_sectional_momentum":
        bars = [walk(one, 90, seed=place, step_ns=86_400_000_000_000) for place, one in
                enumerate(symbols)]  # fmt: skip
    source += ASKED.format(name=re.search(r"^class (\w+)", source, re.MULTILINE)[1])  # type: ignore[index]
    parent = live(source, bars, parameters)
    result = backtested(source, bars, parameters, tmp_path)
    assert len(result.logs) > 4
    assert parent.logs == [line.partition(" ")[2] for line in result.logs]


def test_the_busy_one_decides_in_a_backtest_too(tmp_path: Path) -> None:
    assert len(backtested(BUSY, series("AB", 60, 1), {}, tmp_path).orders) > 5
