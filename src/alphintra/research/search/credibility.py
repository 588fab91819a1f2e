"""How far the best of many trials can be believed: what must stand beside every searched result."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.research import statistics
from alphintra.research.result import Warning_
from alphintra.research.search.trials import Trial, Trials

Floats = NDArray[np.float64]

#: Below this probability that it is skill, a result is flagged.
CONFIDENCE: Final = 0.95
#: Above this probability of overfitting, a search is flagged.
OVERFITTING_MOST: Final = 0.5
_BLOCKS_MOST: Final = 16
_BLOCKS_LEAST: Final = 4
#: From so many trials on, fewer blocks: thousands of trials are judged in seconds.
_MANY_TRIALS: Final = 300
_BLOCKS_OF_MANY: Final = 12
#: Samples of the reality check, and returns that it is done for: a second or two of work.
_SAMPLES: Final = 500
_CHECKED_MOST: Final = 5_000_000
#: Days of returns and trades below which no statistic helps.
_FEW_DAYS: Final = 60
_FEW_TRADES: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Credibility:
    """What the statistics say of the selected trial.

    Probabilities are 0 to 1, `None` where there is too little to say. `sharpe_of_luck` is the
    annualised Sharpe ratio that the best of so many trials without any skill would show.
    """

    trials_counted: int
    days: int
    probabilistic_sharpe_ratio: float | None
    deflated_sharpe_ratio: float | None
    sharpe_of_luck: float | None
    probability_of_overfitting: float | None
    probability_of_loss: float | None
    reality_check: float | None
    warnings: tuple[Warning_, ...]

    @property
    def credible(self) -> bool:
        """Whether nothing speaks against the result."""
        return not self.warnings

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "trials_counted": self.trials_counted,
            "days": self.days,
            "probabilistic_sharpe_ratio": self.probabilistic_sharpe_ratio,
            "deflated_sharpe_ratio": self.deflated_sharpe_ratio,
            "sharpe_of_luck": self.sharpe_of_luck,
            "probability_of_overfitting": self.probability_of_overfitting,
            "probability_of_loss": self.probability_of_loss,
            "reality_check": self.reality_check,
            "credible": self.credible,
            "warnings": [
                {"code": warning.code, "message": warning.message} for warning in self.warnings
            ],
        }


def assess(trials: Trials, best: Trial | None, *, periods_per_year: float) -> Credibility:
    """Return what to think of the best of these trials.

    Args:
        trials: all that were made; leaving out the bad ones would make the best look better.
        best: the one that was selected; `None` when none counts.
        periods_per_year: of the daily returns, 252 or 365.
    """
    days, matrix = trials.returns_matrix()
    figures: dict[str, float | None] = dict.fromkeys(
        ("probabilistic", "deflated", "luck", "overfitting", "loss", "reality")
    )
    if best is not None:
        figures |= _of_sharpe(trials.counted, matrix, best.returns, periods_per_year)
    figures |= _of_selection(matrix)
    return Credibility(
        trials_counted=trials.counted,
        days=len(days),
        probabilistic_sharpe_ratio=figures["probabilistic"],
        deflated_sharpe_ratio=figures["deflated"],
        sharpe_of_luck=figures["luck"],
        probability_of_overfitting=figures["overfitting"],
        probability_of_loss=figures["loss"],
        reality_check=figures["reality"],
        warnings=tuple(_warnings(trials, best, figures)),
    )


def _of_sharpe(
    counted: int, matrix: Floats, returns: Floats, periods_per_year: float
) -> dict[str, float | None]:
    deviations = matrix.std(axis=0, ddof=1) if len(matrix) > 1 else np.zeros(matrix.shape[1])
    active = deviations > 0.0
    if not active.any():
        return {}
    sharpes = matrix[:, active].mean(axis=0) / deviations[active]
    variance = float(np.var(sharpes, ddof=1)) if len(sharpes) > 1 else 0.0
    luck = statistics.expected_maximum_sharpe(trials=counted, variance_of_sharpes=variance)
    return {
        "probabilistic": _known(statistics.probabilistic_sharpe_ratio(returns)),
        "deflated": _known(
            statistics.deflated_sharpe_ratio(returns, trials=counted, variance_of_sharpes=variance)
        ),
        "luck": _known(luck * np.sqrt(periods_per_year)),
    }


def _of_selection(matrix: Floats) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    if matrix.shape[1] < 2:
        return found
    most = _BLOCKS_MOST if matrix.shape[1] <= _MANY_TRIALS else _BLOCKS_OF_MANY
    blocks = min(most, len(matrix) // 4 * 2)
    if blocks >= _BLOCKS_LEAST:
        overfitting = statistics.probability_of_backtest_overfitting(matrix, blocks=blocks)
        found["overfitting"] = overfitting.probability
        found["loss"] = overfitting.probability_of_loss
    if len(matrix) >= 10 and matrix.size <= _CHECKED_MOST:
        found["reality"] = statistics.reality_check(matrix, samples=_SAMPLES)
    return found


def _warnings(
    trials: Trials, best: Trial | None, figures: Mapping[str, float | None]
) -> list[Warning_]:
    if best is None:
        return [Warning_(code="no_trial_counts", message="No trial has a figure to compare by.")]
    found = [*_of_figures(trials.counted, figures["deflated"], figures["overfitting"])]
    days, trades = len(best.returns), best.metrics.get("total_trades")
    if days < _FEW_DAYS:
        found.append(Warning_(code="few_days", message=f"There are only {days} days of returns."))
    if trades is not None and trades < _FEW_TRADES:
        message = f"The best trial has only {trades:.0f} trades."
        found.append(Warning_(code="few_trades", message=message))
    if failed := trials.failed():
        message = f"{len(failed)} of {len(trials)} trials failed, the first: {failed[0].failure}"
        found.append(Warning_(code="trials_failed", message=message))
    return found


def _of_figures(
    counted: int, deflated: float | None, overfitting: float | None
) -> Iterator[Warning_]:
    if deflated is None:
        message = "There are too few returns to tell skill from luck."
        yield Warning_(code="deflated_sharpe_unknown", message=message)
    elif deflated < CONFIDENCE:
        message = (
            f"The best of {counted:,} trials may be luck: that it is not has a probability of "
            f"{deflated:.0%}, and should have {CONFIDENCE:.0%}."
        )
        yield Warning_(code="deflated_sharpe_low", message=message)
    if overfitting is not None and overfitting > OVERFITTING_MOST:
        message = (
            "What was best in one half of the time was below the median in the other in "
            f"{overfitting:.0%} of all ways to halve it."
        )
        yield Warning_(code="overfitting_likely", message=message)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
