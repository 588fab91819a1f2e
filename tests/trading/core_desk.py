"""The desk's pure core, one decision after the other: book, paper venue and committed rows, without
an event loop. And the words in which the scenario tables speak to it.
"""

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec

from alphintra.assets import Bucket
from alphintra.core import money
from alphintra.core.clock import ManualClock, now, to_ns
from alphintra.core.ids import OrderId, UserId, seeded_ids
from alphintra.core.instruments import Instrument
from alphintra.core.market_data import Quote
from alphintra.core.orders import OrderClass, OrderStatus, OrderType, Side, TimeInForce
from alphintra.trading import lifecycle
from alphintra.trading.book import Book, account_id_of
from alphintra.trading.commands import (
    Answer,
    AnyCommand,
    CancelOrder,
    ClosePosition,
    ModifyOrder,
    OpenAccount,
    PlaceOrder,
    Refused,
    StopLoss,
    TakeProfit,
    Terms,
)
from alphintra.trading.paper import PaperRules, PaperVenue
from alphintra.trading.prices import Prices
from alphintra.trading.state import Account, Order
from alphintra.trading.store import seal
from alphintra.trading.surroundings import Surroundings
from alphintra.trading.unit import Unit, VenueAction, VenueStep
from alphintra.trading.venue import FeeSchedule, VenueEvent, VenueOrder

from .invariants import Invariants
from .simulated_store import Rows

D = Decimal
NEVER_NS = 2**62
USER = UserId(UUID(int=1))
ACCOUNT = account_id_of(USER)
SILENCE_S = 60


class CoreDesk:
    """Decides, commits and tells the venue, at once; every commit is checked."""

    def __init__(self, instruments: dict[str, Instrument], fees: FeeSchedule) -> None:
        self.clock = ManualClock()
        self.rows = Rows()
        self.around = Surroundings(
            clock=self.clock,
            ids=seeded_ids(self.clock, 1),
            prices=Prices(self.clock, silence_s=SILENCE_S),
            instruments=instruments,
            fee_rate=max(fees.taker_bps, fees.maker_bps) / 10_000,
        )
        self.book = Book(self.around)
        self.venue = PaperVenue(instruments, PaperRules(fees=fees))
        self.invariants = Invariants(self.rows, start_cash=self.around.paper_cash, may_short=[USER])
        self._reports: deque[VenueEvent] = deque()
        self.do(OpenAccount(user_id=USER, actor="test"))

    @property
    def account(self) -> Account:
        return self.book.accounts[ACCOUNT]

    def do(self, command: AnyCommand) -> Answer:
        """Decide the command and let everything that follows from it happen."""
        unit = Unit(self.clock, self.around.ids)
        answer = self.book.decide(command, unit)
        self._commit(unit)
        self._settle()
        return answer

    def quote(self, symbol: str, bid: str, ask: str, size: str | None = None) -> None:
        amount = None if size is None else D(size)
        quote = Quote(self.clock.now_ns(), D(bid), D(ask), amount, amount)
        self.around.prices.update(symbol, quote)
        self._reports += self.venue.on_market_data(symbol, quote)
        self._settle()

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self._reports += self.venue.expire(self.clock.now_ns())
        self._settle()

    def _settle(self) -> None:
        while self._reports:
            event = self._reports.popleft()
            unit = Unit(self.clock, self.around.ids)
            mark = self.venue.water_mark(event.order_id)
            lifecycle.on_venue_event(self.account, event, unit, self.around, mark)
            self._commit(unit)
        self.invariants.check(list(self.book.accounts.values()), self.venue, self.around)

    def _commit(self, unit: Unit) -> None:
        self.rows.apply(seal(unit))
        for action in unit.venue_actions:
            self._act(action)

    def _act(self, action: VenueAction) -> None:
        order, now_ns = action.order, self.clock.now_ns()
        if action.step is VenueStep.SUBMIT and order.status.is_open:
            self._reports += self.venue.submit(venue_order(order, now_ns))
        elif action.step is VenueStep.MODIFY and self.venue.is_open(order.id):
            self._reports += self.venue.modify(venue_order(order, now_ns), now_ns)
        elif action.step is VenueStep.CANCEL and self.venue.is_open(order.id):
            self.venue.cancel(order.id, now_ns)


def venue_order(order: Order, now_ns: int) -> VenueOrder:
    return VenueOrder(
        order_id=order.id,
        symbol=order.symbol,
        side=order.side,
        type=order.type,
        quantity=order.quantity,
        accepted_ns=now_ns,
        price=order.price,
        stop_price=order.stop_price,
        trail_amount=order.trail,
        trail_percent=order.trail_percent,
        time_in_force=order.time_in_force,
        expires_ns=NEVER_NS if order.expires_at is None else to_ns(order.expires_at),
        post_only=order.post_only,
        filled_quantity=order.filled_quantity,
    )


class Page:
    """A page of a ledger: each row a command, what became of the orders, and the balances after it.

    Columns: command | orders | USD free | USD held | SPY free | SPY held | realised.
    A command is `quote BID ASK [SIZE]`, `wait SECONDS`, `cancel NAME`, `modify NAME KEY=VALUE…`,
    `close`, or `NAME: buy|sell QUANTITY TYPE KEY=VALUE… FLAG…`. Orders are `NAME STATUS` or the
    code of a refusal; the exits of `a` are `a.tp` and `a.sl`.
    """

    SYMBOL = "SPY"

    def __init__(self, desk: CoreDesk) -> None:
        self._desk = desk
        self._ids: dict[str, OrderId] = {}
        self._next_id = 0

    def check(self, table: str) -> None:
        """Run the table row by row.

        Raises:
            AssertionError: the first row that turned out otherwise.
        """
        for line in table.strip().splitlines():
            command, orders, *balances = (cell.strip() for cell in line.split("|"))
            refusal = self._run(command)
            found = [
                refusal if " " not in cell else f"{cell.split()[0]} {self._status(cell.split()[0])}"
                for cell in filter(None, (cell.strip() for cell in orders.split(",")))
            ]
            expected = [cell.strip() for cell in orders.split(",") if cell.strip()]
            assert found == expected, line
            assert refusal is None or refusal in expected, f"{line}: {refusal}"
            assert self.balances() == balances, line

    def balances(self) -> list[str]:
        """Return the balance columns as they are."""
        rows = self._desk.rows
        held = [
            rows.balance(ACCOUNT, asset, bucket)
            for asset in ("USD", self.SYMBOL)
            for bucket in (Bucket.AVAILABLE, Bucket.HELD)
        ]
        realized = sum(
            (one.realized_pnl for one in self._desk.account.positions.values()), money.ZERO
        )
        return [money.text(value) for value in (*held, realized)]

    def _status(self, name: str) -> str:
        return OrderStatus(self._desk.rows.orders[str(self._id(name))]["status"])

    def _id(self, name: str) -> OrderId:
        name, _, leg = name.partition(".")
        if not leg:
            return self._ids[name]
        kinds = {"tp": {OrderType.LIMIT}, "sl": {OrderType.STOP, OrderType.STOP_LIMIT}}[leg]
        return next(
            OrderId(UUID(row["id"]))
            for row in self._desk.rows.orders.values()
            if row["parent_id"] == str(self._ids[name]) and row["type"] in kinds
        )

    def _run(self, text: str) -> str | None:
        """Run a command and return the code of its refusal, if it was refused."""
        words = text.split()
        runners: dict[str, Callable[[list[str]], Answer | None]] = {
            "quote": self._quote,
            "wait": self._wait,
            "cancel": self._cancel,
            "modify": self._modify,
            "close": self._close,
        }
        run = runners.get(words[0])
        answer = run(words[1:]) if run else self._place(words)
        return answer.code if isinstance(answer, Refused) else None

    def _quote(self, words: list[str]) -> None:
        self._desk.quote(self.SYMBOL, *words)

    def _wait(self, words: list[str]) -> None:
        self._desk.wait(float(words[0]))

    def _cancel(self, words: list[str]) -> Answer:
        return self._desk.do(CancelOrder(user_id=USER, actor="test", order_id=self._id(words[0])))

    def _modify(self, words: list[str]) -> Answer:
        changes = dict(word.split("=") for word in words[1:])
        return self._desk.do(
            ModifyOrder(
                user_id=USER,
                actor="test",
                order_id=self._id(words[0]),
                **{name: D(value) for name, value in changes.items()},  # type: ignore[arg-type]
            )
        )

    def _close(self, _: list[str]) -> Answer:
        return self._desk.do(
            ClosePosition(
                user_id=USER, actor="test", symbol=self.SYMBOL, order_id=self._new_id("close")
            )
        )

    def _place(self, words: list[str]) -> Answer:
        name = words[0].removesuffix(":")
        terms = terms_of(" ".join(words[1:]), now(self._desk.clock))
        return self._desk.do(
            PlaceOrder(user_id=USER, actor="test", order_id=self._new_id(name), terms=terms)
        )

    def _new_id(self, name: str) -> OrderId:
        self._next_id += 1
        self._ids[name] = OrderId(UUID(int=self._next_id))
        return self._ids[name]


def terms_of(text: str, at: datetime, symbol: str = "SPY") -> Terms:
    """Read `buy 10 LIMIT price=99 tif=IOC post_only …`."""
    side, quantity, kind, *rest = text.split()
    given = dict(word.split("=") for word in rest if "=" in word)
    flags = {word: True for word in rest if "=" not in word}
    profit, loss = given.pop("tp", None), given.pop("sl", None)
    in_force = TimeInForce(given.pop("tif", "GTC"))
    lasts_s = given.pop("for", None)
    default_class = {
        (False, False): OrderClass.SIMPLE,
        (True, True): OrderClass.BRACKET,
    }.get((profit is not None, loss is not None), OrderClass.OTO)
    return Terms(
        symbol=given.pop("symbol", symbol),
        side=Side(side.upper()),
        type=OrderType(kind),
        quantity=D(quantity),
        time_in_force=in_force,
        expires_at=None if lasts_s is None else at + timedelta(seconds=int(lasts_s)),
        order_class=OrderClass(given.pop("class", default_class)),
        take_profit=None if profit is None else TakeProfit(D(profit)),
        stop_loss=None if loss is None else StopLoss(D(loss)),
        reduce_only=flags.pop("reduce_only", False),
        post_only=flags.pop("post_only", False),
        **msgspec.convert(given, dict[str, Decimal]),  # type: ignore[arg-type]
    )
