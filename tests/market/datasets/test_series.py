"""What is computed from series: resampling, adjusting, charts, figures, hashes, plain reading."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphintra.engine.series import Bars, Floats, Quotes, Trades
from alphintra.market import read_bars, read_quotes, read_trades
from alphintra.market.datasets import charting
from alphintra.market.datasets.actions import Action
from alphintra.market.datasets.adjusting import adjust
from alphintra.market.datasets.content import content_of, write_parquet
from alphintra.market.datasets.errors import CannotDerive, UploadNeedsDecision
from alphintra.market.datasets.options import DAY_NS, timeframe_name, timeframe_ns
from alphintra.market.datasets.resampling import resample
from alphintra.market.datasets.statistics import statistics
from alphintra.market.errors import ColumnsNotRecognised

MINUTE_NS = 60 * 10**9


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def bars_of(close: Floats, *, start: str = "2024-01-02T14:30", step_ns: int = MINUTE_NS) -> Bars:
    times = ns(start) + step_ns * np.arange(len(close), dtype=np.int64)
    return Bars.of_length(
        "X",
        times,
        step_ns,
        open=close,
        high=close * 1.01,
        low=close * 0.99,
        close=close,
        volume=np.arange(len(close), dtype=np.float64),
    )


def equal(one: Bars, other: Bars) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True)
        for name in ("open_ns", "open", "high", "low", "close", "volume")
    )


@settings(max_examples=60, deadline=None)
@given(
    prices=st.lists(st.floats(1, 1000), min_size=1, max_size=200),
    offset=st.integers(0, 300),
    kept=st.floats(0.2, 1),
    seed=st.integers(0, 1000),
)
def test_resampling_twice_is_resampling_once(
    prices: list[float], offset: int, kept: float, seed: int
) -> None:
    whole = bars_of(np.array(prices))
    mask = np.random.default_rng(seed).random(len(prices)) < kept
    mask[0] = True
    some = Bars.of_length(
        "X", whole.open_ns[mask] + offset * MINUTE_NS, MINUTE_NS, open=whole.open[mask],
        high=whole.high[mask], low=whole.low[mask], close=whole.close[mask],
        volume=whole.volume[mask],
    )  # fmt: skip
    five = resample(some, "5m", step_ns=MINUTE_NS)
    quarter = resample(some, "15m", step_ns=MINUTE_NS)
    assert equal(resample(five, "15m", step_ns=5 * MINUTE_NS), quarter)
    assert (five.open_ns % (5 * MINUTE_NS) == 0).all()
    assert quarter.volume.sum() == some.volume.sum()
    assert (quarter.high.max(), quarter.low.min()) == (some.high.max(), some.low.min())
    assert (quarter.open[0], quarter.close[-1]) == (some.open[0], some.close[-1])


def test_days_are_sessions_labelled_by_the_date_on_which_they_close() -> None:
    # Sydney: Tuesday's session opens at 23:00 UTC on Monday.
    sessions = [
        (ns("2024-01-01T23:00"), ns("2024-01-02T05:00")),
        (ns("2024-01-02T23:00"), ns("2024-01-03T05:00")),
    ]
    hours = bars_of(np.arange(1.0, 49.0), start="2024-01-01T18:00", step_ns=60 * MINUTE_NS)
    days = resample(hours, "1d", step_ns=60 * MINUTE_NS, sessions=sessions)
    assert days.open_ns.tolist() == [ns("2024-01-02T00:00"), ns("2024-01-03T00:00")]
    assert days.open.tolist() == [6.0, 30.0]  # 23:00 is the sixth hour
    assert days.close.tolist() == [11.0, 35.0]  # 04:00 is the last one inside
    always = resample(hours, "1d", step_ns=60 * MINUTE_NS)
    assert always.open.tolist() == [1.0, 7.0, 31.0]


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    days = bars_of(np.arange(1.0, 62.0), start="2024-01-03T00:00", step_ns=DAY_NS)
    weeks = resample(days, "1w", step_ns=DAY_NS)
    assert (weeks.open_ns[0], weeks.open_ns[1]) == (ns("2024-01-01T00:00"), ns("2024-01-08T00:00"))
    months = resample(days, "1mo", step_ns=DAY_NS)
    assert months.open_ns.tolist() == [ns(f"2024-{month:02d}-01T00:00") for month in (1, 2, 3)]
    assert months.open.tolist() == [1.0, 30.0, 59.0]


@pytest.mark.parametrize(
    ("timeframe", "step_ns"),
    [("1m", MINUTE_NS), ("7m", MINUTE_NS), ("90s", MINUTE_NS), ("2d", DAY_NS), ("2w", DAY_NS),
     ("1h", DAY_NS), ("3m", 2 * MINUTE_NS), ("1w", 7 * DAY_NS)],
)  # fmt: skip
def test_what_whole_candles_do_not_make_up_is_refused(timeframe: str, step_ns: int) -> None:
    bars = bars_of(np.arange(1.0, 30.0), step_ns=step_ns)
    with pytest.raises(CannotDerive):
        resample(bars, timeframe, step_ns=step_ns)


def test_candles_of_ticks() -> None:
    times = ns("2024-01-02T14:30") + np.array([0, 10, 59, 60, 200]) * 10**9
    trades = Trades(
        "X", times, np.array([1.0, 3, 2, 5, 4]), np.array([1.0, np.nan, 2, 3, 4]),
        np.zeros(5, dtype=np.int8),
    )  # fmt: skip
    made = resample(trades, "1m", step_ns=0)
    assert made.high.tolist() == [3.0, 5.0, 4.0]
    assert made.volume.tolist() == [3.0, 3.0, 4.0]
    nothing = np.full(5, np.nan)
    quotes = Quotes("X", times, trades.price - 0.5, trades.price + 0.5, nothing, nothing)
    mids = resample(quotes, "1m", step_ns=0)
    assert mids.close.tolist() == [2.0, 5.0, 4.0]
    assert np.isnan(mids.volume).all()


def test_known_days_of_spy_are_made_of_its_minutes(market_data_dir: Path) -> None:
    """Two files of one vendor: what its minutes of a session come to is its hour and its day."""
    minutes = read_bars(market_data_dir / "us_intraday" / "SPY_1m_lean.parquet")
    hours = read_bars(market_data_dir / "us_intraday" / "SPY_1h_lean.parquet")
    day = ns("2013-10-07T00:00")
    session = (day + 13 * 60 * MINUTE_NS + 30 * MINUTE_NS, day + 20 * 60 * MINUTE_NS)
    made = resample(minutes, "1d", step_ns=MINUTE_NS, sessions=[session])
    assert made.open_ns.tolist() == [day]
    inside = minutes.between(*session)
    assert len(inside) == 390
    assert made.open[0] == inside.open[0]
    assert made.volume[0] == inside.volume.sum()
    own = hours.between(day + 14 * 60 * MINUTE_NS, session[1])
    assert made.close[0] == pytest.approx(own.close[-1], rel=1e-3)


def test_split_adjustment_is_undone_exactly_by_a_power_of_two() -> None:
    bars = bars_of(np.array([100.0, 102, 51, 52]), start="2024-01-02T00:00", step_ns=DAY_NS)
    actions = [Action(symbol="X", ex_ns=ns("2024-01-04T00:00"), ratio=2.0)]
    made = adjust(bars, actions, before="raw", after="split")
    assert made.close.tolist() == [50.0, 51.0, 51.0, 52.0]
    assert made.volume.tolist() == [0.0, 2.0, 2.0, 3.0]
    assert equal(adjust(made, actions, before="split", after="raw"), bars)


def test_total_return_is_that_of_a_holder_who_buys_more() -> None:
    close = np.array([100.0, 98, 49, 50])
    bars = bars_of(close, start="2024-01-02T00:00", step_ns=DAY_NS)
    actions = [
        Action(symbol="X", ex_ns=ns("2024-01-03T00:00"), amount=2.0),
        Action(symbol="X", ex_ns=ns("2024-01-04T00:00"), ratio=2.0),
        Action(symbol="OTHER", ex_ns=ns("2024-01-05T00:00"), ratio=9.0),
        Action(symbol="X", ex_ns=ns("2023-01-05T00:00"), ratio=7.0),
    ]
    made = adjust(bars, actions, before="raw", after="total_return")
    returns = made.close[1:] / made.close[:-1]
    assert returns.tolist() == pytest.approx([98 / (100 - 2), 49 * 2 / 98, 50 / 49])
    assert made.close[-1] == 50.0
    # From prices that are adjusted for the split already, with the dividend in their unit.
    half = adjust(bars, actions, before="raw", after="split")
    in_unit = [Action(symbol="X", ex_ns=ns("2024-01-03T00:00"), amount=1.0), *actions[1:]]
    again = adjust(half, in_unit, before="split", after="total_return")
    assert again.close.tolist() == pytest.approx(made.close.tolist())


@pytest.mark.parametrize(
    ("before", "after", "action"),
    [
        ("raw", "raw", Action(symbol="X", ex_ns=ns("2024-01-03T00:00"), ratio=2)),
        ("unknown", "split", Action(symbol="X", ex_ns=ns("2024-01-03T00:00"), ratio=2)),
        ("total_return", "raw", Action(symbol="X", ex_ns=ns("2024-01-03T00:00"), ratio=2)),
        ("raw", "split", Action(symbol="X", ex_ns=ns("2024-01-03T00:00"), ratio=1e9)),
        ("raw", "total_return", Action(symbol="X", ex_ns=ns("2024-01-03T00:00"), amount=100)),
    ],
)
def test_what_cannot_be_adjusted_is_refused(before: str, after: str, action: Action) -> None:
    bars = bars_of(np.array([100.0, 98, 49]), start="2024-01-02T00:00", step_ns=DAY_NS)
    with pytest.raises(CannotDerive):
        adjust(bars, [action], before=before, after=after)


def test_chart_keeps_extremes_and_its_budget() -> None:
    rng = np.random.default_rng(3)
    bars = bars_of(100 * np.exp(np.cumsum(rng.normal(0, 0.01, 10_007))))
    reduced = charting.candles(bars, 100)
    assert len(reduced) == 100
    assert (reduced.high.max(), reduced.low.min()) == (bars.high.max(), bars.low.min())
    assert (reduced.open[0], reduced.close[-1]) == (bars.open[0], bars.close[-1])
    times, values = charting.line(bars, 100)
    assert len(times) == len(values) == 100
    assert (np.diff(times) > 0).all()
    assert (values[0], values[-1]) == (bars.close[0], bars.close[-1])
    assert np.isin(values, bars.close).all()
    assert len(charting.candles(bars.rows(0, 50), 100)) == 50


def test_figures_against_the_definition() -> None:
    bars = bars_of(np.array([100.0, 110, 99]), start="2024-01-02T00:00", step_ns=DAY_NS)
    figures = statistics(bars)
    returns = np.array([0.1, -0.1])
    assert figures["total_return"] == pytest.approx(-0.01)
    assert figures["return_deviation"] == pytest.approx(returns.std(ddof=1))
    assert figures["max_drawdown"] == pytest.approx(-0.1)
    assert figures["gaps"] == 0
    one = statistics(bars.rows(0, 1))
    assert one["rows"] == 1
    assert "volatility" not in one


def test_hash_is_of_the_content_alone(tmp_path: Path) -> None:
    close = np.array([1.0, 2.0, 3.0])
    one = content_of([bars_of(close)], timeframe="1m", step_ns=MINUTE_NS)
    same = content_of([bars_of(close.copy())], timeframe="1m", step_ns=MINUTE_NS)
    assert one.sha256() == same.sha256()
    for other in (
        content_of([bars_of(close + 1e-9)], timeframe="1m", step_ns=MINUTE_NS),
        content_of([bars_of(close)], timeframe="60s", step_ns=MINUTE_NS),
        content_of([bars_of(close, start="2024-01-02T14:31")], timeframe="1m", step_ns=MINUTE_NS),
    ):
        assert other.sha256() != one.sha256()
    file = tmp_path / "a.parquet"
    write_parquet(one, file)
    assert equal(read_bars(file), bars_of(close))


def test_hash_is_pinned() -> None:
    """Results name it for ever: it must not change with a version of this code or of a library."""
    content = content_of([bars_of(np.array([1.0, 2.5]))], timeframe="1m", step_ns=MINUTE_NS)
    pinned = "df35961eb25190f579b35b14be63e415e1eb2ee075d53b11755799100cd1944a"
    assert content.sha256() == pinned


def test_several_symbols_of_one_file(tmp_path: Path) -> None:
    first, second = bars_of(np.array([1.0, 2.0])), bars_of(np.array([5.0, 6.0, 7.0]))
    renamed = Bars("Y", *(getattr(second, name) for name in (
        "open_ns", "close_ns", "open", "high", "low", "close", "volume")))  # fmt: skip
    file = tmp_path / "two.parquet"
    write_parquet(content_of([renamed, first], timeframe="1m", step_ns=MINUTE_NS), file)
    assert equal(read_bars(file, "Y"), second)
    assert read_bars(file, "X").close.tolist() == [1.0, 2.0]
    for symbol in (None, "Z"):
        with pytest.raises(ColumnsNotRecognised):
            read_bars(file, symbol)


def test_plain_files_are_read_and_doubtful_ones_are_not(tmp_path: Path) -> None:
    table = pa.table(
        {
            "ts": pa.array([0, 60, 120], pa.timestamp("s", "UTC")),
            **{name: [1.0, 2.0, 3.0] for name in ("open", "high", "low", "close")},
        }
    )
    pq.write_table(table, tmp_path / "ABC_1m.parquet")
    bars = read_bars(tmp_path / "ABC_1m.parquet")
    assert (bars.symbol, len(bars)) == ("ABC", 3)
    assert np.isnan(bars.volume).all()
    assert (bars.close_ns - bars.open_ns == MINUTE_NS).all()
    text = "date,open,high,low,close\n2024-01-02,1,2,1,2\n2024-01-03,2,3,2,3\n"
    (tmp_path / "ABC.csv").write_text(text)
    assert read_bars(tmp_path / "ABC.csv", "NAMED").symbol == "NAMED"
    (tmp_path / "ABC.csv").write_text(text.replace("-02,1,2", "-02 10:00,1,2"))
    (tmp_path / "local.csv").write_text(
        "ts,open,high,low,close\n2024-01-02 10:00,1,2,1,2\n2024-01-02 10:01,2,3,2,3\n"
    )
    with pytest.raises(UploadNeedsDecision):
        read_bars(tmp_path / "local.csv")
    with pytest.raises(ColumnsNotRecognised):
        read_quotes(tmp_path / "ABC_1m.parquet")


def test_ticks_of_real_files(market_data_dir: Path) -> None:
    quotes = read_quotes(market_data_dir / "quotes" / "EURUSD_tick_oanda-lean.parquet")
    assert len(quotes) == 86_231
    assert np.isnan(quotes.bid_size).all()
    assert statistics(quotes)["median_spread_bps"] == pytest.approx(0.79, abs=0.01)
    trades = read_trades(market_data_dir / "trades" / "BTCUSDT_binance-spot_20240808.parquet")
    assert len(trades) == 19_904
    assert set(np.unique(trades.side)) == {-1, 1}
    with pytest.raises(ColumnsNotRecognised):
        read_trades(market_data_dir / "l2" / "BTCUSDT_binance-spot_20240808.parquet")


@pytest.mark.parametrize(
    ("name", "seconds"), [("1s", 1), ("3m", 180), ("4h", 14_400), ("1d", 86_400), ("1w", 604_800)]
)
def test_timeframes_have_one_name(name: str, seconds: int) -> None:
    assert timeframe_ns(name) == seconds * 10**9
    assert timeframe_name(seconds * 10**9) == name
