"""All that a strategy imports.

    from alphintra.sdk import Bar, Strategy, param

    class SmaCross(Strategy):
        fast = param(10, 2, 200)
        ...

docs/tutorial/first-strategy.md shows it step by step.
"""

from alphintra import indicators
from alphintra.engine.series import Bars, Quotes, Trades
from alphintra.sdk.errors import (
    ParameterRefused,
    RunCancelled,
    StrategyFailed,
    StrategyNotFound,
    StrategyOutOfTime,
    StrategyRefused,
)
from alphintra.sdk.hosting import Lifetime, Order, Status
from alphintra.sdk.lines import Line, Series
from alphintra.sdk.parameters import Parameter, param, parameters_of
from alphintra.sdk.resampling import resampled
from alphintra.sdk.strategy import Strategy
from alphintra.sdk.vectorised import Vectorised, vectorised
from alphintra.sdk.views import Bar, Fill, Position, Quote, Trade

__all__ = [
    "Bar",
    "Bars",
    "Fill",
    "Lifetime",
    "Line",
    "Order",
    "Parameter",
    "ParameterRefused",
    "Position",
    "Quote",
    "Quotes",
    "RunCancelled",
    "Series",
    "Status",
    "Strategy",
    "StrategyFailed",
    "StrategyNotFound",
    "StrategyOutOfTime",
    "StrategyRefused",
    "Trade",
    "Trades",
    "Vectorised",
    "indicators",
    "param",
    "parameters_of",
    "resampled",
    "vectorised",
]
