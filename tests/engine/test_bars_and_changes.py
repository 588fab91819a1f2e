"""docs/concepts/fills.md on the engine: bars, time in force, changes; and what is refused."""

import pytest

from alphintra.engine import (
    NEVER_NS,
    NO_HANDLE,
    NO_PRICE,
    Kind,
    Lifetime,
    Outcome,
    Side,
    grown,
    new_book,
    steps,
)
from tests.engine.session import Desk
from tests.engine.statements import states

BUY, SELL = Side.BUY, Side.SELL


# Bars


@states("A market order fills at the open of the next bar.")
def test_market_orders_fill_at_the_next_open(desk: Desk) -> None:
    desk.market("A", BUY, 5)
    assert desk.bar(100, 105, 95, 102) == ["A: 5 at 100, taker"]


@states(
    "Within a bar the price goes from the open to the nearer extreme, to the other extreme, to the "
    "close."
)
@pytest.mark.parametrize(
    ("bar", "order_of_fills"),
    [
        ((100, 104, 90, 95), ["high", "low"]),
        ((100, 110, 97, 105), ["low", "high"]),
    ],
)
def test_the_path_goes_to_the_nearer_extreme_first(
    desk: Desk, bar: tuple[int, int, int, int], order_of_fills: list[str]
) -> None:
    desk.limit("high", SELL, 1, 103)
    desk.limit("low", BUY, 1, 98)
    assert [fill.split(":")[0] for fill in desk.bar(*bar)] == order_of_fills


@states("When both extremes are as near, the low comes first.")
def test_the_low_comes_first_when_both_are_as_near(desk: Desk) -> None:
    desk.limit("high", SELL, 1, 103)
    desk.limit("low", BUY, 1, 98)
    assert desk.bar(100, 105, 95, 105) == ["low: 1 at 98, maker", "high: 1 at 103, maker"]


@states(
    "A limit fills at its price when the path reaches it, and at the open when the bar opens "
    "beyond it."
)
def test_limits_fill_on_the_path_or_at_the_gap(desk: Desk) -> None:
    desk.limit("A", BUY, 1, 98)
    desk.limit("B", SELL, 1, 110)
    assert desk.bar(100, 101, 99, 100) == []
    assert desk.bar(100, 101, 98, 100) == ["A: 1 at 98, maker"]
    assert desk.bar(115, 116, 114, 115) == ["B: 1 at 115, maker"]
    desk.limit("C", BUY, 1, 120)
    assert desk.bar(115, 116, 114, 115) == ["C: 1 at 115, taker"]
    desk.limit("D", BUY, 1, 120, post_only=1)
    assert desk.bar(115, 116, 114, 115) == ["D: post_only_would_take"]


@states(
    "A stop fills at its price when the path reaches it, and at the open when the bar opens "
    "beyond it."
)
def test_stops_fill_on_the_path_or_at_the_gap(desk: Desk) -> None:
    desk.stop("A", SELL, 1, 98)
    desk.stop("B", SELL, 1, 90)
    assert desk.bar(100, 101, 97, 100) == ["A: triggered at 98", "A: 1 at 98, taker"]
    assert desk.bar(85, 95, 80, 85) == ["B: triggered at 90", "B: 1 at 85, taker"]


def test_a_stop_limit_can_fill_later_in_its_bar(desk: Desk) -> None:
    desk.stop_limit("A", SELL, 1, 95, 97)
    assert desk.bar(100, 110, 94, 99) == ["A: triggered at 95", "A: 1 at 97, maker"]
    desk.stop_limit("B", SELL, 1, 95, 93)
    assert desk.bar(100, 110, 94, 99) == ["B: triggered at 95", "B: 1 at 95, taker"]


@states("A trailing stop follows the path, and can trigger in the bar that moved it.")
def test_trailing_stops_follow_the_path(desk: Desk) -> None:
    desk.trail("A", SELL, 1, trail_ticks=5)
    assert desk.bar(100, 110, 97, 108) == []
    assert desk.bar(108, 112, 90, 100) == ["A: triggered at 107", "A: 1 at 107, taker"]


@states(
    "All orders share the participation of the bar's volume, in the order in which the path "
    "reaches them."
)
def test_volume_caps_fills() -> None:
    desk = Desk(participation_bps=1_000)
    desk.limit("low", BUY, 5, 96)
    desk.limit("lower", BUY, 5, 95)
    desk.market("A", BUY, 4)
    assert desk.bar(100, 110, 95, 100, volume=119) == [
        "A: 4 at 100, taker",
        "low: 5 at 96, maker",
        "lower: 2 at 95, maker",
    ]
    assert desk.bar(100, 110, 95, 100, volume=9) == []
    assert desk.bar(100, 110, 95, 100, volume=-1) == ["lower: 3 at 95, maker"]


@states("A bar fills no order that came after its open.")
def test_no_bar_fills_an_order_from_its_own_time(desk: Desk) -> None:
    desk.now = 5
    desk.market("A", BUY, 1)
    desk.now = 4
    assert desk.bar(100, 105, 95, 100) == []
    assert desk.bar(100, 105, 95, 100) == ["A: 1 at 100, taker"]


# Time in force


@states("IOC takes what its first moment offers, and the rest is cancelled.")
def test_immediate_or_cancel(desk: Desk) -> None:
    assert desk.limit("A", BUY, 5, 101, lifetime=Lifetime.IOC) == []
    assert desk.quote(99, 101, ask_lots=3) == ["A: 3 at 101, taker", "A: immediate_or_cancel"]
    assert desk.market("B", SELL, 1, lifetime=Lifetime.IOC) == ["B: 1 at 99, taker"]
    assert desk.limit("C", SELL, 1, 100, lifetime=Lifetime.IOC) == ["C: immediate_or_cancel"]
    assert desk.stop("D", SELL, 1, 98, lifetime=Lifetime.IOC) == []
    assert desk.quote(98, 101, bid_lots=0) == ["D: triggered at 98", "D: immediate_or_cancel"]


def test_immediate_orders_get_only_the_open_of_a_bar(desk: Desk) -> None:
    desk.limit("A", BUY, 5, 98, lifetime=Lifetime.IOC)
    assert desk.bar(100, 105, 95, 100) == ["A: immediate_or_cancel"]


@states("FOK takes all of it in its first moment, or all of it is cancelled.")
def test_fill_or_kill(desk: Desk) -> None:
    desk.quote(99, 101, 5, 5)
    assert desk.market("A", BUY, 6, lifetime=Lifetime.FOK) == ["A: fill_or_kill"]
    assert desk.market("B", BUY, 5, lifetime=Lifetime.FOK) == ["B: 5 at 101, taker"]
    assert desk.market("C", BUY, 1, lifetime=Lifetime.FOK) == ["C: fill_or_kill"]


@states("An order whose time has come expires before the event of that time.")
def test_expiry_comes_before_the_event(desk: Desk) -> None:
    desk.limit("A", BUY, 1, 100, expires_ns=10)
    desk.limit("B", BUY, 1, 100, expires_ns=11)
    desk.now = 10
    assert desk.quote(99, 100) == ["A: expired", "B: 1 at 100, taker"]
    desk.stop("C", SELL, 1, 50, expires_ns=20)
    assert desk.told(desk.simulator.expire(19)) == []
    assert desk.told(desk.simulator.expire(20)) == ["C: expired"]
    desk.now = 30
    desk.stop("D", SELL, 1, 50, expires_ns=40)
    assert desk.bar(99, 99, 99, 99) == []
    assert desk.bar(49, 49, 49, 49) == ["D: expired"]


# Changes


@states(
    "Another price or a larger quantity sends an order to the end of the queue; a smaller quantity "
    "or another expiry does not."
)
@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"lots": 2}, "A"),
        ({"lots": 3, "expires_ns": 99}, "A"),
        ({"lots": 4}, "B"),
        ({"lots": 3, "limit_price_ticks": 99}, "A"),
    ],
)
def test_what_costs_an_order_its_place(desk: Desk, changes: dict[str, int], first: str) -> None:
    desk.quote(90, 120)
    desk.limit("A", BUY, 3, 98)
    desk.limit("B", BUY, 3, 98)
    terms = {"limit_price_ticks": 98, **changes}
    assert desk.modify("A", Kind.LIMIT, **terms) == (Outcome.DONE, [])
    assert desk.trade(90, 1)[0].startswith(first)


def test_a_price_changed_and_changed_back_has_lost_its_place(desk: Desk) -> None:
    desk.quote(90, 120)
    desk.limit("A", BUY, 3, 98)
    desk.limit("B", BUY, 3, 98)
    for price in (97, 98):
        desk.modify("A", Kind.LIMIT, 3, limit_price_ticks=price)
    assert desk.trade(90, 1) == ["B: 1 at 98, maker"]


@states("A limit that is moved to a price that can trade takes, as if it came at that moment.")
def test_a_limit_moved_to_the_market_takes(desk: Desk) -> None:
    desk.quote(99, 101)
    desk.limit("A", BUY, 3, 98)
    moved = desk.modify("A", Kind.LIMIT, 3, limit_price_ticks=102)
    assert moved == (Outcome.DONE, ["A: 3 at 101, taker"])
    assert desk.modify("A", Kind.LIMIT, 3, limit_price_ticks=102) == (Outcome.NOT_FOUND, [])


@states("A post-only order is not moved to a price at which it would take; it stays as it was.")
def test_a_post_only_order_is_not_moved_to_take(desk: Desk) -> None:
    desk.quote(99, 101)
    desk.limit("A", BUY, 3, 98, post_only=1)
    refused = desk.modify("A", Kind.LIMIT, 3, limit_price_ticks=101)
    assert refused == (Outcome.POST_ONLY_WOULD_TAKE, [])
    assert desk.trade(98, 3) == ["A: 3 at 98, maker"]


def test_a_stop_moved_beyond_the_market_triggers(desk: Desk) -> None:
    desk.quote(99, 101)
    desk.stop("A", SELL, 1, 90)
    moved = desk.modify("A", Kind.STOP, 1, stop_price_ticks=100)
    assert moved == (Outcome.DONE, ["A: triggered at 100", "A: 1 at 99, taker"])


def test_a_tighter_trail_keeps_its_mark(desk: Desk) -> None:
    desk.quote(110, 112)
    desk.trail("A", SELL, 1, trail_ticks=20)
    desk.quote(100, 102)
    assert desk.modify("A", Kind.TRAILING_STOP, 1, trail_ticks=12) == (Outcome.DONE, [])
    assert desk.quote(98, 99) == ["A: triggered at 98", "A: 1 at 98, taker"]


# Handles, times, bad input


def test_a_handle_never_means_the_next_order_in_its_slot(desk: Desk) -> None:
    desk.limit("A", BUY, 1, 10)
    old = desk.handle("A")
    assert desk.told(desk.simulator.cancel(old, ts_ns=1)) == ["A: requested"]
    desk.limit("B", BUY, 1, 10)
    assert desk.simulator.cancel(old, ts_ns=1) == []
    assert desk.simulator.cancel(-1, ts_ns=1) == []
    assert desk.simulator.cancel(10**15, ts_ns=1) == []
    assert desk.simulator.open_orders == 1


def test_a_full_book_takes_no_order_and_loses_none() -> None:
    book = new_book(1)
    terms = (BUY, Kind.LIMIT, 1, 10, NO_PRICE, 0, 0, Lifetime.REST, 0, NEVER_NS, NEVER_NS, 0)
    first = steps.submit(book, *map(int, terms))
    assert steps.submit(book, *map(int, terms)) == NO_HANDLE
    book = grown(book, 2)
    assert steps.submit(book, *map(int, terms)) not in {first, NO_HANDLE}
    assert steps.on_quote(book, 9, 10, -1, -1, 0) == 2
    assert book.state[0]["open_orders"] == 0


def test_no_event_is_older_than_the_order(desk: Desk) -> None:
    desk.now = 100
    desk.limit("A", BUY, 1, 100)
    fills = desk.simulator.on_quote(99, 100, ts_ns=40)
    assert [fill.ts_ns for fill in fills] == [100]


def test_fills_at_the_open_and_later_in_a_bar_are_told_apart_by_time(desk: Desk) -> None:
    desk.market("A", BUY, 1)
    desk.limit("B", BUY, 1, 98)
    fills = desk.simulator.on_bar(100, 101, 97, 100, open_ns=20, close_ns=80)
    assert [fill.ts_ns for fill in fills] == [20, 80]


@pytest.mark.parametrize(
    "terms",
    [
        {"kind": Kind.LIMIT, "lots": 1},
        {"kind": Kind.MARKET, "lots": 1, "limit_price_ticks": 5},
        {"kind": Kind.MARKET, "lots": 0},
        {"kind": Kind.MARKET, "lots": 2**60},
        {"kind": Kind.MARKET, "lots": 1, "post_only": True},
        {"kind": Kind.STOP, "lots": 1},
        {"kind": Kind.STOP, "lots": 1, "stop_price_ticks": 2**61},
        {"kind": Kind.STOP_LIMIT, "lots": 1, "stop_price_ticks": 3},
        {"kind": Kind.TRAILING_STOP, "lots": 1},
        {"kind": Kind.TRAILING_STOP, "lots": 1, "trail_ticks": 3, "trail_bps": 3},
        {"kind": Kind.TRAILING_STOP, "lots": 1, "trail_ticks": -3},
        {
            "kind": Kind.LIMIT,
            "lots": 1,
            "limit_price_ticks": 5,
            "post_only": True,
            "lifetime": Lifetime.IOC,
        },
    ],
)
def test_terms_that_contradict_each_other_are_refused(desk: Desk, terms: dict[str, int]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any of them
        desk.simulator.submit(BUY, ts_ns=0, **terms)  # type: ignore[arg-type]


def test_impossible_market_data_is_refused(desk: Desk) -> None:
    with pytest.raises(ValueError, match="between its low and high"):
        desk.bar(100, 99, 98, 99)
    with pytest.raises(ValueError, match="out of range"):
        desk.quote(2**61, 2**61 + 1)
    with pytest.raises(ValueError, match="out of range"):
        desk.trade(100, -2)
    with pytest.raises(ValueError, match="a print has a price"):
        desk.trade(NO_PRICE)
