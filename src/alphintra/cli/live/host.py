"""What a live strategy runs in: orders go to the server, fills come from it.

Orders are collected while a hook runs and sent when it has returned, so that an entry and its exits
leave as one group; the strategy cannot tell, since an order fills from the next event on anyway.
"""

from collections.abc import Callable, Mapping, Sequence
from math import floor, nan
from typing import Any, Final

from alphintra.cli.live.desk import Gateway, InDoubt, Refusal
from alphintra.cli.live.feed import LiveFeed, at_ns
from alphintra.cli.live.orders import Grid, Known, Names, body_of, kind_of
from alphintra.sdk.feed import Feed
from alphintra.sdk.hosting import Order, Status, Terms
from alphintra.sdk.lines import Line
from alphintra.sdk.strategy import Strategy
from alphintra.sdk.views import Fill, Position, moment

#: Called with what happened and its particulars.
Say = Callable[[str, Mapping[str, object]], None]

_LEG_NUMBER: Final = {"STOP": 0, "STOP_LIMIT": 0, "LIMIT": 1}


class LiveHost:
    """One strategy on one symbol.

    Args:
        desk: the server, or None when nothing is sent (`--dry-run`).
        capital: money of the strategy at the start of its first session.
        fee: share of a fill's value that sizes by weight leave room for.
        say: told what happens.
    """

    def __init__(
        self,
        strategy: Strategy,
        feed: LiveFeed,
        desk: Gateway | None,
        *,
        grid: Grid,
        names: Names,
        capital: float,
        fee: float,
        say: Say,
    ) -> None:
        self.feed: Feed = feed
        self.positions: tuple[Position, ...] = (Position(feed.symbols[0]),)
        self.lines: list[Line] = []
        self.timers: list[tuple[int, str]] = []
        #: Why no order may be sent at the event at hand; empty when it may.
        self.muted = "it was decided during the warm-up"
        self.warming = True
        self.booked: set[str] = set()
        self._strategy = strategy
        self._live_feed = feed
        self._desk = desk
        self._grid = grid
        self._names = names
        self._cash = capital
        self._fee = fee
        self._say = say
        self._orders: dict[str, Known] = {}  # by our name
        self._by_server_id: dict[str, Known] = {}
        self._past: dict[str, Known] = {}  # of earlier sessions, not yet met in the warm-up
        self._outbox: list[tuple[Known, Terms]] = []
        strategy._host = self

    # What the strategy asks.

    def submit(self, terms: Terms) -> Order:
        """Take an order; it is sent when the hook has returned."""
        kind = kind_of(terms)
        name = f"{terms.parent.id}/{_LEG_NUMBER.get(kind, 2)}" if terms.parent is not None else ""
        known, is_past = self._named(terms.is_buy, terms.tag, name)
        if is_past:
            return known.order
        known.kind = kind
        known.quantity = self._grid.units(self._grid.lots(terms.quantity))
        if known.quantity == 0 and terms.parent is None:
            self._refuse(known, "it is for less than one lot")
        elif self.muted:
            self._refuse(known, self.muted)
        elif terms.sibling is not None and terms.parent is None:
            self._refuse(known, "the server links orders only as exits of one entry")
        else:
            self._outbox.append((known, terms))
        return known.order

    def submit_weight(self, symbol: int, weight: float, tag: str) -> Order:
        """Take an order for what is missing to a share of equity, sized by the latest quote."""
        held = self.positions[0].quantity + sum(
            one.unfilled for one in self._orders.values() if one.kind == "MARKET"
        )
        price = self._live_feed.last_price
        known, is_past = self._named(self._wanted(weight, price) >= held, tag)
        if is_past:
            return known.order
        if self.muted:
            self._refuse(known, self.muted)
            return known.order
        if self._desk is not None:
            try:
                price = self._desk.price(is_buy=known.order.is_buy)
            except (Refusal, InDoubt) as error:
                self._refuse(known, str(error))
                return known.order
        missing = self._wanted(weight, price) - held
        known.order.is_buy = missing >= 0
        known.quantity = self._grid.units(self._grid.lots(abs(missing)))
        if known.quantity == 0:
            known.status = Status.CANCELED  # the position is what it should be
            return known.order
        terms = Terms(symbol=symbol, is_buy=missing >= 0, quantity=known.quantity, tag=tag)
        self._outbox.append((known, terms))
        return known.order

    def cancel(self, order: Order) -> None:
        """Take back an order, at once."""
        known = self._orders[str(order.id)]
        waiting = [one for one, _ in self._outbox if one is known]
        if waiting:
            self._outbox = [(one, terms) for one, terms in self._outbox if one is not known]
            known.status = Status.CANCELED
        elif self._desk is not None and known.server_id and not self.warming:
            try:
                view = self._desk.cancel(known.server_id)
            except InDoubt as error:
                self._tell("cancel_in_doubt", known, reason=str(error))
                return
            self.learn(view)

    def state_of(self, order: Order) -> tuple[Status, float, float]:
        """Return an order's status, what of it has filled, and its average price."""
        known = self._orders[str(order.id)]
        return known.status, known.filled, known.average_price

    def open_orders(self, symbol: int) -> list[Order]:
        """Return the orders that can still fill, oldest first."""
        return [one.order for one in self._orders.values() if one.status is Status.OPEN]

    def cash(self) -> float:
        """Return the strategy's own money: the capital and what its fills made of it."""
        return self._cash

    def equity(self) -> float:
        """Return its money and its position at the latest price it has seen."""
        held = self.positions[0].quantity
        return self._cash + (held * self._live_feed.last_price if held else 0.0)

    def every(self, length_ns: int, name: str) -> None:
        """Remember a timer; the session calls it."""
        self.timers.append((length_ns, name))

    def note(self, message: str) -> None:
        """Tell a line of the strategy's log; those of the warm-up were told when they were news."""
        if not self.warming:
            at = f"{moment(self.feed.now_ns):%Y-%m-%dT%H:%M:%SZ}"
            self._say("log", {"at": at, "message": message})

    # What the session does.

    def flush(self) -> None:
        """Send what the hook has ordered, each entry with its exits."""
        batch, self._outbox = self._outbox, []
        by_parent: dict[str, list[tuple[Known, Terms]]] = {}
        for known, terms in batch:
            if terms.parent is not None:
                by_parent.setdefault(str(terms.parent.id), []).append((known, terms))
        for known, terms in batch:
            if terms.parent is None:
                self._send(known, terms, by_parent.pop(str(known.order.id), []))
        for orphans in by_parent.values():
            for known, _ in orphans:
                self._refuse(known, "its parent was given before; exits go with their entry")

    def remember(self, view: Mapping[str, Any]) -> None:
        """Take an order of an earlier session, as the server tells it, before the warm-up."""
        name = view["client_order_id"]
        parent = self._by_server_id.get(view["parent_id"] or "")
        if parent is not None:
            # Behind the entry's name, in the order in which `bracket` gives its exits.
            name = f"{parent.order.id}/{_LEG_NUMBER[view['type']]}"
        elif not name.startswith(self._names.prefix):
            return
        known = Known(Order(self, name, view["symbol"], view["side"] == "BUY", ""))
        known.server_id = view["id"]
        known.view = view
        known.quantity, known.kind = float(view["quantity"]), view["type"]
        self._past[name] = self._by_server_id[view["id"]] = known

    def settle(self) -> None:
        """End the warm-up: what earlier sessions have left is as the server says."""
        for name, known in self._past.items():
            self._orders.setdefault(name, known)
        self._past.clear()
        for known in self._orders.values():
            if known.view is not None:
                known.learn(known.view)
        self.warming, self.muted = False, ""

    def learn(self, view: Mapping[str, Any]) -> Known | None:
        """Take an order's state from the server; None for an order of somebody else."""
        known = self._by_server_id.get(view["id"]) or self._orders.get(view["client_order_id"])
        if known is None:
            return None
        before = known.status
        known.learn(view)
        self._by_server_id[known.server_id] = known
        if known.status is not before and known.status is not Status.FILLED:
            self._tell(known.status, known, reason=view.get("reject_reason"))
        return known

    def owns(self, server_id: str) -> bool:
        """Whether an order is of this strategy."""
        return server_id in self._by_server_id

    def doubtful(self) -> list[Known]:
        """Return the orders of which it is not known whether the server has them."""
        return [known for known in self._orders.values() if known.in_doubt]

    def open_known(self) -> list[Known]:
        """Return what is known of the open orders."""
        return [known for known in self._orders.values() if known.status is Status.OPEN]

    def given_up(self, known: Known) -> None:
        """Take an order in doubt as rejected: the server does not have it, and it is late."""
        self._refuse(known, "no answer came, and the server does not have it")

    def book(self, fill: Mapping[str, Any]) -> None:
        """Book an execution, once however often it is told, and call `on_fill`."""
        trade_id = str(fill.get("trade_id") or fill["id"])
        known = self._by_server_id.get(fill["order_id"])
        if known is None or trade_id in self.booked:
            return
        self.booked.add(trade_id)
        quantity, price, fee = (float(fill[name]) for name in ("quantity", "price", "fee"))
        signed = quantity if fill["side"] == "BUY" else -quantity
        position = self.positions[0]
        position.take(signed, price)
        position.quantity = self._grid.rounded(position.quantity)
        self._cash -= signed * price + fee
        known.filled = self._grid.rounded(known.filled + quantity)
        known.value += quantity * price
        if known.filled >= known.quantity and known.status is Status.OPEN:
            known.status = Status.FILLED
        if not self.warming:
            self._tell("fill", known, quantity=quantity, price=price, fee=fee)
        self._strategy.on_fill(
            Fill(
                symbol=position.symbol,
                side="buy" if signed > 0 else "sell",
                quantity=quantity,
                price=price,
                fee=fee,
                is_maker=fill["liquidity"].upper() == "MAKER",
                ts_ns=at_ns(fill["executed_at"]),
                order_id=known.order.id,
                tag=known.order.tag,
            )
        )

    def given_at(self, fill: Mapping[str, Any]) -> int:
        """Return the time of the event at which the order of an execution was given."""
        return self._names.time_of(str(self._by_server_id[fill["order_id"]].order.id))

    # Inside.

    def _wanted(self, weight: float, price: float) -> float:
        """Return the position that is a share of equity, in whole lots."""
        worth = self._cash + self.positions[0].quantity * price
        if not (weight and price > 0 and worth > 0):
            return 0.0
        lots = floor(abs(weight) * worth / (price * (1 + self._fee) * self._grid.units(1)) + 1e-9)
        return self._grid.units(lots) if weight > 0 else -self._grid.units(lots)

    def _named(self, is_buy: bool, tag: str, name: str = "") -> tuple[Known, bool]:
        """Return the order of a name, the next one, and whether an earlier session has given it."""
        name = name or self._names.next(self.feed.now_ns)
        past = self._past.pop(name, None)
        while name in self._orders:  # of an earlier session that ended at this very candle
            name = self._names.next(self.feed.now_ns)
        known = past or Known(Order(self, name, self.feed.symbols[0], is_buy, tag))
        known.order.tag = tag
        self._orders[name] = known
        return known, past is not None

    def _send(self, known: Known, terms: Terms, exits: list[tuple[Known, Terms]]) -> None:
        legs = [leg for leg, _ in exits]
        try:
            body = body_of(
                terms,
                [leg for _, leg in exits],
                symbol=known.order.symbol,
                name=str(known.order.id),
                grid=self._grid,
            )
        except ValueError as error:
            for one in (known, *legs):
                self._refuse(one, str(error))
            return
        self._tell("order", known, order=body)
        if self._desk is None:
            for one in (known, *legs):
                one.status = Status.REJECTED
            return
        try:
            views = self._desk.place(body)
        except Refusal as refusal:
            for one in (known, *legs):
                self._refuse(one, str(refusal))
            return
        except InDoubt as doubt:
            for one in (known, *legs):
                one.in_doubt = True
            self._tell("in_doubt", known, reason=str(doubt))
            return
        self._adopt(known, views, legs)

    def found(self, known: Known, views: Sequence[Mapping[str, Any]]) -> None:
        """Take an order that was in doubt, and its exits: the server has them."""
        legs = [self._orders.get(f"{known.order.id}/{number}") for number in range(2)]
        self._adopt(known, views, [leg for leg in legs if leg is not None])

    def _adopt(
        self, known: Known, views: Sequence[Mapping[str, Any]], legs: Sequence[Known]
    ) -> None:
        """Connect orders with what the server has made of them: the entry, then its exits."""
        self._take(known, views[0])
        for view in views[1:]:
            for leg in legs:
                if _LEG_NUMBER.get(leg.kind) == _LEG_NUMBER[view["type"]]:
                    self._take(leg, view)

    def _take(self, known: Known, view: Mapping[str, Any]) -> None:
        self._by_server_id[view["id"]] = known
        known.learn(view)
        if known.status is Status.REJECTED:
            self._tell("rejected", known, reason=view.get("reject_reason"))

    def _refuse(self, known: Known, reason: str) -> None:
        known.status, known.in_doubt = Status.REJECTED, False
        if not self.warming:
            self._tell("rejected", known, reason=reason)

    def _tell(self, what: str, known: Known, **about: object) -> None:
        order = known.order
        self._say(
            str(what),
            {
                "client_order_id": order.id,
                "side": "buy" if order.is_buy else "sell",
                "type": known.kind,
                "ordered": known.quantity,
                **{name: value for name, value in about.items() if value not in (None, nan)},
            },
        )
