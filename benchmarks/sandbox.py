"""What a sandbox costs: starts, round trips with one and twenty children, memory of each.

    benchmarks/sandbox.py [--children 20] [--calls 2000]

A round trip over a bare pair of sockets to a forked process, in the same event loop, stands beside
it: what is above that is the sandbox.
"""

import argparse
import asyncio
import os
import re
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alphintra.platform.sandbox import Channel, Child, Limits, Sandbox, SandboxUnavailable
from benchmarks.harness import milliseconds, quantile

PRELOAD = ("pandas", "alphintra.sdk")
PROGRAM = "from alphintra.platform.sandbox import Channel\n\ndef serve(channel: Channel) -> None:\n"
PROGRAM += "    while (body := channel.receive()) is not None:\n        channel.send(body)\n"
FRAME = bytes(300)
PATIENCE_S = 60.0
LIMITS = Limits(memory_bytes=512 * 1024**2)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=20)
    parser.add_argument("--calls", type=int, default=2_000)
    given = parser.parse_args()
    folder = Path(f"/tmp/sandbox-benchmark-{os.getpid()}")
    folder.mkdir()
    (folder / "echo_program.py").write_text(PROGRAM)
    try:
        print(f"bare pair of sockets: {microseconds(await bare(given.calls))}", flush=True)
        for mode in ("landlock", "bubblewrap"):
            try:
                await measure(mode, folder, given.children, given.calls)
            except SandboxUnavailable as refusal:
                print(f"{mode}: not on this host: {refusal.detail}")
    finally:
        (folder / "echo_program.py").unlink()
        folder.rmdir()


async def measure(mode: str, folder: Path, count: int, calls: int) -> None:
    began_s = time.perf_counter()
    async with Sandbox(preload=PRELOAD, isolation=mode, import_from=(folder,)) as box:
        print(f"{mode}: nursery open in {time.perf_counter() - began_s:.1f} s, with pandas")
        starts_s, children = [], []
        for _ in range(count):
            began_s = time.perf_counter()
            child = await box.start("echo_program:serve", limits=LIMITS)
            await child.call(FRAME, timeout_s=PATIENCE_S)
            starts_s.append(time.perf_counter() - began_s)
            children.append(child)
        print(f"{mode}: start to the first answer, pandas loaded: {milliseconds(starts_s)}")
        alone = await trips(children[0], calls)
        print(f"{mode}: round trip, 1 child: {microseconds(alone)}")
        for told, apart_s in (("one after the other", 0.01 / count), ("all at once", 0.0)):
            each = [in_turns(one, calls // 20, at * apart_s) for at, one in enumerate(children)]
            together = [one for group in await asyncio.gather(*each) for one in group]
            print(
                f"{mode}: round trip, {count} children called every 10 ms, {told}: "
                f"{microseconds(together)}"
            )
        for line in memory(children):
            print(f"{mode}: {line}", flush=True)


async def trips(child: Child, calls: int) -> list[float]:
    """Return the seconds of calls one after the other."""
    found = []
    for _ in range(calls):
        began_s = time.perf_counter()
        await child.call(FRAME, timeout_s=PATIENCE_S)
        found.append(time.perf_counter() - began_s)
    return found


async def in_turns(child: Child, calls: int, delay_s: float) -> list[float]:
    """Return the seconds of calls that come as ticks come."""
    await asyncio.sleep(delay_s)
    found = []
    for _ in range(calls):
        await asyncio.sleep(0.01)
        found += await trips(child, 1)
    return found


async def bare(calls: int) -> list[float]:
    """Return the seconds of round trips to a process without any of this."""
    ours, its = socket.socketpair()
    if (pid := os.fork()) == 0:
        ours.close()
        with suppress(OSError):
            echo = Channel(its.detach(), readable=(), shared=())
            while (body := echo.receive()) is not None:
                echo.send(body)
        os._exit(0)
    its.close()
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    frame = len(FRAME).to_bytes(4, "little") + FRAME
    found = []
    for _ in range(calls):
        began_s = time.perf_counter()
        await loop.sock_sendall(ours, frame)
        left = len(frame)
        while left:
            left -= len(await loop.sock_recv(ours, left))
        found.append(time.perf_counter() - began_s)
    ours.close()
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
