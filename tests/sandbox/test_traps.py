"""What was measured to go wrong in sandboxes like this one, each with a test of its own."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from alphintra.platform.sandbox import Limits, Mode, Reason, Sandbox, State, seccomp, syscalls
from tests.sandbox.conftest import PROGRAMS

MIB = 1024**2
LONG_S = 120.0


def test_shared_memory_is_no_way_around_the_memory_limit() -> None:
    """System V's segments are nobody's: 3.2 GB were filled under a limit of 1 GiB."""
    for name in ("shmget", "shmat", "semget", "msgget", "mq_open", "memfd_create"):
        with pytest.raises(KeyError):  # not even known, so not allowed
            syscalls.number(name)


async def test_there_is_no_dev_shm(box: Sandbox) -> None:
    """bubblewrap's own /dev has one without a limit: 256 MiB were written."""
    child = await box.start("bombs:run", limits=Limits())
    await child.call(b"disk", timeout_s=LONG_S)
    assert (await child.wait()).exit_code == 1


async def test_threads_work_and_processes_do_not(box: Sandbox) -> None:
    """Eight processes held 2.4 GB under a limit of 1 GiB each."""
    child = await box.start("honest:some_threads", limits=Limits(threads=8))
    assert await child.receive(timeout_s=LONG_S) == b"[0, 1, 2, 3, 4, 5]"
    child = await box.start("bombs:run", limits=Limits())
    await child.call(b"processes", timeout_s=LONG_S)
    assert (await child.wait()).exit_code == 1


async def test_memory_is_bounded_without_a_cgroup(box: Sandbox) -> None:
    child = await box.start("honest:fill_memory", limits=Limits(memory_bytes=200 * MIB))
    filled = int(await child.receive(timeout_s=LONG_S))
    assert 120 <= filled <= 200


async def test_a_limit_on_threads_does_not_keep_bubblewrap_from_starting(box: Sandbox) -> None:
    """A limit on the user's processes that is too low: "Can't fork for pid 1"."""
    child = await box.start("honest:some_threads", limits=Limits(threads=1))
    ended = await child.wait()
    assert "can't start new thread" in ended.detail


async def test_python_is_readable_wherever_it_lies(box: Sandbox) -> None:
    """Python may be under /root (0700), and bubblewrap makes parent folders 0700 for root."""
    child = await box.start("honest:libraries", limits=Limits(memory_bytes=1024 * MIB))
    answer = await child.receive(timeout_s=LONG_S)
    assert answer == b"(5, 7.0, 42, ['A', 'B'])", child.output()


async def test_preloaded_libraries_work_after_the_fork() -> None:
    """pyarrow's allocator starts a thread of its own when it is imported."""
    preload = ("numpy", "pandas", "pyarrow", "numba", "talib")
    async with Sandbox(
        preload=preload, isolation=Mode.LANDLOCK.value, import_from=(PROGRAMS,)
    ) as box:
        child = await box.start("honest:libraries", limits=Limits(memory_bytes=512 * MIB))
        assert await child.receive(timeout_s=LONG_S) == b"(5, 7.0, 42, ['A', 'B'])", child.output()


async def test_compiled_code_is_loaded_and_never_written(tmp_path: Path) -> None:
    """Numba tries to write before it reads, and fails where it cannot."""
    (tmp_path / "kernel.py").write_text(
        "import numba\n\n"
        "@numba.njit(cache=True)\n"
        "def double(one):\n    return 2 * one\n\n"
        "def serve(channel):\n"
        "    answer = double(21)\n"
        "    hits = sum(double.stats.cache_hits.values())\n"
        "    channel.send(repr((answer, hits)).encode())\n"
    )
    async with _bubblewrapped(tmp_path) as own:
        child = await own.start("kernel:serve", limits=Limits(memory_bytes=1024 * MIB))
        assert await child.receive(timeout_s=LONG_S) == b"(42, 0)", child.output()
    assert not list(tmp_path.rglob("*.nb*"))
    subprocess.run(
        [sys.executable, "-c", "import kernel; kernel.double(1)"], cwd=tmp_path, check=True
    )
    assert list(tmp_path.rglob("*.nbi"))
    async with _bubblewrapped(tmp_path) as own:
        child = await own.start("kernel:serve", limits=Limits(memory_bytes=512 * MIB))
        assert await child.receive(timeout_s=LONG_S) == b"(42, 1)", child.output()


async def test_what_a_nursery_compiles_is_kept_for_the_next(tmp_path: Path) -> None:
    (tmp_path / "warm.py").write_text(
        "import numba\n\n"
        "@numba.njit(cache=True)\n"
        "def triple(one):\n    return 3 * one\n\n"
        "def up():\n    assert triple(14) == 42\n\n"
        "def serve(channel):\n    channel.send(repr(triple.stats.cache_hits).encode())\n"
    )
    for is_known in (False, True):
        async with Sandbox(preload=("warm:up",), import_from=(tmp_path,)) as box:
            child = await box.start("warm:serve", limits=Limits())
            answer = await child.receive(timeout_s=LONG_S)
            assert (b"int64" in answer) is is_known
            async with asyncio.timeout(LONG_S):
                while not list(tmp_path.rglob("*.nbi")):  # noqa: ASYNC110 - another's file
                    await asyncio.sleep(0.05)


def _bubblewrapped(folder: Path) -> Sandbox:
    """The stricter mode: the folder itself cannot be written to."""
    return Sandbox(preload=("numba",), isolation=Mode.BUBBLEWRAP.value, import_from=(folder,))


@pytest.mark.parametrize("wanted", ["auto", "bubblewrap", "landlock"])
def test_without_isolation_code_is_refused(wanted: str, tmp_path: Path) -> None:
    """No Landlock, and a bubblewrap that fails: there is no third way."""
    bwrap = tmp_path / "bwrap"
    bwrap.write_text("#!/bin/sh\necho no namespaces for you >&2\nexit 1\n")
    bwrap.chmod(0o755)
    program = f"""
import asyncio, os, sys
sys.path.insert(0, {str(PROGRAMS)!r})
import older_kernel
older_kernel.forget_landlock()
import msgspec
from alphintra.platform.sandbox import Limits, Sandbox, SandboxUnavailable, state

async def main():
    box = Sandbox(isolation={wanted!r})
    for attempt in (box.open(), box.start("os:abort", limits=Limits())):
        try:
            await attempt
        except SandboxUnavailable as refusal:
            assert refusal.code == "sandbox_unavailable", refusal.code
        else:
            raise SystemExit("it ran")
    print(msgspec.json.encode(await state({wanted!r})).decode())

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    import msgspec

    found = msgspec.json.decode(done.stdout.splitlines()[-1], type=State)
    assert found.mode is Mode.NONE
    assert ("no namespaces for you" in found.reason) == (wanted != "landlock")
    assert ("no Landlock" in found.reason) == (wanted != "bubblewrap")


async def test_bubblewrap_can_be_required_and_forbidden() -> None:
    for wanted in (Mode.LANDLOCK, Mode.BUBBLEWRAP):
        async with Sandbox(isolation=wanted.value) as box:
            assert box.mode is wanted


def test_a_machine_without_numbers_has_no_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert not seccomp.is_available()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_is_whole_on_every_machine(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    for threads in (True, False):
        steps = seccomp.allow_list(1_234, threads=threads)
        assert len(steps) < 4_096
        for at, step in enumerate(steps):
            if step.code in {0x15, 0x45}:
                assert at + 1 + max(step.if_true, step.if_false) < len(steps)
        assert steps[-1].operand == 0x0005_0001  # EPERM for all that is not named


async def test_a_flood_of_threads_is_seen(box: Sandbox) -> None:
    """The kernel does not count root's threads."""
    child = await box.start("bombs:run", limits=Limits(threads=4, memory_bytes=2048 * MIB))
    await child.call(b"threads", timeout_s=LONG_S)
    ended = await child.wait()
    assert ended.reason is Reason.BROKE_RULES
    assert "4 are the most" in ended.detail


def test_the_folder_one_happens_to_be_in_is_not_shown(tmp_path: Path) -> None:
    """`python -m` puts the present folder into the path: it may be somebody's home."""
    program = (
        "from alphintra.platform.sandbox.places import readable_places\n"
        "import os, sys\n"
        "assert os.getcwd() in sys.path\n"
        "print(*readable_places(), sep='\\n')\n"
    )
    (tmp_path / "show.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "show"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    shown = [Path(line) for line in done.stdout.splitlines()]
    assert shown
    assert not [one for one in shown if tmp_path.is_relative_to(one)]
    forbidden = ("/", "/root", "/home", "/etc", "/proc", "/sys", "/dev", "/var", "/tmp", "/run")
    assert not set(map(str, shown)) & set(forbidden)
