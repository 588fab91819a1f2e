"""A unit of work: everything that one batch of decisions changes, written in one transaction or not
at all.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

import msgspec

from alphintra.assets import Journal
from alphintra.core.clock import Clock, to_datetime
from alphintra.core.ids import EventId, IdFactory, OrderId
from alphintra.core.orders import OrderEventType
from alphintra.platform.events import Event, Topic
from alphintra.trading import events
from alphintra.trading.events import OrderEventData, OrderView, RiskFinding
from alphintra.trading.state import Account, Execution, Order, Position


class HistoryEntry(msgspec.Struct, frozen=True, gc=False):
    """A row of `trading.order_history`."""

    order_id: OrderId
    version: int
    event_type: OrderEventType
    actor: str
    reason: str | None
    data: msgspec.Raw
    at: datetime


class VenueStep(Enum):
    """What the venue is told once the commit is through."""

    SUBMIT = "SUBMIT"
    MODIFY = "MODIFY"
    CANCEL = "CANCEL"


@dataclass(frozen=True, slots=True)
class VenueAction:
    """A step at the venue for an order, as the order is when the step is taken."""

    step: VenueStep
    order: Order


class Unit:
    """Collects changes of one batch. It holds live objects: it is sealed before the next
    decision.
    """

    def __init__(self, clock: Clock, ids: IdFactory) -> None:
        self.at_ns = clock.now_ns()
        self.at = to_datetime(self.at_ns)
        self.ids = ids
        self.actor = "desk"
        self.correlation_id = ""
        self.causation_id: str | None = None
        self.journal = Journal()
        self.accounts: dict[UUID, Account] = {}
        self.orders: dict[UUID, Order] = {}
        self.positions: dict[UUID, Position] = {}
        self.history: list[HistoryEntry] = []
        self.executions: list[Execution] = []
        self.events: list[Event] = []
        self.venue_actions: list[VenueAction] = []

    @property
    def is_empty(self) -> bool:
        return not (self.accounts or self.orders)

    def touch(self, account: Account) -> None:
        """Note that the account's row changes."""
        self.accounts[account.id] = account

    def record_order(
        self,
        account: Account,
        order: Order,
        event_type: OrderEventType,
        *,
        reason: str | None = None,
        check: RiskFinding | None = None,
    ) -> msgspec.Raw:
        """Note a step in an order's life: row, history, event. Returns the order's JSON
        after it.
        """
        order.version += 1
        order.updated_at = self.at
        account.order_sequence += 1
        account.count(order)
        self.touch(account)
        self.orders[order.id] = order
        view: OrderView = events.order_view(order, check)
        raw = events.encode(view)
        event_id = EventId(self.ids())
        self.history.append(
            HistoryEntry(order.id, order.version, event_type, self.actor, reason, raw, self.at)
        )
        self._emit(
            Topic.ORDER_EVENTS,
            events.ORDER_EVENT,
            account,
            account.order_sequence,
            event_id,
            OrderEventData(
                event_id=event_id,
                user_id=order.user_id,
                order_id=order.id,
                event_type=event_type,
                symbol=order.symbol,
                quantity=view.quantity,
                price=view.price,
                timestamp=self.at,
                order=raw,
            ),
        )
        return raw

    def record_execution(self, account: Account, execution: Execution, position: Position) -> None:
        """Note a fill and the position after it."""
        self.executions.append(execution)
        self.positions[position.id] = position
        position.updated_at = self.at
        account.trade_sequence += 1
        account.position_sequence += 1
        self.touch(account)
        self._emit(
            Topic.TRADE_EXECUTIONS,
            events.TRADE_EXECUTION,
            account,
            account.trade_sequence,
            EventId(execution.id),
            events.execution_data(events.execution_view(execution)),
        )
        self._emit(
            Topic.POSITION_EVENTS,
            events.POSITION_EVENT,
            account,
            account.position_sequence,
            EventId(self.ids()),
            events.position_view(position, execution.price),
        )

    def at_venue(self, step: VenueStep, order: Order) -> None:
        """Ask for a step at the venue after the commit."""
        self.venue_actions.append(VenueAction(step, order))

    def _emit(
        self,
        topic: Topic,
        type_: str,
        account: Account,
        sequence: int,
        event_id: EventId,
        data: msgspec.Struct,
    ) -> None:
        self.events.append(
            Event(
                id=event_id,
                topic=topic,
                type=type_,
                key=str(account.id),
                occurred_at_ns=self.at_ns,
                data=data,
                sequence=sequence,
                correlation_id=self.correlation_id,
                causation_id=self.causation_id,
            )
        )
