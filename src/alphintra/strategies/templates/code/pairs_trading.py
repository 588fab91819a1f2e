"""Two prices that usually move together: sell the dear one and buy the cheap one."""

from math import log, sqrt

from alphintra.sdk import Bar, Strategy, param


class PairsTrading(Strategy):
    """Trade the logarithm of the ratio of the first two symbols, in deviations from its mean."""

    window = param(60, 10, 500, help="bars of the mean and the deviation")
    entry = param(2.0, 0.5, 5.0, help="deviations at which the pair is entered")
    leave = param(0.5, 0.0, 3.0, help="deviations at which it is left")
    share = param(0.45, 0.05, 1.0, help="share of equity in each of the two")

    def setup(self) -> None:
        self.first, self.second = self.symbols[:2]
        self.a = self.data(self.first).close
        self.b = self.data(self.second).close
        self.spreads: list[float] = []
        self.side = 0

    def on_bar(self, bar: Bar) -> None:
        # Bars that end together are all known when the first of them is shown; once is enough.
        if bar.symbol != self.second or not self.a.ready:
            return
        spread = log(self.a.now / self.b.now)
        self.spreads = [*self.spreads[1 - self.window :], spread]
        if len(self.spreads) < self.window:
            return
        mean = sum(self.spreads) / self.window
        deviation = sqrt(sum((one - mean) ** 2 for one in self.spreads) / self.window)
        if deviation == 0:
            return
        score = (spread - mean) / deviation
        if abs(score) < self.leave and self.side:
            self.turn(0)
        elif score > self.entry and self.side >= 0:
            self.turn(-1)
        elif score < -self.entry and self.side <= 0:
            self.turn(1)

    def turn(self, side: int) -> None:
        """Hold the first against the second (1), the other way round (-1), or nothing (0)."""
        self.side = side
        self.target_weight(side * self.share, self.first)
        self.target_weight(-side * self.share, self.second)
