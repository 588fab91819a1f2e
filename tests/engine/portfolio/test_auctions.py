"""docs/concepts/portfolio.md: the auctions of a run."""

import numpy as np
import pytest

from alphintra.engine import Kind, Lifetime
from alphintra.engine.portfolio import NoAuction, Sessions, SymbolTerms, What
from tests.engine.portfolio.market import MINUTE_NS, Run, bars, flat, prints, quotes
from tests.engine.statements import states

OPG, CLS = Lifetime.OPG, Lifetime.CLS


def terms(*minutes: tuple[int, int]) -> list[SymbolTerms]:
    """Return terms of A with sessions from and to minutes."""
    return [SymbolTerms(symbol="A", sessions=Sessions(np.array(minutes) * MINUTE_NS))]


def stairs(count: int) -> Run:
    """Return a run of bars that open at 100 + n and close half a unit above."""
    rows = [(100.0 + n, 101.0 + n, 99.0 + n, 100.5 + n) for n in range(count)]
    return Run(bars(*rows), terms=terms((2, 4), (6, 8)))


@states(
    "An opening order takes part at the first row of the next session that opens; a closing order "
    "at the last row of the next that closes.",
    "An order that is given during a session is for the opening of the next one, and after its "
    "close for the next closing.",
)
def test_auctions_are_at_the_first_and_the_last_row() -> None:
    run = stairs(9)
    run.step()
    run.order("BUY", 1, lifetime=OPG)
    run.order("BUY", 2, lifetime=CLS)
    run.step(2)  # in the session
    run.order("BUY", 3, lifetime=OPG)
    run.order("BUY", 4, lifetime=CLS)
    run.step(2)  # behind it
    run.order("BUY", 5, lifetime=CLS)
    run.finish()
    assert run.fills() == [
        (0, "BUY", 1.0, 102.0),
        (1, "BUY", 2.0, 103.5),
        (3, "BUY", 4.0, 103.5),
        (2, "BUY", 3.0, 106.0),
        (4, "BUY", 5.0, 107.5),
    ]


def test_the_run_stops_at_the_auction_and_nowhere_before() -> None:
    run = stairs(9)
    run.step()
    run.order("BUY", 1, lifetime=CLS)
    run.step()
    assert run.simulation.next_stop(9) == 3
    run.simulation.advance(3)
    run.step()
    assert run.fills() == [(0, "BUY", 1.0, 103.5)]
    assert run.simulation.next_stop(9) == 9


def test_auctions_of_prints_and_of_quotes() -> None:
    rows = [(minute, 100.0 + minute) for minute in (1, 3, 3, 5, 7, 9)]
    run = Run(
        prints(*((minute * MINUTE_NS, price + n, 50) for n, (minute, price) in enumerate(rows))),
        terms=terms((3, 8)),
    )
    run.step()
    run.order("BUY", 1, lifetime=OPG)
    run.order("BUY", 2, lifetime=CLS)
    run.finish()
    assert run.fills() == [(0, "BUY", 1.0, 104.0), (1, "BUY", 2.0, 111.0)]

    run = Run(
        quotes(*((minute * MINUTE_NS, price, price + 1) for minute, price in rows)),
        terms=terms((3, 8)),
    )
    run.step()
    run.order("BUY", 1, lifetime=OPG)
    run.order("BUY", 2, lifetime=CLS)
    run.finish()
    assert run.fills() == [(0, "BUY", 1.0, 104.0), (1, "BUY", 2.0, 108.0)]


@states(
    "A session that shows nothing of the symbol fills nothing: its orders expire when it closes."
)
def test_a_session_without_rows() -> None:
    early = bars((100, 100, 100, 100))
    run = Run(
        early, bars((9, 9, 9, 9), (9, 9, 9, 9), symbol="B", start_ns=5 * MINUTE_NS),
        bars((100, 100, 100, 100), start_ns=9 * MINUTE_NS),
        terms=[*terms((2, 4), (9, 12)), SymbolTerms(symbol="B")],
    )  # fmt: skip
    run.step()
    run.order("BUY", 1, lifetime=OPG)
    run.order("BUY", 1, lifetime=CLS)
    run.finish()
    assert run.fills() == []
    assert run.told(What.EXPIRED) == [(0, 0), (1, 0)]


@states("When the tape ends before the session does, its closing auction has not been held.")
def test_a_session_that_has_not_ended() -> None:
    run = Run(flat(*[100.0] * 5), terms=terms((2, 6)))
    run.step(3)
    run.order("BUY", 1, lifetime=CLS)
    run.finish()
    assert run.fills() == []
    run = Run(flat(*[100.0] * 5), terms=terms((2, 5)))
    run.step(3)
    run.order("BUY", 1, lifetime=CLS)
    run.finish()
    assert run.fills() == [(0, "BUY", 1.0, 100.0)]


@states(
    "A bracket's entry may be for an auction, and its exits come in at that moment; a child cannot "
    "be for one."
)
def test_a_bracket_from_an_auction() -> None:
    run = Run(
        bars((100, 100, 100, 100), (100, 100, 100, 100), (100, 104, 99, 103), (103, 103, 90, 91)),
        terms=terms((2, 4)),
    )
    entry = run.order("BUY", 10, lifetime=OPG)
    profit = run.order("SELL", 0, Kind.LIMIT, limit_price_ticks=10_400, parent=entry)
    run.order("SELL", 0, Kind.STOP, stop_price_ticks=9_500, parent=entry, sibling=profit)
    with pytest.raises(ValueError, match="child"):
        run.order("SELL", 0, parent=entry, lifetime=CLS)
    run.finish()
    assert run.fills() == [(0, "BUY", 10.0, 100.0), (1, "SELL", 10.0, 104.0)]


def test_siblings_and_reduce_only_in_auctions() -> None:
    run = stairs(9)
    run.order("BUY", 10)
    run.step()
    target = run.order("SELL", 10, Kind.LIMIT, limit_price_ticks=10_250, reduce_only=True)
    run.order("SELL", 10, lifetime=CLS, sibling=target, reduce_only=True)
    run.finish()
    assert run.fills() == [(0, "BUY", 10.0, 100.0), (1, "SELL", 10.0, 102.5)]
    assert len(run.told(What.CANCELED)) == 1

    run = stairs(9)
    run.order("BUY", 10)
    run.step()
    run.order("SELL", 25, lifetime=CLS, reduce_only=True)
    run.finish()
    assert run.fills() == [(0, "BUY", 10.0, 100.0), (1, "SELL", 10.0, 103.5)]


@states("A target weight may be for an auction, and is sized there.")
def test_a_weight_at_the_close() -> None:
    run = stairs(9)
    run.step()
    run.order("BUY", 0, weight=1.0, lifetime=CLS)
    run.finish()
    assert run.fills() == [(0, "BUY", 96.0, 103.5)]


@states("Where a symbol has no sessions, an order for an auction is refused: `no_auction`.")
def test_without_sessions_there_is_no_auction() -> None:
    run = Run(flat(100, 100))
    with pytest.raises(NoAuction) as refused:
        run.order("BUY", 1, lifetime=OPG)
    assert refused.value.code == "no_auction"
    with pytest.raises(ValueError, match="auction"):
        run.order("BUY", 1, Kind.STOP, stop_price_ticks=1, lifetime=CLS)


def test_daily_bars_open_and_close_with_the_session() -> None:
    day = 1_440
    rows = [(100.0 + n, 105.0 + n, 95.0 + n, 102.0 + n) for n in range(3)]
    run = Run(
        bars(*rows, length_ns=day * MINUTE_NS),
        terms=terms(*((n * day + 870, n * day + 1_260) for n in range(4))),
    )
    run.step()
    run.order("BUY", 1, lifetime=OPG)
    run.order("SELL", 1, lifetime=CLS)
    run.step(2)
    assert run.fills() == [(0, "BUY", 1.0, 101.0), (1, "SELL", 1.0, 103.0)]
