"""Every trial of a search, kept: what was tried, how it did, and how it failed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.research.search.errors import SearchRefused

Floats = NDArray[np.float64]
Days = NDArray[np.int64]

#: Figures that are better when they are smaller; of all others more is better.
_SMALLER_IS_BETTER: Final = frozenset(
    {"volatility", "downside_risk", "ulcer_index", "max_drawdown_duration_s", "total_fees",
     "turnover", "value_at_risk_loss", "beta"}
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """How one set of parameters did.

    `returns` has one daily return for each of `days` (days since the epoch); `metrics` the figures
    of `BacktestResult.metrics` that are numbers, `None` where one is not defined.
    """

    metrics: Mapping[str, float | None]
    days: Days
    returns: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One set of parameters that was tried. `failure` says what was raised, and where."""

    number: int
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    days: Days = field(default_factory=lambda: np.empty(0, np.int64), repr=False)
    returns: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    failure: str | None = None
    feasible: bool = True  #: it has enough trades and obeys the rules on figures

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without the daily returns."""
        return {
            "number": self.number,
            "parameters": dict(self.parameters),
            "metrics": dict(self.metrics),
            "failure": self.failure,
            "feasible": self.feasible,
        }


@dataclass(frozen=True, slots=True)
class Objective:
    """A figure that a search wants more of, or less when its name has a minus before it."""

    metric: str
    maximise: bool

    @classmethod
    def parse(cls, text: str) -> "Objective":
        """Read "sharpe_ratio", or "-ulcer_index" for what should be small."""
        name = text.removeprefix("-")
        return cls(name, not (text.startswith("-") or name in _SMALLER_IS_BETTER))

    def score(self, trial: Trial) -> float:
        """Return a number that is greater for the better trial; -inf for one that does not count.

        Raises:
            SearchRefused: there is no such figure.
        """
        if trial.failure is not None or not trial.feasible:
            return -np.inf
        if self.metric not in trial.metrics:
            known = ", ".join(sorted(trial.metrics))
            raise SearchRefused(f"there is no figure {self.metric}; there is: {known}")
        value = trial.metrics[self.metric]
        if value is None or np.isnan(value):
            return -np.inf
        return float(value) if self.maximise else -float(value)


@dataclass(frozen=True, slots=True)
class Trials(Sequence[Trial]):
    """The trials of a search in the order of their numbers.

    `earlier` counts trials of the same study that were made before and of which only the number is
    left: they too had their chance to be lucky.
    """

    rows: tuple[Trial, ...]
    earlier: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __iter__(self) -> Iterator[Trial]:
        return iter(self.rows)

    @property
    def counted(self) -> int:
        """How many different sets of parameters have had their chance."""
        return self.earlier + len({tuple(sorted(t.parameters.items())) for t in self.rows})

    def succeeded(self) -> list[Trial]:
        """Return the trials that were measured."""
        return [trial for trial in self.rows if trial.failure is None]

    def failed(self) -> list[Trial]:
        """Return the trials in which the strategy raised."""
        return [trial for trial in self.rows if trial.failure is not None]

    def best(self, objective: Objective) -> Trial | None:
        """Return the best trial, the earliest of equals; `None` when none counts."""
        scores = [objective.score(trial) for trial in self.rows]
        if not scores or max(scores) == -np.inf:
            return None
        return self.rows[int(np.argmax(scores))]

    def front(self, objectives: Sequence[Objective]) -> list[Trial]:
        """Return the trials that no other beats in one objective without losing in another."""
        scores = np.array([[o.score(trial) for o in objectives] for trial in self.rows])
        found = []
        for row, trial in enumerate(self.rows):
            if np.isinf(scores[row]).any():
                continue
            as_good = (scores >= scores[row]).all(axis=1)
            if not (as_good & (scores > scores[row]).any(axis=1)).any():
                found.append(trial)
        return found

    def returns_matrix(self) -> tuple[Days, Floats]:
        """Return `(days, returns)` with a column for each different set of parameters measured.

        A day that a trial has no return for counts as 0: it held nothing.
        """
        different = {tuple(sorted(t.parameters.items())): t for t in self.succeeded()}
        trials = list(different.values())
        if not trials:
            return np.empty(0, np.int64), np.empty((0, 0))
        days = trials[0].days
        if any(len(trial.days) != len(days) or (trial.days != days).any() for trial in trials):
            days = np.unique(np.concatenate([trial.days for trial in trials]))
        matrix = np.zeros((len(days), len(trials)))
        for column, trial in enumerate(trials):
            rows = slice(None) if trial.days is days else np.searchsorted(days, trial.days)
            matrix[rows, column] = trial.returns
        return days, np.nan_to_num(matrix, copy=False, nan=0.0)
