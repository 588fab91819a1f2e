"""What runs in the sandboxed process of an upload: one file, then the end.

What it says goes through the channel; the numbers it read go into memory that was lent, column
after column.
"""

import mmap
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta

from alphintra.market.datasets.actions import Action
from alphintra.market.datasets.findings import QualityReport
from alphintra.market.datasets.options import UploadOptions
from alphintra.market.datasets.reading import Layout
from alphintra.market.handles import OpenFile
from alphintra.platform.sandbox import Channel

#: What the file is called in what is said of it.
_NAME: Final = "upload"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to take a file as; it comes as `channel.readable[0]`."""

    name: str
    options: UploadOptions
    now_ns: int


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a file. With a layout it was taken, and its columns are in the lent memory:
    `ts`, then those of its kind, each over all symbols.
    """

    report: QualityReport
    layout: Layout | None = None
    actions: Annotated[tuple[Action, ...], Meta(max_length=10_000)] = ()
    adjustment: Annotated[str, Meta(max_length=20)] = "unknown"


def serve(channel: Channel) -> None:
    """Receive a job, read its file, say what came of it."""
    import pyarrow as pa

    from alphintra.market.datasets.parsing import parse_file

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    order = channel.receive()
    if order is None:
        return
    job = msgspec.json.decode(order, type=Job)
    parsed = parse_file(
        OpenFile(channel.readable[0], _NAME),
        name=job.name,
        options=job.options,
        now_ns=job.now_ns,
    )
    layout = None
    if (content := parsed.content) is not None:
        layout = content.layout
        _lay_out(channel.shared[0], [content.column(name) for name in content.names])
    told = Read(
        report=parsed.report, layout=layout, actions=parsed.actions, adjustment=parsed.adjustment
    )
    channel.send(msgspec.json.encode(told))


def _lay_out(
    memory: mmap.mmap, columns: list[np.ndarray[tuple[int], np.dtype[np.generic]]]
) -> None:
    at = 0
    for column in columns:
        target = np.frombuffer(memory, dtype=column.dtype, count=len(column), offset=at)
        target[:] = column
        at += column.nbytes


class _NoPandas(MetaPathFinder):
    """With the first column of a process pyarrow loads pandas, if it is there, for nothing."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("files are read without it")


def warm_up() -> None:
    """Import what reading files needs, once for all children."""
    sys.meta_path.insert(0, _NoPandas())
    import pyarrow.compute
    import pyarrow.csv
    import pyarrow.parquet  # noqa: F401

    from alphintra.market.datasets import parsing  # noqa: F401
