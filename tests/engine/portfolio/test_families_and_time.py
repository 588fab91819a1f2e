"""docs/concepts/portfolio.md: what happens when, sizes, families of orders, round trips."""

import numpy as np
import pytest

from alphintra.engine import Kind, Lifetime, Side
from alphintra.engine.portfolio import (
    AccountTerms,
    Cause,
    Costs,
    Sessions,
    Simulation,
    Status,
    SymbolTerms,
    What,
    tape_of,
)
from alphintra.engine.series import BadSeries
from tests.engine import statements
from tests.engine.portfolio import test_auctions, test_costs
from tests.engine.portfolio.market import DAY_NS, MINUTE_NS, Run, bars, flat, prints, quotes
from tests.engine.statements import states

# The order in which things happen


@states("Rows of one closing time are one group: all of it happens before anybody is told.")
def test_a_group_happens_at_once() -> None:
    run = Run(flat(100, 100), flat(10, 10, symbol="B"))
    run.order("BUY", 1)
    run.order("BUY", 2, symbol=1)
    run.step()
    assert [row["symbol"] for row in run.simulation.news()] == [0, 1]
    assert run.simulation.cursor == 2
    assert len(run.simulation.news()) == 0


@states(
    "An order that is sent after a bar's close fills at the next open of its symbol, never before."
)
def test_an_order_fills_at_the_next_open() -> None:
    run = Run(bars((100, 100, 100, 100), (103, 104, 99, 101)))
    run.step()
    run.order("BUY", 1)
    run.finish()
    assert run.fills() == [(0, "BUY", 1.0, 103.0)]
    assert run.simulation.fills()["ts_ns"][0] == MINUTE_NS


@states("With latency an order waits that long; a bar that opened before it came does not fill it.")
@pytest.mark.parametrize(("latency_ns", "price"), [(0, 101.0), (1, 102.0), (MINUTE_NS + 1, 103.0)])
def test_latency(latency_ns: int, price: float) -> None:
    account = AccountTerms(cash={"USD": 10_000.0}, latency_ns=latency_ns)
    run = Run(flat(100, 101, 102, 103), account=account)
    run.step()
    run.order("BUY", 1)
    run.finish()
    assert run.fills() == [(0, "BUY", 1.0, price)]


@states("A cancellation that comes while a bar is under way comes too late for that bar.")
@pytest.mark.parametrize(("latency_ns", "fills"), [(0, 0), (1, 1)])
def test_a_late_cancellation(latency_ns: int, fills: int) -> None:
    account = AccountTerms(cash={"USD": 10_000.0}, latency_ns=latency_ns)
    run = Run(flat(100, 100, 100, 90, 90), account=account)
    order = run.order("BUY", 1, Kind.LIMIT, limit_price_ticks=9_000)
    run.step(3)
    run.simulation.cancel(order)
    run.finish()
    assert len(run.fills()) == fills


@states(
    "An order that is sent on a quote meets that quote, and the fill is told with the next row."
)
def test_an_order_meets_the_last_quote() -> None:
    run = Run(quotes((1, 99.0, 101.0), (5, 105.0, 106.0)))
    run.step()
    run.order("BUY", 1)
    assert run.simulation.next_stop(2) == 1
    run.step()
    assert run.fills() == [(0, "BUY", 1.0, 101.0)]
    assert run.simulation.fills()["ts_ns"][0] == 1


@states(
    "Within a group fills are booked symbol by symbol; the equity that sizes an order takes every "
    "symbol of the group at its open."
)
def test_equity_takes_the_opens_of_a_group() -> None:
    run = Run(flat(100, 100, 100), bars((10,) * 4, (20, 50, 20, 50), (50,) * 4, symbol="B"))
    run.order("BUY", 500, symbol=1)
    run.step()
    run.order("BUY", weight=0.5)
    run.step()
    # 5,000 in cash and 500 at the open of 20; not at their close of 50.
    assert run.fills()[-1] == (1, "BUY", 50.0, 100.0)


# Sizes


@states(
    "A target weight is sized when it fills: equity × weight, less the fee, rounded down to whole "
    "lots."
)
def test_a_target_is_sized_when_it_fills() -> None:
    run = Run(flat(100, 125), costs=Costs(rate=0.01))
    run.step()
    run.order("BUY", weight=0.5)
    run.finish()
    assert run.fills() == [(0, "BUY", float(5_000 // (125 * 1.01)), 125.0)]


@states(
    "A target on the other side closes first, and the equity after that fee sizes the new position."
)
def test_a_target_on_the_other_side_turns_the_position() -> None:
    run = Run(flat(100, 100), costs=Costs(rate=0.01))
    run.order("BUY", 50)
    run.step()
    run.order("BUY", weight=-1.0)
    run.finish()
    equity = 10_000 - 50 - 50
    expected = float(equity // (100 * 1.01))
    assert run.fills()[1:] == [(1, "SELL", 50.0, 100.0), (1, "SELL", expected, 100.0)]


@states("A target that is reached already cancels its order.")
def test_a_target_that_is_reached() -> None:
    run = Run(flat(100, 100, 100))
    run.order("BUY", weight=0.5)
    run.step()
    run.order("BUY", weight=0.5)
    run.finish()
    assert len(run.fills()) == 1
    assert run.told(What.CANCELED) == [(1, Cause.NOTHING_TO_DO)]


@states(
    "Orders fill no more than the participation of a bar's volume, when the volume limits them; "
    "the rest waits."
)
def test_volume_limits_fills() -> None:
    terms = [SymbolTerms(symbol="A", unlimited_volume=False, participation_bps=5_000)]
    run = Run(bars((100,) * 4, (101,) * 4, (102,) * 4, volume=[10, 6, 100]), terms=terms)
    run.order("BUY", weight=0.2)
    run.finish()
    assert run.fills() == [
        (0, "BUY", 5.0, 100.0), (0, "BUY", 3.0, 101.0), (0, "BUY", 12.0, 102.0),
    ]  # fmt: skip


# Families of orders


def bracket(
    run: Run, lots: int, *, stop: int, take: int, kind: Kind = Kind.MARKET, limit: int = 0
) -> None:
    """Buy with a stop and a limit around, in ticks."""
    more = {"limit_price_ticks": limit} if kind == Kind.LIMIT else {}
    parent = run.order("BUY", lots, kind, **more)
    first = run.order("SELL", 0, Kind.LIMIT, limit_price_ticks=take, parent=parent)
    run.order("SELL", 0, Kind.STOP, stop_price_ticks=stop, parent=parent, sibling=first)


@states(
    "A child waits until its parent fills; without a quantity of its own it takes what the parent "
    "has filled."
)
def test_a_child_takes_what_its_parent_has_filled() -> None:
    terms = [SymbolTerms(symbol="A", unlimited_volume=False)]
    run = Run(bars((100,) * 4, (100,) * 4, (100, 120, 100, 120), volume=[3, 4, 50]), terms=terms)
    bracket(run, 7, stop=9_000, take=11_000)
    run.step()
    assert run.simulation.status(1) == Status.OPEN
    assert run.simulation.orders()["lots"].tolist() == [7, 3, 3]
    run.step()
    assert run.simulation.orders()["lots"].tolist() == [7, 7, 7]
    run.finish()
    assert run.fills()[-1] == (1, "SELL", 7.0, 110.0)


@states("A child comes in at the moment of the fill and meets what is left of that bar.")
def test_a_child_meets_what_is_left_of_the_bar() -> None:
    # Open 100, down to 95 first, up to 110, close 105.
    path = bars((100, 110, 95, 105))
    stopped = Run(path)
    bracket(stopped, 10, stop=9_600, take=12_000)
    stopped.finish()
    assert stopped.fills()[-1] == (2, "SELL", 10.0, 96.0)
    bought_low = Run(path)
    bracket(bought_low, 10, stop=9_800, take=10_800, kind=Kind.LIMIT, limit=9_700)
    bought_low.finish()
    # The stop above the fill's price triggers at once.
    assert bought_low.fills() == [(0, "BUY", 10.0, 97.0), (2, "SELL", 10.0, 97.0)]
    taken = Run(path)
    bracket(taken, 10, stop=9_400, take=10_800, kind=Kind.LIMIT, limit=9_700)
    taken.finish()
    assert taken.fills() == [(0, "BUY", 10.0, 97.0), (1, "SELL", 10.0, 108.0)]


@states(
    "A fill of one sibling is taken off the other; a sibling of whom nothing is left is cancelled."
)
def test_siblings() -> None:
    terms = [SymbolTerms(symbol="A", unlimited_volume=False)]
    run = Run(bars((100,) * 4, (100, 110, 100, 110), (110,) * 4, volume=[10, 4, 50]), terms=terms)
    bracket(run, 10, stop=9_000, take=11_000)
    run.step(2)
    assert run.simulation.orders()["lots"].tolist() == [10, 10, 6]
    run.step()
    assert run.told(What.REDUCED) == [(2, Cause.SIBLING_FILLED)]
    assert run.told(What.CANCELED) == [(2, Cause.SIBLING_FILLED)]
    assert run.simulation.lots(0) == 0


@states("When a parent ends without a fill, its children are cancelled.")
def test_children_end_with_their_parent() -> None:
    run = Run(flat(100, 100, 100))
    bracket(run, 10, stop=8_000, take=12_000, kind=Kind.LIMIT, limit=9_000)
    run.step()
    run.simulation.cancel(0)
    run.step()
    assert run.told(What.CANCELED) == [
        (0, Cause.REQUESTED), (1, Cause.PARENT_ENDED), (2, Cause.PARENT_ENDED),
    ]  # fmt: skip


@states(
    "A reduce-only order never opens or turns a position, and is cancelled when the position is "
    "gone."
)
def test_reduce_only() -> None:
    run = Run(flat(100, 100, 100, 100, 100))
    run.order("SELL", 5, reduce_only=True)
    run.order("BUY", 10)
    run.step()
    run.order("SELL", 25, reduce_only=True)
    run.order("SELL", 5, Kind.LIMIT, limit_price_ticks=20_000, reduce_only=True)
    run.finish()
    assert run.fills() == [(1, "BUY", 10.0, 100.0), (2, "SELL", 10.0, 100.0)]
    assert run.told(What.CANCELED) == [
        (0, Cause.NOTHING_TO_REDUCE), (3, Cause.NOTHING_TO_REDUCE),
    ]  # fmt: skip


@states(
    "A day order ends with the session under way, or with the UTC day where there is no calendar."
)
def test_day_orders() -> None:
    sessions = Sessions(np.array([[0, 3], [3, 5]]) * MINUTE_NS)
    run = Run(flat(*[100.0] * 6), terms=[SymbolTerms(symbol="A", sessions=sessions)])
    run.step()
    end_ns = run.simulation.session_end_ns(0)
    assert end_ns == 3 * MINUTE_NS
    run.order("BUY", 1, Kind.LIMIT, limit_price_ticks=5_000, expires_ns=end_ns)
    run.step(2)
    assert run.simulation.session_end_ns(0) == 5 * MINUTE_NS
    assert run.simulation.next_stop(6) == 3
    run.step()
    assert run.told(What.EXPIRED) == [(0, 0)]
    assert Run(flat(100)).simulation.session_end_ns(0) == DAY_NS


# What a run has come to


@states(
    "A round trip lasts from flat to flat, or to the turn of the position's sign, and its result "
    "includes all fees."
)
def test_round_trips() -> None:
    run = Run(flat(100, 110, 120, 110), costs=Costs(rate=0.01))
    run.order("BUY", 10, tag=7)
    run.step()
    run.order("BUY", 10)
    run.step()
    run.order("SELL", 30)
    run.step()
    run.order("BUY", 10)
    run.finish()
    long, short = run.simulation.outcome().trades
    assert (long["side"], long["quantity"], long["entry_price"], long["exit_price"]) == (
        1, 20.0, 105.0, 120.0,
    )  # fmt: skip
    assert long["pnl"] == pytest.approx(2_400 - 2_100 - 10 - 11 - 24)
    assert (long["tag"], long["entry_order"], long["exit_order"], long["bars"]) == (7, 0, 2, 2)
    assert short["side"] == -1
    assert short["pnl"] == pytest.approx(1_200 - 1_100 - 12 - 11)
    assert long["return"] == pytest.approx(long["pnl"] / 2_100)


@states("MAE and MFE are the worst and the best price on the way, as a share of the entry price.")
def test_excursions() -> None:
    run = Run(bars((100, 104, 98, 100), (100, 110, 95, 105), (105, 150, 50, 105)))
    run.order("BUY", 10)
    run.step(2)
    run.order("SELL", 10)
    run.finish()
    trade = run.simulation.outcome().trades[0]
    assert (trade["mae"], trade["mfe"]) == pytest.approx((-0.05, 0.10))


@states(
    "A position that is open in the end is closed at the price that is given, else at its last, "
    "and marked."
)
def test_the_end() -> None:
    for prices, price in ((None, 110.0), (np.array([95.0]), 95.0)):
        run = Run(flat(100, 110))
        run.order("BUY", 10)
        run.finish()
        run.simulation.finish(prices=prices)
        outcome = run.simulation.outcome()
        assert run.fills()[-1] == (-1, "SELL", 10.0, price)
        assert outcome.trades["open_at_end"].tolist() == [1]
        assert outcome.equity[-1] == run.simulation.equity() == 10_000 + 10 * (price - 100)


@states("A target may bring a stop and a limit with it, which close the position.")
def test_targets_with_brackets() -> None:
    series = bars((100,) * 4, (100, 103, 99, 102), (102, 111, 102, 108), (108,) * 4)
    terms = [SymbolTerms(symbol="A")]
    simulation = Simulation(tape_of([series], terms), terms, AccountTerms(cash={"USD": 10_000.0}))
    targets = np.array([1.0, np.nan, np.nan, np.nan])
    distance = np.array([500, 0, 0, 0])
    simulation.run_targets(targets, stop_bps=distance, take_bps=2 * distance)
    fills = simulation.fills()
    assert fills["price"].tolist() == [100.0, 110.0]
    assert simulation.orders()["status"].tolist() == [
        Status.FILLED, Status.FILLED, Status.CANCELED,
    ]  # fmt: skip


# Details


def test_prints_fill_and_are_shared() -> None:
    run = Run(prints((1, 100.0, 5), (2, 99.0, 5), (3, 99.0, 5)))
    run.order("BUY", 8, Kind.LIMIT, limit_price_ticks=9_900)
    run.finish()
    assert run.fills() == [(0, "BUY", 5.0, 99.0), (0, "BUY", 3.0, 99.0)]


def test_modify_moves_a_limit_and_a_stop() -> None:
    run = Run(flat(100, 100, 95, 95))
    order = run.order("BUY", 5, Kind.LIMIT, limit_price_ticks=9_000)
    run.step()
    run.simulation.modify(order, limit_price_ticks=9_500, lots=7)
    run.finish()
    assert run.fills() == [(0, "BUY", 7.0, 95.0)]


def test_immediate_orders_do_not_rest() -> None:
    terms = [SymbolTerms(symbol="A", unlimited_volume=False)]
    run = Run(bars((100,) * 4, (100,) * 4, volume=[3, 30]), terms=terms)
    run.order("BUY", 5, lifetime=Lifetime.FOK)
    run.order("BUY", 5, lifetime=Lifetime.IOC)
    run.finish()
    assert run.fills() == [(1, "BUY", 3.0, 100.0)]
    assert run.told(What.CANCELED) == [(0, Cause.FILL_OR_KILL), (1, Cause.IMMEDIATE_OR_CANCEL)]


def test_many_orders_grow_all_arrays() -> None:
    run = Run(flat(*[100.0] * 5), cash=1e9)
    for _ in range(3_000):
        run.order("BUY", 1)
        run.order("BUY", 1, Kind.LIMIT, limit_price_ticks=1)
    run.finish()
    run.simulation.finish(close=False)
    assert run.simulation.lots(0) == 3_000
    assert (run.simulation.orders()["status"] >= Status.FILLED).all()
    assert run.simulation.outcome().trades["quantity"].tolist() == [3_000.0]


def test_wrong_orders_are_refused() -> None:
    run = Run(flat(100))
    for wrong in (
        {"kind": Kind.LIMIT, "lots": 1},
        {"kind": Kind.MARKET, "lots": 0},
        {"kind": Kind.LIMIT, "weight": 0.5, "limit_price_ticks": 1},
        {"kind": Kind.MARKET, "lots": 1, "parent": 3},
        {"kind": Kind.MARKET, "lots": 1, "post_only": True},
    ):
        with pytest.raises(ValueError, match=r"."):
            run.simulation.submit(0, Side.BUY, **wrong)
    with pytest.raises(ValueError, match="order 9"):
        run.simulation.cancel(9)
    with pytest.raises(ValueError, match="symbol 4"):
        run.simulation.submit(4, Side.BUY, Kind.MARKET, 1)
    with pytest.raises(ValueError, match="shape"):
        run.simulation.run_targets(np.zeros((2, 2)))


def test_wrong_series_name_row_and_reason() -> None:
    with pytest.raises(BadSeries, match=r"A, row 1 .*between low and high"):
        bars((100, 101, 99, 100), (100, 99, 98, 100))
    with pytest.raises(BadSeries, match=r"row 0 .*positive"):
        bars((np.nan, 101, 99, 100))
    with pytest.raises(BadSeries, match="B has no terms"):
        tape_of([flat(1, symbol="B")], [SymbolTerms(symbol="A")])


def test_every_sentence_of_the_pages_has_its_test() -> None:
    import sys

    concepts = statements.PAGE.parent
    here = sys.modules[__name__]
    for page, *modules in (("costs.md", test_costs), ("portfolio.md", here, test_auctions)):
        told = [sentence.removesuffix(" ") for sentence in statements.written(concepts / page)]
        assert sorted(told) == sorted(statements.held(*modules))
