"""What a search says of the run that it chose: how many trials, and how much of it is luck."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from alphintra.research import statistics
from alphintra.research.search.trials import Trials

Floats = NDArray[np.float64]

#: Blocks of the cross-validation, and of that for many trials; twice as many days are needed.
_BLOCKS: Final = 16
_FEWER_BLOCKS: Final = 12
_MANY_TRIALS: Final = 300

#: Samples of the bootstrap, and numbers that it is done for: a second or two of work.
_SAMPLES: Final = 500
_MAX_CHECKED: Final = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchEvidence:
    """What the search behind a run says of it."""

    trials: int
    deflated_sharpe_ratio: float
    probability_of_overfitting: float | None  #: None when there are too few trials or days
    reality_check: float | None  #: p-value of the best of all trials; None likewise

    @classmethod
    def of(cls, returns: Floats, trials: Trials) -> "SearchEvidence":
        """Return the evidence for the run with these daily returns, chosen from these trials."""
        _, matrix = trials.returns_matrix()
        deviations = matrix.std(axis=0, ddof=1) if len(matrix) > 1 else np.zeros(matrix.shape[1])
        alive = deviations > 0.0
        sharpes = matrix.mean(axis=0)[alive] / deviations[alive] if len(matrix) else deviations
        variance = float(np.var(sharpes, ddof=1)) if len(sharpes) > 1 else 0.0
        overfitting = reality_check = None
        if matrix.shape[1] > 1 and len(matrix) >= 2 * _BLOCKS:
            found = statistics.probability_of_backtest_overfitting(
                matrix, blocks=_BLOCKS if matrix.shape[1] <= _MANY_TRIALS else _FEWER_BLOCKS
            )
            overfitting = found.probability
            if matrix.size <= _MAX_CHECKED:
                reality_check = statistics.reality_check(matrix, samples=_SAMPLES)
        return cls(
            trials=trials.counted,
            deflated_sharpe_ratio=statistics.deflated_sharpe_ratio(
                returns, trials=max(trials.counted, 1), variance_of_sharpes=variance
            ),
            probability_of_overfitting=overfitting,
            reality_check=reality_check,
        )
