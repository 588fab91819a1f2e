"""Datasets over HTTP: whose they are, what is kept, what is told."""

import asyncio
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pyarrow as pa
import pytest

from alphintra.core.ids import UserId
from alphintra.engine.series import Bars
from alphintra.market import DatasetService, import_file, read_bars, sessions
from alphintra.platform.security import Principal
from alphintra.platform.services import Services
from tests.market.datasets.conftest import USERS, Upload, id_of

T0 = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)


def minutes(count: int, *, first: float = 100.0, start: datetime = T0) -> bytes:
    """Candles of one minute whose price rises by a cent each."""
    lines = ["ts,open,high,low,close,volume"]
    for at in range(count):
        price = first + at / 100
        when = (start + timedelta(minutes=at)).isoformat()
        lines.append(f"{when},{price:.2f},{price + 0.05:.2f},{price - 0.05:.2f},{price:.2f},{at}")
    return "\n".join(lines).encode()


def files_in(storage: Path) -> set[str]:
    return {file.stem for file in storage.glob("datasets/*/*.parquet")}


async def test_upload_is_kept_and_can_be_read(
    client: httpx.AsyncClient, upload: Upload, services: Services, storage: Path
) -> None:
    answer = await upload(minutes(120), "SPY_1m.csv", name="my minutes")
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["name"], made["symbols"], made["kind"]) == ("my minutes", ["SPY"], "candles")
    assert (made["timeframe"], made["rows"], made["visibility"]) == ("1m", 120, "private")
    assert (made["verdict"], made["first_at"]) == ("accepted", "2024-01-02T14:30:00Z")
    assert made["sha256"] in files_in(storage)
    ann = Principal(user_id=USERS["ann"], permissions=frozenset())
    (series,) = await DatasetService(services).open_series(ann, id_of(answer))
    assert isinstance(series, Bars)
    assert (series.symbol, len(series), series.close[-1]) == ("SPY", 120, 101.19)
    assert series.close_ns[0] - series.open_ns[0] == 60 * 10**9
    fetched = await client.get(f"/datasets/{id_of(answer)}")
    assert fetched.json() == made


async def test_same_content_is_same_dataset_whatever_file_it_came_in(
    upload: Upload, storage: Path, tmp_path: Path
) -> None:
    first = await upload(minutes(60, first=50), "A.csv", symbol="SAME")
    before = files_in(storage)
    again = await upload(b"\xef\xbb\xbf" + minutes(60, first=50), "B.csv", symbol="SAME")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = await upload(minutes(60, first=50), symbol="SAME", user="bob")
    assert other.status_code == 201
    assert other.json()["sha256"] == first.json()["sha256"]
    assert other.json()["id"] != first.json()["id"]
    assert files_in(storage) == before


async def test_file_goes_with_the_last_dataset_of_its_content(
    client: httpx.AsyncClient, upload: Upload, storage: Path
) -> None:
    mine = await upload(minutes(61), symbol="GONE")
    theirs = await upload(minutes(61), symbol="GONE", user="bob")
    key = mine.json()["sha256"]
    assert (await client.delete(f"/datasets/{id_of(mine)}")).status_code == 204
    assert key in files_in(storage)
    assert (await client.get(f"/datasets/{id_of(mine)}")).status_code == 404
    bob = {"x-test-user": "bob"}
    assert (await client.delete(f"/datasets/{id_of(theirs)}", headers=bob)).status_code == 204
    assert key not in files_in(storage)


async def test_what_is_anothers_is_not_there(client: httpx.AsyncClient, upload: Upload) -> None:
    made = id_of(await upload(minutes(62), symbol="MINE"))
    calls = [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/preview"),
        ("GET", "/statistics"),
        ("GET", "/quality"),
        ("GET", "/chart"),
        ("GET", "/data"),
        ("POST", "/resample"),
        ("POST", "/adjust"),
    ]
    bodies = {"/resample": {"timeframe": "5m"}, "/adjust": {"to": "split"}}
    for method, path in calls:
        for dataset_id in (made, uuid4()):
            answer = await client.request(
                method,
                f"/datasets/{dataset_id}{path}",
                json=bodies.get(path),
                headers={"x-test-user": "bob"},
            )
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_dataset"), path
    listed = (await client.get("/datasets", headers={"x-test-user": "bob"})).json()["items"]
    assert str(made) not in {one["id"] for one in listed}


async def test_platform_datasets_are_everybodys_to_read_and_administrators_to_change(
    client: httpx.AsyncClient, upload: Upload
) -> None:
    listed = (await client.get("/datasets", params={"symbol": "AAPL"})).json()["items"]
    names = {one["name"]: one for one in listed if one["visibility"] == "platform"}
    assert set(names) == {"AAPL daily", "AAPL daily, adjusted for splits"}
    refused = await client.delete(f"/datasets/{names['AAPL daily']['id']}")
    assert (refused.status_code, refused.json()["code"]) == (403, "dataset_not_yours")
    tried = await upload(minutes(5), symbol="P", visibility="platform")
    assert tried.status_code == 403
    made = await upload(minutes(5), symbol="P", visibility="platform", user="admin")
    seen = await client.get(f"/datasets/{id_of(made)}", headers={"x-test-user": "bob"})
    assert seen.json()["visibility"] == "platform"
    gone = await client.delete(f"/datasets/{id_of(made)}", headers={"x-test-user": "admin"})
    assert gone.status_code == 204


async def test_list_comes_in_pages_without_gap_or_repeat(
    client: httpx.AsyncClient, upload: Upload
) -> None:
    made = {str(id_of(await upload(minutes(3 + n), symbol="PAGE"))) for n in range(5)}
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2", "symbol": "PAGE", **({"cursor": cursor} if cursor else {})}
        page = (await client.get("/datasets", params=params)).json()
        seen += [one["id"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == 5
    assert set(seen) == made
    bad = await client.get("/datasets", params={"cursor": "AAAA"})
    assert bad.json()["code"] == "bad_cursor"


async def test_refusals_carry_the_report(upload: Upload, storage: Path) -> None:
    before = files_in(storage)
    asked = await upload(minutes(10).replace(b"+00:00", b""), "x.csv")
    assert (asked.status_code, asked.json()["code"]) == (422, "upload_needs_decision")
    (finding,) = [
        one for one in asked.json()["report"]["findings"] if one["severity"] == "decision"
    ]
    assert (finding["code"], finding["option"]) == ("timezone_required", "timezone")
    refused = await upload(b"\x89PNG\r\n\x1a\n\x00\x00", "x.csv")
    assert (refused.status_code, refused.json()["code"]) == (422, "upload_refused")
    assert files_in(storage) == before
    assert list((storage / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"symbol": "=HYPERLINK()"}, "invalid_option"),
        ({"timeframe": "1x"}, "invalid_option"),
        ({"timezone": "Mars/Base"}, "unknown_timezone"),
        ({"price_scale": "abc"}, "invalid_option"),
        ({"price_scale": "nan"}, "invalid_option"),
        ({"bad_rows": "maybe"}, "invalid_option"),
        ({"date": "2024-13-01"}, "invalid_option"),
        ({"nonsense": "1"}, "invalid_option"),
        ({"visibility": "secret"}, "invalid_option"),
    ],
)
async def test_wrong_options_are_named(upload: Upload, options: dict[str, str], code: str) -> None:
    answer = await upload(minutes(3), **options)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n"),
        ("multipart/form-data; boundary=x", b"--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc',
        ),
        ("multipart/form-data; boundary=x", b"--x\r\n" + b"a" * 20_000),
    ],
)
async def test_malformed_forms_are_refused(
    client: httpx.AsyncClient, content_type: str, body: bytes
) -> None:
    answer = await client.post(
        "/datasets/upload", content=body, headers={"content-type": content_type}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed_form")


async def test_quota_is_kept(client: httpx.AsyncClient, upload: Upload, storage: Path) -> None:
    rng = np.random.default_rng(1)
    table = {
        "ts": pa.array(np.arange(100_000) * 1_000_000, pa.timestamp("us", "UTC")),
        "price": rng.uniform(1, 2, 100_000),
        "size": rng.uniform(1, 2, 100_000),
    }
    sink = io.BytesIO()
    pa.parquet.write_table(pa.table(table), sink)
    answers = [
        await upload(sink.getvalue(), "T.parquet", symbol=f"T{n}", user="bob") for n in range(4)
    ]
    codes = [answer.status_code for answer in answers]
    assert codes[:2] == [201, 201]
    assert (codes[-1], answers[-1].json()["code"]) == (409, "dataset_quota_reached")
    used = sum(one.json()["bytes"] for one in answers if one.status_code == 201)
    assert used <= 8 * 1024**2
    listed = (await client.get("/datasets", headers={"x-test-user": "bob"})).json()["items"]
    assert not {"T3"} & {symbol for one in listed for symbol in one["symbols"]}
    for answer in answers:
        if answer.status_code == 201:
            await client.delete(f"/datasets/{id_of(answer)}", headers={"x-test-user": "bob"})


async def test_looking(client: httpx.AsyncClient, upload: Upload) -> None:
    made = id_of(await upload(minutes(500), symbol="LOOK"))
    preview = (await client.get(f"/datasets/{made}/preview", params={"rows": 2})).json()
    assert preview["columns"] == ["ts", "open", "high", "low", "close", "volume"]
    assert [row[0] for row in preview["head"]] == [
        "2024-01-02T14:30:00+00:00",
        "2024-01-02T14:31:00+00:00",
    ]
    assert preview["tail"][-1][1:] == [104.99, 105.04, 104.94, 104.99, 499.0]
    figures = (await client.get(f"/datasets/{made}/statistics")).json()["symbols"]["LOOK"]
    assert figures["rows"] == 500
    assert figures["total_return"] == pytest.approx(104.99 / 100 - 1)
    chart = (await client.get(f"/datasets/{made}/chart", params={"points": 10})).json()
    assert [len(one) for one in chart["columns"].values()] == [10] * 6
    assert max(chart["columns"]["high"]) == 105.04
    assert sum(chart["columns"]["volume"]) == sum(range(500))
    line = await client.get(f"/datasets/{made}/chart", params={"style": "line", "points": 50})
    assert len(line.json()["columns"]["value"]) == 50
    assert line.json()["columns"]["value"][-1] == 104.99
    wrong = await client.get(f"/datasets/{made}/chart", params={"symbol": "NO"})
    assert (wrong.status_code, wrong.json()["code"]) == (404, "symbol_not_in_dataset")


async def test_download_is_what_was_uploaded(client: httpx.AsyncClient, upload: Upload) -> None:
    made = id_of(await upload(minutes(300), symbol="DOWN"))
    answer = await client.get(f"/datasets/{made}/data")
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    table = pa.ipc.open_stream(answer.content).read_all()
    assert table.column_names == ["ts", "open", "high", "low", "close", "volume"]
    assert table.num_rows == 300
    assert table["close"].to_pylist()[:2] == [100.0, 100.01]
    span = {"start": "2024-01-02T14:40:00Z", "end": "2024-01-02T14:45:00Z"}
    part = await client.get(f"/datasets/{made}/data", params=span)
    assert pa.ipc.open_stream(part.content).read_all()["volume"].to_pylist() == [
        10.0, 11.0, 12.0, 13.0, 14.0,
    ]  # fmt: skip


async def test_derived_datasets_name_their_parent(
    client: httpx.AsyncClient, upload: Upload, services: Services
) -> None:
    parent = id_of(await upload(minutes(120), symbol="KIN"))
    answer = await client.post(f"/datasets/{parent}/resample", json={"timeframe": "1h"})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["parent_id"], made["source"]) == (str(parent), "resampled")
    assert (made["timeframe"], made["rows"]) == ("1h", 3)
    again = await client.post(f"/datasets/{parent}/resample", json={"timeframe": "1h"})
    assert (again.status_code, again.json()) == (200, made)
    wrong = await client.post(f"/datasets/{made['id']}/resample", json={"timeframe": "1m"})
    assert wrong.json()["code"] == "cannot_derive"
    nothing = await client.post(f"/datasets/{parent}/adjust", json={"to": "split"})
    assert nothing.json()["code"] == "cannot_derive"


async def test_adjusting_a_platform_dataset_gives_one_of_ones_own(
    client: httpx.AsyncClient, services: Services
) -> None:
    listed = (await client.get("/datasets", params={"symbol": "AAPL"})).json()["items"]
    raw = next(one for one in listed if one["name"] == "AAPL daily")
    assert (raw["adjustment"], raw["verdict"]) == ("raw", "accepted_with_warnings")
    answer = await client.post(f"/datasets/{raw['id']}/adjust", json={"to": "split"})
    made = answer.json()
    assert (made["adjustment"], made["visibility"]) == ("split", "private")
    service = DatasetService(services)
    ann = Principal(user_id=USERS["ann"], permissions=frozenset())
    (before,) = await service.open_series(ann, raw["id"])
    (after,) = await service.open_series(ann, made["id"])
    assert isinstance(before, Bars)
    assert isinstance(after, Bars)
    # The price after the last split is as it was traded; the nights of the two splits fall no more.
    assert (after.close[-1], after.close[0]) == (before.close[-1], before.close[0] / 4)
    falls = [int((bars.open[1:] / bars.close[:-1] < 0.52).sum()) for bars in (before, after)]
    assert falls == [2, 0]


async def test_uploads_at_the_same_time_make_one_dataset(upload: Upload) -> None:
    answers = await asyncio.gather(*(upload(minutes(90), symbol="RACE") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_file_can_be_read_by_a_worker(upload: Upload, services: Services) -> None:
    made = id_of(await upload(minutes(30), symbol="WORK"))
    service = DatasetService(services)
    ann = Principal(user_id=UserId(USERS["ann"]), permissions=frozenset())
    path = service.path(await service.get(ann, made))
    assert len(read_bars(path)) == 30
    assert path.stat().st_mode & 0o777 == 0o400


async def test_formulas_stay_text_and_are_no_data(upload: Upload) -> None:
    content = minutes(5) + b"\n2024-01-03T14:30:00+00:00,=1+1,2,1,1,1"
    answer = await upload(content, symbol="SUM")
    assert answer.json()["report"]["findings"][0]["code"] == "not_a_number"
    content = b"ts,symbol,open,high,low,close\n2024-01-02,=cmd|' /C calc'!A0,1,2,1,2"
    answer = await upload(content)
    assert answer.json()["code"] == "upload_refused"


async def test_names_of_files_are_words_not_places(upload: Upload, storage: Path) -> None:
    answer = await upload(minutes(7), "../../../etc/pass\u202ewd\r\nX: y", symbol="NAME")
    assert answer.status_code == 201
    assert answer.json()["name"].isprintable()
    outside = {one.name for one in storage.iterdir()}
    assert outside == {"datasets", "incoming"}


async def test_what_was_recorded_becomes_a_dataset(
    client: httpx.AsyncClient, services: Services, tmp_path: Path
) -> None:
    file = tmp_path / "AAPL.csv"
    file.write_bytes(minutes(30, first=200))
    await import_file(services, file, symbol="AAPL", timeframe="1m", source="tape")
    ticks = "ts,bid,ask\n2024-01-02T14:30:00Z,1.5,1.6\n2024-01-02T14:30:00Z,1.5,1.7\n"
    file.write_text(ticks)
    for source in ("tape", "other"):
        await import_file(services, file, symbol="AAPL", source=source)
    span = {"symbol": "AAPL", "start": "2024-01-02T14:35:00Z", "end": "2024-01-02T14:45:00Z"}
    answer = await client.post("/datasets/record", json={**span, "timeframe": "1m"})
    made = answer.json()
    assert (answer.status_code, made["rows"], made["source"]) == (201, 10, "recorded"), made
    assert made["first_at"] == "2024-01-02T14:35:00Z"
    preview = (await client.get(f"/datasets/{made['id']}/preview")).json()
    assert preview["head"][0][1:] == [200.05, 200.1, 200.0, 200.05, 5.0]
    wide = {**span, "start": "2024-01-02T00:00:00Z", "kind": "quotes"}
    several = await client.post("/datasets/record", json=wide)
    assert several.json()["code"] == "cannot_derive"
    assert "other, tape" in several.json()["detail"]
    quotes = await client.post("/datasets/record", json={**wide, "source": "tape"})
    assert (quotes.json()["kind"], quotes.json()["rows"]) == ("quotes", 2)
    nothing = await client.post("/datasets/record", json={**span, "symbol": "NONE"})
    assert (nothing.status_code, nothing.json()["code"]) == (404, "nothing_recorded")
    wrong = await client.post("/datasets/record", json={**span, "timeframe": "7m"})
    assert wrong.json()["code"] == "unknown_timeframe"


async def test_days_of_an_exchange_are_made_of_its_sessions(
    client: httpx.AsyncClient, upload: Upload, services: Services
) -> None:
    await sessions.fill(services.database, "XNYS", datetime(2024, 2, 1, tzinfo=UTC))
    early = datetime(2024, 1, 2, 9, 0, tzinfo=UTC)  # hours before the bell
    parent = id_of(await upload(minutes(900, start=early), symbol="BELL"))
    body = {"timeframe": "1d", "calendar": "XNYS"}
    made = (await client.post(f"/datasets/{parent}/resample", json=body)).json()
    rows = (await client.get(f"/datasets/{made['id']}/preview")).json()["head"]
    # 14:30 to 21:00 UTC are the minutes 330 to 719 of the file.
    assert rows == [
        ["2024-01-02T00:00:00+00:00", 103.3, 107.24, 103.25, 107.19, float(sum(range(330, 720)))]
    ]
    unknown = await client.post(
        f"/datasets/{parent}/resample", json={"timeframe": "1d", "calendar": "NOSUCH"}
    )
    assert (unknown.status_code, unknown.json()["code"]) == (422, "cannot_derive")
