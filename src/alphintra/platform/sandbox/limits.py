"""What a child may use, and how one ended."""

from enum import StrEnum
from typing import Final

import msgspec

MIB: Final = 1024**2
#: The most that one frame may hold, in either direction.
FRAME_BYTES_MAX: Final = 16 * MIB


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one child may use.

    Args:
        memory_bytes: on top of what the nursery has preloaded, which all children share.
        cpu_s: of processor time in its whole life; None for children that live on: whoever calls
            them bounds each call.
        output_bytes: of its standard output and error that are kept, the last ones.
        frame_bytes: the most that one frame from the child may hold.
        threads: at a time, the first one included.
        files: open at a time.
        niceness: added to the parent's; 10 for work that nobody waits for.
    """

    memory_bytes: int = 512 * MIB
    cpu_s: int | None = None
    output_bytes: int = 64 * 1024
    frame_bytes: int = FRAME_BYTES_MAX
    threads: int = 8
    files: int = 64
    niceness: int = 0


class Reason(StrEnum):
    """Why a child is no more."""

    EXITED = "EXITED"
    KILLED = "KILLED"
    CRASHED = "CRASHED"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    CPU_LIMIT = "CPU_LIMIT"
    BROKE_RULES = "BROKE_RULES"


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a child ended.

    `exit_code` and `signal` are the kernel's word; one of them is None. `cpu_s` and
    `memory_bytes_max` (resident, with what it shares) are what it used.
    """

    reason: Reason
    detail: str
    exit_code: int | None = None
    signal: int | None = None
    cpu_s: float = 0.0
    memory_bytes_max: int = 0
