"""Buy weakness in an uptrend: a low RSI above the long average, sold when it has recovered.

alphintra backtest examples/strategies/rsi_mean_reversion.py --data BARS.parquet
"""

from alphintra.sdk import Bar, Strategy, param


class RsiMeanReversion(Strategy):
    """Long when the RSI is low and the close is above its long average; out when it is high again.

    A position that does not recover is left after `patience` bars.
    """

    period = param(2, 2, 30, help="bars of the RSI")
    low = param(10.0, 1.0, 50.0, help="buy below this RSI")
    high = param(60.0, 50.0, 99.0, help="sell above this RSI")
    trend = param(200, 10, 400, help="bars of the long average")
    patience = param(10, 1, 100, help="bars after which a position is left anyway")

    def setup(self) -> None:
        self.rsi = self.indicator("RSI", timeperiod=self.period)
        self.average = self.indicator("SMA", timeperiod=self.trend)
        self.share = 1 / len(self.symbols)
        self.held_bars: dict[str, int] = {}

    def on_bar(self, bar: Bar) -> None:
        if self.position().is_flat:
            if self.rsi.now < self.low and bar.close > self.average.now:
                self.held_bars[bar.symbol] = 0
                self.target_weight(self.share, tag="dip")
            return
        self.held_bars[bar.symbol] += 1
        if self.rsi.now > self.high:
            self.close(tag="recovered")
        elif self.held_bars[bar.symbol] >= self.patience:
            self.close(tag="too long")
