"""Lifecycle, holds and ledger, as pages of a ledger.

command | orders | USD free | USD held | SPY free | SPY held | realised. Fees: 5 basis points for
who takes, 2 for who makes; holds reckon with the dearer.
"""

# ruff: noqa: E501 - a row of a table is one line

from decimal import Decimal

import pytest

from alphintra.core.orders import TradingState
from alphintra.trading.commands import SetAccountState, SetMargin
from alphintra.trading.venue import FeeSchedule

from .conftest import FEES, INSTRUMENTS
from .core_desk import USER, CoreDesk, Page

D = Decimal

TABLES = {
    "a market order takes the other side and pays the dearer fee": """
        quote 99.99 100.00             |                    | 100000      | 0 | 0  | 0 | 0
        a: buy 10 MARKET               | a FILLED           | 98999.5     | 0 | 10 | 0 | -0.5
        b: sell 4 MARKET               | b FILLED           | 99399.26002 | 0 | 6  | 0 | -0.73998
    """,
    "a hold follows the order that it is for": """
        quote 99.99 100.00             |                    | 100000      | 0       | 0 | 0 | 0
        a: buy 10 LIMIT price=99       | a ACCEPTED         | 99009.505   | 990.495 | 0 | 0 | 0
        modify a price=98              | a ACCEPTED         | 99019.51    | 980.49  | 0 | 0 | 0
        modify a quantity=20           | a ACCEPTED         | 98039.02    | 1960.98 | 0 | 0 | 0
        modify a price=98.005          | price_not_on_tick  | 98039.02    | 1960.98 | 0 | 0 | 0
        cancel a                       | a CANCELED         | 100000      | 0       | 0 | 0 | 0
        cancel a                       | order_not_open     | 100000      | 0       | 0 | 0 | 0
        modify a price=97              | order_not_open     | 100000      | 0       | 0 | 0 | 0
    """,
    "a partial fill gives back its part of the hold": """
        quote 99.99 100.00             |                    | 100000      | 0       | 0 | 0 | 0
        a: buy 10 LIMIT price=99       | a ACCEPTED         | 99009.505   | 990.495 | 0 | 0 | 0
        quote 98.98 99.00 4            | a PARTIALLY_FILLED | 99009.6238  | 594.297 | 4 | 0 | -0.0792
        modify a quantity=4            | quantity_not_on_lot | 99009.6238 | 594.297 | 4 | 0 | -0.0792
        cancel a                       | a CANCELED         | 99603.9208  | 0       | 4 | 0 | -0.0792
    """,
    "what sells the position is reserved, and nothing is sold twice": """
        quote 99.99 100.00             |                    | 100000  | 0 | 0  | 0  | 0
        a: buy 10 MARKET               | a FILLED           | 98999.5 | 0 | 10 | 0  | -0.5
        b: sell 10 LIMIT price=110     | b ACCEPTED         | 98999.5 | 0 | 0  | 10 | -0.5
        c: sell 1 MARKET               | risk_short_selling | 98999.5 | 0 | 0  | 10 | -0.5
        d: sell 1 MARKET reduce_only   | risk_reduce_only   | 98999.5 | 0 | 0  | 10 | -0.5
        cancel b                       | b CANCELED         | 98999.5 | 0 | 10 | 0  | -0.5
        e: sell 10 LIMIT price=101 reduce_only | e ACCEPTED | 98999.5 | 0 | 0  | 10 | -0.5
        quote 101 101.01               | e FILLED           | 100009.298 | 0 | 0 | 0 | 9.298
    """,
    "of the exits of a bracket one fills": """
        quote 99.99 100.00             |                    | 100000  | 0 | 0 | 0 | 0
        a: buy 10 MARKET tp=110 sl=95  | a FILLED, a.tp ACCEPTED, a.sl ACCEPTED | 98999.5 | 0 | 0 | 10 | -0.5
        quote 110 110.01               | a.tp FILLED, a.sl CANCELED | 100099.28 | 0 | 0 | 0 | 99.28
    """,
    "exits of a bracket wait for the entry and end with it": """
        quote 99.99 100.00             |                    | 100000    | 0       | 0 | 0 | 0
        a: buy 10 LIMIT price=99 tp=110 sl=95 | a ACCEPTED, a.tp PENDING, a.sl PENDING | 99009.505 | 990.495 | 0 | 0 | 0
        cancel a                       | a CANCELED, a.tp CANCELED, a.sl CANCELED | 100000 | 0 | 0 | 0 | 0
    """,
    "a partly filled entry that is cancelled gets exits for what it filled": """
        quote 99.99 100.00             |                    | 100000     | 0       | 0 | 0 | 0
        a: buy 10 LIMIT price=99 tp=110 sl=95 | a ACCEPTED  | 99009.505  | 990.495 | 0 | 0 | 0
        quote 98.98 99.00 4            | a PARTIALLY_FILLED, a.sl PENDING | 99009.6238 | 594.297 | 4 | 0 | -0.0792
        cancel a                       | a CANCELED, a.tp ACCEPTED, a.sl ACCEPTED | 99603.9208 | 0 | 0 | 4 | -0.0792
        quote 95 95.01                 | a.sl FILLED, a.tp CANCELED | 99983.7308 | 0 | 0 | 0 | -16.2692
    """,
    "two exits share the position that they leave": """
        quote 99.99 100.00             |                    | 100000  | 0 | 0  | 0  | 0
        a: buy 10 MARKET               | a FILLED           | 98999.5 | 0 | 10 | 0  | -0.5
        b: sell 10 LIMIT price=110 sl=95 class=OCO | b ACCEPTED, b.sl ACCEPTED | 98999.5 | 0 | 0 | 10 | -0.5
        quote 110 110.01 4             | b PARTIALLY_FILLED, b.sl ACCEPTED | 99439.412 | 0 | 0 | 6 | 39.412
        quote 95 95.01                 | b CANCELED, b.sl FILLED | 100009.127 | 0 | 0 | 0 | 9.127
    """,
    "an OCO needs the position": """
        quote 99.99 100.00             |                    | 100000  | 0 | 0  | 0  | 0
        a: sell 10 LIMIT price=110 sl=95 class=OCO | oco_needs_position | 100000 | 0 | 0 | 0 | 0
    """,
    "OTO has one exit": """
        quote 99.99 100.00             |                    | 100000  | 0 | 0 | 0 | 0
        a: buy 10 MARKET sl=95         | a FILLED, a.sl ACCEPTED | 98999.5 | 0 | 0 | 10 | -0.5
        cancel a.sl                    | a.sl CANCELED      | 98999.5 | 0 | 10 | 0 | -0.5
    """,
    "IOC takes what is there, FOK all or nothing": """
        quote 99.99 100.00 4           |                    | 100000  | 0 | 0 | 0 | 0
        a: buy 10 LIMIT price=100 tif=FOK | a CANCELED      | 100000  | 0 | 0 | 0 | 0
        b: buy 10 LIMIT price=100 tif=IOC | b CANCELED      | 99599.8 | 0 | 4 | 0 | -0.2
        c: buy 1 STOP stop_price=101 tif=IOC | time_in_force_not_allowed | 99599.8 | 0 | 4 | 0 | -0.2
    """,
    "a post-only order that would take is refused by the venue and holds nothing": """
        quote 99.99 100.00             |                    | 100000    | 0       | 0 | 0 | 0
        a: buy 10 LIMIT price=100 post_only | a REJECTED    | 100000    | 0       | 0 | 0 | 0
        b: buy 10 LIMIT price=99.99 post_only | b ACCEPTED  | 98999.60005 | 1000.39995 | 0 | 0 | 0
    """,
    "a stop holds two per cent more than its price and gives the rest back": """
        quote 99.99 100.00             |                    | 100000     | 0         | 0  | 0 | 0
        a: buy 10 STOP stop_price=105  | a ACCEPTED         | 98928.4645 | 1071.5355 | 0  | 0 | 0
        quote 105.00 105.02            | a FILLED           | 98949.2749 | 0         | 10 | 0 | -0.5251
    """,
    "a gap may overdraw what is free, never what is held": """
        quote 99.99 100.00             |                    | 100000    | 0         | 0   | 0 | 0
        a: buy 950 STOP stop_price=103 | a ACCEPTED         | 143.0965  | 99856.9035 | 0  | 0 | 0
        quote 119.98 120.00            | a FILLED           | -14057    | 0         | 950 | 0 | -57
    """,
    "a trailing stop follows and sells": """
        quote 99.99 100.00             |                    | 100000  | 0 | 0  | 0  | 0
        a: buy 10 MARKET               | a FILLED           | 98999.5 | 0 | 10 | 0  | -0.5
        b: sell 10 TRAILING_STOP trail=5 | b ACCEPTED       | 98999.5 | 0 | 0  | 10 | -0.5
        quote 110 110.01               | b ACCEPTED         | 98999.5 | 0 | 0  | 10 | -0.5
        quote 105 105.01               | b FILLED           | 100048.975 | 0 | 0 | 0 | 48.975
    """,
    "an order whose time has come gives its hold back": """
        quote 99.99 100.00             |                    | 100000    | 0       | 0 | 0 | 0
        a: buy 10 LIMIT price=99 tif=GTD for=5 | a ACCEPTED | 99009.505 | 990.495 | 0 | 0 | 0
        wait 4                         | a ACCEPTED         | 99009.505 | 990.495 | 0 | 0 | 0
        wait 1                         | a EXPIRED          | 100000    | 0       | 0 | 0 | 0
        b: buy 10 LIMIT price=99 tif=GTD for=0 | expires_at_in_the_past | 100000 | 0 | 0 | 0 | 0
    """,
    "closing takes the exits away and the position with them": """
        quote 99.99 100.00             |                    | 100000  | 0 | 0 | 0  | 0
        a: buy 10 MARKET tp=110 sl=95  | a.sl ACCEPTED      | 98999.5 | 0 | 0 | 10 | -0.5
        close                          | close FILLED, a.tp CANCELED, a.sl CANCELED | 99998.90005 | 0 | 0 | 0 | -1.09995
        close                          | no_position        | 99998.90005 | 0 | 0 | 0 | -1.09995
    """,
    "a close that is refused leaves the exits where they are": """
        quote 99.99 100.00             |                    | 100000  | 0 | 0 | 0  | 0
        a: buy 10 MARKET tp=110 sl=95  | a.sl ACCEPTED      | 98999.5 | 0 | 0 | 10 | -0.5
        wait 61                        |                    | 98999.5 | 0 | 0 | 10 | -0.5
        close                          | risk_market_data_fresh, a.tp ACCEPTED, a.sl ACCEPTED | 98999.5 | 0 | 0 | 10 | -0.5
    """,
}


def rows_of(table: str) -> str:
    """Pad the columns away: they are aligned for readers only."""
    return "\n".join(line for line in table.splitlines() if line.strip())


@pytest.mark.parametrize("name", TABLES)
def test_every_row_ends_with_these_balances(name: str) -> None:
    Page(CoreDesk(dict(INSTRUMENTS), FEES)).check(rows_of(TABLES[name]))


def margin_page(leverage: str) -> Page:
    desk = CoreDesk(dict(INSTRUMENTS), FEES)
    desk.do(SetMargin(user_id=USER, actor="test", leverage=D(leverage), short_selling=True))
    return Page(desk)


def test_short_position_is_sold_and_bought_back() -> None:
    margin_page("1").check(
        rows_of("""
        quote 99.99 100.00             |                    | 100000      | 0 | 0   | 0 | 0
        a: sell 10 MARKET              | a FILLED           | 100999.40005 | 0 | -10 | 0 | -0.49995
        b: buy 10 LIMIT price=90 reduce_only | b ACCEPTED   | 100999.40005 | 0 | -10 | 0 | -0.49995
        c: buy 1 LIMIT price=90 reduce_only | risk_reduce_only | 100999.40005 | 0 | -10 | 0 | -0.49995
        quote 89.99 90.00              | b FILLED           | 100099.22005 | 0 | 0 | 0 | 99.22005
        """)
    )


def test_one_order_turns_a_position_and_holds_for_what_it_opens() -> None:
    margin_page("2").check(
        rows_of("""
        quote 99.99 100.00             |                    | 100000    | 0       | 0   | 0  | 0
        a: buy 10 MARKET               | a FILLED           | 98999.5   | 0       | 10  | 0  | -0.5
        b: sell 30 LIMIT price=101     | b ACCEPTED         | 97988.49  | 1011.01 | 0   | 10 | -0.5
        quote 101.00 101.01            | b FILLED           | 102028.894 | 0      | -20 | 0  | 8.894
        """)
    )


def test_cut_reduce_only_order_ends_with_the_position() -> None:
    """Selling past the reservation is allowed with short selling; the exit must not outlive it."""
    margin_page("1").check(
        rows_of("""
        quote 99.99 100.00             |                    | 100000  | 0 | 0  | 0  | 0
        a: buy 10 MARKET               | a FILLED           | 98999.5 | 0 | 10 | 0  | -0.5
        b: sell 10 LIMIT price=110 reduce_only | b ACCEPTED | 98999.5 | 0 | 0  | 10 | -0.5
        c: sell 4 MARKET               | c FILLED           | 99399.26002 | 0 | -4 | 10 | -0.73998
        quote 110 110.01               | b CANCELED         | 100059.12802 | 0 | 0 | 0 | 59.12802
        """)
    )


def test_halted_account_gives_all_holds_back() -> None:
    desk = CoreDesk(dict(INSTRUMENTS), FEES)
    page = Page(desk)
    page.check(
        rows_of("""
        quote 99.99 100.00             |            | 100000    | 0       | 0 | 0 | 0
        a: buy 10 LIMIT price=99       | a ACCEPTED | 99009.505 | 990.495 | 0 | 0 | 0
        """)
    )
    desk.do(SetAccountState(user_id=USER, actor="test", state=TradingState.HALTED, reason="a test"))
    page.check(
        rows_of("""
        b: buy 1 MARKET                | risk_kill_switch_account, a CANCELED | 100000 | 0 | 0 | 0 | 0
        """)
    )


def test_rebate_is_paid_out_of_the_fees() -> None:
    fees = FeeSchedule(maker_bps=D(-1), taker_bps=D(5))
    Page(CoreDesk(dict(INSTRUMENTS), fees)).check(
        rows_of("""
        quote 99.99 100.00             |            | 100000    | 0       | 0  | 0 | 0
        a: buy 10 LIMIT price=99       | a ACCEPTED | 99009.505 | 990.495 | 0  | 0 | 0
        quote 98.98 99.00              | a FILLED   | 99010.099 | 0       | 10 | 0 | 0.099
        """)
    )
