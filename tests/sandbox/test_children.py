"""What a child is given, what it says, and how its end is told."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from alphintra.platform.sandbox import (
    FRAME_BYTES_MAX,
    ChildEnded,
    ChildTimedOut,
    Limits,
    Mode,
    Reason,
    Sandbox,
    SandboxUnavailable,
    memory,
    seal,
)
from tests.sandbox.conftest import PROGRAMS

LIMITS = Limits(memory_bytes=256 * 1024**2)
#: A machine that does other things too.
LONG_S = 60.0


@pytest.fixture
async def own_box() -> AsyncIterator[Sandbox]:
    """A sandbox for tests that break it."""
    async with Sandbox(isolation=Mode.LANDLOCK.value, import_from=(PROGRAMS,)) as opened:
        yield opened


async def test_frames_come_back_in_their_order(box: Sandbox) -> None:
    child = await box.start("honest:echo", limits=LIMITS)
    for body in (b"", b"x", bytes(FRAME_BYTES_MAX), b"last"):
        assert await child.call(body, timeout_s=LONG_S) == body
    child.finish()
    ended = await child.wait()
    assert (ended.reason, ended.exit_code) == (Reason.EXITED, 0)
    with pytest.raises(ChildEnded):
        await child.call(b"is anybody there", timeout_s=LONG_S)


async def test_many_live_side_by_side(box: Sandbox) -> None:
    children = [await box.start("honest:echo", limits=LIMITS) for _ in range(20)]
    bodies = [str(one).encode() for one in range(20)]
    calls = (one.call(body, timeout_s=LONG_S) for one, body in zip(children, bodies, strict=True))
    assert await asyncio.gather(*calls) == bodies
    for child in children:
        child.kill()
    assert {(await child.wait()).reason for child in children} == {Reason.KILLED}


async def test_frames_that_are_too_long_are_not_sent(box: Sandbox) -> None:
    child = await box.start("honest:too_long", limits=LIMITS)
    with pytest.raises(ValueError, match="are the most"):
        await child.send(bytes(FRAME_BYTES_MAX + 1))
    ended = await child.wait()
    assert ended.exit_code == 1
    assert "a frame of 16777217 bytes" in child.output()


async def test_the_last_of_the_output_is_kept(box: Sandbox) -> None:
    child = await box.start("honest:talk", limits=Limits(output_bytes=1_000))
    await child.wait()
    assert child.output().endswith("x\nlast words\n")
    assert len(child.output()) == 1_000
    assert child.output_bytes_dropped > 990_000


async def test_a_fault_of_the_program_is_told(box: Sandbox) -> None:
    child = await box.start("honest:fail", limits=LIMITS)
    ended = await child.wait()
    assert (ended.reason, ended.exit_code) == (Reason.EXITED, 1)
    assert ended.detail == "it ended with 1: ValueError: a fault of its own"
    child = await box.start("nobody.has.this:one", limits=LIMITS)
    assert "ModuleNotFoundError" in (await child.wait()).detail


async def test_output_is_no_way_into_a_terminal(box: Sandbox) -> None:
    child = await box.start("honest:beep", limits=LIMITS)
    assert (await child.wait()).detail == "it ended with 1: ValueError: a �[31mred� bell�"
    assert "\x1b" not in child.output()


async def test_who_answers_too_late_is_ended(box: Sandbox) -> None:
    child = await box.start("honest:slow", limits=LIMITS)
    assert await child.call(b"0", timeout_s=LONG_S) == b"0"
    with pytest.raises(ChildTimedOut, match=r"no answer in 0\.2 s"):
        await child.call(b"3600", timeout_s=0.2)
    assert (await child.wait()).reason is Reason.KILLED


async def test_a_call_that_is_given_up_ends_the_child(box: Sandbox) -> None:
    child = await box.start("honest:slow", limits=LIMITS)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await child.call(b"3600", timeout_s=LONG_S)
    assert (await child.wait()).reason is Reason.KILLED


async def test_who_takes_nothing_is_ended(box: Sandbox) -> None:
    child = await box.start("honest:slow", limits=LIMITS)
    await child.send(b"3600", timeout_s=LONG_S)
    with pytest.raises(ChildTimedOut, match="it took nothing"):
        await child.send(bytes(FRAME_BYTES_MAX), timeout_s=0.2)


async def test_files_and_memory_are_lent(box: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("first")
    (tmp_path / "two").write_text("second")
    source, target = memory(4_096), memory(4_096)
    os.pwrite(source, bytes(range(100)), 0)
    seal(source)
    child = await box.start(
        "honest:given",
        limits=LIMITS,
        readable=(tmp_path / "one", tmp_path / "two"),
        shared=(source, target),
    )
    answers = [await child.receive(timeout_s=LONG_S) for _ in range(3)]
    assert answers == [b"first", b"second", b"done"]
    assert int.from_bytes(os.pread(target, 8, 0), "little") == sum(range(100))
    child = await box.start("honest:write_what_is_sealed", limits=LIMITS, shared=(source,))
    assert "PermissionError" in (await child.wait()).detail
    os.close(source)
    os.close(target)


async def test_only_regular_files_are_lent(box: Sandbox, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(OSError, match="not a regular file"):
        await box.start("honest:echo", limits=LIMITS, readable=(tmp_path,))
    with pytest.raises(FileNotFoundError):
        await box.start("honest:echo", limits=LIMITS, readable=(tmp_path / "none",))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


async def test_children_differ_in_chance_and_in_nothing_else(box: Sandbox) -> None:
    answers = []
    for program in ("numbers", "numbers", "order_of_a_set"):
        child = await box.start(f"honest:{program}", limits=LIMITS)
        answers.append(await child.receive(timeout_s=LONG_S))
    assert answers[0] != answers[1]
    assert b"PATH" in answers[0]
    assert b"ALPHINTRA" not in answers[0]
    # A strategy that is run again walks its sets in the same order.
    async with Sandbox(isolation=Mode.LANDLOCK.value, import_from=(PROGRAMS,)) as other:
        child = await other.start("honest:order_of_a_set", limits=LIMITS)
        assert await child.receive(timeout_s=LONG_S) == answers[2]


async def test_everything_is_closed_afterwards(box: Sandbox) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = descriptors()
    for _ in range(5):
        child = await box.start("honest:echo", limits=LIMITS)
        await child.call(b"x", timeout_s=LONG_S)
        child.kill()
        await child.wait()
    await _until(lambda: descriptors() <= before)


async def test_a_nursery_that_ends_is_replaced(own_box: Sandbox) -> None:
    child = await own_box.start("honest:echo", limits=LIMITS)
    nursery = int(re.findall(r"PPid:\s+(\d+)", Path(f"/proc/{child.pid}/status").read_text())[0])
    os.kill(nursery, 9)
    assert (await child.wait()).reason is Reason.CRASHED
    other = await own_box.start("honest:echo", limits=LIMITS)
    assert await other.call(b"again", timeout_s=LONG_S) == b"again"
    await _until(lambda: _is_gone(child.pid))


async def test_a_closed_sandbox_starts_nothing(own_box: Sandbox) -> None:
    child = await own_box.start("honest:echo", limits=LIMITS)
    await own_box.close()
    assert (await child.wait()).reason is Reason.KILLED
    with pytest.raises(SandboxUnavailable, match="closed"):
        await own_box.start("honest:echo", limits=LIMITS)


async def test_a_preload_that_fails_is_named() -> None:
    box = Sandbox(isolation=Mode.LANDLOCK.value, preload=("there.is.no.such",))
    with pytest.raises(SandboxUnavailable, match=r"cannot preload there\.is\.no\.such"):
        await box.open()


@pytest.mark.parametrize("mode", [Mode.LANDLOCK, Mode.BUBBLEWRAP])
async def test_all_end_with_the_parent(mode: Mode) -> None:
    program = f"""
import asyncio, os, sys
from pathlib import Path
import uvloop
from alphintra.platform.sandbox import Limits, Sandbox

async def main():
    box = Sandbox(isolation={mode.value!r}, import_from=(Path({str(PROGRAMS)!r}),))
    await box.open()
    child = await box.start("honest:echo", limits=Limits())
    assert await child.call(b"x", timeout_s=60) == b"x"
    print(child.pid, flush=True)
    os.kill(os.getpid(), 9)

uvloop.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == -9, done.stderr
    await _until(lambda: _is_gone(int(done.stdout)))


def _is_gone(pid: int) -> bool:
    """A process whose parent is gone may wait long for somebody to take note of its end."""
    try:
        return "(zombie)" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG_S):
        while not is_so():  # noqa: ASYNC110 - the kernel does not tell
            await asyncio.sleep(0.01)
