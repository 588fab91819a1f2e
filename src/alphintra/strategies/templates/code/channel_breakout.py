"""Buy a new high, with a stop loss and a take profit."""

from alphintra.sdk import Bar, Strategy, param


class ChannelBreakout(Strategy):
    """Enter on a close above the highest high of the bars before; leave by bracket.

    The quantity is what loses `risk` of the equity when the stop is hit, and at most what the
    equity can pay.
    """

    channel = param(55, 5, 250, help="bars whose highest high has to be exceeded")
    stop_ranges = param(2.0, 0.5, 10.0, help="average true ranges from entry to stop loss")
    target_ranges = param(6.0, 0.5, 20.0, help="average true ranges from entry to take profit")
    risk = param(0.02, 0.001, 0.1, help="share of equity that a stop may lose")

    def setup(self) -> None:
        self.highest = self.indicator("MAX", on=self.data().high, timeperiod=self.channel)
        self.atr = self.indicator("ATR", timeperiod=14)

    def on_bar(self, bar: Bar) -> None:
        # highest[1] is the channel as it stood before this bar, which is part of highest[0].
        if not bar.close > self.highest[1] or not self.atr.ready:
            return
        if self.position() or self.open_orders():
            return
        distance = self.stop_ranges * self.atr.now
        if not 0 < distance < bar.close:
            return
        affordable = 0.95 * self.equity / bar.close / len(self.symbols)
        self.bracket(
            min(self.risk * self.equity / distance, affordable),
            stop_loss=bar.close - distance,
            take_profit=bar.close + self.target_ranges * self.atr.now,
            tag="breakout",
        )
