"""Follow the trend: long while the fast average of the closes is above the slow one.

    alphintra backtest examples/strategies/sma_cross.py --data BARS.parquet --param side=both

Orders are given when a bar has closed and fill at the next open. With several symbols each gets an
equal share of the money.
"""

from alphintra.sdk import Bar, Strategy, param


class SmaCross(Strategy):
    """All in when the averages cross upwards; out, or short, when they cross downwards."""

    fast = param(10, 2, 200, help="bars in the fast average")
    slow = param(30, 3, 400, help="bars in the slow average")
    side = param(
        "long", choices=("long", "both"), help="what a cross downwards means: out or short"
    )

    def setup(self) -> None:
        fast = self.indicator("SMA", timeperiod=self.fast)
        slow = self.indicator("SMA", timeperiod=self.slow)
        self.cross = self.crossing(fast, slow)
        self.share = 1 / len(self.symbols)

    def on_bar(self, bar: Bar) -> None:
        cross = self.cross.now
        if cross > 0:
            self.target_weight(self.share)
        elif cross < 0:
            self.target_weight(-self.share if self.side == "both" else 0.0)
