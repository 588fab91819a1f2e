"""A market with depth as Python sees it: stepped by calls, or run with a compiled strategy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.depth import clock, desk
from alphintra.engine.depth.layout import (
    NO_ORDER,
    RECORDED,
    SIZE_LIMIT,
    News,
    Pause,
    QueueModel,
    Status,
    Tape,
    What,
    Why,
    grown,
    new_market,
)
from alphintra.engine.depth.loop import REQUESTS_PER_CALL, Strategy, run_of
from alphintra.engine.layout import NO_PRICE, Kind, Lifetime, Side

_LATENCY_NS_MAX: Final = 3_600 * 10**9
_TICKS_LIMIT: Final = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthTerms:
    """What is traded, at what cost, and how far away the venue is.

    Args:
        tick_size, lot_size: the steps of price and quantity; those of the tape.
        maker_rate, taker_rate: fees as fractions of the value; negative is a rebate.
        entry_ns: how long an order takes to the venue; `RECORDED`: as long as the last event that
            we saw took to us.
        response_ns: how long news take back; `RECORDED`: as long as the events of that time.
        queue_model: who cancels when a level shrinks.
    """

    tick_size: float
    lot_size: float
    maker_rate: float = 0.0
    taker_rate: float = 0.0
    entry_ns: int = 0
    response_ns: int = 0
    queue_model: QueueModel = QueueModel.PROPORTIONAL

    def __post_init__(self) -> None:
        for latency in (self.entry_ns, self.response_ns):
            if latency != RECORDED and not 0 <= latency <= _LATENCY_NS_MAX:
                raise ValueError(f"a latency of {latency} ns is not between 0 and an hour")


class Told(NamedTuple):
    """News of an order as we heard them."""

    kind: News
    order_id: int
    side: Side
    lots: int
    price_ticks: int
    is_maker: bool
    why: Why
    venue_ns: int
    seen_ns: int


class TooManyRequests(RuntimeError):
    """A strategy has sent more than `REQUESTS_PER_CALL` requests in one call; it may do less."""


class DepthSimulation:
    """Orders of ours in a recorded market with depth.

    Prices are integer ticks, quantities integer lots, times integer nanoseconds. What it tells of
    the market and of orders is what we know at `now_ns`: seen through the latency of the feed, and
    heard after that of the response. The same calls give the same news.
    """

    def __init__(
        self,
        tape: Tape,
        terms: DepthTerms,
        *,
        parameters: Sequence[float] = (),
        memory: int = 0,
        keeps_marks: bool = True,
    ) -> None:
        """Stand before the first event of the tape.

        Args:
            tape: see `tape.tape_of`.
            terms: of the instrument and the venue.
            parameters: what a compiled strategy finds in `desk.parameters`.
            memory: how many numbers it may remember in `desk.memory`.
            keeps_marks: keep the account at each call of a compiled strategy, for `equity_curve`.
        """
        self.terms = terms
        self._end_ns = int(tape.seen_ns[-1]) if len(tape.seen_ns) else 0
        self._market = new_market(
            tape,
            shares_view=bool(np.array_equal(tape.venue_ns, tape.seen_ns)),
            queue_model=terms.queue_model,
            entry_ns=terms.entry_ns,
            response_ns=terms.response_ns,
            maker_rate=terms.maker_rate,
            taker_rate=terms.taker_rate,
            parameters=np.array(parameters, np.float64),
            memory=memory,
            keeps_marks=keeps_marks,
        )

    # Time

    @property
    def now_ns(self) -> int:
        """The moment at which we stand."""
        return self._get("now_ns")

    @property
    def end_ns(self) -> int:
        """When the last event of the tape is seen."""
        return self._end_ns

    def advance_to(self, ts_ns: int) -> list[Told]:
        """Let time pass up to and including this moment; return the news heard on the way.

        Raises:
            ValueError: the moment has passed.
        """
        if ts_ns < self.now_ns:
            raise ValueError(f"{ts_ns} is before the present, {self.now_ns}")
        heard = self._get("told")
        while clock.advance(self._market, ts_ns) == Pause.NEEDS_ROOM:
            self._market = grown(self._market)
        return [_told(row) for row in self._market.floor.news[heard : self._get("told")]]

    def run(self, strategy: Strategy, *, every_ns: int, until_ns: int | None = None) -> None:
        """Call a compiled strategy every `every_ns`, and once more at the end.

        Args:
            strategy: `strategy(view, desk)`, compiled by Numba or to be; see `desk`.
            every_ns: the time between two calls.
            until_ns: the moment of the last call; the end of the tape unless given.

        Raises:
            ValueError: an interval that is not positive.
            TooManyRequests: see there.
        """
        if every_ns <= 0:
            raise ValueError(f"every {every_ns} ns is not an interval")
        until_ns = self._end_ns if until_ns is None else until_ns
        loop = run_of(strategy)
        while loop(self._market, every_ns, until_ns) == Pause.NEEDS_ROOM:
            if self._get("short_of_room"):
                raise TooManyRequests(f"more than {REQUESTS_PER_CALL} requests in one call")
            self._market = grown(self._market)

    # Orders

    def submit(
        self,
        side: Side,
        kind: Kind,
        lots: int,
        *,
        limit_price_ticks: int = NO_PRICE,
        lifetime: Lifetime = Lifetime.REST,
        post_only: bool = False,
        tag: int = 0,
    ) -> int:
        """Send an order; return its id, 0 for the first.

        Raises:
            ValueError: a kind other than MARKET and LIMIT, a limit that is missing or too much, a
                quantity out of range, post-only for what may not rest, or an order for an auction.
        """
        if kind not in (Kind.MARKET, Kind.LIMIT):
            raise ValueError(f"a {kind.name} order is not an order of a venue with depth")
        if (kind == Kind.LIMIT) != (limit_price_ticks != NO_PRICE):
            raise ValueError("a limit order, and only it, has a limit price")
        if post_only and (kind != Kind.LIMIT or lifetime != Lifetime.REST):
            raise ValueError("only a limit order that may rest can be post-only")
        if lifetime >= Lifetime.OPG:
            raise ValueError("a recording of depth knows no sessions, so it has no auctions")
        _check_terms(lots, limit_price_ticks)
        self._make_room()
        order_id = desk.submit(
            self._market.desk, int(side), int(kind), lots, limit_price_ticks, int(lifetime),
            int(post_only), tag,
        )  # fmt: skip
        assert order_id != NO_ORDER
        return order_id

    def cancel(self, order_id: int) -> bool:
        """Ask to cancel an order; False when it has ended or was asked before."""
        self._make_room()
        return desk.cancel(self._market.desk, self._known(order_id))

    def modify(self, order_id: int, *, limit_price_ticks: int, lots: int) -> bool:
        """Ask for another price and remaining quantity; False when it has ended.

        Raises:
            ValueError: a price or quantity out of range.
        """
        _check_terms(lots, limit_price_ticks)
        self._make_room()
        return desk.modify(self._market.desk, self._known(order_id), limit_price_ticks, lots)

    def status(self, order_id: int) -> Status:
        """Return where an order is, as we know."""
        return Status(int(self._market.desk.orders["status"][self._known(order_id)]))

    def remaining_lots(self, order_id: int) -> int:
        """Return what an order has left, as we know."""
        return int(self._market.desk.orders["remaining_lots"][self._known(order_id)])

    def ahead_lots(self, order_id: int) -> int:
        """Return how much the simulator believes to stand before an order that rests.

        No venue tells this; it is for understanding a result.
        """
        order = self._market.floor.orders[self._known(order_id)]
        return int(order["ahead_lots"]) if order["status"] == Status.OPEN else 0

    # What we see

    @property
    def best_bid(self) -> int:
        """The best bid in ticks; `NO_PRICE` where there is none."""
        return desk.best_bid(self._market.seen)

    @property
    def best_ask(self) -> int:
        """The best ask in ticks; `NO_PRICE` where there is none."""
        return desk.best_ask(self._market.seen)

    @property
    def last_price(self) -> int:
        """The price of the last print seen, in ticks; 0 before the first."""
        return self._get("last_price_ticks")

    def depth(self, levels: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return the best bids and asks, each as (price in ticks, lots), best first."""
        view = self._market.seen
        bids = np.flatnonzero(view.levels[What.BID]["lots"])[::-1][:levels]
        asks = np.flatnonzero(view.levels[What.ASK]["lots"])[:levels]
        held = (view.levels[What.BID]["lots"][bids], view.levels[What.ASK]["lots"][asks])
        prices = (view.prices[bids], view.prices[asks])
        bid_side, ask_side = (
            list(zip(price.tolist(), lots.tolist(), strict=True))
            for price, lots in zip(prices, held, strict=True)
        )
        return bid_side, ask_side

    # The account

    @property
    def position(self) -> int:
        """What we hold, in lots, as far as we have heard."""
        return self._get("position_lots")

    @property
    def fees(self) -> float:
        """What we have paid."""
        return float(self._market.state["fee_ticks"][0]) * self._unit

    @property
    def cash(self) -> float:
        """What we have taken in less what we have spent, fees included."""
        return self._get("cash_ticks") * self._unit - self.fees

    # Results

    def news(self) -> NDArray[np.void]:
        """Return everything that has happened to our orders: rows of `layout.NEWS`."""
        return self._market.floor.news[: self._get("news")].copy()

    def fills(self) -> NDArray[np.void]:
        """Return the fills that have happened: rows of `layout.NEWS`."""
        news = self.news()
        fills: NDArray[np.void] = news[news["kind"] == News.FILL]
        return fills

    def orders(self) -> NDArray[np.void]:
        """Return every order by id, as we know it: rows of `layout.KNOWN`."""
        return self._market.desk.orders[: self._get("orders")].copy()

    def marks(self) -> NDArray[np.void]:
        """Return the account at each call of a compiled strategy: rows of `layout.MARK`."""
        return self._market.marks[: self._get("marks")].copy()

    def equity_curve(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return times and what the account was worth then, the position at the middle price.

        Moments at which a side of the book was empty are left out.
        """
        marks = self.marks()
        marks = marks[(marks["bid_ticks"] != NO_PRICE) & (marks["ask_ticks"] != NO_PRICE)]
        middle = (marks["bid_ticks"] + marks["ask_ticks"]) / 2
        worth = marks["cash_ticks"] + marks["position_lots"] * middle - marks["fee_ticks"]
        return marks["ts_ns"].copy(), worth * self._unit

    @property
    def _unit(self) -> float:
        """The value of one lot at one tick."""
        return self.terms.tick_size * self.terms.lot_size

    def _get(self, name: str) -> int:
        return int(self._market.state[name][0])

    def _known(self, order_id: int) -> int:
        if not 0 <= order_id < self._get("orders"):
            raise ValueError(f"there is no order {order_id}")
        return order_id

    def _make_room(self) -> None:
        # A request and an order each; the log of requests is twice as long as that of orders.
        full = self._get("orders") == len(self._market.desk.orders)
        if full or self._get("requests") == len(self._market.desk.requests):
            self._market = grown(self._market)


def _check_terms(lots: int, limit_price_ticks: int) -> None:
    if not 0 < lots < SIZE_LIMIT:
        raise ValueError(f"{lots} lots is not a positive quantity below 2^31")
    if limit_price_ticks != NO_PRICE and not 0 < limit_price_ticks < _TICKS_LIMIT:
        raise ValueError(f"a price of {limit_price_ticks} ticks is out of range")


def _told(row: Any) -> Told:
    values = (int(value) for value in row.item())
    kind, order_id, side, lots, price, is_maker, why, venue_ns, seen_ns = values
    return Told(
        News(kind), order_id, Side(side), lots, price, bool(is_maker), Why(why), venue_ns, seen_ns
    )


def warm_up() -> None:
    """Compile what a stepped simulation needs, or load it from the cache."""
    column = np.zeros(1, np.int64)
    tape = Tape(column, column, column.astype(np.int8), column.astype(np.int32),
                column.astype(np.int32), column + 1)  # fmt: skip
    simulation = DepthSimulation(tape, DepthTerms(tick_size=1.0, lot_size=1.0))
    order_id = simulation.submit(Side.BUY, Kind.LIMIT, 1, limit_price_ticks=1)
    simulation.modify(order_id, limit_price_ticks=2, lots=1)
    simulation.cancel(order_id)
    simulation.advance_to(simulation.end_ns)
    assert simulation.best_bid == simulation.best_ask == NO_PRICE
