"""Reading users' files in the sandbox: whoever sends a bomb or a file that breaks a parser breaks
a process that has nothing, and nobody else's.

Memory and time of the process grow with what was sent, so that a small file cannot ask for much.
What it says is not believed: numbers are taken from it, and judged, hashed and written here.
"""

import asyncio
import mmap
import os
from pathlib import Path
from typing import Final

import msgspec
import structlog

from alphintra.market.datasets.findings import Findings
from alphintra.market.datasets.inside import Job, Read
from alphintra.market.datasets.options import UploadOptions
from alphintra.market.datasets.parsing import parse_file
from alphintra.market.datasets.taking import DATA, LENT_BYTES, UPLOAD, Checked, take, take_over
from alphintra.platform.sandbox import (
    ChildEnded,
    Ended,
    Isolation,
    Limits,
    Reason,
    Sandbox,
    SandboxUnavailable,
    memory,
)

_ENTRY: Final = "alphintra.market.datasets.inside:serve"
_WARM_UP: Final = "alphintra.market.datasets.inside:warm_up"
_READ_BYTES_MAX: Final = 4 * 1024**2
_MIB: Final = 1024**2
#: What a small upload may have, and what each byte of it adds.
_MEMORY_BYTES, _MEMORY_PER_BYTE, _MEMORY_MAX = 144 * _MIB, 5, 1024 * _MIB
#: Parquet and zip hold more in a byte than text does.
_MEMORY_PER_PACKED_BYTE: Final = 20
_CPU_S, _CPU_PER_BYTE = 6, 0.25 / _MIB
#: A process waits for its turn on a busy machine; what it may compute is bounded by itself.
_WALL_PER_CPU: Final = 4.0

log = structlog.get_logger(__name__)


def reading_room(isolation: Isolation | str | None = None) -> Sandbox:
    """Return the sandbox that files are read in; it opens with the first one.

    Args:
        isolation: what to isolate with; None: what the settings say.
    """
    return Sandbox(preload=(_WARM_UP,), isolation=isolation)


async def check_apart(
    folder: Path,
    *,
    name: str,
    options: UploadOptions,
    now_ns: int,
    sandbox: Sandbox | None = None,
) -> Checked:
    """Parse `folder/upload` in a process that can do nothing else, and return what came of it.

    Args:
        sandbox: a `reading_room`; None: one for this file alone.

    Raises:
        SandboxUnavailable: nothing isolates on this host, so nothing is read.
    """
    if sandbox is None:
        async with reading_room() as opened:
            return await check_apart(
                folder, name=name, options=options, now_ns=now_ns, sandbox=opened
            )
    job = Job(name=name[-200:], options=options, now_ns=now_ns)
    lent = memory(LENT_BYTES, name="columns")
    try:
        read = await _read(sandbox, folder / UPLOAD, job, lent)
        # The process is gone: nobody writes to this memory any more.
        columns = mmap.mmap(lent, 0, access=mmap.ACCESS_READ)
    except ChildEnded as error:
        return _not_read(error.ended)
    except (msgspec.DecodeError, RecursionError) as error:
        return _not_believed(error)
    finally:
        os.close(lent)
    try:
        return await asyncio.to_thread(take_over, read, columns, folder / DATA)
    except ValueError as error:
        return _not_believed(error)


async def _read(sandbox: Sandbox, upload: Path, job: Job, lent: int) -> Read:
    """Return what a process says of a file, when it is gone.

    Raises:
        ChildEnded: it said nothing.
        msgspec.DecodeError: it said what makes no sense.
        SandboxUnavailable: see `check_apart`.
    """
    limits, wall_s = _limits(upload)
    child = await sandbox.start(
        _ENTRY, limits=limits, readable=(upload,), shared=(lent,), name="upload"
    )
    try:
        word = await child.call(msgspec.json.encode(job), timeout_s=wall_s)
    finally:
        child.kill()
        ended = await child.wait()
    if _is_unknown(ended):
        raise ChildEnded(ended)  # it may still be there, and write
    return msgspec.json.decode(word, type=Read)


def _limits(upload: Path) -> tuple[Limits, float]:
    """Return what the process may use, and how many seconds it has in all."""
    size = upload.stat().st_size
    with upload.open("rb") as file:
        is_packed = file.read(2) in {b"PA", b"PK"}
    each = _MEMORY_PER_PACKED_BYTE if is_packed else _MEMORY_PER_BYTE
    cpu_s = int(_CPU_S + size * _CPU_PER_BYTE)
    limits = Limits(
        memory_bytes=min(_MEMORY_MAX, _MEMORY_BYTES + size * each),
        cpu_s=cpu_s,
        niceness=5,
        frame_bytes=_READ_BYTES_MAX,
    )
    return limits, cpu_s * _WALL_PER_CPU


def _is_unknown(ended: Ended) -> bool:
    """Whether the nursery was lost, and with it what became of the process."""
    return ended.exit_code is None and ended.signal is None


def _not_read(ended: Ended) -> Checked:
    """Return the verdict on a file that ended the process that was reading it.

    Raises:
        SandboxUnavailable: it was not the file.
    """
    log.warning(
        "upload_not_read", reason=ended.reason, detail=ended.detail, seconds=round(ended.cpu_s, 2)
    )
    if _is_unknown(ended):
        raise SandboxUnavailable("the process that reads files is gone; send it again")
    if ended.reason in {Reason.CRASHED, Reason.EXITED}:
        return _harmful()
    return _beyond_limits()


def _not_believed(error: Exception) -> Checked:
    log.warning("upload_not_believed", error=str(error)[:500])
    return _harmful()


def _harmful() -> Checked:
    return _beyond_limits(
        "the file ends the process that reads it",
        "It is damaged, or made to do harm. Write it again, as plain CSV or Parquet.",
    )


def _beyond_limits(
    reason: str = "reading the file takes more time or memory than a file of its size may take",
    advice: str = (
        "It may be damaged, or unpack to far more than it weighs. Send plain CSV or Parquet."
    ),
) -> Checked:
    findings = Findings()
    findings.refuse("beyond_limits", reason, advice)
    return Checked(report=findings.report())


def check_here(folder: Path, *, name: str, options: UploadOptions, now_ns: int) -> Checked:
    """Parse `folder/upload` in this process: for files that are our own."""
    parsed = parse_file(folder / UPLOAD, name=name, options=options, now_ns=now_ns)
    if parsed.content is None:
        return Checked(report=parsed.report)
    return take(
        parsed.content, folder / DATA,
        report=parsed.report, actions=parsed.actions, adjustment=parsed.adjustment,
    )  # fmt: skip
