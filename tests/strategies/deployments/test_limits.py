"""What a deployment's terms let out, by scenario tables."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest

from alphintra.strategies.deployments.book import Book, Holding, Tide
from alphintra.strategies.deployments.limits import Judge, Wanted, wanted_of
from alphintra.strategies.deployments.status import (
    OVER,
    TRANSITIONS,
    WISHES,
    Status,
    Wish,
    may_follow,
)
from alphintra.strategies.deployments.terms import (
    Approval,
    ApprovalMode,
    Limits,
    Schedule,
    Terms,
    read_terms,
    terms_json,
)

D = Decimal
MONDAY_NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def judge(held: int = 0, *, clock: list[float] | None = None, **terms: Any) -> Judge:
    book = Book(D(10_000))
    if held:
        book.holdings["SPY"] = Holding(D(held), D(held * 100))
        book.cash -= held * 100
    book.mark("SPY", D(100))
    moments = clock if clock is not None else [0.0]
    return Judge(Terms(**terms), D(10_000), book, monotonic=lambda: moments[0])


def order(side: str, quantity: int, *, type: str = "MARKET", **more: Any) -> Wanted:  # noqa: A002
    body = {"side": side, "quantity": str(quantity), "type": type, **more}
    return wanted_of("SPY", body, D(100))


@pytest.mark.parametrize(
    ("held", "side", "quantity", "expected"),
    [
        (0, "BUY", 100, None),
        (0, "SELL", 100, None),
        (0, "BUY", 103, "notional_limit"),
        (50, "BUY", 60, "notional_limit"),
        (50, "SELL", 50, None),
        (50, "SELL", 150, None),  # turned round: a hundred short
        (50, "SELL", 160, "notional_limit"),
    ],
)
def test_without_a_bound_its_own_money_is_the_bound(
    held: int, side: str, quantity: int, expected: str | None
) -> None:
    found = judge(held).verdict(order(side, quantity), MONDAY_NOON)
    assert (found and found.code) == expected


def test_what_is_out_already_counts() -> None:
    one = judge(limits=Limits(position=D(10)))
    resting = order("BUY", 8, type="LIMIT", price="99")
    assert one.verdict(resting, MONDAY_NOON) is None
    one.commit("a", resting)
    refused = one.verdict(order("BUY", 3, type="LIMIT", price="99"), MONDAY_NOON)
    assert refused is not None
    assert refused.code == "position_limit"
    one.settle("a", D(0))
    assert one.verdict(order("BUY", 3, type="LIMIT", price="99"), MONDAY_NOON) is None


def test_a_rotation_sells_before_it_buys() -> None:
    one = judge(100)
    one.book.mark("QQQ", D(50))
    selling = order("SELL", 100)
    assert one.verdict(selling, MONDAY_NOON) is None
    one.commit("a", selling)
    buying = wanted_of("QQQ", {"side": "BUY", "quantity": "200", "type": "MARKET"}, D(50))
    assert one.verdict(buying, MONDAY_NOON) is None


def test_a_pause_lets_exits_through_and_nothing_else() -> None:
    one = judge(50)
    one.is_paused = True
    assert one.verdict(order("SELL", 50), MONDAY_NOON) is None
    for wanted in (order("BUY", 1), order("SELL", 51)):
        refused = one.verdict(wanted, MONDAY_NOON)
        assert refused is not None
        assert refused.code == "paused"
    # What is out in the same direction counts: two exits of one position are one too many.
    one.commit("a", order("SELL", 30))
    refused = one.verdict(order("SELL", 21), MONDAY_NOON)
    assert refused is not None
    assert refused.code == "paused"


def test_a_schedule_holds_entries_back() -> None:
    schedule = Schedule(days=(1, 2), start=time(9, 30), end=time(16), timezone="America/New_York")
    one = judge(10, schedule=schedule)
    outside = one.verdict(order("BUY", 1), MONDAY_NOON)  # 7 o'clock in New York
    assert outside is not None
    assert outside.code == "outside_schedule"
    assert one.verdict(order("SELL", 10), MONDAY_NOON) is None
    assert one.verdict(order("BUY", 1), MONDAY_NOON.replace(hour=15)) is None


@pytest.mark.parametrize(
    ("weekday_hour", "is_open"),
    [((5, 21), False), ((5, 23), True), ((6, 1), True), ((6, 3), False), ((6, 23), False)],
)
def test_a_night_session_belongs_to_the_day_it_begins_on(
    weekday_hour: tuple[int, int], is_open: bool
) -> None:
    day, hour = weekday_hour
    schedule = Schedule(days=(1,), start=time(22), end=time(2))
    assert schedule.is_open(datetime(2026, 1, day, hour, tzinfo=UTC)) is is_open


def test_too_many_orders_in_a_minute() -> None:
    clock = [0.0]
    one = judge(clock=clock, limits=Limits(orders_per_minute=3))
    for _ in range(3):
        assert one.verdict(order("BUY", 1), MONDAY_NOON) is None
    refused = one.verdict(order("BUY", 1), MONDAY_NOON)
    assert refused is not None
    assert refused.code == "order_rate_exceeded"
    clock[0] = 61.0
    assert one.verdict(order("BUY", 1), MONDAY_NOON) is None


def test_too_many_orders_taken_back_in_a_minute() -> None:
    clock = [0.0]
    one = judge(clock=clock, limits=Limits(orders_per_minute=2))
    assert [one.take_back() for _ in range(20)] == [None] * 20
    refused = one.take_back()
    assert refused is not None
    assert refused.code == "order_rate_exceeded"
    assert one.verdict(order("BUY", 1), MONDAY_NOON) is None
    clock[0] = 61.0
    assert one.take_back() is None


def test_losses() -> None:
    one = judge(50, limits=Limits(daily_loss=D(500), drawdown=D("0.2")))
    tide = Tide(D(11_000), date(2026, 1, 5), D(10_000))
    one.book.mark("SPY", D("90.1"))
    assert one.breach(tide) is None
    one.book.mark("SPY", D(90))
    found = one.breach(tide)
    assert found is not None
    assert found.code == "daily_loss_exceeded"
    later = Tide(D(12_000), date(2026, 1, 6), D(9_500))
    assert one.breach(later) is not None
    assert one.breach(Tide(D(11_000), date(2026, 1, 6), D(9_500))) is None


def test_who_has_to_agree() -> None:
    for mode, needs in (
        (ApprovalMode.NONE, (False, False)),
        (ApprovalMode.ENTRIES, (True, False)),
        (ApprovalMode.ALL, (True, True)),
    ):
        one = judge(10, approval=Approval(mode=mode))
        assert (one.needs_yes(order("BUY", 1)), one.needs_yes(order("SELL", 1))) == needs


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"side": "BUY"},
        {"side": "BUY", "quantity": "none"},
        {"side": "BUY", "quantity": "-1"},
        {"side": "BUY", "quantity": "NaN"},
        {"side": "HOLD", "quantity": "1"},
        {"side": "BUY", "quantity": "1", "price": "0"},
    ],
)
def test_what_is_no_order_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^(side|quantity|notional|price): "):
        wanted_of("SPY", body, D(100))


def test_terms_survive_the_database() -> None:
    terms = Terms(
        limits=Limits(daily_loss=D("12.5"), drawdown=D("0.1")),
        schedule=Schedule(days=(1, 5), start=time(9, 30), end=time(16), timezone="Europe/Berlin"),
        approval=Approval(mode=ApprovalMode.ENTRIES, expires_s=30),
    )
    assert read_terms(terms_json(terms)) == terms
    assert read_terms({}) == Terms()


def test_what_is_over_can_only_be_liquidated() -> None:
    for status in OVER:
        assert [wish for wish in Wish if status in WISHES[wish]] == [Wish.LIQUIDATE]
        assert [one for one in Status if may_follow(status, one)] == sorted(
            {status, Status.LIQUIDATING}, key=list(Status).index
        )
    assert set(TRANSITIONS) == set(Status)
    assert not may_follow(Status.STOPPING, Status.RUNNING)
