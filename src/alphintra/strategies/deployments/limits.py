"""What a deployment's terms say of a decision, by the parent's own book: does it go out?"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from alphintra.core.money import ZERO
from alphintra.strategies.deployments.book import Book, Tide
from alphintra.strategies.deployments.terms import ApprovalMode, Terms

MINUTE_S: Final = 60.0
ORDER_RATE: Final = "order_rate_exceeded"
DAILY_LOSS: Final = "daily_loss_exceeded"
DRAWDOWN: Final = "drawdown_exceeded"
#: Who sets no bound may use all its money, at prices that move a little meanwhile.
DEFAULT_SLACK: Final = Decimal("1.02")


@dataclass(frozen=True, slots=True)
class Withheld:
    """Why a decision does not go out."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """An order as far as limits look at it; `price` is a guess where the order has none.

    `is_prompt`: it trades as soon as it can, so what it makes of a position is as good as made.
    """

    symbol: str
    is_buy: bool
    quantity: Decimal
    price: Decimal | None
    is_reduce_only: bool
    is_prompt: bool

    @property
    def signed(self) -> Decimal:
        return self.quantity if self.is_buy else -self.quantity


def wanted_of(symbol: str, body: Mapping[str, Any], mark: Decimal | None) -> Wanted:
    """Read what limits need out of the body of an order.

    Raises:
        ValueError: it is not an order.
    """
    side = body.get("side")
    if side not in {"BUY", "SELL"}:
        raise ValueError(f"side: {side!r} is neither BUY nor SELL")
    price = next(
        (_number(body, name) for name in ("price", "stop_price") if body.get(name) is not None),
        mark,
    )
    if body.get("quantity") is not None:
        quantity = _number(body, "quantity")
    else:
        notional = _number(body, "notional")
        quantity = notional / price if price else notional
    return Wanted(
        symbol,
        is_buy=side == "BUY",
        quantity=quantity,
        price=price,
        is_reduce_only=body.get("reduce_only") is True,
        is_prompt=body.get("type") == "MARKET",
    )


def _number(body: Mapping[str, Any], name: str) -> Decimal:
    try:
        value = Decimal(str(body.get(name)))
    except InvalidOperation as error:
        raise ValueError(f"{name}: {body.get(name)!r} is no number") from error
    if not value.is_finite() or value <= 0:
        raise ValueError(f"{name}: {value} is not positive")
    return value


#: An order that follows the market is taken back as often as it is placed; some are by mistake.
TAKEN_BACK_PER_ORDER: Final = 10


@dataclass(slots=True)
class Commitment:
    """What an order that was sent, or waits for a yes, may still add to a position."""

    wanted: Wanted
    left: Decimal

    @property
    def signed(self) -> Decimal:
        return self.left if self.wanted.is_buy else -self.left


@dataclass(slots=True)
class Judge:
    """Decides whether a decision goes out; knows what is out already."""

    terms: Terms
    capital: Decimal
    book: Book
    monotonic: Callable[[], float] = time.monotonic
    is_paused: bool = False
    #: By signal id (text).
    commitments: dict[str, Commitment] = field(default_factory=dict)
    _sent: deque[float] = field(default_factory=deque)
    _taken_back: deque[float] = field(default_factory=deque)

    def remember(self, ages_s: Iterable[float]) -> None:
        """Take note of the orders of a process that has died, the oldest first: they count too."""
        now_s = self.monotonic()
        self._sent.extend(now_s - age_s for age_s in ages_s)

    def verdict(self, wanted: Wanted, at: datetime) -> Withheld | None:
        """Return why an order does not go out, or `None` when it does."""
        if not self._is_within_rate():
            limit = self.terms.limits.orders_per_minute
            return Withheld(ORDER_RATE, f"more than {limit} orders in a minute")
        if self.is_reducing(wanted):
            return None
        if self.is_paused:
            return Withheld("paused", "the deployment is paused: only exits go through")
        schedule = self.terms.schedule
        if schedule is not None and not schedule.is_open(at):
            return Withheld("outside_schedule", "its schedule allows no entries now")
        return self._size(wanted)

    def needs_yes(self, wanted: Wanted) -> bool:
        """Whether a person has to agree first."""
        match self.terms.approval.mode:
            case ApprovalMode.NONE:
                return False
            case ApprovalMode.ENTRIES:
                return not self.is_reducing(wanted)
            case ApprovalMode.ALL:
                return True

    def is_reducing(self, wanted: Wanted) -> bool:
        """Whether an order, and all those that are out in its direction, only make the position
        smaller.
        """
        held = self.book.quantity(wanted.symbol)
        if held * wanted.signed >= 0:
            return False
        out = sum(
            (
                abs(one.signed)
                for one in self.commitments.values()
                if one.wanted.symbol == wanted.symbol and one.wanted.is_buy == wanted.is_buy
            ),
            ZERO,
        )
        return wanted.is_reduce_only or wanted.quantity + out <= abs(held)

    def commit(self, signal_id: str, wanted: Wanted) -> None:
        """Take note of an order that goes out, or waits."""
        self.commitments[signal_id] = Commitment(wanted, wanted.quantity)

    def settle(self, signal_id: str, left: Decimal) -> None:
        """Take note of what of an order can still fill."""
        if not left:
            self.commitments.pop(signal_id, None)
        elif (known := self.commitments.get(signal_id)) is not None:
            known.left = left

    def breach(self, tide: Tide) -> Withheld | None:
        """Return which limit of losses is reached."""
        limits, equity = self.terms.limits, self.book.equity
        lost = tide.day_equity - equity
        if limits.daily_loss is not None and lost >= limits.daily_loss:
            return Withheld(
                DAILY_LOSS, f"lost {lost.normalize():f} today, {limits.daily_loss:f} is the limit"
            )
        if limits.drawdown is not None and tide.peak > 0:
            fall = 1 - equity / tide.peak
            if fall >= limits.drawdown:
                return Withheld(
                    DRAWDOWN,
                    f"{float(fall):.2%} below its highest equity, {float(limits.drawdown):.2%} is"
                    " the limit",
                )
        return None

    def take_back(self) -> Withheld | None:
        """Return why an order may not be taken back, or `None` when it may."""
        most = TAKEN_BACK_PER_ORDER * self.terms.limits.orders_per_minute
        if self._count(self._taken_back) > most:
            return Withheld(ORDER_RATE, f"more than {most} orders taken back in a minute")
        return None

    def _is_within_rate(self) -> bool:
        return self._count(self._sent) <= self.terms.limits.orders_per_minute

    def _count(self, moments: deque[float]) -> int:
        """Add this moment; return how many there were within a minute."""
        now_s = self.monotonic()
        while moments and moments[0] <= now_s - MINUTE_S:
            moments.popleft()
        moments.append(now_s)
        return len(moments)

    def _size(self, wanted: Wanted) -> Withheld | None:
        limits = self.terms.limits
        out = [*self.commitments.values(), Commitment(wanted, wanted.quantity)]
        most = self._most(wanted.symbol, out)
        if limits.position is not None and most > limits.position:
            return Withheld(
                "position_limit",
                f"up to {most.normalize():f} {wanted.symbol} would be held,"
                f" {limits.position:f} is the limit",
            )
        if (wanted.price or self.book.marks.get(wanted.symbol)) is None:
            return Withheld("no_price", f"nothing is known of the price of {wanted.symbol}")
        notional = ZERO
        for symbol in {*self.book.open_symbols, *(one.wanted.symbol for one in out)}:
            prices = [one.wanted.price for one in out if one.wanted.symbol == symbol]
            price = self.book.marks.get(symbol) or next(filter(None, prices), ZERO)
            notional += self._most(symbol, out) * price
        bound = limits.notional
        if bound is None:
            bound = max(self.capital, self.book.equity) * DEFAULT_SLACK
        if notional > bound:
            return Withheld(
                "notional_limit",
                f"positions worth {notional:.2f} would be held, {bound:.2f} is the limit",
            )
        return None

    def _most(self, symbol: str, out: Iterable[Commitment]) -> Decimal:
        """Return the largest position, long or short, that what is out may lead to."""
        held = self.book.quantity(symbol)
        mine = [one for one in out if one.wanted.symbol == symbol and not one.wanted.is_reduce_only]
        held += sum((one.signed for one in mine if one.wanted.is_prompt), ZERO)
        resting = [one.signed for one in mine if not one.wanted.is_prompt]
        longest = held + sum((signed for signed in resting if signed > 0), ZERO)
        shortest = held + sum((signed for signed in resting if signed < 0), ZERO)
        return max(longest, -shortest)
