"""Follow the trend with a trailing exit."""

from alphintra.sdk import Bar, Strategy, param


class TrendFollowing(Strategy):
    """Long while the fast average is above the slow one; out when it is not, or on a wide fall.

    The exit trails the highest close since the entry by a number of average true ranges, so that a
    trend that breaks is left before the averages have noticed.
    """

    fast = param(20, 2, 100, help="bars in the fast average")
    slow = param(100, 10, 400, help="bars in the slow average")
    ranges = param(4.0, 1.0, 10.0, help="average true ranges from the highest close to the exit")

    def setup(self) -> None:
        fast = self.indicator("EMA", timeperiod=self.fast)
        slow = self.indicator("EMA", timeperiod=self.slow)
        self.cross = self.crossing(fast, slow)
        self.atr = self.indicator("ATR", timeperiod=14)
        self.share = 1 / len(self.symbols)
        self.highest: dict[str, float] = {}

    def on_bar(self, bar: Bar) -> None:
        if self.position().is_flat:
            if self.cross.now > 0:
                self.highest[bar.symbol] = bar.close
                self.target_weight(self.share, tag="trend")
            return
        self.highest[bar.symbol] = max(self.highest.get(bar.symbol, bar.close), bar.close)
        if self.cross.now < 0:
            self.close(tag="averages crossed")
        elif bar.close < self.highest[bar.symbol] - self.ranges * self.atr.now:
            self.close(tag="fell from its high")
