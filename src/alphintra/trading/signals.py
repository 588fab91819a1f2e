"""Signals become orders: sized, risk-checked, and remembered by the order they caused."""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal
from uuid import UUID

import msgspec
import structlog
from prometheus_client import Counter

from alphintra.core import money
from alphintra.core.ids import OrderId, SignalId, StrategyId, UserId, derived_id
from alphintra.core.orders import OrderType, Side, TimeInForce
from alphintra.platform.events import ReceivedEvent
from alphintra.trading.commands import Done, PlaceOrder, Refused, Terms, Unknown
from alphintra.trading.errors import OrderOutcomeUnknown

STRATEGY_SIGNAL = "strategy_signal.v1"
#: How much of the buying power a signal with confidence 1 uses, unless its parameters say.
FRACTION = Decimal("0.1")

SIGNALS = Counter("alphintra_signals_total", "Strategy signals by outcome", ["outcome"])
log = structlog.get_logger(__name__)


class SignalData(msgspec.Struct, frozen=True, kw_only=True):
    """`strategy_signal.v1`. `parameters` may hold `quantity` (units) or `fraction` (of the
    cash).
    """

    signal_id: UUID
    strategy_id: UUID | None
    user_id: UUID
    symbol: str
    action: Literal["BUY", "SELL", "HOLD"]
    confidence: Decimal
    parameters: dict[str, Any]
    generated_at: datetime


def read_signal(event: ReceivedEvent) -> SignalData:
    """Return the signal that an event carries.

    Raises:
        msgspec.ValidationError: it carries something else; it belongs in the dead letters.
    """
    return msgspec.json.decode(event.data, type=SignalData)


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
    if not value.is_finite() or value <= 0:
        raise ValueError(f"{name} is not positive: {given!r}")
    return value


def order_of(
    signal: SignalData, *, position: Decimal, cash_available: Decimal, lot_size: Decimal
) -> PlaceOrder | None:
    """Return the order that a signal asks for, or `None` where there is nothing to do.

    A BUY spends `quantity` units, or `fraction` (default 10 %) of the free cash, scaled by the
    confidence. A SELL sells `quantity` units, or the whole position; it never goes short by itself.

    Raises:
        ValueError: the signal's parameters are not usable.
    """
    if signal.action == "HOLD" or signal.confidence <= 0:
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
    return PlaceOrder(
        user_id=UserId(signal.user_id),
        actor=f"signal:{signal.signal_id}",
        # Both follow from the signal: delivered again, it is the same order.
        order_id=OrderId(derived_id("signal-order", signal.user_id, signal.signal_id)),
        client_order_id=f"signal-{signal.signal_id}",
        signal_id=SignalId(signal.signal_id),
        terms=Terms(
            symbol=signal.symbol,
            side=Side(signal.action),
            type=OrderType.MARKET,
            quantity=quantity,
            notional=notional,
            time_in_force=TimeInForce.GTC,
            strategy_id=None if signal.strategy_id is None else StrategyId(signal.strategy_id),
        ),
    )


def note_outcome(signal: SignalData, answer: Done | Refused | Unknown) -> None:
    """Count what became of a signal.

    Raises:
        OrderOutcomeUnknown: the desk did not answer; the event is delivered again.
    """
    match answer:
        case Done():
            SIGNALS.labels("ordered").inc()
        case Refused(code=code, detail=detail):
            SIGNALS.labels("refused").inc()
            log.info("signal_refused", signal_id=str(signal.signal_id), code=code, detail=detail)
        case Unknown(detail=detail):
            raise OrderOutcomeUnknown(detail)
