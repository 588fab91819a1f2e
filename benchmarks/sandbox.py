"""What a sandbox costs: starts, round trips with one and twenty children, memory of each.

    benchmarks/sandbox.py [--children 20] [--ticks 1000]

Round trips over bare pairs of sockets to forked processes, without sandbox and event loop, stand
beside them: that much the machine takes for itself.
"""

import argparse
import asyncio
import os
import re
import select
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alphintra.platform.sandbox import Channel, Child, Limits, Sandbox, SandboxUnavailable
from benchmarks.harness import milliseconds, pace, quantile, ticking

PRELOAD = ("pandas", "alphintra.sdk")
PROGRAM = "from alphintra.platform.sandbox import Channel\n\ndef serve(channel: Channel) -> None:\n"
PROGRAM += "    while (body := channel.receive()) is not None:\n        channel.send(body)\n"
FRAME = bytes(300)
PATIENCE_S = 60.0
LIMITS = Limits(memory_bytes=512 * 1024**2)
#: How ticks come: what it is called, seconds between two, whether each goes to all at once.
PACES = (
    ("ticks for one after the other, 2,000 a second", 0.0005, False),
    ("a tick for all at once, every 10 ms", 0.01, True),
)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=20)
    parser.add_argument("--ticks", type=int, default=1_000)
    given = parser.parse_args()
    folder = Path(f"/tmp/sandbox-benchmark-{os.getpid()}")
    folder.mkdir()
    (folder / "echo_program.py").write_text(PROGRAM)
    try:
        for count, told, period_s, at_once in paces(given.children):
            found = bare(count, given.ticks, period_s, at_once=at_once)
            print(f"bare, {count}: round trip, {told}: {microseconds(found)}", flush=True)
        for mode in ("landlock", "bubblewrap"):
            try:
                await measure(mode, folder, given.children, given.ticks)
            except SandboxUnavailable as refusal:
                print(f"{mode}: not on this host: {refusal.detail}")
    finally:
        (folder / "echo_program.py").unlink()
        folder.rmdir()


def paces(most: int) -> Iterator[tuple[int, str, float, bool]]:
    """Return for how many children each pace is measured."""
    yield 1, *PACES[0]
    for one in PACES:
        yield most, *one


async def measure(mode: str, folder: Path, most: int, ticks: int) -> None:
    began_s = time.perf_counter()
    async with Sandbox(preload=PRELOAD, isolation=mode, import_from=(folder,)) as box:
        print(f"{mode}: nursery open in {time.perf_counter() - began_s:.1f} s, with pandas")
        starts_s, children = [], []
        for _ in range(most):
            began_s = time.perf_counter()
            child = await box.start("echo_program:serve", limits=LIMITS)
            await child.call(FRAME, timeout_s=PATIENCE_S)
            starts_s.append(time.perf_counter() - began_s)
            children.append(child)
        print(f"{mode}: start to the first answer, pandas loaded: {milliseconds(starts_s)}")
        for count, told, period_s, at_once in paces(most):
            found = await trips(children[:count], ticks, period_s, at_once=at_once)
            print(f"{mode}, {count}: round trip, {told}: {microseconds(found)}")
        for line in memory(children):
            print(f"{mode}: {line}", flush=True)


async def trips(
    children: Sequence[Child], ticks: int, period_s: float, *, at_once: bool
) -> list[float]:
    """Return the seconds from when ticks are heard to their answers.

    They come from another process, as at work: a timer of the event loop has whole milliseconds.
    """
    loop = asyncio.get_running_loop()
    found: list[float] = []

    async def trip(child: Child, began_s: float) -> None:
        await child.call(FRAME, timeout_s=PATIENCE_S)
        found.append(time.perf_counter() - began_s)

    async with asyncio.TaskGroup() as group:
        with ticking(ticks, period_s) as feed:
            for number in range(ticks):
                await loop.sock_recv(feed, 1)
                began_s = time.perf_counter()
                for child in children if at_once else [children[number % len(children)]]:
                    group.create_task(trip(child, began_s))
    return found


def bare(count: int, ticks: int, period_s: float, *, at_once: bool) -> list[float]:
    """Return the seconds of round trips to processes without any of this."""
    ends, pids = [], []
    for _ in range(count):
        ours, its = socket.socketpair()
        if (pid := os.fork()) == 0:
            for one in (*ends, ours):
                one.close()
            with suppress(OSError):
                echo = Channel(its.detach(), readable=(), shared=())
                while (body := echo.receive()) is not None:
                    echo.send(body)
            os._exit(0)
        its.close()
        ends.append(ours)
        pids.append(pid)
    poll = select.epoll()
    by_fd = {one.fileno(): one for one in ends}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    frame = len(FRAME).to_bytes(4, "little") + FRAME
    found = []
    for number in pace(ticks, period_s):
        began_s = time.perf_counter()
        told = ends if at_once else [ends[number % count]]
        for one in told:
            one.send(frame)
        left = len(told) * len(frame)
        while left:
            for fd, _ in poll.poll():
                left -= len(by_fd[fd].recv(len(frame)))
                found.append(time.perf_counter() - began_s)
    poll.close()
    for one in ends:
        one.close()
    for pid in pids:
        os.waitpid(pid, 0)
    return found


def memory(children: list[Child]) -> list[str]:
    """Return what the children have in memory, each by itself and its share of what is common."""
    found: dict[str, list[int]] = {"Pss": [], "Private_Dirty": [], "Rss": []}
    for child in children:
        try:
            text = Path(f"/proc/{child.pid}/smaps_rollup").read_text()
        except PermissionError:
            return ["memory of children is shown to root only"]
        for name, values in found.items():
            values += [int(one) for one in re.findall(rf"^{name}:\s+(\d+)", text, re.MULTILINE)]
    own, share, all_of_it = (
        quantile(found[name], 0.5) / 1024 for name in ("Private_Dirty", "Pss", "Rss")
    )
    return [f"memory of a child: {own:.1f} MiB of its own, {share:.1f} MiB PSS of {all_of_it:.0f}"]


def microseconds(seconds: list[float]) -> str:
    """Return p50 and p99 in words."""
    return f"p50 {quantile(seconds, 0.5) * 1e6:.0f} µs, p99 {quantile(seconds, 0.99) * 1e6:.0f} µs"


if __name__ == "__main__":
    uvloop.run(main())
