"""docs/concepts/fills.md on the engine: quotes, limits, trades and stops. Prices are in ticks."""

import pytest

from alphintra.engine import NO_PRICE, Kind, Lifetime, Side
from tests.engine.session import Desk
from tests.engine.statements import states

BUY, SELL = Side.BUY, Side.SELL


# Quotes


@states("A market order fills at the other side of the quote: a buy at the ask, a sell at the bid.")
def test_market_orders_fill_at_the_other_side(desk: Desk) -> None:
    desk.quote(99, 101)
    assert desk.market("A", BUY, 5) == ["A: 5 at 101, taker"]
    assert desk.market("B", SELL, 5) == ["B: 5 at 99, taker"]


@states(
    "An order that comes meets the last quote, as far as other orders have left its size.",
    "All orders share the size of a quote, and each quote brings a new size.",
)
def test_the_size_of_a_quote_is_used_up(desk: Desk) -> None:
    desk.quote(99, 101, 10, 10)
    assert desk.market("A", BUY, 7) == ["A: 7 at 101, taker"]
    assert desk.market("B", BUY, 7) == ["B: 3 at 101, taker"]
    assert desk.market("C", SELL, 7) == ["C: 7 at 99, taker"]
    assert desk.limit("D", BUY, 2, 105) == []
    assert desk.quote(99, 102, 10, 5) == ["B: 4 at 102, taker", "D: 1 at 105, maker"]


@states("A size that the source does not tell fills everything, a size of zero nothing.")
def test_an_unknown_size_fills_everything_and_zero_nothing(desk: Desk) -> None:
    desk.quote(99, 101, ask_lots=0)
    assert desk.market("A", BUY, 1_000_000) == []
    assert desk.quote(99, 101, ask_lots=0) == []
    assert desk.quote(99, 101, ask_lots=-1) == ["A: 1000000 at 101, taker"]


@states("What remains of a market order waits and fills on the next quotes.")
def test_a_market_order_fills_over_several_quotes(desk: Desk) -> None:
    assert desk.market("A", SELL, 8) == []
    assert desk.quote(99, 101, bid_lots=5) == ["A: 5 at 99, taker"]
    assert desk.trade(99, 100) == []
    assert desk.quote(98, 101, bid_lots=2) == ["A: 2 at 98, taker"]
    assert desk.quote(97, 101, bid_lots=2) == ["A: 1 at 97, taker"]


@states("A side on which nobody quotes fills nothing and triggers nothing.")
def test_an_empty_side_does_nothing(desk: Desk) -> None:
    desk.quote(99, NO_PRICE)
    assert desk.market("A", BUY, 1) == []
    assert desk.stop("B", BUY, 1, 50) == []
    assert desk.market("C", BUY, 1, lifetime=Lifetime.IOC) == ["C: immediate_or_cancel"]
    assert desk.quote(NO_PRICE, NO_PRICE) == []
    assert desk.quote(98, 102) == [
        "B: triggered at 50",
        "A: 1 at 102, taker",
        "B: 1 at 102, taker",
    ]


@states("Slippage makes orders without a limit fill that many ticks worse; limits are kept.")
def test_slippage_spares_limits() -> None:
    desk = Desk(slippage_ticks=3)
    desk.quote(99, 101)
    assert desk.market("A", BUY, 1) == ["A: 1 at 104, taker"]
    assert desk.market("B", SELL, 1) == ["B: 1 at 96, taker"]
    assert desk.limit("C", BUY, 1, 101) == ["C: 1 at 101, taker"]
    assert desk.stop("D", SELL, 1, 99) == ["D: triggered at 99", "D: 1 at 96, taker"]


# Limits


@states(
    "A limit order that the quote reaches when it comes is a taker: it fills at the other side, "
    "its price or better."
)
def test_a_marketable_limit_takes_at_the_better_price(desk: Desk) -> None:
    desk.quote(99, 101, ask_lots=4)
    assert desk.limit("A", BUY, 6, 105) == ["A: 4 at 101, taker"]
    assert desk.limit("B", SELL, 6, 90) == ["B: 6 at 99, taker"]


@states(
    "A limit order that rests is a maker: it fills at its own price when the other side of the "
    "quote reaches it."
)
def test_a_resting_limit_makes_at_its_own_price(desk: Desk) -> None:
    desk.quote(99, 101)
    assert desk.limit("A", BUY, 6, 98) == []
    assert desk.limit("B", SELL, 6, 103) == []
    assert desk.quote(97, 99) == []
    assert desk.quote(90, 95) == ["A: 6 at 98, maker"]
    assert desk.quote(103, 104) == ["B: 6 at 103, maker"]


@states(
    "Market orders go first, then the limits that go furthest beyond the price, then who came "
    "first."
)
def test_price_goes_before_time(desk: Desk) -> None:
    desk.quote(99, 120, ask_lots=0)
    desk.limit("A", BUY, 1, 100)
    desk.limit("B", BUY, 1, 102)
    desk.limit("C", BUY, 1, 102)
    desk.market("D", BUY, 1)
    assert desk.quote(90, 100, ask_lots=3) == [
        "D: 1 at 100, taker",
        "B: 1 at 102, maker",
        "C: 1 at 102, maker",
    ]
    assert desk.quote(90, 100, ask_lots=3) == ["A: 1 at 100, maker"]


@states("A post-only order that would take when it comes is refused.")
def test_post_only_never_takes(desk: Desk) -> None:
    desk.quote(99, 101)
    assert desk.limit("A", BUY, 1, 101, post_only=1) == ["A: post_only_would_take"]
    assert desk.limit("B", BUY, 1, 100, post_only=1) == []
    assert desk.quote(98, 100) == ["B: 1 at 100, maker"]
    assert desk.stop_limit("C", BUY, 1, 104, 106, post_only=1) == []
    assert desk.quote(104, 105) == ["C: triggered at 104", "C: post_only_would_take"]


# Trades


@states(
    "A print at the limit of a resting order or beyond fills it at its limit, up to the size "
    "printed."
)
def test_a_print_fills_resting_limits(desk: Desk) -> None:
    desk.quote(99, 101)
    desk.limit("A", BUY, 10, 99)
    assert desk.trade(100, 5) == []
    assert desk.trade(99, 4) == ["A: 4 at 99, maker"]
    assert desk.trade(97, 4) == ["A: 4 at 99, maker"]
    assert desk.trade(99, 0) == []


@states("Buys and sells share the size of a print.")
def test_both_sides_share_a_print(desk: Desk) -> None:
    desk.quote(90, 110)
    desk.limit("A", SELL, 3, 99)
    desk.limit("B", BUY, 3, 102)
    assert desk.trade(100, 4) == ["B: 3 at 102, maker", "A: 1 at 99, maker"]


@states("With `through_only`, a print or a bar that only touches a limit does not fill it.")
def test_through_only_stands_last_in_the_queue() -> None:
    desk = Desk(through_only=1)
    desk.limit("A", BUY, 3, 99)
    assert desk.trade(99, 10) == []
    assert desk.bar(100, 101, 99, 100) == []
    assert desk.bar(99, 99, 99, 99) == []
    assert desk.trade(98, 1) == ["A: 1 at 99, maker"]
    assert desk.bar(100, 101, 98, 100) == ["A: 2 at 99, maker"]
    desk.limit("B", BUY, 3, 99)
    assert desk.quote(98, 99) == ["B: 3 at 99, taker"]


@states("Market orders fill at prints only where no quote was ever seen.")
def test_market_orders_prefer_quotes(desk: Desk) -> None:
    desk.market("A", BUY, 5)
    desk.limit("B", BUY, 5, 110)
    assert desk.trade(100, 7) == ["A: 5 at 100, taker", "B: 2 at 100, taker"]
    assert desk.trade(105, 7) == ["B: 3 at 110, maker"]
    desk.quote(99, 101, ask_lots=0)
    desk.market("C", BUY, 5)
    assert desk.trade(100, 7) == []


# Stops


@states(
    "A sell stop triggers when the bid is at its price or below, a buy stop when the ask is at its "
    "price or above."
)
def test_stops_trigger_on_their_side_of_the_quote(desk: Desk) -> None:
    desk.quote(99, 101)
    assert desk.stop("A", SELL, 1, 97) == []
    assert desk.stop("B", BUY, 1, 103) == []
    assert desk.quote(98, 102) == []
    assert desk.quote(95, 96) == ["A: triggered at 97", "A: 1 at 95, taker"]
    assert desk.quote(102, 103) == ["B: triggered at 103", "B: 1 at 103, taker"]
    assert desk.stop("C", SELL, 1, 102) == ["C: triggered at 102", "C: 1 at 102, taker"]


@states(
    "A print at the stop price or beyond triggers it too, and it fills at the last quote or the "
    "print, whichever is worse."
)
@pytest.mark.parametrize(
    ("bid", "ask", "side", "stop", "printed", "paid"),
    [
        (99, 101, SELL, 97, 97, 97),  # the quote is late
        (95, 101, SELL, 94, 94, 94),
        (99, 101, BUY, 102, 103, 103),
        (99, 101, BUY, 103, 103, 103),
        (99, 105, BUY, 106, 106, 106),
    ],
)
def test_prints_trigger_stops(
    desk: Desk, bid: int, ask: int, side: Side, stop: int, printed: int, paid: int
) -> None:
    desk.quote(bid, ask)
    assert desk.stop("A", side, 1, stop) == []
    told = [f"A: triggered at {stop}", f"A: 1 at {paid}, taker"]
    assert desk.trade(printed, 1) == told


def test_a_print_triggers_a_restored_stop_but_the_worse_quote_fills_it(desk: Desk) -> None:
    desk.quote(90, 110)
    handle = desk.simulator.restore(SELL, Kind.STOP, 1, accepted_ns=0, stop_price_ticks=95)
    desk.names[handle] = "A"
    assert desk.trade(94, 1) == ["A: triggered at 95", "A: 1 at 90, taker"]


@states(
    "A triggered stop is a market order that comes at that moment, behind those that are there."
)
def test_triggered_stops_stand_behind_market_orders(desk: Desk) -> None:
    desk.quote(99, 101, ask_lots=0)
    desk.stop("A", BUY, 2, 103)
    desk.market("B", BUY, 2)
    assert desk.quote(102, 103, ask_lots=3) == [
        "A: triggered at 103",
        "B: 2 at 103, taker",
        "A: 1 at 103, taker",
    ]


@states("A triggered stop-limit is a limit order that comes at that moment.")
def test_stop_limits_become_limits(desk: Desk) -> None:
    desk.quote(99, 101)
    desk.stop_limit("A", SELL, 1, 97, 95)
    desk.stop_limit("B", SELL, 1, 97, 98)
    assert desk.quote(96, 99) == [
        "A: triggered at 97",
        "B: triggered at 97",
        "A: 1 at 96, taker",
    ]
    assert desk.quote(99, 100) == ["B: 1 at 98, maker"]


@states(
    "A trailing stop follows the bid up for a sell and the ask down for a buy, and never moves "
    "back."
)
def test_trailing_stops_follow_favourable_moves(desk: Desk) -> None:
    desk.quote(99, 101)
    desk.trail("A", SELL, 1, trail_ticks=5)
    desk.trail("B", BUY, 1, trail_ticks=5)
    assert desk.quote(104, 105) == []
    assert desk.quote(100, 101) == []
    assert desk.quote(99, 100) == ["A: triggered at 99", "A: 1 at 99, taker"]
    assert desk.quote(103, 104) == []
    assert desk.quote(104, 105) == ["B: triggered at 105", "B: 1 at 105, taker"]


@states("Prints move a trailing stop only where no quote was ever seen.")
def test_prints_move_trailing_stops_without_quotes(desk: Desk) -> None:
    desk.trail("A", SELL, 1, trail_ticks=5)
    assert desk.trade(110) == []
    assert desk.trade(106) == []
    assert desk.trade(105) == ["A: triggered at 105", "A: 1 at 105, taker"]
    desk.quote(104, 106)
    desk.trail("B", SELL, 1, trail_ticks=5)
    assert desk.trade(120) == []
    assert desk.quote(100, 106) == []
    assert desk.trade(99) == ["B: triggered at 99", "B: 1 at 99, taker"]


@states("A trail in percent is rounded down to a whole tick, and is at least one.")
def test_percent_trails_are_whole_ticks(desk: Desk) -> None:
    desk.quote(199, 201)
    desk.trail("A", SELL, 1, trail_bps=100)
    assert desk.quote(198, 201) == ["A: triggered at 198", "A: 1 at 198, taker"]
    desk.quote(299, 301)
    desk.trail("B", SELL, 1, trail_bps=100)
    desk.trail("C", SELL, 1, trail_bps=1)
    assert desk.quote(298, 301) == ["C: triggered at 298", "C: 1 at 298, taker"]
    assert desk.quote(297, 301) == ["B: triggered at 297", "B: 1 at 297, taker"]
