"""Signals of deployments: their ids, what trading is told of them, and what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra import trading
from alphintra.core.ids import derived_id
from alphintra.platform.events import ReceivedEvent
from alphintra.strategies.deployments.commands import wake
from alphintra.strategies.deployments.models import SignalRow
from alphintra.strategies.deployments.status import SignalStatus

PLACE: Final = "PLACE"
CANCEL: Final = "CANCEL"
STRATEGY: Final = "STRATEGY"
PLATFORM: Final = "PLATFORM"

#: Fields of an order that the signal itself says, or that are not the strategy's to choose.
_NOT_TERMS: Final = frozenset({"symbol", "side", "strategy_id"})


def signal_id_of(deployment_id: UUID, kind: str, name: str) -> UUID:
    """Return the id of a decision; decided again, it is the same signal."""
    return derived_id("deployment-signal", deployment_id, kind, name)


def trace_id_of(deployment_id: UUID, frame: int) -> str:
    """Return the correlation id of all that follows from one frame."""
    return derived_id("deployment-trace", deployment_id, frame).hex


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSignal:
    """A decision to be written down, with what is to become of it at first."""

    id: UUID
    kind: str
    name: str
    origin: str
    symbol: str
    action: str
    body: dict[str, Any]
    parameters: dict[str, Any]
    frame: int
    trace_id: str
    confidence: Decimal = Decimal(1)
    reason: str = ""
    because: dict[str, float | None] | None = None
    candle_ns: int | None = None
    status: SignalStatus = SignalStatus.PUBLISHED
    code: str | None = None
    detail: str | None = None
    #: Seconds from now; of one that waits for a yes.
    expires_s: int | None = None


def order_parameters(body: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a signal that places an order with these fields."""
    return {"order": {name: value for name, value in body.items() if name not in _NOT_TERMS}}


def signal_data(row: SignalRow, at: datetime) -> trading.SignalData:
    """Return what trading is told of a signal."""
    return trading.SignalData(
        signal_id=row.id,
        strategy_id=row.strategy_id,
        user_id=row.user_id,
        symbol=row.symbol,
        action=row.action,  # type: ignore[arg-type]  # written by us: BUY, SELL or HOLD
        confidence=row.confidence,
        parameters={**row.parameters, "trace_id": row.trace_id},
        generated_at=at,
    )


_STATUS_OF: Final = {
    trading.Outcome.ORDERED: SignalStatus.ORDERED,
    trading.Outcome.CANCELED: SignalStatus.CANCELED,
    trading.Outcome.REFUSED: SignalStatus.REFUSED,
    trading.Outcome.NOTHING_TO_DO: SignalStatus.NOTHING_TO_DO,
    trading.Outcome.TOO_OLD: SignalStatus.TOO_OLD,
}


async def on_outcome(session: AsyncSession, event: ReceivedEvent) -> None:
    """Write down what trading made of a signal, and wake whoever runs the deployment."""
    await on_outcomes(session, [event])


async def on_outcomes(session: AsyncSession, events: Sequence[ReceivedEvent]) -> None:
    """The same for several at once."""
    # Whoever knows the id of another's signal may use it too: by both.
    outcomes: dict[tuple[UUID, UUID], trading.SignalOutcomeData] = {}
    for event in events:
        if event.type == trading.SIGNAL_OUTCOME:
            one = msgspec.json.decode(event.data, type=trading.SignalOutcomeData)
            outcomes.setdefault((one.signal_id, one.user_id), one)
    if not outcomes:
        return
    rows = await session.scalars(
        select(SignalRow)
        .where(SignalRow.id.in_({signal_id for signal_id, _ in outcomes}))
        # In the order of their ids, as steps take them: nobody waits for each other.
        .order_by(SignalRow.id)
        .with_for_update()
    )
    fruitless: set[UUID] = set()
    for row in rows.all():
        outcome = outcomes.get((row.id, row.user_id))
        if outcome is None or row.status != SignalStatus.PUBLISHED:
            continue
        row.status = _STATUS_OF[outcome.outcome]
        row.code, row.detail, row.order_id = outcome.code, outcome.detail, outcome.order_id
        row.decided_at = outcome.decided_at
        if outcome.outcome is not trading.Outcome.ORDERED:
            row.is_live = outcome.order_id is not None
            # Of an order that was recorded and rejected the strategy hears as of any order.
            row.is_told = row.kind == CANCEL or row.origin == PLATFORM or row.is_live
            fruitless.add(row.deployment_id)
    for deployment_id in sorted(fruitless):  # of orders, order events tell
        await wake(session, deployment_id)
