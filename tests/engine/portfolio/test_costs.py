"""docs/concepts/costs.md: what fills cost, what the account can carry, what happens by itself."""

import math

import numpy as np
import pytest

from alphintra.engine import Kind, Lifetime
from alphintra.engine.portfolio import (
    AccountTerms,
    BadTerms,
    Cause,
    Costs,
    Status,
    SymbolTerms,
    What,
)
from alphintra.engine.series import ActionKind
from tests.engine.portfolio.market import DAY_NS, MINUTE_NS, Run, action, bars, flat, quotes
from tests.engine.statements import states


def fees(run: Run) -> list[object]:
    """Return the fees of all fills."""
    return [pytest.approx(fee) for fee in run.simulation.fills()["fee"]]


# Fees


@states(
    "A fee is the value of the fill times a rate, plus an amount for each unit, at least the "
    "minimum, at most the maximum."
)
def test_a_fee_has_a_rate_an_amount_per_unit_and_bounds() -> None:
    costs = Costs(rate=0.001, per_unit=0.02, minimum=2.0, maximum=5.0)
    run = Run(flat(100, 100, 100, 100), costs=costs, cash=100_000)
    for lots in (30, 1, 200):
        run.order("BUY", lots)
    run.finish()
    assert fees(run) == [3.6, 2.0, 5.0]


@states("An amount per order comes with its first fill.")
def test_an_amount_per_order_is_charged_once() -> None:
    terms = [SymbolTerms(symbol="A", unlimited_volume=False, costs=Costs(per_order=3.0))]
    run = Run(bars(*[(100,) * 4] * 4, volume=[5, 5, 5, 5]), terms=terms)
    run.order("BUY", 8)
    run.finish()
    assert fees(run) == [3.0, 0.0]


@states("With a maker rate, resting limits pay it, and all other fills the rate.")
def test_makers_pay_another_rate() -> None:
    run = Run(
        bars((100, 100, 100, 100), (100, 100, 90, 100), (100, 100, 100, 100)),
        costs=Costs(rate=0.01, maker_rate=0.002),
    )
    run.order("BUY", 1, Kind.LIMIT, limit_price_ticks=9_500)
    run.order("BUY", 1)
    run.finish()
    assert run.fills() == [(1, "BUY", 1.0, 100.0), (0, "BUY", 1.0, 95.0)]
    assert fees(run) == [1.0, 0.19]


@states(
    "Tiers replace the rates by what has been traded in the symbol so far; the fill that crosses a "
    "tier pays the rate before it."
)
def test_tiers_replace_the_rate() -> None:
    costs = Costs(rate=0.01, tiers=((1_000, 0.005), (3_000, 0.001)))
    run = Run(flat(100, 100, 100, 100), costs=costs, cash=100_000)
    for lots in (9, 20, 5, 10):
        run.order("BUY", lots)
    run.finish()
    assert fees(run) == [9.0, 20.0, 2.5, 1.0]


@states("A negative rate is a rebate, which minimum and maximum leave alone.")
def test_a_rebate_is_not_bounded() -> None:
    run = Run(flat(100, 100), costs=Costs(rate=-0.001, minimum=5.0))
    run.order("BUY", 10)
    run.finish()
    assert fees(run) == [-1.0]
    assert run.simulation.cash() == pytest.approx(9_001)


@states("A fill that turns a position is two: it closes, then it opens, each with its own fee.")
def test_a_turn_is_two_fills() -> None:
    run = Run(flat(100, 100, 100), costs=Costs(minimum=1.0))
    run.order("BUY", 10)
    run.step()
    run.order("SELL", 25)
    run.finish()
    assert run.fills() == [
        (0, "BUY", 10.0, 100.0), (1, "SELL", 10.0, 100.0), (1, "SELL", 15.0, 100.0),
    ]  # fmt: skip
    assert fees(run) == [1.0, 1.0, 1.0]
    assert run.simulation.lots(0) == -15


# Dealing at a worse price


@states(
    "Orders without a limit deal at a price that is worse by the half spread, the slippage in "
    "basis points and in ticks."
)
def test_spread_and_slippage_worsen_the_price() -> None:
    costs = Costs(half_spread_bps=20, slippage_bps=30, slippage_ticks=100)
    run = Run(flat(100, 100, 100), costs=costs)
    run.order("BUY", 10)
    run.step()
    run.order("SELL", 10)
    run.finish()
    prices = [price for *_, price in run.fills()]
    assert prices == pytest.approx([101 * 1.005, 99 * 0.995])
    assert run.simulation.fills()["slippage"] == pytest.approx([15.05, 14.95])


@states(
    "Impact makes that price worse by its factor times the square root of the fill's share of the "
    "bar's volume."
)
def test_impact_grows_with_the_root_of_the_share() -> None:
    run = Run(bars(*[(100,) * 4] * 2, volume=[400, 400]), costs=Costs(impact=0.1))
    run.order("BUY", 16)
    run.finish()
    assert run.fills()[0][3] == pytest.approx(100 * (1 + 0.1 * math.sqrt(16 / 400)))


@states("Where the volume is not known there is no impact.")
def test_no_impact_without_a_volume() -> None:
    run = Run(flat(100, 100), costs=Costs(impact=0.1))
    run.order("BUY", 16)
    run.finish()
    assert run.fills() == [(0, "BUY", 16.0, 100.0)]


@states("Limits are kept: an order with a limit deals at the price that it meets.")
def test_limits_are_kept() -> None:
    run = Run(flat(100, 100), costs=Costs(slippage_bps=50, slippage_ticks=5, impact=0.1))
    run.order("BUY", 10, Kind.LIMIT, limit_price_ticks=10_000)
    run.finish()
    assert run.fills() == [(0, "BUY", 10.0, 100.0)]


# What the account can carry


@states(
    "Equity is cash plus positions at their last price: a bar's close, the middle of a quote, a "
    "print."
)
def test_equity_counts_positions_at_their_last_price() -> None:
    run = Run(bars((100, 110, 90, 105), (105, 120, 100, 110)))
    run.order("BUY", 10)
    run.step()
    assert run.simulation.equity() == 10_050
    run.step()
    assert run.simulation.equity() == 10_100
    quoted = Run(quotes((1, 99.0, 101.0), (2, 99.0, 101.0)))
    quoted.step()
    assert quoted.simulation.mark(0) == 100.0


@states("Buying power is equity less initial margins, times leverage.")
def test_buying_power() -> None:
    terms = [SymbolTerms(symbol="A", margin_initial=0.5)]
    run = Run(
        flat(100, 100), terms=terms, account=AccountTerms(cash={"USD": 10_000.0}, leverage=2.0)
    )
    assert run.simulation.buying_power() == 20_000
    run.order("BUY", 100)
    run.finish()
    assert run.simulation.buying_power() == pytest.approx((10_000 - 10_000 * 0.25) * 2)


@states(
    "An order that would open more than the account can carry, its fee included, is cut to what it "
    "can when it fills."
)
def test_an_order_is_cut_to_what_the_account_can_carry() -> None:
    run = Run(flat(100, 100), costs=Costs(rate=0.01))
    run.order("BUY", 150)
    run.finish()
    assert run.fills() == [(0, "BUY", 99.0, 100.0)]
    assert run.told(What.REDUCED) == [(0, Cause.BUYING_POWER)]
    assert run.simulation.status(0) == Status.FILLED
    short = Run(flat(100, 100), costs=Costs(rate=0.01))
    short.order("SELL", 150)
    short.finish()
    assert short.fills() == [(0, "SELL", 99.0, 100.0)]


@states("An account that does not shrink orders cancels such an order instead.")
def test_an_order_that_may_not_be_cut_is_cancelled() -> None:
    account = AccountTerms(cash={"USD": 10_000.0}, shrink=False)
    run = Run(flat(100, 120), account=account)
    run.step()
    run.order("BUY", 90)
    run.finish()
    assert run.fills() == []
    assert run.told(What.CANCELED) == [(0, Cause.BUYING_POWER)]


@states("A FOK order that cannot be carried whole is cancelled.")
def test_an_order_for_all_or_nothing_is_not_cut() -> None:
    run = Run(flat(100, 120, 120), cash=10_000.0)
    run.step()
    run.order("BUY", 90, lifetime=Lifetime.FOK)
    run.step()
    run.order("BUY", 80, lifetime=Lifetime.FOK)
    run.finish()
    assert run.told(What.CANCELED) == [(0, Cause.BUYING_POWER)]
    assert run.fills() == [(1, "BUY", 80, 120)]


@states(
    "Of orders in several symbols at one moment, the symbol that comes first in the data is served "
    "first."
)
def test_the_first_symbol_is_served_first() -> None:
    run = Run(flat(100, 100, symbol="B"), flat(100, 100, symbol="A"), cash=10_000.0)
    run.step()
    run.order("BUY", 70, symbol=1)
    run.order("BUY", 70, symbol=0)
    run.finish()
    assert run.fills() == [(1, "BUY", 70, 100), (0, "BUY", 30, 100)]


@states("An order of which nothing can be carried is rejected when it comes.")
def test_an_order_beyond_all_means_is_rejected() -> None:
    run = Run(flat(100, 100, 100), cash=50.0)
    run.order("BUY", 1)
    run.finish()
    assert run.told(What.REJECTED) == [(0, Cause.BUYING_POWER)]
    assert run.simulation.status(0) == Status.REJECTED


@states("An order that closes is always allowed.")
def test_closing_is_always_allowed() -> None:
    account = AccountTerms(cash={"USD": 10_000.0}, leverage=4.0, liquidation=False)
    run = Run(flat(100, 100, 60, 60), account=account)
    run.order("BUY", 400)
    run.step(3)
    assert run.simulation.equity() == -6_000
    assert run.simulation.buying_power() == 0
    run.order("SELL", 400)
    run.finish()
    assert run.simulation.lots(0) == 0


@states("Where selling short is not allowed, a sale is cut to the position.")
@pytest.mark.parametrize("by_symbol", [True, False])
def test_no_selling_short(by_symbol: bool) -> None:
    terms = [SymbolTerms(symbol="A", shortable=not by_symbol)]
    account = AccountTerms(cash={"USD": 10_000.0}, allow_short=by_symbol)
    run = Run(flat(100, 100, 100, 100), terms=terms, account=account)
    run.order("BUY", 10)
    run.step()
    run.order("SELL", 25)
    run.step()
    run.order("SELL", 5)
    run.finish()
    assert run.fills() == [(0, "BUY", 10.0, 100.0), (1, "SELL", 10.0, 100.0)]
    assert run.told(What.REDUCED) == [(1, Cause.SHORT_NOT_ALLOWED)]
    assert run.told(What.CANCELED) == [(2, Cause.SHORT_NOT_ALLOWED)]


@states(
    "When equity is below the maintenance margin after a moment of the market, all orders are "
    "cancelled and all positions closed at their last price."
)
def test_liquidation() -> None:
    account = AccountTerms(cash={"USD": 10_000.0}, leverage=4.0)
    run = Run(flat(100, 100, 90, 84, 80), account=account)
    run.order("BUY", 400)
    run.order("BUY", 5, Kind.LIMIT, limit_price_ticks=5_000)
    run.step(3)
    assert run.simulation.lots(0) == 400  # equity 6,000 of 36,000
    assert run.simulation.next_stop(5) == 3
    run.step()  # equity 3,600 is below an eighth of 33,600
    assert run.simulation.lots(0) == 0
    assert run.told(What.LIQUIDATION) == [(-1, Cause.LIQUIDATION)]
    assert run.told(What.CANCELED) == [(1, Cause.LIQUIDATION)]
    assert run.fills()[-1] == (-1, "SELL", 400.0, 84.0)
    assert run.simulation.equity() == 3_600


@states("Maintenance margin is half the initial margin, at most a quarter, when it is not given.")
@pytest.mark.parametrize("leverage", [1.0, 4.0, 10.0])
def test_maintenance_margin(leverage: float) -> None:
    account = AccountTerms(cash={"USD": 10_000.0 / leverage}, leverage=leverage)
    initial = 1 / leverage
    share = min(0.25, initial / 2)
    limit = (100 + 100 * initial) / (1 + share)
    run = Run(flat(100, math.floor(limit), math.floor(limit) + 1, 100), account=account)
    run.order("SELL", 100)
    run.step(2)
    assert run.simulation.lots(0) == -100
    run.step()
    assert run.simulation.lots(0) == 0


@states("Resting orders reserve nothing.")
def test_resting_orders_reserve_nothing() -> None:
    run = Run(flat(100, 100, 100))
    for _ in range(3):
        run.order("BUY", 100, Kind.LIMIT, limit_price_ticks=5_000)
    run.step()
    assert run.simulation.buying_power() == 10_000
    run.order("BUY", 100)
    run.finish()
    assert run.simulation.lots(0) == 100


# Interest, dividends, funding


@states(
    "A short position costs its value times the borrow rate for each UTC day, charged before the "
    "first event of the next."
)
def test_borrow_interest_is_charged_by_day() -> None:
    hours = flat(*[100.0] * 60, length_ns=DAY_NS // 24)
    run = Run(hours, costs=Costs(borrow_rate=0.365))
    run.order("SELL", 50)
    run.finish()
    told = run.simulation.journal()
    paid = told[told["what"] == What.BORROW]
    assert paid["cash"] == pytest.approx([-5.0, -5.0])
    assert [ts_ns // DAY_NS for ts_ns in paid["ts_ns"]] == [1, 2]


@states(
    "A dividend is paid to who is long, and by who is short, before anything trades at the ex time."
)
@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_dividends(side: str) -> None:
    pays = action(2 * MINUTE_NS, ActionKind.DIVIDEND, amount=0.5)
    run = Run(flat(100, 100, 100, 100), actions=[pays])
    run.order(side, 10)
    run.step(2)
    run.order("SELL" if side == "BUY" else "BUY", 10)  # fills at the ex time, after the dividend
    run.finish()
    expected = 10_005 if side == "BUY" else 9_995
    assert run.simulation.cash() == pytest.approx(expected)


@states("Funding is a share of the position's value, paid by who is long to who is short.")
def test_funding() -> None:
    for side, cash in (("BUY", 9_999), ("SELL", 10_001)):
        run = Run(
            flat(100, 100, 100), actions=[action(2 * MINUTE_NS, ActionKind.FUNDING, amount=0.001)]
        )
        run.order(side, 10)
        run.finish()
        assert run.simulation.equity() == pytest.approx(cash)


# Splits and delisting


@states("A split changes the position and its price; what is left of a lot is paid out in cash.")
def test_a_split_changes_the_position() -> None:
    splits = action(2 * MINUTE_NS, ActionKind.SPLIT, ratio=(3, 2))
    run = Run(flat(90, 90, 60, 60), actions=[splits])
    run.order("BUY", 11)
    run.step(3)
    assert run.simulation.lots(0) == 16
    assert run.simulation.mark(0) == 60.0
    assert run.simulation.cash() == pytest.approx(10_000 - 990 + 30)
    assert run.simulation.equity() == pytest.approx(10_000)


@states("A split changes resting orders: quantity and prices, to the nearest tick.")
def test_a_split_changes_resting_orders() -> None:
    splits = action(2 * MINUTE_NS, ActionKind.SPLIT, ratio=(3, 1))
    run = Run(flat(90, 90, 30, 20), actions=[splits])
    run.order("BUY", 10, Kind.LIMIT, limit_price_ticks=8_000)
    run.finish()
    assert run.fills() == [(0, "BUY", 30.0, 20.0)]
    ticket = run.simulation.orders()[0]
    assert (ticket["limit_price_ticks"], ticket["lots"]) == (2_667, 30)


@states(
    "Delisting closes the position at its last price without costs, cancels all orders, and "
    "rejects new ones."
)
def test_delisting() -> None:
    ends = action(3 * MINUTE_NS, ActionKind.DELISTING)
    run = Run(flat(100, 100, 95), flat(1, 1, 1, 1, 1, symbol="B"), costs=Costs(rate=0.01),
              actions=[ends])  # fmt: skip
    run.order("BUY", 10)
    run.order("BUY", 10, Kind.LIMIT, limit_price_ticks=100)
    run.step(4)
    assert run.simulation.lots(0) == 0
    assert run.fills()[-1] == (-1, "SELL", 10.0, 95.0)
    assert run.simulation.fills()["fee"][-1] == 0
    assert run.told(What.CANCELED) == [(1, Cause.DELISTED)]
    run.order("BUY", 1)
    run.finish()
    assert run.told(What.REJECTED) == [(2, Cause.DELISTED)]


@states("A corporate action happens after all that the market did up to its time.")
def test_an_action_comes_after_the_market_of_its_time() -> None:
    pays = action(MINUTE_NS, ActionKind.DIVIDEND, amount=1.0)
    run = Run(flat(100, 100), actions=[pays])
    run.order("BUY", 10)
    run.step()
    assert run.simulation.lots(0) == 10
    assert run.told(What.DIVIDEND) == []
    run.step()
    assert run.told(What.DIVIDEND) == [(-1, 0)]


# Currencies


def two_currencies(**fx: float | str) -> Run:
    terms = [
        SymbolTerms(symbol="A", currency="EUR"),
        SymbolTerms(symbol="EURUSD", tick_size=0.0001),
    ]
    return Run(
        flat(100, 100, 100),
        flat(1.1, 1.2, 1.25, symbol="EURUSD"),
        terms=terms,
        account=AccountTerms(cash={"USD": 10_000.0}, fx=fx),
    )


@states(
    "Each currency has its own cash; a fill moves the cash of its symbol's currency, which may "
    "become negative."
)
def test_each_currency_has_its_cash() -> None:
    run = two_currencies(EUR="EURUSD")
    run.order("BUY", 20)
    run.finish()
    assert run.simulation.cash("USD") == 10_000
    assert run.simulation.cash("EUR") == -2_000
    with pytest.raises(ValueError, match="JPY"):
        run.simulation.cash("JPY")


@states(
    "Equity, margin and buying power are told in the base currency, by a fixed rate or by a pair "
    "on the tape."
)
def test_money_is_told_in_the_base() -> None:
    run = two_currencies(EUR="EURUSD")
    run.order("BUY", 20)
    run.step(2)
    assert run.simulation.equity() == pytest.approx(10_000)
    assert run.simulation.buying_power() == pytest.approx(10_000 - 2_000 * 1.2)
    fixed = two_currencies(EUR=2.0)
    fixed.order("BUY", 60)
    fixed.finish()
    assert fixed.fills() == [(0, "BUY", 50.0, 100.0)]
    with pytest.raises(BadTerms, match="EUR"):
        two_currencies()


@states("A pair that is quoted the other way around is turned over.")
def test_a_pair_the_other_way_around() -> None:
    terms = [
        SymbolTerms(symbol="A", currency="JPY"),
        SymbolTerms(symbol="USDJPY", currency="JPY"),
    ]
    run = Run(
        flat(100, 100, 100),
        flat(150, 150, 150, symbol="USDJPY"),
        terms=terms,
        account=AccountTerms(cash={"JPY": 150_000.0}, fx={"JPY": "1/USDJPY"}),
    )
    assert run.simulation.equity() == pytest.approx(1_000)


@states("Before its first row a pair counts with what it will show first.")
def test_a_pair_counts_from_the_start() -> None:
    run = two_currencies(EUR="EURUSD")
    assert run.simulation.mark(1) == 1.1
    assert np.isfinite(run.simulation.equity())
