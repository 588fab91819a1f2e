"""Whether users' code can run on this host, for whoever asks after our health."""

import asyncio

import msgspec

from alphintra.platform.sandbox.errors import SandboxUnavailable
from alphintra.platform.sandbox.sandbox import Isolation, Mode, Sandbox, isolation_of


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What isolates users' code here; `reason` says why nothing does."""

    mode: Mode
    reason: str = ""


_found: dict[Isolation, State] = {}
_asking = asyncio.Lock()


async def state(isolation: Isolation | str | None = None) -> State:
    """Try it once in the life of this process, and remember.

    Args:
        isolation: what to isolate with; None: what the settings say.
    """
    wanted = isolation_of(isolation)
    async with _asking:
        if wanted not in _found:
            _found[wanted] = await _try(wanted)
        return _found[wanted]


async def _try(isolation: Isolation) -> State:
    box = Sandbox(isolation=isolation)
    try:
        await box.open()
        return State(mode=box.mode)
    except SandboxUnavailable as refusal:
        return State(mode=Mode.NONE, reason=refusal.detail)
    finally:
        await box.close()
