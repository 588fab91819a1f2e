"""A strategy's live run: what happens becomes the hooks of a backtest, in its order.

    warm-up   candles and fills of the past, in the order of time; no order is sent, an order that
              has been given before is found again by its name
    live      a fill: `on_fill`; candles that close together: `on_bar` for each, then the timers
              that are due; a quote: `on_quote`; a print: `on_trade`

It reads no clock and draws no lots: the same events give the same orders under the same names.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from alphintra.sdk.blame import blamed
from alphintra.sdk.live.feed import LiveFeed
from alphintra.sdk.live.growing import Candle
from alphintra.sdk.live.host import LiveHost
from alphintra.sdk.live.orders import Names
from alphintra.sdk.live.past import Happened, fill_event, happened
from alphintra.sdk.live.renewal import Renewal
from alphintra.sdk.live.told import Execution, OrderState
from alphintra.sdk.parameters import Value
from alphintra.sdk.strategy import Strategy
from alphintra.sdk.views import Bar, Quote, Trade

MISSED: Final = "its candle closed while nobody watched"


class LiveRun:
    """One strategy, from its `setup` to its end. Its host is set up by the caller.

    Every method raises `StrategyFailed` where the strategy raises.
    """

    def __init__(self, strategy: Strategy, host: LiveHost, feed: LiveFeed, names: Names) -> None:
        kind = type(strategy)
        self.wants_quotes = kind.on_quote is not Strategy.on_quote
        self.wants_trades = kind.on_trade is not Strategy.on_trade
        self.hook = ""  #: that was called last
        self._strategy = strategy
        self._host = host
        self._feed = feed
        self._names = names
        self._bar, self._quote, self._trade = Bar(feed), Quote(feed), Trade(feed)
        self._on_bar = kind.on_bar is not Strategy.on_bar
        self._on_fill = kind.on_fill is not Strategy.on_fill
        self._passed_ns: int | None = None
        self._past: deque[Happened] = deque()

    # The past.

    def set_up(self) -> None:
        """Declare lines, data and timers; what `setup` orders is refused."""
        self._host.begin("setup")
        self.hook = "setup"
        with blamed(self._strategy, self._feed):
            self._strategy.setup()
        self._host.flush()
        self._renewal = Renewal(self._strategy, self._host, self._feed)

    def remember(self, orders: Sequence[OrderState], fills: Sequence[Execution]) -> int:
        """Take own orders and fills of the past, each oldest first; return how many fills.

        They are told between the candles of the warm-up, as they were then.
        """
        self._past.extend(happened(self._host, self._names, orders, fills))
        return sum(isinstance(one.news, Execution) for one in self._past)

    def settle(self) -> None:
        """End the warm-up: from here on orders are sent."""
        self._live_until(None)
        self._host.settle()

    # What happens.

    def candles(self, group: Sequence[tuple[int, Candle]], close_ns: int, muted: str = "") -> None:
        """Take candles that closed together, each with its symbol's place.

        One that closed before `close_ns` is late: nothing is ordered at it.

        Args:
            muted: why nothing is ordered at any of them; empty when it is.

        Raises:
            BadSeries: one is no candle, or not later than all of its symbol; nothing has changed.
        """
        host, feed = self._host, self._feed
        for symbol, candle in group:
            feed.check(symbol, candle)
        if host.warming:
            self._live_until(close_ns)
            muted = host.muted
        for symbol, candle in group:
            feed.add(symbol, candle)
        host.begin((close_ns, ""))
        for symbol, candle in group:
            host.muted = muted or (MISSED if candle.close_ns < close_ns else "")
            feed.stand(symbol, close_ns)
            if self._on_bar:
                self._show(symbol, candle)
        host.muted = muted
        self._call_timers(group[0][1].open_ns, close_ns)
        host.muted = "" if not host.warming else muted

    def quote(
        self,
        symbol: int,
        ts_ns: int,
        *,
        bid: float,
        ask: float,
        bid_size: float,
        ask_size: float,
    ) -> None:
        """Take a change of bid and ask; NaN for what there is not."""
        feed, quote = self._feed, self._quote
        middle = (bid + ask) / 2
        if middle == middle:
            feed.last_prices[symbol] = middle
        if not self.wants_quotes:
            return
        feed.stand(symbol, ts_ns)
        quote.symbol, quote.ts_ns, quote.bid, quote.ask = feed.symbols[symbol], ts_ns, bid, ask
        quote.bid_size, quote.ask_size = bid_size, ask_size
        self._tick("q", "on_quote", lambda: self._strategy.on_quote(quote))

    def trade(self, symbol: int, ts_ns: int, *, price: float, size: float, side: int) -> None:
        """Take a print. `side`: +1 the buyer took, -1 the seller did, 0 not known."""
        feed, trade = self._feed, self._trade
        feed.last_prices[symbol] = price
        if not self.wants_trades:
            return
        feed.stand(symbol, ts_ns)
        trade.symbol, trade.ts_ns, trade.price = feed.symbols[symbol], ts_ns, price
        trade.size, trade.side = size, side
        self._tick("t", "on_trade", lambda: self._strategy.on_trade(trade))

    def fill(self, fill: Execution) -> None:
        """Take a fill, once however often it is told."""
        if not self._host.owns(fill.order_id):
            self._host.early(fill)
            return
        seen = self._host.book(fill)
        if seen is None or not self._on_fill:
            return
        self._feed.stand(self._feed.places[seen.symbol], self._feed.now_ns)
        self._host.begin(fill_event(fill))
        self.hook = "on_fill"
        with blamed(self._strategy, self._feed):
            self._strategy.on_fill(seen)
        self._host.flush()

    def order(self, state: OrderState) -> bool:
        """Take news of an order; false for one of somebody else."""
        if self._host.learn(state) is None:
            return False
        for fill in self._host.late(state.id):
            self.fill(fill)
        return True

    def set_parameters(self, values: dict[str, Value]) -> None:
        """Give parameters other values; see `Renewal`.

        Raises:
            ParameterRefused: one that there is not, or a value that is not allowed.
        """
        self._renewal.renew(values)

    # Inside.

    def _live_until(self, close_ns: int | None) -> None:
        """Tell what happened before candles that closed at a time."""
        while self._past and (close_ns is None or self._past[0].known_ns <= close_ns):
            news = self._past.popleft().news
            if isinstance(news, Execution):
                self.fill(news)
            else:
                self._host.learn(news)

    def _show(self, symbol: int, candle: Candle) -> None:
        bar = self._bar
        bar.symbol = self._feed.symbols[symbol]
        bar.open_ns, bar.close_ns, bar.open, bar.high, bar.low, bar.close, bar.volume = candle
        self.hook = "on_bar"
        with blamed(self._strategy, self._feed):
            self._strategy.on_bar(bar)
        self._host.flush()

    def _tick(self, mark: str, hook: str, call: Callable[[], None]) -> None:
        now_ns = self._feed.now_ns
        self._host.begin((now_ns, mark), repeats=False)
        self.hook = hook
        with blamed(self._strategy, self._feed):
            call()
        self._host.flush()
        self._call_timers(now_ns, now_ns)

    def _call_timers(self, open_ns: int, now_ns: int) -> None:
        # A candle of a day ends just before midnight, and what is due then comes behind it.
        now = now_ns + 1
        before = open_ns if self._passed_ns is None else self._passed_ns
        self._passed_ns = max(now, before)
        if not self._host.timers:
            return
        for length_ns, name in sorted(self._host.timers, key=lambda timer: timer[1]):
            if now // length_ns > before // length_ns:
                self.hook = "on_timer"
                with blamed(self._strategy, self._feed):
                    self._strategy.on_timer(name)
                self._host.flush()
