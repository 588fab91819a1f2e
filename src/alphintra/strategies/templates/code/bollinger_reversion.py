"""Buy a fall out of the Bollinger Bands, sell at the middle."""

from alphintra.sdk import Bar, Strategy, param


class BollingerReversion(Strategy):
    """Buy a close under the lower band, leave at the middle, by a stop, or out of patience."""

    window = param(20, 5, 200, help="bars of the bands")
    width = param(2.0, 0.5, 4.0, help="deviations from the middle to a band")
    trend = param(200, 10, 400, help="bars of the average above which falls are bought")
    stop = param(0.08, 0.01, 0.5, help="loss at which a position is left, 0.08 is 8 %")
    patience = param(15, 1, 200, help="bars after which it is left anyway")

    def setup(self) -> None:
        _, self.middle, self.lower = self.outputs(
            "BBANDS", timeperiod=self.window, nbdevup=self.width, nbdevdn=self.width
        )
        self.average = self.indicator("SMA", timeperiod=self.trend)
        self.share = 1 / len(self.symbols)
        self.bars_held: dict[str, int] = {}

    def on_bar(self, bar: Bar) -> None:
        position = self.position()
        if position.is_flat:
            if bar.close < self.lower.now and bar.close > self.average.now:
                self.bars_held[bar.symbol] = 0
                self.target_weight(self.share, tag="under the band")
            return
        self.bars_held[bar.symbol] = self.bars_held.get(bar.symbol, 0) + 1
        if bar.close >= self.middle.now:
            self.close(tag="back in the middle")
        elif bar.close < position.average_price * (1 - self.stop):
            self.close(tag="stop")
        elif self.bars_held[bar.symbol] >= self.patience:
            self.close(tag="out of patience")
