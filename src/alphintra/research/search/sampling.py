"""Where the next parameters come from: all of them, chance, or what the trials so far suggest.

Parameters are asked for in rounds. Every trial of a round is computed before the sampler hears of
any, and it hears of them in their order: a search gives the same trials on one core and on many.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from alphintra.research.search.errors import SearchRefused
from alphintra.research.search.space import Dimension, Parameters, Space, Value
from alphintra.research.search.trials import Objective, Trial

if TYPE_CHECKING:
    import optuna

METHODS: Final = ("grid", "random", "tpe", "cmaes", "nsga2")
#: Trials of a round: many for those that learn nothing, few for those that do.
_ROUND: Final = 4_096
_ROUND_OF_TPE: Final = 8
_POPULATION: Final = 20
#: How often a sampler may propose what the rules forbid, for one round.
_PROPOSALS_MOST: Final = 2_000


class Sampler(Protocol):
    """Something that proposes parameters."""

    total: int  #: how many trials there will be, at most
    earlier: int  #: trials of the same study that were made before

    def ask(self) -> list[Parameters]:
        """Return the parameters of the next round; none at the end."""

    def tell(self, trials: Sequence[Trial]) -> None:
        """Take note of how the round that was asked for did."""


class GridSampler:
    """All combinations that the rules allow."""

    earlier = 0

    def __init__(self, space: Space, limit: int | None) -> None:
        self._space = space
        self._left: Iterator[Parameters] = islice(space.grid(), limit)
        if space.rules:
            self.total = sum(1 for _ in islice(space.grid(), limit))
        else:
            self.total = space.size or 0
        if limit is not None:
            self.total = min(self.total, limit)
        if not self.total:
            raise SearchRefused("the rules leave no combination")

    def ask(self) -> list[Parameters]:
        return list(islice(self._left, _ROUND))

    def tell(self, trials: Sequence[Trial]) -> None:
        """A grid learns nothing."""


class RandomSampler:
    """Combinations drawn by chance; none twice, as long as there are others."""

    earlier = 0

    def __init__(self, space: Space, trials: int, seed: int) -> None:
        self._space = space
        self._generator = np.random.default_rng(seed)
        self._seen: set[tuple[Value, ...]] = set()
        self.total = trials if space.size is None else min(trials, space.size)
        self._left = self.total

    def ask(self) -> list[Parameters]:
        found: list[Parameters] = []
        misses = 0
        while len(found) < min(self._left, _ROUND) and misses < _PROPOSALS_MOST:
            parameters = self._space.draw(self._generator)
            key = tuple(parameters.values())
            if key in self._seen:
                misses += 1  # what the rules allow may be nearly used up
                continue
            self._seen.add(key)
            found.append(parameters)
        self._left -= len(found)
        return found

    def tell(self, trials: Sequence[Trial]) -> None:
        """Chance learns nothing."""


class OptunaSampler:
    """What Optuna proposes from the trials so far: TPE, CMA-ES, or NSGA-II.

    With a storage (`postgresql+psycopg://…`), a study of the same name goes on where it stopped.
    """

    def __init__(
        self,
        space: Space,
        trials: int,
        *,
        method: str,
        objectives: Sequence[Objective],
        seed: int,
        storage: str | None,
        study: str | None,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._objectives = objectives
        self._left = self.total = trials
        self._round = _ROUND_OF_TPE if method == "tpe" else _POPULATION
        self._asked: list[optuna.Trial] = []
        self._failed = optuna.trial.TrialState.FAIL
        self._study = optuna.create_study(
            sampler=_optuna_sampler(method, seed, len(objectives)),
            directions=["maximize"] * len(objectives),
            storage=storage,
            study_name=study,
            load_if_exists=storage is not None,
        )
        self.earlier = len(self._study.get_trials(deepcopy=False))

    def ask(self) -> list[Parameters]:
        found: list[Parameters] = []
        self._asked = []
        for _ in range(_PROPOSALS_MOST):
            if len(found) >= min(self._left, self._round):
                break
            trial = self._study.ask()
            parameters = dict(self._space.fixed) | {
                dimension.name: _suggested(trial, dimension) for dimension in self._space.dimensions
            }
            if self._space.allows(parameters):
                self._asked.append(trial)
                found.append(parameters)
            else:
                self._study.tell(trial, state=self._failed)
        self._left -= len(found)
        if not found and self._left:
            raise SearchRefused(f"of {_PROPOSALS_MOST:,} proposals none obeyed the rules")
        return found

    def tell(self, trials: Sequence[Trial]) -> None:
        for asked, trial in zip(self._asked, trials, strict=True):
            scores = [objective.score(trial) for objective in self._objectives]
            if np.isfinite(scores).all():
                self._study.tell(asked, scores)
            else:
                self._study.tell(asked, state=self._failed)


def make_sampler(
    method: str,
    space: Space,
    *,
    trials: int | None,
    objectives: Sequence[Objective],
    seed: int,
    storage: str | None = None,
    study: str | None = None,
) -> Sampler:
    """Return the sampler of a method.

    Raises:
        SearchRefused: an unknown method, or one that cannot do what is asked.
    """
    if method not in METHODS:
        raise SearchRefused(f"there is no method {method!r}; there is {', '.join(METHODS)}")
    if trials is not None and trials < 1:
        raise SearchRefused(f"the number of trials is at least 1, not {trials}")
    if method == "grid":
        return GridSampler(space, trials)
    count = trials or 100
    if method == "random":
        return RandomSampler(space, count, seed)
    if len(objectives) > 1 and method == "cmaes":
        raise SearchRefused("cmaes has one objective; nsga2 and tpe take several")
    return OptunaSampler(
        space,
        count,
        method=method,
        objectives=objectives,
        seed=seed,
        storage=storage,
        study=study,
    )


def _optuna_sampler(method: str, seed: int, objectives: int) -> "optuna.samplers.BaseSampler":
    import optuna

    if method == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=2 * _ROUND_OF_TPE)
    if method == "cmaes":
        return optuna.samplers.CmaEsSampler(
            seed=seed, popsize=_POPULATION, warn_independent_sampling=False
        )
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=_POPULATION)


def _suggested(trial: "optuna.Trial", dimension: Dimension) -> Value:
    if dimension.choices:
        return dimension.choices[trial.suggest_int(dimension.name, 0, len(dimension.choices) - 1)]
    if (count := dimension.count) is not None:
        return dimension.value(trial.suggest_int(dimension.name, 0, count - 1))
    found: Any = trial.suggest_float(dimension.name, dimension.low, dimension.high)
    return float(found)
