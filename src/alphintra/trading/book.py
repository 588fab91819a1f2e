"""The desk's decisions: commands and venue reports in, changes and answers out. Memory only, no
I/O.

The same inputs in the same order lead to the same changes, so the whole of it runs under a seeded
simulator.
"""

from functools import lru_cache
from typing import assert_never
from uuid import UUID

import msgspec

from alphintra.core.ids import AccountId, OrderId, StrategyId, UserId, derived_id
from alphintra.core.orders import OrderType, Side, TimeInForce, TradingState
from alphintra.trading import lifecycle, placing, risk, settlement
from alphintra.trading.commands import (
    Answer,
    AnyCommand,
    CancelAll,
    CancelOrder,
    ClosePosition,
    Done,
    ModifyOrder,
    OpenAccount,
    PlaceOrder,
    Refused,
    SetAccountState,
    SetLimits,
    SetMargin,
    Terms,
)
from alphintra.trading.events import encode
from alphintra.trading.limits import Limits
from alphintra.trading.state import ZERO, Account, Known, Order
from alphintra.trading.surroundings import Surroundings
from alphintra.trading.unit import Unit

SHARDS = 64
PAPER = "paper"


@lru_cache(maxsize=262_144)
def account_id_of(user_id: UserId) -> AccountId:
    """Return the id of the user's paper account; it follows from the user's."""
    return AccountId(derived_id("account", user_id, PAPER))


def shard_of(account_id: AccountId) -> int:
    """Return the shard that the account belongs to, for ever."""
    return account_id.int % SHARDS


class AccountView(msgspec.Struct, frozen=True):
    """The answer to changes of the account itself."""

    id: UUID
    user_id: UUID
    currency: str
    leverage: str
    short_selling: bool
    state: str
    limits: Limits


class Canceled(msgspec.Struct, frozen=True):
    """The answer to cancelling several orders."""

    canceled: list[UUID]


class Book:
    """The accounts that this desk has in memory, and what it decides about them."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.accounts: dict[AccountId, Account] = {}

    def clear(self) -> None:
        """Forget everything; the database knows it better."""
        self.accounts.clear()

    def adopt(self, account: Account) -> None:
        """Take an account as the database has it."""
        self.accounts[account.id] = account
        for order in account.open_orders.values():
            account.count(order)

    def decide(self, command: AnyCommand, unit: Unit) -> Answer:
        """Decide one command and note its changes in `unit`."""
        unit.actor = command.actor
        unit.correlation_id = command.correlation_id
        account = self._account(command.user_id, unit)
        self._roll_day(account, unit)
        match command:
            case PlaceOrder():
                return self._place(account, command, unit)
            case ModifyOrder():
                return lifecycle.modify(account, command, unit, self.around)
            case CancelOrder():
                return self._cancel(account, command.order_id, unit)
            case CancelAll(symbol=symbol, strategy_id=strategy_id):
                return self._cancel_all(account, unit, symbol=symbol, strategy_id=strategy_id)
            case ClosePosition():
                return self._close(account, command, unit)
            case OpenAccount():
                return Done(encode(account_view(account)))
            case SetLimits(limits=limits):
                account.limits = limits
            case SetMargin(leverage=leverage, short_selling=short_selling):
                account.leverage = leverage
                account.short_selling = short_selling
            case SetAccountState(state=state):
                account.state = state
                if state is TradingState.HALTED:
                    self._cancel_all(account, unit)
            case _:
                assert_never(command)
        unit.touch(account)
        return Done(encode(account_view(account)))

    def _account(self, user_id: UserId, unit: Unit) -> Account:
        account_id = account_id_of(user_id)
        account = self.accounts.get(account_id)
        if account is None:
            account = self.accounts[account_id] = Account(
                id=account_id,
                user_id=user_id,
                shard=shard_of(account_id),
                venue=PAPER,
                currency=self.around.paper_currency,
                leverage=risk.UNLEVERAGED,
                short_selling=False,
                state=TradingState.ACTIVE,
                limits=Limits(),
                day=unit.at.date(),
                day_start_equity=self.around.paper_cash,
                order_sequence=0,
                trade_sequence=0,
                position_sequence=0,
                opened_at=unit.at,
            )
            settlement.fund(unit, account, self.around.paper_cash)
            unit.touch(account)
        return account

    def _roll_day(self, account: Account, unit: Unit) -> None:
        today = unit.at.date()
        # Only forwards: a clock that jumped back must not hand out a second daily loss limit.
        if today > account.day:
            account.day = today
            account.day_start_equity = risk.equity(account, self.around)
            unit.touch(account)

    def _place(self, account: Account, command: PlaceOrder, unit: Unit) -> Answer:
        client_order_id = command.client_order_id or str(command.order_id)
        known = account.known.get(client_order_id)
        if known is not None and not command.dry_run:
            return retry_answer(known, command, placing.terms_hash(command.terms))
        return placing.place(account, command, unit, self.around)

    def _cancel(self, account: Account, order_id: OrderId, unit: Unit) -> Answer:
        order = account.open_orders.get(order_id)
        if order is None:
            return Refused(code="order_not_open", detail="the order is not open", status=409)
        return Done(lifecycle.cancel(account, order, unit, self.around))

    def _cancel_all(
        self,
        account: Account,
        unit: Unit,
        *,
        symbol: str | None = None,
        strategy_id: StrategyId | None = None,
    ) -> Answer:
        canceled: list[UUID] = []
        for order_id in list(account.open_orders):
            order = account.open_orders.get(order_id)
            if order is None:
                continue  # gone with its sibling or its entry
            if symbol in (None, order.symbol) and strategy_id in (None, order.strategy_id):
                lifecycle.cancel(account, order, unit, self.around)
                canceled.append(order_id)
        return Done(encode(Canceled(canceled)))

    def _close(self, account: Account, command: ClosePosition, unit: Unit) -> Answer:
        # The quantity is not a term: a retry finds the position closed already.
        fingerprint = placing.terms_hash(
            Terms(symbol=command.symbol, side=Side.SELL, type=OrderType.MARKET, reduce_only=True)
        )
        if known := account.known.get(command.client_order_id or ""):
            return retry_answer(known, command, fingerprint)
        quantity = account.position_quantity(command.symbol)
        if quantity == 0:
            return Refused(
                code="no_position", detail=f"no position in {command.symbol}", status=404
            )
        side = Side.SELL if quantity > 0 else Side.BUY
        exits = lifecycle.exits_of(account, command.symbol, side)

        def cancel_exits() -> None:
            for order in exits:
                if order.id in account.open_orders:
                    lifecycle.cancel(account, order, unit, self.around, reason="position closed")

        order = PlaceOrder(
            user_id=command.user_id,
            actor=command.actor,
            correlation_id=command.correlation_id,
            order_id=command.order_id,
            client_order_id=command.client_order_id,
            terms=Terms(
                symbol=command.symbol,
                side=side,
                type=OrderType.MARKET,
                quantity=abs(quantity),
                time_in_force=TimeInForce.GTC,
                reduce_only=True,
            ),
        )
        closing = placing.Closing(
            fingerprint=fingerprint,
            freed=sum((one.held_quantity for one in exits), ZERO),
            orders=len(exits),
            cancel_exits=cancel_exits,
        )
        return placing.place(account, order, unit, self.around, closing)

    def open_orders(self) -> list[Order]:
        """Return all open orders in memory, oldest first."""
        return sorted(
            (order for account in self.accounts.values() for order in account.open_orders.values()),
            key=lambda order: (order.created_at, order.id),
        )


def retry_answer(known: Known, command: PlaceOrder | ClosePosition, fingerprint: str) -> Answer:
    """Return the first answer to the same terms; other terms under the same id are refused.

    The same order is the same whatever its terms: a signal that is heard twice is sized anew, from
    what its first order has left of the cash.
    """
    if known.order_id != command.order_id and known.terms_hash != fingerprint:
        return Refused(
            code="client_order_id_exists_with_different_terms",
            detail="this client_order_id was used for another order; choose a new one",
        )
    return known.answer


def account_view(account: Account) -> AccountView:
    """Return the account's settings as clients see them."""
    return AccountView(
        id=account.id,
        user_id=account.user_id,
        currency=account.currency,
        leverage=f"{account.leverage:f}",
        short_selling=account.short_selling,
        state=account.state,
        limits=account.limits,
    )
