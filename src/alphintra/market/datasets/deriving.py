"""New datasets out of others, and out of what was recorded: content, its file, its report."""

from collections.abc import Callable, Sequence
from pathlib import Path

from alphintra.engine.series import Bars, Series
from alphintra.market.datasets.actions import Action
from alphintra.market.datasets.adjusting import adjust
from alphintra.market.datasets.checking import check
from alphintra.market.datasets.content import Content, content_of
from alphintra.market.datasets.errors import CannotDerive
from alphintra.market.datasets.findings import Findings
from alphintra.market.datasets.judging import judged_of
from alphintra.market.datasets.options import UploadOptions, timeframe_ns
from alphintra.market.datasets.reading import read_layout, read_series
from alphintra.market.datasets.resampling import Sessions, resample
from alphintra.market.datasets.taking import Checked, take

#: Makes the content of a new dataset.
Making = Callable[[], Content]


def all_series(path: Path) -> tuple[Series, ...]:
    """Return every series of a dataset's file, by symbol."""
    layout = read_layout(path)
    if layout is None:
        raise AssertionError("a dataset's file says what it holds")
    return tuple(read_series(path, symbol) for symbol in sorted(layout.slices))


def resampled(path: Path, timeframe: str, *, step_ns: int, sessions: Sessions | None) -> Content:
    """Return the content of a dataset in candles of a longer timeframe.

    Raises:
        CannotDerive: see `resample`.
    """
    series = [
        resample(one, timeframe, step_ns=step_ns, sessions=sessions) for one in all_series(path)
    ]
    return content_of(series, timeframe=timeframe, step_ns=timeframe_ns(timeframe))


def adjusted(
    path: Path, actions: Sequence[Action], *, before: str, after: str, timeframe: str, step_ns: int
) -> Content:
    """Return the content of a dataset of candles with prices adjusted in another way.

    Raises:
        CannotDerive: see `adjust`; or the dataset has no candles.
    """
    series = []
    for one in all_series(path):
        if not isinstance(one, Bars):
            raise CannotDerive("only candles are adjusted; resample the dataset first")
        series.append(adjust(one, actions, before=before, after=after))
    return content_of(series, timeframe=timeframe, step_ns=step_ns)


def finish(content: Content, file: Path, *, actions: Sequence[Action], adjustment: str) -> Checked:
    """Check content, write its file, and return what an upload of it would have told."""
    findings = Findings()
    # Jumps were decided about when the data came; here they are told, not asked.
    check(judged_of(content), UploadOptions(jumps="keep"), findings)
    return take(
        content,
        file,
        report=findings.report(rows=content.rows, kept=content.rows),
        actions=tuple(actions),
        adjustment=adjustment,
    )
