"""A live run in this process, over recorded candles."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from alphintra.sdk import Bars, Strategy
from alphintra.sdk.live.feed import LiveFeed
from alphintra.sdk.live.growing import Candle
from alphintra.sdk.live.host import LiveHost
from alphintra.sdk.live.orders import Grid, Known, Names
from alphintra.sdk.live.run import LiveRun

PREFIX = "test/"


@dataclass
class Kept:
    """A gateway that keeps what it is given."""

    bodies: list[Mapping[str, Any]] = field(default_factory=list)
    canceled: list[str] = field(default_factory=list)

    def place(self, known: Known, body: Mapping[str, Any]) -> None:
        self.bodies.append(body)

    def cancel(self, known: Known) -> None:
        self.canceled.append(known.name)

    def price(self, symbol: str, *, is_buy: bool) -> None:
        return None


@dataclass
class Live:
    strategy: Strategy
    feed: LiveFeed
    host: LiveHost
    run: LiveRun
    gateway: Kept
    said: list[tuple[str, Mapping[str, object]]]


def begun(strategy: Strategy, symbols: Sequence[str], *, warm: bool = False) -> Live:
    """Return a run that is set up; unless `warm` its warm-up is over."""
    feed, gateway, names = LiveFeed(symbols), Kept(), Names(PREFIX)
    said: list[tuple[str, Mapping[str, object]]] = []
    host = LiveHost(
        strategy,
        feed,
        gateway,
        grids=[Grid("0.01", "1") for _ in symbols],
        names=names,
        capital=100_000.0,
        fee=0.0,
        say=lambda what, about: said.append((what, about)),
    )
    run = LiveRun(strategy, host, feed, names)
    run.set_up()
    if not warm:
        run.settle()
    return Live(strategy, feed, host, run, gateway, said)


def groups_of(series: Sequence[Bars]) -> list[tuple[int, list[tuple[int, Candle]]]]:
    """Return the candles that closed together, with their time, in its order."""
    rows = sorted(
        (int(bars.close_ns[row]), place, candle_at(bars, row))
        for place, bars in enumerate(series)
        for row in range(len(bars))
    )
    return [
        (close_ns, [(place, candle) for _, place, candle in group])
        for close_ns, group in groupby(rows, key=lambda one: one[0])
    ]


def candle_at(bars: Bars, row: int) -> Candle:
    return Candle(*(getattr(bars, name)[row].item() for name in Candle._fields))


def lived(
    strategy: type[Strategy],
    series: Sequence[Bars],
    *,
    late: Collection[tuple[str, int]] = (),
) -> Live:
    """Let a strategy live through candles.

    Args:
        late: symbols and rows of candles that come with the group after their own.
    """
    live = begun(strategy(), [bars.symbol for bars in series])
    held: list[tuple[int, Candle]] = []
    for close_ns, group in groups_of(series):
        now = [
            (place, candle)
            for place, candle in group
            if (series[place].symbol, int(series[place].open_ns.searchsorted(candle.open_ns)))
            not in late
        ]
        live.run.candles([*held, *now], close_ns)
        held = [one for one in group if one not in now]
    return live
