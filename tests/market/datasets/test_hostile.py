"""Files that want something else: bombs, names that climb, what is not what it says.

Each is refused within ten seconds, 300 MB and its own process; nothing of it is left. The file is
checked as the server would check it, by a process that measures itself and its children.
"""

import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

MIB = 1024**2
SECONDS_MAX = 10.0
RSS_MAX = 300 * MIB
HEADER = b"ts,open,high,low,close,volume\n"
ROW = b"2024-01-02T00:00:00Z,1,2,1,2,3\n"

#: Checks files as the server does; prints verdict, seconds, and the most memory of a child so far.
CHECK = """
import asyncio, json, resource, shutil, sys, tempfile, time
from pathlib import Path
from alphintra.market.datasets.options import UploadOptions
from alphintra.market.datasets.parsing_process import check_apart, reading_room

async def check(folder):
    async with reading_room() as room:  # the server has one that is open
        began = time.monotonic()
        checked = await check_apart(
            folder, name="x.csv", options=UploadOptions(), now_ns=time.time_ns(), sandbox=room)
        return checked, time.monotonic() - began

scratch, *files = map(Path, sys.argv[1:])
for file in files:
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        shutil.copy(file, Path(folder) / "upload")
        checked, seconds = asyncio.run(check(Path(folder)))
    print(json.dumps({
        "verdict": checked.report.verdict,
        "codes": [one.code for one in checked.report.findings],
        "seconds": seconds,
        "rss": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
        "has_facts": checked.facts is not None,
        "left": [one.name for one in scratch.iterdir()],
    }), flush=True)
"""


def zipped(members: dict[str, bytes], **how: Any) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = how.get("external_attr", 0)
            archive.writestr(info, content)
    return sink.getvalue()


def zip_bomb() -> bytes:
    """A megabyte of archive, a gigabyte of zeros."""
    sink = io.BytesIO()
    with (
        zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.csv", "w", force_zip64=True) as member,
    ):
        for _ in range(1024):
            member.write(bytes(MIB))
    return sink.getvalue()


def lying_zip() -> bytes:
    """An archive that says that its member has ten bytes."""
    honest = zipped({"a.csv": HEADER + ROW * 100_000})
    size = (len(HEADER) + 100_000 * len(ROW)).to_bytes(4, "little")
    assert honest.count(size) == 2
    return honest.replace(size, (10).to_bytes(4, "little"))


def parquet(table: pa.Table, **how: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", **how)
    return sink.getvalue()


def candles_table(rows: int) -> pa.Table:
    ones = np.ones(rows)
    return pa.table(
        {
            "ts": pa.array(np.arange(rows), pa.timestamp("us", "UTC")),
            **dict.fromkeys(("open", "high", "low", "close", "volume"), ones),
        }
    )


def parquet_of_long_cells() -> bytes:
    """A few kilobytes of which each cell is a hundred megabytes."""
    table = pa.table(
        {"ts": ["x" * 100 * MIB] * 3, **dict.fromkeys(("open", "high", "low", "close"), [1.0] * 3)}
    )
    return parquet(table)


def wide_parquet() -> bytes:
    return parquet(pa.table({f"c{at}": [1.0] for at in range(5_000)}))


def damaged_parquet() -> bytes:
    content = bytearray(parquet(candles_table(50_000)))
    content[len(content) // 3 : len(content) // 2] = os.urandom(
        len(content) // 2 - len(content) // 3
    )
    return bytes(content)


def long_line() -> bytes:
    return HEADER + b"1" * (128 * MIB)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "zip bomb": (zip_bomb, "file_too_large"),
    "zip that lies about its size": (lying_zip, "archive_not_taken"),
    "nested zip": (lambda: zipped({"a.zip": zipped({"a.csv": HEADER + ROW})}), "archive_not_taken"),
    "zip of ten thousand files": (
        lambda: zipped({f"{at}.csv": b"x" for at in range(10_000)}),
        "archive_not_taken",
    ),
    "zip of two files": (lambda: zipped({"a.csv": ROW, "b.csv": ROW}), "archive_not_taken"),
    "zip with a name that climbs": (lambda: zipped({"../../a.csv": HEADER}), "archive_not_taken"),
    "zip with an absolute name": (lambda: zipped({"/etc/cron.d/a": HEADER}), "archive_not_taken"),
    "zip with a drive": (lambda: zipped({"C:\\a.csv": HEADER}), "archive_not_taken"),
    "zip with a name that turns round": (
        lambda: zipped({"a\u202evsc.exe": HEADER}),
        "archive_not_taken",
    ),
    "zip with a link": (
        lambda: zipped({"a.csv": b"/etc/passwd"}, external_attr=0o120777 << 16),
        "archive_not_taken",
    ),
    "damaged zip": (lambda: zipped({"a.csv": HEADER})[:-10], "archive_not_taken"),
    "gzip bomb": (lambda: gzip.compress(bytes(256 * MIB), 9), "file_not_readable"),
    "xz bomb": (lambda: lzma.compress(bytes(64 * MIB)), "file_not_readable"),
    "gzip in a zip": (
        lambda: zipped({"a.csv": gzip.compress(bytes(64 * MIB))}),
        "file_not_readable",
    ),
    "parquet of too many rows": (lambda: parquet(candles_table(6_000_000)), "file_too_large"),
    "parquet of long cells": (parquet_of_long_cells, ""),
    "parquet of many columns": (wide_parquet, "file_too_large"),
    "damaged parquet": (damaged_parquet, ""),
    "parquet without an end": (lambda: b"PAR1" + bytes(1000) + b"PAR1", "file_not_readable"),
    "a million columns": (
        lambda: b",".join(b"c%d" % at for at in range(1_000_000)) + b"\n",
        "file_too_large",
    ),
    "one long line": (long_line, "file_too_large"),
    "one long cell": (lambda: HEADER + b"1" * 100_000 + b",1,1,1,1,1\n", "file_not_readable"),
    "an open quote": (lambda: HEADER + b'"' + ROW * 100_000, ""),
    "NUL": (lambda: HEADER + ROW + b"\0\0\0", "file_not_readable"),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n" + os.urandom(1000), "file_not_readable"),
    "a program": (lambda: b"\x7fELF" + os.urandom(1000), "file_not_readable"),
    "a test virus": (
        lambda: rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*",
        "columns_not_recognised",
    ),
    "nothing": (lambda: b"", "file_not_readable"),
    "deep JSON": (lambda: b"[" * 8 * MIB, "file_not_readable"),
    "wide JSON": (lambda: b"[" + b",".join([b"[]"] * 3_000_000) + b"]", ""),
    "JSON of a long number": (lambda: b'[{"ts":' + b"1" * MIB + b"}]", ""),
    "large JSON": (lambda: b"[" + b" " * 13 * MIB + b"]", "file_too_large"),
}


#: What must go through the same door.
HARMLESS = zipped({"folder/a.csv": HEADER + ROW + b"2024-01-03T00:00:00Z,2,3,2,2,3\n"})


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What was said of each file, in the order in which they were sent."""
    folder = tmp_path_factory.mktemp("hostile")
    scratch = tmp_path_factory.mktemp("scratch")
    files = []
    for at, (make, _) in enumerate(HOSTILE.values()):
        file = folder / str(at)
        file.write_bytes(make())
        files.append(str(file))
    (folder / "harmless").write_bytes(HARMLESS)
    answer = subprocess.run(
        [sys.executable, "-c", CHECK, str(scratch), *files, str(folder / "harmless")],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX * len(HOSTILE),
        check=True,
        # Of processes in bubblewrap the kernel does not tell us how large they were.
        env={**os.environ, "ALPHINTRA_SANDBOX": "landlock"},
    )
    lines = [line for line in answer.stdout.splitlines() if line.startswith("{")]
    return dict(zip([*HOSTILE, "harmless"], map(json.loads, lines), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_is_refused_within_limits(name: str, told: dict[str, dict[str, Any]]) -> None:
    said = told[name]
    assert said["verdict"] == "refused", said
    assert not said["has_facts"]
    if code := HOSTILE[name][1]:
        assert said["codes"] == [code]
    assert said["rss"] <= RSS_MAX, said
    assert said["seconds"] <= SECONDS_MAX, said
    assert said["left"] == []


@pytest.mark.slow
def test_what_is_refused_is_refused_for_being_hostile(told: dict[str, dict[str, Any]]) -> None:
    assert told["harmless"]["verdict"] == "accepted"
    assert told["harmless"]["has_facts"]
