"""What can be set on a strategy from outside: `fast = param(10, 2, 200)`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import getattr_static, signature
from typing import TypeVar, cast

from alphintra.sdk.errors import ParameterRefused, StrategyRefused

Value = bool | int | float | str
T = TypeVar("T", bool, int, float, str)

#: Words that a command line may use for a bool.
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(slots=True)
class Parameter:
    """One value that a run may choose: its kind, its range or its choices.

    `low`, `high` and `step` are the range that is allowed and searched; both ends are included.
    """

    default: Value
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[Value, ...] = ()
    help: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.default, bool | int | float | str):
            raise StrategyRefused(
                f"a parameter is a bool, int, float or str, not {type(self.default).__name__}"
            )
        if self.low is not None and self.high is not None and self.low > self.high:
            raise StrategyRefused(f"a range from {self.low} to {self.high} is empty")
        self.accepted(self.default)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def accepted(self, value: object) -> Value:
        """Return a value as the strategy gets it; text is read as the parameter's kind.

        Raises:
            ParameterRefused: another kind, outside the range, or not one of the choices.
        """
        value = self._as_kind(value)
        if self.choices and value not in self.choices:
            raise self._refusal(value, "one of " + ", ".join(map(str, self.choices)))
        if isinstance(value, int | float) and not isinstance(value, bool):
            too_low = self.low is not None and not value >= self.low
            too_high = self.high is not None and not value <= self.high
            if value != value or too_low or too_high:
                raise self._refusal(value, self.describe())
        return value

    def describe(self) -> str:
        """Say in a few words which values are allowed."""
        kind = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
        if self.choices:
            return "one of " + ", ".join(map(str, self.choices))
        text = kind[type(self.default)]
        if self.low is not None and self.high is not None:
            return f"{text} from {self.low:.12g} to {self.high:.12g}"
        if self.low is not None:
            return f"{text} not below {self.low:.12g}"
        return f"{text} not above {self.high:.12g}" if self.high is not None else text

    def _as_kind(self, value: object) -> Value:
        kind = type(self.default)
        if isinstance(value, str) and kind is not str:
            try:
                read = _BOOLEANS[value.strip().lower()] if kind is bool else kind(value)
            except (KeyError, ValueError):
                raise self._refusal(value, self.describe()) from None
            return read
        if hasattr(value, "item"):  # a NumPy scalar, as searches hand them over
            value = value.item()
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is not kind:
            raise self._refusal(value, self.describe())
        return value

    def _refusal(self, value: object, wanted: str) -> ParameterRefused:
        name = self.name or "the default"
        return ParameterRefused(
            f"{name}: {value!r} is not {wanted}", parameter=self.name, value=str(value)
        )


def param(
    default: T,
    low: float | None = None,
    high: float | None = None,
    *,
    step: float | None = None,
    choices: Sequence[T] = (),
    help: str = "",  # noqa: A002 - reads best where it is declared
) -> T:
    """Declare a value that can be set from outside, in a strategy's body or signature.

    `fast = param(10, 2, 200)` is the whole number 10 unless a run says otherwise, from 2 to 200,
    which is also what a search tries. The kind follows from the default.

    Raises:
        StrategyRefused, ParameterRefused: the declaration contradicts itself.
    """
    # To the type checker a parameter is its value: `self.fast` is an int.
    return cast(T, Parameter(default, low, high, step, tuple(choices), help))


def parameters_of(strategy: object) -> dict[str, Parameter]:
    """Return the parameters of a strategy class, an instance or a vectorised strategy, by name."""
    declared = getattr(strategy, "parameters", None)
    if isinstance(declared, Mapping):
        return dict(declared)
    owner = strategy if isinstance(strategy, type) else type(strategy)
    found: dict[str, Parameter] = {}
    for base in reversed(owner.__mro__):
        for name in vars(base):
            value = getattr_static(owner, name)
            if isinstance(value, Parameter):
                found[name] = value
    return found


def parameters_of_function(function: Callable[..., object]) -> dict[str, Parameter]:
    """Return the parameters that a vectorised strategy declares as defaults."""
    found = {}
    for name, argument in list(signature(function).parameters.items())[1:]:
        if not isinstance(argument.default, Parameter):
            raise StrategyRefused(
                f"{function.__name__}: argument {name} has to be declared as {name}=param(…)"
            )
        argument.default.name = name
        found[name] = argument.default
    return found


def resolved(
    declared: Mapping[str, Parameter], given: Mapping[str, object], *, strategy: str
) -> dict[str, Value]:
    """Return a value for every parameter, the defaults where none is given.

    Raises:
        ParameterRefused: an unknown name, or a value that its parameter does not allow.
    """
    for name in given:
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise ParameterRefused(
                f"{strategy} has no parameter {name}; it has: {known}", parameter=name
            )
    return {
        name: parameter.accepted(given.get(name, parameter.default))
        for name, parameter in declared.items()
    }
