"""What trading does on events: open accounts, trade on signals, place what was asked for by
event.
"""

import asyncio
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
from alphintra.platform.events import ReceivedEvent, Topic
from alphintra.platform.services import Services
from alphintra.trading import facade, signals, views
from alphintra.trading.book import account_id_of
from alphintra.trading.client import DeskClient
from alphintra.trading.commands import AnyCommand, Done, OpenAccount, PlaceOrder, Refused, Unknown
from alphintra.trading.curve import record_curve
from alphintra.trading.errors import OrderOutcomeUnknown
from alphintra.trading.signals import Outcome

#: Signals of different keys that are traded at a time.
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
        if event.type != signals.STRATEGY_SIGNAL:
            return  # outcomes are told on the same topic
        signal = signals.read_signal(event)
        correlation_id = event.correlationid or ""
        try:
            outcome = await self._trade(session, signal, correlation_id)
        except Unavailable:
            raise
        except Problem as problem:
            outcome = self._refused(signal, problem.code, problem.detail)
        except ValueError as error:
            outcome = self._refused(signal, "signal_invalid", str(error))
        signals.SIGNALS.labels(outcome.outcome.lower()).inc()
        at_ns = self._services.clock.now_ns()
        await outbox.add(session, signals.outcome_event(outcome, event, at_ns))

    async def _trade(
        self, session: AsyncSession, signal: signals.SignalData, correlation_id: str
    ) -> signals.SignalOutcomeData:
        at = now(self._services.clock)
        if signals.is_too_old(signal, at):
            return signals.decided(signal, Outcome.TOO_OLD, at)
        cancels = signals.cancels_of(signal, correlation_id)
        for one in cancels:
            await self._ask(one)  # one that is not open any more has had its end
        if signal.action == "HOLD":
            outcome = Outcome.CANCELED if cancels else Outcome.NOTHING_TO_DO
            return signals.decided(signal, outcome, at)
        order = await self._sized(session, signal, correlation_id)
        if order is None:
            return signals.decided(signal, Outcome.NOTHING_TO_DO, at)
        return signals.outcome_of(signal, await self._ask(order), at)

    async def _sized(
        self, session: AsyncSession, signal: signals.SignalData, correlation_id: str
    ) -> PlaceOrder | None:
        if "order" in signal.parameters:
            return signals.given_order(signal, correlation_id)
        instrument = await market.load_instrument(session, signal.symbol)
        account_id = account_id_of(UserId(signal.user_id))
        held = await views.positions(session, UserId(signal.user_id), {}, symbol=signal.symbol)
        cash = {one.asset: one.available for one in await assets.balances(session, account_id)}
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
