"""A grid of limit orders around an average: buy each step down, sell each step up."""

from alphintra.sdk import Bar, Strategy, param


class Grid(Strategy):
    """Hold more the further the price lies under its average, in equal steps.

    Every bar the grid is laid anew around the average: one limit order for the next step down and
    one for the next step up. Below the lowest step, nothing more is bought.
    """

    window = param(100, 10, 400, help="bars of the average in the middle of the grid")
    step = param(0.03, 0.002, 0.3, help="distance of the steps, 0.03 is 3 %")
    steps = param(5, 1, 20, help="steps below the average at which something is bought")
    share = param(0.95, 0.1, 1.0, help="share of equity that is held at the lowest step")

    def setup(self) -> None:
        self.middle = self.indicator("SMA", timeperiod=self.window)
        self.unit: dict[str, float] = {}
        self.level = dict.fromkeys(self.symbols, 0)

    def on_bar(self, bar: Bar) -> None:
        if not self.middle.ready:
            return
        self.cancel()
        held = self.position().quantity
        if held == 0:
            # Sized when the grid is empty, so that each step is worth the same.
            money = self.share * self.equity / len(self.symbols)
            unit = self.whole_lots(money / self.steps / self.middle.now)
            if not unit and self.unit.get(bar.symbol) != 0.0:
                self.log(f"{money:,.2f} in {self.steps} steps: less than one lot each")
            self.unit[bar.symbol] = unit
        unit = self.unit.get(bar.symbol, 0.0)
        if not unit:
            return
        level = round(held / unit)
        if level < self.steps:
            self.buy(unit, limit=self.price(level + 1), tag=f"step {level + 1}")
        if level > 0:
            self.sell(
                min(unit, held), limit=self.price(level - 1), reduce_only=True, tag=f"step {level}"
            )

    def price(self, level: int) -> float:
        """Return the price of a step, counted downwards from the average."""
        return float(self.middle.now * (1 - self.step * level))
