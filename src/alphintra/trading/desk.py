"""The desk: the single writer of a set of accounts. Group commit, crash-only.

While one batch is being committed, whatever arrives waits; then all of it is decided in memory and
committed as the next batch, in one transaction. Callers hear only what is on disk. On any failure
of the database the desk forgets everything, tells whoever waits that the outcome is unknown, and
starts again from the tables.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

import structlog
from prometheus_client import Counter, Histogram

from alphintra.core.clock import NS_PER_SECOND, to_ns
from alphintra.core.ids import AccountId, OrderId
from alphintra.core.market_data import FeedBatch, FeedStatus
from alphintra.core.orders import OrderStatus, OrderType, TradingState
from alphintra.trading import lifecycle
from alphintra.trading.book import Book, account_id_of
from alphintra.trading.commands import (
    Answer,
    AnyCommand,
    CancelAll,
    ClosePosition,
    PlaceOrder,
    Unknown,
)
from alphintra.trading.errors import StoreFailed
from alphintra.trading.journal import NoRecord, Record
from alphintra.trading.paper import PaperVenue
from alphintra.trading.state import Order
from alphintra.trading.store import Sealed, Store, seal
from alphintra.trading.surroundings import Scope, Surroundings, strategy_subject
from alphintra.trading.unit import Unit, VenueAction, VenueStep
from alphintra.trading.venue import VenueEvent, VenueFill, VenueOrder

VENUE_ACTOR = "venue:paper"
BATCH_MAX = 1_024
QUEUE_MAX = 20_000
#: `expires_ns` of an order that was made good till cancelled: past the year 2200.
NEVER_NS = 2**62

BATCHES = Histogram(
    "alphintra_desk_batch_commands",
    "Commands and venue reports per commit",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
COMMITS = Histogram(
    "alphintra_desk_commit_seconds",
    "Time to commit a batch",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
)
COMMANDS = Counter("alphintra_desk_commands_total", "Commands decided")
FILLS = Counter("alphintra_desk_fills_total", "Fills booked")
RESETS = Counter("alphintra_desk_resets_total", "Times that the desk dropped its memory")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A command and who waits for its answer."""

    command: AnyCommand
    answer: asyncio.Future[Answer]


@dataclass(frozen=True, slots=True)
class _Ordered:
    """A command of the desk's own; nobody waits for its answer."""

    command: AnyCommand


@dataclass(frozen=True, slots=True)
class _Reported:
    """A report of the paper venue."""

    order: Order
    event: VenueEvent


@dataclass(frozen=True, slots=True)
class _Marked:
    """A trailing stop has followed the market; kept for a restart."""

    account_id: AccountId
    order_id: OrderId
    mark: Decimal


@dataclass(frozen=True, slots=True)
class _Gone:
    """A change came too late for the venue; what it left to trade has to go back into the market.

    It waits behind the reports of what the venue did with the order, so that these are booked by
    then.
    """

    account_id: AccountId
    order_id: OrderId


_Item = _Asked | _Ordered | _Reported | _Marked | _Gone


@dataclass(frozen=True, slots=True)
class _Batch:
    """A decided batch on its way to the database."""

    sealed: Sealed
    answers: list[tuple[asyncio.Future[Answer], Answer]]
    venue_actions: list[VenueAction]


class Desk:
    """One incarnation: from taking over its shards to the first failure."""

    def __init__(
        self,
        store: Store,
        around: Surroundings,
        venue: PaperVenue,
        *,
        refresh: Callable[[], Awaitable[None]] | None = None,
        record: Record | None = None,
    ) -> None:
        """Take over.

        Args:
            refresh: reads the surroundings anew when an order names an unknown symbol; it raises
                StoreFailed when it cannot.
            record: where to note what the venue is told.
        """
        self._store = store
        self._record = record or NoRecord()
        self._refresh = refresh
        self._refreshed_ns = 0
        self._around = around
        self._venue = venue
        self._book = Book(around)
        self._waiting: deque[_Item] = deque()
        self._arrived = asyncio.Event()
        self._decided: asyncio.Queue[_Batch] = asyncio.Queue(maxsize=1)
        self._taken = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        #: Batches that are decided or being decided and not yet committed.
        self._under_way = 0
        self._unanswered: set[asyncio.Future[Answer]] = set()
        #: Orders that the venue may still report about.
        self._in_market: dict[OrderId, Order] = {}
        self._gone: set[OrderId] = set()
        #: Trailing stops in the market, so that `tick` need not walk through all orders.
        self._trailing: dict[OrderId, Order] = {}
        self._is_down = False
        #: Which source each symbol's market data came from last.
        self._sources: dict[str, str] = {}

    async def load(self) -> None:
        """Read what is open and put it back into the market.

        Raises:
            StoreFailed: the database is away.
        """
        states = await self._store.states()
        for account in await self._store.load_open():
            self._book.adopt(account)
        for order in self._book.open_orders():
            if order.status is not OrderStatus.PENDING:
                self._restore(order)
        # From nothing: a switch may have been turned while no desk was at work, or the desk that
        # saw it may have failed before the cancellations were committed.
        self._around.states = {}
        self.set_states(states)

    async def submit(self, command: AnyCommand) -> Answer:
        """Queue a command and return its answer once it is committed; `Unknown` if that failed."""
        if self._is_down or len(self._waiting) >= QUEUE_MAX:
            return Unknown("the desk is not taking orders at the moment")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._unanswered.add(answer)
        answer.add_done_callback(self._unanswered.discard)
        self._enqueue(_Asked(command, answer))
        return await answer

    def on_market_data(self, batch: FeedBatch) -> None:
        """Let prices and resting orders see the ticks."""
        symbol = batch.symbol
        if self._sources.get(symbol, batch.source) != batch.source:
            self._around.prices.forget(symbol)
            self._record.source_changed(symbol)
            self._venue.on_other_source(symbol)
        self._sources[symbol] = batch.source
        self._record.shown(batch, is_idle=not self._venue.has_orders(symbol))
        for tick in batch.ticks:
            self._around.prices.update(symbol, tick)
            if events := self._venue.on_market_data(symbol, tick):
                self._record.reported((symbol,))
                self._report(events)
        self._around.prices.unblock(symbol)

    def on_feed_status(self, status: FeedStatus) -> None:
        """Believe the watchdog about the source that a symbol's prices come from.

        When another one takes over, the one before is told to be stopped; that blocks nothing.
        """
        if self._sources.get(status.symbol, status.source) != status.source:
            return
        if status.state == "LIVE":
            self._around.prices.unblock(status.symbol)
        else:
            self._around.prices.block(status.symbol)

    def set_states(self, states: dict[tuple[Scope, str], TradingState]) -> None:
        """Obey the kill switches; what is newly HALTED has its orders cancelled as well."""
        before, self._around.states = self._around.states, states
        for (scope, subject), state in states.items():
            if state is TradingState.HALTED and before.get((scope, subject)) is not state:
                log.warning("halted", scope=scope, subject=subject)
                self._cancel_halted(scope, subject)

    def _cancel_halted(self, scope: Scope, subject: str) -> None:
        for account in self._book.accounts.values():
            for strategy_id in {order.strategy_id for order in account.open_orders.values()}:
                if scope is Scope.STRATEGY and subject != strategy_subject(
                    account.user_id, strategy_id
                ):
                    continue
                self._enqueue(
                    _Ordered(
                        CancelAll(
                            user_id=account.user_id,
                            actor=f"kill-switch:{scope}",
                            strategy_id=strategy_id if scope is Scope.STRATEGY else None,
                        )
                    )
                )

    async def drain(self) -> None:
        """Take nothing more and wait until everything that was taken is answered."""
        self._is_down = True
        await self.idle()

    async def idle(self) -> None:
        """Wait until nothing waits and nothing is being committed."""
        await self._is_idle.wait()

    def tick(self) -> None:
        """Let time pass: expire orders, and write down how far trailing stops have come."""
        now_ns = self._around.clock.now_ns()
        if expired := self._venue.expire(now_ns):
            ended = [self._in_market.get(one.order_id) for one in expired]
            self._record.expired({order.symbol for order in ended if order}, now_ns)
            self._report(expired)
        for order in list(self._trailing.values()):
            if order.triggered or not order.status.is_open:
                del self._trailing[order.id]
                continue
            mark = self._venue.water_mark(order.id)
            if mark is not None and mark != order.water_mark:
                self._enqueue(_Marked(order.account_id, order.id, mark))

    def _note_in_market(self, order: Order) -> None:
        self._in_market[order.id] = order
        if order.type is OrderType.TRAILING_STOP:
            self._trailing[order.id] = order

    async def work(self) -> None:
        """Decide and commit until the database fails.

        Raises:
            StoreFailed: as soon as a commit or a read did.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._decide_batches())
                tasks.create_task(self._commit_batches())
        except* StoreFailed as failures:
            raise StoreFailed(str(failures.exceptions[0])) from failures
        finally:
            RESETS.inc()
            self.go_down()

    def go_down(self) -> None:
        """Take nothing more and forget everything; whoever waits hears that the outcome is unknown.

        For a desk whose `work` may never have begun: a task that is cancelled before its first turn
        runs none of its code. Once more changes nothing.
        """
        self._is_down = True
        self._waiting.clear()
        self._book.clear()
        for answer in list(self._unanswered):
            if not answer.done():
                answer.set_result(Unknown("the desk lost its database before it could answer"))

    async def _decide_batches(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MAX))]
            if self._waiting:
                self._arrived.set()
            if not batch:
                continue
            self._under_way += 1
            await self._prepare(batch)
            BATCHES.observe(len(batch))
            await self._decided.put(self._decide(batch))
            # The next batch is whatever arrives until the committer takes this one.
            await self._taken.wait()
            self._taken.clear()

    async def _prepare(self, batch: list[_Item]) -> None:
        """Fetch what the decisions need and memory does not have."""
        await self._learn_symbols(batch)
        accounts = self._book.accounts
        wanted = {account_id_of(one.command.user_id) for one in batch if isinstance(one, _Asked)}
        if missing := [account_id for account_id in wanted if account_id not in accounts]:
            for account in await self._store.load(missing):
                self._book.adopt(account)
        asked = {
            (account_id, client_order_id)
            for account_id, client_order_id in _client_ids(batch)
            if account_id in accounts and client_order_id not in accounts[account_id].known
        }
        if asked:
            for (account_id, client_order_id), known in (
                await self._store.known(list(asked))
            ).items():
                accounts[account_id].remember(client_order_id, known)

    async def _learn_symbols(self, batch: list[_Item]) -> None:
        """An instrument may have been added a moment ago; asked for at most once a second."""
        known = self._around.instruments
        is_unknown = any(
            isinstance(one, _Asked)
            and isinstance(one.command, PlaceOrder)
            and one.command.terms.symbol not in known
            for one in batch
        )
        now_ns = self._around.clock.now_ns()
        if is_unknown and self._refresh and abs(now_ns - self._refreshed_ns) >= NS_PER_SECOND:
            self._refreshed_ns = now_ns
            await self._refresh()

    def _decide(self, batch: list[_Item]) -> _Batch:
        unit = Unit(self._around.clock, self._around.ids)
        answers = []
        for one in batch:
            match one:
                case _Asked(command=command, answer=answer):
                    answers.append((answer, self._book.decide(command, unit)))
                case _Ordered(command=command):
                    self._book.decide(command, unit)
                case _Reported(order=order, event=event):
                    self._take_report(order, event, unit)
                case _Marked(account_id=account_id, order_id=order_id, mark=mark):
                    self._take_mark(account_id, order_id, mark, unit)
                case _Gone(account_id=account_id, order_id=order_id):
                    self._gone.discard(order_id)
                    if left := self._book.accounts[account_id].open_orders.get(order_id):
                        unit.at_venue(VenueStep.SUBMIT, left)
        COMMANDS.inc(len(answers))
        return _Batch(seal(unit), answers, unit.venue_actions)

    def _take_report(self, order: Order, event: VenueEvent, unit: Unit) -> None:
        unit.actor, unit.correlation_id = VENUE_ACTOR, ""
        account = self._book.accounts[order.account_id]
        is_open = event.order_id in account.open_orders
        before = order.filled_quantity
        mark = self._venue.water_mark(event.order_id)
        lifecycle.on_venue_event(account, event, unit, self._around, mark)
        if isinstance(event, VenueFill):
            FILLS.inc()
            booked = order.filled_quantity - before
            if booked < event.quantity and before < event.filled_quantity:
                self._record.reduced(order.symbol, event, booked)
        elif not is_open:
            self._record.ignored(order.symbol, event)
        if is_open and not order.status.is_open and self._venue.is_open(order.id):
            # Made smaller when the venue had filled that much already: it keeps the rest it knew.
            unit.at_venue(VenueStep.CANCEL, order)

    def _take_mark(
        self, account_id: AccountId, order_id: OrderId, mark: Decimal, unit: Unit
    ) -> None:
        account = self._book.accounts[account_id]
        if order := account.open_orders.get(order_id):
            order.water_mark = mark
            unit.orders[order.id] = order
            unit.touch(account)

    async def _commit_batches(self) -> None:
        while True:
            batch = await self._decided.get()
            self._taken.set()
            if batch.sealed.shards:
                started = time.perf_counter()
                await self._store.commit(batch.sealed)
                COMMITS.observe(time.perf_counter() - started)
            for future, answer in batch.answers:
                if not future.done():
                    future.set_result(answer)
            for action in batch.venue_actions:
                self._act(action)
            self._under_way -= 1
            if not self._waiting and not self._under_way:
                self._is_idle.set()

    def _act(self, action: VenueAction) -> None:
        """Take a step at the paper venue; the order may have moved on since it was decided."""
        order = action.order
        match action.step:
            case VenueStep.SUBMIT if order.status.is_open and not self._venue.is_open(order.id):
                self._submit_to_venue(order)
            case VenueStep.MODIFY if not order.status.is_open:
                pass
            case VenueStep.MODIFY if not self._venue.is_open(order.id):
                if order.id not in self._gone:
                    self._gone.add(order.id)
                    self._enqueue(_Gone(order.account_id, order.id))
            case VenueStep.MODIFY:
                now_ns = self._around.clock.now_ns()
                changed = self._venue_order(order)
                self._record.modified(order, changed, now_ns)
                self._report(self._venue.modify(changed, now_ns))
            case VenueStep.CANCEL:
                if self._venue.is_open(order.id):
                    now_ns = self._around.clock.now_ns()
                    self._record.canceled(order, now_ns)
                    self._venue.cancel(order.id, now_ns)
                self._in_market.pop(order.id, None)

    def _submit_to_venue(self, order: Order) -> None:
        self._note_in_market(order)
        placed = self._venue_order(order)
        self._record_opening(order.symbol)
        self._record.submitted(order, placed)
        self._report(self._venue.submit(placed))

    def _restore(self, order: Order) -> None:
        self._note_in_market(order)
        placed = self._venue_order(order)
        self._record_opening(order.symbol)
        self._record.restored(order, placed)
        self._report(self._venue.restore(placed))

    def _record_opening(self, symbol: str) -> None:
        if not self._venue.has_orders(symbol):
            self._record.opened(symbol, self._around.instruments.get(symbol), self._venue.rules)

    def _report(self, events: Sequence[VenueEvent]) -> None:
        for event in events:
            order = self._in_market.get(event.order_id)
            if order is not None:
                self._enqueue(_Reported(order, event))
        for event in events:
            if not self._venue.is_open(event.order_id):
                self._in_market.pop(event.order_id, None)

    def _enqueue(self, one: _Item) -> None:
        self._waiting.append(one)
        self._is_idle.clear()
        self._arrived.set()

    def _venue_order(self, order: Order) -> VenueOrder:
        return VenueOrder(
            order_id=order.id,
            symbol=order.symbol,
            side=order.side,
            type=order.type,
            quantity=order.quantity,
            accepted_ns=self._around.clock.now_ns(),
            price=order.price,
            stop_price=order.stop_price,
            trail_amount=order.trail,
            trail_percent=order.trail_percent,
            time_in_force=order.time_in_force,
            expires_ns=_expires_ns(order),
            post_only=order.post_only,
            filled_quantity=order.filled_quantity,
            triggered=order.triggered,
            water_mark=order.water_mark,
        )


def _expires_ns(order: Order) -> int:
    return NEVER_NS if order.expires_at is None else to_ns(order.expires_at)


def _client_ids(
    batch: Iterable[_Item],
) -> Iterator[tuple[AccountId, str]]:
    for one in batch:
        if isinstance(one, _Asked):
            command = one.command
            if isinstance(command, PlaceOrder | ClosePosition) and command.client_order_id:
                yield account_id_of(command.user_id), command.client_order_id
