"""Files come in whole or not at all, each row believed or kept apart with its reason."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from alphintra.core.errors import Problem
from alphintra.core.instruments import Asset, AssetClass, Instrument, Symbol
from alphintra.market import ImportResult, import_file, save_instrument
from alphintra.platform.services import Services


def instrument(symbol: str, quote: str = "USD", base: str = "") -> Instrument:
    return Instrument(
        symbol=Symbol(symbol),
        name=symbol,
        asset_class=AssetClass.EQUITY,
        base=Asset(base or symbol),
        quote=Asset(quote),
        tick_size=Decimal("0.01"),
        lot_size=Decimal(1),
    )


@pytest.fixture(scope="module", autouse=True)
async def more_instruments(services: Services) -> None:
    async with services.database.transaction() as session:
        for symbol in ("BAC", "BTCUSDT", "ETHUSD", "EURUSD", "DIRTY", "OTHER"):
            await save_instrument(session, instrument(symbol))
        await save_instrument(session, instrument("BTCUSD", base="BTC"))


async def query(services: Services, statement: str, *values: object) -> list[tuple[object, ...]]:
    connection = await psycopg.AsyncConnection.connect(services.database.conninfo)
    async with connection:
        cursor = await connection.execute(statement.encode(), values)
        return await cursor.fetchall()


async def test_a_real_day_of_minutes_is_stored_exactly_and_once(
    services: Services, data: Path
) -> None:
    path = data / "us_intraday" / "SPY_1m_lean.parquet"
    first = await import_file(services, path, symbol="SPY", timeframe="1m")
    assert (first.rows, first.accepted, first.stored, first.quarantined) == (5786, 5786, 5786, {})
    assert first.flags == {"price_jump_over_half": 1}  # the ten years between two of its days
    again = await import_file(services, path, symbol="SPY", timeframe="1m")
    assert (again.id, again.stored) == (first.id, 0)
    rows = await query(
        services,
        "SELECT count(*), min(starts_at), sum(volume) FROM market.candles "
        "WHERE symbol = 'SPY' AND timeframe = '1m'",
    )
    assert rows[0][:2] == (5786, datetime(2013, 10, 4, 8, 6, tzinfo=UTC))
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    expected = sum(Decimal(repr(value)) for value in table["volume"].to_pylist())
    assert rows[0][2] == expected
    assert await query(services, "SELECT count(*) FROM market.candles_default") == [(0,)]


async def test_equal_prints_are_all_kept_and_a_repeat_adds_none(
    services: Services, data: Path
) -> None:
    path = data / "trades" / "BAC_20131008_lean.parquet"
    first = await import_file(services, path, symbol="BAC")
    assert (first.kind, first.accepted, first.stored) == ("trades", 125_872, 125_872)
    again = await import_file(services, path, symbol="BAC")
    assert again.stored == 0
    rows = await query(services, "SELECT count(*) FROM market.ticks WHERE symbol = 'BAC'")
    assert rows == [(125_872,)]


@pytest.mark.parametrize(
    ("file", "symbol", "accepted", "quarantined"),
    [
        ("quotes/SPY_1m-quotebars_lean.parquet", "SPY", 6373, {}),
        ("trades/BTCUSD_bitstamp-2011.parquet", "BTCUSD", 9998, {"size_not_positive": 1}),
        ("quotes/ETHUSD_gemini_1s_20210701.parquet", "ETHUSD", 72180, {}),
    ],
)
async def test_recorded_ticks(
    services: Services,
    data: Path,
    file: str,
    symbol: str,
    accepted: int,
    quarantined: dict[str, int],
) -> None:
    result = await import_file(services, data / file, symbol=symbol)
    assert (result.accepted, result.stored) == (accepted, accepted)
    assert result.quarantined == quarantined


ROUNDED = "rounded_to_eight_places"
JUMP = "price_jump_over_half"
Verdict = tuple[str, str, str, str, int, dict[str, int], dict[str, int]]
DIRTY: Sequence[Verdict] = [
    # file, symbol, timeframe, timezone, accepted, quarantined, flags
    ("intraday.csv", "DIRTY", "1m", "America/New_York", 1564, {}, {}),
    ("binance_BTCUSDT_1m_closetime_tz.csv", "DIRTY", "1m", "", 2999, {}, {}),
    ("Coinbase_BTCUSD_1h.csv", "BTCUSD", "1h", "UTC", 2998, {}, {}),
    ("FOREX_EURUSD_1H_ASK.csv", "DIRTY", "1h", "UTC", 6225, {}, {}),
    ("ninjabot_btc-1d-header.csv", "DIRTY", "1d", "", 14, {}, {}),
    ("penny.csv", "DIRTY", "1d", "", 533, {}, {}),
    ("AET-L-1d-100x-error.csv", "DIRTY", "1d", "", 23, {}, {JUMP: 2, ROUNDED: 92}),
    ("AET-L-1d-100x-error-fixed.csv", "DIRTY", "1d", "", 23, {}, {ROUNDED: 92}),
    ("DEX-AX-1d-bad-stock-split.csv", "DIRTY", "1d", "", 23, {}, {JUMP: 1, ROUNDED: 92}),
    ("DEX-AX-1d-bad-stock-split-fixed.csv", "DIRTY", "1d", "", 23, {}, {ROUNDED: 92}),
    ("mismatch.csv", "DIRTY", "1d", "", 502, {}, {"not_in_time_order": 4}),
    ("zeros.csv", "DIRTY", "1d", "", 0, {"price_not_positive": 200}, {}),
    ("toobig.csv", "DIRTY", "1d", "", 0, {"price_out_of_range": 1246}, {}),
    (
        "bad.csv",
        "DIRTY",
        "1d",
        "",
        341,
        {
            "bad_timestamp": 50,
            "ohlc_inconsistent": 5,
            "price_missing": 51,
            "price_not_positive": 54,
            "size_negative": 1,
        },
        {JUMP: 4, ROUNDED: 200},
    ),
]


@pytest.mark.parametrize(
    ("file", "symbol", "timeframe", "timezone", "accepted", "quarantined", "flags"), DIRTY
)
async def test_files_as_people_have_them(
    services: Services,
    data: Path,
    file: str,
    symbol: str,
    timeframe: str,
    timezone: str,
    accepted: int,
    quarantined: dict[str, int],
    flags: dict[str, int],
) -> None:
    result = await import_file(
        services, data / "dirty" / file, symbol=symbol, timeframe=timeframe, timezone=timezone
    )
    assert (result.accepted, result.quarantined, result.flags) == (accepted, quarantined, flags)
    kept = await query(
        services, "SELECT count(*) FROM market.quarantine WHERE import_id = %s", result.id
    )
    assert kept == [(sum(quarantined.values()),)]


REFUSED = [
    ("minute_twx_20140623_trade.zip", {}, "file_not_readable"),
    ("Binance-ETH-USD-PT5M-20230313_20230315.json", {}, "columns_not_recognised"),
    ("ninjabot_btc-1h_noheader.csv", {}, "columns_not_recognised"),
    ("mpf_SP500_NOV2019_IDay.csv", {}, "times_not_understood"),
    ("intraday.csv", {}, "timezone_required"),
    ("intraday.csv", {"timezone": "Mars/Olympus"}, "unknown_timezone"),
    ("intraday.csv", {"timeframe": "7m", "timezone": "UTC"}, "unknown_timeframe"),
    ("intraday.csv", {"timeframe": None, "timezone": "UTC"}, "timeframe_required"),
    ("intraday.csv", {"symbol": "NOSUCH"}, "unknown_instrument"),
    ("absent.csv", {}, "file_not_readable"),
]


@pytest.mark.parametrize(("file", "arguments", "code"), REFUSED)
async def test_what_cannot_be_taken_is_refused_with_its_code(
    services: Services, data: Path, file: str, arguments: dict[str, Any], code: str
) -> None:
    with pytest.raises(Problem) as refusal:
        await import_file(
            services, data / "dirty" / file, **{"symbol": "OTHER", "timeframe": "1m", **arguments}
        )
    assert refusal.value.code == code
    assert await _rows_of_other(services) == 0


async def _rows_of_other(services: Services) -> object:
    rows = await query(services, "SELECT count(*) FROM market.candles WHERE symbol = 'OTHER'")
    return rows[0][0]


async def test_naming_what_is_missing_makes_files_readable(services: Services, data: Path) -> None:
    result = await import_file(
        services,
        data / "dirty" / "ninjabot_btc-1h_noheader.csv",
        symbol="DIRTY",
        timeframe="1h",
        columns=("time", "open", "close", "low", "high", "volume", "trades"),
    )
    assert (result.accepted, result.quarantined) == (4309, {"duplicate": 5})
    result = await import_file(
        services,
        data / "dirty" / "mpf_SP500_NOV2019_IDay.csv",
        symbol="DIRTY",
        timeframe="1m",
        timezone="America/New_York",
        date_format="%m/%d/%Y %H:%M",
    )
    assert result.first_at == datetime(2019, 11, 5, 14, 30, tzinfo=UTC)
    assert result.accepted > 1000


async def test_a_file_that_is_damaged_at_its_end_leaves_nothing(
    services: Services, data: Path, tmp_path: Path
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = data / "us_intraday" / "AAPL_1m_lwc.parquet"
    damaged = tmp_path / "damaged.parquet"
    pq.write_table(pq.read_table(whole), damaged, row_group_size=500, compression="zstd")
    offset = pq.read_metadata(damaged).row_group(3).column(1).data_page_offset
    content = bytearray(damaged.read_bytes())
    content[offset : offset + 200] = bytes(200)
    damaged.write_bytes(content)
    with pytest.raises(Problem) as refusal:
        await import_file(services, damaged, symbol="OTHER", timeframe="1m")
    assert refusal.value.code == "file_not_readable"
    text = tmp_path / "text.csv"
    text.write_bytes(b"time,open,high,low,close,volume\n2020-01-01,1,1,1,1,1\n\xff\xfe\0")
    with pytest.raises(Problem):
        await import_file(services, text, symbol="OTHER", timeframe="1d")
    assert await _rows_of_other(services) == 0
    assert isinstance(pa.__version__, str)


def csv_file(folder: Path, *lines: str) -> Path:
    path = folder / "file.csv"
    path.write_text("\n".join(lines))
    return path


async def test_each_bad_row_is_kept_with_its_number_reason_and_text(
    services: Services, tmp_path: Path
) -> None:
    path = csv_file(
        tmp_path,
        "time,open,high,low,close,volume",
        "2020-01-01T00:00:00Z,1,2,0.5,1.5,10",
        "2020-01-01T00:01:00Z,1,2,0.5,oops,10",
        "2020-01-01T00:02:30Z,1,2,0.5,1.5,10",
        "2020-01-01T00:00:00Z,1,2,0.5,1.5,10",
        "2020-01-01T00:00:00Z,1,2,0.5,1.75,10",
        "2999-01-01T00:00:00Z,1,2,0.5,1.5,10",
        "2020-01-01T00:03:00Z,1,2,0.5",
        "2020-01-01T00:04:00Z,3,2,0.5,1.5,10",
        "2020-01-01T00:05:00Z,1,2,0.5,1.5,-1",
        "soon,1,2,0.5,1.5,1",
        *(f"2020-01-02T{hour:02}:00:00Z,1,2,0.5,1.5,1" for hour in range(20)),
    )
    result = await import_file(services, path, symbol="DIRTY", timeframe="1m")
    assert result.accepted == 21
    rows = await query(
        services,
        "SELECT row_number, reason, raw FROM market.quarantine WHERE import_id = %s ORDER BY id",
        result.id,
    )
    assert [row[:2] for row in rows] == [
        (2, "not_a_number"),
        (3, "off_grid_time"),
        (4, "duplicate"),
        (5, "conflicting_duplicate"),
        (6, "in_the_future"),
        (7, "wrong_column_count"),
        (8, "ohlc_inconsistent"),
        (9, "size_negative"),
        (10, "bad_timestamp"),
    ]
    assert rows[0][2] == "2020-01-01T00:01:00Z,1,2,0.5,oops,10"


async def test_a_corrected_file_corrects_what_was_stored(
    services: Services, tmp_path: Path
) -> None:
    head = "date,open,high,low,close"
    for close, stored in (("11", 1), ("11", 0), ("11.00000001", 1)):
        path = csv_file(tmp_path, head, f"1999-05-04,10,12,9,{close}")
        result = await import_file(services, path, symbol="DIRTY", timeframe="1d")
        assert result.stored == stored
    rows = await query(
        services, "SELECT close, volume FROM market.candles WHERE starts_at = '1999-05-04+00'"
    )
    assert rows == [(Decimal("11.00000001"), None)]


@pytest.mark.parametrize(
    "unit",
    [1, 1_000, 1_000_000, 1_000_000_000],
    ids=["seconds", "milliseconds", "microseconds", "nanoseconds"],
)
async def test_epoch_times_tell_their_unit(services: Services, tmp_path: Path, unit: int) -> None:
    path = csv_file(tmp_path, "ts,bid,ask", f"{1_600_000_000 * unit},1,2")
    result = await import_file(services, path, symbol="OTHER", source=f"unit{unit}")
    assert result.first_at == datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)


async def test_local_times_follow_their_zone_through_the_change_of_clocks(
    services: Services, tmp_path: Path
) -> None:
    path = csv_file(
        tmp_path,
        "date,time,price,size",
        "2024-03-10,01:59:00,1,1",
        "2024-03-10,02:30:00,1,1",
        "2024-03-10,03:00:00,1,1",
        *(f"2024-03-11,{hour:02}:00:00,1,1" for hour in range(20)),
    )
    result = await import_file(services, path, symbol="OTHER", timezone="America/New_York")
    assert result.quarantined == {"nonexistent_local_time": 1}
    assert result.first_at == datetime(2024, 3, 10, 6, 59, tzinfo=UTC)


async def test_repeated_imports_answer_the_same(services: Services, data: Path) -> None:
    arguments: dict[str, Any] = {"symbol": "DIRTY", "timeframe": "1d"}
    first: ImportResult = await import_file(services, data / "dirty" / "bad.csv", **arguments)
    second: ImportResult = await import_file(services, data / "dirty" / "bad.csv", **arguments)
    assert (first.id, first.quarantined) == (second.id, second.quarantined)
    kept = await query(
        services, "SELECT count(*) FROM market.quarantine WHERE import_id = %s", first.id
    )
    assert kept == [(sum(first.quarantined.values()),)]
