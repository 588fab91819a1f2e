"""Users' code in processes that can hurt nobody: no network, no files to write, no processes of
their own, bounded memory and time. Where that cannot be had, the code is refused.
"""

from alphintra.platform.sandbox.channel import Channel
from alphintra.platform.sandbox.child import Child
from alphintra.platform.sandbox.errors import ChildEnded, ChildTimedOut, SandboxUnavailable
from alphintra.platform.sandbox.limits import FRAME_BYTES_MAX, Ended, Limits, Reason
from alphintra.platform.sandbox.sandbox import Isolation, Mode, Sandbox, memory, seal
from alphintra.platform.sandbox.state import State, state

__all__ = [
    "FRAME_BYTES_MAX",
    "Channel",
    "Child",
    "ChildEnded",
    "ChildTimedOut",
    "Ended",
    "Isolation",
    "Limits",
    "Mode",
    "Reason",
    "Sandbox",
    "SandboxUnavailable",
    "State",
    "memory",
    "seal",
    "state",
]
