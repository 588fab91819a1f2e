"""The use cases of trading: changes go to the desk, questions to the database."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import now
from alphintra.core.ids import EventId, OrderId, SignalId, UserId
from alphintra.core.orders import OrderStatus, Side
from alphintra.market import MarketService
from alphintra.platform import correlation, outbox
from alphintra.platform.events import Event, Topic
from alphintra.platform.security import Principal
from alphintra.platform.services import Services
from alphintra.trading import views
from alphintra.trading.client import DeskClient
from alphintra.trading.commands import (
    AnyCommand,
    CancelAll,
    CancelOrder,
    ClosePosition,
    Done,
    ModifyOrder,
    OpenAccount,
    PlaceOrder,
    Refused,
    SetLimits,
    SetMargin,
    Terms,
)
from alphintra.trading.errors import (
    NoSuchPosition,
    OrderOutcomeUnknown,
    OrderRefused,
)
from alphintra.trading.facade import PLACE_TRADE_REQUEST, PlaceTradeData
from alphintra.trading.limits import Limits
from alphintra.trading.marks import latest_marks
from alphintra.trading.models import AccountRow
from alphintra.trading.signals import SignalData, signal_event

AUDIT_EVENT = "audit_event.v1"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: whose account it is, and by which credentials."""

    user_id: UserId
    actor: str


def caller_of(principal: Principal) -> Caller:
    """Return the principal as the desk's history names it."""
    if principal.api_key_id is not None:
        return Caller(principal.user_id, f"api-key:{principal.api_key_id}")
    return Caller(principal.user_id, f"user:{principal.user_id}")


class TradingService:
    """One process's way into trading."""

    def __init__(self, services: Services, market: MarketService | None = None) -> None:
        self._services = services
        self._database = services.database
        self._desk = DeskClient(services.database, services.settings)
        self._market = market or MarketService(services)

    async def close(self) -> None:
        await self._desk.close()

    async def ask(self, command: AnyCommand) -> msgspec.Raw:
        """Return what the desk committed.

        Raises:
            OrderRefused: the desk said no, and why.
            OrderOutcomeUnknown: nobody knows; the same request may be sent again.
        """
        answer = await self._desk.submit(command)
        match answer:
            case Done(body=body):
                return body
            case Refused(code=code, detail=detail, status=status, extra=extra):
                raise OrderRefused(detail, code=code, status=status, extra=extra)
            case _:
                raise OrderOutcomeUnknown(answer.detail)

    async def place(
        self,
        caller: Caller,
        terms: Terms,
        *,
        client_order_id: str | None = None,
        order_id: OrderId | None = None,
        signal_id: SignalId | None = None,
        dry_run: bool = False,
    ) -> msgspec.Raw:
        """Place an order, or with `dry_run` show what risk says of it.

        Raises:
            OrderRefused: malformed, or against a risk limit.
            OrderOutcomeUnknown: the same request may be sent again.
        """
        return await self.ask(
            PlaceOrder(
                user_id=caller.user_id,
                actor=caller.actor,
                correlation_id=correlation.current(),
                order_id=order_id or OrderId(self._services.ids()),
                client_order_id=client_order_id,
                terms=terms,
                signal_id=signal_id,
                dry_run=dry_run,
            )
        )

    async def modify(self, caller: Caller, order_id: UUID, changes: dict[str, Any]) -> msgspec.Raw:
        """Change an open order.

        Raises:
            NoSuchOrder: absent, or another user's.
            OrderRefused: not open any more, or not allowed.
        """
        return await self._about_order(
            caller,
            order_id,
            ModifyOrder(
                user_id=caller.user_id,
                actor=caller.actor,
                correlation_id=correlation.current(),
                order_id=OrderId(order_id),
                **changes,
            ),
        )

    async def cancel(self, caller: Caller, order_id: UUID) -> msgspec.Raw:
        """Cancel an open order.

        Raises:
            NoSuchOrder: absent, or another user's.
            OrderRefused: not open any more.
        """
        return await self._about_order(
            caller,
            order_id,
            CancelOrder(
                user_id=caller.user_id,
                actor=caller.actor,
                correlation_id=correlation.current(),
                order_id=OrderId(order_id),
            ),
        )

    async def _about_order(
        self, caller: Caller, order_id: UUID, command: AnyCommand
    ) -> msgspec.Raw:
        try:
            return await self.ask(command)
        except OrderRefused as refused:
            if refused.code == "order_not_open":
                # The desk knows open orders only; whether it ever was one is the table's to say.
                async with self._database.reading() as session:
                    await views.order_row(session, caller.user_id, order_id)
            raise

    async def cancel_all(self, caller: Caller, symbol: str | None) -> msgspec.Raw:
        """Cancel everything that is open, or everything of one symbol."""
        return await self.ask(
            CancelAll(
                user_id=caller.user_id,
                actor=caller.actor,
                correlation_id=correlation.current(),
                symbol=symbol,
            )
        )

    async def close_position(
        self, caller: Caller, symbol: str, client_order_id: str | None
    ) -> msgspec.Raw:
        """Close a position at the market.

        Raises:
            NoSuchPosition: there is none.
            OrderRefused: risk does not let it pass.
        """
        try:
            return await self.ask(
                ClosePosition(
                    user_id=caller.user_id,
                    actor=caller.actor,
                    correlation_id=correlation.current(),
                    symbol=symbol,
                    order_id=OrderId(self._services.ids()),
                    client_order_id=client_order_id,
                )
            )
        except OrderRefused as refused:
            if refused.code == "no_position":
                raise NoSuchPosition(refused.detail) from refused
            raise

    async def set_limits(self, caller: Caller, limits: Limits) -> msgspec.Raw:
        """Replace the account's risk limits."""
        return await self.ask(SetLimits(user_id=caller.user_id, actor=caller.actor, limits=limits))

    async def set_margin(
        self, caller: Caller, *, leverage: Decimal, short_selling: bool
    ) -> msgspec.Raw:
        """Set leverage and short selling of the account."""
        return await self.ask(
            SetMargin(
                user_id=caller.user_id,
                actor=caller.actor,
                leverage=leverage,
                short_selling=short_selling,
            )
        )

    async def signal(self, caller: Caller, signal: SignalData) -> None:
        """Publish a strategy's signal; whoever trades on signals takes it from the bus."""
        event = signal_event(signal, self._services.clock.now_ns())
        async with self._database.transaction() as session:
            await outbox.add(session, event)

    async def request_trade(
        self, caller: Caller, *, symbol: str, quantity: Decimal, side: Side
    ) -> OrderId:
        """Promise a market order: publish the request and return the id that the order will
        have.
        """
        order_id = OrderId(self._services.ids())
        request = PlaceTradeData(
            order_id=order_id,
            user_id=caller.user_id,
            actor=caller.actor,
            symbol=symbol,
            quantity=quantity,
            action=side.value,
            requested_at=now(self._services.clock),
        )
        async with self._database.transaction() as session:
            await outbox.add(
                session,
                Event(
                    id=EventId(order_id),
                    topic=Topic.PLACE_TRADE_REQUEST,
                    type=PLACE_TRADE_REQUEST,
                    key=str(caller.user_id),
                    occurred_at_ns=self._services.clock.now_ns(),
                    data=request,
                ),
            )
        return order_id

    @asynccontextmanager
    async def reading_account(
        self, caller: Caller
    ) -> AsyncIterator[tuple[AsyncSession, AccountRow]]:
        """Open a reading transaction with the caller's account, which is opened where it is new."""
        async with self._database.reading() as session:
            account = await views.account_row(session, caller.user_id)
            if account is not None:
                yield session, account
                return
        await self.ask(OpenAccount(user_id=caller.user_id, actor=caller.actor))
        async with self._database.reading() as session:
            account = await views.account_row(session, caller.user_id)
            if account is None:
                raise OrderOutcomeUnknown("the account is being opened")
            yield session, account

    async def portfolio(self, caller: Caller) -> dict[str, Any]:
        """Return what the caller's account is worth."""
        async with self.reading_account(caller) as (session, account):
            held = await views.held_symbols(session, caller.user_id)
            return await views.portfolio(session, account, await latest_marks(self._market, held))

    async def marks(self, symbols: Iterable[str]) -> dict[str, Decimal]:
        """Return what one unit is worth, of those symbols that anything is known of."""
        return await latest_marks(self._market, symbols)

    async def positions(self, caller: Caller, symbol: str | None = None) -> list[dict[str, Any]]:
        """Return the caller's open positions at the latest prices."""
        async with self._database.reading() as session:
            held = await views.held_symbols(session, caller.user_id)
            return await views.positions(
                session, caller.user_id, await latest_marks(self._market, held), symbol=symbol
            )

    async def open_orders(self, caller: Caller, limit: int) -> list[dict[str, Any]]:
        """Return the caller's newest open orders."""
        async with self._database.reading() as session:
            found, _ = await views.orders(
                session,
                caller.user_id,
                filters=views.OrderFilters(statuses=OPEN_STATUSES),
                limit=limit,
                cursor=None,
            )
            return found


OPEN_STATUSES = frozenset(status for status in OrderStatus if status.is_open)
CLOSED_STATUSES = frozenset(OrderStatus) - OPEN_STATUSES
