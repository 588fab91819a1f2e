"""One run in a process of its own: bounded in memory and time, killed on demand, never half done.

    python -m alphintra.research.apart FOLDER

The folder holds `job.json`. The process tells its progress in lines on its standard output and
leaves `result.zip` and, last of all, `outcome.json`.
"""

import asyncio
import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

from alphintra.core.errors import Problem
from alphintra.research.errors import BeyondLimits, CodeNotAllowed, ProcessDied
from alphintra.research.jobfile import BacktestJob, Job, OptimizeJob, Outcome, Progress

_JOB: Final = "job.json"
_OUTCOME: Final = "outcome.json"
RESULT: Final = "result.zip"
#: How often the process says how far it is.
_TELL_S: Final = 0.25
_LINE_BYTES_MAX: Final = 4_096
_OUTCOME_BYTES_MAX: Final = 64 * 1024**2
_PR_SET_PDEATHSIG: Final = 1
#: What a child may know of our environment; none of the settings, which hold secrets.
_KEPT: Final = frozenset(
    {"HOME", "LANG", "PATH", "TMPDIR", "NUMBA_CACHE_DIR", "PYTHONPATH", "ALPHINTRA_COMPUTE"}
)

#: How Python, the loader, C++ and the compiler say that there is no memory left.
_NO_MEMORY: Final = (
    "MemoryError",
    "Cannot allocate memory",
    "failed to map segment",
    "std::bad_alloc",
    "LLVM ERROR: out of memory",
)

Tell = Callable[[Progress], Awaitable[bool]]


async def run_apart(
    folder: Path, job: Job, *, tell: Tell, seconds_max: float, memory_bytes: int
) -> Outcome:
    """Run a job in a process of its own.

    Args:
        tell: is told of the progress, at least twice a second; when it returns false the process
            is killed.
        seconds_max: of wall time.

    Raises:
        BeyondLimits: it needed more time or memory than it may have.
        ProcessDied: it ended without an outcome: killed, a crash.
    """
    (folder / _JOB).write_bytes(
        msgspec.json.encode(
            _Order(job=job, memory_bytes=memory_bytes, cpu_s=max(30, int(2 * seconds_max)))
        )
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "alphintra.research.apart",
        str(folder),
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
        is_wanted = await _watch(process, tell, seconds_max)
    finally:
        _end(process)
        await process.wait()
        await listening
    if not is_wanted:
        return Outcome(status="CANCELED")
    outcome = _read_outcome(folder)
    if outcome is None:
        raise _obituary(process.returncode or 0, bytes(said))
    return outcome


async def _watch(process: asyncio.subprocess.Process, tell: Tell, seconds_max: float) -> bool:
    """Pass progress on until the process ends; return whether it may go on."""
    assert process.stdout is not None
    latest = Progress(share=0.0, remaining_s=None)
    deadline_s = time.monotonic() + seconds_max
    reading = asyncio.ensure_future(process.stdout.readline())
    try:
        while True:
            await asyncio.wait({reading}, timeout=0.5)
            if reading.done():
                line = reading.result()
                if not line:
                    return True
                with suppress(msgspec.DecodeError):
                    latest = msgspec.json.decode(line, type=Progress)
                reading = asyncio.ensure_future(process.stdout.readline())
            if not await tell(latest):
                return False
            if time.monotonic() > deadline_s:
                raise BeyondLimits(
                    f"the run took longer than the {seconds_max:g} s that it may take"
                )
    finally:
        reading.cancel()


async def _keep_last(process: asyncio.subprocess.Process, said: bytearray) -> None:
    assert process.stderr is not None
    while part := await process.stderr.read(4_096):
        said += part
        del said[:-2_000]


def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the process and what it has started; its group is its own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _obituary(returncode: int, said: bytes) -> ProcessDied:
    text = said.decode(errors="replace").strip()
    last = text.splitlines()[-1] if text else ""
    if any(words in text for words in _NO_MEMORY):
        return BeyondLimits("the run needed more memory than one may have")
    if returncode == -signal.SIGXCPU:
        return BeyondLimits("the run took more processor time than one may take")
    if returncode < 0:
        return ProcessDied(f"the computing process was ended by {signal.Signals(-returncode).name}")
    return ProcessDied(f"the computing process ended with {returncode}: {last[:300]}")


def _read_outcome(folder: Path) -> Outcome | None:
    file = folder / _OUTCOME
    try:
        if file.stat().st_size > _OUTCOME_BYTES_MAX:
            return None
        return msgspec.json.decode(file.read_bytes(), type=Outcome)
    except (OSError, msgspec.DecodeError):
        return None


class _Order(msgspec.Struct, frozen=True, kw_only=True):
    job: Job
    memory_bytes: int
    cpu_s: int


class _Teller:
    """Says how far the run is, now and then, with an estimate of the time left."""

    def __init__(self) -> None:
        self._began_s = self._told_s = time.monotonic()

    def __call__(self, share: float) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s < _TELL_S and share < 1.0:
            return
        self._told_s = now_s
        left_s = (now_s - self._began_s) * (1 - share) / share if share > 0 else None
        progress = Progress(share=min(max(share, 0.0), 1.0), remaining_s=left_s)
        sys.stdout.buffer.write(msgspec.json.encode(progress) + b"\n")
        sys.stdout.buffer.flush()


def _compute(job: Job, folder: Path) -> Outcome:
    """Run the job, with its result in `folder/result.zip`."""
    match job:
        case BacktestJob():
            return _backtest(job, folder)
        case OptimizeJob():
            return _optimize(job, folder)


def _backtest(job: BacktestJob, folder: Path) -> Outcome:
    from alphintra.research.backtest import backtest
    from alphintra.research.storing import save_result

    result = backtest(
        job.loaded(),
        job.data(),
        **job.arguments(),
        parameters=job.parameters,
        progress=_Teller(),
        time_limit_s=job.time_limit_s,
    )
    manifest = replace(
        result.manifest, strategy_id=job.strategy_id, strategy_version=job.strategy_version
    )
    result = replace(result, manifest=manifest)
    sha256 = save_result(result, folder / RESULT)
    return Outcome(status="SUCCEEDED", sha256=sha256, summary=result.to_dict(series=False))


def _optimize(job: OptimizeJob, folder: Path) -> Outcome:
    from alphintra.research.search import optimise
    from alphintra.research.storing import write_archive

    teller = _Teller()
    search = optimise(
        job.loaded(),
        job.data(),
        search=job.search or None,
        parameters=job.parameters,
        method=job.method,
        objective=job.objective,
        trials=job.trials,
        rules=job.rules,
        minimum_trades=job.minimum_trades,
        progress=lambda progress: teller(progress.share),
        # A sandbox has no processes to share the work with.
        compute=None if job.source is None else "inline",
        **job.arguments(),
    )
    page = search.report(folder / "search.html").read_text(encoding="utf-8")
    document = _finite(search.to_dict())
    sha256 = write_archive(
        folder / RESULT, {"search.json": json.dumps(document), "search.html": page}
    )
    document.pop("trials")
    return Outcome(status="SUCCEEDED", sha256=sha256, summary=document)


def _finite(value: Any) -> Any:
    """Return plain values without NaN and infinities, which JSON does not know."""
    if isinstance(value, dict):
        return {str(name): _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    return value


def main(folder: Path) -> None:
    """Run what the folder says."""
    # Without a parent there is nobody left who wants the result.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    order = msgspec.json.decode((folder / _JOB).read_bytes(), type=_Order)
    resource.setrlimit(resource.RLIMIT_AS, (order.memory_bytes, order.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (order.cpu_s, order.cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        if order.job.source is not None:
            raise CodeNotAllowed("users' code runs in the sandbox, and this is none")
        outcome = _compute(order.job, folder)
    except Problem as problem:
        outcome = Outcome(status="FAILED", code=problem.code, detail=problem.detail)
    half = folder / f"{_OUTCOME}.half"
    half.write_bytes(msgspec.json.encode(outcome))
    half.replace(folder / _OUTCOME)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
