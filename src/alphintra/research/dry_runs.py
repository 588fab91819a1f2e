"""Dry runs: a text over a few bars of demo data, in the sandbox, while its author waits."""

import asyncio
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec
from pydantic import ValidationError

from alphintra.engine.series import Bars
from alphintra.platform.sandbox import Limits
from alphintra.platform.security import Principal
from alphintra.research.dry_inside import DryJob, Sample
from alphintra.research.loading import load_data
from alphintra.research.schemas import CodeRunRequest, CodeRunView, DryRunReport, SampleView
from alphintra.strategies import CodeBrokeOff, Severity, Strategies

ENTRY: Final = "alphintra.research.dry_inside:serve"
#: What the room has to load before there are processes.
DRY_RUN: Final = "alphintra.research.dry_inside:warm_up"
#: Of the hooks together; the process is ended a little later.
TIME_LIMIT_S: Final = 5.0
_END_S: Final = 10.0
_LIMITS: Final = Limits(
    memory_bytes=1024**3, cpu_s=15, output_bytes=32 * 1024, frame_bytes=2 * 1024**2
)


async def dry_run(strategies: Strategies, caller: Principal, wanted: CodeRunRequest) -> CodeRunView:
    """Check a text; when nothing is wrong with it, run it over the newest bars of a demo dataset.

    Raises:
        DemoUnknown: there is no such dataset.
        CodeOutOfTime, CodeOutOfMemory, CodeBrokeOff: the process did not get to its end.
        CodeServiceBusy, SandboxUnavailable: it was not run.
    """
    began_s = time.perf_counter()
    samples = [await asyncio.to_thread(_sample, name, wanted.bars) for name in wanted.datasets]
    shown = [_shown(name, bars) for name, bars in zip(wanted.datasets, samples, strict=True)]
    checked = await strategies.code.check(caller, wanted.source)
    findings = [msgspec.to_builtins(one) for one in checked.findings]
    output, dropped, report = "", 0, DryRunReport()
    if all(one.severity is not Severity.ERROR for one in checked.findings):
        job = DryJob(
            source=wanted.source,
            parameters=wanted.parameters,
            samples=[Sample.of(bars) for bars in samples],
            cash=wanted.cash,
            rate=wanted.rate,
            seed=wanted.seed,
            time_limit_s=TIME_LIMIT_S,
        )
        async with strategies.room.process(caller, ENTRY, limits=_LIMITS) as process:
            body = await process.ask(msgspec.msgpack.encode(job), timeout_s=_END_S)
            output, dropped = process.child.output(), process.child.output_bytes_dropped
        try:
            report = DryRunReport.model_validate_json(body)
        except ValidationError as error:
            raise CodeBrokeOff("the process said what makes no sense") from error
    return CodeRunView(
        ok=report.final_capital is not None,
        findings=findings,
        samples=shown,
        output=output,
        warnings=[*_flooded(dropped), *report.warnings],
        duration_ms=round((time.perf_counter() - began_s) * 1_000, 1),
        **report.model_dump(by_alias=True, exclude={"warnings"}),
    )


def _flooded(dropped_bytes: int) -> list[str]:
    if not dropped_bytes:
        return []
    return ["it printed so much that only the end is kept, and that took its time: print less"]


@lru_cache(maxsize=16)
def _sample(name: str, count: int) -> Bars:
    (bars,) = load_data(name)
    assert isinstance(bars, Bars)
    return bars.rows(max(0, len(bars) - count), len(bars))


def _shown(name: str, bars: Bars) -> SampleView:
    first, last = (
        datetime.fromtimestamp(int(at) // 1_000_000_000, UTC)
        for at in (bars.open_ns[0], bars.open_ns[-1])
    )
    return SampleView(dataset=name, bars=len(bars), first_at=first, last_at=last)
