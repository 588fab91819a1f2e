"""Where users' text is read and run: a sandboxed process for each question, and a turn for each.

One room serves a whole server process. It opens with the first question.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from alphintra.platform.sandbox import (
    Child,
    ChildEnded,
    ChildTimedOut,
    Ended,
    Limits,
    Reason,
    Sandbox,
)
from alphintra.platform.security import Principal
from alphintra.strategies.code.errors import (
    CodeBrokeOff,
    CodeOutOfMemory,
    CodeOutOfTime,
    CodeServiceBusy,
)

#: Processes at a time, of everybody and of one user; and how long a question waits for its turn.
PROCESSES_MAX: Final = 4
PROCESSES_OF_USER_MAX: Final = 2
WAIT_S: Final = 5.0
QUEUE_MAX: Final = 50
_END_S: Final = 2.0


@dataclass(slots=True)
class Process:
    """One sandboxed process, with its ends told as refusals."""

    child: Child

    async def ask(self, body: bytes, *, timeout_s: float) -> bytes:
        """Send a question and return the answer.

        Raises:
            CodeOutOfTime, CodeOutOfMemory, CodeBrokeOff: there is none.
        """
        try:
            await self.child.send(body, timeout_s=timeout_s)
        except ChildTimedOut as error:
            raise CodeOutOfTime(f"it took longer than {timeout_s:g} s") from error
        except ChildEnded as error:
            raise refusal_of(error.ended) from error
        return await self.answer(timeout_s=timeout_s)

    async def answer(self, *, timeout_s: float) -> bytes:
        """Return what the process says next; as `ask`."""
        try:
            return await self.child.receive(timeout_s=timeout_s)
        except ChildTimedOut as error:
            raise CodeOutOfTime(f"it took longer than {timeout_s:g} s") from error
        except ChildEnded as error:
            raise refusal_of(error.ended) from error


def refusal_of(ended: Ended) -> CodeOutOfTime | CodeOutOfMemory | CodeBrokeOff:
    """Return how a process ended as what its user is told."""
    match ended.reason:
        case Reason.OUT_OF_MEMORY:
            return CodeOutOfMemory("it needed more memory than it may have")
        case Reason.CPU_LIMIT:
            return CodeOutOfTime("it took more processor time than it may take")
        case _:
            return CodeBrokeOff(f"the process ended: {ended.detail or ended.reason}")


class Room:
    """The sandbox of a server process, opened when it is first needed."""

    def __init__(self, preload: Sequence[str]) -> None:
        self._sandbox = Sandbox(preload=tuple(preload))
        self._turns = asyncio.Semaphore(PROCESSES_MAX)
        self._waiting = 0
        self._of_user: Counter[UUID] = Counter()

    @asynccontextmanager
    async def process(
        self,
        caller: Principal,
        entry: str,
        *,
        limits: Limits,
        readable: Sequence[Path] = (),
    ) -> AsyncIterator[Process]:
        """Start a process for a caller; it ends with the block.

        Raises:
            CodeServiceBusy: too many are at work.
            SandboxUnavailable: nothing isolates processes on this host.
        """
        async with self._turn(caller):
            child = await self._sandbox.start(
                entry, limits=limits, readable=tuple(readable), name="code"
            )
            try:
                yield Process(child)
            finally:
                child.kill()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_END_S):
                        await child.wait()

    async def open(self) -> None:
        """Open the sandbox ahead of the first question.

        Raises:
            SandboxUnavailable: nothing isolates processes on this host.
        """
        await self._sandbox.open()

    async def close(self) -> None:
        """End all processes."""
        await self._sandbox.close()

    @asynccontextmanager
    async def _turn(self, caller: Principal) -> AsyncIterator[None]:
        """Wait for a turn; who has as many as one may have gets none."""
        if self._of_user[caller.user_id] >= PROCESSES_OF_USER_MAX or self._waiting >= QUEUE_MAX:
            raise CodeServiceBusy("too much of your code is at work", retry_after_s=1)
        self._of_user[caller.user_id] += 1
        try:
            self._waiting += 1
            try:
                async with asyncio.timeout(WAIT_S):
                    await self._turns.acquire()
            except TimeoutError:
                raise CodeServiceBusy("everybody's code is at work", retry_after_s=2) from None
            finally:
                self._waiting -= 1
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._of_user[caller.user_id] -= 1
            if not self._of_user[caller.user_id]:
                del self._of_user[caller.user_id]
