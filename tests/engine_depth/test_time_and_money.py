"""docs/concepts/depth.md on latency, money and the two ways to run; and on real recordings."""

import hashlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest

from alphintra.engine import Kind, Lifetime, Side, compiled
from alphintra.engine.depth import (
    RECORDED,
    Depth,
    DepthSimulation,
    DepthTerms,
    Desk,
    Ladder,
    QueueModel,
    Status,
    layout,
    quote_with_skew,
    tape_of,
)
from alphintra.engine.depth import desk as desk_calls
from alphintra.engine.depth.series import nanoseconds
from alphintra.engine.depth.simulation import TooManyRequests
from alphintra.engine.series import Trades
from tests.engine.statements import held, states, written
from tests.engine_depth import test_orders, test_recording
from tests.engine_depth.scene import Scene

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "depth.md"
BOOK = "0 book 99:10 | 101:5 102:20"
END = "1000 bid 1:1"


def scene(later: str = "", **terms: int) -> Scene:
    return Scene(f"{BOOK}\n{later}\n{END}", **terms)


def test_every_point_of_the_page_has_its_test() -> None:
    assert sorted(held(test_recording, test_orders, sys.modules[__name__])) == sorted(written(PAGE))


# Time


@states(
    "An order reaches the venue `entry_ns` after it was sent, behind the events of the market of "
    "that moment."
)
def test_an_order_takes_its_time() -> None:
    desk = scene("10 ask 101:2\n11 ask 101:50", entry_ns=10)
    desk.buy("A", 5, at=101, lifetime=Lifetime.IOC)
    assert desk.to(9) == []
    assert desk.to(11) == ["A: 2 at 101, t", "A: canceled 3, immediate_or_cancel"]
    assert desk.simulation.fills()["venue_ns"].tolist() == [10]


@states("Requests never overtake each other.")
def test_requests_never_overtake() -> None:
    text = f"{BOOK}\n10 bid 99:11 seen 40\n50 bid 99:12 seen 51\n90 bid 1:1"
    desk = Scene(text, feed_ns=RECORDED, entry_ns=RECORDED)
    desk.to(40)
    desk.buy("A", 1, at=99)  # sent at 40, takes 30
    desk.to(51)
    desk.buy("B", 1, at=99)  # sent at 51, takes 1: it comes with the one before it
    desk.to(90)
    assert desk.simulation.news()["venue_ns"].tolist() == [70, 70]
    assert desk.simulation.news()["order"].tolist() == [0, 1]


@states(
    "News of an order are heard `response_ns` after they happened; until then position and cash "
    "are as before."
)
def test_news_take_their_time() -> None:
    desk = scene(entry_ns=10, response_ns=10)
    desk.buy("A", 5)
    assert desk.to(19) == []
    assert (desk.simulation.position, desk.simulation.cash) == (0, 0.0)
    assert desk.to(20) == ["A: 5 at 101, t"]
    assert (desk.simulation.position, desk.simulation.cash) == (5, -505.0)


@states("The book is seen as late as the feed says, while orders meet the book at the venue.")
def test_the_book_is_seen_late() -> None:
    desk = scene("10 ask 101:0", feed_ns=7)
    desk.to(6)
    assert desk.simulation.depth(1) == ([], [])
    desk.to(10)
    assert desk.simulation.best_ask == 101
    desk.buy("A", 1)
    assert desk.to(16) == ["A: 1 at 102, t"]
    assert desk.simulation.best_ask == 101
    desk.to(17)
    assert desk.simulation.best_ask == 102


@states(
    "`RECORDED` takes the feed's latency from the recording: its receipt less the venue's time."
)
def test_the_latency_of_the_recording() -> None:
    desk = Scene(f"{BOOK} seen 3\n10 ask 101:0 seen 30\n50 bought 102:1 seen 55", feed_ns=RECORDED)
    assert desk.tape.seen_ns.tolist() == [3, 3, 3, 30, 55]
    desk.to(54)
    assert desk.simulation.last_price == 0
    desk.to(55)
    assert desk.simulation.last_price == 102


@states(
    "Receipts before the venue's time show that two clocks differ; the shortest latency then "
    "counts as none."
)
def test_clocks_that_differ() -> None:
    text = "1000 book 99:1 | 101:1 seen 900\n1010 ask 101:0 seen 905\n1020 bid 99:2 seen 930"
    assert Scene(text, feed_ns=RECORDED).tape.seen_ns.tolist() == [1005, 1005, 1010, 1035]


@states("No event is seen before one that came before it.")
def test_events_are_seen_in_order() -> None:
    text = f"{BOOK}\n10 ask 101:0 seen 30\n20 bid 99:1 seen 21\n40 bid 99:2 seen 40"
    assert Scene(text, feed_ns=RECORDED).tape.seen_ns.tolist() == [0, 0, 0, 30, 30, 40]


@states("An order with a `RECORDED` entry takes as long as the last event that was seen.")
def test_an_entry_as_slow_as_the_feed() -> None:
    desk = Scene(
        f"{BOOK}\n10 ask 102:21 seen 30\n90 bid 1:1 seen 99", feed_ns=RECORDED, entry_ns=RECORDED
    )
    desk.to(40)
    desk.buy("A", 1)
    desk.to(99)
    assert desk.simulation.fills()["venue_ns"].tolist() == [60]


def test_a_response_as_slow_as_the_feed() -> None:
    desk = Scene(f"{BOOK}\n10 ask 102:21 seen 30", feed_ns=RECORDED, response_ns=RECORDED)
    desk.to(10)
    desk.buy("A", 1)
    assert desk.to(29) == []
    assert desk.to(30) == ["A: 1 at 101, t"]


# Money


@states(
    "Buying and selling moves cash by price times quantity; the fee is a rate of that value, one "
    "for makers, one for takers."
)
def test_cash_and_fees() -> None:
    scene_ = Scene(f"{BOOK}\n5 bought 102:1\n{END}")
    terms = DepthTerms(tick_size=0.5, lot_size=0.1, maker_rate=-0.001, taker_rate=0.002)
    simulation = DepthSimulation(scene_.tape, terms)
    simulation.submit(Side.BUY, Kind.MARKET, 6)
    simulation.submit(Side.SELL, Kind.LIMIT, 4, limit_price_ticks=101, post_only=True)
    simulation.advance_to(1000)
    bought = (5 * 101 + 102) * 0.05
    sold = 4 * 101 * 0.05
    assert simulation.position == 2
    assert simulation.fees == pytest.approx(bought * 0.002 - sold * 0.001)
    assert simulation.cash == pytest.approx(sold - bought - simulation.fees)


# Both ways to run, and real recordings


def real(folder: str, name: str) -> tuple[Depth, Trades, np.ndarray]:
    book = pq.read_table(Path(folder, "l2", name))
    depth = Depth.of_columns("BTCUSDT", {c: book.column(c).to_numpy() for c in book.column_names})
    prints = pq.read_table(Path(folder, "trades", name))
    column = {c: prints.column(c).to_numpy() for c in prints.column_names}
    side = np.where(column["side"] == "buy", 1, -1)
    trades = Trades("BTCUSDT", nanoseconds(column["ts"]), column["price"], column["size"], side)
    return depth, trades, nanoseconds(column["recv_ts"])


def perpetual(folder: str, **terms: object) -> DepthSimulation:
    depth, trades, receipts = real(folder, "BTCUSDT-perp_binance_20240808.parquet")
    tape, _ = tape_of(
        depth, trades, tick_size=0.1, lot_size=0.001, feed_ns=RECORDED, trades_recv_ns=receipts
    )
    how = DepthTerms(tick_size=0.1, lot_size=0.001, maker_rate=-0.00005, entry_ns=10**6,
                     response_ns=10**6, **terms)  # type: ignore[arg-type]  # fmt: skip
    return DepthSimulation(tape, how, parameters=(1, 20, 10, 100))


def fingerprint(simulation: DepthSimulation) -> str:
    parts = (simulation.news(), simulation.orders(), *simulation.equity_curve())
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def test_real_recordings_are_whole(market_data_dir: str) -> None:
    for name, tick, lot, left_out, old in [
        ("BTCUSDT-perp_binance_20240808.parquet", 0.1, 0.001, 259, 0),
        ("BTCUSDT_binance-spot_20240808.parquet", 0.01, 0.00001, 0, 17),
    ]:
        depth, trades, _ = real(market_data_dir, name)
        tape, repairs = tape_of(depth, trades, tick_size=tick, lot_size=lot)
        assert (repairs.before_snapshot, repairs.already_in_snapshot) == (left_out, old)
        assert (repairs.gaps, repairs.crossed_levels) == (0, 0)
        simulation = DepthSimulation(tape, DepthTerms(tick_size=tick, lot_size=lot))
        while simulation.now_ns < simulation.end_ns:
            simulation.advance_to(min(simulation.now_ns + 10**9, simulation.end_ns))
            assert simulation.best_bid < simulation.best_ask


def test_the_seen_book_is_that_of_the_quotes(market_data_dir: str) -> None:
    """The venue published its best bid as well, and it was recorded at the same time."""
    depth, _, _ = real(market_data_dir, "BTCUSDT_binance-spot_20240808.parquet")
    tape, _ = tape_of(depth, tick_size=0.01, lot_size=0.00001)
    quotes = pq.read_table(
        Path(market_data_dir, "quotes", "BTCUSDT_binance-spot_bbo_20240808.parquet")
    )
    received, bid = (quotes.column(name).to_numpy() for name in ("ts", "bid"))
    received = nanoseconds(received)
    simulation = DepthSimulation(tape, DepthTerms(tick_size=0.01, lot_size=0.00001))
    # The quotes bear the receiver's clock, the book the venue's, 1.27 s ahead.
    changes = depth.kind == 1
    ahead = int(np.median((depth.ts_ns - depth.recv_ns)[changes]))
    same = []
    while simulation.now_ns + 10**9 < simulation.end_ns:
        simulation.advance_to(simulation.now_ns + 10**9)
        now = simulation.now_ns - ahead
        near = bid[np.searchsorted(received, now - 2 * 10**8) : np.searchsorted(received, now)]
        same.append(bool((np.abs(near - simulation.best_bid * 0.01) < 0.005).any()))
    assert np.mean(same) > 0.97


def test_quoting_is_the_same_every_time(market_data_dir: str) -> None:
    runs = [perpetual(market_data_dir) for _ in range(2)]
    for simulation in runs:
        simulation.run(quote_with_skew, every_ns=10**8)
    assert fingerprint(runs[0]) == fingerprint(runs[1])
    assert len(runs[0].fills()) > 300
    assert abs(runs[0].position) <= 110


def test_the_queue_decides_how_much_is_filled(market_data_dir: str) -> None:
    filled = {}
    for model in QueueModel:
        simulation = perpetual(market_data_dir, queue_model=model)
        simulation.run(quote_with_skew, every_ns=10**8)
        filled[model] = len(simulation.fills())
    assert filled[QueueModel.CONSERVATIVE] < filled[QueueModel.PROPORTIONAL]


def test_logs_grow_and_nothing_changes(
    market_data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy = perpetual(market_data_dir)
    roomy.run(quote_with_skew, every_ns=10**8)
    monkeypatch.setattr(layout, "FIRST_ROOM", 1)
    narrow = perpetual(market_data_dir)
    narrow.run(quote_with_skew, every_ns=10**8)
    assert fingerprint(narrow) == fingerprint(roomy)


@compiled
def join_best_bid(view: Ladder, desk: Desk) -> None:
    """Keep one bid at the best price; sell what was bought at the market."""
    position = desk.state[0]["position_lots"]
    if position > 0 and desk.memory[0] == 0:
        desk_calls.submit(desk, Side.SELL, Kind.MARKET, position, 0, Lifetime.REST, 0, 1)
        desk.memory[0] = 1
    elif position == 0:
        desk.memory[0] = 0
        if desk.state[0]["working"] == 0:
            desk_calls.quote(desk, Side.BUY, desk_calls.best_bid(view), 3)


def test_stepped_and_compiled_runs_do_the_same(market_data_dir: str) -> None:
    depth, trades, _ = real(market_data_dir, "BTCUSDT-perp_binance_20240808.parquet")
    tape, _ = tape_of(depth, trades, tick_size=0.1, lot_size=0.001)
    terms = DepthTerms(tick_size=0.1, lot_size=0.001)
    compiled_run = DepthSimulation(tape, terms, memory=1)
    compiled_run.run(join_best_bid, every_ns=10**8)
    stepped = DepthSimulation(tape, terms)
    selling = False
    working: set[int] = set()
    while stepped.now_ns < stepped.end_ns:
        for told in stepped.advance_to(min(stepped.now_ns + 10**8, stepped.end_ns)):
            if stepped.status(told.order_id) >= Status.FILLED:
                working.discard(told.order_id)
        if stepped.position > 0 and not selling:
            working.add(stepped.submit(Side.SELL, Kind.MARKET, stepped.position, tag=1))
            selling = True
        elif stepped.position == 0:
            selling = False
            if not working:
                price = stepped.best_bid
                working.add(
                    stepped.submit(Side.BUY, Kind.LIMIT, 3, limit_price_ticks=price, post_only=True)
                )
    assert stepped.news().tobytes() == compiled_run.news().tobytes()
    assert len(stepped.fills()) > 20


@compiled
def send_too_much(view: Ladder, desk: Desk) -> None:
    for _ in range(70_000):
        desk_calls.quote(desk, Side.BUY, desk_calls.best_bid(view), 1)


def test_a_strategy_that_sends_too_much_is_stopped() -> None:
    simulation = DepthSimulation(scene().tape, DepthTerms(tick_size=1.0, lot_size=1.0))
    with pytest.raises(TooManyRequests, match="256 requests"):
        simulation.run(send_too_much, every_ns=10)
    with pytest.raises(ValueError, match="not an interval"):
        simulation.run(send_too_much, every_ns=0)


def test_the_package_is_imported_without_the_compiler() -> None:
    code = "import sys, alphintra.engine.depth as d; d.Depth; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_nothing_but_what_is_named_is_exported() -> None:
    from alphintra.engine import depth

    package: ModuleType = depth
    for name in depth.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing
