"""A strategy's live session over HTTP: what the server stores and streams becomes a live run."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from math import nan
from typing import Any, Final

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from alphintra.cli.client import API, Api
from alphintra.cli.errors import CommandFailed, Refused, Unreachable
from alphintra.cli.live.desk import Desk, execution_of, state_of
from alphintra.core.clock import NS_PER_SECOND, to_ns
from alphintra.sdk.live.feed import LiveFeed
from alphintra.sdk.live.growing import CANDLES_MAX, Candle
from alphintra.sdk.live.host import LiveHost, Say
from alphintra.sdk.live.run import MISSED, LiveRun
from alphintra.sdk.live.told import Execution, OrderState
from alphintra.sdk.views import moment

PAUSE_FIRST_S: Final = 0.5
PAUSE_MAX_S: Final = 30.0
#: How long one look at the stream waits, and so how soon Ctrl-C is heard.
LOOK_S: Final = 0.25
#: The server's heart beats every fifteen seconds; a stream that is silent for longer is dead.
SILENCE_MAX_S: Final = 45.0
#: How long candles that closed together wait for each other.
TOGETHER_S: Final = 2.0


def candle_of(view: Mapping[str, Any], length_ns: int) -> Candle:
    """Read a candle of the API; the floats are those that a file of the same prices gives."""
    open_ns = at_ns(view["starts_at"])
    volume = view["volume"]
    return Candle(
        open_ns,
        open_ns + length_ns,
        float(view["open"]),
        float(view["high"]),
        float(view["low"]),
        float(view["close"]),
        nan if volume is None else float(volume),
    )


def at_ns(text: str) -> int:
    """Return a time of the API in nanoseconds since the UNIX epoch."""
    return to_ns(datetime.fromisoformat(text))


#: A candle and the place of its symbol.
Placed = tuple[int, Candle]


def _once(candles: Sequence[Placed]) -> list[Placed]:
    return list({(symbol, one.open_ns): (symbol, one) for symbol, one in candles}.values())


class TradingSession:
    """One strategy, from its warm-up until it is stopped.

    Args:
        length_ns: of a candle of `timeframe`.
        warmup: closed candles of each symbol that are read first, at most.
        start: none before this time, ISO 8601.
        stopping: asked often; true ends the session.
        watches_orders: false when none are sent.
    """

    def __init__(
        self,
        run: LiveRun,
        host: LiveHost,
        feed: LiveFeed,
        api: Api,
        *,
        timeframe: str,
        length_ns: int,
        warmup: int,
        start: str | None = None,
        say: Say,
        stopping: Callable[[], bool],
        watches_orders: bool = True,
    ) -> None:
        self._run = run
        self._host = host
        self._feed = feed
        self._api = api
        self._desk = Desk(api, feed.symbols)
        self._timeframe = timeframe
        self._length_ns = length_ns
        self._warmup = warmup
        self._start = start
        self._say = say
        self._stopping = stopping
        self._watches_orders = watches_orders
        self._quoted: dict[str, tuple[Any, ...]] = {}
        self._foreign: set[str] = set()
        self._waiting: list[Placed] = []
        self._waiting_since_s = 0.0
        self._heard_s = 0.0
        self._pause_s = PAUSE_FIRST_S

    # The past.

    def prepare(self) -> None:
        """Set the strategy up and let it live through the past; nothing is sent.

        Raises:
            StrategyFailed, StrategyRefused: the strategy's.
            CommandFailed: the server's.
        """
        self._run.set_up()
        told = 0
        if self._watches_orders:
            told = self._run.remember(self._desk.orders(), self._desk.executions())
        limit = self._warmup if self._start is None else CANDLES_MAX // 2
        candles = [
            one
            for symbol in range(len(self._feed.symbols))
            for one in self._read_candles(symbol, limit=limit, start=self._start)
        ]
        self._show(candles)
        self._run.settle()
        self._say("ready", {"candles": len(candles), "fills_before": told})

    def _read_candles(self, symbol: int, *, limit: int, start: str | None = None) -> list[Placed]:
        views = self._api.pages(
            "/market-data/candles",
            limit=limit,
            symbol=self._feed.symbols[symbol],
            timeframe=self._timeframe,
            start=start,
            order="desc",
        )
        return [(symbol, candle_of(view, self._length_ns)) for view in reversed(views)]

    # The stream.

    def run(self) -> None:
        """Follow the stream until the session is stopped; a lost connection is made again.

        Raises:
            StrategyFailed: the strategy raised.
            CommandFailed: the server refuses what the session needs.
        """
        url = self._api.url.replace("http", "ws", 1) + f"{API}/stream"
        while not self._stopping():
            try:
                with connect(url, additional_headers=self._api.credentials()) as socket:
                    self._follow(socket)
            except InvalidStatus as refusal:
                status = refusal.response.status_code
                if status < 500 and status not in {401, 429}:
                    raise CommandFailed(f"the stream is refused with {status}") from refusal
                self._lost(f"it answered {status}")
            except (ConnectionClosed, InvalidHandshake, OSError, Unreachable) as error:
                self._lost(str(error) or type(error).__name__)
            except Refused as refusal:
                if refusal.status < 500 and refusal.status != 429:
                    raise
                self._lost(refusal.detail)

    def _lost(self, reason: str) -> None:
        self._say("disconnected", {"reason": reason, "again_in_s": self._pause_s})
        until = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, PAUSE_MAX_S)
        while time.monotonic() < until and not self._stopping():
            time.sleep(min(LOOK_S, self._pause_s))

    def _follow(self, socket: ClientConnection) -> None:
        symbols = list(self._feed.symbols)
        wanted: list[dict[str, object]] = [
            {"channel": "candles", "symbols": symbols, "timeframe": self._timeframe}
        ]
        if self._watches_orders:
            wanted += [{"channel": "orders"}, {"channel": "fills"}]
        if self._run.wants_quotes:
            wanted.append({"channel": "quotes", "symbols": symbols})
        for one in wanted:
            socket.send(json.dumps({"op": "subscribe", **one}))
        heard_s = time.monotonic()
        while not self._stopping():
            self._release()
            try:
                text = socket.recv(timeout=LOOK_S)
            except TimeoutError:
                if time.monotonic() - heard_s > SILENCE_MAX_S:
                    raise OSError("it fell silent") from None
                continue
            heard_s = time.monotonic()
            self.hear(json.loads(text))
            self._pause_s = PAUSE_FIRST_S

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take a message of the stream."""
        kind, channel = message["type"], message.get("channel")
        if kind == "error":
            raise CommandFailed(message["detail"], code=message["code"])
        if channel == "candles":
            self._hear_candles(message["data"], is_update=kind == "update")
        elif kind in {"snapshot", "resync"} and channel in {"orders", "fills"}:
            self.catch_up()
        elif channel == "orders":
            self._hear_order(state_of(message["data"]["order"]))
        elif channel == "fills":
            self._hear_fill(execution_of(message["data"]))
        elif channel == "quotes":
            for view in [message["data"]] if kind == "update" else message["data"]:
                self._hear_quote(view)
        if kind == "heartbeat" and self._heard_s:
            self._heard_s = time.monotonic()

    def _hear_candles(self, data: Any, *, is_update: bool) -> None:
        places = self._feed.places
        told = [
            (places[view["symbol"]], candle_of(view, self._length_ns))
            for view in ([data] if is_update else data)
            if view["closed"] and view["symbol"] in places
        ]
        missed = [one for one in told if one[1].open_ns > self._feed.newest_ns(one[0])]
        if is_update:
            self._waiting_since_s = self._waiting_since_s or time.monotonic()
            self._waiting = _once([*self._waiting, *missed])
            self._heard_s = time.monotonic()
            self._release()
            return
        missed = _once([*self._missed_before(told), *missed, *self._waiting])
        self._waiting.clear()
        # Of what a snapshot brings only the newest is news, and only if it was not long in coming.
        outage_s = time.monotonic() - self._heard_s if self._heard_s else float("inf")
        self._show(missed, newest_counts=outage_s * NS_PER_SECOND < self._length_ns)
        what = "connected" if self._heard_s else "watching"
        symbols = ",".join(self._feed.symbols)
        self._say(what, {"symbol": symbols, "timeframe": self._timeframe})
        self._heard_s = time.monotonic()

    def _missed_before(self, told: Sequence[Placed]) -> list[Placed]:
        """Return what a snapshot begins too late to tell."""
        found: list[Placed] = []
        for symbol in {place for place, _ in told}:
            newest_ns = self._feed.newest_ns(symbol)
            first_ns = min(candle.open_ns for place, candle in told if place == symbol)
            if 0 < newest_ns < first_ns:
                start = moment(newest_ns).isoformat()
                read = self._read_candles(symbol, limit=self._warmup, start=start)
                found += [one for one in read if newest_ns < one[1].open_ns < first_ns]
        return found

    def _release(self) -> None:
        """Show the candles that have waited for each other: all of a time are there, or enough."""
        while self._waiting:
            close_ns = min(candle.close_ns for _, candle in self._waiting)
            group = [one for one in self._waiting if one[1].close_ns == close_ns]
            waited_s = time.monotonic() - self._waiting_since_s
            if len(group) < len(self._feed.symbols) and waited_s < TOGETHER_S:
                return
            self._waiting = [one for one in self._waiting if one[1].close_ns != close_ns]
            self._waiting_since_s = time.monotonic() if self._waiting else 0.0
            self._show(group, newest_counts=True)

    def _show(self, candles: Sequence[Placed], *, newest_counts: bool = False) -> None:
        """Show candles to the strategy, those of one time together."""
        ordered = sorted(candles, key=lambda one: (one[1].close_ns, one[0]))
        for close_ns, group in groupby(ordered, key=lambda one: one[1].close_ns):
            is_news = newest_counts and close_ns == ordered[-1][1].close_ns
            at_ns = max(close_ns, self._feed.group_ns)
            self._run.candles(list(group), at_ns, muted="" if is_news else MISSED)

    def _hear_order(self, state: OrderState) -> None:
        if not self._run.order(state) and state.parent_id:
            self._adopt(state.parent_id)

    def _hear_fill(self, fill: Execution) -> None:
        if fill.symbol not in self._feed.places:
            return
        if not self._host.owns(fill.order_id) and fill.order_id not in self._foreign:
            self._adopt(fill.order_id)
        if self._host.owns(fill.order_id):
            self._run.fill(fill)
        else:
            self._foreign.add(fill.order_id)

    def _adopt(self, server_id: str) -> None:
        """Look whether an order that the server tells of is one of which no answer came."""
        for known in self._host.doubtful():
            states = list(self._desk.named(known.name))
            if states and server_id in {state.id for state in states}:
                self._host.found(known, states)

    def catch_up(self) -> None:
        """Read what the stream may have told while nobody listened."""
        for known in self._host.doubtful():
            if not known.in_doubt:
                continue  # an exit whose entry was found just before
            if states := list(self._desk.named(known.name)):
                self._host.found(known, states)
            else:
                self._host.given_up(known)
        for fill in self._desk.executions():
            if self._host.owns(fill.order_id):
                self._run.fill(fill)
        for known in self._host.open_known():
            if known.server_id:
                self._run.order(self._desk.order(known.server_id))

    def _hear_quote(self, view: Mapping[str, Any]) -> None:
        symbol = view["symbol"]
        values = (view["bid"], view["ask"], view["bid_size"], view["ask_size"])
        # The stream also tells of prints alone, which change neither bid nor ask.
        if values == self._quoted.get(symbol) or not view["is_live"]:
            return
        if symbol not in self._feed.places:
            return
        self._quoted[symbol] = values
        bid, ask, bid_size, ask_size = (nan if one is None else float(one) for one in values)
        self._run.quote(
            self._feed.places[symbol],
            at_ns(view["at"]),
            bid=bid,
            ask=ask,
            bid_size=bid_size,
            ask_size=ask_size,
        )
