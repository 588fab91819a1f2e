"""A parent in this process: a small market, everything that it must not lose, and a child.

A market order fills at the next open of its symbol, a limit order at its price when a candle has
reached it. What was told is written down; a crash leaves nothing else.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from msgspec.structs import replace

from alphintra.sdk.live.told import Execution, OrderState
from alphintra.strategies.live import frames
from alphintra.strategies.live.frames import CandleRow, Decided, Fault, FromChild, FromParent
from alphintra.strategies.live.inside import Inside

PREFIX = "d7f"


@dataclass
class Memory:
    """A channel in memory: frames in, answers out."""

    waiting: deque[bytes] = field(default_factory=deque)
    answers: list[bytes] = field(default_factory=list)

    def receive(self) -> bytes | None:
        return self.waiting.popleft() if self.waiting else None

    def send(self, body: bytes) -> None:
        self.answers.append(body)


def begin(source: str, symbols: Sequence[str], **terms: object) -> frames.Begin:
    instruments = tuple(
        frames.Instrument(symbol=symbol, tick_size="0.01", lot_size="1") for symbol in symbols
    )
    values: dict[str, object] = {
        "deployment_id": "7f", "source": source, "parameters": {}, "instruments": instruments,
        "timeframe": "1m", "capital": 100_000.0, "fee": 0.0, "name_prefix": PREFIX, "seed": 7,
    } | terms  # fmt: skip
    return frames.Begin(**values)  # type: ignore[arg-type]


def ask(child: Inside, frame: FromParent) -> FromChild:
    """Tell a frame and return the answer, as it goes over the wire."""
    return frames.from_child(frames.encode(child.hear(frames.encode(frame))))


def decided(child: Inside, frame: FromParent) -> Decided:
    answer = ask(child, frame)
    assert isinstance(answer, Decided), answer
    return answer


def history(rows: Mapping[str, Sequence[CandleRow]], *, last: bool = True) -> frames.History:
    columns = tuple(frames.candles_of(symbol, part) for symbol, part in rows.items())
    return frames.History(candles=columns, last=last)


class Parent:
    """What outlives a child, and the market that fills its orders."""

    def __init__(self, first: frames.Begin, warm: int = 0) -> None:
        self.first = first
        self.warm = warm
        self.orders: dict[str, OrderState] = {}
        self.bodies: dict[str, Mapping[str, object]] = {}
        self.at: list[tuple[int, str]] = []  #: when which order was decided
        self.fills: list[Execution] = []
        self.told_fills: dict[str, int] = {}
        self.told_ends: dict[str, int] = {}
        self.groups: list[tuple[CandleRow, ...]] = []
        self.parameters: dict[int, frames.SetParameters] = {}  #: by how many groups came before
        self.logs: list[str] = []
        self.queue: deque[FromParent] = deque()
        self._ids = count(1)
        self.child = self.start()

    def start(self) -> Inside:
        """Return a child that has lived through everything that was dealt with."""
        child = Inside()
        assert isinstance(ask(child, self.first), frames.Begun)
        told = [one for one in self.fills if one.id in self.told_fills]
        past = frames.Past(
            orders=tuple(
                _at(order, self.told_ends[order.id]) if order.id in self.told_ends else order
                for order in self.orders.values()
            ),
            fills=tuple(_fill_at(one, self.told_fills[one.id]) for one in told),
        )
        decided(child, past)
        for number in range(len(self.groups) + 1):
            if (change := self.parameters.get(number)) is not None:
                decided(child, change)
            if number < len(self.groups):
                decided(child, _part(self.groups[number], last=False))
        decided(child, frames.History(candles=(), last=True))
        return child

    def live(self, group: Sequence[CandleRow], crash: "Crash") -> None:
        """Let candles close: orders fill in them, then the strategy hears of all of it."""
        self._match(group)
        self.queue.append(frames.Bars(close_ns=group[0].close_ns, bars=tuple(group), fresh=True))
        while self.queue:
            frame = self.queue.popleft()
            if crash.before():
                self.child = self.start()
            answer = decided(self.child, frame)
            if crash.undone():  # it has decided, and nobody heard of it
                self.child = self.start()
                answer = decided(self.child, frame)
            self._take(frame, answer)
            if crash.after():
                self.child = self.start()

    def set_parameters(self, **values: frames.Value) -> Decided | Fault:
        change = frames.SetParameters(values=values)
        answer = ask(self.child, change)
        if isinstance(answer, Decided):
            self.parameters[len(self.groups)] = change
        assert not isinstance(answer, frames.Begun)
        return answer

    def _take(self, frame: FromParent, answer: Decided) -> None:
        """Write down what came of a frame, as one."""
        now_ns = self.groups[-1][0].close_ns if self.groups else 0
        match frame:
            case frames.Bars():
                self.groups.append(frame.bars)
            case frames.FillNews():
                self.told_fills[frame.fill.id] = now_ns
            case frames.OrderNews() if frame.view.status in {"CANCELED", "REJECTED"}:
                self.told_ends[frame.view.id] = now_ns
        self.logs += [log.message for log in answer.logs]
        for intent in answer.intents:
            match intent:
                case frames.Place():
                    assert intent.name not in self.orders, f"{intent.name} twice"
                    self._accept(intent)
                case frames.Cancel():
                    self._cancel(intent.name)

    def _accept(self, place: frames.Place) -> None:
        body = place.body
        assert body["client_order_id"] == place.name
        self.at.append((place.at_ns, place.name))
        self.bodies[place.name] = body
        state = OrderState(
            id=f"o{next(self._ids)}",
            client_order_id=place.name,
            symbol=place.symbol,
            side="BUY" if body["side"] == "BUY" else "SELL",
            type=str(body["type"]),
            quantity=str(body["quantity"]),
            status="ACCEPTED",
            version=1,
        )
        self._tell(state)

    def _cancel(self, name: str) -> None:
        order = self.orders[name]
        if order.status == "ACCEPTED":
            self._tell(_changed(order, "CANCELED"))

    def _tell(self, order: OrderState) -> None:
        self.orders[order.client_order_id] = order
        self.queue.append(frames.OrderNews(view=order))

    def _match(self, group: Sequence[CandleRow]) -> None:
        for row in group:
            for order in list(self.orders.values()):
                if order.symbol != row.symbol or order.status != "ACCEPTED":
                    continue
                price = row.open
                if order.type == "LIMIT":
                    price = float(str(self.bodies[order.client_order_id]["price"]))
                    reached = row.low <= price if order.side == "BUY" else row.high >= price
                    if not reached:
                        continue
                self._fill(order, price, row.open_ns)

    def _fill(self, order: OrderState, price: float, at_ns: int) -> None:
        fill = Execution(
            id=f"t-{next(self._ids)}",
            order_id=order.id,
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
            price=f"{price:.2f}",
            fee="0",
            liquidity="TAKER",
            executed_at=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000),
        )
        self.fills.append(fill)
        self.orders[order.client_order_id] = _changed(order, "FILLED")
        self.queue.append(frames.OrderNews(view=self.orders[order.client_order_id]))
        self.queue.append(frames.FillNews(fill=fill))


class Crash:
    """Says when the child, or its parent, dies: never."""

    def before(self) -> bool:
        return False

    def undone(self) -> bool:
        return False

    def after(self) -> bool:
        return False


def _part(group: Sequence[CandleRow], *, last: bool) -> frames.History:
    return history({row.symbol: [row] for row in group}, last=last)


def _changed(order: OrderState, status: str) -> OrderState:
    return replace(order, status=status, version=order.version + 1)


def _at(order: OrderState, after_ns: int) -> OrderState:
    return replace(order, after_ns=after_ns)


def _fill_at(fill: Execution, after_ns: int) -> Execution:
    return replace(fill, after_ns=after_ns)
