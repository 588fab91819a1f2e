"""What an account may do at most."""

from decimal import Decimal

import msgspec

UNLIMITED = Decimal(10) ** 11


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Risk limits of one account. Money is in the account's currency; a limit is the last allowed
    value.
    """

    order_quantity_max: Decimal = Decimal(1_000_000)
    order_notional_max: Decimal = Decimal(1_000_000)
    position_notional_max: Decimal = Decimal(1_000_000)
    gross_exposure_max: Decimal = Decimal(2_000_000)
    daily_loss_max: Decimal = Decimal(20_000)
    price_collar_percent: Decimal = Decimal(10)
    open_orders_max: int = 500
    orders_per_second_max: int = 50
    #: Seconds in which an identical order is taken for a mistake; 0 turns the check off.
    duplicate_window_s: int = 0
    #: None allows every symbol.
    allowed_symbols: tuple[str, ...] | None = None
