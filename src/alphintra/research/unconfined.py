"""One run of a library strategy in a process of its own, on a host that cannot isolate users' code.

    python -m alphintra.research.unconfined FOLDER

The folder holds `job.json`. The process tells its progress in lines on its standard output and
leaves `result.zip` and, last of all, `done.json`. It is bounded in memory and time, and runs
nobody's code but ours.
"""

import asyncio
import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from alphintra.core.errors import Problem
from alphintra.research.computing import compute
from alphintra.research.errors import BeyondLimits, CodeNotAllowed, ProcessDied
from alphintra.research.jobfile import Done, Job, Outcome, Progress
from alphintra.research.watching import NO_MEMORY, Tell, watch

_JOB: Final = "job.json"
_DONE: Final = "done.json"
_LINE_BYTES_MAX: Final = 4_096
_DONE_BYTES_MAX: Final = 64 * 1024**2
_PR_SET_PDEATHSIG: Final = 1
#: What a child may know of our environment; none of the settings, which hold secrets.
_KEPT: Final = frozenset(
    {"HOME", "LANG", "PATH", "TMPDIR", "NUMBA_CACHE_DIR", "PYTHONPATH", "ALPHINTRA_COMPUTE"}
)


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    job: Job
    memory_bytes: int
    cpu_s: int


async def run_unconfined(
    result: Path, job: Job, *, tell: Tell, seconds_max: float, memory_bytes: int
) -> Outcome:
    """Run a job of the library in a process; as `run_apart`.

    Args:
        result: where the result goes; the folder is the process's.
    """
    folder = result.parent
    order = _Order(job=job, memory_bytes=memory_bytes, cpu_s=max(30, int(2 * seconds_max)))
    (folder / _JOB).write_bytes(msgspec.json.encode(order))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "alphintra.research.unconfined",
        str(result),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name in _KEPT},
        limit=_LINE_BYTES_MAX,
        start_new_session=True,  # so that its own processes end with it
    )
    said = bytearray()
    listening = asyncio.create_task(_keep_last(process, said))
    try:
        is_wanted = await watch(lambda: _next(process), tell, seconds_max)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        await listening
    if not is_wanted:
        return Outcome(status="CANCELED")
    done = _read_done(folder)
    if done is None:
        raise _obituary(process.returncode or 0, bytes(said))
    return done.outcome


async def _next(process: asyncio.subprocess.Process) -> Progress | None:
    """Return the next word on the progress; None: there will be none."""
    assert process.stdout is not None
    while line := await process.stdout.readline():
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(line, type=Progress)
    return None


async def _keep_last(process: asyncio.subprocess.Process, said: bytearray) -> None:
    assert process.stderr is not None
    while part := await process.stderr.read(4_096):
        said += part
        del said[:-2_000]


def _obituary(returncode: int, said: bytes) -> ProcessDied:
    text = said.decode(errors="replace").strip()
    last = text.splitlines()[-1] if text else ""
    if any(words in text for words in NO_MEMORY):
        return BeyondLimits("the run needed more memory than one may have")
    if returncode == -signal.SIGXCPU:
        return BeyondLimits("the run took more processor time than one may take")
    if returncode < 0:
        return ProcessDied(f"the computing process was ended by {signal.Signals(-returncode).name}")
    return ProcessDied(f"the computing process ended with {returncode}: {last[:300]}")


def _read_done(folder: Path) -> Done | None:
    file = folder / _DONE
    try:
        if file.stat().st_size > _DONE_BYTES_MAX:
            return None
        return msgspec.json.decode(file.read_bytes(), type=Done)
    except (OSError, msgspec.DecodeError):
        return None


def main(result: Path) -> None:
    """Run what the folder says."""
    # Without a parent there is nobody left who wants the result.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    folder = result.parent
    order = msgspec.json.decode((folder / _JOB).read_bytes(), type=_Order)
    resource.setrlimit(resource.RLIMIT_AS, (order.memory_bytes, order.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (order.cpu_s, order.cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def say(progress: Progress) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(progress) + b"\n")
        sys.stdout.buffer.flush()

    try:
        if order.job.source is not None:
            raise CodeNotAllowed("users' code runs in the sandbox, and this is none")
        with result.open("wb") as target:
            outcome = compute(order.job, target, say=say, files=None)
    except Problem as problem:
        outcome = Outcome(status="FAILED", code=problem.code, detail=problem.detail)
    size = result.stat().st_size if outcome.status == "SUCCEEDED" else 0
    half = folder / f"{_DONE}.half"
    half.write_bytes(msgspec.json.encode(Done(outcome=outcome, result_bytes=size)))
    half.replace(folder / _DONE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
