"""Strategies without a loop: a function from arrays to target weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from alphintra.engine.series import Bars, Floats
from alphintra.sdk.errors import StrategyRefused
from alphintra.sdk.parameters import Parameter, Value, parameters_of_function, resolved


@dataclass(frozen=True, slots=True, eq=False)
class Vectorised:
    """A function from bars to the share of equity to hold after each bar.

    It is called once for each symbol, or, when `portfolio`, once with all of them. Made by the
    decorator `vectorised`.
    """

    function: Callable[..., Any]
    parameters: Mapping[str, Parameter]
    portfolio: bool

    @property
    def __name__(self) -> str:
        return self.function.__name__

    def __call__(self, bars: Any, **parameters: object) -> Any:
        """Call the function with checked parameters, for trying it out."""
        return self.function(bars, **resolved(self.parameters, parameters, strategy=self.__name__))

    def weights(
        self, bars: Mapping[str, Bars], parameters: Mapping[str, Value]
    ) -> dict[str, Floats]:
        """Return a target weight for every bar of every symbol; NaN leaves the position as it is.

        Raises:
            StrategyRefused: the function returned something else.
        """
        if self.portfolio:
            answer = self.function(bars, **parameters)
            if not isinstance(answer, Mapping) or set(answer) != set(bars):
                raise StrategyRefused(
                    f"{self.__name__} has to return a mapping with an array for each of "
                    f"{', '.join(bars)}"
                )
        else:
            answer = {symbol: self.function(part, **parameters) for symbol, part in bars.items()}
        return {symbol: self._checked(answer[symbol], part) for symbol, part in bars.items()}

    def _checked(self, answer: object, bars: Bars) -> Floats:
        try:
            weights = np.ascontiguousarray(answer, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise StrategyRefused(f"{self.__name__} has to return an array of numbers") from error
        if weights.shape != (len(bars),):
            raise StrategyRefused(
                f"{self.__name__} returned an array of shape {weights.shape} for {len(bars)} bars "
                f"of {bars.symbol}; it needs one target weight for each"
            )
        if np.isinf(weights).any():
            row = int(np.argmax(np.isinf(weights)))
            raise StrategyRefused(f"{self.__name__} returned {weights[row]} at row {row}")
        return weights

    def _repr_html_(self) -> str:
        from alphintra.sdk.notebook import strategy_html

        return strategy_html(self)


def vectorised(function: Callable[..., Any] | None = None, *, portfolio: bool = False) -> Any:
    """Make a strategy of a function.

    The first argument is a `Bars`; with `portfolio=True`, a mapping from symbol to `Bars`. The
    others are parameters: `fast=param(10, 2, 200)`. It returns an array with one target weight for
    each bar (or a mapping of them): the share of equity to hold from the next open on, NaN to leave
    it as it is; booleans are 0 and 1. A weight may follow from this bar and earlier ones only;
    `alphintra check` finds out.

    Raises:
        StrategyRefused: an argument that is not declared with `param`.
    """

    def decorate(inner: Callable[..., Any]) -> Vectorised:
        return Vectorised(inner, parameters_of_function(inner), portfolio)

    return decorate if function is None else decorate(function)
