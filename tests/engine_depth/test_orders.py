"""docs/concepts/depth.md on orders: taking, waiting in the queue, changes. Prices are in ticks."""

import pytest

from alphintra.engine import Kind, Lifetime, Side
from alphintra.engine.depth import QueueModel, Status
from tests.engine.statements import states
from tests.engine_depth.scene import Scene

BOOK = "0 book 97:4 98:5 99:10 | 101:5 102:20 105:1"


def scene(later: str = "", **terms: object) -> Scene:
    return Scene(f"{BOOK}\n{later}\n1000 bid 1:1", **terms)  # type: ignore[arg-type]


# Orders that take


@states("A market order takes the levels of the other side, the best first, with a fill for each.")
def test_a_market_order_walks_the_levels() -> None:
    desk = scene()
    desk.buy("A", 7)
    desk.sell("B", 16)
    assert desk.to(0) == [
        "A: 5 at 101, t", "A: 2 at 102, t", "B: 10 at 99, t", "B: 5 at 98, t", "B: 1 at 97, t",
    ]  # fmt: skip


@states("What a market order does not find is cancelled.")
def test_a_market_order_empties_a_side() -> None:
    desk = scene()
    desk.sell("A", 30)
    assert desk.to(0)[2:] == ["A: 4 at 97, t", "A: canceled 11, nothing_left"]
    assert desk.simulation.status(0) == Status.CANCELED


@states(
    "A limit order takes levels up to its limit, and what remains joins the queue at its price."
)
def test_a_limit_takes_and_then_waits() -> None:
    desk = scene("5 sold 102:4")
    desk.buy("A", 30, at=102)
    assert desk.to(0) == ["A: 5 at 101, t", "A: 20 at 102, t"]
    assert desk.simulation.remaining_lots(0) == 5
    assert desk.to(5) == ["A: 4 at 102, m"]


@states(
    "What our orders have taken of a level stays gone; only what is added later can be taken again."
)
def test_what_was_taken_stays_gone() -> None:
    desk = scene("5 ask 101:7\n10 ask 101:3\n15 ask 101:0\n20 ask 101:2")
    desk.buy("A", 5, at=101)
    assert desk.to(0) == ["A: 5 at 101, t"]
    desk.buy("B", 1, at=101, lifetime=Lifetime.IOC)
    assert desk.to(4) == ["B: canceled 1, immediate_or_cancel"]
    desk.to(5)
    desk.buy("C", 3, at=101, lifetime=Lifetime.IOC)
    assert desk.to(6) == ["C: 2 at 101, t", "C: canceled 1, immediate_or_cancel"]
    desk.to(10)  # 7 were taken; 4 of them are what has gone, so 3 still are
    desk.buy("D", 1, at=101, lifetime=Lifetime.IOC)
    assert desk.to(11) == ["D: canceled 1, immediate_or_cancel"]
    desk.to(20)
    desk.buy("E", 3, at=101, lifetime=Lifetime.IOC)
    assert desk.to(21)[0] == "E: 2 at 101, t"


@states("What trades have used of a level since its last change cannot be taken.")
def test_what_was_traded_cannot_be_taken() -> None:
    desk = scene("5 bought 101:3\n10 ask 101:4")
    desk.to(5)
    desk.buy("A", 5, at=101, lifetime=Lifetime.IOC)
    assert desk.to(6) == ["A: 2 at 101, t", "A: canceled 3, immediate_or_cancel"]
    desk.to(10)
    desk.buy("B", 5, at=101, lifetime=Lifetime.IOC)
    # 5 became 4, which is one less than we saw: one of the two that A has taken.
    assert desk.to(11) == ["B: 3 at 101, t", "B: canceled 2, immediate_or_cancel"]


@states("IOC takes what it can on arrival, and the rest is cancelled.")
def test_ioc() -> None:
    desk = scene()
    desk.sell("A", 12, at=99, lifetime=Lifetime.IOC)
    assert desk.to(0) == ["A: 10 at 99, t", "A: canceled 2, immediate_or_cancel"]


@states("FOK takes all of it on arrival, or nothing and is cancelled.")
def test_fok() -> None:
    desk = scene()
    desk.buy("A", 26, at=102, lifetime=Lifetime.FOK)
    desk.buy("B", 25, at=102, lifetime=Lifetime.FOK)
    assert desk.to(0) == [
        "A: canceled 26, fill_or_kill", "B: 5 at 101, t", "B: 20 at 102, t",
    ]  # fmt: skip


@states("A post-only order that would take on arrival is rejected.")
def test_post_only() -> None:
    desk = scene()
    desk.buy("A", 1, at=101, post_only=True)
    desk.buy("B", 1, at=100, post_only=True)
    assert desk.to(0) == ["A: rejected 1, post_only_would_take"]
    assert [desk.simulation.status(order) for order in (0, 1)] == [Status.REJECTED, Status.OPEN]


# Orders that wait


@states(
    "An order joins behind all that its level holds, less what trades have used since the level "
    "last changed."
)
def test_an_order_joins_behind_the_others() -> None:
    desk = scene("5 sold 99:4")
    desk.buy("A", 1, at=99)
    desk.to(5)
    desk.buy("B", 1, at=99)
    desk.buy("C", 1, at=100)
    desk.to(6)
    assert [desk.ahead(name) for name in "ABC"] == [6, 6, 0]


@states(
    "A trade at its price uses up the queue: first who is ahead, then our order, then who is "
    "behind."
)
def test_a_trade_uses_up_the_queue() -> None:
    desk = scene("5 sold 99:4\n6 sold 99:8\n7 sold 99:1\n8 sold 99:50")
    desk.buy("A", 5, at=99)
    assert desk.to(5) == []
    assert desk.to(6) == ["A: 2 at 99, m"]
    assert desk.to(7) == ["A: 1 at 99, m"]
    assert desk.to(8) == ["A: 2 at 99, m"]


@states(
    "Of two orders of ours at one price the first goes first, then who came between them, then the "
    "second."
)
def test_two_orders_in_one_queue() -> None:
    desk = scene("5 bid 99:13\n10 sold 99:11\n20 sold 99:5\n30 sold 99:2")
    desk.buy("A", 2, at=99)
    desk.to(6)
    desk.buy("B", 4, at=99)
    desk.to(7)
    assert [desk.ahead(name) for name in "AB"] == [10, 13]
    assert desk.to(10) == ["A: 1 at 99, m"]
    # One for A, three for those between, one for B.
    assert desk.to(20) == ["A: 1 at 99, m", "B: 1 at 99, m"]
    assert desk.to(30) == ["B: 2 at 99, m"]


@states(
    "Sells use up bids and buys asks; a trade whose taker is not known uses up the side that shows "
    "its price."
)
def test_a_trade_uses_up_the_side_that_it_hit() -> None:
    desk = scene("5 bought 99:20\n10 traded 99:11\n20 traded 101:6")
    desk.buy("A", 5, at=99)
    desk.sell("B", 5, at=101)
    assert desk.to(5) == []
    assert desk.to(10) == ["A: 1 at 99, m"]
    assert desk.to(20) == ["B: 1 at 101, m"]


@states("A trade at a price that is worse for the other side fills the order in full.")
def test_a_trade_through_the_price_fills_all() -> None:
    desk = scene("5 sold 98:1\n10 bought 102:1")
    desk.buy("A", 50, at=99)
    desk.sell("B", 50, at=101)
    assert desk.to(5) == ["A: 50 at 99, m"]
    assert desk.to(10) == ["B: 50 at 101, m"]


@states(
    "When the other side of the book comes to an order's price or beyond, it fills as far as the "
    "size there goes."
)
def test_the_other_side_comes_to_the_price() -> None:
    desk = scene("5 bid 99:0 98:0 ask 99:3\n10 ask 98:4\n20 ask 99:4")
    desk.buy("A", 9, at=99)
    assert desk.to(5) == ["A: 3 at 99, m"]
    assert desk.to(10) == ["A: 4 at 99, m"]
    assert desk.to(20) == ["A: 1 at 99, m"]


@states(
    "An order that has waited fills at its own price, as a maker; the best price goes first, then "
    "who came first."
)
def test_price_goes_before_time() -> None:
    desk = scene("5 bid 99:0 98:0 97:0 ask 98:7")
    desk.buy("A", 2, at=98)
    desk.buy("B", 2, at=99)
    desk.buy("C", 2, at=100)
    desk.buy("D", 2, at=99)
    assert desk.to(5) == ["C: 2 at 100, m", "B: 2 at 99, m", "D: 2 at 99, m", "A: 1 at 98, m"]


@states("What comes to a level joins behind us.")
def test_what_comes_joins_behind() -> None:
    desk = scene("5 bid 99:30\n10 sold 99:11")
    desk.buy("A", 1, at=99)
    desk.to(5)
    assert desk.ahead("A") == 10
    assert desk.to(10) == ["A: 1 at 99, m"]


@states("A level that shrinks by what trades have used has lost nobody else.")
def test_a_trade_is_not_counted_twice() -> None:
    desk = scene("2 bid 99:20\n5 sold 99:4\n10 bid 99:16\n20 bid 99:8")
    desk.buy("A", 1, at=99)
    desk.to(5)
    assert desk.ahead("A") == 6
    desk.to(10)
    assert desk.ahead("A") == 6
    desk.to(20)
    assert desk.ahead("A") == 3


@states(
    "With `PROPORTIONAL`, who leaves a level leaves ahead and behind by their share, rounded to "
    "our disadvantage."
)
def test_proportional_cancellation() -> None:
    desk = scene("2 bid 99:15\n5 bid 99:10\n10 bid 99:0")
    desk.buy("A", 1, at=99)
    desk.to(5)
    assert desk.ahead("A") == 7  # 5 of 15 leave; a third of 10 is 3.3
    desk.to(10)
    assert desk.ahead("A") == 0


@states("With `CONSERVATIVE`, who leaves a level leaves from behind, as long as anybody is there.")
def test_conservative_cancellation() -> None:
    desk = scene("2 bid 99:15\n5 bid 99:10\n10 bid 99:4", queue_model=QueueModel.CONSERVATIVE)
    desk.buy("A", 1, at=99)
    desk.to(5)
    assert desk.ahead("A") == 10
    desk.to(10)
    assert desk.ahead("A") == 4


# Changes


@states(
    "Another price or a larger quantity sends an order to the end of its queue; a smaller quantity "
    "does not."
)
def test_a_changed_order_may_lose_its_place() -> None:
    desk = scene("2 bid 99:15\n20 bid 98:8")
    desk.buy("A", 5, at=99)
    desk.to(3)
    desk.modify("A", 3, 99)
    assert desk.to(4) == ["A: replaced 3"]
    assert desk.ahead("A") == 10
    desk.modify("A", 4, 99)
    assert desk.to(5) == ["A: replaced 4"]
    assert desk.ahead("A") == 15
    desk.to(20)
    desk.modify("A", 4, 98)
    assert desk.to(21) == ["A: replaced 4"]
    assert desk.ahead("A") == 8
    desk.modify("A", 6, 101)
    assert desk.to(22) == ["A: replaced 6", "A: 5 at 101, t"]
    assert desk.simulation.remaining_lots(0) == 1


@states("A post-only order is not moved to a price at which it would take; it stays as it was.")
def test_a_post_only_order_is_not_moved_into_the_book() -> None:
    desk = scene("5 sold 98:1")
    desk.buy("A", 5, at=99, post_only=True)
    desk.to(0)
    desk.modify("A", 6, 101)
    assert desk.to(1) == ["A: refused 5, post_only_would_take"]
    assert desk.to(5) == ["A: 5 at 99, m"]


@states("A request for an order that has ended is refused.")
def test_a_request_that_comes_too_late_is_refused() -> None:
    desk = scene("5 sold 98:1", entry_ns=10)
    desk.buy("A", 5, at=99)
    desk.to(10)
    desk.cancel("A")
    desk.modify("A", 3, 98)
    desk = scene("15 sold 98:1", entry_ns=10, response_ns=10)
    desk.buy("A", 5, at=99)
    desk.to(10)
    assert desk.cancel("A")
    assert desk.modify("A", 3, 98)
    assert not desk.cancel("A")  # one is on its way
    assert desk.to(30) == ["A: 5 at 99, m", "A: refused 0, not_open", "A: refused 0, not_open"]
    assert not desk.modify("A", 3, 98)  # known to have ended


def test_a_cancelled_order_is_gone() -> None:
    desk = scene("5 sold 98:1")
    desk.buy("A", 5, at=99)
    desk.to(0)
    assert desk.cancel("A")
    assert desk.to(5) == ["A: canceled 5, requested"]
    assert not desk.cancel("A")


def test_terms_that_no_venue_takes_are_refused() -> None:
    simulation = scene().simulation
    for kind, terms in [
        (Kind.STOP, {}),
        (Kind.LIMIT, {}),
        (Kind.MARKET, {"limit_price_ticks": 5}),
        (Kind.MARKET, {"post_only": True}),
        (Kind.LIMIT, {"limit_price_ticks": 5, "post_only": True, "lifetime": Lifetime.IOC}),
        (Kind.LIMIT, {"limit_price_ticks": 0}),
        (Kind.MARKET, {"lifetime": Lifetime.CLS}),
    ]:
        with pytest.raises(ValueError, match=r"order|limit price|post-only|out of range|auctions"):
            simulation.submit(Side.BUY, kind, 1, **terms)  # type: ignore[arg-type]
    for lots in (0, 2**31):
        with pytest.raises(ValueError, match="positive quantity"):
            simulation.submit(Side.BUY, Kind.MARKET, lots)
    with pytest.raises(ValueError, match="no order 0"):
        simulation.cancel(0)
    simulation.advance_to(5)
    with pytest.raises(ValueError, match="before the present"):
        simulation.advance_to(4)
