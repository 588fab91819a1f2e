"""Whether users' code and uploads can be isolated here, for whoever asks after our health."""

import asyncio
import time
from typing import Final

import msgspec

from alphintra.platform.sandbox.errors import SandboxUnavailable
from alphintra.platform.sandbox.sandbox import Isolation, Mode, Sandbox, isolation_of


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What isolates users' code and uploads here; `reason` says why nothing does."""

    mode: Mode
    reason: str = ""


_NOTHING: Final = State(mode=Mode.NONE)
#: What does not work is tried again after this long: a machine may have been too busy.
_AGAIN_S: Final = 60.0
_found: dict[Isolation, tuple[float, State]] = {}
_asking = asyncio.Lock()


async def state(isolation: Isolation | str | None = None) -> State:
    """Try it and remember: what works for ever, what does not for a minute.

    Args:
        isolation: what to isolate with; None: what the settings say.
    """
    wanted = isolation_of(isolation)
    async with _asking:
        tried_s, found = _found.get(wanted, (-_AGAIN_S, _NOTHING))
        if found.mode is Mode.NONE and time.monotonic() - tried_s >= _AGAIN_S:
            found = await _try(wanted)
            _found[wanted] = time.monotonic(), found
        return found


async def _try(isolation: Isolation) -> State:
    box = Sandbox(isolation=isolation)
    try:
        await box.open()
        return State(mode=box.mode)
    except SandboxUnavailable as refusal:
        return State(mode=Mode.NONE, reason=refusal.detail)
    finally:
        await box.close()
