"""docs/concepts/fills.md, point by point, on the engine. Times are nanoseconds, prices ticks."""

from typing import Any

import pytest

from alphintra.engine import (
    NEVER_NS,
    NO_HANDLE,
    NO_PRICE,
    Event,
    EventKind,
    Kind,
    Lifetime,
    MarketSimulator,
    Outcome,
    Reason,
    Side,
    grown,
    new_book,
    steps,
)
from tests.engine.statements import states

BUY, SELL = Side.BUY, Side.SELL


class Desk:
    """A simulator that gives orders letters and writes events the way a person would."""

    def __init__(self, **how: Any) -> None:
        self.simulator = MarketSimulator(**how)
        self.names: dict[int, str] = {}
        self.now = 0

    def handle(self, name: str) -> int:
        return next(handle for handle, known in self.names.items() if known == name)

    def order(self, name: str, side: Side, kind: Kind, lots: int, **terms: int) -> list[str]:
        handle, events = self.simulator.submit(side, kind, lots, ts_ns=self.now, **terms)  # type: ignore[arg-type]
        self.names[handle] = name
        return self.told(events)

    def market(self, name: str, side: Side, lots: int, **terms: int) -> list[str]:
        return self.order(name, side, Kind.MARKET, lots, **terms)

    def limit(self, name: str, side: Side, lots: int, price: int, **terms: int) -> list[str]:
        return self.order(name, side, Kind.LIMIT, lots, limit_price_ticks=price, **terms)

    def stop(self, name: str, side: Side, lots: int, price: int, **terms: int) -> list[str]:
        return self.order(name, side, Kind.STOP, lots, stop_price_ticks=price, **terms)

    def stop_limit(
        self, name: str, side: Side, lots: int, stop: int, limit: int, **terms: int
    ) -> list[str]:
        prices = {"stop_price_ticks": stop, "limit_price_ticks": limit}
        return self.order(name, side, Kind.STOP_LIMIT, lots, **prices, **terms)

    def trail(self, name: str, side: Side, lots: int, **terms: int) -> list[str]:
        return self.order(name, side, Kind.TRAILING_STOP, lots, **terms)

    def quote(self, bid: int, ask: int, bid_lots: int = -1, ask_lots: int = -1) -> list[str]:
        return self.told(
            self.simulator.on_quote(bid, ask, bid_lots=bid_lots, ask_lots=ask_lots, ts_ns=self.now)
        )

    def trade(self, price: int, lots: int = -1) -> list[str]:
        return self.told(self.simulator.on_trade(price, lots, ts_ns=self.now))

    def bar(self, opening: int, high: int, low: int, close: int, volume: int = -1) -> list[str]:
        """Show a bar that begins now and takes ten nanoseconds."""
        begun = self.now
        self.now += 10
        return self.told(
            self.simulator.on_bar(
                opening, high, low, close, volume_lots=volume, open_ns=begun, close_ns=self.now
            )
        )

    def modify(self, name: str, kind: Kind, lots: int, **terms: int) -> tuple[Outcome, list[str]]:
        outcome, events = self.simulator.modify(
            self.handle(name), kind, lots, ts_ns=self.now, **terms
        )
        return outcome, self.told(events)

    def told(self, events: list[Event]) -> list[str]:
        return [self.tell(event) for event in events]

    def tell(self, event: Event) -> str:
        name = self.names[event.handle]
        match EventKind(event.kind):
            case EventKind.FILL:
                role = "maker" if event.is_maker else "taker"
                return f"{name}: {event.lots} at {event.price_ticks}, {role}"
            case EventKind.TRIGGERED:
                return f"{name}: triggered at {event.price_ticks}"
            case EventKind.CANCELED:
                return f"{name}: {Reason(event.reason).name.lower()}"
            case EventKind.EXPIRED:
                return f"{name}: expired"


@pytest.fixture
def desk() -> Desk:
    return Desk()


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
    terms = (BUY, Kind.LIMIT, 1, 10, NO_PRICE, 0, 0, Lifetime.REST, 0, NEVER_NS, 0)
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
