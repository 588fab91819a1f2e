"""Buy for the same amount every few weeks, more of it when it is cheap."""

from alphintra.sdk import Strategy, param


class DollarCostAveraging(Strategy):
    """Spend a share of the money at the start at each date, and a multiple of it in a slump."""

    slices = param(60, 2, 1_000, help="purchases for which the money at the start is enough")
    weeks = param(4, 1, 52, help="weeks between purchases")
    slump = param(0.2, 0.01, 0.9, help="fall from the highest close of a year that is a slump")
    more = param(2.0, 1.0, 10.0, help="how many times as much is bought in a slump")

    def setup(self) -> None:
        self.closes = {symbol: self.data(symbol).close for symbol in self.symbols}
        self.highest = {
            symbol: self.indicator("MAX", symbol=symbol, timeperiod=250) for symbol in self.symbols
        }
        self.amount = 0.0
        self.every(f"{self.weeks}w")

    def on_timer(self, name: str) -> None:
        self.amount = self.amount or self.cash / self.slices / len(self.symbols)
        for symbol, close in self.closes.items():
            if not close.ready:
                continue
            is_slump = close.now < (1 - self.slump) * self.highest[symbol].now
            spent = self.amount * (self.more if is_slump else 1.0)
            money = min(spent, 0.99 * self.cash)
            quantity = self.whole_lots(money / close.now, symbol)
            if quantity:
                self.buy(quantity, symbol, tag="slump" if is_slump else "as usual")
            else:
                self.log(f"{money:,.2f} buy less than one lot of {symbol}")
