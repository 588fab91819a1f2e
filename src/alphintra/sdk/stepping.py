"""The loop that calls a strategy's hooks, made to measure for each strategy.

A call costs 150 ns and setting an attribute 25, so what a strategy never looks at is not set. The
loop is written as Python source for the columns that the strategy's code names and compiled, the
way `dataclasses` makes its methods: `for feed.row, bar.close, line0.now in rows: on_bar(bar)`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from types import CodeType, FunctionType
from typing import Any, Final

import numpy as np

from alphintra.engine.portfolio import RowKind
from alphintra.sdk.feed import VALUES, Feed, Whole
from alphintra.sdk.lines import PRICES, Line
from alphintra.sdk.strategy import Strategy
from alphintra.sdk.views import Bar, Quote, Trade, view_of

#: Lines that are set for every event; further ones are read when they are asked for.
EAGER_LINES: Final = 8
#: The hook and the view of each kind of row.
HOOKS: Final[Mapping[RowKind, tuple[str, type[Any]]]] = {
    RowKind.BAR: ("on_bar", Bar),
    RowKind.QUOTE: ("on_quote", Quote),
    RowKind.TRADE: ("on_trade", Trade),
}
_TIMES: Final = {
    RowKind.BAR: ("close_ns", "open_ns"),
    RowKind.QUOTE: ("ts_ns",),
    RowKind.TRADE: ("ts_ns",),
}

#: Runs over prepared rows; true when the strategy has given orders, which the caller looks at.
Loop = Callable[[Iterable[Any]], bool]


def names_in(strategy: Strategy) -> frozenset[str]:
    """Return every attribute name in the code of a strategy's class and its bases."""
    names: set[str] = set()
    for base in type(strategy).__mro__:
        if base is Strategy or not issubclass(base, Strategy):
            continue
        for member in vars(base).values():
            function = member.fget if isinstance(member, property) else member
            function = getattr(function, "__func__", function)
            if isinstance(function, FunctionType):
                _collect(function.__code__, names)
    return frozenset(names)


class Stepper:
    """Calls a strategy's hooks for rows of a feed.

    Args:
        stirred: a list that the host puts something into when the strategy gives an order.
        lines: the lines that the strategy has declared.
    """

    def __init__(
        self, strategy: Strategy, feed: Feed, stirred: list[bool], lines: Sequence[Line]
    ) -> None:
        self._feed = feed
        names = names_in(strategy)
        kinds = [
            kind
            for kind in sorted({kind for _, kind in feed.series})
            if kind in HOOKS and _overrides(strategy, HOOKS[kind][0])
        ]
        self.calls = _rows_of(feed, kinds)
        self.set_lines = _eager(lines, names)
        self._line_columns = [line._whole_over_rows() for line in self.set_lines]
        for line in self.set_lines:
            line.__class__ = Line  # its `now` is set from here on
        self._with_symbol = "symbol" in names and len(feed.symbols) > 1
        self._columns = {
            kind: [name for name in (*VALUES[kind], *_TIMES[kind]) if name in names]
            for kind in kinds
        }
        self._mixed = len(kinds) > 1
        self._loop = _bound_loop(strategy, feed, stirred, self._shape(), self.set_lines)

    def _shape(self) -> "Shape":
        columns = tuple((kind, tuple(names)) for kind, names in self._columns.items())
        return columns, len(self.set_lines), self._with_symbol

    def prepare(self, first: int, last: int) -> Iterator[Any]:
        """Return the values of the calls from `first` to before `last`, for `run`."""
        feed = self._feed
        everything = self.calls is None
        rows: Any = slice(first, last) if self.calls is None else self.calls[first:last]
        values: list[Iterable[Any]] = [range(first, last) if everything else rows.tolist()]
        if self._mixed:
            values.append(feed.row_kind[rows].tolist())
        if self._with_symbol:
            values.append(np.array(feed.symbols, dtype=object)[feed.row_symbol[rows]].tolist())
        values += [column.tolist() for column in self._value_columns(rows)]
        values += [column[rows].tolist() for column in self._line_columns]
        return zip(*values, strict=True)

    def run(self, rows: Iterable[Any]) -> bool:
        """Call the hooks for rows; stops behind the one in which the strategy gave an order."""
        return self._loop(rows)

    def _value_columns(self, rows: Any) -> list[Any]:
        feed = self._feed
        if not self._mixed:
            return [feed.column(name)[rows] for names in self._columns.values() for name in names]
        kinds = feed.row_kind[rows]
        width = max(map(len, self._columns.values()))
        columns = []
        for place in range(width):
            column = np.empty(len(kinds), dtype=object)
            for kind, names in self._columns.items():
                if place < len(names):
                    there = kinds == kind
                    column[there] = feed.column(names[place])[rows][there]
            columns.append(column)
        return columns


#: The columns of each kind, the number of lines, and whether the symbol is set.
Shape = tuple[tuple[tuple[RowKind, tuple[str, ...]], ...], int, bool]


def _bound_loop(
    strategy: Strategy, feed: Feed, stirred: list[bool], shape: Shape, lines: Sequence[Line]
) -> Loop:
    views = []
    hooks = []
    one_symbol = len(feed.symbols) == 1
    for kind, names in shape[0]:
        hook, view = HOOKS[kind]
        filled = {*names, "symbol"} if one_symbol or shape[2] else set(names)
        event = view_of(view, feed, filled)
        if one_symbol:
            event.symbol = feed.symbols[0]
        views.append(event)
        hooks.append(getattr(strategy, hook))
    loop: Loop = _maker(shape)(feed, stirred, hooks, views, lines)
    return loop


@cache
def _maker(shape: Shape) -> Callable[..., Loop]:
    kinds, lines, with_symbol = shape
    mixed = len(kinds) > 1
    targets = ["feed.row"] + ["kind"] * mixed
    if with_symbol:
        targets.append("symbol" if mixed else "view0.symbol")
    if mixed:
        targets += [f"value{place}" for place in range(max(len(names) for _, names in kinds))]
    else:
        targets += [f"view0.{name}" for _, names in kinds for name in names]
    targets += [f"line{place}.now" for place in range(lines)]
    source = ["def make(feed, stirred, hooks, views, lines):"]
    for what, count in (("hook", len(kinds)), ("view", len(kinds)), ("line", lines)):
        if count:
            source.append(f"    {', '.join(f'{what}{i}' for i in range(count))}, = {what}s")
    source += ["    def loop(rows):", f"        for {', '.join(targets)}, in rows:"]
    if mixed:
        for place, (kind, names) in enumerate(kinds):
            source.append(f"            {'el' * (place > 0)}if kind == {int(kind)}:")
            if with_symbol:
                source.append(f"                view{place}.symbol = symbol")
            for at, name in enumerate(names):
                source.append(f"                view{place}.{name} = value{at}")
            source.append(f"                hook{place}(view{place})")
    else:
        source += [f"            hook{place}(view{place})" for place in range(len(kinds))]
    source += ["            if stirred:", "                return True"]
    source += ["        return False", "    return loop"]
    made: dict[str, Any] = {}
    # Only names from the fixed lists of this package become source; nothing of a user's does.
    exec("\n".join(source), made)  # noqa: S102
    maker: Callable[..., Loop] = made["make"]
    return maker


def _overrides(strategy: Strategy, hook: str) -> bool:
    return getattr(type(strategy), hook) is not getattr(Strategy, hook)


def _rows_of(feed: Feed, kinds: Sequence[RowKind]) -> Whole | None:
    """Return the rows that have a hook; None when all of them have."""
    called = np.isin(feed.row_kind, [int(kind) for kind in kinds])
    return None if called.all() else np.flatnonzero(called)


def _eager(lines: Sequence[Line], names: frozenset[str]) -> list[Line]:
    if not names & {"now", "ready"}:
        return []
    asked = [line for line in lines if line.name not in PRICES or line.name in names]
    return asked[:EAGER_LINES]


def _collect(code: CodeType, names: set[str]) -> None:
    names.update(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _collect(constant, names)
