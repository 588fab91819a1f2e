"""Kill switches: who stops, restricts or restarts what, on record and obeyed within milliseconds.

The account's own switch is part of the account, so its desk sets it. Those of a strategy and of the
platform are rows of their own, and every desk is told.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import now
from alphintra.core.ids import EventId
from alphintra.core.orders import TradingState
from alphintra.identity import AuditEvent
from alphintra.platform import outbox
from alphintra.platform.events import Event, Topic
from alphintra.platform.services import Services
from alphintra.trading.commands import SetAccountState
from alphintra.trading.models import TradingStateRow
from alphintra.trading.service import Caller, TradingService
from alphintra.trading.surroundings import PLATFORM, Scope, strategy_subject

AUDIT_EVENT = "audit_event.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class KillSwitch:
    """A switch and the state it is put into; `strategy_id` belongs to scope STRATEGY."""

    scope: Scope
    strategy_id: UUID | None
    state: TradingState
    reason: str

    def subject(self, caller: Caller) -> str:
        """Return what the switch is filed under."""
        match self.scope:
            case Scope.ACCOUNT:
                return str(caller.user_id)
            case Scope.STRATEGY:
                return strategy_subject(caller.user_id, self.strategy_id)
            case Scope.PLATFORM:
                return PLATFORM


async def set_kill_switch(
    services: Services, trading: TradingService, caller: Caller, switch: KillSwitch
) -> str:
    """Set a kill switch and return what it is filed under.

    Raises:
        OrderOutcomeUnknown: the account's desk did not answer; set it again.
        DatabaseUnavailable: the database is away; set it again.
    """
    if switch.scope is Scope.ACCOUNT:
        await trading.ask(
            SetAccountState(
                user_id=caller.user_id,
                actor=caller.actor,
                state=switch.state,
                reason=switch.reason,
            )
        )
    async with services.database.transaction() as session:
        if switch.scope is not Scope.ACCOUNT:
            await _save(services, session, caller, switch)
        await outbox.add(session, _audit(services, caller, switch))
    return switch.subject(caller)


async def _save(
    services: Services, session: AsyncSession, caller: Caller, switch: KillSwitch
) -> None:
    values = {
        "state": switch.state,
        "reason": switch.reason,
        "actor": caller.actor,
        "set_at": now(services.clock),
    }
    await session.execute(
        insert(TradingStateRow)
        .values(scope=switch.scope, subject=switch.subject(caller), **values)
        .on_conflict_do_update(index_elements=["scope", "subject"], set_=values)
    )
    # The desks obey at once; their poll is for a notification that got lost.
    await session.execute(text("SELECT pg_notify('trading_states', '')"))


def _audit(services: Services, caller: Caller, switch: KillSwitch) -> Event:
    event_id = EventId(services.ids())
    return Event(
        id=event_id,
        topic=Topic.AUDIT_EVENTS,
        type=AUDIT_EVENT,
        key=str(caller.user_id),
        occurred_at_ns=services.clock.now_ns(),
        data=AuditEvent(
            event_id=event_id,
            actor_id=caller.user_id,
            action=f"kill_switch.{switch.scope.lower()}.{switch.state.lower()}",
            subject=switch.subject(caller),
            details={"reason": switch.reason, "credentials": caller.actor},
            timestamp=now(services.clock),
        ),
    )
