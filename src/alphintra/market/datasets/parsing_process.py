"""Parsing in a process of its own: whoever sends a bomb or a file that breaks a parser breaks this.

    python -I -m alphintra.market.datasets.parsing_process FOLDER

The folder holds `upload` and `job.json`; the process leaves `result.json` and, when the file was
taken, `data.parquet`. Its memory and CPU time grow with what was sent, so that a small file cannot
ask for much.
"""

import asyncio
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog

from alphintra.market.datasets.actions import Action
from alphintra.market.datasets.confinement import confine_early, confine_late
from alphintra.market.datasets.findings import Findings, QualityReport
from alphintra.market.datasets.options import UploadOptions

UPLOAD: Final = "upload"
DATA: Final = "data.parquet"
_JOB: Final = "job.json"
_RESULT: Final = "result.json"
_RESULT_BYTES_MAX: Final = 4 * 1024**2
_MIB: Final = 1024**2
#: What a small upload may have, and what each byte of it adds.
_MEMORY_BYTES, _MEMORY_PER_BYTE, _MEMORY_MAX = 144 * _MIB, 5, 1024 * _MIB
#: Parquet and zip hold more in a byte than text does.
_MEMORY_PER_PACKED_BYTE: Final = 20
_CPU_S, _CPU_PER_BYTE = 6, 0.25 / _MIB
#: A process waits for its turn on a busy machine; what it may compute is bounded by itself.
_WALL_PER_CPU: Final = 4.0
_FILE_BYTES, _FILE_PER_BYTE, _FILE_MAX = 64 * _MIB, 100, 1024 * _MIB

log = structlog.get_logger(__name__)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the dataset that a file became."""

    sha256: str
    kind: str
    symbols: tuple[str, ...]
    timeframe: str
    step_ns: int
    rows: int
    first_ns: int
    last_ns: int
    bytes: int


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a file; with facts when it was taken and `data.parquet` is there."""

    report: QualityReport
    facts: Facts | None = None
    actions: tuple[Action, ...] = ()
    adjustment: str = "unknown"


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    options: UploadOptions
    now_ns: int


async def check_apart(folder: Path, *, name: str, options: UploadOptions, now_ns: int) -> Checked:
    """Parse `folder/upload` in a process of its own and return what came of it."""
    size = (folder / UPLOAD).stat().st_size
    job = _Job(name=name[-200:], options=options, now_ns=now_ns)
    (folder / _JOB).write_bytes(msgspec.json.encode(job))
    cpu_s = _CPU_S + size * _CPU_PER_BYTE
    began_s = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-m",
        "alphintra.market.datasets.parsing_process",
        str(folder),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        # Nothing of ours: no secrets, no addresses. One arena and one thread keep memory small.
        env={
            "LANG": "C.UTF-8",
            "MALLOC_ARENA_MAX": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "ARROW_DEFAULT_MEMORY_POOL": "system",
        },
    )
    in_time = True
    said = b""
    try:
        _, said = await asyncio.wait_for(process.communicate(), cpu_s * _WALL_PER_CPU)
    except TimeoutError:
        in_time = False
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    checked = _result(folder) if in_time and process.returncode == 0 else None
    if checked is None:
        log.warning(
            "upload_beyond_limits",
            bytes=size,
            returncode=process.returncode,
            seconds=round(time.monotonic() - began_s, 2),
            error=said.decode(errors="replace")[-500:],
        )
        return _beyond_limits()
    return checked


def _beyond_limits() -> Checked:
    findings = Findings()
    findings.refuse(
        "beyond_limits",
        "reading the file takes more time or memory than a file of its size may take",
        "It may be damaged, or unpack to far more than it weighs. Send plain CSV or Parquet.",
    )
    return Checked(report=findings.report())


def _result(folder: Path) -> Checked | None:
    file = folder / _RESULT
    try:
        if file.stat().st_size > _RESULT_BYTES_MAX:
            return None
        return msgspec.json.decode(file.read_bytes(), type=Checked)
    except (OSError, msgspec.DecodeError):
        return None


def check_here(folder: Path, *, name: str, options: UploadOptions, now_ns: int) -> Checked:
    """Parse `folder/upload` in this process: for files that are our own."""
    from alphintra.market.datasets.content import write_parquet
    from alphintra.market.datasets.deriving import facts_of
    from alphintra.market.datasets.parsing import parse_file

    parsed = parse_file(folder / UPLOAD, name=name, options=options, now_ns=now_ns, folder=folder)
    if (content := parsed.content) is None:
        return Checked(report=parsed.report)
    write_parquet(content, folder / DATA)
    return Checked(
        report=parsed.report,
        facts=facts_of(content, folder / DATA),
        actions=parsed.actions,
        adjustment=parsed.adjustment,
    )


def _memory_bytes(upload: Path, size: int) -> int:
    with upload.open("rb") as file:
        is_packed = file.read(2) in {b"PA", b"PK"}
    each = _MEMORY_PER_PACKED_BYTE if is_packed else _MEMORY_PER_BYTE
    return min(_MEMORY_MAX, _MEMORY_BYTES + size * each)


def main(folder: Path) -> int:
    """Be the process."""
    size = (folder / UPLOAD).stat().st_size
    confine_early(
        cpu_s=int(_CPU_S + size * _CPU_PER_BYTE),
        file_bytes=min(_FILE_MAX, _FILE_BYTES + size * _FILE_PER_BYTE),
    )
    job = msgspec.json.decode((folder / _JOB).read_bytes(), type=_Job)
    # Imported before the limits on memory and threads, which are for the file alone.
    import pyarrow as pa

    from alphintra.market.datasets import deriving, parsing  # noqa: F401

    pa.set_cpu_count(1)
    confine_late(memory_bytes=_memory_bytes(folder / UPLOAD, size))
    try:
        checked = check_here(folder, name=job.name, options=job.options, now_ns=job.now_ns)
    except (MemoryError, OSError):
        return 1
    (folder / _RESULT).write_bytes(msgspec.json.encode(checked))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
