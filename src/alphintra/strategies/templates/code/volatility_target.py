"""Hold less when the market is wild and more when it is calm."""

from math import sqrt

import numpy as np

from alphintra.sdk import Bar, Bars, Strategy, param


class VolatilityTarget(Strategy):
    """Size the position so that its volatility over a year is about `target`."""

    target = param(0.15, 0.02, 1.0, help="volatility over a year that is wanted, 0.15 is 15 %")
    window = param(30, 5, 250, help="bars from which the volatility is estimated")
    most = param(1.0, 0.1, 3.0, help="largest share of equity")
    band = param(0.1, 0.0, 1.0, help="change of the share that is not worth its costs")
    bars_a_year = param(252, 12, 600_000, help="how many bars a year has")

    def setup(self) -> None:
        self.volatility = self.indicator(deviation_of_returns, window=self.window)
        self.weights = dict.fromkeys(self.symbols, 0.0)

    def on_bar(self, bar: Bar) -> None:
        if not self.volatility.now > 0:
            return
        a_year = self.volatility.now * sqrt(self.bars_a_year)
        weight = min(self.target / a_year, self.most) / len(self.symbols)
        if abs(weight - self.weights[bar.symbol]) > self.band * self.most / len(self.symbols):
            self.weights[bar.symbol] = weight
            self.target_weight(weight, tag="volatility")


def deviation_of_returns(bars: Bars, window: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the standard deviation of the newest `window` returns; NaN before there are any."""
    returns = np.diff(np.log(bars.close))
    deviation = np.full(len(bars), np.nan)
    if len(returns) >= window:
        windows = np.lib.stride_tricks.sliding_window_view(returns, window)
        deviation[window:] = windows.std(axis=1)
    return deviation
