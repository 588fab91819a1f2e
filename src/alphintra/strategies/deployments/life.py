"""The state of one deployment at work, in memory: what follows from its frames and its signals.

Nothing here waits for anything: frames are taken in, decisions are judged, and what is to be
written goes into a `Step`.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, assert_never
from uuid import UUID

from alphintra.core import money
from alphintra.core.money import ZERO
from alphintra.core.orders import OPEN
from alphintra.sdk.live.told import Execution, OrderState
from alphintra.strategies.deployments.book import Book, Tide
from alphintra.strategies.deployments.candles import Candles
from alphintra.strategies.deployments.limits import (
    ORDER_RATE,
    Judge,
    Wanted,
    Withheld,
    wanted_of,
)
from alphintra.strategies.deployments.models import DeploymentRow, SignalRow
from alphintra.strategies.deployments.signals import (
    CANCEL,
    PLACE,
    STRATEGY,
    NewSignal,
    order_parameters,
    signal_id_of,
    trace_id_of,
)
from alphintra.strategies.deployments.status import SignalStatus
from alphintra.strategies.deployments.step import Line, Step
from alphintra.strategies.deployments.terms import read_terms
from alphintra.strategies.live import frames
from alphintra.strategies.live.frames import CandleRow

#: Lines of its log that a strategy may write in a minute; what is beyond them is counted.
LINES_PER_MINUTE: Final = 200
_MINUTE_S: Final = 60.0


class BrokeRules(Exception):
    """The process decided what no strategy can decide."""


@dataclass(slots=True)
class Lines:
    """The strategy's log, with a bound on how fast it grows."""

    _written: deque[float] = field(default_factory=deque)
    _left_out: int = 0

    def take(self, messages: Iterable[str], kind: str, now_s: float, step: Step) -> None:
        """Put lines into the step, as many as are allowed."""
        while self._written and self._written[0] <= now_s - _MINUTE_S:
            self._written.popleft()
        for message in messages:
            if len(self._written) >= LINES_PER_MINUTE:
                if not self._left_out:
                    text = f"more than {LINES_PER_MINUTE} lines in a minute; the rest is left out"
                    step.lines.append(Line("WARNING", text))
                self._left_out += 1
                continue
            if self._left_out:
                step.lines.append(Line("WARNING", f"{self._left_out} lines were left out"))
                self._left_out = 0
            self._written.append(now_s)
            step.lines.append(Line(kind, message))


@dataclass(slots=True)
class Life:
    """See the module. `number` is that of the next frame."""

    row: DeploymentRow
    length_ns: int
    book: Book
    tide: Tide
    judge: Judge
    candles: Candles
    number: int = 0
    close_ns: int | None = None
    #: By order id, the version that was told.
    versions: dict[str, int] = field(default_factory=dict)
    #: Signals whose orders may change, by id: their names.
    live: dict[UUID, str] = field(default_factory=dict)
    #: Signals that wait for a yes, and until when.
    waiting: dict[UUID, datetime] = field(default_factory=dict)
    #: A limit that was reached by a decision.
    breach: Withheld | None = None
    lines: Lines = field(default_factory=Lines)

    @classmethod
    def of(cls, row: DeploymentRow, length_ns: int) -> "Life":
        """Return the state of a deployment that has lived through nothing yet."""
        book = Book(row.capital)
        return cls(
            row=row,
            length_ns=length_ns,
            book=book,
            tide=Tide(row.peak_equity, row.day, row.day_equity),
            judge=Judge(read_terms(row.terms), row.capital, book),
            candles=Candles(tuple(row.symbols), length_ns),
        )

    @property
    def prefix(self) -> str:
        """What the names of its orders begin with."""
        return name_prefix(self.row.id)

    # What it lives through.

    def absorb(self, frame: frames.FromParent) -> None:
        """Take in a frame that was told."""
        self.number += 1
        match frame:
            case frames.History():
                for candles in frame.candles:
                    self._see(_last_of(candles))
            case frames.Bars():
                for row in frame.bars:
                    self._see(row)
            case frames.OrderNews(view=view):
                self.versions[view.id] = view.version
            case frames.FillNews(fill=fill):
                self.book.take(fill)

    def _see(self, row: CandleRow) -> None:
        told_ns = self.candles.told_ns
        told_ns[row.symbol] = max(row.close_ns, told_ns.get(row.symbol, -1))
        self.close_ns = max(row.close_ns, self.close_ns or 0)
        if math.isfinite(row.close) and row.close > 0:
            self.book.mark(row.symbol, money.to_amount(Decimal(repr(row.close))))

    def know(self, signals: Sequence[SignalRow]) -> None:
        """Take the live signals from the database in place of what was thought of them."""
        live = {one.id: one for one in signals if one.is_live and one.kind == PLACE}
        for gone in self.live.keys() - live.keys():
            del self.live[gone]
            self.judge.settle(str(gone), ZERO)
        self.waiting = {
            one.id: one.expires_at
            for one in live.values()
            if one.status == SignalStatus.WAITING and one.expires_at is not None
        }
        for signal_id, one in live.items():
            if signal_id not in self.live:
                self.live[signal_id] = one.name
                self.judge.commit(str(signal_id), self._wanted(one.symbol, one.body))

    def _wanted(self, symbol: str, body: Mapping[str, Any]) -> Wanted:
        return wanted_of(symbol, body, self.book.marks.get(symbol))

    # What it hears of its orders.

    def news(
        self, orders: Sequence[Mapping[str, Any]], fills: Sequence[Mapping[str, Any]], step: Step
    ) -> list[frames.FromParent]:
        """Return what is new of its orders: of each its state, then its fills."""
        told: list[frames.FromParent] = [
            frames.OrderNews(view=order_state(order))
            for order in orders
            if self.versions.get(str(order["id"]), -1) < order["version"]
        ]
        told += [
            frames.FillNews(fill=execution(fill))
            for fill in fills
            if not self.book.knows(str(fill["id"]))
        ]
        by_signal: dict[UUID, list[Mapping[str, Any]]] = {}
        for order in orders:
            by_signal.setdefault(UUID(str(order["signal_id"])), []).append(order)
        for signal_id, those in by_signal.items():
            left = sum(
                (
                    Decimal(one["quantity"]) - Decimal(one["filled_quantity"])
                    for one in those
                    if one["parent_id"] is None and one["status"] in OPEN
                ),
                ZERO,
            )
            self.judge.settle(str(signal_id), left)
            if signal_id in self.live and not any(one["status"] in OPEN for one in those):
                del self.live[signal_id]
                step.finished.append(signal_id)
        return told

    # What it decides.

    def decide(
        self, decided: frames.Decided, number: int, step: Step, *, at: datetime, now_s: float
    ) -> list[frames.FromParent]:
        """Judge what came of a frame; return what the strategy is told of it at once.

        Raises:
            BrokeRules: a decision is none.
        """
        self.lines.take((one.message for one in decided.logs), "LOG", now_s, step)
        self.lines.take(decided.warnings, "WARNING", now_s, step)
        refusals: list[frames.FromParent] = []
        for intent in decided.intents:
            if self.breach is not None:
                break  # it is being stopped; the rest of a flood is not even written down
            match intent:
                case frames.Place():
                    signal = self._place(intent, number, at)
                case frames.Cancel():
                    signal = self._cancel(intent, number, step)
                case _:
                    assert_never(intent)
            step.signals.append(signal)
            if signal.status is SignalStatus.WITHHELD and signal.kind == PLACE:
                refusals.append(frames.Refusal(name=signal.name, reason=signal.detail or ""))
        return refusals

    def _place(self, place: frames.Place, number: int, at: datetime) -> NewSignal:
        body: dict[str, Any] = dict(place.body)
        if not place.name.startswith(self.prefix) or body.get("client_order_id") != place.name:
            raise BrokeRules(f"an order has the name {place.name!r}, which is not its own")
        if place.symbol not in self.row.symbols or body.get("symbol", place.symbol) != place.symbol:
            raise BrokeRules(f"an order is in {place.symbol!r}, which it was not deployed on")
        _refuse_zeros(place.name, place.reason, place.hook, body, *place.because)
        signal_id = signal_id_of(self.row.id, PLACE, place.name)
        status, withheld, expires_s = SignalStatus.PUBLISHED, None, None
        try:
            wanted = self._wanted(place.symbol, body)
        except ValueError as error:
            status, withheld = SignalStatus.WITHHELD, Withheld("order_invalid", str(error))
        else:
            withheld = self.judge.verdict(wanted, at)
            if withheld is not None:
                status = SignalStatus.WITHHELD
                if withheld.code == ORDER_RATE:
                    self.breach = withheld
            else:
                if self.judge.needs_yes(wanted):
                    status = SignalStatus.WAITING
                    expires_s = self.judge.terms.approval.expires_s
                self.judge.commit(str(signal_id), wanted)
                self.live[signal_id] = place.name
        side = body.get("side")
        return NewSignal(
            id=signal_id,
            kind=PLACE,
            name=place.name,
            origin=STRATEGY,
            symbol=place.symbol,
            action=str(side) if side in {"BUY", "SELL"} else "HOLD",
            body=body,
            parameters=order_parameters(body),
            frame=number,
            trace_id=trace_id_of(self.row.id, number),
            confidence=Decimal(repr(round(place.confidence, 8))),
            reason=place.reason,
            because={
                name: value if value is not None and math.isfinite(value) else None
                for name, value in place.because.items()
            },
            candle_ns=self.close_ns,
            status=status,
            code=None if withheld is None else withheld.code,
            detail=None if withheld is None else withheld.reason,
            expires_s=expires_s,
        )

    def _cancel(self, cancel: frames.Cancel, number: int, step: Step) -> NewSignal:
        if not cancel.name.startswith(self.prefix):
            raise BrokeRules(f"it takes back {cancel.name!r}, which is not its own")
        _refuse_zeros(cancel.name)
        # An event and a number name an order; a further number one of its exits.
        parts = cancel.name.removeprefix(self.prefix).split("/")
        if len(parts) not in {2, 3}:
            raise BrokeRules(f"it takes back {cancel.name!r}, which names no order")
        leg = parts[2:]
        entry = self.prefix + "/".join(parts[:2])
        placed = signal_id_of(self.row.id, PLACE, entry)
        status, code, detail = SignalStatus.PUBLISHED, None, None
        parameters: dict[str, Any] = {"cancel": [str(placed)]}
        if leg:
            # An exit is named by the server's id, and only one that was told is its own.
            if cancel.order_id is None or cancel.order_id not in self.versions:
                status, code = SignalStatus.WITHHELD, "order_not_known"
                detail = "the exit is not known yet"
            parameters = {"cancel_orders": [cancel.order_id]}
        elif placed in self.waiting or any(
            one.id == placed and one.status is SignalStatus.WAITING for one in step.signals
        ):
            # The yes may come this very moment: taken back, and cancelled too.
            step.withdrawn.append(placed)
            self.waiting.pop(placed, None)
            self.judge.settle(str(placed), ZERO)
        if (withheld := self.judge.take_back()) is not None:
            self.breach = withheld
            status, code, detail = SignalStatus.WITHHELD, withheld.code, withheld.reason
        return NewSignal(
            id=signal_id_of(self.row.id, CANCEL, cancel.name),
            kind=CANCEL,
            name=cancel.name,
            origin=STRATEGY,
            symbol=self.row.symbols[0],
            action="HOLD",
            body={},
            parameters=parameters,
            frame=number,
            trace_id=trace_id_of(self.row.id, number),
            candle_ns=self.close_ns,
            status=status,
            code=code,
            detail=detail,
        )

    # What is written of it.

    def figures(self) -> dict[str, Any]:
        """Return the columns of the deployment's row that its book fills."""
        book = self.book
        return {
            "cash": book.cash,
            "equity": money.to_amount(book.equity),
            "peak_equity": money.to_amount(self.tide.peak),
            "day": self.tide.day,
            "day_equity": money.to_amount(self.tide.day_equity),
            "realized_pnl": book.realized,
            "fees": book.fees,
            "fills": book.fills,
            "positions": book.views(),
            "last_close_ns": self.close_ns,
        }


def name_prefix(deployment_id: UUID) -> str:
    """Return what the names of a deployment's orders begin with; nobody else's do."""
    return f"d{deployment_id.hex}/"


def order_state(view: Mapping[str, Any]) -> OrderState:
    """Return an order, as trading shows it, as strategies are told it."""
    return OrderState(
        id=str(view["id"]),
        client_order_id=view["client_order_id"],
        symbol=view["symbol"],
        side=view["side"],
        type=view["type"],
        quantity=view["quantity"],
        status=view["status"],
        version=view["version"],
        parent_id=None if view["parent_id"] is None else str(view["parent_id"]),
        reject_reason=view["reject_reason"],
        reject_detail=view.get("reject_detail"),
        updated_at=_moment(view["updated_at"]),
    )


def execution(view: Mapping[str, Any]) -> Execution:
    """Return an execution, as trading shows it, as strategies are told it."""
    return Execution(
        id=str(view["id"]),
        order_id=str(view["order_id"]),
        symbol=view["symbol"],
        side=view["side"],
        quantity=view["quantity"],
        price=view["price"],
        fee=view["fee"],
        liquidity=view["liquidity"],
        executed_at=_moment(view["executed_at"]),
    )


def _moment(value: datetime | str) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _last_of(candles: frames.Candles) -> CandleRow:
    """Return the newest candle of some columns."""
    times = [memoryview(one).cast("q")[-1] for one in (candles.open_ns, candles.close_ns)]
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    return CandleRow(candles.symbol, *times, *(memoryview(one).cast("d")[-1] for one in columns))


def _refuse_zeros(*values: object) -> None:
    """Refuse what the database cannot keep."""
    for value in values:
        if isinstance(value, dict):
            _refuse_zeros(*value, *value.values())
        elif isinstance(value, str) and "\x00" in value:
            raise BrokeRules("a text holds a zero byte")
