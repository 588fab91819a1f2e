"""Other parameters for a strategy that runs."""

import datetime
from collections import deque
from collections.abc import Mapping
from copy import deepcopy
from decimal import Decimal
from random import Random
from typing import Any, Final

import numpy as np

from alphintra.sdk.blame import blamed
from alphintra.sdk.lines import Line, Series
from alphintra.sdk.live.feed import LiveFeed
from alphintra.sdk.live.host import LiveHost
from alphintra.sdk.parameters import Value, parameters_of, resolved
from alphintra.sdk.strategy import Strategy

_PLAIN: Final = (
    type(None), bool, int, float, str, bytes, Decimal, datetime.date, datetime.timedelta,
    np.ndarray, np.generic,
)  # fmt: skip
_NOT_MADE_BY_SETUP: Final = {"_host", "random"}
_SETUP: Final = "it was ordered in setup"


class Renewal:
    """Lets what follows from parameters follow them when they change.

    `setup` is run on a second object of the class, which has the new parameters. Of what it sets,
    the strategy takes lines and series, timers, and every plain value that has not changed since
    its own `setup`; what has changed since is its memory and stays, and so does what is not plain
    (an object of a class of its own).

    Args:
        strategy: just set up.
    """

    def __init__(self, strategy: Strategy, host: LiveHost, feed: LiveFeed) -> None:
        self._strategy = strategy
        self._host = host
        self._feed = feed
        self._as_set = _copies(strategy)

    def renew(self, values: Mapping[str, Value]) -> None:
        """Change parameters; nothing changes when this raises.

        Raises:
            ParameterRefused: one that there is not, or a value that is not allowed.
            StrategyFailed: its `setup` raised.
        """
        strategy, host = self._strategy, self._host
        kind = type(strategy)
        declared = parameters_of(kind)
        chosen = resolved(
            declared,
            {**{name: getattr(strategy, name) for name in declared}, **values},
            strategy=kind.__name__,
        )
        held = self._feed.take_lines()
        lines, timers, muted = host.lines, host.timers, host.muted
        host.lines, host.timers, host.muted = [], [], _SETUP
        host.begin("setup")
        try:
            with blamed(strategy, self._feed):
                fresh = kind(**chosen)
                fresh.random = Random(0)
                fresh._host = host
                fresh.setup()
            host.flush()
        except Exception:
            self._feed.put_lines(held)
            host.lines, host.timers = lines, timers
            raise
        finally:
            host.muted = muted
        self._take(fresh)
        for name, value in chosen.items():
            setattr(strategy, name, value)

    def _take(self, fresh: Strategy) -> None:
        strategy = self._strategy
        as_set = _copies(fresh)
        for name, value in vars(fresh).items():
            if name in _NOT_MADE_BY_SETUP:
                continue
            untouched = name in self._as_set and _same(vars(strategy).get(name), self._as_set[name])
            if holds_lines(value) or untouched or name not in vars(strategy):
                setattr(strategy, name, value)
                if name in as_set:
                    self._as_set[name] = as_set[name]


def holds_lines(value: object) -> bool:
    """Whether a value is a line or a series, or a collection of such."""
    if isinstance(value, Line | Series):
        return True
    if isinstance(value, Mapping):
        return any(map(holds_lines, value.values()))
    return isinstance(value, list | tuple) and any(map(holds_lines, value))


def _copies(strategy: Strategy) -> dict[str, Any]:
    return {name: deepcopy(value) for name, value in vars(strategy).items() if _is_plain(value)}


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple | set | frozenset | deque):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)


def _same(value: object, before: object) -> bool:
    if type(value) is not type(before):
        return False
    if isinstance(value, Mapping) and isinstance(before, Mapping):
        return value.keys() == before.keys() and all(
            _same(value[name], before[name]) for name in value
        )
    if isinstance(value, list | tuple | deque) and isinstance(before, list | tuple | deque):
        return len(value) == len(before) and all(map(_same, value, before))
    if isinstance(value, np.ndarray):
        return np.array_equal(value, np.asarray(before), equal_nan=value.dtype.kind == "f")
    return bool(value == before) or (value != value and before != before)
