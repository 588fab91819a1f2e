"""Files as people really have them. The verdict of each was written down after looking at it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from alphintra.engine.series import Bars
from alphintra.market.datasets.findings import Severity
from alphintra.market.datasets.options import UploadOptions
from alphintra.market.datasets.parsing import Parsed, parse_file

NOW_NS = 1_790_000_000 * 10**9
LEAN = ("time", "open", "high", "low", "close", "volume")
NINJA = ("time", "open", "close", "low", "high", "volume", "trades")
NOTES = {"symbol_from_name", "adjusted_close_not_used", "sessions", "no_volume"}


@dataclass(frozen=True)
class Row:
    """A file with options; the verdict; findings with the first of their rows; kept rows."""

    name: str
    verdict: str
    found: dict[str, tuple[int, ...]] = field(default_factory=dict)
    kept: int = 0
    timeframe: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    #: Some candle: row, beginning in UTC, close.
    sample: tuple[int, str, float] | None = None


ROWS = [
    # London, in pounds for ten days and in pence for nine between: nobody can tell which is meant.
    Row("AET-L-1d-100x-error.csv", "needs_decision",
        {"scale_error": (19, 10), "stale_prices": (23, 22), "newest_first": ()}),
    Row("AET-L-1d-100x-error.csv", "accepted_with_warnings",
        {"scale_error": (19, 10), "stale_prices": (23, 22), "newest_first": ()}, 23, "1d",
        {"jumps": "keep"}, (0, "2022-05-03", 0.14550000429153442)),
    Row("AET-L-1d-100x-error-fixed.csv", "accepted_with_warnings",
        {"stale_prices": (23, 22), "newest_first": ()}, 23, "1d", {},
        (22, "2022-06-06", 14.5500004291534)),
    # A consolidation of 0.76 that only the weeks before are adjusted for: row 23 falls by it.
    Row("AV-L-1wk-bad-stock-split.csv", "needs_decision", {"missed_split": (23,)}),
    Row("AV-L-1wk-bad-stock-split-fixed.csv", "accepted", {}, 84, "1w", {},
        (22, "2022-05-16", 542.236850136205)),
    # A consolidation of 0.4406 on 30 May that the prices jump by on 22 May.
    Row("DEX-AX-1d-bad-stock-split.csv", "needs_decision",
        {"missed_split": (8,), "price_jump": (8,), "stale_prices": (23, 22),
         "volume_all_zero": (), "newest_first": ()}),
    Row("DEX-AX-1d-bad-stock-split-fixed.csv", "accepted_with_warnings",
        {"stale_prices": (23, 22), "volume_all_zero": (), "newest_first": ()}, 23, "1d"),
    # Ends of candles, as milliseconds: 18:04:59.999 is the candle of 18:00.
    Row("Binance-ETH-USD-PT5M-20230313_20230315.json", "accepted_with_warnings",
        {"close_time_stamps": ()}, 580, "5m", {}, (0, "2023-03-13T18:00", 1672.99)),
    Row("binance_BTCUSDT_1m_closetime_tz.csv", "accepted_with_warnings",
        {"close_time_stamps": ()}, 2999, "1m", {}, (0, "2024-11-30T23:00", 96440.0)),
    # The banner says UTC; 12-hour clock; two volumes.
    Row("Coinbase_BTCUSD_1h.csv", "accepted", {"timezone_found": (), "newest_first": ()}, 2998,
        "1h", {}, (2997, "2019-10-17T09:00", 8035.88)),
    # Times without a zone are never guessed.
    Row("FOREX_EURUSD_1H_ASK.csv", "needs_decision", {"timezone_required": ()}),
    Row("FOREX_EURUSD_1H_ASK.csv", "accepted_with_warnings", {"missing_bars": (6130,)}, 6225, "1h",
        {"timezone": "UTC"}, (0, "2017-01-01T22:00", 1.05227)),
    Row("intraday.csv", "needs_decision", {"timezone_required": (), "byte_order_mark": ()}),
    Row("intraday.csv", "accepted", {"byte_order_mark": ()}, 1564, "1m",
        {"timezone": "America/New_York"}, (0, "2020-12-15T14:30", 367.46)),
    # 11/5/2019 is the fifth of November or the eleventh of May.
    Row("mpf_SP500_NOV2019_IDay.csv", "needs_decision",
        {"date_form_ambiguous": (), "timezone_required": ()}),
    Row("mpf_SP500_NOV2019_IDay.csv", "accepted_with_warnings", {"volume_all_zero": ()}, 1563, "1m",
        {"timezone": "America/New_York", "date_format": "%m/%d/%Y %H:%M"},
        (0, "2019-11-05T14:30", 3080.49)),
    # An option in India, three minutes; candles are missing where nothing was traded.
    Row("_issue0859.adx.nan.csv", "accepted_with_warnings", {"missing_bars": (166, 172)}, 595,
        "3m", {}, (0, "2022-07-25T03:45", 498.075)),
    # Everything wrong at once, block by block.
    Row("bad.csv", "needs_decision",
        {"bad_timestamp": (201, 202), "price_missing": (450, 451), "all_zero_bar": (399, 400),
         "price_not_positive": (355, 357), "ohlc_inconsistent": (251, 252),
         "size_negative": (359,), "scale_error": (101, 151), "long_gap": (257, 363)}),
    Row("bad.csv", "accepted_with_warnings",
        {"bad_timestamp": (201, 202), "price_missing": (450, 451), "all_zero_bar": (399, 400),
         "price_not_positive": (355, 357), "ohlc_inconsistent": (251, 252),
         "size_negative": (359,), "scale_error": (101, 151), "long_gap": (257, 363)},
        337, "1d", {"bad_rows": "drop", "jumps": "keep"}, (0, "2017-01-03", 212.8)),
    # Four rows whose year is wrong: time turns there.
    Row("mismatch.csv", "needs_decision", {"not_in_order": (20, 40, 453, 474), "long_gap": (1,)}),
    Row("mismatch.csv", "accepted_with_warnings",
        {"not_in_order": (20, 40, 453, 474), "long_gap": (1,)}, 502, "1d", {"order": "sort"},
        (0, "2016-01-18", 214.22)),
    Row("ninjabot_btc-1d-header.csv", "accepted", {}, 14, "1d", {},
        (0, "2021-04-26", 54001.39)),
    # No header: the proposal is right, and still a proposal.
    Row("ninjabot_btc-1h_noheader.csv", "needs_decision",
        {"no_header": (), "duplicate_rows": (501, 998), "missing_bars": (319, 832)}),
    Row("ninjabot_btc-1h_noheader.csv", "accepted_with_warnings",
        {"duplicate_rows": (501, 998), "missing_bars": (319, 832)}, 4309, "1h",
        {"columns": NINJA}, (0, "2020-11-17T00:00", 16806.09)),
    # Milliseconds since midnight, prices times 10,000, the day in the name of the file alone.
    Row("minute_twx_20140623_trade.zip", "needs_decision",
        {"no_header": (), "times_since_midnight": (), "timezone_required": ()}),
    Row("minute_twx_20140623_trade.zip", "needs_decision", {"price_unit_suspect": ()}, 0, "",
        {"columns": LEAN, "date": "2014-06-23", "timezone": "America/New_York"}),
    Row("minute_twx_20140623_trade.zip", "accepted", {}, 6, "1m",
        {"columns": LEAN, "date": "2014-06-23", "timezone": "America/New_York",
         "price_scale": 0.0001}, (0, "2014-06-23T13:30", 68.4)),
    Row("penny.csv", "accepted", {"byte_order_mark": ()}, 533, "1d", {}, (0, "2018-12-21", 2.63)),
    # A coin in a currency of many zeros: data, but no order can have such a price.
    Row("toobig.csv", "accepted_with_warnings",
        {"byte_order_mark": (), "price_jump": (1243, 1244), "price_beyond_orders": (1, 2)}, 1246,
        "1d", {}, (0, "2017-08-16", 42903702221740.8)),
    Row("zeros.csv", "refused",
        {"no_usable_rows": (), "all_zero_bar": (1, 2), "two_digit_years": (),
         "byte_order_mark": ()}),
    Row("zeros.csv", "refused",
        {"no_usable_rows": (), "all_zero_bar": (1, 2), "two_digit_years": (),
         "byte_order_mark": ()}, options={"bad_rows": "drop"}),
]  # fmt: skip


def parse(path: Path, **options: Any) -> Parsed:
    return parse_file(
        path,
        name=path.name,
        options=UploadOptions(**options).checked(),
        now_ns=NOW_NS,
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name} {sorted(row.options)}")
def test_verdict(row: Row, market_data_dir: Path) -> None:
    parsed = parse(market_data_dir / "dirty" / row.name, **row.options)
    report = parsed.report
    assert report.verdict == row.verdict, report
    found = {one.code: one for one in report.findings if one.code not in NOTES}
    assert set(found) == set(row.found)
    for code, rows in row.found.items():
        assert found[code].rows[: len(rows)] == rows, code
    for one in report.findings:
        assert one.reason
        assert one.advice or one.severity is Severity.NOTE
        assert bool(one.option) == (one.severity is Severity.DECISION)
    if row.kept:
        assert parsed.content is not None
        assert (parsed.content.rows, parsed.content.timeframe) == (row.kept, row.timeframe)
    else:
        assert parsed.content is None
    if row.sample is not None:
        assert_sample(parsed, *row.sample)


def assert_sample(parsed: Parsed, at: int, opens: str, close: float) -> None:
    assert parsed.content is not None
    (bars,) = parsed.content.series
    assert isinstance(bars, Bars)
    begins = bars.open_ns.astype("datetime64[ns]").astype("datetime64[m]")[at]
    assert str(begins) == (opens if "T" in opens else f"{opens}T00:00")
    assert bars.close[at] == pytest.approx(close, rel=1e-12)


def test_every_dirty_file_has_a_row(market_data_dir: Path) -> None:
    assert {row.name for row in ROWS} == {
        file.name for file in (market_data_dir / "dirty").iterdir()
    }


def test_proposals_are_right(market_data_dir: Path) -> None:
    wanted = {
        ("ninjabot_btc-1h_noheader.csv", "columns"): "time,open,close,low,high,volume,extra_1",
        ("minute_twx_20140623_trade.zip", "columns"): "time,open,high,low,close,volume",
        ("minute_twx_20140623_trade.zip", "date"): "2014-06-23",
        ("mpf_SP500_NOV2019_IDay.csv", "date_format"): "%m/%d/%Y %H:%M",
    }
    for (name, option), proposal in wanted.items():
        report = parse(market_data_dir / "dirty" / name).report
        choices = [one.choices for one in report.findings if one.option == option]
        assert choices[0][0] == proposal


def test_volume_of_the_base_asset_is_taken(market_data_dir: Path) -> None:
    parsed = parse(market_data_dir / "dirty" / "Coinbase_BTCUSD_1h.csv")
    assert parsed.content is not None
    (bars,) = parsed.content.series
    assert isinstance(bars, Bars)
    assert bars.volume[-1] == 61.25


def test_actions_that_a_file_names_are_kept(market_data_dir: Path) -> None:
    parsed = parse(market_data_dir / "dirty" / "AV-L-1wk-bad-stock-split-fixed.csv")
    assert parsed.adjustment == "split"
    assert [one.ratio for one in parsed.actions if one.ratio] == [0.76]
    assert max(one.amount for one in parsed.actions) == 101.69
