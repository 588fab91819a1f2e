"""Follow the trend: long while the fast average of the closes is above the slow one.

    alphintra backtest examples/strategies/sma_cross.py --data BARS.parquet --param side=both

Orders are given when a bar has closed and fill at the next open. With several symbols each gets an
equal share of the money.
"""

from alphintra.sdk import Bar, Strategy, param

#: Averages that are nearer to each other than this share are equal.
EQUAL = 1e-9


class SmaCross(Strategy):
    """All in when the averages cross upwards; out, or short, when they cross downwards."""

    fast = param(10, 2, 200, help="bars in the fast average")
    slow = param(30, 3, 400, help="bars in the slow average")
    side = param(
        "long", choices=("long", "both"), help="what a cross downwards means: out or short"
    )

    def setup(self) -> None:
        self.fast_line = self.indicator("SMA", timeperiod=self.fast)
        self.slow_line = self.indicator("SMA", timeperiod=self.slow)
        self.share = 1 / len(self.symbols)
        self.trend: dict[str, int] = {}

    def on_bar(self, bar: Bar) -> None:
        slow = self.slow_line.now
        apart = self.fast_line.now - slow
        # Averages that are equal but for rounding are no cross, and neither is NaN at the start.
        if apart > slow * EQUAL:
            trend = 1
        elif apart < -slow * EQUAL:
            trend = -1
        else:
            return
        before = self.trend.get(bar.symbol)
        if trend == before:
            return
        self.trend[bar.symbol] = trend
        if before is None:
            return  # which one is above is known for the first time; that is no cross
        if trend > 0:
            self.target_weight(self.share)
        else:
            self.target_weight(-self.share if self.side == "both" else 0.0)
