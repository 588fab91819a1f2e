"""Files of users are read where reading them can hurt nobody, or not at all."""

import asyncio
import json
import mmap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from alphintra.market import DatasetService
from alphintra.market.datasets import parsing_process
from alphintra.market.datasets.findings import Findings, Verdict
from alphintra.market.datasets.inside import Read, _lay_out
from alphintra.market.datasets.options import UploadOptions
from alphintra.market.datasets.parsing import parse_file
from alphintra.market.datasets.parsing_process import check_apart, check_here
from alphintra.market.datasets.taking import DATA, UPLOAD, Checked, take_over
from alphintra.platform.sandbox import Child, Mode, Sandbox, SandboxUnavailable
from tests.market.datasets.conftest import Upload
from tests.market.datasets.programs.strange_parser import ways_out

PROGRAMS = Path(__file__).parent / "programs"
NOW_NS = 1_760_000_000_000_000_000
CSV = b"ts,open,high,low,close,volume\n" + b"".join(
    f"2024-01-{day:02}T00:00:00Z,{day},{day + 1},{day},{day + 1},3\n".encode()
    for day in range(1, 29)
)


@pytest.fixture(scope="module", params=[Mode.LANDLOCK.value, Mode.BUBBLEWRAP.value])
async def taken_over(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """A room whose parser does what a file's name says."""
    room = Sandbox(
        preload=(parsing_process._WARM_UP, "strange_parser:take_over"),
        isolation=request.param,
        import_from=(PROGRAMS,),
    )
    async with room:
        yield room


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of an upload, beside a secret."""
    (tmp_path / "secret").write_bytes(b"of somebody else")
    made = tmp_path / "incoming"
    made.mkdir()
    (made / UPLOAD).write_bytes(CSV)
    return made


async def check(folder: Path, room: Sandbox, name: str) -> Checked:
    return await check_apart(
        folder, name=name, options=UploadOptions(), now_ns=NOW_NS, sandbox=room
    )


def codes(checked: Checked) -> list[str]:
    return [one.code for one in checked.report.findings]


async def test_a_parser_gets_nowhere(
    taken_over: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPLOAD_TEST_SECRET", "1")
    secret = str(folder.parent / "secret")
    assert len(ways_out(secret, str(folder))) == 10, "each is a way out without a sandbox"
    (folder / "written").unlink()
    checked = await check(folder, taken_over, f"probe {secret} {folder}")
    assert codes(checked) == ["probed"], checked.report
    assert [one.name for one in folder.iterdir()] == [UPLOAD]


async def test_a_file_that_crashes_the_parser_ends_its_process_only(
    taken_over: Sandbox, folder: Path
) -> None:
    good = asyncio.create_task(check(folder, taken_over, "BTC.csv"))
    crashed = await check(folder, taken_over, "crash")
    assert codes(crashed) == ["beyond_limits"]
    assert crashed.report.findings[0].reason == "the file ends the process that reads it"
    assert crashed.report.verdict is Verdict.REFUSED
    assert (await good).facts is not None
    assert (await check(folder, taken_over, "BTC.csv")).facts is not None


async def test_a_file_that_wants_all_memory_gets_its_share(
    taken_over: Sandbox, folder: Path
) -> None:
    checked = await check(folder, taken_over, "allocate")
    assert codes(checked) == ["beyond_limits"]
    assert "time or memory" in checked.report.findings[0].reason


async def test_a_verdict_without_numbers_is_not_believed(taken_over: Sandbox, folder: Path) -> None:
    checked = await check(folder, taken_over, "lie")
    assert codes(checked) == ["beyond_limits"]
    assert checked.facts is None


async def test_who_goes_away_takes_the_process_along(
    taken_over: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
    start = Sandbox.start

    async def noted(*what: Any, **how: Any) -> Child:
        child = await start(*what, **how)
        started.set_result(child)
        return child

    monkeypatch.setattr(Sandbox, "start", noted)
    waiting = asyncio.create_task(check(folder, taken_over, "wait"))
    child = await asyncio.wait_for(started, 60)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert child.ended is not None


async def test_both_ways_give_the_same_dataset(taken_over: Sandbox, folder: Path) -> None:
    apart = await check(folder, taken_over, "BTC.csv")
    bytes_apart = (folder / DATA).read_bytes()
    (folder / DATA).unlink()
    here = check_here(folder, name="BTC.csv", options=UploadOptions(), now_ns=NOW_NS)
    assert apart == here
    assert apart.facts is not None
    assert apart.facts.symbols == ("BTC",)
    assert bytes_apart == (folder / DATA).read_bytes()


async def test_without_a_sandbox_nothing_is_read(
    upload: Upload, datasets: DatasetService, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object, **__: object) -> None:
        raise SandboxUnavailable("landlock: this kernel has no Landlock")

    monkeypatch.setattr(datasets._room, "start", nothing)
    answer: httpx.Response = await upload(CSV)
    assert answer.status_code == 503
    told = answer.json()
    assert (told["code"], told["retryable"]) == ("sandbox_unavailable", True)
    assert list((storage / "incoming").iterdir()) == []


def lied(**changed: Any) -> tuple[Read, mmap.mmap]:
    """Return what an honest process says of a small file, changed."""
    memory = mmap.mmap(-1, 1024**2)
    path = changed.pop("path")
    parsed = parse_file(path, name="BTC.csv", options=UploadOptions(), now_ns=NOW_NS)
    assert parsed.content is not None
    _lay_out(memory, [parsed.content.column(name) for name in parsed.content.names])
    report, layout = parsed.report, parsed.content.layout
    told: dict[str, Any] = json.loads(
        msgspec.json.encode(Read(report=report, layout=layout, adjustment="raw"))
    )
    for where, value in changed.items():
        *path_to, last = where.split("__")
        target = told
        for step in path_to:
            target = target[step]
        target[last] = value
    return msgspec.convert(told, Read), memory


LIES: dict[str, dict[str, Any]] = {
    "more rows than there are": {"layout__slices": {"BTC": [0, 10**9]}},
    "rows that overlap": {"layout__slices": {"A": [0, 14], "B": [7, 14]}},
    "symbols in no order": {"layout__slices": {"B": [0, 14], "A": [14, 14]}},
    "a symbol that is none": {"layout__slices": {"../../BTC": [0, 28]}},
    "no symbol": {"layout__slices": {}},
    "a symbol without rows": {"layout__slices": {"A": [0, 28], "B": [28, 0]}},
    "rows before the first": {"layout__slices": {"BTC": [-1, 28]}},
    "a kind that is none": {"layout__kind": "pickles"},
    "a timeframe that is none": {"layout__timeframe": "1d; DROP TABLE"},
    "candles without a length": {"layout__step_ns": 0},
    "candles of a negative length": {"layout__step_ns": -1},
    "candles as long as time": {"layout__step_ns": 2**63},
    "times beyond the last": {"layout__slices": {"BTC": [0, 29]}},
    "rows after a gap": {"layout__slices": {"BTC": [1, 27]}},
    "an adjustment that is none": {"adjustment": "as you like"},
    "an action of another symbol": {"actions": [{"symbol": "ETH", "ex_ns": 0, "ratio": 2.0}]},
    "an action before time": {"actions": [{"symbol": "BTC", "ex_ns": -(2**70), "ratio": 2.0}]},
    "a refusal with numbers": {"report__verdict": "refused"},
    "numbers without a layout": {"layout": None},
    "findings without end": {
        "report__findings": [{"code": "a", "severity": "note", "reason": "x" * 1_000}] * 200
    },
    "what no database takes": {
        "report__findings": [{"code": "a\0b", "severity": "note", "reason": "nothing"}]
    },
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_not_kept(lie: str, tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(CSV)
    read, memory = lied(path=tmp_path / "upload", **LIES[lie])
    with pytest.raises(ValueError, match=r"\w"):
        take_over(read, memory, tmp_path / DATA)
    assert not (tmp_path / DATA).exists()


def test_the_truth_is_kept(tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(CSV)
    read, memory = lied(path=tmp_path / "upload")
    checked = take_over(read, memory, tmp_path / DATA)
    assert checked.facts is not None
    assert (checked.facts.rows, checked.facts.timeframe) == (28, "1d")
    assert (tmp_path / DATA).exists()


@pytest.mark.parametrize(
    "break_number",
    [
        lambda memory: memory.__setitem__(slice(0, 8), memory[8:16]),  # one time twice
        lambda memory: memory.__setitem__(slice(28 * 8, 29 * 8), b"\xff" * 8),  # NaN as a price
    ],
)
def test_numbers_that_are_no_series_are_not_kept(
    break_number: Callable[[mmap.mmap], None], tmp_path: Path
) -> None:
    (tmp_path / "upload").write_bytes(CSV)
    read, memory = lied(path=tmp_path / "upload")
    break_number(memory)
    with pytest.raises(ValueError, match="its numbers are no candles"):
        take_over(read, memory, tmp_path / DATA)


def test_a_refusal_is_handed_on(tmp_path: Path) -> None:
    findings = Findings()
    findings.refuse("file_not_readable", "it is a picture", "send prices")
    read = Read(report=findings.report())
    assert take_over(read, mmap.mmap(-1, 1), tmp_path / DATA) == Checked(report=read.report)
