"""docs/concepts/fills.md on the engine: opening and closing auctions. Prices are in ticks."""

from collections.abc import Callable
from typing import Any

import pytest

from alphintra.engine import NEVER_NS, NO_PRICE, Kind, Lifetime, MarketSimulator, Side
from tests.engine.session import Desk
from tests.engine.statements import states

BUY, SELL = Side.BUY, Side.SELL
#: The session of these tests: times are nanoseconds.
OPENS, CLOSES, WAIT = 100, 200, 50

#: One of each kind of market data.
EVENTS: tuple[Callable[[Desk], list[str]], ...] = (
    lambda desk: desk.bar(103, 109, 90, 104),
    lambda desk: desk.trade(105),
    lambda desk: desk.quote(99, 107),
)


def opening(ends: int = OPENS + WAIT) -> dict[str, Any]:
    return {"lifetime": Lifetime.OPG, "auction_ns": OPENS, "expires_ns": ends}


def closing(ends: int = CLOSES + WAIT) -> dict[str, Any]:
    return {"lifetime": Lifetime.CLS, "auction_ns": CLOSES, "expires_ns": ends}


@states("An order for an auction waits for it; nothing that happens before fills it.")
def test_nothing_before_the_auction_fills(desk: Desk) -> None:
    desk.quote(99, 101)
    assert desk.market("A", BUY, 1, **opening()) == []
    assert desk.limit("B", BUY, 1, 110, **closing()) == []
    desk.now = OPENS - 1
    assert desk.quote(99, 101) == []
    assert desk.trade(90) == []
    desk.now = OPENS - 20
    assert desk.bar(100, 105, 80, 100) == []
    desk.now = OPENS
    assert desk.quote(98, 102) == ["A: 1 at 102, taker"]
    desk.now = CLOSES - 1
    assert desk.trade(80) == []


@states(
    "An opening order meets the first event of its session: the open of a bar, a print, the other "
    "side of a quote."
)
def test_an_opening_order_meets_the_first_event() -> None:
    for show, price in zip(EVENTS, (103, 105, 107), strict=True):
        desk = Desk()
        desk.market("A", BUY, 2, **opening())
        desk.now = OPENS
        assert show(desk) == [f"A: 2 at {price}, taker"]


def test_a_print_opens_for_market_orders_also_where_quotes_are_known(desk: Desk) -> None:
    desk.quote(99, 101)
    desk.market("A", SELL, 2, **opening())
    desk.now = OPENS
    assert desk.trade(95) == ["A: 2 at 95, taker"]


@states(
    "A closing order meets what the last event of its session has shown: the close of a bar, a "
    "print, the other side of a quote."
)
def test_a_closing_order_meets_the_last_event() -> None:
    for show, price in zip(EVENTS, (104, 105, 107), strict=True):
        desk = Desk()
        desk.market("A", BUY, 2, **closing())
        desk.now = CLOSES - 15
        assert show(desk) == []
        desk.now = CLOSES + 1
        assert desk.quote(120, 121) == [f"A: 2 at {price}, taker"]


@states(
    "A limit takes part when the auction's price is its own or better, and fills at the auction's "
    "price, as a taker."
)
def test_limits_in_auctions(desk: Desk) -> None:
    for name, price in (("A", 99), ("B", 100), ("C", 105)):
        desk.limit(name, BUY, 1, price, **opening())
        desk.limit(name + "+", SELL, 1, price, **closing())
    desk.now = OPENS
    assert desk.bar(100, 100, 90, 100) == [
        "C: 1 at 100, taker", "B: 1 at 100, taker", "A: expired",
    ]  # fmt: skip
    desk.now = CLOSES - 10
    assert desk.bar(110, 110, 100, 100) == [
        "A+: 1 at 100, taker", "B+: 1 at 100, taker", "C+: expired",
    ]  # fmt: skip


@states(
    "What its auction does not fill expires.",
    "Orders for the opening share what the first event offers with all others; those for the "
    "closing share what is left of the last.",
)
def test_what_is_not_filled_expires(desk: Desk) -> None:
    desk.market("A", BUY, 5)
    desk.market("B", BUY, 8, **opening())
    desk.limit("C", SELL, 6, 108)
    desk.market("D", SELL, 9, **closing())
    desk.now = OPENS
    assert desk.trade(100, 9) == ["A: 5 at 100, taker", "B: 4 at 100, taker", "B: expired"]
    desk.now = CLOSES - 10
    assert desk.bar(105, 109, 105, 107, volume=10) == [
        "C: 6 at 108, maker", "D: 4 at 107, taker", "D: expired",
    ]  # fmt: skip


@states(
    "A side on which nobody quotes has no opening yet: its orders wait for the first event that "
    "has one."
)
def test_an_opening_needs_the_other_side(desk: Desk) -> None:
    desk.market("A", BUY, 1, **opening())
    desk.market("B", SELL, 1, **opening())
    desk.now = OPENS
    assert desk.quote(99, NO_PRICE) == ["B: 1 at 99, taker"]
    desk.now = OPENS + 5
    assert desk.quote(99, 104) == ["A: 1 at 104, taker"]


@states("A bar that contains the open or the close of the session counts as its first or last.")
def test_a_bar_around_the_auction(desk: Desk) -> None:
    desk.market("A", BUY, 1, **opening())
    desk.market("B", SELL, 1, **closing())
    desk.now = OPENS - 10
    assert desk.bar(100, 105, 95, 101) == [], "it ends as the session opens"
    desk.now = OPENS - 5
    assert desk.bar(100, 105, 95, 101) == ["A: 1 at 100, taker"]
    desk.now = CLOSES - 5
    assert desk.bar(100, 105, 95, 102) == ["B: 1 at 102, taker"]


def test_an_order_that_came_after_the_open_of_a_bar_has_missed_it(desk: Desk) -> None:
    desk.now = OPENS - 2
    desk.market("A", BUY, 1, **opening())
    desk.now = OPENS - 5
    assert desk.bar(100, 105, 95, 101) == []
    desk.now = OPENS + WAIT
    assert desk.bar(100, 105, 95, 101) == ["A: expired"]


@states("Only market and limit orders that may take can be for an auction.")
def test_other_orders_are_not_for_auctions() -> None:
    simulator = MarketSimulator()
    with pytest.raises(ValueError, match="auction"):
        simulator.submit(BUY, Kind.STOP, 1, ts_ns=0, stop_price_ticks=1, **opening())
    with pytest.raises(ValueError, match="auction"):
        simulator.submit(BUY, Kind.TRAILING_STOP, 1, ts_ns=0, trail_ticks=1, **closing())
    with pytest.raises(ValueError, match="post-only"):
        simulator.submit(
            BUY, Kind.LIMIT, 1, ts_ns=0, limit_price_ticks=1, post_only=True, **opening(),
        )  # fmt: skip
    for lifetime, auction_ns in ((Lifetime.OPG, NEVER_NS), (Lifetime.REST, OPENS)):
        with pytest.raises(ValueError, match="auction"):
            simulator.submit(BUY, Kind.MARKET, 1, ts_ns=0, lifetime=lifetime, auction_ns=auction_ns)


def test_time_alone_holds_the_closing_and_ends_the_opening(desk: Desk) -> None:
    desk.market("A", BUY, 1, **opening())
    desk.market("B", SELL, 1, **closing())
    assert desk.told(desk.simulator.expire(OPENS + WAIT - 1)) == []
    assert desk.told(desk.simulator.expire(OPENS + WAIT)) == ["A: expired"]
    desk.now = CLOSES - 1
    desk.trade(97)
    assert desk.told(desk.simulator.expire(CLOSES + WAIT - 1)) == []
    assert desk.told(desk.simulator.expire(CLOSES + WAIT)) == ["B: 1 at 97, taker"]


def test_a_closing_order_that_has_seen_no_price_expires(desk: Desk) -> None:
    desk.market("A", SELL, 1, **closing())
    desk.now = CLOSES
    assert desk.quote(99, 101) == ["A: expired"]


def test_a_restored_order_still_waits_for_its_auction(desk: Desk) -> None:
    handle = desk.simulator.restore(
        BUY, Kind.LIMIT, 3, accepted_ns=5, limit_price_ticks=104, **opening(),
    )  # fmt: skip
    desk.names[handle] = "A"
    desk.now = OPENS - 1
    assert desk.quote(99, 101) == []
    desk.now = OPENS
    assert desk.quote(99, 102) == ["A: 3 at 102, taker"]


def test_a_waiting_order_can_be_changed_and_cancelled(desk: Desk) -> None:
    desk.quote(99, 101)
    desk.limit("A", BUY, 1, 90, **opening())
    desk.market("B", BUY, 1, **opening())
    _, told = desk.modify("A", Kind.LIMIT, 4, limit_price_ticks=105, expires_ns=OPENS + WAIT)
    assert told == []
    assert desk.told(desk.simulator.cancel(desk.handle("B"), ts_ns=desk.now)) == ["B: requested"]
    desk.now = OPENS
    assert desk.quote(99, 102) == ["A: 4 at 102, taker"]
