"""How far a search has come, and how long it will take."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Trials done of all, and seconds; `remaining_s` is an estimate, `None` at the beginning."""

    done: int
    total: int
    elapsed_s: float
    remaining_s: float | None
    best: float | None = None

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.done / self.total if self.total else 1.0

    def __str__(self) -> str:
        text = f"{self.done:,} of {self.total:,}"
        if self.best is not None:
            text += f", best {self.best:.4g}"
        if self.remaining_s is not None:
            text += f", {duration(self.remaining_s)} left"
        return text


Report = Callable[[Progress], None]


class Reporter:
    """Tells how far it has come, at most some times a second."""

    def __init__(
        self,
        report: Report | None,
        total: int,
        *,
        maximise: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._clock = clock
        self._begin_s = self._told_s = clock()
        self._total = total
        self._maximise = maximise
        self._best: float | None = None
        self.done = 0

    def advance(self, by: int = 1, *, figure: float | None = None) -> None:
        """Count what was done, and tell when it is time."""
        self.done += by
        if figure is not None:
            better = max if self._maximise else min
            self._best = figure if self._best is None else better(self._best, figure)
        if self._report is None:
            return
        now_s = self._clock()
        if self.done < self._total and now_s - self._told_s < 0.1:
            return
        self._told_s = now_s
        elapsed_s = now_s - self._begin_s
        left = max(self._total - self.done, 0)
        self._report(
            Progress(
                done=self.done,
                total=self._total,
                elapsed_s=elapsed_s,
                remaining_s=elapsed_s / self.done * left if self.done else None,
                best=self._best,
            )
        )


def duration(seconds: float) -> str:
    """Return a stretch of time in words: "8 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
