"""A deployment's own book, against arithmetic done by hand and against a slower one."""

import random
from datetime import UTC, date, datetime
from decimal import Decimal

from alphintra.sdk.live.told import Execution
from alphintra.strategies.deployments.book import Book, Tide, exposure_of

D = Decimal


def fill(number: int, side: str, quantity: str, price: str, fee: str = "0") -> Execution:
    return Execution(
        id=str(number),
        order_id="1",
        symbol="SPY",
        side="BUY" if side == "BUY" else "SELL",
        quantity=quantity,
        price=price,
        fee=fee,
        liquidity="TAKER",
        executed_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_a_long_is_opened_reduced_and_turned_round() -> None:
    book = Book(D(1000))
    book.take(fill(1, "BUY", "2", "100", "1"))
    assert (book.cash, book.quantity("SPY"), book.fees) == (D(799), D(2), D(1))
    book.take(fill(2, "SELL", "1", "110"))
    assert (book.cash, book.realized) == (D(909), D(10))
    book.take(fill(3, "SELL", "3", "90"))
    # One closed at a loss of ten; two sold short at 90.
    assert (book.quantity("SPY"), book.realized) == (D(-2), D(0))
    book.mark("SPY", D(80))
    assert book.equity == D(909) + D(270) - D(160)
    assert book.exposure == exposure_of(book.views()) == D(160)
    assert book.views()[0]["average_price"] == "90"
    assert book.views()[0]["unrealized_pnl"] == "20"


def test_a_fill_told_again_changes_nothing() -> None:
    book = Book(D(1000))
    assert book.take(fill(1, "BUY", "1", "100"))
    assert not book.take(fill(1, "BUY", "1", "100"))
    assert book.quantity("SPY") == 1
    assert book.fills == 1


def test_equity_is_cash_flow_and_position_whatever_the_fills() -> None:
    draw = random.Random(5)
    for _ in range(50):
        book = Book(D(1000))
        cash, held, price = D(1000), D(0), D(100)
        for number in range(40):
            quantity = D(draw.randint(1, 9)) / 10
            price = D(draw.randint(8_000, 12_000)) / 100
            side = draw.choice(["BUY", "SELL"])
            book.take(fill(number, side, str(quantity), str(price), "0.01"))
            signed = quantity if side == "BUY" else -quantity
            cash -= signed * price + D("0.01")
            held += signed
        book.mark("SPY", price)
        assert book.cash == cash
        assert book.quantity("SPY") == held
        assert abs(book.equity - (cash + held * price)) < D("0.000001")
        # Realised and unrealised together are what was made, but for fees.
        unrealised = D(book.views()[0]["unrealized_pnl"] or 0)
        made = book.equity - D(1000) + book.fees
        assert abs(book.realized + unrealised - made) < D("0.00001")


def test_the_day_begins_with_the_equity_at_hand() -> None:
    tide = Tide(D(1000), date(2026, 1, 1), D(1000))
    tide.follow(D(1100), date(2026, 1, 1))
    tide.follow(D(1050), date(2026, 1, 2))
    assert (tide.peak, tide.day_equity) == (D(1100), D(1050))
