"""The paper venue: decimals in and out, refusals, bars against finer data, restarts."""

import random
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, assert_never
from uuid import UUID, uuid5

import msgspec
import pytest

from alphintra.core import money
from alphintra.core.clock import NS_PER_SECOND
from alphintra.core.ids import OrderId
from alphintra.core.instruments import Asset, AssetClass, Instrument, Symbol
from alphintra.core.market_data import Bar, Quote, Trade
from alphintra.core.orders import OrderType, Side, TimeInForce
from alphintra.trading.paper import PaperRules, PaperVenue
from alphintra.trading.paper_terms import bar_end_ns
from alphintra.trading.surroundings import Sessions
from alphintra.trading.venue import (
    FeeSchedule,
    Liquidity,
    VenueCanceled,
    VenueEvent,
    VenueExpired,
    VenueFill,
    VenueModified,
    VenueOrder,
    VenueRefusal,
    VenueRejected,
    VenueTriggered,
)
from tests.engine import test_auctions, test_bars_and_changes, test_fills
from tests.engine.statements import held, states, written

NOW = 1_700_000_000 * NS_PER_SECOND
MINUTE = 60 * NS_PER_SECOND
ACME = Instrument(
    symbol=Symbol("ACME"),
    name="Acme",
    asset_class=AssetClass.EQUITY,
    base=Asset("ACME"),
    quote=Asset("USD"),
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.001"),
)
BUY, SELL = Side.BUY, Side.SELL
FEES = FeeSchedule(maker_bps=Decimal(1), taker_bps=Decimal(5), minimum=Decimal("0.01"))


def d(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def order_id(name: str) -> OrderId:
    return OrderId(uuid5(UUID(int=0), name))


def order(name: str, side: Side, type_: OrderType, quantity: str, **terms: Any) -> VenueOrder:
    """Return an order; prices and amounts are given as text."""
    amounts = {"price", "stop_price", "trail_amount", "trail_percent", "water_mark"}
    fields: dict[str, Any] = {"accepted_ns": NOW}
    fields |= {key: d(value) if key in amounts else value for key, value in terms.items()}
    return VenueOrder(
        order_id=order_id(name),
        symbol="ACME",
        side=side,
        type=type_,
        quantity=Decimal(quantity),
        **fields,
    )


def quote(bid: str, ask: str, bid_size: str | None = None, ask_size: str | None = None) -> Quote:
    return Quote(
        ts_ns=NOW,
        bid=Decimal(bid),
        ask=Decimal(ask),
        bid_size=d(bid_size),
        ask_size=d(ask_size),
    )


def bar(ts_ns: int, opening: str, high: str, low: str, close: str, **fields: Any) -> Bar:
    return Bar(
        ts_ns,
        fields.pop("timeframe", "1m"),
        Decimal(opening),
        Decimal(high),
        Decimal(low),
        Decimal(close),
        **fields,
    )


def told(events: list[VenueEvent]) -> list[str]:
    """Write events the way a person would."""
    lines = []
    for event in events:
        match event:
            case VenueFill(quantity=quantity, price=price, fee=fee, liquidity=liquidity):
                amounts = (money.text(amount) for amount in (quantity, price, fee))
                lines.append("{} at {}, fee {}, ".format(*amounts) + liquidity.lower())
            case VenueCanceled(reason=reason):
                lines.append(f"canceled: {reason}")
            case VenueRejected(reason=refusal):
                lines.append(f"rejected: {refusal}")
            case VenueTriggered():
                lines.append("triggered")
            case VenueModified():
                lines.append("modified")
            case VenueExpired():
                lines.append("expired")
            case _:
                assert_never(event)
    return lines


@pytest.fixture
def venue() -> PaperVenue:
    return PaperVenue({"ACME": ACME}, PaperRules(fees=FEES))


def test_every_point_of_the_page_has_a_test() -> None:
    points = held(test_auctions, test_fills, test_bars_and_changes, sys.modules[__name__])
    assert sorted(points) == sorted(written())


# Decimals


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({"type_": OrderType.MARKET}, ["2.5 at 100.01, fee 0.1250125, taker"]),
        ({"type_": OrderType.LIMIT, "price": "100.05"}, ["2.5 at 100.01, fee 0.1250125, taker"]),
        ({"type_": OrderType.LIMIT, "price": "100.00"}, []),
        ({"type_": OrderType.STOP, "stop_price": "100.02"}, []),
        (
            {"type_": OrderType.STOP, "stop_price": "100.01"},
            ["triggered", "2.5 at 100.01, fee 0.1250125, taker"],
        ),
        ({"type_": OrderType.TRAILING_STOP, "trail_percent": "1.25"}, []),
    ],
)
def test_orders_meet_the_last_quote(
    venue: PaperVenue, terms: dict[str, Any], expected: list[str]
) -> None:
    venue.on_market_data("ACME", quote("99.99", "100.01"))
    events = venue.submit(order("A", BUY, quantity="2.5", **terms))
    assert told(events) == expected


def test_a_fill_has_everything_the_ledger_needs(venue: PaperVenue) -> None:
    venue.on_market_data("ACME", quote("99.99", "100.01", "10", "10"))
    first = venue.submit(order("A", BUY, OrderType.MARKET, "12"))
    second = venue.on_market_data("ACME", quote("99.99", "100.02", "10", "10"))
    assert first == [
        VenueFill(
            order_id=order_id("A"),
            fill_id=uuid5(order_id("A"), "10"),  # type: ignore[arg-type]
            quantity=Decimal(10),
            price=Decimal("100.01"),
            fee=Decimal("0.50005"),
            liquidity=Liquidity.TAKER,
            filled_quantity=Decimal(10),
            ts_ns=NOW,
        )
    ]
    (fill,) = second
    assert isinstance(fill, VenueFill)
    assert (fill.quantity, fill.price, fill.filled_quantity) == (
        Decimal(2),
        Decimal("100.02"),
        Decimal(12),
    )
    assert not venue.is_open(order_id("A"))
    assert venue.open_orders == 0


def test_quotes_between_ticks_are_rounded_to_the_worse(venue: PaperVenue) -> None:
    venue.on_market_data("ACME", quote("99.9999", "100.0001"))
    (bought,) = venue.submit(order("A", BUY, OrderType.MARKET, "1"))
    (sold,) = venue.submit(order("B", SELL, OrderType.MARKET, "1"))
    assert isinstance(bought, VenueFill)
    assert isinstance(sold, VenueFill)
    assert (bought.price, sold.price) == (Decimal("100.01"), Decimal("99.99"))


def test_sizes_below_a_lot_are_nothing(venue: PaperVenue) -> None:
    venue.on_market_data("ACME", quote("99", "100", "0.0009", "0.0009"))
    assert venue.submit(order("A", BUY, OrderType.MARKET, "1")) == []


def test_a_side_at_zero_is_empty(venue: PaperVenue) -> None:
    venue.on_market_data("ACME", quote("0", "100"))
    assert venue.submit(order("A", SELL, OrderType.MARKET, "1")) == []
    assert len(venue.on_market_data("ACME", quote("99", "100"))) == 1


# Refusals


@pytest.mark.parametrize(
    ("terms", "refusal"),
    [
        ({"type_": OrderType.MARKET, "quantity": "0.0005"}, "quantity_not_on_lot"),
        ({"type_": OrderType.MARKET, "quantity": "NaN"}, "quantity_not_on_lot"),
        ({"type_": OrderType.MARKET, "quantity": "0"}, "quantity_not_above_filled"),
        ({"type_": OrderType.MARKET, "quantity": "-1"}, "quantity_not_above_filled"),
        ({"type_": OrderType.MARKET, "quantity": "1e18"}, "quantity_out_of_range"),
        ({"type_": OrderType.LIMIT}, "price_missing"),
        ({"type_": OrderType.STOP}, "price_missing"),
        ({"type_": OrderType.STOP_LIMIT, "price": "5"}, "price_missing"),
        ({"type_": OrderType.MARKET, "price": "5"}, "price_not_allowed"),
        ({"type_": OrderType.LIMIT, "price": "5", "stop_price": "4"}, "price_not_allowed"),
        ({"type_": OrderType.LIMIT, "price": "5.001"}, "price_not_on_tick"),
        ({"type_": OrderType.LIMIT, "price": "Infinity"}, "price_not_on_tick"),
        ({"type_": OrderType.LIMIT, "price": "-5"}, "price_out_of_range"),
        ({"type_": OrderType.LIMIT, "price": "0"}, "price_out_of_range"),
        ({"type_": OrderType.TRAILING_STOP}, "trail_invalid"),
        ({"type_": OrderType.TRAILING_STOP, "trail_amount": "0.001"}, "trail_invalid"),
        ({"type_": OrderType.TRAILING_STOP, "trail_percent": "0.001"}, "trail_invalid"),
        ({"type_": OrderType.TRAILING_STOP, "trail_percent": "101"}, "trail_invalid"),
        (
            {"type_": OrderType.TRAILING_STOP, "trail_percent": "1", "trail_amount": "1"},
            "trail_invalid",
        ),
        ({"type_": OrderType.MARKET, "trail_amount": "1"}, "trail_invalid"),
        ({"type_": OrderType.MARKET, "time_in_force": TimeInForce.DAY}, "expiry_missing"),
        ({"type_": OrderType.MARKET, "post_only": True}, "post_only_not_allowed"),
        (
            {
                "type_": OrderType.LIMIT,
                "price": "5",
                "post_only": True,
                "time_in_force": TimeInForce.IOC,
            },
            "post_only_not_allowed",
        ),
        ({"type_": OrderType.LIMIT, "price": "101", "post_only": True}, "post_only_would_take"),
    ],
)
def test_what_the_venue_refuses(venue: PaperVenue, terms: dict[str, Any], refusal: str) -> None:
    venue.on_market_data("ACME", quote("99", "100"))
    events = venue.submit(order("A", BUY, **{"quantity": "1", **terms}))
    reason = VenueRefusal(refusal)
    assert events == [VenueRejected(order_id=order_id("A"), reason=reason, ts_ns=NOW)]
    assert venue.open_orders == 0


def test_unknown_instruments_and_repeats_are_refused(venue: PaperVenue) -> None:
    unknown = msgspec.structs.replace(order("A", BUY, OrderType.MARKET, "1"), symbol="NONE")
    assert told(venue.submit(unknown)) == ["rejected: instrument_unknown"]
    waits = order("B", BUY, OrderType.MARKET, "1")
    assert venue.submit(waits) == []
    assert told(venue.submit(waits)) == ["rejected: order_exists"]
    assert told(venue.restore(waits)) == ["rejected: order_exists"]
    assert told(venue.cancel(order_id("C"), NOW)) == ["rejected: order_not_open"]


# Cancel, modify, expire


def test_cancel_ends_an_order_once(venue: PaperVenue) -> None:
    venue.submit(order("A", BUY, OrderType.LIMIT, "1", price="90"))
    assert told(venue.cancel(order_id("A"), NOW + 1)) == ["canceled: requested"]
    assert told(venue.cancel(order_id("A"), NOW + 2)) == ["rejected: order_not_open"]
    assert venue.on_market_data("ACME", quote("80", "81")) == []


def test_modify_counts_what_is_filled(venue: PaperVenue) -> None:
    venue.on_market_data("ACME", quote("99", "100", None, "4"))
    resting = order("A", BUY, OrderType.LIMIT, "10", price="100")
    venue.submit(resting)
    smaller = msgspec.structs.replace(resting, quantity=Decimal(6))
    assert told(venue.modify(smaller, NOW + 1)) == ["modified"]
    (fill,) = venue.on_market_data("ACME", quote("98", "99"))
    assert isinstance(fill, VenueFill)
    assert (fill.quantity, fill.filled_quantity) == (Decimal(2), Decimal(6))
    assert told(venue.modify(smaller, NOW + 2)) == ["rejected: order_not_open"]


def test_modify_refuses_what_cannot_change(venue: PaperVenue) -> None:
    venue.on_market_data("ACME", quote("99", "100", None, "4"))
    resting = order("A", BUY, OrderType.LIMIT, "10", price="100")
    venue.submit(resting)
    for changes, refusal in [
        ({"quantity": Decimal(4)}, "quantity_not_above_filled"),
        ({"price": Decimal("99.001")}, "price_not_on_tick"),
        ({"price": None}, "price_missing"),
        ({"side": SELL}, "change_not_allowed"),
        ({"type": OrderType.MARKET, "price": None}, "change_not_allowed"),
        ({"time_in_force": TimeInForce.IOC}, "change_not_allowed"),
    ]:
        changed = msgspec.structs.replace(resting, **changes)  # type: ignore[arg-type]
        assert told(venue.modify(changed, NOW + 1)) == [f"rejected: {refusal}"]
    (fill,) = venue.on_market_data("ACME", quote("99", "100"))
    assert isinstance(fill, VenueFill)
    assert fill.filled_quantity == 10


def test_a_modified_limit_can_take_at_once(venue: PaperVenue) -> None:
    venue.on_market_data("ACME", quote("99", "100"))
    resting = order("A", BUY, OrderType.LIMIT, "1", price="98")
    venue.submit(resting)
    moved = venue.modify(msgspec.structs.replace(resting, price=Decimal(101)), NOW + 7)
    assert [type(event) for event in moved] == [VenueModified, VenueFill]
    assert moved[1].ts_ns == NOW + 7


def test_expiry_is_told_by_the_caller_or_by_the_market(venue: PaperVenue) -> None:
    day = {"time_in_force": TimeInForce.DAY, "price": "90"}
    venue.submit(order("A", BUY, OrderType.LIMIT, "1", expires_ns=NOW + 10, **day))
    venue.submit(order("B", BUY, OrderType.LIMIT, "1", expires_ns=NOW + 20, **day))
    assert venue.expire(NOW + 9) == []
    assert venue.expire(NOW + 10) == [VenueExpired(order_id=order_id("A"), ts_ns=NOW + 10)]
    late = msgspec.structs.replace(quote("80", "81"), ts_ns=NOW + 20)
    assert told(venue.on_market_data("ACME", late)) == ["expired"]


# Fees and identities


@states(
    "A fee is basis points of the value plus an amount per unit, at least the minimum, rounded "
    "half to even to eight places."
)
@pytest.mark.parametrize(
    ("schedule", "liquidity", "quantity", "price", "fee"),
    [
        ({"taker_bps": "10"}, "TAKER", "3", "100.01", "0.30003"),
        ({"taker_bps": "10", "maker_bps": "2"}, "MAKER", "3", "100", "0.06"),
        ({"taker_bps": "10", "minimum": "1"}, "TAKER", "3", "100", "1"),
        ({"per_share": "0.005", "minimum": "1"}, "TAKER", "300", "100", "1.5"),
        ({"per_share": "0.005", "taker_bps": "1"}, "TAKER", "300", "100", "4.5"),
        ({"maker_bps": "-1", "minimum": "1"}, "MAKER", "100", "100", "-1"),
        ({"minimum": "1"}, "MAKER", "100", "100", "1"),
        ({}, "MAKER", "100", "100", "0"),
        ({"taker_bps": "1"}, "TAKER", "0.00000001", "5000", "0"),  # 0.000000005
        ({"taker_bps": "1"}, "TAKER", "0.00000003", "5000", "0.00000002"),  # 0.000000015
    ],
)
def test_fees(
    schedule: dict[str, str], liquidity: str, quantity: str, price: str, fee: str
) -> None:
    fees = FeeSchedule(**{key: Decimal(value) for key, value in schedule.items()})
    charged = fees.fee(
        quantity=Decimal(quantity), price=Decimal(price), liquidity=Liquidity(liquidity)
    )
    assert charged == Decimal(fee)


@states("A fill's id follows from the order and what has been filled, so a repeat has the same id.")
def test_a_replay_gives_the_same_fills() -> None:
    def session() -> list[VenueEvent]:
        venue = PaperVenue({"ACME": ACME}, PaperRules(fees=FEES))
        draw = random.Random(7)
        events: list[VenueEvent] = []
        for index in range(300):
            bid = Decimal(draw.randint(9_900, 10_100)) / 100
            size = str(draw.randint(1, 20))
            events += venue.on_market_data("ACME", quote(str(bid), str(bid + 1), size, size))
            price = str(Decimal(draw.randint(9_900, 10_100)) / 100)
            side = draw.choice(list(Side))
            events += venue.submit(order(str(index), side, OrderType.LIMIT, "7", price=price))
        return events

    first, second = session(), session()
    ids = [event.fill_id for event in first if isinstance(event, VenueFill)]
    assert first == second
    assert len(ids) > 200
    assert len(set(ids)) == len(ids)


# Bars against finer data


@states("Once a symbol has quotes or trades, its bars are ignored, and of bars the longer ones.")
def test_only_the_finest_data_counts(venue: PaperVenue) -> None:
    venue.on_market_data("ACME", bar(NOW, "100", "101", "99", "100"))
    venue.submit(order("A", BUY, OrderType.MARKET, "1", accepted_ns=NOW + MINUTE))
    longer = bar(NOW + 5 * MINUTE, "90", "90", "90", "90", timeframe="5m")
    assert venue.on_market_data("ACME", longer) == []
    assert len(venue.on_market_data("ACME", bar(NOW + MINUTE, "95", "96", "94", "95"))) == 1
    venue.submit(order("B", BUY, OrderType.LIMIT, "1", price="94"))
    venue.on_market_data("ACME", Trade(NOW, Decimal(96), Decimal(1)))
    assert venue.on_market_data("ACME", bar(NOW + 2 * MINUTE, "90", "91", "89", "90")) == []


@states("A running bar fills nothing, and neither does the first bar that the venue sees.")
def test_running_and_first_bars_fill_nothing(venue: PaperVenue) -> None:
    venue.submit(order("A", BUY, OrderType.MARKET, "1"))
    assert venue.on_market_data("ACME", bar(NOW, "100", "101", "99", "100", closed=False)) == []
    assert venue.on_market_data("ACME", bar(NOW, "100", "101", "99", "100")) == []
    running = bar(NOW + MINUTE, "102", "102", "102", "102", closed=False)
    assert venue.on_market_data("ACME", running) == []
    venue.submit(order("B", SELL, OrderType.MARKET, "1", accepted_ns=0))
    (fill,) = venue.on_market_data("ACME", bar(NOW + MINUTE, "102", "104", "101", "103"))
    assert isinstance(fill, VenueFill)
    assert (fill.order_id, fill.price) == (order_id("A"), Decimal(102))
    (fill,) = venue.on_market_data("ACME", bar(NOW + 2 * MINUTE, "103", "104", "101", "103"))
    assert fill.order_id == order_id("B")


@states("When another source takes over a symbol, what the one before has shown is forgotten.")
@pytest.mark.parametrize("is_waiting", [False, True])
def test_another_source_begins_anew(venue: PaperVenue, is_waiting: bool) -> None:
    venue.on_market_data("ACME", quote("640", "641"))
    if is_waiting:
        venue.submit(order("patient", BUY, OrderType.LIMIT, "1", price="1"))
    venue.on_other_source("ACME")
    long_ago = NOW - 1_000_000 * MINUTE
    assert venue.submit(order("A", BUY, OrderType.MARKET, "1")) == []
    assert venue.on_market_data("ACME", bar(long_ago, "167", "168", "166", "167")) == []
    venue.submit(order("B", BUY, OrderType.MARKET, "1"))
    fills = venue.on_market_data("ACME", bar(long_ago + MINUTE, "168", "169", "166", "167"))
    assert [fill.price for fill in fills if isinstance(fill, VenueFill)] == [168, 168]
    assert venue.is_open(order_id("patient")) == is_waiting


@states("An order that comes while a bar is under way by the clock waits for the next one.")
@pytest.mark.parametrize(
    ("seconds_after_the_open", "opening"),
    [
        (0, "102"),  # at the very close of the bar before, as in a backtest
        (2, "102"),  # a strategy needs a moment to answer a bar
        (30, "103"),
        (59, "103"),
        (3_600, "102"),  # the market was closed; or this is a day replayed from the past
        (-3_600, "102"),
    ],
)
def test_an_order_does_not_meet_the_past_of_a_bar(
    venue: PaperVenue, seconds_after_the_open: int, opening: str
) -> None:
    for minute in (0, 1):
        venue.on_market_data("ACME", bar(NOW + minute * MINUTE, "100", "101", "99", "100"))
    came_ns = NOW + 2 * MINUTE + seconds_after_the_open * NS_PER_SECOND
    venue.submit(order("A", BUY, OrderType.MARKET, "1", accepted_ns=came_ns))
    events = venue.on_market_data("ACME", bar(NOW + 2 * MINUTE, "102", "104", "101", "103"))
    events += venue.on_market_data("ACME", bar(NOW + 3 * MINUTE, "103", "104", "101", "103"))
    (fill,) = events
    assert isinstance(fill, VenueFill)
    assert fill.price == Decimal(opening)
    assert fill.ts_ns >= came_ns


def test_bars_end_where_their_length_says() -> None:
    february = 1_706_745_600 * NS_PER_SECOND  # 2024-02-01, a leap year
    day = 24 * 60 * MINUTE
    assert bar_end_ns(bar(february, *"1111", timeframe="1mo")) == february + 29 * day
    assert bar_end_ns(bar(NOW, *"1111", timeframe="1m")) == NOW + MINUTE
    assert bar_end_ns(bar(NOW, *"1111", timeframe="1w")) == NOW + 7 * day


# Restarts


@states(
    "After a restart an order is put back without meeting old quotes; what triggered stays "
    "triggered, a trail keeps its mark."
)
def test_restore_puts_orders_back_as_they_were(venue: PaperVenue) -> None:
    venue.on_market_data("ACME", quote("99", "100"))
    partly = order("A", BUY, OrderType.LIMIT, "10", price="101", filled_quantity=Decimal(4))
    triggered = order("B", BUY, OrderType.STOP, "1", stop_price="500", triggered=True)
    trails = order("C", SELL, OrderType.TRAILING_STOP, "1", trail_amount="5", water_mark="110")
    for one in (partly, triggered, trails):
        assert venue.restore(one) == []
    assert venue.water_mark(order_id("C")) == Decimal(110)
    assert venue.on_market_data("ACME", quote("106", "107")) == [
        VenueFill(
            order_id=order_id("B"),
            fill_id=uuid5(order_id("B"), "1"),  # type: ignore[arg-type]
            quantity=Decimal(1),
            price=Decimal(107),
            fee=Decimal("0.0535"),
            liquidity=Liquidity.TAKER,
            filled_quantity=Decimal(1),
            ts_ns=NOW,
        )
    ]
    events = venue.on_market_data("ACME", quote("100", "101"))
    assert [type(event) for event in events] == [VenueTriggered, VenueFill, VenueFill]
    last = {event.order_id: event for event in events if isinstance(event, VenueFill)}
    assert last[order_id("C")].price == Decimal(100)
    assert last[order_id("A")].fill_id == uuid5(order_id("A"), "10")
    assert last[order_id("A")].quantity == Decimal(6)


def test_a_crash_between_any_two_events_changes_no_fill() -> None:
    """Restoring open orders from what was reported gives the fills that there would have been."""
    draw = random.Random(3)
    ticks = []
    for _ in range(60):
        bid = draw.randint(9_950, 10_050)
        ticks.append(
            quote(str(Decimal(bid) / 100), str(Decimal(bid + 2) / 100), ask_size="3", bid_size="3")
        )
    orders = [
        order("A", BUY, OrderType.LIMIT, "20", price="99.70", post_only=True),
        order("B", SELL, OrderType.TRAILING_STOP, "20", trail_amount="0.30"),
        order("C", BUY, OrderType.STOP, "20", stop_price="100.40"),
    ]

    def run(crash_before: int | None) -> list[VenueEvent]:
        venue = PaperVenue({"ACME": ACME}, PaperRules(fees=FEES))
        venue.on_market_data("ACME", quote("100.00", "100.02"))
        events = [event for one in orders for event in venue.submit(one)]
        for index, tick in enumerate(ticks):
            if index == crash_before:
                venue = restarted(venue, events)
            events += venue.on_market_data("ACME", tick)
        return events

    def restarted(before: PaperVenue, events: list[VenueEvent]) -> PaperVenue:
        venue = PaperVenue({"ACME": ACME}, PaperRules(fees=FEES))
        for one in orders:
            fills = [e for e in events if isinstance(e, VenueFill) and e.order_id == one.order_id]
            if before.is_open(one.order_id):
                kept = msgspec.structs.replace(
                    one,
                    filled_quantity=fills[-1].filled_quantity if fills else Decimal(0),
                    triggered=any(
                        isinstance(e, VenueTriggered) and e.order_id == one.order_id for e in events
                    ),
                    water_mark=before.water_mark(one.order_id),
                )
                assert venue.restore(kept) == []
        return venue

    undisturbed = run(None)
    assert len(undisturbed) > 20
    for crash_before in range(len(ticks)):
        assert run(crash_before) == undisturbed, f"crashed before tick {crash_before}"


# Instruments and speed


def test_another_tick_size_waits_until_the_book_is_empty() -> None:
    instruments = {"ACME": ACME}
    venue = PaperVenue(instruments)
    venue.on_market_data("ACME", quote("99", "100"))
    venue.submit(order("A", BUY, OrderType.LIMIT, "1", price="90"))
    instruments["ACME"] = msgspec.structs.replace(ACME, tick_size=Decimal("0.5"))
    venue.submit(order("B", BUY, OrderType.LIMIT, "1", price="90.01"))
    (fill, *_) = venue.on_market_data("ACME", quote("89", "90.01", None, "1"))
    assert isinstance(fill, VenueFill)
    assert fill.price == Decimal("90.01")
    for name in "AB":
        venue.cancel(order_id(name), NOW)
    refused = venue.submit(order("C", BUY, OrderType.LIMIT, "1", price="90.01"))
    assert told(refused) == ["rejected: price_not_on_tick"]


def test_ticks_of_symbols_without_orders_cost_next_to_nothing(venue: PaperVenue) -> None:
    tick = quote("99", "100")
    best_s = 1.0
    for _ in range(20):
        started = time.perf_counter()
        for _ in range(1_000):
            venue.on_market_data("ACME", tick)
        best_s = min(best_s, (time.perf_counter() - started) / 1_000)
    assert best_s < 20e-6


# Auctions

#: The session of these tests.
OPENS, CLOSES = NOW + 60 * MINUTE, NOW + 120 * MINUTE
OPG = {"time_in_force": TimeInForce.OPG, "expires_ns": OPENS}
CLS = {"time_in_force": TimeInForce.CLS, "expires_ns": CLOSES}


def quote_at(ts_ns: int, bid: str, ask: str) -> Quote:
    return Quote(ts_ns=ts_ns, bid=Decimal(bid), ask=Decimal(ask))


@states(
    "An opening order is for the next session that opens, a closing order for the next that "
    "closes; `expires_at` tells when that is."
)
def test_the_desk_says_which_auction() -> None:
    sessions = Sessions({"XNYS": [(at(1), at(3)), (at(5), at(7))]})
    opening = [sessions.next_auction("XNYS", TimeInForce.OPG, at(n)) for n in (0, 1, 2, 5, 6)]
    assert opening == [at(1), at(1), at(5), at(5), None]
    closing = [sessions.next_auction("XNYS", TimeInForce.CLS, at(n)) for n in (0, 1, 2, 3, 6, 7)]
    assert closing == [at(3), at(3), at(3), at(7), at(7), None]
    for calendar in ("ALWAYS", "XNOWHERE"):
        assert sessions.next_auction(calendar, TimeInForce.OPG, at(0)) is None


def at(hour: int) -> datetime:
    return datetime(2024, 7, 3, hour, tzinfo=UTC)


@states(
    "The first event that comes after the close holds the closing auction; without one it is held "
    "ten seconds after the close."
)
def test_the_closing_auction_is_held(venue: PaperVenue) -> None:
    venue.submit(order("A", SELL, OrderType.MARKET, "2", **CLS))
    venue.submit(order("B", SELL, OrderType.LIMIT, "2", price="10.02", **CLS))
    venue.submit(order("C", BUY, OrderType.LIMIT, "1", price="10.05", **CLS))
    assert venue.on_market_data("ACME", quote_at(CLOSES - 1, "10.01", "10.03")) == []
    assert told(venue.on_market_data("ACME", quote_at(CLOSES, "9", "9.01"))) == [
        "2 at 10.01, fee 0.01001, taker", "1 at 10.03, fee 0.01, taker", "expired",
    ]  # fmt: skip

    venue.submit(order("D", SELL, OrderType.MARKET, "2", **CLS))
    venue.on_market_data("ACME", Trade(ts_ns=CLOSES - 5, price=Decimal("10.07"), size=Decimal(5)))
    assert venue.expire(CLOSES + 10 * NS_PER_SECOND - 1) == []
    assert told(venue.expire(CLOSES + 10 * NS_PER_SECOND)) == ["2 at 10.07, fee 0.01007, taker"]


@states("An opening at which nothing is shown for a quarter of an hour is over: its orders expire.")
def test_an_opening_without_a_market(venue: PaperVenue) -> None:
    venue.on_market_data("ACME", quote_at(NOW, "10.01", "10.03"))
    assert venue.submit(order("A", BUY, OrderType.MARKET, "2", **OPG)) == []
    assert venue.expire(OPENS + 15 * MINUTE - 1) == []
    assert told(venue.expire(OPENS + 15 * MINUTE)) == ["expired"]

    assert venue.submit(order("B", BUY, OrderType.MARKET, "2", **OPG)) == []
    assert venue.on_market_data("ACME", quote_at(OPENS - 1, "10.01", "10.03")) == []
    assert told(venue.on_market_data("ACME", quote_at(OPENS, "11.01", "11.03"))) == [
        "2 at 11.03, fee 0.01103, taker"
    ]


def test_a_closing_order_knows_what_was_shown_before_it_came(venue: PaperVenue) -> None:
    for shown, price in ((Trade(ts_ns=NOW, price=Decimal("10.07"), size=Decimal(5)), "10.07"),
                         (quote_at(NOW, "10.01", "10.03"), "10.01")):  # fmt: skip
        venue = PaperVenue({"ACME": ACME}, PaperRules(fees=FEES))
        venue.on_market_data("ACME", quote_at(NOW - 1, "9", "9.5"))
        venue.on_market_data("ACME", shown)
        venue.submit(order("A", SELL, OrderType.MARKET, "1", **CLS))
        (fill,) = venue.expire(CLOSES + 10 * NS_PER_SECOND)
        assert isinstance(fill, VenueFill)
        assert fill.price == Decimal(price)


def test_bars_open_and_close(venue: PaperVenue) -> None:
    venue.on_market_data("ACME", bar(NOW, "10", "10", "10", "10"))
    venue.submit(order("A", BUY, OrderType.MARKET, "1", **OPG))
    venue.submit(order("B", SELL, OrderType.MARKET, "1", **CLS))
    assert venue.on_market_data("ACME", bar(OPENS - MINUTE, "10", "10", "10", "10")) == []
    assert told(venue.on_market_data("ACME", bar(OPENS, "10.2", "10.4", "10", "10.3"))) == [
        "1 at 10.2, fee 0.01, taker"
    ]
    assert told(
        venue.on_market_data("ACME", bar(CLOSES - MINUTE, "10.5", "10.8", "10.5", "10.6"))
    ) == ["1 at 10.6, fee 0.01, taker"]


def test_an_auction_has_a_time_and_no_stops(venue: PaperVenue) -> None:
    bare = order("A", BUY, OrderType.MARKET, "1", time_in_force=TimeInForce.OPG)
    assert told(venue.submit(bare)) == ["rejected: expiry_missing"]
    stop = order("B", BUY, OrderType.STOP, "1", stop_price="11", **OPG)
    assert told(venue.submit(stop)) == ["rejected: auction_not_allowed"]
    limit = order("C", BUY, OrderType.LIMIT, "1", price="11", **OPG)
    assert venue.submit(limit) == []
    resting = msgspec.structs.replace(limit, time_in_force=TimeInForce.GTC)
    assert told(venue.modify(resting, NOW)) == ["rejected: change_not_allowed"]
    dearer = msgspec.structs.replace(limit, price=Decimal(12))
    assert told(venue.modify(dearer, NOW)) == ["modified"]
    assert venue.restore(msgspec.structs.replace(limit, order_id=order_id("D"))) == []
