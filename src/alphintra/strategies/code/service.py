"""Check, format, complete, compare: what an editor asks about a text, answered in the sandbox."""

from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec

from alphintra.platform.sandbox import Limits
from alphintra.platform.security import Principal
from alphintra.strategies.code.errors import CodeBrokeOff, CodeOutOfTime
from alphintra.strategies.code.frames import (
    Answer,
    Asked,
    Check,
    Checked,
    Compare,
    Compared,
    Complete,
    Completed,
    Completion,
    Declared,
    Finding,
    Format,
    Formatted,
    GraphRead,
    Loaded,
    ReadGraph,
    answer_of,
    encode,
)
from alphintra.strategies.code.room import Process, Room
from alphintra.strategies.errors import CodeFaulty

#: What the nursery imports, and what runs in each process.
PRELOAD: Final = "alphintra.strategies.code.inside"
_ENTRY: Final = f"{PRELOAD}:serve"
READ_S: Final = 5.0
#: The process interrupts the text itself before this, and knows in which line.
LOAD_S: Final = 5.0
_LIMITS: Final = Limits(memory_bytes=1024**3, cpu_s=12, output_bytes=64 * 1024)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCode:
    """What is wrong with a text; when nothing is, what it declares."""

    findings: list[Finding]
    name: str = ""
    is_vectorised: bool = False
    declared: dict[str, Declared] = field(default_factory=dict)


class CodeService:
    """See the module."""

    def __init__(self, room: Room) -> None:
        self._room = room

    async def check(self, caller: Principal, source: str) -> CheckedCode:
        """Read a text, and when nothing is wrong with it run it once as a module.

        Raises:
            CodeOutOfTime, CodeOutOfMemory, CodeBrokeOff: reading it went wrong.
            CodeServiceBusy, SandboxUnavailable: it was not read.
        """
        async with self._room.process(caller, _ENTRY, limits=_LIMITS) as process:
            read = await _ask(process, Check(source=source), Checked)
            if not read.goes_on:
                return CheckedCode(findings=read.findings)
            try:
                loaded = _typed(await process.answer(timeout_s=LOAD_S), Loaded)
            except (CodeOutOfTime, CodeBrokeOff) as error:
                ended = Finding(code=error.code, message=f"running the code: {error.detail}")
                return CheckedCode(findings=[*read.findings, ended])
        if loaded.finding is not None:
            return CheckedCode(findings=[*read.findings, loaded.finding])
        return CheckedCode(
            findings=read.findings,
            name=loaded.name,
            is_vectorised=loaded.is_vectorised,
            declared=loaded.declared,
        )

    async def format(self, caller: Principal, source: str, *, line_length: int = 100) -> str:
        """Return a text in the usual style.

        Raises:
            CodeFaulty: it is not Python.
            As `check`.
        """
        question = Format(source=source, line_length=line_length)
        answer = await self._asked(caller, question, Formatted)
        if answer.finding is not None:
            raise _faulty(answer.finding)
        return answer.source

    async def complete(
        self, caller: Principal, source: str, *, line: int, column: int
    ) -> list[Completion]:
        """Return what can stand at a place; the line counts from 1, the column from 0.

        Raises:
            As `check`.
        """
        question = Complete(source=source, line=line, column=column)
        return (await self._asked(caller, question, Completed)).items

    async def difference(
        self, caller: Principal, before: str, after: str, *, names: tuple[str, str]
    ) -> str:
        """Return a unified diff of two texts.

        Raises:
            As `check`.
        """
        if before == after:
            return ""
        question = Compare(before=before, after=after, names=names)
        return (await self._asked(caller, question, Compared)).text

    async def graph_of(self, caller: Principal, source: str) -> dict[str, object]:
        """Return the blocks that a text means.

        Raises:
            CodeFaulty: it says what blocks cannot say.
            As `check`.
        """
        answer = await self._asked(caller, ReadGraph(source=source), GraphRead)
        if answer.finding is not None:
            raise _faulty(answer.finding)
        return answer.graph

    async def _asked(self, caller: Principal, question: Asked, kind: type[T]) -> T:
        async with self._room.process(caller, _ENTRY, limits=_LIMITS) as process:
            return await _ask(process, question, kind)


async def _ask(process: Process, question: Asked, kind: type[T]) -> T:
    return _typed(await process.ask(encode(question), timeout_s=READ_S), kind)


def _typed(body: bytes, kind: type[T]) -> T:
    try:
        answer: Answer = answer_of(body)
    except msgspec.DecodeError as error:
        raise CodeBrokeOff("the process said what makes no sense") from error
    if not isinstance(answer, kind):
        raise CodeBrokeOff("the process answered another question")
    return answer


def _faulty(finding: Finding) -> CodeFaulty:
    return CodeFaulty(
        f"line {finding.line}: {finding.message}", findings=[msgspec.to_builtins(finding)]
    )
