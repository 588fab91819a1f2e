"""What there is to know of an indicator: enough for a form, a chart and a reference page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from alphintra.indicators.errors import IndicatorParameterInvalid

#: Values of one indicator's parameters, every one given.
Parameters = Mapping[str, float]


class Shape(StrEnum):
    """How an output is drawn."""

    LINE = "line"
    DASHED = "dashed"
    BAND = "band"  #: a limit around another line
    HISTOGRAM = "histogram"
    POINTS = "points"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputInfo:
    """A series that an indicator reads.

    `column` is the column of the bars that is taken unless something else is given under `name`.
    """

    name: str
    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterInfo:
    """A number that changes what an indicator computes.

    `minimum` and `maximum` are `None` where there is no bound. `choices` names the values 0, 1, 2…
    """

    name: str
    title: str
    kind: type[int] | type[float]
    default: float
    minimum: float | None = None
    maximum: float | None = None
    step: float = 1
    choices: tuple[str, ...] = ()

    def checked(self, value: object, indicator: str) -> float:
        """Return `value` as this parameter takes it.

        Raises:
            IndicatorParameterInvalid: it is no number, not whole, or out of range.
        """
        number = self._number(value)
        if number is None:
            wanted = "a whole number" if self.kind is int else "a number"
            if self.choices:
                wanted = f"one of {', '.join(self.choices)}"
            raise IndicatorParameterInvalid(
                f"{indicator}: {self.name} is {wanted}, not {value!r}",
                indicator=indicator,
                parameter=self.name,
            )
        low, high = self.minimum, self.maximum
        if (low is not None and number < low) or (high is not None and number > high):
            bounds = [f"at least {low:g}"] if low is not None else []
            bounds += [f"at most {high:g}"] if high is not None else []
            raise IndicatorParameterInvalid(
                f"{indicator}: {self.name} is {number:g}, but has to be {' and '.join(bounds)}",
                indicator=indicator,
                parameter=self.name,
            )
        return number

    def _number(self, value: object) -> float | None:
        if isinstance(value, str):
            known = value.upper() in self.choices
            return self.choices.index(value.upper()) if known else None
        if isinstance(value, bool) or not hasattr(value, "__float__"):
            return None
        number = float(value)
        if number != number or number in {float("inf"), float("-inf")}:
            return None
        if self.kind is int:
            return int(number) if number == int(number) else None
        return number


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputInfo:
    """A series that an indicator gives. `whole`: its values are whole numbers."""

    name: str
    shape: Shape
    whole: bool = False


@dataclass(frozen=True, kw_only=True)
class IndicatorInfo:
    """One indicator.

    `overlay`: it has the scale of the price and is drawn over it; otherwise it has a pane of its
    own. `recursive`: its values go on depending on where the series began (exponential averages,
    running sums), so a longer history changes them a little even after the warm-up.
    """

    name: str
    title: str
    group: str
    inputs: tuple[InputInfo, ...]
    parameters: tuple[ParameterInfo, ...]
    outputs: tuple[OutputInfo, ...]
    overlay: bool
    recursive: bool = False
    note: str = ""
    source: str = "TA-Lib"
    lookback: Callable[[Parameters], int] = field(repr=False, compare=False)

    def warm_up(self, **parameters: object) -> int:
        """Return how many bars pass before the one at which every output has a value.

        Raises:
            IndicatorParameterInvalid: a parameter is unknown or out of range.
        """
        return self.lookback(self.checked(parameters))

    def checked(self, parameters: Mapping[str, object]) -> dict[str, float]:
        """Return every parameter, with defaults where none is given.

        Raises:
            IndicatorParameterInvalid: one is unknown, no number or out of range.
        """
        known = {parameter.name for parameter in self.parameters}
        if unknown := sorted(set(parameters) - known):
            has = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise IndicatorParameterInvalid(
                f"{self.name} has no parameter {', '.join(unknown)}; {has}",
                indicator=self.name,
                parameter=unknown[0],
            )
        return {
            parameter.name: parameter.checked(parameters[parameter.name], self.name)
            if parameter.name in parameters
            else parameter.default
            for parameter in self.parameters
        }
