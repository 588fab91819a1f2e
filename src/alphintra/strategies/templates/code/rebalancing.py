"""Hold fixed shares of several symbols, and bring them back when they have drifted."""

from alphintra.sdk import Strategy, param


class Rebalancing(Strategy):
    """Equal shares of everything, looked at every few weeks and traded only when they are off."""

    invested = param(0.96, 0.1, 1.0, help="share of equity that is invested")
    band = param(0.05, 0.0, 0.5, help="drift of a share that is left alone")
    weeks = param(4, 1, 52, help="weeks between looks")

    def setup(self) -> None:
        self.closes = {symbol: self.data(symbol).close for symbol in self.symbols}
        self.every(f"{self.weeks}w")

    def on_timer(self, name: str) -> None:
        if not all(close.ready for close in self.closes.values()):
            return
        wanted = self.invested / len(self.symbols)
        drifts = {
            symbol: self.position(symbol).quantity * close.now / self.equity - wanted
            for symbol, close in self.closes.items()
        }
        if max(abs(drift) for drift in drifts.values()) <= self.band:
            return
        # The largest surplus first: what is sold pays for what is bought.
        for symbol in sorted(drifts, key=lambda symbol: drifts[symbol], reverse=True):
            self.target_weight(wanted, symbol, tag="rebalance")
