"""The simulator as plain Python sees it: one symbol's book that grows and checks its input."""

from typing import Final

from alphintra.engine import layout, steps
from alphintra.engine.layout import (
    MAGNITUDE_LIMIT,
    NEVER_NS,
    NO_PRICE,
    UNKNOWN_SIZE,
    Event,
    Kind,
    Lifetime,
    Outcome,
    Side,
)

_CAPACITY_FIRST: Final = 8


class MarketSimulator:
    """What happens to the orders of one symbol when the market moves.

    Prices are integer ticks, quantities integer lots, times integer nanoseconds. The same calls
    give the same events; it reads no clock and does no I/O.
    """

    def __init__(
        self,
        *,
        slippage_ticks: int = 0,
        participation_bps: int = layout.BPS,
        through_only: bool = False,
    ) -> None:
        """See `layout.new_book` for the arguments."""
        self._book = layout.new_book(
            _CAPACITY_FIRST,
            slippage_ticks=slippage_ticks,
            participation_bps=participation_bps,
            through_only=through_only,
        )

    @property
    def open_orders(self) -> int:
        """How many orders are open."""
        return int(self._book.state["open_orders"].item())

    def submit(
        self,
        side: Side,
        kind: Kind,
        lots: int,
        *,
        ts_ns: int,
        limit_price_ticks: int = NO_PRICE,
        stop_price_ticks: int = NO_PRICE,
        trail_ticks: int = 0,
        trail_bps: int = 0,
        lifetime: Lifetime = Lifetime.REST,
        post_only: bool = False,
        expires_ns: int = NEVER_NS,
        auction_ns: int = NEVER_NS,
    ) -> tuple[int, list[Event]]:
        """Enter an order, let it meet the last quote, and return its handle and what happened.

        The handle stays valid while the order is open. See `steps.submit`.

        Raises:
            ValueError: terms that the kind does not allow, or numbers out of range.
        """
        check_terms(
            kind,
            lots=lots,
            limit_price_ticks=limit_price_ticks,
            stop_price_ticks=stop_price_ticks,
            trail_ticks=trail_ticks,
            trail_bps=trail_bps,
        )
        if post_only and (kind not in _LIMITED or lifetime != Lifetime.REST):
            raise ValueError("only an order with a limit that may rest can be post-only")
        check_auction(kind, lifetime, auction_ns != NEVER_NS)
        self._make_room()
        handle = steps.submit(
            self._book, int(side), int(kind), lots, limit_price_ticks, stop_price_ticks,
            trail_ticks, trail_bps, int(lifetime), int(post_only), expires_ns, auction_ns, ts_ns,
        )  # fmt: skip
        return handle, self._events()

    def restore(
        self,
        side: Side,
        kind: Kind,
        remaining_lots: int,
        *,
        accepted_ns: int,
        limit_price_ticks: int = NO_PRICE,
        stop_price_ticks: int = NO_PRICE,
        trail_ticks: int = 0,
        trail_bps: int = 0,
        lifetime: Lifetime = Lifetime.REST,
        post_only: bool = False,
        expires_ns: int = NEVER_NS,
        auction_ns: int = NEVER_NS,
        triggered: bool = False,
        mark_price_ticks: int = NO_PRICE,
    ) -> int:
        """Put an order back after a restart without matching it; return its handle.

        See `steps.restore`.

        Raises:
            ValueError: as `submit`.
        """
        check_terms(
            kind,
            lots=remaining_lots,
            limit_price_ticks=limit_price_ticks,
            stop_price_ticks=stop_price_ticks,
            trail_ticks=trail_ticks,
            trail_bps=trail_bps,
        )
        check_auction(kind, lifetime, auction_ns != NEVER_NS)
        self._make_room()
        return steps.restore(
            self._book, int(side), int(kind), remaining_lots, limit_price_ticks, stop_price_ticks,
            trail_ticks, trail_bps, int(lifetime), int(post_only), expires_ns, auction_ns,
            accepted_ns, int(triggered), mark_price_ticks,
        )  # fmt: skip

    def cancel(self, handle: int, *, ts_ns: int) -> list[Event]:
        """Cancel an open order; no events when there is none."""
        steps.cancel(self._book, handle, ts_ns)
        return self._events()

    def modify(
        self,
        handle: int,
        kind: Kind,
        lots: int,
        *,
        ts_ns: int,
        limit_price_ticks: int = NO_PRICE,
        stop_price_ticks: int = NO_PRICE,
        trail_ticks: int = 0,
        trail_bps: int = 0,
        expires_ns: int = NEVER_NS,
    ) -> tuple[Outcome, list[Event]]:
        """Set all terms of an open order; `kind` is the one it has. See `steps.modify`.

        Raises:
            ValueError: as `submit`.
        """
        check_terms(
            kind,
            lots=lots,
            limit_price_ticks=limit_price_ticks,
            stop_price_ticks=stop_price_ticks,
            trail_ticks=trail_ticks,
            trail_bps=trail_bps,
        )
        outcome = steps.modify(
            self._book, handle, lots, limit_price_ticks, stop_price_ticks, trail_ticks, trail_bps,
            expires_ns, ts_ns,
        )  # fmt: skip
        return Outcome(outcome), self._events()

    def mark_price_ticks(self, handle: int) -> int | None:
        """Return the best price an open trailing stop has seen, if it has seen any."""
        slot = steps.find(self._book, handle)
        mark = NO_PRICE if slot < 0 else int(self._book.orders[slot]["mark_price_ticks"])
        return None if mark == NO_PRICE else mark

    def on_quote(
        self,
        bid_ticks: int,
        ask_ticks: int,
        *,
        ts_ns: int,
        bid_lots: int = UNKNOWN_SIZE,
        ask_lots: int = UNKNOWN_SIZE,
    ) -> list[Event]:
        """The best bid and ask change; `NO_PRICE` where nobody is. See `steps.on_quote`."""
        _check_prices(bid_ticks, ask_ticks)
        _check_sizes(bid_lots, ask_lots)
        count = steps.on_quote(self._book, bid_ticks, ask_ticks, bid_lots, ask_lots, ts_ns)
        return self._events() if count else []

    def on_trade(self, price_ticks: int, size_lots: int, *, ts_ns: int) -> list[Event]:
        """Somebody traded. See `steps.on_trade`."""
        _check_prices(price_ticks)
        if price_ticks == NO_PRICE:
            raise ValueError("a print has a price")
        _check_sizes(size_lots)
        count = steps.on_trade(self._book, price_ticks, size_lots, ts_ns)
        return self._events() if count else []

    def on_bar(
        self,
        open_ticks: int,
        high_ticks: int,
        low_ticks: int,
        close_ticks: int,
        *,
        open_ns: int,
        close_ns: int,
        volume_lots: int = UNKNOWN_SIZE,
    ) -> list[Event]:
        """A bar is complete. See `steps.on_bar`.

        Raises:
            ValueError: open or close outside low and high, or an end before the beginning.
        """
        _check_prices(low_ticks, high_ticks)
        if low_ticks == NO_PRICE:
            raise ValueError("a bar has prices")
        _check_sizes(volume_lots)
        if not (
            low_ticks <= min(open_ticks, close_ticks)
            and max(open_ticks, close_ticks) <= high_ticks
            and open_ns <= close_ns
        ):
            raise ValueError("a bar's open and close lie between its low and high, in time")
        count = steps.on_bar(
            self._book, open_ticks, high_ticks, low_ticks, close_ticks, volume_lots, open_ns,
            close_ns,
        )  # fmt: skip
        return self._events() if count else []

    def expire(self, now_ns: int) -> list[Event]:
        """Take out every order whose time has come; see `steps.expire`."""
        return self._events() if steps.expire(self._book, now_ns) else []

    def _make_room(self) -> None:
        capacity = len(self._book.orders)
        if self.open_orders == capacity:
            self._book = layout.grown(self._book, 2 * capacity)

    def _events(self) -> list[Event]:
        count = self._book.state["events"].item()
        return [Event(*row) for row in self._book.events[:count].tolist()]


def check_auction(kind: Kind, lifetime: Lifetime, has_auction: bool) -> None:
    """Refuse what cannot take part in an auction.

    Raises:
        ValueError: an order of another kind, or without the auction that it is for.
    """
    if lifetime >= Lifetime.OPG and kind not in (Kind.MARKET, Kind.LIMIT):
        raise ValueError(f"a {kind.name} order cannot be for an auction")
    if has_auction != (lifetime >= Lifetime.OPG):
        raise ValueError("an order for an auction, and only it, has one")


_LIMITED: Final = frozenset({Kind.LIMIT, Kind.STOP_LIMIT})
_STOPPED: Final = frozenset({Kind.STOP, Kind.STOP_LIMIT})


def check_terms(
    kind: Kind,
    *,
    lots: int,
    limit_price_ticks: int,
    stop_price_ticks: int,
    trail_ticks: int,
    trail_bps: int,
) -> None:
    """Refuse terms that the kind does not allow.

    Raises:
        ValueError: which ones and why.
    """
    if not 0 < lots < MAGNITUDE_LIMIT:
        raise ValueError(f"{lots} lots is not a positive quantity below 2^60")
    if (limit_price_ticks != NO_PRICE) != (kind in _LIMITED):
        raise ValueError(f"a {kind.name} order has {'a' if kind in _LIMITED else 'no'} limit price")
    if (stop_price_ticks != NO_PRICE) != (kind in _STOPPED):
        raise ValueError(f"a {kind.name} order has {'a' if kind in _STOPPED else 'no'} stop price")
    if not (0 <= trail_ticks < MAGNITUDE_LIMIT and 0 <= trail_bps <= layout.BPS):
        raise ValueError("a trail is positive, and in basis points at most 10,000")
    trails = (trail_ticks > 0) + (trail_bps > 0)
    if trails != (kind == Kind.TRAILING_STOP):
        raise ValueError("a trailing stop, and only it, trails by ticks or by basis points")
    _check_prices(limit_price_ticks, stop_price_ticks)


def _check_prices(*prices_ticks: int) -> None:
    for price in prices_ticks:
        if not -MAGNITUDE_LIMIT < price < MAGNITUDE_LIMIT and price != NO_PRICE:
            raise ValueError(f"a price of {price} ticks is out of range")


def _check_sizes(*sizes_lots: int) -> None:
    for size in sizes_lots:
        if not UNKNOWN_SIZE <= size < MAGNITUDE_LIMIT:
            raise ValueError(f"a size of {size} lots is out of range")


def warm_up() -> None:
    """Compile every step, or load it from the cache; call it before orders must be quick."""
    simulator = MarketSimulator()
    handle, _ = simulator.submit(Side.BUY, Kind.LIMIT, 1, limit_price_ticks=1, ts_ns=0)
    simulator.modify(handle, Kind.LIMIT, 2, limit_price_ticks=1, ts_ns=0)
    simulator.on_quote(2, 3, ts_ns=0)
    simulator.on_trade(2, 1, ts_ns=0)
    simulator.on_bar(2, 3, 2, 3, open_ns=0, close_ns=0)
    simulator.mark_price_ticks(handle)
    simulator.expire(0)
    simulator.cancel(handle, ts_ns=0)
    simulator.restore(Side.SELL, Kind.MARKET, 1, accepted_ns=0)
