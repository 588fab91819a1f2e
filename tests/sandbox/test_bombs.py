"""Whatever takes all it can get is held within its limits, ended in time, and leaves nothing."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from alphintra.platform.sandbox import Child, ChildEnded, Ended, Limits, Reason, Sandbox

MIB = 1024**2
LIMITS = Limits(memory_bytes=128 * MIB, cpu_s=1, frame_bytes=2 * MIB)
#: Of wall time, all in all: five seconds of work, on a machine that does other things too.
END_S = 20.0
HOST_BYTES_MAX = 600 * MIB

_OVER = {Reason.CPU_LIMIT, Reason.OUT_OF_MEMORY}
#: These end by themselves or by their limits, this way.
ENDING = {
    "memory": {Reason.OUT_OF_MEMORY},
    "memory_bit_by_bit": _OVER,
    "memory_mapped_and_shared": {Reason.OUT_OF_MEMORY, Reason.EXITED},
    "processor": {Reason.CPU_LIMIT},
    "processes": {Reason.EXITED},
    "threads": {Reason.BROKE_RULES, Reason.EXITED},
    "descriptors": {Reason.EXITED},
    "sockets": {Reason.EXITED},
    "shared_memory": {Reason.EXITED},
    "disk": {Reason.EXITED},
    "giant_frame": {Reason.BROKE_RULES},
    "silence": {Reason.BROKE_RULES},
    "recursion": {*_OVER, Reason.CRASHED, Reason.EXITED},
    "recursion_in_compiled_code": {Reason.CRASHED, Reason.EXITED, Reason.OUT_OF_MEMORY},
    "compression": _OVER,
    "never_collected": _OVER,
    "deaf_to_the_processor_limit": {Reason.CPU_LIMIT},
    "crash": {Reason.CRASHED},
    "exit_handlers": {Reason.EXITED},
}
#: These the parent ends when it has waited long enough.
ENDLESS = (
    "memory_caught",
    "numbers",
    "processor_in_compiled_code",
    "processor_by_threads",
    "expression",
    "output",
    "output_past_python",
    "frames",
    "big_frames",
    "half_a_frame",
    "compression_in_layers",
    "deaf_to_signals",
    "sleeping",
    "stopped",
    "timers",
    "catching_everything",
    "tracing_the_harness",
)
PATIENCE_S = 0.4


def test_there_are_many() -> None:
    assert len(ENDING) + len(ENDLESS) >= 15


@pytest.mark.parametrize("name", ENDING)
async def test_ends_within_its_limits(name: str, box: Sandbox) -> None:
    ended = await _explode(name, box, patience_s=END_S)
    assert ended.reason in ENDING[name], ended


@pytest.mark.parametrize("name", ENDLESS)
async def test_ends_when_it_is_told_to(name: str, box: Sandbox) -> None:
    ended = await _explode(name, box, patience_s=PATIENCE_S)
    assert ended.reason in {Reason.KILLED, *_OVER}, ended


async def _explode(name: str, box: Sandbox, *, patience_s: float) -> Ended:
    """Let a bomb go off, unread and unattended; return how it ended."""
    child = await box.start("bombs:run", limits=LIMITS, name=name)
    async with _weighed(child) as weight:
        assert await child.call(name.encode(), timeout_s=60) == b"begun"
        began_s = time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await _until_over(child)
        if child.ended is None:
            child.kill()
        ended = await child.wait()
    took_s = time.monotonic() - began_s
    assert took_s < END_S, (ended, child.output()[-500:])
    assert max(weight) < HOST_BYTES_MAX
    assert len(child.output().encode()) <= LIMITS.output_bytes * 3  # damaged UTF-8 grows
    assert not Path(f"/proc/{child.pid}").exists()
    return ended


@pytest.mark.parametrize(
    ("bomb", "is_greedy"), [("processor_by_threads", True), ("processor", False)]
)
async def test_more_than_a_core_gives_way(bomb: str, is_greedy: bool, box: Sandbox) -> None:
    child = await box.start("bombs:run", limits=Limits(memory_bytes=128 * MIB))
    before = os.getpriority(os.PRIO_PROCESS, child.pid)
    cores = frozenset(os.sched_getaffinity(child.pid))
    expected = {(19, 1) if is_greedy else (before, len(cores))}
    assert await child.call(bomb.encode(), timeout_s=60) == b"begun"
    async with asyncio.timeout(END_S * 3):
        while _computed_s(child.pid) < 1.5 or _places(child.pid) != expected:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    if is_greedy and len(cores) > 1:
        assert min(cores) not in os.sched_getaffinity(child.pid)
    child.kill()
    await child.wait()


def _computed_s(pid: int) -> float:
    """Return the processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _places(pid: int) -> set[tuple[int, int]]:
    """Return the niceness of each thread of a process, and how many cores it may use."""
    threads = [int(one.name) for one in Path(f"/proc/{pid}/task").iterdir()]
    return {
        (os.getpriority(os.PRIO_PROCESS, one), len(os.sched_getaffinity(one))) for one in threads
    }


async def test_the_sandbox_lives_on(box: Sandbox) -> None:
    child = await box.start("honest:echo", limits=LIMITS)
    assert await child.call(b"alive", timeout_s=30) == b"alive"
    child.finish()
    assert (await child.wait()).reason is Reason.EXITED


async def _until_over(child: Child) -> None:
    if child.name in {"silence", "giant_frame"}:
        with suppress(ChildEnded):
            await child.receive()
    await child.wait()


@asynccontextmanager
async def _weighed(child: Child) -> AsyncIterator[list[int]]:
    """Sample what the child and this process have in memory, beyond what they began with."""
    before = _resident(child.pid) + _resident("self")
    found = [0]

    async def look() -> None:
        while True:
            found.append(_resident(child.pid) + _resident("self") - before)
            await asyncio.sleep(0.02)

    looking = asyncio.create_task(look())
    try:
        yield found
    finally:
        looking.cancel()


def _resident(pid: int | str) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4_096
    except (OSError, IndexError):
        return 0
