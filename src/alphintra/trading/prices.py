"""The last prices that the desk has seen, and how fresh they are by its own clock."""

from decimal import Decimal

import msgspec

from alphintra.core.clock import NS_PER_SECOND, Clock
from alphintra.core.market_data import Bar, Quote, Tick, Trade
from alphintra.core.orders import Side


class Price(msgspec.Struct, kw_only=True):
    """One symbol's prices; a source without quotes gives the last price for both sides."""

    bid: Decimal
    ask: Decimal
    last: Decimal
    has_quotes: bool
    received_ns: int


class Prices:
    """Last prices by symbol.

    Freshness is judged by when a tick was received, not by its own time: a replayed day is fresh
    while it is being replayed, and a feed that is connected but silent goes stale whatever it last
    claimed.
    """

    def __init__(self, clock: Clock, *, silence_s: float) -> None:
        self._clock = clock
        self._silence_ns = round(silence_s * NS_PER_SECOND)
        self._prices: dict[str, Price] = {}
        self._blocked: set[str] = set()

    def update(self, symbol: str, tick: Tick) -> None:
        """Take a tick."""
        now_ns = self._clock.now_ns()
        price = self._prices.get(symbol)
        match tick:
            case Quote(bid=bid, ask=ask):
                last = price.last if price else (bid + ask) / 2
                self._prices[symbol] = Price(
                    bid=bid, ask=ask, last=last, has_quotes=True, received_ns=now_ns
                )
            case Trade(price=last) | Bar(close=last):
                if price is None or not price.has_quotes:
                    self._prices[symbol] = Price(
                        bid=last, ask=last, last=last, has_quotes=False, received_ns=now_ns
                    )
                else:
                    price.last = last
                    price.received_ns = now_ns

    def forget(self, symbol: str) -> None:
        """Drop the prices of a symbol: another source has taken over."""
        self._prices.pop(symbol, None)

    def block(self, symbol: str) -> None:
        """The watchdog calls the feed stale: no price until the next tick says otherwise."""
        self._blocked.add(symbol)

    def unblock(self, symbol: str) -> None:
        self._blocked.discard(symbol)

    def age_s(self, symbol: str) -> float | None:
        """Return seconds since the last tick, or `None` if there was none."""
        price = self._prices.get(symbol)
        if price is None:
            return None
        return (self._clock.now_ns() - price.received_ns) / NS_PER_SECOND

    def is_fresh(self, symbol: str) -> bool:
        """Say whether orders may rely on the price. A clock that jumped back counts as fresh."""
        price = self._prices.get(symbol)
        if price is None or symbol in self._blocked:
            return False
        return self._clock.now_ns() - price.received_ns <= self._silence_ns

    def get(self, symbol: str) -> Price | None:
        """Return the last prices, however old."""
        return self._prices.get(symbol)

    def reference(self, symbol: str, side: Side) -> Decimal | None:
        """Return what `side` would trade at: the ask for a buyer, the bid for a seller."""
        price = self._prices.get(symbol)
        if price is None:
            return None
        return price.ask if side is Side.BUY else price.bid

    def mark(self, symbol: str, quantity: Decimal) -> Decimal | None:
        """Return what a position is worth a unit: what closing it would bring."""
        return self.reference(symbol, Side.SELL if quantity > 0 else Side.BUY)
