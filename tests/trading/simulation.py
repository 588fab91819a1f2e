"""The desk under a seeded world: people, markets, a database that fails, crashes, clocks that jump.

Everything that happens follows from the seed, so a failing seed fails again, at the same step, with
the same rows. After every step all invariants are checked against what is committed.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import structlog

from alphintra.core.clock import ManualClock
from alphintra.core.ids import seeded_ids
from alphintra.core.market_data import FeedStatus, Tick
from alphintra.core.orders import TradingState
from alphintra.trading.book import Book, account_id_of
from alphintra.trading.commands import (
    Answer,
    AnyCommand,
    ClosePosition,
    Done,
    PlaceOrder,
    Refused,
    Unknown,
)
from alphintra.trading.desk import Desk
from alphintra.trading.errors import StoreFailed
from alphintra.trading.journal import Record
from alphintra.trading.paper import PaperRules, PaperVenue
from alphintra.trading.prices import Prices
from alphintra.trading.state import Account
from alphintra.trading.surroundings import PLATFORM, Scope, Surroundings, strategy_subject
from alphintra.trading.unit import Unit
from alphintra.trading.venue import FeeSchedule, VenueEvent, VenueFill, VenueOrder

from .invariants import Broken, Invariants, check_acceptance, require, require_equal
from .simulated_store import Fault, Rows, SimulatedStore, turns
from .traffic import INSTRUMENTS, STRATEGIES, Market, People, sessions

D = Decimal
START_CASH = D(100_000)
FEES = FeeSchedule(maker_bps=D("1.5"), taker_bps=D(5))
#: A desk that is still busy after so many turns of the event loop will never be idle.
TURNS_MAX = 20_000
#: By the wall clock: an idle desk has answered everybody, so this only ends a wait without an end.
ANSWERED_WITHIN_S = 30


class RepeatingVenue(PaperVenue):
    """A paper venue that tells some fills twice, as one does whose line broke."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(INSTRUMENTS, PaperRules(fees=FEES))
        self._rng = rng

    def submit(self, order: VenueOrder) -> list[VenueEvent]:
        return self._repeated(super().submit(order))

    def modify(self, order: VenueOrder, now_ns: int) -> list[VenueEvent]:
        return self._repeated(super().modify(order, now_ns))

    def on_market_data(self, symbol: str, tick: Tick) -> list[VenueEvent]:
        return self._repeated(super().on_market_data(symbol, tick))

    def _repeated(self, events: list[VenueEvent]) -> list[VenueEvent]:
        repeats = [
            event for event in events if isinstance(event, VenueFill) and self._rng.random() < 0.1
        ]
        return events + repeats


class WatchedBook(Book):
    """The desk's book with somebody looking over its shoulder at every acceptance."""

    def decide(self, command: AnyCommand, unit: Unit) -> Answer:
        account = self.accounts.get(account_id_of(command.user_id))
        before = set(account.open_orders) if account else set()
        answer = super().decide(command, unit)
        if isinstance(command, PlaceOrder) and isinstance(answer, Done) and not command.dry_run:
            account = self.accounts[account_id_of(command.user_id)]
            order = account.open_orders.get(command.order_id)
            if order is not None and order.id not in before:
                check_acceptance(account, order, self.around, len(before))
        return answer


@dataclass
class Chances:
    """How often what goes wrong."""

    fault_before: float = 0.01
    fault_after: float = 0.01
    slow: float = 0.3


class Simulation:
    """One run of a seed."""

    def __init__(self, seed: int) -> None:
        self.step = 0
        self._seed = seed
        self._rng = rng = random.Random(seed)
        self._clock = ManualClock()
        self._market = Market(rng, self._clock)
        self._people = People(rng, self._clock, self._market)
        self._chances = Chances()
        self._rows = Rows()
        self._invariants = Invariants(
            self._rows, start_cash=START_CASH, may_short=self._people.margin_users
        )
        self._incarnations = 0
        self._asked: list[tuple[AnyCommand, asyncio.Task[Answer]]] = []
        self._unanswered: list[PlaceOrder | ClosePosition] = []
        self._repeatable: list[PlaceOrder | ClosePosition] = []
        self._answers: dict[tuple[object, str], Answer] = {}
        self.counts: dict[str, int] = {}

    async def run(self, steps: int) -> str:
        """Run so many steps and return the digest of everything that was committed.

        Raises:
            AssertionError: an invariant is broken.
        """
        self._around = self._surroundings()
        await self._boot()
        for command in self._people.first_commands():
            self._submit(command)
        await self._settle()
        for self.step in range(1, steps + 1):
            for _ in range(self._rng.randint(1, 4)):
                await self._something()
                await turns(self._rng.choice((0, 0, 1, 2, 5)))
            await self._settle()
            self._invariants.check(self._accounts, self._venue, self._around)
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)
        return self._rows.digest()

    @property
    def _accounts(self) -> Sequence[Account]:
        return list(self._desk._book.accounts.values())

    def _surroundings(self) -> Surroundings:
        clock = self._clock
        return Surroundings(
            clock=clock,
            ids=seeded_ids(clock, self._seed * 1_000 + self._incarnations),
            prices=Prices(clock, silence_s=900),
            instruments=dict(INSTRUMENTS),
            sessions=sessions(clock),
            fee_rate=FEES.taker_bps / 10_000,
            paper_cash=START_CASH,
        )

    async def _boot(self) -> None:
        """Start the desk as the desk role does: load, obey the kill switches, work."""
        while True:
            self._incarnations += 1
            if self._rng.random() < 0.5:
                # Another process: it has not seen a price yet.
                self._around = self._surroundings()
            self._store = SimulatedStore(self._rows, self._plan)
            self._venue = RepeatingVenue(self._rng)
            self._desk = Desk(self._store, self._around, self._venue, record=self._record())
            self._desk._book = WatchedBook(self._around)
            try:
                await self._desk.load()
                self._desk.set_states(await self._store.states())
            except StoreFailed:
                continue
            self._work = asyncio.create_task(self._desk.work())
            return

    def _record(self) -> Record | None:
        """Where the incarnation that is about to begin notes what its venue is told."""
        return None

    def _plan(self, _: str) -> tuple[Fault, int, int]:
        rng, chances = self._rng, self._chances
        draw = rng.random()
        fault = Fault.NONE
        if draw < chances.fault_before:
            fault = Fault.BEFORE_COMMIT
        elif draw < chances.fault_before + chances.fault_after:
            fault = Fault.AFTER_COMMIT
        if rng.random() >= chances.slow:
            return fault, 0, 0
        return fault, rng.randint(0, 12), rng.randint(0, 12)

    async def _something(self) -> None:
        if self._work.done():
            await self._reboot()
        rng, desk = self._rng, self._desk
        draw = rng.random()
        if draw < 0.42:
            for _ in range(rng.choice((1, 1, 1, 2, 5))):
                self._submit(self._people.command(self._accounts))
        elif draw < 0.47:
            self._ask_again()
        elif draw < 0.85:
            self._clock.advance(rng.choice((0, 0.001, 0.2)))
            desk.on_market_data(self._market.batch())
        elif draw < 0.94:
            self._clock.advance(rng.choice((0.25, 0.25, 5, 60)))
            desk.tick()
        elif draw < 0.955:
            self._clock.advance(rng.choice((-86_400, -3_600, -1, 3_600, 86_400, 3 * 86_400)))
        elif draw < 0.965:
            self._tell_feed_status()
        elif draw < 0.98:
            await self._turn_kill_switch()
        else:
            await self._crash()

    def _submit(self, command: AnyCommand) -> None:
        self._count(type(command).__name__)
        if isinstance(command, PlaceOrder | ClosePosition) and command.client_order_id:
            self._repeatable.append(command)
            del self._repeatable[:-50]
        self._asked.append((command, asyncio.create_task(self._desk.submit(command))))

    def _ask_again(self) -> None:
        """Clients repeat themselves, all at once, and sometimes with other terms."""
        if not self._repeatable:
            return
        command = self._rng.choice(self._repeatable)
        for _ in range(self._rng.choice((1, 2, 8))):
            again = self._people.again(command)
            self._asked.append((again, asyncio.create_task(self._desk.submit(again))))

    def _tell_feed_status(self) -> None:
        symbol = self._rng.choice(list(INSTRUMENTS))
        state = "STALE" if self._rng.random() < 0.5 else "LIVE"
        status = FeedStatus(
            symbol=symbol,
            source="simulation",
            state="STALE" if state == "STALE" else "LIVE",
            at_ns=self._clock.now_ns(),
        )
        self._desk.on_feed_status(status)

    async def _turn_kill_switch(self) -> None:
        """Commit a state, as the API does, and notify the desk; it may be dead by then."""
        rng = self._rng
        key = (Scope.PLATFORM, PLATFORM)
        if rng.random() < 0.6:
            user_id = rng.choice(self._people.users)
            key = (Scope.STRATEGY, strategy_subject(user_id, rng.choice(STRATEGIES)))
        self._rows.states.pop(key, None)
        if rng.random() < 0.5:
            self._rows.states[key] = rng.choice((TradingState.HALTED, TradingState.REDUCE_ONLY))
        if rng.random() < 0.1:
            self._work.cancel()
        else:
            self._desk.set_states(dict(self._rows.states))

    async def _crash(self) -> None:
        self._count("crash")
        self._work.cancel()
        await asyncio.wait({self._work})
        await self._reboot()

    async def _reboot(self) -> None:
        # As the role does: the work may have been cancelled before it began.
        self._desk.go_down()
        if not self._work.cancelled() and (failure := self._work.exception()) is not None:
            if not isinstance(failure, StoreFailed):
                raise failure
            self._count("store failed")
        await self._boot()

    async def _settle(self) -> None:
        """Wait until the desk is idle, through as many of its failures as it takes."""
        while True:
            idle = asyncio.create_task(self._desk.idle())
            for _ in range(TURNS_MAX):
                if idle.done() or self._work.done():
                    break
                await asyncio.sleep(0)
            else:
                raise Broken("the desk is busy for ever")
            is_idle = idle.done() and not self._work.done()
            idle.cancel()
            if is_idle:
                break
            await self._reboot()
        await self._take_answers()

    async def _take_answers(self) -> None:
        asked, self._asked = self._asked, []
        for command, task in asked:
            try:
                async with asyncio.timeout(ANSWERED_WITHIN_S):
                    answer = await task
            except TimeoutError as error:
                raise Broken(f"{type(command).__name__} was never answered") from error
            if isinstance(command, PlaceOrder) and command.dry_run:
                continue
            if isinstance(command, PlaceOrder | ClosePosition):
                self._check_answer(command, answer)
        retry, self._unanswered = self._unanswered, []
        for lost in retry:
            self._count("asked again")
            self._submit(self._people.again(lost))

    def _check_answer(self, command: PlaceOrder | ClosePosition, answer: Answer) -> None:
        client_order_id = command.client_order_id
        if isinstance(answer, Unknown):
            self._count("unknown")
            if client_order_id:
                self._unanswered.append(command)
            return
        is_kept = isinstance(answer, Done) or "order_id" in answer.extra
        if isinstance(answer, Refused):
            self._count(answer.code)
        if not is_kept:
            return
        account_id = account_id_of(command.user_id)
        known = self._rows.known(account_id, client_order_id or str(command.order_id))
        require(known is not None, f"{client_order_id} was answered and is not committed")
        if known is not None:
            require_equal(f"the first answer to {client_order_id}", known.answer, answer)
        if client_order_id:
            first = self._answers.setdefault((command.user_id, client_order_id), answer)
            require_equal(f"the answers to {client_order_id}", answer, first)

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


def simulate(seed: int, steps: int) -> str:
    """Run one seed and return the digest of all committed rows.

    Raises:
        AssertionError: an invariant is broken; the message names seed and step.
    """
    simulation = Simulation(seed)
    with structlog.testing.capture_logs():
        try:
            return asyncio.run(simulation.run(steps))
        except (AssertionError, ExceptionGroup) as error:
            where = f"seed {seed}, step {simulation.step}"
            again = f"ALPHINTRA_SIM_SEED={seed} pytest tests/trading/test_simulation.py"
            raise AssertionError(f"{where}: {_cause(error)}\nrun it alone: {again}") from error


def _cause(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
