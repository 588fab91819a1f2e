"""A deployment's own book: cash, positions, profit, by the fills of its orders alone.

The account may hold more: other deployments, the owner's own orders. What the strategy's process
says of its money is not looked at.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from alphintra.core import money
from alphintra.core.money import ZERO
from alphintra.sdk.live.told import Execution


@dataclass(slots=True)
class Holding:
    """What is held of one symbol; `cost` is signed like `quantity`."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO

    def take(self, signed: Decimal, price: Decimal) -> None:
        """Book a fill: positive quantities come in."""
        closing = ZERO
        if self.quantity * signed < 0:
            closing = min(abs(self.quantity), abs(signed)) * (1 if signed > 0 else -1)
        if closing:
            freed = self.cost * -closing / self.quantity
            # What is sold of a long brings its price and gives up its cost; of a short the reverse.
            self.realized += money.to_amount(-closing * price - freed)
            self.cost -= freed
            self.quantity += closing
        opening = signed - closing
        self.quantity += opening
        self.cost = money.to_amount(self.cost + opening * price) if self.quantity else ZERO


@dataclass(slots=True)
class Book:
    """See the module."""

    capital: Decimal
    cash: Decimal = ZERO
    fees: Decimal = ZERO
    fills: int = 0
    holdings: dict[str, Holding] = field(default_factory=dict)
    marks: dict[str, Decimal] = field(default_factory=dict)
    _booked: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.cash = self.capital

    def take(self, fill: Execution) -> bool:
        """Book a fill, once however often it is told; say whether it was new."""
        if fill.id in self._booked:
            return False
        self._booked.add(fill.id)
        quantity, price, fee = Decimal(fill.quantity), Decimal(fill.price), Decimal(fill.fee)
        signed = quantity if fill.side == "BUY" else -quantity
        self.holdings.setdefault(fill.symbol, Holding()).take(signed, price)
        self.cash -= money.to_amount(signed * price) + fee
        self.fees += fee
        self.fills += 1
        self.marks.setdefault(fill.symbol, price)
        return True

    def knows(self, fill_id: str) -> bool:
        """Whether a fill is booked."""
        return fill_id in self._booked

    def mark(self, symbol: str, price: Decimal) -> None:
        """Take a price as the latest."""
        self.marks[symbol] = price

    def quantity(self, symbol: str) -> Decimal:
        """Return what is held of a symbol, negative when it is short."""
        holding = self.holdings.get(symbol)
        return ZERO if holding is None else holding.quantity

    @property
    def open_symbols(self) -> list[str]:
        """The symbols of which something is held."""
        return [symbol for symbol, one in self.holdings.items() if one.quantity]

    @property
    def realized(self) -> Decimal:
        """Profit of what was closed, without fees."""
        return sum((one.realized for one in self.holdings.values()), ZERO)

    def _value(self, symbol: str, holding: Holding) -> Decimal:
        mark = self.marks.get(symbol)
        return holding.cost if mark is None else money.multiply(holding.quantity, mark)

    @property
    def equity(self) -> Decimal:
        """Cash and positions at the latest prices."""
        return self.cash + sum(
            (self._value(symbol, one) for symbol, one in self.holdings.items()), ZERO
        )

    @property
    def exposure(self) -> Decimal:
        """Worth of all positions, longs and shorts added up."""
        return sum((abs(self._value(symbol, one)) for symbol, one in self.holdings.items()), ZERO)

    def views(self) -> list[dict[str, Any]]:
        """Return the positions as clients see them; flat ones keep their realised profit."""
        shown = []
        for symbol, one in sorted(self.holdings.items()):
            mark = self.marks.get(symbol)
            is_open = bool(one.quantity)
            shown.append(
                {
                    "symbol": symbol,
                    "quantity": money.text(one.quantity),
                    "average_price": money.text(money.divide(one.cost, one.quantity))
                    if is_open
                    else None,
                    "mark_price": None if mark is None else money.text(mark),
                    "unrealized_pnl": money.text(
                        money.to_amount(self._value(symbol, one) - one.cost)
                    )
                    if is_open
                    else None,
                    "realized_pnl": money.text(one.realized),
                }
            )
        return shown


def exposure_of(views: Iterable[Mapping[str, Any]]) -> Decimal:
    """Return the exposure of positions as `Book.views` has shown them."""
    return sum(
        (
            abs(
                money.multiply(
                    Decimal(one["quantity"]), Decimal(one["mark_price"] or one["average_price"])
                )
            )
            for one in views
            if Decimal(one["quantity"])
        ),
        ZERO,
    )


@dataclass(slots=True)
class Tide:
    """What limits of losses go by: the highest equity, and that at the beginning of the day."""

    peak: Decimal
    day: date
    day_equity: Decimal

    def follow(self, equity: Decimal, today: date) -> None:
        """Take note of an equity."""
        if today != self.day:
            self.day, self.day_equity = today, equity
        self.peak = max(self.peak, equity)
