"""What a file says is what comes out of it, digit by digit."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alphintra.core.clock import to_datetime
from alphintra.core.market_data import Bar, Trade
from alphintra.market.errors import TimesNotUnderstood
from alphintra.market.files import find_fields, open_table
from alphintra.market.instruments import SIMULATED
from alphintra.market.sifting import Sifter
from alphintra.market.timestamps import BadTime, TimeReader

NOW_NS = 1_800_000_000 * 10**9
T0 = datetime(2024, 1, 1, tzinfo=UTC)

amounts = st.decimals(min_value=Decimal("0.00000001"), max_value=Decimal(999_999_999_999), places=8)
instants = st.integers(min_value=0, max_value=10**12).map(
    lambda us: T0 + timedelta(microseconds=us)
)


def sifter(path: Path, *, timeframe: str | None = None) -> Sifter:
    return Sifter(
        open_table(path),
        SIMULATED[0],
        timeframe=timeframe,
        timezone="",
        date_format="",
        now_ns=NOW_NS,
    )


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(instants, amounts, amounts), min_size=1, max_size=30))
def test_trades_keep_every_digit_and_equal_ones_are_told_apart(
    tmp_path: Path, rows: list[tuple[datetime, Decimal, Decimal]]
) -> None:
    path = tmp_path / "trades.csv"
    lines = [f"{at.isoformat()},{price:f},{size:f}" for at, price, size in rows]
    path.write_text("\n".join(["timestamp,price,size", *lines]))
    found = [one for chunk in sifter(path).chunks() for one in chunk.accepted]
    assert [
        (to_datetime(tick.ts_ns), tick.price, tick.size)
        for tick, _ in found
        if isinstance(tick, Trade)
    ] == rows
    keys = [(tick.ts_ns, ordinal) for tick, ordinal in found]
    assert len(set(keys)) == len(rows)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.integers(min_value=0, max_value=10_000), st.tuples(*[amounts] * 5), min_size=1
    )
)
def test_every_row_is_either_a_believable_candle_or_in_quarantine(
    tmp_path: Path, rows: dict[int, tuple[Decimal, ...]]
) -> None:
    path = tmp_path / "candles.csv"
    lines = [
        ",".join([(T0 + timedelta(minutes=minute)).isoformat(), *(f"{one:f}" for one in values)])
        for minute, values in rows.items()
    ]
    path.write_text("\n".join(["time,open,high,low,close,volume", *lines]))
    one = sifter(path, timeframe="1m")
    bars = [tick for chunk in one.chunks() for tick, _ in chunk.accepted]
    assert len(bars) + sum(one.refused.values()) == len(rows)
    believable = [
        values
        for values in rows.values()
        if values[2] <= values[0] <= values[1] and values[2] <= values[3] <= values[1]
    ]
    assert [
        (bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars if isinstance(bar, Bar)
    ] == believable


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"], "candles"),
        (["\ufeffts", "o", "h", "l", "c", "v"], "candles"),
        (["Open time", "Open", "High", "Low", "Close", "Volume", "Close time"], "candles"),
        (["time", "bid_price", "ask_price", "bid_qty", "ask_qty"], "quotes"),
        (["timestamp", "price", "amount", "side"], "trades"),
        (["a", "b"], None),
        (["open", "high", "low", "close"], None),
    ],
)
def test_columns_are_found_by_their_usual_names(names: list[str], kind: str | None) -> None:
    found = find_fields(names)
    assert (found and found[0]) == kind


def reader(*samples: str, date_format: str = "") -> TimeReader:
    return TimeReader(samples, timezone="UTC", date_format=date_format, is_label=False)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (("2024-02-03T04:05:06Z",), "2024-02-03T04:05:06"),
        (("2024-02-03 04:05:06.789+01:00",), "2024-02-03T03:05:06.789"),
        (("20240203", "20240204"), "2024-02-03T00:00:00"),
        (("1706933106",), "2024-02-03T04:05:06"),
        (("1706933106789",), "2024-02-03T04:05:06.789"),
        (("3.2.2024 04:05",), "2024-02-03T04:05:00"),
        (("02/03/2024", "02/13/2024"), "2024-02-03T00:00:00"),
        (("03/02/2024", "13/02/2024"), "2024-02-03T00:00:00"),
        (("02/03/24 4:05 PM", "02/13/24 4:05 PM"), "2024-02-03T16:05:00"),
        (("2024-02-03 04-AM",), "2024-02-03T04:00:00"),
    ],
)
def test_times_are_read_in_the_form_that_the_file_has(
    samples: tuple[str, ...], expected: str
) -> None:
    at_ns = reader(*samples)(samples[0])
    assert to_datetime(at_ns) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize("samples", [("03/02/2024",), ("13/02/2024", "02/13/2024"), ("soon",), ()])
def test_times_that_can_mean_two_things_are_not_guessed(samples: tuple[str, ...]) -> None:
    with pytest.raises(TimesNotUnderstood):
        reader(*samples)


@pytest.mark.parametrize("cell", ["", None, "nan", "-5", "1e400", "99999999999999999999999", True])
def test_a_cell_that_is_no_time_is_refused(cell: object) -> None:
    with pytest.raises(BadTime):
        reader("1706933106")(cell)
