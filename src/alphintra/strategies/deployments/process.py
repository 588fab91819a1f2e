"""The process of one deployed strategy, as its runner speaks to it. Nothing it says is believed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from alphintra.platform.sandbox import Child, ChildEnded, ChildTimedOut, Limits, Sandbox
from alphintra.strategies.live import frames

ENTRY: Final = "alphintra.strategies.live.inside:serve"
PRELOAD: Final = ("alphintra.strategies.live.inside:ready",)
#: To load the strategy, and to live through one frame of the past: ten milliseconds a candle.
BEGIN_S: Final = 30.0
HISTORY_S: Final = 20.0
#: Frames of the past that are under way to the process at a time.
AHEAD: Final = 32
_MIB: Final = 1024**2
_OUTPUT_BYTES: Final = 16 * 1024
_SMALL_BYTES: Final = 4 * 1024


class ProcessDied(Exception):
    """The strategy's process is gone; `output` is the last that it printed."""

    def __init__(self, code: str, detail: str, output: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.output = output


class StrategyFaulty(Exception):
    """The strategy has raised; another try would do the same."""

    def __init__(self, fault: frames.Fault, output: str) -> None:
        super().__init__(fault.detail)
        self.fault = fault
        self.output = output


@dataclass(slots=True)
class StrategyProcess:
    """See the module."""

    child: Child
    frame_s: float

    @classmethod
    async def start(
        cls, sandbox: Sandbox, *, name: str, memory_mb: int, frame_s: float
    ) -> "StrategyProcess":
        """Start a process that waits for its strategy.

        Raises:
            SandboxUnavailable: nothing isolates on this host.
        """
        limits = Limits(memory_bytes=memory_mb * _MIB, output_bytes=_OUTPUT_BYTES)
        return cls(await sandbox.start(ENTRY, limits=limits, name=name), frame_s)

    async def begin(self, begin: frames.Begin) -> frames.Begun:
        """Load the strategy.

        Raises:
            StrategyFaulty: it cannot be loaded.
            ProcessDied: see there.
        """
        reply = await self._ask(frames.encode(begin), BEGIN_S)
        if not isinstance(reply, frames.Begun):
            raise self._broke(f"it answered Begin with {type(reply).__name__}")
        return reply

    async def tell(self, body: bytes, *, is_past: bool = False) -> frames.Decided | frames.Fault:
        """Tell one frame and return what came of it; a `Fault` only where life goes on.

        Raises:
            StrategyFaulty: the strategy raised.
            ProcessDied: see there.
        """
        reply = await self._ask(body, HISTORY_S if is_past else self.frame_s)
        if isinstance(reply, frames.Begun):
            raise self._broke("it began twice")
        return reply

    async def relive(self, bodies: Sequence[bytes]) -> list[frames.Decided | frames.Fault]:
        """Tell frames of the past, several at a time, and return what came of each.

        Raises:
            StrategyFaulty, ProcessDied: see `tell`.
        """
        replies: list[frames.Decided | frames.Fault] = []
        sent = 0
        while len(replies) < len(bodies):
            try:
                while sent < len(bodies) and sent - len(replies) < _ahead(bodies[sent]):
                    await self.child.send(bodies[sent], timeout_s=HISTORY_S)
                    sent += 1
                raw = await self.child.receive(timeout_s=HISTORY_S)
            except (ChildEnded, ChildTimedOut) as error:
                raise self._died(error) from error
            reply = self._read(raw)
            if isinstance(reply, frames.Begun):
                raise self._broke("it began twice")
            replies.append(reply)
        return replies

    def check(self) -> None:
        """See whether it lives, without telling it anything.

        Raises:
            ProcessDied: it does not.
        """
        if (ended := self.child.ended) is not None:
            code = f"process_{ended.reason.lower()}"
            raise ProcessDied(code, ended.detail, self.child.output())

    async def stop(self) -> None:
        """Let the strategy end, or end it."""
        try:
            await self._ask(frames.encode(frames.Stop()), self.frame_s)
        except (ProcessDied, StrategyFaulty):
            return
        finally:
            self.child.kill()

    async def _ask(self, body: bytes, timeout_s: float) -> frames.FromChild:
        try:
            raw = await self.child.call(body, timeout_s=timeout_s)
        except (ChildEnded, ChildTimedOut) as error:
            raise self._died(error) from error
        return self._read(raw)

    def _read(self, raw: bytes) -> frames.FromChild:
        try:
            reply = frames.from_child(raw)
        except msgspec.DecodeError as error:
            raise self._broke(f"its answer is none: {error}") from error
        if isinstance(reply, frames.Fault) and not reply.goes_on:
            self.child.kill()
            raise StrategyFaulty(reply, self.child.output())
        return reply

    def _died(self, error: ChildEnded | ChildTimedOut) -> ProcessDied:
        ended = error.ended
        code, detail = ended.reason.lower(), ended.detail
        if isinstance(error, ChildTimedOut):
            code = "too_slow"
            detail += ": a loop without an end, or too much work for one event"
        return ProcessDied(f"process_{code}", detail, self.child.output())

    def _broke(self, detail: str) -> ProcessDied:
        self.child.reject(detail)
        return ProcessDied("process_broke_rules", detail, self.child.output())


def _ahead(body: bytes) -> int:
    """Return how many answers may be missing as this is sent: of large frames one at a time, so
    that neither side waits for the other to read.
    """
    return AHEAD if len(body) <= _SMALL_BYTES else 1
