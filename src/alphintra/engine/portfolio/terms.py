"""On what terms a portfolio trades: the instruments, what dealing costs, what the account may.

docs/concepts/costs.md says what each of them does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import inf, isfinite
from typing import TYPE_CHECKING, Final

from alphintra.core.errors import BadRequest
from alphintra.engine.layout import BPS

if TYPE_CHECKING:
    from alphintra.engine.portfolio.sessions import Sessions

#: Maintenance margin that is not given: half the initial one, at most this share of the value.
MAINTENANCE_MOST: Final = 0.25


class BadTerms(BadRequest):
    """The terms of an instrument, its costs or the account make no sense. Correct what is named."""

    code = "bad_portfolio_terms"


class NoAuction(BadRequest):
    """The instrument trades round the clock, or the run knows no calendar: there are no auctions.

    Give the run a calendar, such as XNYS, or the order another lifetime.
    """

    code = "no_auction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a fill costs; rates are fractions of its value (0.001 is 0.1 %).

    Args:
        rate: of every fill, or of those that take when `maker_rate` is given. A negative rate is
            a rebate.
        maker_rate: of fills of resting limits; `None`: as `rate`.
        per_unit: currency for each unit (share, contract).
        per_order: currency, once for each order, with its first fill.
        minimum, maximum: bounds of a fill's fee, in currency; a rebate is not bounded.
        tiers: `(value traded before, rate)` rising: replaces `rate` and `maker_rate` once that much
            has been traded in the instrument.
        half_spread_bps, slippage_bps: orders without a limit deal at a price that is worse by this.
        slippage_ticks: the same in ticks.
        impact: orders without a limit deal at a price that is worse by `impact` × the square root
            of the fill's share of the volume at hand (0.1 is 10 % for the whole volume).
        borrow_rate: per year of 365 days, of the value of a short position, charged each UTC day.
    """

    rate: float = 0.0
    maker_rate: float | None = None
    per_unit: float = 0.0
    per_order: float = 0.0
    minimum: float = 0.0
    maximum: float = inf
    tiers: tuple[tuple[float, float], ...] = ()
    half_spread_bps: float = 0.0
    slippage_ticks: int = 0
    slippage_bps: float = 0.0
    impact: float = 0.0
    borrow_rate: float = 0.0

    def __post_init__(self) -> None:
        rates = [self.rate, self.rate if self.maker_rate is None else self.maker_rate]
        rates += [rate for _, rate in self.tiers]
        if not all(-1 < rate < 1 for rate in rates):
            raise BadTerms(f"fee rates are fractions between -1 and 1, not {rates}")
        amounts = (self.per_unit, self.per_order, self.minimum, self.impact, self.borrow_rate)
        if not all(isfinite(amount) and amount >= 0 for amount in amounts):
            raise BadTerms("costs per unit, per order, minimum, impact and borrow are not negative")
        if not self.maximum >= self.minimum:
            raise BadTerms(f"the highest fee {self.maximum} is below the lowest {self.minimum}")
        worse = self.half_spread_bps + self.slippage_bps
        if min(self.half_spread_bps, self.slippage_bps) < 0 or not worse < BPS:
            raise BadTerms("spread and slippage are between 0 and 10,000 basis points")
        if not 0 <= self.slippage_ticks < 2**31:
            raise BadTerms(f"slippage of {self.slippage_ticks} ticks is out of range")
        starts = [start for start, _ in self.tiers]
        if starts != sorted(set(starts)) or any(start < 0 for start in starts):
            raise BadTerms("fee tiers begin at rising values")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SymbolTerms:
    """What one instrument is and how it is dealt in.

    Args:
        symbol: its name.
        tick_size, lot_size: the steps of price and quantity, in currency and units.
        multiplier: units of the underlying in one unit (100 for a US option).
        currency: of prices and fees.
        margin_initial: share of a position's value that must be covered when it is opened, before
            the account's leverage.
        margin_maintenance: share below which the account is liquidated; `None`: half of the initial
            one after leverage, at most a quarter.
        shortable: whether it may be sold short.
        participation_bps: the share of a bar's volume that our orders may fill together.
        unlimited_volume: fills are not limited by a bar's volume at all.
        through_only: a bar or print must trade through a resting limit to fill it.
        sessions: when it trades: what day orders live to, and where its auctions are; `None`:
            round the clock.
    """

    symbol: str
    tick_size: float = 0.01
    lot_size: float = 1.0
    multiplier: float = 1.0
    currency: str = "USD"
    costs: Costs = Costs()
    margin_initial: float = 1.0
    margin_maintenance: float | None = None
    shortable: bool = True
    participation_bps: int = BPS
    unlimited_volume: bool = True
    through_only: bool = False
    sessions: "Sessions | None" = None

    def __post_init__(self) -> None:
        for name in ("tick_size", "lot_size", "multiplier"):
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise BadTerms(f"{self.symbol}: {name} is a positive number, not {value}")
        if not 0 < self.margin_initial <= 1:
            raise BadTerms(f"{self.symbol}: margin_initial {self.margin_initial} is not in (0, 1]")
        maintenance = self.margin_maintenance
        if maintenance is not None and not 0 <= maintenance <= 1:
            raise BadTerms(f"{self.symbol}: margin_maintenance {maintenance} is not in [0, 1]")
        if not 0 < self.participation_bps <= BPS:
            raise BadTerms(f"{self.symbol}: participation is between 1 and 10,000 basis points")

    @property
    def tick_ratio(self) -> tuple[int, int]:
        """The tick as a fraction: a price is ticks × the first / the second, exact in floats."""
        tick = Fraction(str(self.tick_size))
        return tick.numerator, tick.denominator


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTerms:
    """What an account holds at the start and may do.

    Args:
        cash: by currency.
        base: the currency that equity is told in.
        leverage: how much a position may be worth for each unit of equity, before the instrument's
            own margin.
        allow_short: whether anything may be sold short.
        shrink: an order that the account cannot carry when it fills is cut to what it can; if not,
            it is cancelled.
        liquidation: close everything when equity falls below the maintenance margin.
        latency_ns: how long an order, a change or a cancellation takes to arrive.
        fx: what one unit of another currency is worth in the base: a number, the symbol of a pair
            on the tape, or `"1/SYMBOL"` for a pair that is quoted the other way around.
    """

    cash: Mapping[str, float] = field(default_factory=lambda: {"USD": 1_000_000.0})
    base: str = "USD"
    leverage: float = 1.0
    allow_short: bool = True
    shrink: bool = True
    liquidation: bool = True
    latency_ns: int = 0
    fx: Mapping[str, float | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not all(isfinite(amount) for amount in self.cash.values()):
            raise BadTerms("cash is a finite amount of each currency")
        if not (isfinite(self.leverage) and self.leverage > 0):
            raise BadTerms(f"a leverage of {self.leverage} is not a positive number")
        if self.latency_ns < 0:
            raise BadTerms(f"a latency of {self.latency_ns} ns is negative")
        for currency, rate in self.fx.items():
            if not isinstance(rate, str) and not (isfinite(rate) and rate > 0):
                raise BadTerms(f"{currency} is worth a positive number, not {rate}")
