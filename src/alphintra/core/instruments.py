"""What can be traded, and on which grid its prices and quantities lie."""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import NewType

import msgspec

from alphintra.core import money

Symbol = NewType("Symbol", str)
Asset = NewType("Asset", str)

SYMBOL_LENGTH_MAX = 32


class AssetClass(StrEnum):
    """What kind of thing an instrument is."""

    EQUITY = "EQUITY"
    CRYPTO = "CRYPTO"
    FX = "FX"
    INDEX = "INDEX"


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One tradable instrument.

    `base` is the asset that a buyer receives, `quote` the currency that the price is in. `calendar`
    is a session calendar's name (`ALWAYS` for round the clock, otherwise an exchange code such as
    `XNYS`). `tick_size` and `lot_size` are the grids of prices and quantities.
    """

    symbol: Symbol
    name: str
    asset_class: AssetClass
    base: Asset
    quote: Asset
    tick_size: Decimal
    lot_size: Decimal
    calendar: str = "ALWAYS"
    shortable: bool = True
    tradable: bool = True

    def price_is_on_tick(self, price: Decimal) -> bool:
        return money.is_multiple(price, self.tick_size)

    def quantity_is_on_lot(self, quantity: Decimal) -> bool:
        return money.is_multiple(quantity, self.lot_size)

    def price_ticks(self, price: Decimal, rounding: str = ROUND_HALF_EVEN) -> int:
        """Return the price in ticks; `rounding` matters only for prices off the grid."""
        return money.steps(price, self.tick_size, rounding)

    def price(self, price_ticks: int) -> Decimal:
        return money.to_amount(self.tick_size * price_ticks)

    def quantity_lots(self, quantity: Decimal, rounding: str = ROUND_DOWN) -> int:
        """Return the quantity in lots; what is less than a lot is cut off."""
        return money.steps(quantity, self.lot_size, rounding)

    def quantity(self, quantity_lots: int) -> Decimal:
        return money.to_amount(self.lot_size * quantity_lots)

    def quantize_price(self, price: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
        """Return the nearest price on the grid."""
        return money.round_to_step(price, self.tick_size, rounding)

    def quantize_quantity(self, quantity: Decimal) -> Decimal:
        """Return the largest quantity on the grid that is not more than `quantity`."""
        return money.round_to_step(quantity, self.lot_size, ROUND_DOWN)
