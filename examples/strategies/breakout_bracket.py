"""Buy a new high, with a stop loss and a take profit that are set by how much the price moves.

alphintra backtest examples/strategies/breakout_bracket.py --data BARS.parquet --param risk=0.01
"""

from alphintra.sdk import Bar, Strategy, param


class BreakoutBracket(Strategy):
    """Enter on a close above the channel of the bars before; leave by bracket.

    The quantity is what loses `risk` of the equity when the stop is hit, and at most what the
    equity can pay.
    """

    channel = param(20, 2, 200, help="bars whose highest high has to be exceeded")
    atr_period = param(14, 2, 100, help="bars of the average true range")
    stop_atr = param(2.0, 0.5, 10.0, help="average ranges from entry to stop loss")
    target_atr = param(4.0, 0.5, 20.0, help="average ranges from entry to take profit")
    risk = param(0.01, 0.001, 0.1, help="share of equity that a stop may lose")

    def setup(self) -> None:
        self.highest = self.indicator("MAX", on=self.data().high, timeperiod=self.channel)
        self.atr = self.indicator("ATR", timeperiod=self.atr_period)

    def on_bar(self, bar: Bar) -> None:
        # highest[1] is the channel as it stood before this bar, which is part of highest[0].
        if not bar.close > self.highest[1] or not self.atr.ready:
            return
        if self.position() or self.open_orders():
            return
        distance = self.stop_atr * self.atr.now
        affordable = 0.95 * self.equity / bar.close / len(self.symbols)
        quantity = min(self.risk * self.equity / distance, affordable)
        if bar.close > distance:
            self.bracket(
                quantity,
                stop_loss=bar.close - distance,
                take_profit=bar.close + self.target_atr * self.atr.now,
                tag="breakout",
            )
