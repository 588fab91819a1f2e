"""From what a strategy says to whole ticks and lots."""

from math import ceil, floor

#: How near a multiple of the step counts as one: 0.29 / 0.01 is 28.999999999999996.
_NEAR = 1e-9


class Ticks:
    """The steps of one symbol's price and quantity."""

    __slots__ = ("lot_size", "tick_size")

    def __init__(self, tick_size: float, lot_size: float) -> None:
        self.tick_size = tick_size
        self.lot_size = lot_size

    def of(self, price: float, *, up: bool) -> int:
        """Return a price in ticks; what lies between two goes up or down."""
        return _steps(price / self.tick_size, up=up)

    def lots(self, quantity: float) -> int:
        """Return a quantity in lots, rounded down."""
        return _steps(quantity / self.lot_size, up=False)


def _steps(value: float, *, up: bool) -> int:
    nearest = round(value)
    if abs(value - nearest) <= _NEAR * max(1.0, abs(value)):
        return nearest
    return ceil(value) if up else floor(value)
