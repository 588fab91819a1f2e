"""One run in a sandboxed process: bounded in memory and time, killed on demand, never half done.

What the process says is not believed: its frames are strict, its result is hashed and looked
through here before anybody reads it.
"""

import asyncio
import hashlib
import math
import os
import zipfile
from pathlib import Path
from typing import Final

import msgspec

from alphintra.platform.sandbox import (
    Child,
    ChildEnded,
    Ended,
    Limits,
    Reason,
    Sandbox,
    SandboxUnavailable,
    memory,
)
from alphintra.research.errors import BeyondLimits, ProcessDied
from alphintra.research.jobfile import Done, Job, OptimizeJob, Outcome, Progress
from alphintra.research.loading import library
from alphintra.research.search.compute import VARIABLE
from alphintra.research.unconfined import run_unconfined
from alphintra.research.watching import Tell, watch

RESULT: Final = "result.zip"
_ENTRY: Final = "alphintra.research.inside:serve"
_WARM_UP: Final = "alphintra.research.inside:warm_up"
_MIB: Final = 1024**2
#: Of the archive of one result; its memory is taken as it is written.
RESULT_BYTES_MAX: Final = 512 * _MIB
#: What an archive may unpack to: all of it, one column, one text.
_UNPACKED_BYTES_MAX: Final = 8 * 1024 * _MIB
_COLUMN_BYTES_MAX: Final = 1024 * _MIB
_TEXT_BYTES_MAX: Final = 64 * _MIB
_MEMBERS_MAX: Final = 20_000
_CODE_CHARACTERS_MAX, _DETAIL_CHARACTERS_MAX = 100, 2_000
#: Those of pyarrow and of the time limit, besides its own.
_THREADS: Final = 32
#: How JSON writes the one character that PostgreSQL has no place for.
_NUL: Final = rb"\u0000"
_PIECE_BYTES: Final = 4 * _MIB

_words: Final = msgspec.json.Decoder(Progress | Done)


def laboratory(isolation: str) -> Sandbox:
    """Return the sandbox that runs are computed in; it opens with the first run."""
    folders = {path.parent for path in library().values()}
    return Sandbox(preload=(_WARM_UP,), isolation=isolation, import_from=sorted(folders))


async def run_apart(
    sandbox: Sandbox,
    folder: Path,
    job: Job,
    *,
    tell: Tell,
    seconds_max: float,
    memory_bytes: int,
) -> Outcome:
    """Run a job in a process of its own, with its result in `folder/result.zip`.

    Where nothing isolates, strategies of the library run in a plain process, and users' code does
    not run. A search that is to be computed on Ray runs there.

    Args:
        tell: is told of the progress, at least twice a second; when it returns false the process
            is killed.
        seconds_max: of wall time.

    Raises:
        BeyondLimits: it needed more time or memory than it may have.
        ProcessDied: it ended without an outcome: killed, a crash.
    """
    result = folder / RESULT
    if job.source is None and isinstance(job, OptimizeJob) and _is_on_ray():
        outcome = await run_unconfined(
            result, job, tell=tell, seconds_max=seconds_max, memory_bytes=memory_bytes
        )
        return await asyncio.to_thread(_accepted, outcome, result)
    try:
        outcome = await _run_confined(
            sandbox, result, job, tell=tell, seconds_max=seconds_max, memory_bytes=memory_bytes
        )
    except SandboxUnavailable as refusal:
        if job.source is not None:
            return Outcome(status="FAILED", code=refusal.code, detail=refusal.detail)
        outcome = await run_unconfined(
            result, job, tell=tell, seconds_max=seconds_max, memory_bytes=memory_bytes
        )
    return await asyncio.to_thread(_accepted, outcome, result)


def _is_on_ray() -> bool:
    return os.environ.get(VARIABLE, "").startswith("ray")


async def _run_confined(
    sandbox: Sandbox,
    result: Path,
    job: Job,
    *,
    tell: Tell,
    seconds_max: float,
    memory_bytes: int,
) -> Outcome:
    limits = Limits(
        memory_bytes=memory_bytes,
        cpu_s=max(30, int(2 * seconds_max)),
        threads=_THREADS,
        niceness=5,
    )
    lent = memory(RESULT_BYTES_MAX, name="result")
    try:
        child = await sandbox.start(
            _ENTRY,
            limits=limits,
            readable=[Path(path) for path in dict.fromkeys(one.path for one in job.sources)],
            shared=(lent,),
            name=f"run of {job.strategy}",
        )
        try:
            done = await _listen(child, job, tell, seconds_max)
        finally:
            child.kill()
            await child.wait()
        if done is None:
            return Outcome(status="CANCELED")
        if done.outcome.status == "SUCCEEDED":
            await asyncio.to_thread(_keep, lent, done.result_bytes, result)
        return done.outcome
    finally:
        os.close(lent)


async def _listen(child: Child, job: Job, tell: Tell, seconds_max: float) -> Done | None:
    """Return its last word; None: nobody wants it any more."""
    done: list[Done] = []

    async def following() -> Progress | None:
        word = _decode(await child.receive())
        if isinstance(word, Done):
            done.append(word)
            return None
        return word

    try:
        await child.send(msgspec.json.encode(job))
        is_wanted = await watch(following, tell, seconds_max)
    except ChildEnded as error:
        raise _obituary(error.ended) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProcessDied(f"the computing process said what makes no sense: {error}") from error
    return done[0] if is_wanted else None


def _decode(frame: bytes) -> Progress | Done:
    """Return what a frame says.

    Raises:
        msgspec.DecodeError: nothing that a run may say.
    """
    word: Progress | Done = _words.decode(frame)
    if isinstance(word, Done):
        if word.outcome.status == "CANCELED":
            raise msgspec.ValidationError("a run does not cancel itself")
        return word
    if not 0 <= word.share <= 1 or not math.isfinite(word.remaining_s or 0):
        raise msgspec.ValidationError("a progress beyond the end")
    return word


def _obituary(ended: Ended) -> ProcessDied:
    match ended.reason:
        case Reason.OUT_OF_MEMORY:
            return BeyondLimits("the run needed more memory than one may have")
        case Reason.CPU_LIMIT:
            return BeyondLimits("the run took more processor time than one may take")
        case _:
            return ProcessDied(f"the computing process is gone: {ended.detail}")


def _keep(lent: int, length: int, result: Path) -> None:
    """Copy a result out of the lent memory.

    Raises:
        ProcessDied: there is none of that length.
    """
    if not 0 < length <= RESULT_BYTES_MAX:
        raise ProcessDied(f"the computing process has a result of {length} bytes")
    with result.open("wb") as target:
        for at in range(0, length, _PIECE_BYTES):
            target.write(os.pread(lent, min(_PIECE_BYTES, length - at), at))


def _accepted(outcome: Outcome, result: Path) -> Outcome:
    """Return the outcome as it is kept, with the hash of a result that can be read without harm.

    Raises:
        ProcessDied: the result is none, or cannot be kept.
    """
    if "\0" in f"{outcome.code}{outcome.detail}" or _NUL in msgspec.json.encode(outcome.summary):
        raise ProcessDied("the computing process said what no database takes")
    if outcome.status != "SUCCEEDED":
        return Outcome(
            status=outcome.status,
            code=(outcome.code or "")[:_CODE_CHARACTERS_MAX] or None,
            detail=(outcome.detail or "")[:_DETAIL_CHARACTERS_MAX] or None,
        )
    try:
        _look_through(result)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ProcessDied(f"the computing process left no result: {error}") from error
    with result.open("rb") as written:
        os.fsync(written.fileno())
        sha256 = hashlib.file_digest(written, "sha256").hexdigest()
    return Outcome(status="SUCCEEDED", sha256=sha256, summary=outcome.summary)


def _look_through(result: Path) -> None:
    """Find out whether reading an archive takes a bounded amount of memory.

    Raises:
        ValueError: it does not.
    """
    with zipfile.ZipFile(result) as archive:
        members = archive.infolist()
    if len(members) > _MEMBERS_MAX:
        raise ValueError(f"it has {len(members)} parts")
    for member in members:
        is_column = member.filename.endswith(".npy")
        if member.file_size > (_COLUMN_BYTES_MAX if is_column else _TEXT_BYTES_MAX):
            raise ValueError(f"{member.filename[:100]!r} has {member.file_size} bytes")
    if sum(member.file_size for member in members) > _UNPACKED_BYTES_MAX:
        raise ValueError("it unpacks to too much")
