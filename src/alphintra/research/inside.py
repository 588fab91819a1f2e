"""What runs in the sandboxed process of a backtest or a search over HTTP: one job, then the end."""

import io
import mmap
from typing import Final

import msgspec

from alphintra.core.errors import Problem
from alphintra.platform.sandbox import Channel
from alphintra.research.computing import compute
from alphintra.research.errors import BeyondLimits
from alphintra.research.jobfile import Done, Job, Outcome, Progress
from alphintra.sdk.randomness import seed_globals

_jobs: Final = msgspec.json.Decoder(Job)


def serve(channel: Channel) -> None:
    """Receive a job, whose sources are `channel.readable`; tell its progress and its end.

    The result goes to `channel.shared[0]`.
    """
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    order = channel.receive()
    if order is None:
        return
    job = _jobs.decode(order)
    seed_globals(job.seed)
    paths = dict.fromkeys(source.path for source in job.sources)
    files = dict(zip(paths, channel.readable, strict=True))
    target = _Lent(channel.shared[0])

    def say(progress: Progress) -> None:
        channel.send(msgspec.json.encode(progress))

    try:
        outcome = compute(job, target, say=say, files=files)  # type: ignore[arg-type] # a RawIOBase is enough of a file
    except Problem as problem:
        outcome = Outcome(status="FAILED", code=problem.code, detail=problem.detail)
    channel.send(msgspec.json.encode(Done(outcome=outcome, result_bytes=target.length)))


class _Lent(io.RawIOBase):
    """Lent memory as a file of a size that it has once and for all."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._at = 0
        self.length = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.length}[whence]
        self._at = max(0, start + offset)
        return self._at

    def write(self, data: object) -> int:
        part = memoryview(data).cast("B")  # type: ignore[arg-type] # whatever has bytes
        end = self._at + len(part)
        if end > len(self._memory):
            raise BeyondLimits(f"the result is larger than {len(self._memory) >> 20} MiB")
        self._memory[self._at : end] = part
        self._at = end
        self.length = max(self.length, end)
        return len(part)


def warm_up() -> None:
    """Import what runs need and load the simulator's compiled code, once for all children."""
    import numpy as np

    from alphintra.engine.series import Bars
    from alphintra.market.datasets import read_series  # noqa: F401
    from alphintra.research import storing  # noqa: F401
    from alphintra.research.backtest import backtest
    from alphintra.research.search import optimise
    from alphintra.strategies.blocks import compile_graph, example

    count = 300
    ts_ns = np.arange(count, dtype=np.int64) * 3_600_000_000_000
    price = 100 + 10 * np.sin(np.arange(count) / 10)
    bars = Bars.of_length(
        "WARM",
        ts_ns,
        3_600_000_000_000,
        open=price,
        high=price + 1,
        low=price - 1,
        close=price,
        volume=np.full(count, 1e6),
    )
    backtest("sma_cross", bars).to_dict(series=False)
    backtest(compile_graph(example()), bars)
    optimise("sma_cross", bars, method="random", trials=3, compute="inline").page()
