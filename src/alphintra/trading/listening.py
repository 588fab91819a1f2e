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
from alphintra.core.errors import Unavailable
from alphintra.core.ids import UserId
from alphintra.platform.consumers import Consumer, run_consumer
from alphintra.platform.events import ReceivedEvent, Topic
from alphintra.platform.services import Services
from alphintra.trading import facade, signals, views
from alphintra.trading.book import account_id_of
from alphintra.trading.client import DeskClient
from alphintra.trading.commands import OpenAccount, PlaceOrder, Refused, Unknown
from alphintra.trading.curve import record_curve
from alphintra.trading.errors import OrderOutcomeUnknown

#: A signal that waited longer than this is about another market.
SIGNAL_AGE_MAX_S = 300
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
        answer = await self._desk.submit(OpenAccount(user_id=UserId(user.user_id), actor="event"))
        if isinstance(answer, Unknown):
            raise OrderOutcomeUnknown(answer.detail)

    async def on_place_trade(self, _: AsyncSession, event: ReceivedEvent) -> None:
        """Place the order that `POST /trade` promised."""
        await self._place(facade.order_of(event))

    async def on_signal(self, session: AsyncSession, event: ReceivedEvent) -> None:
        """Size a signal by the account and place its order."""
        signal = signals.read_signal(event)
        age_s = (now(self._services.clock) - signal.generated_at).total_seconds()
        if age_s > SIGNAL_AGE_MAX_S:
            signals.SIGNALS.labels("too_old").inc()
            return
        instrument = await market.load_instrument(session, signal.symbol)
        account_id = account_id_of(UserId(signal.user_id))
        held = await views.positions(session, UserId(signal.user_id), {}, symbol=signal.symbol)
        cash = {one.asset: one.available for one in await assets.balances(session, account_id)}
        order = signals.order_of(
            signal,
            position=Decimal(held[0]["quantity"]) if held else Decimal(0),
            cash_available=cash.get(instrument.quote, Decimal(0)),
            lot_size=instrument.lot_size,
        )
        if order is None:
            signals.SIGNALS.labels("nothing_to_do").inc()
            return
        signals.note_outcome(signal, await self._desk.submit(order))

    async def _place(self, order: PlaceOrder) -> None:
        answer = await self._desk.submit(order)
        if isinstance(answer, Unknown):
            raise OrderOutcomeUnknown(answer.detail)
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
            name="trading_signals", topics=(Topic.STRATEGY_SIGNALS,), handle=listener.on_signal
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
