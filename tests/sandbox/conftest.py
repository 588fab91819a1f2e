"""A sandbox in each mode, and the world outside that nobody in it may reach."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import numba.core.caching
import pytest

import alphintra
from alphintra.platform.sandbox import Mode, Sandbox
from tests.sandbox.programs.escapes import World

PROGRAMS = Path(__file__).parent / "programs"
#: bubblewrap on a kernel without Landlock.
BUBBLEWRAP_ALONE = "bubblewrap alone"
MODES = [Mode.LANDLOCK.value, Mode.BUBBLEWRAP.value]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Files, sockets and a process of ours; and descriptors that a careless launcher passes on."""
    folder = tmp_path_factory.mktemp("world")
    marker = f"marker-{secrets.token_hex(8)}"
    os.environ["SANDBOX_TEST_SECRET"] = marker
    (folder / "secret").write_text("#!/bin/sh\nexit 42\n")
    cache = Path(numba.core.caching.__file__).parent / "__pycache__"
    cache.mkdir(exist_ok=True)  # it is missing where Python writes no bytecode
    short = tempfile.mkdtemp(prefix="sbx-")  # a path of a socket is 108 bytes at most
    with ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(f"{short}/s")
        unix.listen(1_000)
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0{marker}")
        abstract.listen(1_000)
        leaked = os.open(folder / "secret", os.O_RDONLY)
        for number in (10, 251):
            if not Path(f"/proc/self/fd/{number}").exists():
                os.dup2(leaked, number, inheritable=True)
        victim = stack.enter_context(subprocess.Popen(["/bin/sleep", "3600"]))
        stack.callback(victim.kill)
        yield World(
            folder=str(folder),
            secret=str(folder / "secret"),
            marker=marker,
            victim=victim.pid,
            tcp_port=tcp.getsockname()[1],
            udp_port=udp.getsockname()[1],
            unix_path=f"{short}/s",
            abstract=marker,
            source=str(Path(alphintra.__file__)),
            cache=str(cache),
        )


@pytest.fixture(scope="session")
def without_a_sandbox(world: World) -> dict[str, int]:
    """What becomes of every probe when nothing holds it."""
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / "escapes.py"), json.dumps(asdict(world))],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="session", params=MODES)
async def box(request: pytest.FixtureRequest, world: World) -> AsyncIterator[Sandbox]:
    """A sandbox in each mode."""
    async with Sandbox(isolation=request.param, import_from=(PROGRAMS,)) as opened:
        assert opened.mode == request.param
        yield opened


@pytest.fixture(scope="session", params=[*MODES, BUBBLEWRAP_ALONE])
async def any_box(
    request: pytest.FixtureRequest, world: World, no_landlock: Path
) -> AsyncIterator[Sandbox]:
    """A sandbox in each mode, and on a kernel without Landlock."""
    mode, path = request.param, os.environ["PATH"]
    if mode == BUBBLEWRAP_ALONE:
        mode, os.environ["PATH"] = Mode.BUBBLEWRAP.value, f"{no_landlock}:{path}"
    try:
        opened = Sandbox(isolation=mode, import_from=(PROGRAMS,))
        await opened.open()
    finally:
        os.environ["PATH"] = path
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def no_landlock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `bwrap` that is the real one, on a kernel without Landlock."""
    folder = tmp_path_factory.mktemp("no-landlock")
    real = shutil.which("bwrap")
    assert real, "install bubblewrap"
    program = folder / "bwrap"
    program.write_text(
        f"#!{sys.executable} -I\n"
        "import os, sys\n"
        f"sys.path.insert(0, {str(PROGRAMS)!r})\n"
        "import older_kernel\n"
        "older_kernel.forget_landlock()\n"
        f"os.execv({real!r}, sys.argv)\n"
    )
    program.chmod(0o755)
    return folder
