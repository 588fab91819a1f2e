"""What a live strategy has seen: closed candles from the warm-up on, and the event at hand."""

from collections.abc import Callable, Sequence
from math import nan
from typing import Any, Final

import numpy as np

from alphintra.engine.series import Bars
from alphintra.sdk.feed import Feed
from alphintra.sdk.live.growing import Candle, GrowingBars, LongerBars

#: What the lines of a feed hang on.
Held = tuple[dict[tuple[int, str], LongerBars], list[list[Callable[[], None]]]]

_NO_TIMES: Final = np.empty(0, np.int64)


class LiveFeed(Feed):
    """The closed candles of some symbols, growing, and the event at which the strategy stands.

    It always stands at the newest event: `row` counts them, and there are no columns over rows.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        super().__init__(
            symbols,
            [GrowingBars(symbol).bars() for symbol in symbols],
            row_symbol=_NO_TIMES,
            row_kind=_NO_TIMES,
            close_ns=_NO_TIMES,
            open_ns=_NO_TIMES,
        )
        #: When the newest candles closed.
        self.group_ns = 0
        #: The newest close, quote's middle or print of each symbol; NaN before the first.
        self.last_prices = [nan] * len(self.symbols)
        self._own = [GrowingBars(symbol) for symbol in symbols]
        self._longer: dict[tuple[int, str], LongerBars] = {}
        self._now_ns = 0
        self._at_hand = 0

    def __len__(self) -> int:
        return sum(own.count for own in self._own)

    @property
    def now_ns(self) -> int:
        """The time of the event at hand; 0 before the first."""
        return self._now_ns

    @property
    def symbol_at_hand(self) -> int:
        """The place of the symbol whose event is at hand."""
        return self._at_hand

    def newest_ns(self, symbol: int) -> int:
        """When the newest candle of a symbol began; before any there is, a time long ago."""
        return self._own[symbol].newest_ns

    def bars(self, symbol: int) -> Bars:
        """Return a copy of all candles of a symbol that are held."""
        return self._own[symbol].bars()

    def own(self, symbol: int, timeframe: str | None) -> GrowingBars:
        """Return the candles of a symbol, or longer ones: those that have ended by now.

        Raises:
            StrategyRefused: a timeframe that is none, or is shorter than the candles.
        """
        if timeframe is None:
            return self._own[symbol]
        longer = self._longer.get((symbol, timeframe))
        if longer is None:
            longer = LongerBars(self._own[symbol], timeframe)
            self._longer[symbol, timeframe] = longer
        longer.close_until(self.group_ns)
        return longer

    def check(self, symbol: int, candle: Candle) -> None:
        """Refuse what cannot be the next candle of a symbol.

        Raises:
            BadSeries: it is no candle, or not later than all of its symbol.
        """
        self._own[symbol].check(candle)

    def add(self, symbol: int, candle: Candle) -> None:
        """Take a candle that has closed and was checked, of those that closed together.

        Raises:
            StrategyRefused: longer ones that the strategy has asked for cannot be made of it.
        """
        self._own[symbol].add(candle)
        for (place, _), longer in self._longer.items():
            if place == symbol:
                longer.take(candle)
        self.group_ns = max(self.group_ns, candle.close_ns)
        self.last_prices[symbol] = candle.close

    def stand(self, symbol: int, now_ns: int) -> None:
        """Stand at an event of a symbol. Time does not go back."""
        self.row += 1
        self._at_hand = symbol
        self._now_ns = max(self._now_ns, now_ns)

    def take_lines(self) -> Held:
        """Let go of all lines, which are made anew; return them for `put_lines`."""
        held = (self._longer, [own.before_drop for own in self._own])
        self.put_lines(({}, [[] for _ in self._own]))
        return held

    def put_lines(self, held: Held) -> None:
        """Go on with the lines that were let go of."""
        self._longer, readers = held
        for own, before_drop in zip(self._own, readers, strict=True):
            own.before_drop = before_drop

    def value(self, name: str) -> Any:
        """Refuse: events are filled whole.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(f"there is no {name} here")
