"""A market that moves by itself: quotes and trades for a few symbols, the same ones from the same
seed. Pure.

The mid-price is a random walk in logarithms with a weak pull back to where it began, so that
months of running stay plausible. Volatility and activity follow the hours (high when New York
opens and closes, low at night), now and then the price jumps, and after a jump both are higher for
some minutes. Spreads are whole ticks; quotes have sizes; trades hit the bid or lift the ask. The
simulated market never closes.

Floats move the mid inside; what leaves is on the instrument's grid, made from whole ticks and lots.
"""

import heapq
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from alphintra.core import money
from alphintra.core.clock import NS_PER_SECOND
from alphintra.core.instruments import Instrument
from alphintra.core.market_data import Quote, Tick, Trade

_YEAR_S = 365 * 86_400
_DAY_S = 86_400
#: Half of a deviation from the starting price is forgotten after so long.
_PULL_HALF_LIFE_S = 30 * _DAY_S
_JUMPS_PER_DAY = 6.0
#: A jump in multiples of an hour's standard deviation.
_JUMP_SCALE = 1.5
_EXCITEMENT_HALF_LIFE_S = 300.0
#: New York's session in UTC, standard time; the simulated hours need no daylight saving.
_OPEN_S, _CLOSE_S = 14.5 * 3_600, 21 * 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketModel:
    """How one symbol behaves.

    `volatility` is the annual standard deviation of log returns, as a fraction; `spread_bps` the
    usual spread in basis points; `size` the usual quantity of a quote; `ticks_per_s` the average
    activity.
    """

    instrument: Instrument
    price: Decimal
    volatility: float
    spread_bps: float
    size: Decimal
    #: Sizes are multiples of this: whole shares, though fractions can be ordered.
    size_step: Decimal
    ticks_per_s: float
    #: Share of events that are trades; zero for markets that publish no prints.
    trade_share: float = 0.35
    has_session: bool = False


def intraday_factor(seconds_of_day: float, *, has_session: bool) -> float:
    """Return how lively the market is at this time of day (UTC); 1 is the average of a session."""
    if not has_session:
        # Round-the-clock markets: a gentle wave that peaks when Europe and America overlap.
        return 0.85 + 0.3 * math.cos((seconds_of_day - 15.5 * 3_600) / _DAY_S * 2 * math.pi)
    if not _OPEN_S <= seconds_of_day < _CLOSE_S:
        return 0.45
    position = (seconds_of_day - _OPEN_S) / (_CLOSE_S - _OPEN_S)
    return 0.7 + 1.2 * (2 * position - 1) ** 2


class SymbolMarket:
    """One symbol. Its events depend on seed, start and model only, not on how time is cut up."""

    def __init__(self, model: MarketModel, *, seed: int, start_ns: int) -> None:
        instrument = model.instrument
        self.symbol = instrument.symbol
        self._model = model
        self._instrument = instrument
        self._random = random.Random(f"{seed}/{instrument.symbol}")
        self._tick = float(instrument.tick_size)
        self._anchor = self._log_mid = math.log(float(model.price))
        self._per_root_s = model.volatility / math.sqrt(_YEAR_S)
        self._excitement = 0.0
        self._now_ns = start_ns
        self._next_ns = start_ns
        self._usual_steps = max(1, money.steps(model.size, model.size_step))
        self._draw_next()

    @property
    def next_ns(self) -> int:
        """When the next event is due."""
        return self._next_ns

    def reanchor(self, price: Decimal) -> None:
        """Go on from another price: the one at which another source left the symbol."""
        self._anchor = self._log_mid = math.log(float(price))

    def step(self) -> Tick:
        """Return the next event, at `next_ns`, and move on to the one after it."""
        at_ns = self._next_ns
        elapsed_s = (at_ns - self._now_ns) / NS_PER_SECOND
        self._now_ns = at_ns
        self._walk(elapsed_s, at_ns)
        bid_ticks, ask_ticks = self._spread()
        tick: Tick
        if self._random.random() < self._model.trade_share:
            tick = self._trade(at_ns, bid_ticks, ask_ticks)
        else:
            tick = Quote(
                at_ns,
                self._instrument.price(bid_ticks),
                self._instrument.price(ask_ticks),
                self._size(),
                self._size(),
            )
        self._draw_next()
        return tick

    def _liveliness(self, at_ns: int) -> float:
        second = at_ns / NS_PER_SECOND % _DAY_S
        return intraday_factor(second, has_session=self._model.has_session) * (1 + self._excitement)

    def _walk(self, elapsed_s: float, at_ns: int) -> None:
        draw = self._random
        self._excitement *= 0.5 ** (elapsed_s / _EXCITEMENT_HALF_LIFE_S)
        deviation = self._per_root_s * math.sqrt(elapsed_s) * self._liveliness(at_ns)
        pull = 1 - 0.5 ** (elapsed_s / _PULL_HALF_LIFE_S)
        self._log_mid += deviation * draw.gauss(0, 1) + pull * (self._anchor - self._log_mid)
        if draw.random() < _JUMPS_PER_DAY * elapsed_s / _DAY_S:
            self._log_mid += draw.gauss(0, _JUMP_SCALE) * self._per_root_s * 60
            self._excitement = 1.5

    def _spread(self) -> tuple[int, int]:
        mid = math.exp(self._log_mid)
        usual = mid * self._model.spread_bps / 10_000 / self._tick * (1 + self._excitement)
        width = max(1, round(usual * self._random.uniform(0.6, 1.6)))
        bid = max(1, math.floor(mid / self._tick - (width - 1) / 2))
        return bid, bid + width

    def _trade(self, at_ns: int, bid_ticks: int, ask_ticks: int) -> Trade:
        buys = self._random.random() < 0.5
        price = self._instrument.price(ask_ticks if buys else bid_ticks)
        size = self._steps(self._random.lognormvariate(-1.2, 1.0))
        return Trade(at_ns, price, size, "BUY" if buys else "SELL")

    def _size(self) -> Decimal:
        return self._steps(self._random.lognormvariate(0, 0.6))

    def _steps(self, share: float) -> Decimal:
        steps = max(1, round(self._usual_steps * share))
        return money.to_amount(self._model.size_step * steps)

    def _draw_next(self) -> None:
        rate = self._model.ticks_per_s * min(3.0, self._liveliness(self._now_ns))
        wait_s = min(5.0, self._random.expovariate(rate))
        # At least a microsecond: the database does not tell closer instants apart.
        self._next_ns = self._now_ns + max(1_000, round(wait_s * 1_000_000) * 1_000)


class MarketSimulator:
    """Several symbols in one stream of events, in order of time."""

    def __init__(self, models: list[MarketModel], *, seed: int, start_ns: int) -> None:
        self.markets = {
            str(model.instrument.symbol): SymbolMarket(model, seed=seed, start_ns=start_ns)
            for model in models
        }
        self._queue = [(market.next_ns, symbol) for symbol, market in self.markets.items()]
        heapq.heapify(self._queue)

    @property
    def next_ns(self) -> int:
        """When the next event of any symbol is due."""
        return self._queue[0][0]

    def until(self, end_ns: int) -> Iterator[tuple[str, Tick]]:
        """Yield all events up to and including `end_ns`."""
        while self._queue[0][0] <= end_ns:
            _, symbol = self._queue[0]
            market = self.markets[symbol]
            tick = market.step()
            heapq.heapreplace(self._queue, (market.next_ns, symbol))
            yield symbol, tick
