"""Signals become orders: sized, risk-checked, and remembered by the order they caused."""

from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from prometheus_client import Counter

from alphintra.core import money
from alphintra.core.ids import EventId, OrderId, SignalId, StrategyId, UserId, derived_id
from alphintra.core.orders import OrderType, Side, TimeInForce
from alphintra.platform.events import Event, ReceivedEvent, Topic
from alphintra.trading.commands import CancelOrder, Done, PlaceOrder, Refused, Terms

STRATEGY_SIGNAL = "strategy_signal.v1"
SIGNAL_OUTCOME = "signal_outcome.v1"
#: How much of the buying power a signal with confidence 1 uses, unless its parameters say.
FRACTION = Decimal("0.1")
#: A signal that waited longer than this is about another market, unless it says how long it holds.
VALID_FOR: Final = timedelta(seconds=300)
#: Orders that one signal may take back.
CANCELS_MAX: Final = 500

SIGNALS = Counter("alphintra_signals_total", "Strategy signals by outcome", ["outcome"])


class SignalData(msgspec.Struct, frozen=True, kw_only=True):
    """`strategy_signal.v1`. `parameters` may hold `quantity` (units) or `fraction` (of the
    cash); or `order`, with the terms of `POST /orders`; or `cancel` and `cancel_orders`, the
    signals and orders to take back; and `valid_until`, after which it is not traded.
    """

    signal_id: UUID
    strategy_id: UUID | None
    user_id: UUID
    symbol: str
    action: Literal["BUY", "SELL", "HOLD"]
    confidence: Decimal
    parameters: dict[str, Any]
    generated_at: datetime


class Outcome(StrEnum):
    """What became of a signal."""

    ORDERED = "ORDERED"
    CANCELED = "CANCELED"  #: what it wanted taken back was looked at, whether still open or not
    REFUSED = "REFUSED"  #: malformed, or against a risk limit
    NOTHING_TO_DO = "NOTHING_TO_DO"
    TOO_OLD = "TOO_OLD"


class SignalOutcomeData(msgspec.Struct, frozen=True, kw_only=True):
    """`signal_outcome.v1`: what became of a signal. A refused one may leave a rejected order."""

    signal_id: UUID
    strategy_id: UUID | None
    user_id: UUID
    outcome: Outcome
    order_id: UUID | None
    code: str | None
    detail: str | None
    decided_at: datetime


def signal_event(signal: SignalData, at_ns: int, *, correlation_id: str | None = None) -> Event:
    """Return the event that publishes a signal.

    Its id follows from the signal, so that a repeat is dropped wherever events are counted; and
    from its owner, so that nobody can take another's signal away.
    """
    return Event(
        id=EventId(derived_id("signal", signal.user_id, signal.signal_id)),
        topic=Topic.STRATEGY_SIGNALS,
        type=STRATEGY_SIGNAL,
        key=str(signal.user_id),
        occurred_at_ns=at_ns,
        data=signal,
        correlation_id=correlation_id,
    )


def read_signal(event: ReceivedEvent) -> SignalData:
    """Return the signal that an event carries.

    Raises:
        msgspec.ValidationError: it carries something else; it belongs in the dead letters.
    """
    return msgspec.json.decode(event.data, type=SignalData)


def is_too_old(signal: SignalData, at: datetime) -> bool:
    """Whether the market it was about is gone.

    Raises:
        ValueError: `valid_until` is no time with a zone.
    """
    given = signal.parameters.get("valid_until")
    if given is None:
        return at - signal.generated_at > VALID_FOR
    try:
        until = msgspec.convert(given, datetime)
    except msgspec.ValidationError as error:
        raise ValueError(f"valid_until is no time: {given!r}") from error
    if until.tzinfo is None:
        raise ValueError(f"valid_until has no time zone: {given!r}")
    return at > until


def order_id_of(user_id: UUID, signal_id: UUID) -> OrderId:
    """Return the id of the order that a signal causes; delivered again, it is the same order."""
    return OrderId(derived_id("signal-order", user_id, signal_id))


def cancels_of(signal: SignalData, correlation_id: str) -> list[CancelOrder]:
    """Return what a signal wants taken back.

    Raises:
        ValueError: its parameters name something else than signals and orders.
    """
    try:
        signals = msgspec.convert(signal.parameters.get("cancel", []), list[UUID])
        orders = msgspec.convert(signal.parameters.get("cancel_orders", []), list[UUID])
    except msgspec.ValidationError as error:
        raise ValueError(f"cancel and cancel_orders are lists of ids: {error}") from error
    wanted = [*(order_id_of(signal.user_id, one) for one in signals), *map(OrderId, orders)]
    if len(wanted) > CANCELS_MAX:
        raise ValueError(f"a signal takes back {CANCELS_MAX} orders at most, not {len(wanted)}")
    return [
        CancelOrder(
            user_id=UserId(signal.user_id),
            actor=f"signal:{signal.signal_id}",
            correlation_id=correlation_id,
            order_id=order_id,
        )
        for order_id in dict.fromkeys(wanted)
    ]


def parameter(signal: SignalData, name: str) -> Decimal | None:
    """Return a positive number from the signal's parameters.

    Raises:
        ValueError: it is there, and is none.
    """
    given = signal.parameters.get(name)
    if given is None:
        return None
    try:
        value = Decimal(str(given))
    except InvalidOperation as error:
        raise ValueError(f"{name} is not a number: {given!r}") from error
    if not value.is_finite() or not 0 < value < money.LIMIT:
        raise ValueError(f"{name} is not positive, or beyond all bounds: {given!r}")
    return value


def given_order(signal: SignalData, correlation_id: str) -> PlaceOrder:
    """Return the order of `parameters["order"]`, which has the terms of `POST /orders`.

    Raises:
        ValueError: they are not such terms.
    """
    try:
        given = msgspec.convert(signal.parameters["order"], dict[str, Any])
        terms = msgspec.convert(
            {
                **given,
                "symbol": signal.symbol,
                "side": signal.action,
                "strategy_id": signal.strategy_id,
            },
            _GivenTerms,
        )
    except msgspec.ValidationError as error:
        raise ValueError(f"order: {error}") from error
    plain = msgspec.convert(terms, Terms, from_attributes=True)
    return _placing(signal, plain, correlation_id, terms.client_order_id)


class _GivenTerms(Terms, frozen=True, kw_only=True, forbid_unknown_fields=True):
    client_order_id: str | None = None


def sized_order(
    signal: SignalData,
    correlation_id: str,
    *,
    position: Decimal,
    cash_available: Decimal,
    lot_size: Decimal,
) -> PlaceOrder | None:
    """Return the order at the market that a signal asks for, or `None` where it asks for nothing.

    A BUY spends `quantity` units, or `fraction` (default 10 %) of the free cash, scaled by the
    confidence. A SELL sells `quantity` units, or the whole position; it never goes short by itself.

    Raises:
        ValueError: the signal's parameters are not usable.
    """
    if signal.confidence <= 0:
        return None
    quantity = parameter(signal, "quantity")
    notional: Decimal | None = None
    if quantity is not None:
        quantity = money.round_to_step(quantity, lot_size)
    elif signal.action == "BUY":
        fraction = min(parameter(signal, "fraction") or FRACTION, Decimal(1))
        notional = round(cash_available * fraction * signal.confidence, 2)
    else:
        quantity = position
    if (quantity is None or quantity <= 0) and (notional is None or notional <= 0):
        return None
    terms = Terms(
        symbol=signal.symbol,
        side=Side(signal.action),
        type=OrderType.MARKET,
        quantity=quantity,
        notional=notional,
        time_in_force=TimeInForce.GTC,
        strategy_id=None if signal.strategy_id is None else StrategyId(signal.strategy_id),
    )
    return _placing(signal, terms, correlation_id)


def _placing(
    signal: SignalData, terms: Terms, correlation_id: str, name: str | None = None
) -> PlaceOrder:
    return PlaceOrder(
        user_id=UserId(signal.user_id),
        actor=f"signal:{signal.signal_id}",
        correlation_id=correlation_id,
        order_id=order_id_of(signal.user_id, signal.signal_id),
        client_order_id=name or f"signal-{signal.signal_id}",
        signal_id=SignalId(signal.signal_id),
        terms=terms,
    )


def outcome_of(signal: SignalData, answer: Done | Refused, at: datetime) -> SignalOutcomeData:
    """Return what became of a signal whose order the desk has answered."""
    if isinstance(answer, Done):
        order_id = order_id_of(signal.user_id, signal.signal_id)
        return decided(signal, Outcome.ORDERED, at, order_id=order_id)
    rejected = answer.extra.get("order_id")
    return decided(
        signal,
        Outcome.REFUSED,
        at,
        order_id=None if rejected is None else msgspec.json.decode(rejected, type=UUID),
        code=answer.code,
        detail=answer.detail,
    )


def decided(
    signal: SignalData,
    outcome: Outcome,
    at: datetime,
    *,
    order_id: UUID | None = None,
    code: str | None = None,
    detail: str | None = None,
) -> SignalOutcomeData:
    """Return an outcome, for `outcome_event`."""
    return SignalOutcomeData(
        signal_id=signal.signal_id,
        strategy_id=signal.strategy_id,
        user_id=signal.user_id,
        outcome=outcome,
        order_id=order_id,
        code=code,
        detail=detail,
        decided_at=at,
    )


def outcome_event(outcome: SignalOutcomeData, cause: ReceivedEvent, at_ns: int) -> Event:
    """Return the event that tells of an outcome."""
    return Event(
        id=EventId(derived_id("signal-outcome", cause.id)),
        topic=Topic.STRATEGY_SIGNALS,
        type=SIGNAL_OUTCOME,
        key=cause.partitionkey,
        occurred_at_ns=at_ns,
        data=outcome,
        correlation_id=cause.correlationid,
        causation_id=str(cause.id),
    )
