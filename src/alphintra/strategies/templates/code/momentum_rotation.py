"""Own what has risen most: chosen anew every few weeks."""

from alphintra.sdk import Strategy, param


class MomentumRotation(Strategy):
    """Rank all symbols by their return over `lookback` bars, without the newest `skip` of them.

    What has not risen is not owned; then its share stays in cash.
    """

    lookback = param(126, 20, 500, help="bars over which the return is measured")
    skip = param(10, 0, 60, help="newest bars that are left out, as they tend to revert")
    top = param(1, 1, 50, help="how many symbols are held")
    weeks = param(4, 1, 26, help="weeks between choices")

    def setup(self) -> None:
        self.closes = {symbol: self.data(symbol).close for symbol in self.symbols}
        self.every(f"{self.weeks}w")

    def on_timer(self, name: str) -> None:
        momentum = {}
        for symbol, close in self.closes.items():
            past, recent = close[self.lookback], close[self.skip]
            if past > 0 and recent > past:  # NaN, before there is enough of it, is neither
                momentum[symbol] = recent / past
        chosen = sorted(momentum, key=lambda symbol: momentum[symbol], reverse=True)[: self.top]
        # First what is sold, so that its money can buy the others.
        for symbol in self.symbols:
            if symbol not in chosen and self.position(symbol):
                self.close(symbol, tag="not among the best")
        for symbol in chosen:
            self.target_weight(0.98 / self.top, symbol, tag="among the best")
