"""A position is what its fills make of it, to the last eighth place."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from alphintra.core import money
from alphintra.core.ids import AccountId, UserId
from alphintra.trading.state import Position

D = Decimal
AT = datetime(2024, 1, 2, tzinfo=UTC)
#: Lots of 1e-8 at prices with two places: most values have to be rounded.
QUANTITIES = st.decimals(min_value=D(-5_000), max_value=D(5_000), places=8).filter(bool)
PRICES = st.decimals(min_value=D("0.01"), max_value=D(50_000), places=2)
FEES = st.decimals(min_value=D(-5), max_value=D(50), places=8)
FILLS = st.lists(st.tuples(QUANTITIES, PRICES, FEES), min_size=1, max_size=30)
Fill = tuple[Decimal, Decimal, Decimal]


def empty() -> Position:
    return Position(
        id=UUID(int=1),
        account_id=AccountId(UUID(int=2)),
        user_id=UserId(UUID(int=3)),
        symbol="SPY",
        updated_at=AT,
    )


def apply(position: Position, fills: list[Fill]) -> Decimal:
    """Book the fills; return what they brought or cost in cash, as the ledger posts it."""
    cash = D(0)
    for quantity, price, fee in fills:
        before = position.realized_pnl
        realized = position.apply(signed_quantity=quantity, price=price, fee=fee)
        assert position.realized_pnl == before + realized
        value = money.multiply(abs(quantity), price)
        cash -= (value if quantity > 0 else -value) + fee
    return cash


@given(FILLS)
def test_cash_is_what_was_realised_less_what_is_invested(fills: list[Fill]) -> None:
    position = empty()
    cash = apply(position, fills)
    assert cash == position.realized_pnl - position.cost_basis
    assert position.quantity == sum(quantity for quantity, _, _ in fills)
    assert position.fees == sum(fee for _, _, fee in fills)


@given(FILLS, PRICES)
def test_closed_position_has_realised_all_of_its_cash(fills: list[Fill], price: Decimal) -> None:
    position = empty()
    cash = apply(position, fills)
    if position.quantity:
        cash += apply(position, [(-position.quantity, price, D(0))])
    assert position.quantity == position.cost_basis == 0
    assert position.average_price is None
    assert position.realized_pnl == cash


@given(FILLS)
def test_cost_has_the_sign_of_the_quantity(fills: list[Fill]) -> None:
    position = empty()
    for fill in fills:
        apply(position, [fill])
        assert position.cost_basis * position.quantity >= 0
        assert (position.quantity == 0) <= (position.cost_basis == 0)


@given(st.lists(st.tuples(QUANTITIES.map(abs), PRICES, FEES), min_size=2, max_size=12), st.data())
def test_order_of_opening_fills_does_not_matter(fills: list[Fill], data: st.DataObject) -> None:
    one, other = empty(), empty()
    apply(one, fills)
    apply(other, data.draw(st.permutations(fills)))
    assert one == other


@given(QUANTITIES, PRICES, st.integers(1, 8), PRICES)
def test_closing_in_parts_realises_what_closing_at_once_does(
    quantity: Decimal, price: Decimal, parts: int, closing_price: Decimal
) -> None:
    at_once, in_parts = empty(), empty()
    cash = [apply(at_once, [(quantity, price, D(0))]), apply(in_parts, [(quantity, price, D(0))])]
    cash[0] += apply(at_once, [(-quantity, closing_price, D(0))])
    part = money.round_to_step(quantity / parts, money.QUANTUM)
    for _ in range(parts - 1):
        if part:
            cash[1] += apply(in_parts, [(-part, closing_price, D(0))])
    cash[1] += apply(in_parts, [(-in_parts.quantity, closing_price, D(0))])
    assert at_once.quantity == in_parts.quantity == 0
    # Every part rounds its own value by half a quantum at most.
    assert abs(at_once.realized_pnl - in_parts.realized_pnl) <= parts * money.QUANTUM
    assert [at_once.realized_pnl, in_parts.realized_pnl] == cash


def test_fill_that_turns_a_position_realises_and_opens_what_the_posting_says() -> None:
    """The parts are rounded so that they add up to the whole: cash must not lose 1e-8."""
    position = empty()
    cash = apply(position, [(D("0.00000001"), D("0.51"), D(0))])
    cash += apply(position, [(D("-0.00000002"), D("0.51"), D(0))])
    assert position.quantity == D("-0.00000001")
    assert cash == position.realized_pnl - position.cost_basis
