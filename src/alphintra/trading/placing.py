"""Taking a new order: is it well formed, how large is it, does risk let it pass, what does
it hold.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import msgspec

from alphintra.core import money
from alphintra.core.ids import OrderId, derived_id
from alphintra.core.instruments import Instrument
from alphintra.core.orders import (
    OrderClass,
    OrderEventType,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from alphintra.trading import risk, settlement
from alphintra.trading.commands import Answer, Done, PlaceOrder, Refused, Terms
from alphintra.trading.events import RiskFinding, encode
from alphintra.trading.risk import Check, Proposal, Rule
from alphintra.trading.state import ZERO, Account, Known, Order
from alphintra.trading.surroundings import Surroundings
from alphintra.trading.unit import Unit, VenueStep
from alphintra.trading.wellformed import (
    EXIT_TIMES_IN_FORCE,
    VALUE_MAX,
    Malformed,
    OrderRefusal,
    validate,
)

#: How many orders an order of each class is.
ORDERS_OF = {
    OrderClass.SIMPLE: 1,
    OrderClass.BRACKET: 3,
    OrderClass.OCO: 2,
    OrderClass.OTO: 2,
}
#: A flood must not fill the tables: these refusals leave no order behind, and the client may try
#: again.
UNRECORDED = frozenset({Rule.ORDER_RATE})
_encode = msgspec.json.Encoder(decimal_format="string").encode


def terms_hash(terms: Terms) -> str:
    """Return what two requests share exactly if they ask for the same thing."""
    return hashlib.blake2b(_encode(terms), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What an order that closes a position brings along: the exits that give way to it, and what
    they free. They are cancelled only when nothing refuses the order: a position must not lose its
    stop to a close that failed.
    """

    fingerprint: str
    freed: Decimal
    orders: int
    cancel_exits: Callable[[], None]


def place(
    account: Account,
    command: PlaceOrder,
    unit: Unit,
    around: Surroundings,
    closing: Closing | None = None,
) -> Answer:
    """Decide about a new order whose client order id has not been seen before."""
    terms = command.terms
    fingerprint = closing.fingerprint if closing else terms_hash(terms)
    try:
        instrument = around.instruments.get(terms.symbol)
        if instrument is None:
            raise Malformed(OrderRefusal.UNKNOWN_SYMBOL, f"there is no instrument {terms.symbol}")
        _validate_currency(account, instrument)
        validate(terms, instrument, unit.at)
        ends_at = _end_of(terms, instrument, unit.at, around)
        quantity = size(terms, instrument, around)
        proposal = propose(account, terms, instrument, quantity, fingerprint, around, closing)
    except Malformed as refused:
        return Refused(code=refused.refusal, detail=refused.detail)
    if command.dry_run:
        return _show_checks(account, proposal, around)
    failure = risk.first_failure(account, proposal, around)
    if failure is not None and failure.rule in UNRECORDED:
        finding = failure.finding()
        return Refused(
            code=f"risk_{failure.rule}",
            detail=finding.detail,
            status=429,
            extra={"check": encode(finding)},
        )
    if closing is not None and failure is None:
        closing.cancel_exits()
    order = _new_order(account, command, fingerprint, quantity, unit, ends_at)
    answer = (
        _accept(account, order, command, proposal, unit, around)
        if failure is None
        else _reject(account, order, failure, unit)
    )
    account.recent_orders_ns.append(unit.at_ns)
    account.recent_terms_ns[fingerprint] = unit.at_ns
    _forget_old_terms(account, unit.at_ns)
    account.remember(order.client_order_id, Known(order.id, fingerprint, answer))
    return answer


def _validate_currency(account: Account, instrument: Instrument) -> None:
    """Cash is kept in one currency: the account's."""
    if instrument.quote != account.currency or instrument.base == account.currency:
        raise Malformed(
            OrderRefusal.CURRENCY_NOT_SUPPORTED,
            f"{instrument.symbol} trades {instrument.base} for {instrument.quote},"
            f" the account is in {account.currency}",
        )


def _end_of(
    terms: Terms, instrument: Instrument, at: datetime, around: Surroundings
) -> datetime | None:
    """Return when the order ends: as told, with the session, or with its auction.

    Raises:
        Malformed: the instrument has no auction to come.
    """
    if terms.time_in_force is TimeInForce.DAY:
        return around.sessions.end_of_day(instrument.calendar, at)
    if not terms.time_in_force.is_for_auction:
        return terms.expires_at
    auction_at = around.sessions.next_auction(instrument.calendar, terms.time_in_force, at)
    if auction_at is None:
        raise Malformed(
            OrderRefusal.NO_AUCTION,
            f"{instrument.symbol} has no auctions: its calendar is {instrument.calendar}",
        )
    return auction_at


def size(terms: Terms, instrument: Instrument, around: Surroundings) -> Decimal:
    """Return the quantity: as given, or as much as the notional buys at the last price.

    Raises:
        Malformed: there is no price yet, or the notional is less than one lot.
    """
    if terms.quantity is not None:
        return money.to_amount(terms.quantity)
    reference = around.prices.reference(instrument.symbol, terms.side)
    if not reference:
        raise Malformed(
            OrderRefusal.NO_PRICE_FOR_NOTIONAL, f"there is no price of {instrument.symbol} yet"
        )
    quantity = instrument.quantize_quantity((terms.notional or ZERO) / reference)
    if quantity <= 0:
        raise Malformed(
            OrderRefusal.NOTIONAL_BELOW_ONE_LOT,
            f"{terms.notional} buys less than one lot of {instrument.lot_size}",
        )
    return quantity


def propose(
    account: Account,
    terms: Terms,
    instrument: Instrument,
    quantity: Decimal,
    fingerprint: str,
    around: Surroundings,
    closing: Closing | None = None,
) -> Proposal:
    """Return the order as risk looks at it.

    Raises:
        Malformed: it is too large to be reckoned with, or an OCO without the position to exit from.
    """
    reference = around.prices.reference(instrument.symbol, terms.side)
    unit_price = terms.price or _dearest(terms.stop_price, reference)
    if unit_price is not None and quantity * unit_price >= VALUE_MAX:
        raise Malformed(OrderRefusal.ORDER_TOO_LARGE, "quantity times price is too large")
    freed = closing.freed if closing else ZERO
    reducing = min(quantity, account.reducible(instrument.symbol, terms.side) + freed)
    if terms.order_class is OrderClass.OCO and reducing < quantity:
        raise Malformed(
            OrderRefusal.OCO_NEEDS_POSITION,
            f"an OCO exits a position; only {money.text(reducing)} can be exited",
        )
    return Proposal(
        instrument=instrument,
        side=terms.side,
        type=terms.type,
        quantity=quantity,
        price=terms.price,
        reduce_only=terms.reduce_only,
        strategy_id=str(terms.strategy_id) if terms.strategy_id else None,
        terms_hash=fingerprint,
        is_new=True,
        orders=ORDERS_OF[terms.order_class] - (closing.orders if closing else 0),
        reducing=reducing,
        unit_price=unit_price,
        is_for_auction=terms.time_in_force.is_for_auction,
    )


def _dearest(stop: Decimal | None, reference: Decimal | None) -> Decimal | None:
    """Return the dearer of stop and reference: what a stop order may well trade at."""
    return max((price for price in (stop, reference) if price is not None), default=None)


def _new_order(
    account: Account,
    command: PlaceOrder,
    fingerprint: str,
    quantity: Decimal,
    unit: Unit,
    expires_at: datetime | None,
) -> Order:
    terms = command.terms
    return Order(
        id=command.order_id,
        account_id=account.id,
        user_id=account.user_id,
        client_order_id=command.client_order_id or str(command.order_id),
        terms_hash=fingerprint,
        symbol=terms.symbol,
        side=terms.side,
        type=terms.type,
        time_in_force=terms.time_in_force,
        order_class=terms.order_class,
        quantity=quantity,
        notional=terms.notional,
        price=terms.price,
        stop_price=terms.stop_price,
        trail=terms.trail,
        trail_percent=terms.trail_percent,
        expires_at=expires_at,
        reduce_only=terms.reduce_only,
        post_only=terms.post_only,
        status=OrderStatus.PENDING,
        filled_quantity=ZERO,
        filled_value=ZERO,
        fees=ZERO,
        reject_reason=None,
        parent_id=None,
        sibling_id=None,
        strategy_id=terms.strategy_id,
        signal_id=command.signal_id,
        venue=account.venue,
        triggered=False,
        water_mark=None,
        held_cash=ZERO,
        held_quantity=ZERO,
        version=0,
        created_at=unit.at,
        updated_at=unit.at,
    )


def _accept(
    account: Account,
    order: Order,
    command: PlaceOrder,
    proposal: Proposal,
    unit: Unit,
    around: Surroundings,
) -> Answer:
    cash = settlement.required_cash(
        proposal.opening,
        price=proposal.hold_price,
        leverage=account.leverage,
        fee_rate=around.fee_rate,
    )
    settlement.hold(
        unit, account, order, proposal.instrument, quantity=proposal.reducing, cash=cash
    )
    order.move_to(OrderStatus.ACCEPTED)
    account.open_orders[order.id] = order
    legs = list(_legs(order, command.terms))
    if order.order_class is OrderClass.OCO:
        order.sibling_id = legs[0].id
    body = unit.record_order(account, order, OrderEventType.CREATED)
    unit.at_venue(VenueStep.SUBMIT, order)
    for leg in legs:
        account.open_orders[leg.id] = leg
        if order.order_class is OrderClass.OCO:
            leg.move_to(OrderStatus.ACCEPTED)
            unit.at_venue(VenueStep.SUBMIT, leg)
        unit.record_order(account, leg, OrderEventType.CREATED)
    return Done(body)


def _legs(order: Order, terms: Terms) -> Iterator[Order]:
    """Make the exits; those of a bracket wait as PENDING for the entry to fill."""
    if order.order_class is OrderClass.SIMPLE:
        return
    profit_id = OrderId(derived_id("leg", order.id, "take-profit"))
    loss_id = OrderId(derived_id("leg", order.id, "stop-loss"))
    is_oco = terms.order_class is OrderClass.OCO
    side = terms.side if is_oco else terms.side.opposite
    in_force = (
        terms.time_in_force if terms.time_in_force in EXIT_TIMES_IN_FORCE else TimeInForce.GTC
    )
    if terms.take_profit is not None:
        sibling = loss_id if terms.stop_loss is not None else None
        yield _leg(
            order,
            profit_id,
            sibling,
            side,
            in_force,
            OrderType.LIMIT,
            terms.take_profit.price,
            None,
        )
    if terms.stop_loss is not None:
        sibling = profit_id if terms.take_profit is not None else None
        kind = OrderType.STOP if terms.stop_loss.price is None else OrderType.STOP_LIMIT
        yield _leg(
            order,
            loss_id,
            order.id if is_oco else sibling,
            side,
            in_force,
            kind,
            terms.stop_loss.price,
            terms.stop_loss.stop_price,
        )


def _leg(
    order: Order,
    leg_id: OrderId,
    sibling_id: OrderId | None,
    side: Side,
    time_in_force: TimeInForce,
    kind: OrderType,
    price: Decimal | None,
    stop_price: Decimal | None,
) -> Order:
    return msgspec.structs.replace(
        order,
        id=leg_id,
        client_order_id=str(leg_id),
        terms_hash="",
        side=side,
        type=kind,
        time_in_force=time_in_force,
        expires_at=order.expires_at if time_in_force is order.time_in_force else None,
        notional=None,
        price=price,
        stop_price=stop_price,
        trail=None,
        trail_percent=None,
        reduce_only=True,
        post_only=False,
        status=OrderStatus.PENDING,
        parent_id=order.id,
        sibling_id=sibling_id,
        held_cash=ZERO,
        held_quantity=ZERO,
        version=0,
    )


def _reject(account: Account, order: Order, failure: Check, unit: Unit) -> Answer:
    finding = failure.finding()
    order.move_to(OrderStatus.REJECTED)
    order.reject_reason = f"risk_{failure.rule}"
    unit.record_order(account, order, OrderEventType.REJECTED, reason=finding.detail, check=finding)
    return refusal(order.id, finding)


def refusal(order_id: OrderId, finding: RiskFinding) -> Refused:
    """Return the answer to an order that risk refused; a retry gets the same."""
    return Refused(
        code=f"risk_{finding.rule}",
        detail=finding.detail,
        extra={
            "order_id": msgspec.Raw(msgspec.json.encode(order_id)),
            "check": encode(finding),
        },
    )


class CheckReport(msgspec.Struct, frozen=True):
    """One check of a report."""

    rule: str
    passed: bool
    limit: str
    value: str


class RiskReport(msgspec.Struct, frozen=True):
    """The answer of `POST /risk/validate`."""

    accepted: bool
    checks: list[CheckReport]


def _show_checks(account: Account, proposal: Proposal, around: Surroundings) -> Answer:
    checks = risk.check_all(account, proposal, around)
    findings = [(check.passed, check.finding()) for check in checks]
    report = RiskReport(
        all(passed for passed, _ in findings),
        [CheckReport(one.rule, passed, one.limit, one.value) for passed, one in findings],
    )
    return Done(encode(report))


def _forget_old_terms(account: Account, now_ns: int) -> None:
    """Keep only the fingerprints that the duplicate check can still ask about."""
    window_ns = account.limits.duplicate_window_s * 1_000_000_000
    seen = account.recent_terms_ns
    while seen:
        oldest = next(iter(seen))
        if abs(now_ns - seen[oldest]) < window_ns:
            return
        del seen[oldest]
