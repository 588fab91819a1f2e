"""docs/concepts/depth.md on recordings: what is left out, put right or refused."""

import numpy as np
import pytest

from alphintra.engine import NO_PRICE, Kind, Side
from alphintra.engine.depth import BadDepth, Depth, DepthSimulation, DepthTerms, tape_of
from alphintra.engine.depth.layout import News
from alphintra.engine.series import BadSeries
from tests.engine.statements import states
from tests.engine_depth.scene import Scene, recording, tape

Book = tuple[list[tuple[int, int]], list[tuple[int, int]]]


def book(text: str, at: int, **how: bool) -> Book:
    replay, _ = tape(text, **how)
    simulation = DepthSimulation(replay, DepthTerms(tick_size=1.0, lot_size=1.0))
    simulation.advance_to(at)
    return simulation.depth(10)


@states("The book begins with the first snapshot; changes before it are left out and counted.")
def test_changes_before_the_first_snapshot_are_left_out() -> None:
    text = """
        0 bid 90:1 80:1
        1 ask 200:1
        2 book 99:10 | 101:5
    """
    assert book(text, 2) == ([(99, 10)], [(101, 5)])
    assert tape(text)[1].before_snapshot == 3
    with pytest.raises(BadDepth, match="there is no snapshot"):
        tape("0 bid 99:1")


@states("A snapshot replaces the book: levels that it does not have are gone.")
def test_a_snapshot_replaces_the_book() -> None:
    text = """
        0 book 98:5 99:10 | 101:5
        5 book 97:1 98:5 | 100:2
    """
    assert book(text, 4) == ([(99, 10), (98, 5)], [(101, 5)])
    assert book(text, 5) == ([(98, 5), (97, 1)], [(100, 2)])


@states(
    "A change whose message is not newer than the snapshot is left out, because the snapshot has "
    "it."
)
def test_old_changes_are_left_out() -> None:
    text = """
        0 book 99:10 | 101:5 seq 7
        1 bid 99:3 seq 5
        2 bid 99:4 seq 7
        3 bid 98:1 seq 8
    """
    assert book(text, 3) == ([(99, 10), (98, 1)], [(101, 5)])
    assert tape(text)[1].already_in_snapshot == 2


@states("A size of zero takes a level away.")
def test_zero_takes_a_level_away() -> None:
    text = """
        0 book 97:1 99:10 | 101:5
        1 bid 99:0
        2 ask 101:0
        3 bid 97:0
        4 ask 102:1
    """
    assert book(text, 1) == ([(97, 1)], [(101, 5)])
    scene = Scene(text)
    scene.to(3)
    assert (scene.simulation.best_bid, scene.simulation.best_ask) == (NO_PRICE, NO_PRICE)
    scene.to(4)
    assert scene.simulation.best_ask == 102


@states("At the same time a trade comes before a change of the book.")
def test_a_trade_comes_before_a_change() -> None:
    scene = Scene("""
        0 book 99:10 | 101:5
        5 bid 99:4
        5 sold 99:6
    """)
    scene.buy("A", 1, at=99)
    scene.to(4)
    assert scene.ahead("A") == 10
    scene.to(5)
    assert scene.ahead("A") == 4


@states(
    "A price between two ticks is refused; a size between two lots is rounded down, but to one lot "
    "at least."
)
def test_prices_are_on_ticks_and_sizes_are_rounded() -> None:
    text = """
        0 book 98:0.25 99:10.9 | 101:5
    """
    assert book(text, 0) == ([(99, 10), (98, 1)], [(101, 5)])
    assert tape(text)[1].rounded_sizes == 2
    with pytest.raises(BadDepth, match=r"row 1: 100\.5 is not on the tick"):
        tape("0 book 99:1 | 100.5:1")
    with pytest.raises(BadDepth, match="2\\^31 lots"):
        tape("0 book 99:1 | 101:2147483648")


@states("A recording whose times or message numbers go back is refused.")
def test_what_goes_back_is_refused() -> None:
    with pytest.raises(BadSeries, match="row 2"):
        tape("""
            5 book 99:1 | 101:1
            4 bid 99:2
        """)
    with pytest.raises(BadDepth, match=r"row 3.*before that of the row above"):
        tape("""
            0 book 99:1 | 101:1 seq 1
            1 bid 99:2 seq 5
            2 bid 99:3 seq 4
        """)
    with pytest.raises(BadDepth, match=r"row 3.*before that of the row above"):
        tape("""
            0 book 99:1 | 101:1 seq 3
            1 bid 99:2 seq 5
            2 book 99:3 seq 4
        """)


@states(
    "A best bid that is not below the best ask after a message is refused; within a message the "
    "book may cross."
)
def test_a_crossed_book_is_refused() -> None:
    crossing = """
        0 book 99:1 | 101:1 102:4
        1 bid 101:2 ask 101:0
    """
    assert book(crossing, 1) == ([(101, 2), (99, 1)], [(102, 4)])
    for price in (101, 102):
        with pytest.raises(BadDepth, match=r"row 2.*not below the best ask") as caught:
            tape(f"0 book 99:1 | 101:1\n1 bid {price}:2")
        assert caught.value.extra["row"] == 2


@states("With `resync`, the older one of two crossed levels is taken away, and of two as old both.")
def test_crossed_levels_are_taken_away() -> None:
    text = """
        0 book 98:1 99:1 | 101:1 102:4
        1 bid 102:2
        2 ask 98:3
    """
    assert book(text, 1, resync=True) == ([(102, 2), (99, 1), (98, 1)], [])
    assert book(text, 2, resync=True) == ([], [(98, 3)])
    assert tape(text, resync=True)[1].crossed_levels == 5
    both = "0 book 98:1 102:1 | 101:1 103:4"
    assert book(both, 0, resync=True) == ([(98, 1)], [(103, 4)])


@states(
    "With `contiguous`, a missing message is refused; with `resync`, the book stays as it was "
    "until the next snapshot."
)
def test_a_gap_waits_for_the_next_snapshot() -> None:
    text = """
        0 book 99:1 | 101:1 seq 1
        1 bid 99:2 seq 2
        2 bid 99:9 seq 4
        3 bid 98:9 97:9 seq 5
        4 book 99:3 | 101:3 seq 6
        5 bid 99:4 seq 7
    """
    with pytest.raises(BadDepth, match=r"row 3.*messages are missing"):
        tape(text, contiguous=True)
    assert book(text, 3, contiguous=True, resync=True) == ([(99, 2)], [(101, 1)])
    assert book(text, 5, contiguous=True, resync=True) == ([(99, 4)], [(101, 3)])
    repairs = tape(text, contiguous=True, resync=True)[1]
    assert (repairs.gaps, repairs.after_gap) == (1, 3)
    assert book(text, 3) == ([(99, 9), (98, 9), (97, 9)], [(101, 1)])


def columns() -> dict[str, np.ndarray]:
    moments = np.array(["2024-01-01T00:00:00", "2024-01-01T00:00:01"], "M8[us]")
    return {
        "ts": moments,
        "recv_ts": moments,
        "kind": np.array(["snapshot", "delta"], object),
        "side": np.array(["bid", "ask"], object),
        "price": np.array([99.0, 101.0]),
        "size": np.array([1.0, 2.0]),
        "seq": np.array([1.0, 2.0]),
    }


def test_columns_are_read_as_recordings_name_them() -> None:
    depth = Depth.of_columns("X", columns())
    assert depth.ts_ns.tolist() == [1_704_067_200 * 10**9, 1_704_067_201 * 10**9]
    assert (depth.kind.tolist(), depth.side.tolist(), depth.seq.tolist()) == (
        [0, 1],
        [0, 1],
        [1, 2],
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("kind", np.array(["snapshot", "update"], object), "row 1: kind is 'update'"),
        ("side", np.array(["buy", "ask"], object), "row 0: side is 'buy'"),
        ("seq", np.array([1.5, 2.0]), "seq holds"),
        ("seq", np.array(["1", "2"]), "seq holds"),
        ("price", np.array([99.0, np.nan]), "row 1.*prices are positive"),
        ("price", np.array([0.0, 101.0]), "row 0.*prices are positive"),
        ("size", np.array([1.0, np.nan]), "row 1.*a size is a number"),
        ("size", np.array([-1.0, 1.0]), "row 0.*a size is a number"),
        ("size", np.array([1.0]), "rows"),
    ],
)
def test_bad_columns_are_refused(name: str, value: np.ndarray, message: str) -> None:
    with pytest.raises(BadSeries, match=message):
        Depth.of_columns("X", {**columns(), name: value})


def test_a_missing_column_is_named() -> None:
    without = {name: column for name, column in columns().items() if name != "recv_ts"}
    with pytest.raises(BadSeries, match="no column recv_ts"):
        Depth.of_columns("X", without)


def test_trades_before_the_book_are_left_out() -> None:
    replay, _ = tape("""
        0 sold 99:1
        5 book 99:10 | 101:5
        6 sold 99:2
    """)
    assert replay.venue_ns.tolist() == [5, 5, 6]


def test_a_trade_of_unknown_size_fills_only_what_it_goes_through() -> None:
    depth, trades, _ = recording("""
        0 book 99:10 | 101:5
        5 sold 99:1
        6 sold 98:1
        9 bid 1:1
    """)
    trades.size[:] = np.nan
    replay, _ = tape_of(depth, trades, tick_size=1.0, lot_size=1.0)
    simulation = DepthSimulation(replay, DepthTerms(tick_size=1.0, lot_size=1.0))
    simulation.submit(Side.BUY, Kind.LIMIT, 3, limit_price_ticks=100)
    simulation.submit(Side.BUY, Kind.LIMIT, 3, limit_price_ticks=99)
    assert [told.order_id for told in simulation.advance_to(5) if told.kind == News.FILL] == [0]
    assert [told.order_id for told in simulation.advance_to(6) if told.kind == News.FILL] == [1]
