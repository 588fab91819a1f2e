"""Every risk rule: an order at its limit passes, one step beyond is refused by that rule's name,
with the limit and the value.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from alphintra.core.clock import now
from alphintra.core.ids import OrderId, StrategyId
from alphintra.core.orders import TradingState
from alphintra.trading.commands import (
    Answer,
    Done,
    OpenAccount,
    PlaceOrder,
    Refused,
    SetAccountState,
    SetLimits,
    SetMargin,
)
from alphintra.trading.limits import Limits
from alphintra.trading.risk import Rule
from alphintra.trading.surroundings import PLATFORM, Scope, Sessions, strategy_subject
from alphintra.trading.venue import FeeSchedule

from .conftest import INSTRUMENTS
from .core_desk import SILENCE_S, USER, CoreDesk, terms_of

D = Decimal
STRATEGY = StrategyId(UUID(int=77))
Step = Callable[["Desk"], object]


class Desk(CoreDesk):
    """A desk without fees, so that limits are round figures; SPY and QQQ cost 100."""

    def __init__(self) -> None:
        super().__init__(dict(INSTRUMENTS), FeeSchedule())
        self._orders = 0
        for symbol in INSTRUMENTS:
            self.quote(symbol, "100", "100")

    def order(self, text: str, *, dry_run: bool = False, strategy: bool = False) -> Answer:
        self._orders += 1
        terms = terms_of(text, now(self.clock))
        if strategy:
            terms = msgspec.structs.replace(terms, strategy_id=STRATEGY)
        return self.do(
            PlaceOrder(
                user_id=USER,
                actor="test",
                order_id=OrderId(UUID(int=self._orders)),
                terms=terms,
                dry_run=dry_run,
            )
        )

    def limit(self, **limits: Any) -> None:
        self.do(SetLimits(user_id=USER, actor="test", limits=Limits(**limits)))

    def margin(self, leverage: int, *, short: bool = False) -> None:
        self.do(SetMargin(user_id=USER, actor="test", leverage=D(leverage), short_selling=short))

    def halt(self, state: TradingState = TradingState.HALTED) -> None:
        self.do(SetAccountState(user_id=USER, actor="test", state=state, reason="a test"))


@dataclass(frozen=True)
class Row:
    """`before`, then `passes` is taken; or `before`, `beyond` and `fails` is refused."""

    rule: Rule
    passes: str
    fails: str
    limit: str
    value: str
    before: Sequence[Step] = ()
    beyond: Sequence[Step] = ()
    strategy: bool = False


def limit(**limits: Any) -> Step:
    return lambda desk: desk.limit(**limits)


def order(text: str, times: int = 1) -> Step:
    def place(desk: Desk) -> None:
        for _ in range(times):
            answer = desk.order(text)
            assert isinstance(answer, Done), answer

    return place


def wait(seconds: float) -> Step:
    return lambda desk: desk.wait(seconds)


def quote(price: str) -> Step:
    return lambda desk: desk.quote("SPY", price, price)


def change_spy(**changes: Any) -> Step:
    def change(desk: Desk) -> None:
        spy = msgspec.structs.replace(desk.around.instruments["SPY"], **changes)
        desk.around.instruments["SPY"] = spy

    return change


def switch(scope: Scope, subject: str, state: TradingState) -> Step:
    def turn(desk: Desk) -> None:
        desk.around.states[scope, subject] = state

    return turn


def session_until(desk: Desk) -> None:
    """Put SPY on a calendar whose session ends in ten seconds."""
    at = now(desk.clock)
    desk.around.sessions = Sessions({"XNYS": [(at, at + timedelta(seconds=10))]})
    change_spy(calendar="XNYS")(desk)


ROWS = [
    Row(
        Rule.INSTRUMENT_TRADABLE,
        "buy 1 MARKET",
        "buy 1 MARKET",
        "tradable",
        "not tradable",
        beyond=[change_spy(tradable=False)],
    ),
    Row(
        Rule.SYMBOL_ALLOWED,
        "buy 1 MARKET",
        "buy 1 MARKET symbol=QQQ",
        "SPY",
        "QQQ",
        before=[limit(allowed_symbols=("SPY",))],
    ),
    Row(
        Rule.MARKET_OPEN,
        "buy 1 MARKET",
        "buy 1 MARKET",
        "open",
        "closed",
        before=[session_until, wait(9.999999)],
        beyond=[wait(0.000001)],
    ),
    Row(
        Rule.MARKET_DATA_FRESH,
        "buy 1 MARKET",
        "buy 1 MARKET",
        "fresh",
        "stale",
        before=[wait(SILENCE_S)],
        beyond=[wait(0.000001)],
    ),
    Row(
        Rule.ORDER_QUANTITY,
        "buy 10 MARKET",
        "buy 11 MARKET",
        "10",
        "11",
        before=[limit(order_quantity_max=D(10))],
    ),
    Row(
        Rule.ORDER_NOTIONAL,
        "buy 10 LIMIT price=100",
        "buy 10 LIMIT price=100.01",
        "1000",
        "1000.1",
        before=[limit(order_notional_max=D(1000))],
    ),
    Row(
        Rule.PRICE_COLLAR,
        "buy 1 LIMIT price=110",
        "buy 1 LIMIT price=110.01",
        "10 %",
        "10.01 %",
    ),
    Row(
        Rule.PRICE_COLLAR,
        "sell 1 LIMIT price=90",
        "sell 1 LIMIT price=89.99",
        "10 %",
        "10.01 %",
        before=[order("buy 1 MARKET")],
    ),
    Row(
        Rule.REDUCE_ONLY,
        "sell 10 MARKET reduce_only",
        "sell 11 MARKET reduce_only",
        "10",
        "11",
        before=[order("buy 10 MARKET")],
    ),
    Row(
        Rule.DUPLICATE_ORDER,
        "buy 1 LIMIT price=90",
        "buy 1 LIMIT price=90",
        "2 s",
        "1 s ago",
        before=[limit(duplicate_window_s=2), order("buy 1 LIMIT price=90"), wait(2)],
        beyond=[wait(-0.000001)],
    ),
    Row(
        Rule.ORDER_RATE,
        "buy 1 LIMIT price=90",
        "buy 1 LIMIT price=90",
        "3/s",
        "4/s",
        before=[limit(orders_per_second_max=3), order("buy 1 LIMIT price=90", 2)],
        beyond=[order("buy 1 LIMIT price=90")],
    ),
    Row(
        Rule.OPEN_ORDERS,
        "buy 1 LIMIT price=90",
        "buy 1 LIMIT price=90",
        "3",
        "4",
        before=[limit(open_orders_max=3), order("buy 1 LIMIT price=90", 2)],
        beyond=[order("buy 1 LIMIT price=90")],
    ),
    Row(
        Rule.OPEN_ORDERS,
        "buy 1 LIMIT price=90 tp=110 sl=80",
        "buy 1 LIMIT price=90 tp=110 sl=80",
        "4",
        "5",
        before=[limit(open_orders_max=4), order("buy 1 LIMIT price=90")],
        beyond=[order("buy 1 LIMIT price=90")],
    ),
    Row(
        Rule.SHORT_SELLING,
        "sell 10 MARKET",
        "sell 11 MARKET",
        "no short selling",
        "sells 1 more than is held",
        before=[order("buy 10 MARKET")],
    ),
    Row(
        Rule.SHORT_SELLING,
        "sell 1 MARKET",
        "sell 1 MARKET",
        "no short selling",
        "sells 1 more than is held",
        before=[lambda desk: desk.margin(1, short=True)],
        beyond=[change_spy(shortable=False)],
    ),
    Row(
        Rule.POSITION_NOTIONAL,
        "buy 5 LIMIT price=100",
        "buy 6 LIMIT price=100",
        "1000",
        "1100",
        before=[
            limit(position_notional_max=D(1000)),
            order("buy 3 MARKET"),
            order("buy 2 LIMIT price=90"),
        ],
    ),
    Row(
        Rule.GROSS_EXPOSURE,
        "buy 5 LIMIT price=100",
        "buy 6 LIMIT price=100",
        "1000",
        "1100",
        before=[
            limit(gross_exposure_max=D(1000)),
            order("buy 3 MARKET symbol=QQQ"),
            order("buy 2 LIMIT price=90 symbol=QQQ"),
        ],
    ),
    Row(
        Rule.DAILY_LOSS,
        "buy 1 MARKET",
        "buy 1 MARKET",
        "100",
        "100.1",
        before=[limit(daily_loss_max=D(100)), order("buy 10 MARKET"), quote("90")],
        beyond=[quote("89.99")],
    ),
    Row(
        Rule.BUYING_POWER,
        "buy 1000 LIMIT price=100",
        "buy 1000 LIMIT price=100.01",
        "100000",
        "100010",
    ),
    Row(
        Rule.BUYING_POWER,
        "buy 1000 LIMIT price=100",
        "buy 1001 LIMIT price=100",
        "100000",
        "100100",
        before=[
            lambda desk: desk.margin(2),
            order("buy 500 MARKET symbol=QQQ"),
            order("buy 500 LIMIT price=100 symbol=QQQ"),
        ],
    ),
    Row(
        Rule.KILL_SWITCH_STRATEGY,
        "buy 1 MARKET",
        "buy 1 MARKET",
        "ACTIVE",
        "HALTED",
        before=[
            switch(Scope.STRATEGY, strategy_subject(UUID(int=2), STRATEGY), TradingState.HALTED)
        ],
        beyond=[switch(Scope.STRATEGY, strategy_subject(USER, STRATEGY), TradingState.HALTED)],
        strategy=True,
    ),
    Row(
        Rule.KILL_SWITCH_ACCOUNT,
        "buy 1 MARKET",
        "buy 1 MARKET",
        "ACTIVE",
        "HALTED",
        beyond=[lambda desk: desk.halt()],
    ),
    Row(
        Rule.KILL_SWITCH_ACCOUNT,
        "sell 1 MARKET",
        "buy 1 MARKET",
        "ACTIVE",
        "REDUCE_ONLY",
        before=[order("buy 1 MARKET"), lambda desk: desk.halt(TradingState.REDUCE_ONLY)],
    ),
    Row(
        Rule.KILL_SWITCH_PLATFORM,
        "sell 1 MARKET",
        "buy 1 MARKET",
        "ACTIVE",
        "REDUCE_ONLY",
        before=[
            order("buy 1 MARKET"),
            switch(Scope.PLATFORM, PLATFORM, TradingState.REDUCE_ONLY),
        ],
    ),
    Row(
        Rule.KILL_SWITCH_PLATFORM,
        "buy 1 MARKET",
        "buy 1 MARKET",
        "ACTIVE",
        "HALTED",
        beyond=[switch(Scope.PLATFORM, PLATFORM, TradingState.HALTED)],
    ),
]


def prepared(*steps: Step) -> Desk:
    desk = Desk()
    for step in steps:
        step(desk)
    return desk


IDS = [f"{row.rule}-{number}" for number, row in enumerate(ROWS)]


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_order_at_the_limit_is_taken(row: Row) -> None:
    answer = prepared(*row.before).order(row.passes, strategy=row.strategy)
    assert isinstance(answer, Done), answer
    assert msgspec.json.decode(answer.body)["status"] == "ACCEPTED"


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_order_one_step_beyond_is_refused_by_name(row: Row) -> None:
    desk = prepared(*row.before, *row.beyond)
    before = (desk.account.cash_available, desk.account.cash_held, len(desk.account.open_orders))
    answer = desk.order(row.fails, strategy=row.strategy)
    assert isinstance(answer, Refused)
    assert answer.code == f"risk_{row.rule}"
    check = msgspec.json.decode(answer.extra["check"])
    assert (check["rule"], check["limit"], check["value"]) == (row.rule, row.limit, row.value)
    account = desk.account
    assert (account.cash_available, account.cash_held, len(account.open_orders)) == before


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_dry_run_shows_the_same_and_changes_nothing(row: Row) -> None:
    desk = prepared(*row.before, *row.beyond)
    digest = desk.rows.digest()
    answer = desk.order(row.fails, dry_run=True, strategy=row.strategy)
    assert isinstance(answer, Done)
    report = msgspec.json.decode(answer.body)
    assert not report["accepted"]
    failed = {check["rule"]: check for check in report["checks"] if not check["passed"]}
    assert (failed[row.rule]["limit"], failed[row.rule]["value"]) == (row.limit, row.value)
    assert desk.rows.digest() == digest


def test_every_rule_has_a_row() -> None:
    assert {row.rule for row in ROWS} == set(Rule)


def test_kill_switches_come_last() -> None:
    answer = Desk().order("buy 1 MARKET", dry_run=True, strategy=True)
    assert isinstance(answer, Done)
    rules = [check["rule"] for check in msgspec.json.decode(answer.body)["checks"]]
    assert rules[-3:] == [
        Rule.KILL_SWITCH_STRATEGY,
        Rule.KILL_SWITCH_ACCOUNT,
        Rule.KILL_SWITCH_PLATFORM,
    ]


def test_clock_that_jumped_back_does_not_stop_an_account() -> None:
    desk = prepared(limit(orders_per_second_max=3, duplicate_window_s=5))
    for price in ("90", "91", "92"):
        assert isinstance(desk.order(f"buy 1 LIMIT price={price}"), Done)
    desk.wait(-3_600)
    for price in ("90", "91", "92"):
        assert isinstance(desk.order(f"buy 1 LIMIT price={price}"), Done)
    assert isinstance(desk.order("buy 1 LIMIT price=93"), Refused)


def test_clock_that_jumped_back_a_day_gives_no_second_daily_loss() -> None:
    desk = prepared(limit(daily_loss_max=D(100)), order("buy 10 MARKET"), quote("80"))
    refused = desk.order("buy 1 MARKET")
    assert isinstance(refused, Refused)
    assert refused.code == "risk_daily_loss"
    desk.wait(-86_400)
    desk.quote("SPY", "80", "80")
    assert desk.order("buy 1 MARKET") == Refused(
        code=refused.code,
        detail=refused.detail,
        extra={**refused.extra, "order_id": msgspec.Raw(msgspec.json.encode(UUID(int=3)))},
    )
    desk.wait(2 * 86_400)
    desk.quote("SPY", "80", "80")
    assert isinstance(desk.order("buy 1 MARKET"), Done)


def test_instrument_in_another_currency_is_refused() -> None:
    desk = Desk()
    change_spy(quote="EUR")(desk)
    answer = desk.order("buy 1 MARKET")
    assert isinstance(answer, Refused)
    assert answer.code == "currency_not_supported"


def test_fifty_orders_at_once_never_pass_a_limit_together() -> None:
    desk = prepared(limit(gross_exposure_max=D(1000), orders_per_second_max=1_000))
    taken = [isinstance(desk.order("buy 1 LIMIT price=100"), Done) for _ in range(50)]
    assert taken.count(True) == 10
    assert taken == sorted(taken, reverse=True)


def test_opening_an_account_twice_funds_it_once() -> None:
    desk = Desk()
    desk.do(OpenAccount(user_id=USER, actor="test"))
    assert desk.account.cash == D(100_000)
