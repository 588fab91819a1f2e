"""What a search may choose: a range or some values for each parameter, and rules between them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import floor, prod
from typing import Any, Final

import numpy as np

from alphintra.research.search.errors import SearchRefused
from alphintra.research.search.expressions import Rule
from alphintra.sdk import Parameter, parameters_of
from alphintra.sdk.errors import ParameterRefused

Value = bool | int | float | str
Parameters = dict[str, Value]

#: A grid beyond this is a mistake: a search of a day at a thousand combinations a second.
GRID_MOST: Final = 10_000_000
#: How often parameters are drawn again when they break a rule.
_DRAWS_MOST: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One parameter: either `choices`, or the numbers from `low` to `high`, both included.

    Without a `step` every number between them can be drawn; a grid needs a step.
    """

    name: str
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    whole: bool = False

    @property
    def count(self) -> int | None:
        """How many values there are; `None` for a range without steps."""
        if self.choices:
            return len(self.choices)
        if self.step is None:
            return None
        # Half of a billionth of a step: 0.1 is not a tenth, and the end is included.
        return floor((self.high - self.low) / self.step + 1e-9) + 1

    def value(self, index: int) -> Value:
        """Return the value at a place of the grid."""
        if self.choices:
            return self.choices[index]
        assert self.step is not None
        number = self.low + index * self.step
        return round(number) if self.whole else round(number, 12)

    def values(self) -> list[Value]:
        """Return all values.

        Raises:
            SearchRefused: it is a range without steps.
        """
        count = self.count
        if count is None:
            raise SearchRefused(
                f"a grid needs a step for {self.name}: {self.low:g}:{self.high:g}:STEP",
                parameter=self.name,
            )
        return [self.value(index) for index in range(count)]

    def draw(self, generator: np.random.Generator) -> Value:
        """Return one value, each as likely as the others."""
        count = self.count
        if count is None:
            return float(generator.uniform(self.low, self.high))
        return self.value(int(generator.integers(count)))

    def clipped(self, number: float) -> Value:
        """Return the value that is nearest to a number."""
        number = min(max(number, self.low), self.high)
        count = self.count
        if count is None:
            return number
        assert self.step is not None
        return self.value(min(round((number - self.low) / self.step), count - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """All parameters that are searched, what the others are, and rules between them."""

    dimensions: tuple[Dimension, ...]
    fixed: Mapping[str, Value]
    names: tuple[str, ...]  #: all parameters in the order in which the strategy declares them
    rules: tuple[Rule, ...] = ()

    @property
    def size(self) -> int | None:
        """How many combinations there are before rules; `None` when they cannot be counted."""
        counts = [dimension.count for dimension in self.dimensions]
        return None if None in counts else prod(count for count in counts if count is not None)

    @property
    def searched(self) -> tuple[str, ...]:
        """The names of the parameters that vary."""
        return tuple(dimension.name for dimension in self.dimensions)

    def complete(self, chosen: Mapping[str, Value]) -> Parameters:
        """Return all parameters, with values for those that are searched."""
        return {name: chosen[name] if name in chosen else self.fixed[name] for name in self.names}

    def allows(self, parameters: Mapping[str, Value]) -> bool:
        """Whether every rule on parameters holds."""
        return all(rule.holds(parameters) for rule in self.rules)

    def grid(self) -> Iterator[Parameters]:
        """Yield all combinations that the rules allow, the last parameter changing first.

        Raises:
            SearchRefused: a range has no step, or there are too many.
        """
        columns = [dimension.values() for dimension in self.dimensions]
        if (size := prod(map(len, columns))) > GRID_MOST:
            raise SearchRefused(
                f"the grid has {size:,} combinations, more than {GRID_MOST:,}; take wider steps "
                "or another method"
            )
        names = self.searched
        for values in product(*columns):
            parameters = self.complete(dict(zip(names, values, strict=True)))
            if self.allows(parameters):
                yield parameters

    def draw(self, generator: np.random.Generator) -> Parameters:
        """Return a combination that the rules allow, all equally likely.

        Raises:
            SearchRefused: the rules allow next to nothing.
        """
        for _ in range(_DRAWS_MOST):
            parameters = self.complete(
                {dimension.name: dimension.draw(generator) for dimension in self.dimensions}
            )
            if self.allows(parameters):
                return parameters
        rules = ", ".join(rule.text for rule in self.rules)
        raise SearchRefused(f"of {_DRAWS_MOST:,} combinations none obeyed {rules}")


def space_of(
    strategy: object,
    *,
    search: Mapping[str, Any] | None = None,
    fixed: Mapping[str, Any] | None = None,
    rules: Sequence[str] = (),
) -> Space:
    """Return what may be searched of a strategy.

    Args:
        strategy: declares its parameters with `param`.
        search: for each parameter "5:50:5" (from, to, step; both ends included), "5:50" (the
            declared step, or 1 for whole numbers), "5,10,20", a list of values, a `range`, or
            `None` for the declared range. Without `search`: all that declare a range or choices
            and are not fixed.
        fixed: values of other parameters.
        rules: conditions on parameters.

    Raises:
        SearchRefused: nothing to search, an unknown parameter, an unreadable range or rule.
        ParameterRefused: a value that the strategy's declaration does not allow.
    """
    declared = parameters_of(strategy)
    chosen = dict(fixed or {})
    if search is None:
        search = dict.fromkeys(
            name
            for name, parameter in declared.items()
            if name not in chosen and _is_searchable(parameter)
        )
    for name in (*search, *chosen):
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise ParameterRefused(
                f"there is no parameter {name}; there is: {known}", parameter=name
            )
    if both := sorted(set(search) & set(chosen)):
        raise SearchRefused(f"{both[0]} is both searched and fixed", parameter=both[0])
    if not search:
        raise SearchRefused("there is nothing to search: name a range, such as fast=5:50:5")
    dimensions = [_dimension(declared[name], name, given) for name, given in search.items()]
    values = {
        name: parameter.accepted(chosen.get(name, parameter.default))
        for name, parameter in declared.items()
        if name not in search
    }
    parsed = tuple(Rule(text) for text in rules)
    for rule in parsed:
        if unknown := sorted(rule.names - set(declared)):
            raise SearchRefused(f"the rule {rule.text!r} uses {unknown[0]}, which is no parameter")
    return Space(dimensions=tuple(dimensions), fixed=values, names=tuple(declared), rules=parsed)


def _is_searchable(parameter: Parameter) -> bool:
    numeric = parameter.low is not None and parameter.high is not None
    return bool(parameter.choices) or numeric or isinstance(parameter.default, bool)


def _dimension(parameter: Parameter, name: str, given: Any) -> Dimension:
    if isinstance(given, Dimension):
        found = given
    elif given is None:
        found = _declared(parameter, name)
    elif isinstance(given, str) and ":" in given:
        found = _range(parameter, name, given)
    else:
        values = given.split(",") if isinstance(given, str) else list(given)
        found = Dimension(name=name, choices=tuple(parameter.accepted(value) for value in values))
        if not found.choices:
            raise SearchRefused(f"no value is given for {name}", parameter=name)
    if not found.choices:
        parameter.accepted(_as_number(parameter, found.low))
        parameter.accepted(_as_number(parameter, found.high))
    return found


def _declared(parameter: Parameter, name: str) -> Dimension:
    if isinstance(parameter.default, bool):
        return Dimension(name=name, choices=parameter.choices or (False, True))
    if parameter.choices:
        return Dimension(name=name, choices=parameter.choices)
    if parameter.low is None or parameter.high is None:
        raise SearchRefused(
            f"{name} declares no range; give one, such as {name}=5:50:5", parameter=name
        )
    whole = isinstance(parameter.default, int)
    step = parameter.step or (1 if whole else None)
    return Dimension(name=name, low=parameter.low, high=parameter.high, step=step, whole=whole)


def _range(parameter: Parameter, name: str, text: str) -> Dimension:
    whole = isinstance(parameter.default, int)
    if isinstance(parameter.default, bool | str):
        raise SearchRefused(f"{name} has no range; name its values: a,b", parameter=name)
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3) or (whole and not all(n == int(n) for n in numbers)):
        kind = "whole numbers " if whole else ""
        raise SearchRefused(
            f"{name}={text} is not a range of {kind}such as 5:50 or 5:50:5", parameter=name
        )
    low, high = numbers[:2]
    step = numbers[2] if len(numbers) == 3 else parameter.step or (1 if whole else None)
    if not low <= high or (step is not None and not step > 0):
        raise SearchRefused(f"{name}={text} is an empty range", parameter=name)
    return Dimension(name=name, low=low, high=high, step=step, whole=whole)


def _as_number(parameter: Parameter, number: float) -> Value:
    return int(number) if isinstance(parameter.default, int) else number
