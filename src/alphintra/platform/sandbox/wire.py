"""What the parent and its nursery say to each other: one message per datagram, in MessagePack."""

from typing import Final

import msgspec

from alphintra.platform.sandbox.limits import Limits

MESSAGE_BYTES_MAX: Final = 64 * 1024
#: Descriptors with one message; the kernel takes 253.
DESCRIPTORS_MAX: Final = 200


class Open(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """First of all: what to import, what may be read, and what stands around the nursery."""

    preload: tuple[str, ...]
    import_from: tuple[str, ...]
    readable: tuple[str, ...]
    has_bubblewrap: bool


class Start(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Fork a child. With it come its channel, its output, the readable files, the shared memory."""

    id: int
    entry: str
    limits: Limits
    readable: int
    shared_bytes: tuple[int, ...]


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The nursery is ready: a child of its own has tried the walls.

    `compiled` functions were in no cache.
    """

    landlock: int
    compiled: int


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The nursery cannot isolate anything, or cannot import what it should, and ends."""

    detail: str


class Started(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A child is there; with it comes a descriptor of the process. Without: there is none."""

    id: int


class Gone(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A child is no more. `note` is why the nursery ended it, if it did."""

    id: int
    exit_code: int | None
    signal: int | None
    cpu_s: float
    memory_bytes_max: int
    note: str = ""


ToNursery = Open | Start
FromNursery = Opened | Refused | Started | Gone
to_nursery: Final = msgspec.msgpack.Decoder(ToNursery)
from_nursery: Final = msgspec.msgpack.Decoder(FromNursery)
encode: Final = msgspec.msgpack.Encoder().encode
