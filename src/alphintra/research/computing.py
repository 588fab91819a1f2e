"""A job of the queue as one computation: its data in, its result into a file that is open."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import IO, Any, Final

from alphintra.research.jobfile import BacktestJob, Job, OptimizeJob, Outcome, Progress

#: The code of the warning that blocks have run as Python.
NOT_COMPILED: Final = "blocks_not_compiled"
#: How often a computation says how far it is.
_TELL_S: Final = 0.25

Say = Callable[[Progress], None]


def compute(job: Job, target: IO[bytes], *, say: Say, files: Mapping[str, int] | None) -> Outcome:
    """Run a job, which writes its result to `target`.

    Args:
        say: is told now and then how far it is.
        files: the sources' open descriptors by path; None: they are opened here.

    Raises:
        Problem: it cannot be run as asked for.
    """
    match job:
        case BacktestJob():
            return _backtest(job, target, _Teller(say), files)
        case OptimizeJob():
            return _optimize(job, target, _Teller(say), files)


class _Teller:
    """Says how far the run is, now and then, with an estimate of the time left."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._began_s = self._told_s = time.monotonic()

    def __call__(self, share: float) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s < _TELL_S and share < 1.0:
            return
        self._told_s = now_s
        left_s = (now_s - self._began_s) * (1 - share) / share if share > 0 else None
        self._say(Progress(share=min(max(share, 0.0), 1.0), remaining_s=left_s))


def _backtest(
    job: BacktestJob, target: IO[bytes], teller: _Teller, files: Mapping[str, int] | None
) -> Outcome:
    from alphintra.research.backtest import backtest
    from alphintra.research.choosing import chosen_form
    from alphintra.research.result import Warning_
    from alphintra.research.storing import save_result

    series = job.data(files)
    chosen = chosen_form(job, series)
    result = backtest(
        chosen.strategy,
        series,
        **job.arguments(),
        parameters=job.parameters,
        progress=teller,
        time_limit_s=job.time_limit_s,
    )
    manifest = replace(
        result.manifest, strategy_id=job.strategy_id, strategy_version=job.strategy_version
    )
    if job.source is not None:
        manifest = replace(manifest, strategy=job.strategy)  # as its owner calls it
    told = (Warning_(code=NOT_COMPILED, message=_slower(chosen.reason)),) if chosen.reason else ()
    result = replace(result, manifest=manifest, warnings=(*result.warnings, *told))
    save_result(result, target)
    return Outcome(status="SUCCEEDED", summary=result.to_dict(series=False))


def _optimize(
    job: OptimizeJob, target: IO[bytes], teller: _Teller, files: Mapping[str, int] | None
) -> Outcome:
    from alphintra.research.choosing import chosen_form
    from alphintra.research.search import optimise
    from alphintra.research.storing import write_archive

    series = job.data(files)
    chosen = chosen_form(job, series)
    search = optimise(
        chosen.strategy,
        series,
        search=job.search or None,
        parameters=job.parameters,
        method=job.method,
        objective=job.objective,
        trials=job.trials,
        rules=job.rules,
        minimum_trades=job.minimum_trades,
        progress=lambda progress: teller(progress.share),
        # A sandbox has no processes to share the work with.
        compute=None if files is None else "inline",
        **job.arguments(),
    )
    document = _finite(search.to_dict())
    if chosen.reason:
        document["warnings"] = [{"code": NOT_COMPILED, "message": _slower(chosen.reason)}]
    write_archive(target, {"search.json": json.dumps(document), "search.html": search.page()})
    document.pop("trials")
    return Outcome(status="SUCCEEDED", summary=document)


def _slower(reason: str) -> str:
    return f"the blocks ran as Python, which is slower and gives the same: {reason}"


def _finite(value: Any) -> Any:
    """Return plain values without NaN and infinities, which JSON does not know."""
    if isinstance(value, dict):
        return {str(name): _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    return value
