"""What trading does on events: open accounts, trade on signals, place what was asked for by
event.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra import assets, market
from alphintra.core.clock import NS_PER_SECOND, now
from alphintra.core.errors import Problem, Unavailable
from alphintra.core.ids import UserId
from alphintra.platform import outbox
from alphintra.platform.consumers import Consumer, run_consumer
from alphintra.platform.events import Event, ReceivedEvent, Topic
from alphintra.platform.services import Services
from alphintra.trading import facade, signals, views
from alphintra.trading.book import account_id_of
from alphintra.trading.client import DeskClient
from alphintra.trading.commands import AnyCommand, Done, OpenAccount, PlaceOrder, Refused, Unknown
from alphintra.trading.curve import record_curve
from alphintra.trading.errors import OrderOutcomeUnknown
from alphintra.trading.signals import Outcome

#: Signals of different users that are traded at a time.
SIGNAL_LANES = 6
CURVE_INTERVAL_S = 60.0

log = structlog.get_logger(__name__)


class _UserEvent(msgspec.Struct):
    user_id: UUID
    event_type: Literal["USER_REGISTERED"] | str


class Listener:
    """Handles events by asking the desk. A repeat is harmless: ids follow from the events."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._desk = DeskClient(services.database, services.settings)
        self._at_once = asyncio.Semaphore(SIGNAL_LANES)

    async def close(self) -> None:
        await self._desk.close()

    async def on_user_event(self, _: AsyncSession, event: ReceivedEvent) -> None:
        """Open a new user's paper account."""
        user = msgspec.json.decode(event.data, type=_UserEvent)
        if user.event_type != "USER_REGISTERED":
            return
        await self._ask(OpenAccount(user_id=UserId(user.user_id), actor="event"))

    async def on_place_trade(self, _: AsyncSession, event: ReceivedEvent) -> None:
        """Place the order that `POST /trade` promised."""
        await self._place(facade.order_of(event))

    async def on_signal(self, session: AsyncSession, event: ReceivedEvent) -> None:
        """Trade a signal, and tell what became of it."""
        await self.on_signals(session, [event])

    async def on_signals(self, session: AsyncSession, events: Sequence[ReceivedEvent]) -> None:
        """The same for several at once; those of one user one after the other.

        Raises:
            LookupError: one of them is sized by what its owner has now. Tried again with others it
                would be another order, so it goes alone.
        """
        by_user: dict[str, list[ReceivedEvent]] = {}
        for event in events:
            if event.type == signals.STRATEGY_SIGNAL:  # outcomes are told on the same topic
                by_user.setdefault(event.partitionkey, []).append(event)
        if len(events) > 1 and any(map(_is_sized_here, events)):
            raise LookupError("a signal that is sized here goes alone")
        try:
            async with asyncio.TaskGroup() as tasks:
                trading = [tasks.create_task(self._outcomes(those)) for those in by_user.values()]
        except ExceptionGroup as group:
            # Who is away is away for all; one of them speaks for the others.
            raise group.exceptions[0] from group
        await outbox.add_all(session, [told for task in trading for told in task.result()])

    async def _outcomes(self, events: Sequence[ReceivedEvent]) -> list[Event]:
        return [await self._outcome(event) for event in events]

    async def _outcome(self, event: ReceivedEvent) -> Event:
        signal = signals.read_signal(event)
        try:
            async with self._at_once:
                outcome = await self._trade(signal, event.correlationid or "")
        except Unavailable:
            raise
        except Problem as problem:
            outcome = self._refused(signal, problem.code, problem.detail)
        except ValueError as error:
            outcome = self._refused(signal, "signal_invalid", str(error))
        signals.SIGNALS.labels(outcome.outcome.lower()).inc()
        return signals.outcome_event(outcome, event, self._services.clock.now_ns())

    async def _trade(
        self, signal: signals.SignalData, correlation_id: str
    ) -> signals.SignalOutcomeData:
        at = now(self._services.clock)
        if signals.is_too_old(signal, at):
            return await self._unless_ordered(signal, Outcome.TOO_OLD, at)
        cancels = signals.cancels_of(signal, correlation_id)
        for one in cancels:
            await self._ask(one)  # one that is not open any more has had its end
        if signal.action == "HOLD":
            outcome = Outcome.CANCELED if cancels else Outcome.NOTHING_TO_DO
            return signals.decided(signal, outcome, at)
        order = await self._sized(signal, correlation_id)
        if order is None:
            return await self._unless_ordered(signal, Outcome.NOTHING_TO_DO, at)
        return signals.outcome_of(signal, await self._ask(order), at)

    async def _unless_ordered(
        self, signal: signals.SignalData, outcome: Outcome, at: datetime
    ) -> signals.SignalOutcomeData:
        """Return that outcome; or what became of the signal's order, if it has one already.

        The desk's answer can be lost on its way. When the signal is heard again, it may have become
        too old, or its order may have closed what it was to close.
        """
        async with self._services.database.reading() as session:
            orders = await views.orders_of_signals(
                session, UserId(signal.user_id), [signal.signal_id]
            )
        if not orders:
            return signals.decided(signal, outcome, at)
        order_id, reason = UUID(orders[0]["id"]), orders[0]["reject_reason"] or ""
        if reason.startswith("risk_"):
            return signals.decided(signal, Outcome.REFUSED, at, order_id=order_id, code=reason)
        return signals.decided(signal, Outcome.ORDERED, at, order_id=order_id)

    async def _sized(self, signal: signals.SignalData, correlation_id: str) -> PlaceOrder | None:
        if "order" in signal.parameters:
            return signals.given_order(signal, correlation_id)
        user_id = UserId(signal.user_id)
        async with self._services.database.reading() as session:
            instrument = await market.load_instrument(session, signal.symbol)
            held = await views.positions(session, user_id, {}, symbol=signal.symbol)
            balances = await assets.balances(session, account_id_of(user_id))
        cash = {one.asset: one.available for one in balances}
        return signals.sized_order(
            signal,
            correlation_id,
            position=Decimal(held[0]["quantity"]) if held else Decimal(0),
            cash_available=cash.get(instrument.quote, Decimal(0)),
            lot_size=instrument.lot_size,
        )

    def _refused(
        self, signal: signals.SignalData, code: str, detail: str
    ) -> signals.SignalOutcomeData:
        at = now(self._services.clock)
        return signals.decided(signal, Outcome.REFUSED, at, code=code, detail=detail)

    async def _ask(self, command: AnyCommand) -> Done | Refused:
        """Return what the desk says.

        Raises:
            OrderOutcomeUnknown: it did not answer; the event is delivered again.
        """
        answer = await self._desk.submit(command)
        if isinstance(answer, Unknown):
            raise OrderOutcomeUnknown(answer.detail)
        return answer

    async def _place(self, order: PlaceOrder) -> None:
        answer = await self._ask(order)
        if isinstance(answer, Refused):
            log.info("request_refused", order_id=str(order.order_id), code=answer.code)


def _is_sized_here(event: ReceivedEvent) -> bool:
    if event.type != signals.STRATEGY_SIGNAL:
        return False
    signal = signals.read_signal(event)
    return signal.action != "HOLD" and "order" not in signal.parameters


async def run_signals(services: Services, stop: asyncio.Event) -> None:
    """Trade on events until `stop` is set, and draw the equity curves."""
    listener = Listener(services)
    consumers = [
        Consumer(
            name="trading_accounts", topics=(Topic.USER_EVENTS,), handle=listener.on_user_event
        ),
        Consumer(
            name="trading_signals",
            topics=(Topic.STRATEGY_SIGNALS,),
            handle=listener.on_signal,
            lanes=SIGNAL_LANES,
            handle_together=listener.on_signals,
        ),
        Consumer(
            name="trading_requests",
            topics=(Topic.PLACE_TRADE_REQUEST,),
            handle=listener.on_place_trade,
        ),
    ]
    try:
        async with asyncio.TaskGroup() as tasks:
            for consumer in consumers:
                tasks.create_task(run_consumer(consumer, services.database, services.bus, stop))
            tasks.create_task(_draw_curves(services, stop))
    finally:
        await listener.close()


async def _draw_curves(services: Services, stop: asyncio.Event) -> None:
    market_data = market.MarketService(services)
    while not stop.is_set():
        elapsed_s = services.clock.now_ns() / NS_PER_SECOND % CURVE_INTERVAL_S
        try:
            async with asyncio.timeout(CURVE_INTERVAL_S - elapsed_s):
                await stop.wait()
        except TimeoutError:
            try:
                await record_curve(services, market_data)
            except Unavailable as error:
                log.warning("curve_not_drawn", error=error.detail)
