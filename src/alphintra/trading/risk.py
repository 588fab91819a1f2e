"""Pre-trade risk: the checks that an order passes before it is taken, in the order in which they
run.

Each check names its rule, what the limit allows and what the order would make of it. The desk stops
at the first that fails; `POST /risk/validate` shows them all. Kill switches come last: nothing gets
past them.
"""

from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from alphintra.core import money
from alphintra.core.clock import NS_PER_SECOND, to_datetime
from alphintra.core.instruments import Instrument
from alphintra.core.orders import OrderType, Side, TradingState
from alphintra.trading.events import RiskFinding
from alphintra.trading.settlement import required_cash
from alphintra.trading.state import ZERO, Account, Order
from alphintra.trading.surroundings import PLATFORM, Scope, Surroundings, strategy_subject

HUNDRED = Decimal(100)
UNLEVERAGED = Decimal(1)
#: What a market order may cost more than the last price says; held, and given back after the fill.
MARKET_BUFFER = Decimal("1.02")


class Rule(StrEnum):
    """The rules; the code of a refusal is `risk_<rule>`."""

    ORDER_RATE = "order_rate"
    INSTRUMENT_TRADABLE = "instrument_tradable"
    SYMBOL_ALLOWED = "symbol_allowed"
    MARKET_OPEN = "market_open"
    MARKET_DATA_FRESH = "market_data_fresh"
    ORDER_QUANTITY = "order_quantity"
    ORDER_NOTIONAL = "order_notional"
    PRICE_COLLAR = "price_collar"
    REDUCE_ONLY = "reduce_only"
    DUPLICATE_ORDER = "duplicate_order"
    OPEN_ORDERS = "open_orders"
    SHORT_SELLING = "short_selling"
    POSITION_NOTIONAL = "position_notional"
    GROSS_EXPOSURE = "gross_exposure"
    DAILY_LOSS = "daily_loss"
    BUYING_POWER = "buying_power"
    KILL_SWITCH_STRATEGY = "kill_switch_strategy"
    KILL_SWITCH_ACCOUNT = "kill_switch_account"
    KILL_SWITCH_PLATFORM = "kill_switch_platform"


#: What a person is told of a check that failed.
_SENTENCES: Final = {
    Rule.ORDER_RATE: "too many orders: {value}, and {limit} is the limit",
    Rule.INSTRUMENT_TRADABLE: "the instrument is {value} here",
    Rule.SYMBOL_ALLOWED: "{value} is not on the account's list of symbols: {limit}",
    Rule.MARKET_OPEN: "the market is {value}",
    Rule.MARKET_DATA_FRESH: "the price is {value}: the feed is silent",
    Rule.ORDER_QUANTITY: "the order is for {value} units, and {limit} is the limit of one order",
    Rule.ORDER_NOTIONAL: "the order is worth {value}, and {limit} is the limit of one order",
    Rule.PRICE_COLLAR: "the price is {value} beyond the market, and {limit} is the limit",
    Rule.REDUCE_ONLY: "the order is for {value} and only to reduce, and {limit} can be reduced",
    Rule.DUPLICATE_ORDER: "the same order was given {value}, and is a repeat for {limit}",
    Rule.OPEN_ORDERS: "there would be {value} open orders, and {limit} is the limit",
    Rule.SHORT_SELLING: "the order {value}, and here is {limit}",
    Rule.POSITION_NOTIONAL: "the position would be worth {value}, and {limit} is the limit",
    Rule.GROSS_EXPOSURE: "all positions would be worth {value}, and {limit} is the limit",
    Rule.DAILY_LOSS: "{value} was lost since the day began, and {limit} is the limit",
    Rule.BUYING_POWER: "the order needs {value}, and {limit} is free",
    Rule.KILL_SWITCH_STRATEGY: "the kill switch of the strategy is {value}",
    Rule.KILL_SWITCH_ACCOUNT: "the kill switch of the account is {value}",
    Rule.KILL_SWITCH_PLATFORM: "the kill switch of the platform is {value}",
}


class Check(msgspec.Struct, frozen=True, gc=False):
    """One rule applied to one order; rendered only when somebody reads it."""

    rule: Rule
    passed: bool
    limit: Decimal | str
    value: Decimal | str
    unit: str = ""

    def finding(self) -> RiskFinding:
        """Return the check in words."""
        limit, value = _words(self.limit) + self.unit, _words(self.value) + self.unit
        return RiskFinding(
            rule=self.rule,
            limit=limit,
            value=value,
            detail=_SENTENCES[self.rule].format(limit=limit, value=value),
        )


def _words(value: Decimal | str) -> str:
    return value if isinstance(value, str) else money.text(round(value, money.PLACES))


class Proposal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An order as risk sees it: what it would add to the account."""

    instrument: Instrument
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None
    reduce_only: bool
    strategy_id: str | None
    terms_hash: str
    is_new: bool
    #: How many open orders more there would be.
    orders: int = 1
    #: How much of it takes off the opposite position; the rest opens.
    reducing: Decimal
    #: What one unit is reckoned at: the limit, or the reference price; `None` without any price.
    unit_price: Decimal | None
    #: The open order whose place it takes; what that holds is free for this.
    replaces: Order | None = None
    #: It waits for an auction, so it may be given while the market is closed.
    is_for_auction: bool = False

    @property
    def opening(self) -> Decimal:
        return self.quantity - self.reducing

    @property
    def notional(self) -> Decimal:
        return self.quantity * (self.unit_price or ZERO)

    @property
    def hold_price(self) -> Decimal:
        """What a unit is held at: the limit price, or the reference with the buffer for a market
        order.
        """
        price = self.unit_price or ZERO
        return price if self.type.has_limit else price * MARKET_BUFFER


def equity(account: Account, around: Surroundings) -> Decimal:
    """Return cash plus positions at their marks; a position without a price counts at its cost."""
    total = account.cash
    for position in account.positions.values():
        if position.quantity:
            mark = around.prices.mark(position.symbol, position.quantity)
            total += position.cost_basis if mark is None else position.quantity * mark
    return money.to_amount(total)


def gross_exposure(account: Account, around: Surroundings) -> Decimal:
    """Return the sum of the positions' absolute values."""
    total = ZERO
    for position in account.positions.values():
        if position.quantity:
            mark = around.prices.mark(position.symbol, position.quantity)
            total += abs(position.cost_basis if mark is None else position.quantity * mark)
    return money.to_amount(total)


def buying_power(account: Account, around: Surroundings) -> Decimal:
    """Return the notional that can still be opened: leverage × (equity − held) − gross exposure.

    For an unleveraged account with long positions only, that is its free cash, whatever the marks.
    """
    has_shorts = any(position.quantity < 0 for position in account.positions.values())
    if account.leverage == 1 and not has_shorts:
        return account.cash_available
    free = account.leverage * (equity(account, around) - account.cash_held)
    return money.to_amount(free - gross_exposure(account, around))


def check_all(account: Account, proposal: Proposal, around: Surroundings) -> list[Check]:
    """Return every check of the proposal, passed or not."""
    return list(checks(account, proposal, around))


def first_failure(account: Account, proposal: Proposal, around: Surroundings) -> Check | None:
    """Return the first check that fails, or `None`."""
    for check in checks(account, proposal, around):
        if not check.passed:
            return check
    return None


def checks(account: Account, proposal: Proposal, around: Surroundings) -> Iterator[Check]:
    """Yield the checks in their order."""
    if proposal.is_new:
        yield _rate_check(account, around)
    yield from _instrument_checks(account, proposal, around)
    yield from _order_checks(account, proposal, around)
    if proposal.opening > 0:
        yield from _exposure_checks(account, proposal, around)
    yield from _state_checks(account, proposal, around)


def _rate_check(account: Account, around: Surroundings) -> Check:
    """First, because it leaves no order behind: a flood that breaks other rules as well must not
    fill the tables with refusals.
    """
    now_ns = around.clock.now_ns()
    recent = account.recent_orders_ns
    while recent and abs(now_ns - recent[0]) >= NS_PER_SECOND:
        recent.popleft()
    limit, rate = account.limits.orders_per_second_max, len(recent) + 1
    return Check(Rule.ORDER_RATE, rate <= limit, Decimal(limit), Decimal(rate), "/s")


def _instrument_checks(
    account: Account, proposal: Proposal, around: Surroundings
) -> Iterator[Check]:
    instrument = proposal.instrument
    symbol = instrument.symbol
    yield Check(
        Rule.INSTRUMENT_TRADABLE,
        instrument.tradable,
        "tradable",
        _is(instrument.tradable, "tradable"),
    )
    allowed = account.limits.allowed_symbols
    if allowed is not None:
        yield Check(Rule.SYMBOL_ALLOWED, symbol in allowed, ",".join(allowed), symbol)
    is_open = around.sessions.is_open(instrument.calendar, to_datetime(around.clock.now_ns()))
    waits = proposal.is_for_auction and not is_open
    said = "open" if is_open else "auction to come" if waits else "closed"
    yield Check(Rule.MARKET_OPEN, is_open or waits, "open", said)
    fresh = around.prices.is_fresh(symbol)
    if waits and (proposal.type.has_limit or around.prices.get(symbol) is not None):
        fresh = True  # of a closed market there is nothing younger than its last price
    yield Check(Rule.MARKET_DATA_FRESH, fresh, "fresh", "fresh" if fresh else "stale")


def _order_checks(account: Account, proposal: Proposal, around: Surroundings) -> Iterator[Check]:
    limits = account.limits
    yield _at_most(Rule.ORDER_QUANTITY, limits.order_quantity_max, proposal.quantity)
    yield _at_most(Rule.ORDER_NOTIONAL, limits.order_notional_max, proposal.notional)
    reference = around.prices.reference(proposal.instrument.symbol, proposal.side)
    if proposal.type.has_limit and proposal.price is not None and reference:
        # Only the dangerous direction: a bid far below the market is patience, one far above is a
        # typo.
        beyond = (proposal.price - reference) / reference * HUNDRED * proposal.side.sign
        yield _at_most(Rule.PRICE_COLLAR, limits.price_collar_percent, max(ZERO, beyond), " %")
    if proposal.reduce_only:
        yield Check(
            Rule.REDUCE_ONLY,
            proposal.opening <= 0,
            proposal.reducing,
            proposal.quantity,
        )
    if not proposal.is_new:
        return
    now_ns = around.clock.now_ns()
    if limits.duplicate_window_s:
        seen_ns = account.recent_terms_ns.get(proposal.terms_hash)
        # Without its sign: a clock that jumped back must not refuse orders until it has caught up.
        age_s = None if seen_ns is None else abs(now_ns - seen_ns) // NS_PER_SECOND
        is_new = age_s is None or age_s >= limits.duplicate_window_s
        yield Check(
            Rule.DUPLICATE_ORDER, is_new, f"{limits.duplicate_window_s} s", f"{age_s} s ago"
        )
    open_orders = len(account.open_orders) + proposal.orders
    yield Check(
        Rule.OPEN_ORDERS,
        open_orders <= limits.open_orders_max,
        Decimal(limits.open_orders_max),
        Decimal(open_orders),
    )


def _exposure_checks(account: Account, proposal: Proposal, around: Surroundings) -> Iterator[Check]:
    limits = account.limits
    symbol = proposal.instrument.symbol
    if proposal.side is Side.SELL:
        allowed = account.short_selling and proposal.instrument.shortable
        yield Check(
            Rule.SHORT_SELLING,
            allowed,
            "no short selling" if not allowed else "short selling",
            f"sells {money.text(proposal.opening)} more than is held",
        )
    pending = account.pending.get((symbol, proposal.side), ZERO)
    if proposal.replaces is not None:
        pending -= proposal.replaces.remaining - proposal.replaces.held_quantity
    quantity = account.position_quantity(symbol)
    same_way = abs(quantity) if (quantity > 0) == (proposal.side is Side.BUY) else ZERO
    unit_price = proposal.unit_price or ZERO
    would_be = (same_way + pending + proposal.opening) * unit_price
    yield _at_most(Rule.POSITION_NOTIONAL, limits.position_notional_max, would_be)
    opening_value = proposal.opening * unit_price
    gross = gross_exposure(account, around) + opening_value
    gross += _pending_exposure(account, proposal.replaces, around)
    yield _at_most(Rule.GROSS_EXPOSURE, limits.gross_exposure_max, gross)
    loss = max(ZERO, account.day_start_equity - equity(account, around))
    yield Check(
        Rule.DAILY_LOSS,
        loss <= limits.daily_loss_max,
        limits.daily_loss_max,
        loss,
    )
    power = buying_power(account, around)
    if proposal.replaces is not None:
        power += account.leverage * proposal.replaces.held_cash
    needed = account.leverage * required_cash(
        proposal.opening,
        price=proposal.hold_price,
        leverage=account.leverage,
        fee_rate=around.fee_rate,
    )
    yield _at_most(Rule.BUYING_POWER, power, needed)


def _pending_exposure(account: Account, without: Order | None, around: Surroundings) -> Decimal:
    """Return what open orders may add at the present prices: of each symbol the larger side."""
    by_symbol: dict[str, Decimal] = {}
    for (symbol, side), pending in account.pending.items():
        quantity = pending
        if without is not None and (without.symbol, without.side) == (symbol, side):
            quantity -= without.remaining - without.held_quantity
        if quantity > 0:
            value = quantity * (around.prices.reference(symbol, side) or ZERO)
            by_symbol[symbol] = max(value, by_symbol.get(symbol, ZERO))
    return sum(by_symbol.values(), ZERO)


def _state_checks(account: Account, proposal: Proposal, around: Surroundings) -> Iterator[Check]:
    reduces = proposal.opening <= 0
    states = [
        (Rule.KILL_SWITCH_ACCOUNT, account.state),
        (Rule.KILL_SWITCH_PLATFORM, around.state_of(Scope.PLATFORM, PLATFORM)),
    ]
    if proposal.strategy_id is not None:
        subject = strategy_subject(account.user_id, proposal.strategy_id)
        state = around.state_of(Scope.STRATEGY, subject)
        states.insert(0, (Rule.KILL_SWITCH_STRATEGY, state))
    for rule, state in states:
        passed = state is TradingState.ACTIVE or (state is TradingState.REDUCE_ONLY and reduces)
        yield Check(rule, passed, TradingState.ACTIVE, state)


def _at_most(rule: Rule, limit: Decimal, value: Decimal, unit: str = "") -> Check:
    return Check(rule, value <= limit, limit, value, unit)


def _is(fact: bool, word: str) -> str:
    return word if fact else f"not {word}"
