"""What happens to an order after it was taken: fills, cancellation, expiry, changes, and what they
pull along.
"""

from datetime import datetime
from decimal import Decimal
from typing import assert_never

import msgspec

from alphintra.core import money
from alphintra.core.ids import TradeId, derived_id
from alphintra.core.instruments import Instrument
from alphintra.core.orders import OrderEventType, OrderStatus, Side, TimeInForce
from alphintra.trading import risk, settlement
from alphintra.trading.commands import Answer, Done, ModifyOrder, Refused, Terms
from alphintra.trading.placing import refusal
from alphintra.trading.risk import Proposal
from alphintra.trading.state import ZERO, Account, Execution, Order, Position
from alphintra.trading.surroundings import Surroundings
from alphintra.trading.unit import Unit, VenueStep
from alphintra.trading.venue import (
    VenueCanceled,
    VenueEvent,
    VenueExpired,
    VenueFill,
    VenueModified,
    VenueRejected,
    VenueTriggered,
)
from alphintra.trading.wellformed import (
    EXIT_TIMES_IN_FORCE,
    VALUE_MAX,
    Malformed,
    OrderRefusal,
    validate,
)

OCO = "the other exit was filled or cancelled"
PARENT_ENDED = "the entry ended without a fill"
NOTHING_TO_REDUCE = "nothing left to reduce"


def on_venue_event(
    account: Account,
    event: VenueEvent,
    unit: Unit,
    around: Surroundings,
    water_mark: Decimal | None,
) -> None:
    """Take what the paper venue reports. A report about an order that is no longer open is void."""
    order = account.open_orders.get(event.order_id)
    if order is None or order.status is OrderStatus.PENDING:
        return
    match event:
        case VenueFill():
            fill(account, order, event, unit, around)
        case VenueTriggered():
            order.triggered = True
            order.water_mark = water_mark
            unit.record_order(account, order, OrderEventType.TRIGGERED)
        case VenueCanceled(reason=reason):
            cancel(account, order, unit, around, reason=reason)
        case VenueExpired():
            expire(account, order, unit, around)
        case VenueRejected(reason=reason):
            _refused_by_venue(account, order, reason, unit, around)
        case VenueModified():
            pass  # the desk's own change, which is on record already
        case _:
            assert_never(event)


def _refused_by_venue(
    account: Account, order: Order, reason: str, unit: Unit, around: Surroundings
) -> None:
    """End an order that the venue would not take, or would not take as it was changed."""
    if order.status is not OrderStatus.ACCEPTED:
        cancel(account, order, unit, around, reason=reason)
        return
    order.reject_reason = f"venue_{reason}"
    _end(account, order, OrderStatus.REJECTED, OrderEventType.REJECTED, reason, unit, around)
    _after_end(account, order, unit, around)


def fill(
    account: Account, order: Order, event: VenueFill, unit: Unit, around: Surroundings
) -> None:
    """Book a fill: ledger, position, order, and what hangs on the order. A repeat changes
    nothing.
    """
    if event.filled_quantity <= order.filled_quantity:
        return
    instrument = around.instruments[order.symbol]
    quantity = min(event.quantity, order.remaining)
    is_cut = False
    sibling = account.open_orders.get(order.sibling_id) if order.sibling_id else None
    if order.reduce_only:
        # What other orders have reserved is promised to them; exits of one position share theirs.
        own = order.held_quantity + (sibling.held_quantity if sibling else ZERO)
        position = max(ZERO, -account.position_quantity(order.symbol) * order.side.sign)
        reducible = min(position, own + account.reducible(order.symbol, order.side))
        if reducible == 0:
            cancel(account, order, unit, around, reason=NOTHING_TO_REDUCE)
            return
        is_cut = reducible < quantity
        quantity = min(quantity, reducible)
    fee = event.fee
    if quantity != event.quantity:
        fee = money.divide(fee * quantity, event.quantity)
    if sibling is not None:
        _take_over_holds(order, sibling)
    settlement.settle(
        unit,
        account,
        order,
        instrument,
        trade_id=event.fill_id,
        quantity=quantity,
        price=event.price,
        fee=fee,
    )
    _book(account, order, event, quantity, fee, unit)
    is_full = order.remaining == 0
    order.move_to(OrderStatus.FILLED if is_full else OrderStatus.PARTIALLY_FILLED)
    if is_full:
        settlement.release_all(unit, account, order, instrument)
        del account.open_orders[order.id]
    unit.record_order(
        account, order, OrderEventType.FILLED if is_full else OrderEventType.PARTIALLY_FILLED
    )
    if sibling is not None:
        _shrink_sibling(account, sibling, quantity, unit, around)
    if is_full:
        _activate_legs(account, order, unit, around)
    elif is_cut and order.id in account.open_orders:
        # The venue counts what was cut off as filled and has no more of it to give.
        cancel(account, order, unit, around, reason=NOTHING_TO_REDUCE)


def _book(
    account: Account, order: Order, event: VenueFill, quantity: Decimal, fee: Decimal, unit: Unit
) -> None:
    position = account.positions.get(order.symbol)
    if position is None:
        position = account.positions[order.symbol] = Position(
            id=derived_id("position", account.id, order.symbol),
            account_id=account.id,
            user_id=account.user_id,
            symbol=order.symbol,
            updated_at=unit.at,
        )
    realized = position.apply(
        signed_quantity=quantity * order.side.sign, price=event.price, fee=fee
    )
    order.filled_quantity += quantity
    order.filled_value += money.multiply(quantity, event.price)
    order.fees += fee
    unit.record_execution(
        account,
        Execution(
            id=TradeId(event.fill_id),
            order_id=order.id,
            account_id=account.id,
            user_id=account.user_id,
            symbol=order.symbol,
            side=order.side,
            quantity=quantity,
            price=event.price,
            fee=fee,
            liquidity=event.liquidity,
            realized_pnl=realized,
            strategy_id=order.strategy_id,
            executed_at=unit.at,
        ),
        position,
    )


def _take_over_holds(order: Order, sibling: Order) -> None:
    """Two exits of one position share one reservation; it follows the one that fills.

    The ledger holds per account, not per order, so nothing is posted.
    """
    order.held_quantity += sibling.held_quantity
    order.held_cash += sibling.held_cash
    sibling.held_quantity = sibling.held_cash = ZERO


def _shrink_sibling(
    account: Account, sibling: Order, filled: Decimal, unit: Unit, around: Surroundings
) -> None:
    """What one exit has sold, the other must not sell again."""
    unit.orders[sibling.id] = sibling
    if sibling.remaining <= filled:
        _end(account, sibling, OrderStatus.CANCELED, OrderEventType.CANCELLED, OCO, unit, around)
        return
    sibling.quantity -= filled
    unit.record_order(account, sibling, OrderEventType.MODIFIED, reason=OCO)
    if sibling.status is not OrderStatus.PENDING:
        unit.at_venue(VenueStep.MODIFY, sibling)


def _activate_legs(account: Account, entry: Order, unit: Unit, around: Surroundings) -> None:
    """The entry is done: its exits enter the market for what was filled, sharing one
    reservation.
    """
    legs = [leg for leg in account.open_orders.values() if leg.parent_id == entry.id]
    instrument = around.instruments[entry.symbol]
    for leg in legs:
        if leg.status is not OrderStatus.PENDING:
            continue
        leg.quantity = entry.filled_quantity
        sibling = account.open_orders.get(leg.sibling_id) if leg.sibling_id else None
        if sibling is None or sibling.held_quantity == 0:
            reserve = min(leg.quantity, account.reducible(leg.symbol, leg.side))
            settlement.hold(unit, account, leg, instrument, quantity=reserve, cash=ZERO)
        leg.move_to(OrderStatus.ACCEPTED)
        unit.record_order(account, leg, OrderEventType.ACTIVATED)
        unit.at_venue(VenueStep.SUBMIT, leg)


def cancel(
    account: Account, order: Order, unit: Unit, around: Surroundings, *, reason: str = "requested"
) -> msgspec.Raw:
    """Take an order out of the market, with its sibling and, if it never filled, its exits."""
    body = _end(
        account, order, OrderStatus.CANCELED, OrderEventType.CANCELLED, reason, unit, around
    )
    _after_end(account, order, unit, around)
    return body


def expire(account: Account, order: Order, unit: Unit, around: Surroundings) -> None:
    """End an order whose time has come."""
    _end(account, order, OrderStatus.EXPIRED, OrderEventType.EXPIRED, None, unit, around)
    _after_end(account, order, unit, around)


def _end(
    account: Account,
    order: Order,
    status: OrderStatus,
    event_type: OrderEventType,
    reason: str | None,
    unit: Unit,
    around: Surroundings,
) -> msgspec.Raw:
    was_at_venue = order.status is not OrderStatus.PENDING
    settlement.release_all(unit, account, order, around.instruments[order.symbol])
    order.move_to(status)
    del account.open_orders[order.id]
    body = unit.record_order(account, order, event_type, reason=reason)
    if was_at_venue:
        unit.at_venue(VenueStep.CANCEL, order)
    return body


def _after_end(account: Account, order: Order, unit: Unit, around: Surroundings) -> None:
    sibling = account.open_orders.get(order.sibling_id) if order.sibling_id else None
    if sibling is not None:
        _end(account, sibling, OrderStatus.CANCELED, OrderEventType.CANCELLED, OCO, unit, around)
    if order.filled_quantity > 0:
        # A partly filled entry is a position: it gets its exits.
        _activate_legs(account, order, unit, around)
        return
    for leg in [leg for leg in account.open_orders.values() if leg.parent_id == order.id]:
        _end(
            account, leg, OrderStatus.CANCELED, OrderEventType.CANCELLED, PARENT_ENDED, unit, around
        )


def modify(account: Account, command: ModifyOrder, unit: Unit, around: Surroundings) -> Answer:
    """Change an open order's terms; risk looks at the order as it would be."""
    order = account.open_orders.get(command.order_id)
    if order is None:
        return Refused(code="order_not_open", detail="the order is not open", status=409)
    instrument = around.instruments[order.symbol]
    try:
        changed = _changed(order, command)
        validate(_terms_of(changed), instrument, unit.at)
        _refuse_impossible(account, order, changed)
    except Malformed as refused:
        return Refused(code=refused.refusal, detail=refused.detail)
    proposal = _reproposal(account, order, changed, instrument, around)
    failure = None if order.is_exit else risk.first_failure(account, proposal, around)
    if failure is not None:
        return refusal(order.id, failure.finding())
    _rehold(account, order, proposal, unit, around)
    for field in ("quantity", "price", "stop_price", "trail", "trail_percent", "time_in_force"):
        setattr(order, field, getattr(changed, field))
    if not order.time_in_force.is_for_auction:
        order.expires_at = _expiry(changed, instrument, unit, around)
    body = unit.record_order(account, order, OrderEventType.MODIFIED)
    if order.status is not OrderStatus.PENDING:
        unit.at_venue(VenueStep.MODIFY, order)
    _follow_quantity(account, order, unit)
    return Done(body)


def _changed(order: Order, command: ModifyOrder) -> Order:
    """Return a copy of the order with the new terms."""
    changes = {
        field: value
        for field in (
            "quantity",
            "price",
            "stop_price",
            "trail",
            "trail_percent",
            "time_in_force",
            "expires_at",
        )
        if (value := getattr(command, field)) is not None
    }
    if "trail" in changes:
        changes.setdefault("trail_percent", None)
    elif "trail_percent" in changes:
        changes["trail"] = None
    return msgspec.structs.replace(order, **changes)


def _expiry(
    order: Order, instrument: Instrument, unit: Unit, around: Surroundings
) -> datetime | None:
    if order.time_in_force is TimeInForce.DAY:
        return around.sessions.end_of_day(instrument.calendar, unit.at)
    return order.expires_at if order.time_in_force is TimeInForce.GTD else None


def _terms_of(order: Order) -> Terms:
    return Terms(
        symbol=order.symbol,
        side=order.side,
        type=order.type,
        quantity=order.quantity,
        price=order.price,
        stop_price=order.stop_price,
        trail=order.trail,
        trail_percent=order.trail_percent,
        time_in_force=order.time_in_force,
        expires_at=order.expires_at if order.time_in_force is TimeInForce.GTD else None,
        post_only=order.post_only,
    )


def _refuse_impossible(account: Account, order: Order, changed: Order) -> None:
    if changed.quantity <= order.filled_quantity:
        raise Malformed(
            OrderRefusal.QUANTITY_NOT_ON_LOT,
            f"{money.text(order.filled_quantity)} is filled already; the quantity must be above it",
        )
    if changed.time_in_force is not order.time_in_force and not (
        {changed.time_in_force, order.time_in_force} <= EXIT_TIMES_IN_FORCE
    ):
        raise Malformed(
            OrderRefusal.TIME_IN_FORCE_NOT_ALLOWED, "an open order can become DAY, GTC or GTD"
        )
    if changed.quantity != order.quantity and order.is_exit:
        raise Malformed(
            OrderRefusal.EXITS_DO_NOT_MATCH_CLASS, "the quantity of an exit follows its position"
        )
    price = changed.price or changed.stop_price or ZERO
    if changed.quantity * price >= VALUE_MAX:
        raise Malformed(OrderRefusal.ORDER_TOO_LARGE, "quantity times price is too large")


def _reproposal(
    account: Account, order: Order, changed: Order, instrument: Instrument, around: Surroundings
) -> Proposal:
    """Return the whole of what remains as a proposal, as if the order's own holds were given
    back.
    """
    reference = around.prices.reference(order.symbol, order.side)
    candidates = [price for price in (changed.stop_price, reference) if price is not None]
    free = account.reducible(order.symbol, order.side) + order.held_quantity
    return Proposal(
        instrument=instrument,
        side=order.side,
        type=order.type,
        quantity=changed.remaining,
        price=changed.price,
        reduce_only=order.reduce_only,
        strategy_id=str(order.strategy_id) if order.strategy_id else None,
        terms_hash=order.terms_hash,
        is_new=False,
        reducing=min(changed.remaining, free),
        unit_price=changed.price or max(candidates, default=None),
        replaces=order,
        is_for_auction=order.time_in_force.is_for_auction,
    )


def _rehold(
    account: Account, order: Order, proposal: Proposal, unit: Unit, around: Surroundings
) -> None:
    """Bring what is held for the order to what its new terms need."""
    if order.is_exit:
        return  # exits hold the position itself, whatever their price
    cash = settlement.required_cash(
        proposal.opening,
        price=proposal.hold_price,
        leverage=account.leverage,
        fee_rate=around.fee_rate,
    )
    settlement.release_all(unit, account, order, proposal.instrument)
    settlement.hold(
        unit, account, order, proposal.instrument, quantity=proposal.reducing, cash=cash
    )


def _follow_quantity(account: Account, order: Order, unit: Unit) -> None:
    """A bracket's waiting exits are as large as its entry."""
    for leg in account.open_orders.values():
        is_waiting = leg.parent_id == order.id and leg.status is OrderStatus.PENDING
        if is_waiting and leg.quantity != order.quantity:
            leg.quantity = order.quantity
            unit.record_order(account, leg, OrderEventType.MODIFIED)


def exits_of(account: Account, symbol: str, side: Side) -> list[Order]:
    """Return the open orders that reserve the position for `side`."""
    return [
        order
        for order in account.open_orders.values()
        if order.symbol == symbol and order.side is side and order.status is not OrderStatus.PENDING
    ]
