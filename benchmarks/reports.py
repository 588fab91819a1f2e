"""Reports: the figures, the check-up, the page and the PDF of a run of a million minutes.

    ./dev run python benchmarks/reports.py

The run has 27,000 trades; it is made beforehand and not timed.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alphintra.research import doctor, metrics, reports
from tests.research.realistic import DAY_NS, make_result

REPEATS = 5


def timed(name: str, work: Callable[[], object], *, size: Callable[[object], str]) -> None:
    """Print the median and the spread of some calls, and how much came out."""
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        made = work()
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name:<38} {statistics.median(seconds) * 1e3:8,.0f} ms "
        f"({min(seconds) * 1e3:,.0f} to {max(seconds) * 1e3:,.0f}), {size(made)}, "
        f"peak memory {peak:,.0f} MB",
        flush=True,
    )


def megabytes(made: object) -> str:
    """Return how large a report is."""
    assert isinstance(made, str | bytes)
    return f"{len(made) / 1e6:.2f} MB"


def main() -> None:
    result = make_result(
        count=1_000_000, step_ns=DAY_NS // 1440, swing=0.0004, drift=0.0, fee_rate=1e-5
    )
    trades = f"{len(result.trades):,} trades"
    print(f"{len(result.ts_ns):,} bars, {trades}")
    timed("all metrics", lambda: metrics.summarise(result), size=lambda _: trades)
    timed("check-up", lambda: doctor.examine(result), size=lambda _: trades)
    timed("page", lambda: reports.html(result), size=megabytes)
    timed("PDF", lambda: reports.pdf(result), size=megabytes)


if __name__ == "__main__":
    main()
