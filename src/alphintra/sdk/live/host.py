"""What a live strategy runs in: orders go to a gateway, fills come from it.

Orders are collected while a hook runs and sent when it has returned, so that an entry and its exits
leave as one group; the strategy cannot tell, since an order fills from the next event on anyway.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from math import floor, isfinite, nan
from typing import Any, Final, Protocol

from alphintra.core.clock import to_ns
from alphintra.sdk.feed import Feed
from alphintra.sdk.hosting import Order, Status, Terms
from alphintra.sdk.lines import Line, Timeline
from alphintra.sdk.live.feed import LiveFeed
from alphintra.sdk.live.lines import LiveTimeline
from alphintra.sdk.live.orders import Event, Grid, Known, LiveOrder, Names, body_of, kind_of
from alphintra.sdk.live.told import Execution, OrderState
from alphintra.sdk.strategy import Strategy
from alphintra.sdk.views import Fill, Position, moment

#: Called with what happened and its particulars.
Say = Callable[[str, Mapping[str, object]], None]

#: Where exits stand behind their entry's name, in the order in which `bracket` gives them.
_LEG_NUMBER: Final = {"STOP": 0, "STOP_LIMIT": 0, "LIMIT": 1}
#: Orders that are remembered, about: of those that have ended the oldest are forgotten.
ORDERS_MAX: Final = 20_000
_WARM_UP: Final = "it was decided during the warm-up"


class Refused(Exception):
    """The server has said no; nothing of the order is in the market."""


class InDoubt(Exception):
    """No answer came: whether the order is in the market has to be asked."""


class Gateway(Protocol):
    """Where orders go."""

    def place(self, known: Known, body: Mapping[str, Any]) -> Sequence[OrderState] | None:
        """Place an order; return it and, behind it, its exits; None when news of it will follow.

        Raises:
            Refused, InDoubt: as they say.
        """

    def cancel(self, known: Known) -> OrderState | None:
        """Cancel an order and return it, also one that was not open; None when news will follow.

        Raises:
            InDoubt: no answer came.
        """

    def price(self, symbol: str, *, is_buy: bool) -> float | None:
        """Return the price that an order at the market would meet; None for the latest seen.

        Raises:
            Refused, InDoubt: there is none, or no answer came.
        """


class LiveHost:
    """One strategy and its orders.

    Args:
        gateway: None when nothing is sent (`--dry-run`).
        grids: the steps of each symbol of the feed, in its order.
        capital: money of the strategy at its first candle.
        fee: share of a fill's value that sizes by weight leave room for.
        say: told what happens.
    """

    def __init__(
        self,
        strategy: Strategy,
        feed: LiveFeed,
        gateway: Gateway | None,
        *,
        grids: Sequence[Grid],
        names: Names,
        capital: float,
        fee: float,
        say: Say,
    ) -> None:
        self.feed: Feed = feed
        self.positions: tuple[Position, ...] = tuple(map(Position, feed.symbols))
        self.lines: list[Line] = []
        self.timers: list[tuple[int, str]] = []
        #: Why no order may be sent at the event at hand; empty when it may.
        self.muted = _WARM_UP
        self.warming = True
        self._strategy = strategy
        self._live_feed = feed
        self._gateway = gateway
        self._grids = tuple(grids)
        self._names = names
        self._cash = capital
        self._fee = fee
        self._say = say
        self._orders: dict[str, Known] = {}  # by our name
        self._open: dict[str, Known] = {}  # those of them that may be open
        self._by_server_id: dict[str, Known] = {}
        self._past: dict[str, Known] = {}  # of earlier sessions, not yet met again
        self._too_small: set[int] = set()  # symbols of which that was told
        self._outbox: list[tuple[Known, Terms]] = []
        self._leaving: list[Known] = []
        self._booked: dict[str, None] = {}  # in the order in which they were told
        self._repeats = True
        self._early: dict[str, list[Execution]] = {}  # fills of orders that are not known yet
        strategy._host = self

    # What the strategy asks.

    def whole_lots(self, symbol: int, quantity: float) -> float:
        """Return a quantity as an order takes it: rounded down to whole lots."""
        grid = self._grids[symbol]
        return grid.units(grid.lots(quantity))

    def timeline(self, pinned: int | None, timeframe: str | None) -> Timeline:
        """Return the candles that lines go with."""
        return LiveTimeline(self._live_feed, pinned, timeframe)

    def submit(self, terms: Terms) -> Order:
        """Take an order; it is sent when the hook has returned."""
        kind = kind_of(terms)
        name = f"{terms.parent.id}/{_LEG_NUMBER.get(kind, 2)}" if terms.parent is not None else ""
        known, is_past = self._named(terms.symbol, terms.is_buy, terms.tag, name)
        if is_past:
            return known.order
        grid = self._grids[terms.symbol]
        known.kind, known.confidence = kind, terms.confidence
        known.quantity = grid.units(grid.lots(terms.quantity))
        if known.quantity == 0 and terms.parent is None:
            lot = f"{grid.units(1):.12g} {known.order.symbol}"
            self._refuse(known, f"it is for {terms.quantity:.6g}, less than one lot of {lot}")
        elif terms.sibling is not None and terms.parent is None:
            self._refuse(known, "the server links orders only as exits of one entry")
        else:
            self._outbox.append((known, terms))
        return known.order

    def submit_weight(self, symbol: int, weight: float, tag: str, confidence: float) -> Order:
        """Take an order for what is missing to a share of equity, sized by the latest price."""
        held = self.positions[symbol].quantity + sum(
            one.unfilled
            for one in self.open_known()
            if one.kind == "MARKET" and one.symbol == symbol
        )
        price = self._live_feed.last_prices[symbol]
        known, is_past = self._named(symbol, self._wanted(symbol, weight, price) >= held, tag)
        if is_past:
            return known.order
        known.confidence = confidence
        if self._gateway is not None and not self.muted:
            try:
                asked = self._gateway.price(known.order.symbol, is_buy=known.order.is_buy)
            except (Refused, InDoubt) as error:
                self._refuse(known, str(error))
                return known.order
            price = price if asked is None else asked
        missing = self._wanted(symbol, weight, price) - held
        grid = self._grids[symbol]
        known.order.is_buy = missing >= 0
        known.quantity = grid.units(grid.lots(abs(missing)))
        if known.quantity == 0:
            known.status = Status.CANCELED  # the position is what it should be, or near enough
            if weight and not held and symbol not in self._too_small:
                self._too_small.add(symbol)
                lot = f"one lot of {grid.units(1):.12g} {known.order.symbol} at {price:.6g}"
                share = f"a share of {weight:g} of {self.equity():,.2f}"
                self._tell("too_small", known, reason=f"{share} is less than {lot}")
            return known.order
        self._too_small.discard(symbol)
        terms = Terms(symbol=symbol, is_buy=missing >= 0, quantity=known.quantity, tag=tag)
        self._outbox.append((known, terms))
        return known.order

    def cancel(self, order: Order) -> None:
        """Take back an order, at once; one that was given by this hook is not sent."""
        known = _known(order)
        if known.leaving:
            return
        if any(one is known for one, _ in self._outbox):
            gone = [known] + [one for one, terms in self._outbox if terms.parent is order]
            self._outbox = [(one, terms) for one, terms in self._outbox if one not in gone]
            for one in gone:
                one.status = Status.CANCELED
            return
        known.leaving = True
        self._leaving.append(known)
        if self._gateway is not None and not self.warming:
            try:
                state = self._gateway.cancel(known)
            except InDoubt as error:
                self._leaving.remove(known)
                known.leaving = False
                self._tell("cancel_in_doubt", known, reason=str(error))
                return
            if state is not None:
                self.learn(state)

    def state_of(self, order: Order) -> tuple[Status, float, float]:
        """Return an order's status, what of it has filled, and its average price."""
        known = _known(order)
        return known.status, known.filled, known.average_price

    def open_orders(self, symbol: int) -> list[Order]:
        """Return the orders of a symbol that can still fill, oldest first."""
        return [one.order for one in self.open_known() if one.symbol == symbol]

    def cash(self) -> float:
        """Return the strategy's own money: the capital and what its fills made of it."""
        return self._cash

    def equity(self) -> float:
        """Return its money and its positions at the latest prices it has seen."""
        return self._worth(-1, nan)

    def every(self, length_ns: int, name: str) -> None:
        """Remember a timer; the session calls it."""
        self.timers.append((length_ns, name))

    def note(self, message: str) -> None:
        """Tell a line of the strategy's log; those of the warm-up were told when they were news."""
        if not self.warming:
            at = f"{moment(self.feed.now_ns):%Y-%m-%dT%H:%M:%SZ}"
            self._say("log", {"at": at, "message": message})

    # What the session does.

    def begin(self, event: Event, *, repeats: bool = True) -> None:
        """Go on to an event: what was taken back at the one before has gone.

        Args:
            event: as it stands in the names of the orders that are given at it.
            repeats: whether it may be told again after a restart. Then an order of the past that
                has its name is the one that is decided again; otherwise it is another one.
        """
        self._names.begin(event)
        self._repeats = repeats
        for known in self._leaving:
            known.leaving = False
            if known.status is Status.OPEN:
                known.status = Status.CANCELED
        self._leaving.clear()

    def flush(self) -> None:
        """Send what the hook has ordered, each entry with its exits."""
        if not self._outbox:
            return
        batch, self._outbox = self._outbox, []
        if self.muted:
            for known, _ in batch:
                self._refuse(known, self.muted)
            return
        by_parent: dict[str, list[tuple[Known, Terms]]] = {}
        for known, terms in batch:
            if terms.parent is not None:
                by_parent.setdefault(str(terms.parent.id), []).append((known, terms))
        for known, terms in batch:
            if terms.parent is None:
                self._send(known, terms, by_parent.pop(known.name, []))
        for orphans in by_parent.values():
            for known, _ in orphans:
                self._refuse(known, "its parent was given before; exits go with their entry")

    def remember(self, state: OrderState) -> Known | None:
        """Take an order that this session has not given; None for somebody else's.

        In the warm-up the strategy meets it open, and it ends when it did then: how it stands is
        not learned here.
        """
        name = state.client_order_id
        parent = self._by_server_id.get(state.parent_id or "")
        if parent is not None:
            name = f"{parent.name}/{_LEG_NUMBER[state.type]}"
        elif not name.startswith(self._names.prefix):
            return None
        place = self.feed.places.get(state.symbol)
        if place is None:
            return None
        order = LiveOrder(self, name, state.symbol, state.side == "BUY", "")
        known = Known(order, place)
        known.identify(state)
        self._past[name] = self._by_server_id[state.id] = known
        return known

    def settle(self) -> None:
        """End the warm-up: what earlier sessions have left is as the server says."""
        for name, known in self._past.items():
            self._orders.setdefault(name, known)
        for known in self._orders.values():
            if known.state is not None:
                known.learn(known.state, booked=True)
        self._open = {
            name: known for name, known in self._orders.items() if known.status is Status.OPEN
        }
        self.warming, self.muted = False, ""

    def learn(self, state: OrderState) -> Known | None:
        """Take an order's state from the server; None for an order of somebody else."""
        known = self._by_server_id.get(state.id) or self._orders.get(state.client_order_id)
        if known is None and state.parent_id in self._by_server_id:
            parent = self._by_server_id[state.parent_id]
            known = self._orders.get(f"{parent.name}/{_LEG_NUMBER.get(state.type, 2)}")
        if known is None and state.client_order_id.startswith(self._names.prefix):
            known = self.remember(state)  # given for this strategy by somebody else
            if known is not None:
                self._orders[known.name] = self._past.pop(known.name)
        if known is None:
            return None
        before = known.status
        known.learn(state)
        self._by_server_id[known.server_id] = known
        if known.status is not before:
            self._changed(known)
            if known.status is not Status.FILLED:
                self._tell(known.status, known, reason=_why(state))
        return known

    def owns(self, server_id: str) -> bool:
        """Whether an order is of this strategy."""
        return server_id in self._by_server_id

    def owner(self, server_id: str) -> Known:
        """Return the order of the server's id; it has to be of this strategy."""
        return self._by_server_id[server_id]

    def doubtful(self) -> list[Known]:
        """Return the orders of which it is not known whether the server has them."""
        return [known for known in self._orders.values() if known.in_doubt]

    def open_known(self) -> list[Known]:
        """Return what is known of the open orders, oldest first."""
        gone = [name for name, known in self._open.items() if known.status is not Status.OPEN]
        for name in gone:
            del self._open[name]
        return list(self._open.values())

    def given_up(self, known: Known, reason: str = "") -> None:
        """Take an order as rejected: the server does not have it, and it is late."""
        self._refuse(known, reason or "no answer came, and the server does not have it")

    def refused(self, name: str, reason: str) -> None:
        """Take an order and its exits as rejected; nothing for a name that was not given."""
        for one in (name, f"{name}/0", f"{name}/1"):
            known = self._orders.get(one)
            if known is not None and not known.server_id:
                self._refuse(known, reason)

    def early(self, fill: Execution) -> None:
        """Keep a fill of an order that is not known yet."""
        self._early.setdefault(fill.order_id, []).append(fill)

    def late(self, server_id: str) -> list[Execution]:
        """Return the fills that came before their order was known."""
        return self._early.pop(server_id, [])

    def book(self, fill: Execution) -> Fill | None:
        """Book an execution, once however often it is told; return what `on_fill` is to see."""
        known = self._by_server_id.get(fill.order_id)
        if known is None or fill.id in self._booked:
            return None
        self._booked[fill.id] = None
        if len(self._booked) > 2 * ORDERS_MAX:
            for old in list(islice(self._booked, ORDERS_MAX)):
                del self._booked[old]
        quantity, price, fee = float(fill.quantity), float(fill.price), float(fill.fee)
        signed = quantity if fill.side == "BUY" else -quantity
        position, grid = self.positions[known.symbol], self._grids[known.symbol]
        position.take(signed, price)
        position.quantity = grid.rounded(position.quantity)
        self._cash -= signed * price + fee
        known.filled = grid.rounded(known.filled + quantity)
        known.value += quantity * price
        if known.filled >= known.quantity:
            known.status = Status.FILLED
        self._tell("fill", known, quantity=quantity, price=price, fee=fee)
        return Fill(
            symbol=position.symbol,
            side="buy" if signed > 0 else "sell",
            quantity=quantity,
            price=price,
            fee=fee,
            is_maker=fill.liquidity.upper() == "MAKER",
            ts_ns=to_ns(fill.executed_at),
            order_id=known.name,
            tag=known.order.tag,
        )

    def found(self, known: Known, states: Sequence[OrderState]) -> None:
        """Take an order that was in doubt, and its exits: the server has them."""
        legs = [self._orders.get(f"{known.name}/{number}") for number in range(2)]
        self._adopt(known, states, [leg for leg in legs if leg is not None])

    # Inside.

    def _worth(self, symbol: int, price: float) -> float:
        """Return what all is worth; at another price of one symbol, where one is named."""
        worth = self._cash
        for place, position in enumerate(self.positions):
            if position.quantity:
                at = price if place == symbol else self._live_feed.last_prices[place]
                # Before its first price it is worth what it has cost.
                worth += position.quantity * (at if isfinite(at) else position.average_price)
        return worth

    def _wanted(self, symbol: int, weight: float, price: float) -> float:
        """Return the position that is a share of equity, in whole lots."""
        worth = self._worth(symbol, price)
        if not (weight and price > 0 and worth > 0):
            return 0.0
        one = self._grids[symbol].units(1)
        lots = floor(abs(weight) * worth / (price * (1 + self._fee) * one) + 1e-9)
        return self._grids[symbol].units(lots if weight > 0 else -lots)

    def _named(self, symbol: int, is_buy: bool, tag: str, name: str = "") -> tuple[Known, bool]:
        """Return the order of a name, the next one, and whether it has been given before."""
        name = name or self._names.next()
        known = self._claimed(name, symbol)
        while known is None and (name in self._orders or name in self._past):
            name = self._names.next()
            known = self._claimed(name, symbol)
        is_past = known is not None
        if known is None:
            order = LiveOrder(self, name, self.feed.symbols[symbol], is_buy, tag)
            known = Known(order, symbol)
        known.order.tag = tag
        if len(self._orders) >= ORDERS_MAX:
            self._forget_ended()
        self._orders[name] = known
        if known.status is Status.OPEN:
            self._open[name] = known
        return known, is_past

    def _forget_ended(self) -> None:
        """Let go of the oldest orders that have ended; a strategy may still hold them."""
        ended = [
            known
            for known in self._orders.values()
            if known.status is not Status.OPEN and not known.in_doubt and not known.leaving
        ]
        for known in ended[: ORDERS_MAX // 2]:
            del self._orders[known.name]
            self._by_server_id.pop(known.server_id, None)

    def _claimed(self, name: str, symbol: int) -> Known | None:
        """Return the order of the past that is decided again, where this event may be one again."""
        known = self._past.get(name) if self._repeats else None
        if known is None or known.symbol != symbol:
            return None
        return self._past.pop(name)

    def _send(self, known: Known, terms: Terms, exits: list[tuple[Known, Terms]]) -> None:
        legs = [leg for leg, _ in exits]
        try:
            body = body_of(
                terms,
                [leg for _, leg in exits],
                symbol=known.order.symbol,
                name=known.name,
                grid=self._grids[known.symbol],
            )
        except ValueError as error:
            for one in (known, *legs):
                self._refuse(one, str(error))
            return
        self._tell("order", known, order=body)
        if self._gateway is None:
            for one in (known, *legs):
                one.status = Status.REJECTED
            return
        try:
            states = self._gateway.place(known, body)
        except Refused as refusal:
            for one in (known, *legs):
                self._refuse(one, str(refusal))
            return
        except InDoubt as doubt:
            for one in (known, *legs):
                one.in_doubt = True
            self._tell("in_doubt", known, reason=str(doubt))
            return
        if states is not None:
            self._adopt(known, states, legs)

    def _adopt(self, known: Known, states: Sequence[OrderState], legs: Sequence[Known]) -> None:
        """Connect orders with what the server has made of them: the entry, then its exits."""
        self._take(known, states[0])
        for state in states[1:]:
            for leg in legs:
                if _LEG_NUMBER.get(leg.kind) == _LEG_NUMBER[state.type]:
                    self._take(leg, state)

    def _take(self, known: Known, state: OrderState) -> None:
        self._by_server_id[state.id] = known
        known.learn(state)
        self._changed(known)
        if known.status is Status.REJECTED:
            self._tell("rejected", known, reason=_why(state))

    def _changed(self, known: Known) -> None:
        if known.status is Status.OPEN:
            self._open[known.name] = known

    def _refuse(self, known: Known, reason: str) -> None:
        known.status, known.in_doubt = Status.REJECTED, False
        self._tell("rejected", known, reason=reason)

    def _tell(self, what: str, known: Known, **about: object) -> None:
        if self.warming:
            return  # it was told when it was news
        order = known.order
        self._say(
            str(what),
            {
                "client_order_id": order.id,
                "symbol": order.symbol,
                "side": "buy" if order.is_buy else "sell",
                "type": known.kind,
                "ordered": known.quantity,
                **{name: value for name, value in about.items() if value not in (None, nan)},
            },
        )


def _why(state: OrderState) -> str | None:
    """Return why an order was rejected: in words, with the code behind them."""
    if state.reject_detail is None:
        return state.reject_reason
    return f"{state.reject_detail} ({state.reject_reason})"


def _known(order: Order) -> Known:
    assert isinstance(order, LiveOrder)
    return order.known
