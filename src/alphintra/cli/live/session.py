"""A strategy's live session: what the stream tells becomes the hooks of a backtest, in its order.

    warm-up   the candles and executions of the past, in the order of time; no order is sent, an
              order that an earlier session has given is found again by its name
    live      a fill: `on_fill`; a closed candle: `on_bar`, then the timers that are due; a quote:
              `on_quote`

A candle that closed while nobody watched is shown to the strategy, but does not trade.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from alphintra.cli.client import API, Api
from alphintra.cli.errors import CommandFailed, Refused, Unreachable
from alphintra.cli.live.desk import Desk
from alphintra.cli.live.feed import CANDLES_MAX, Candle, LiveFeed, at_ns
from alphintra.cli.live.host import LiveHost, Say
from alphintra.core.clock import NS_PER_SECOND
from alphintra.engine.series import Quotes
from alphintra.sdk.blame import blamed
from alphintra.sdk.strategy import Strategy
from alphintra.sdk.views import Bar, Quote, moment, view_of

PAUSE_FIRST_S: Final = 0.5
PAUSE_MAX_S: Final = 30.0
#: How long one look at the stream waits, and so how soon Ctrl-C is heard.
LOOK_S: Final = 0.25
#: The server's heart beats every fifteen seconds; a stream that is silent for longer is dead.
SILENCE_MAX_S: Final = 45.0
_MISSED: Final = "its candle closed while nobody watched"


class TradingSession:
    """One strategy on one symbol, from its warm-up until it is stopped.

    Args:
        length_ns: of a candle of `timeframe`.
        warmup: closed candles that are read first, at most.
        start: none before this time, ISO 8601.
        stopping: asked often; true ends the session.
        watches_orders: false when none are sent.
    """

    def __init__(
        self,
        strategy: Strategy,
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
        self._strategy = strategy
        self._host = host
        self._feed = feed
        self._api = api
        self._desk = Desk(api, feed.symbols[0])
        self._timeframe = timeframe
        self._length_ns = length_ns
        self._warmup = warmup
        self._start = start
        self._say = say
        self._stopping = stopping
        self._watches_orders = watches_orders
        self._on_quote = type(strategy).on_quote is not Strategy.on_quote
        self._bar = view_of(Bar, feed, ())
        self._quote = view_of(Quote, feed, ())
        self._quoted: tuple[Any, ...] = ()
        self._foreign: set[str] = set()
        self._passed_ns: int | None = None
        self._heard_s = 0.0
        self._pause_s = PAUSE_FIRST_S

    # The past.

    def prepare(self) -> None:
        """Set the strategy up and let it live through the past; nothing is sent.

        Raises:
            StrategyFailed, StrategyRefused: the strategy's.
            CommandFailed: the server's.
        """
        with blamed(self._strategy, self._feed):
            self._strategy.setup()
        fills: list[Any] = []
        if self._watches_orders:
            for view in self._desk.orders():
                self._host.remember(view)
            fills = [one for one in self._desk.executions() if self._host.owns(one["order_id"])]
        # A fill belongs behind the candle at which its order was given, whatever the clocks say.
        times = [max(self._host.given_at(one) + 1, at_ns(one["executed_at"])) for one in fills]
        told = 0
        limit = self._warmup if self._start is None else CANDLES_MAX // 2
        candles = self._read_candles(limit=limit, start=self._start)
        for candle in self._standing_at(candles):
            while told < len(fills) and times[told] <= candle.close_ns:
                self._book(fills[told])
                told += 1
            self._on_candle(candle)
        for fill in fills[told:]:
            self._book(fill)
        self._host.settle()
        self._say("ready", {"candles": len(candles), "fills_before": len(fills)})

    def _read_candles(self, *, limit: int, start: str | None = None) -> list[Candle]:
        views = self._api.pages(
            "/market-data/candles",
            limit=limit,
            symbol=self._feed.symbols[0],
            timeframe=self._timeframe,
            start=start,
            order="desc",
        )
        return [Candle.of(view, self._length_ns) for view in reversed(views)]

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
        symbols = [self._feed.symbols[0]]
        wanted: list[dict[str, object]] = [
            {"channel": "candles", "symbols": symbols, "timeframe": self._timeframe}
        ]
        if self._watches_orders:
            wanted += [{"channel": "orders"}, {"channel": "fills"}]
        if self._on_quote:
            wanted.append({"channel": "quotes", "symbols": symbols})
        for one in wanted:
            socket.send(json.dumps({"op": "subscribe", **one}))
        heard_s = time.monotonic()
        while not self._stopping():
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
            self._hear_order(message["data"]["order"])
        elif channel == "fills":
            self._hear_fill(message["data"])
        elif channel == "quotes":
            for view in [message["data"]] if kind == "update" else message["data"]:
                self._hear_quote(view)
        if kind == "heartbeat" and self._heard_s:
            self._heard_s = time.monotonic()

    def _hear_candles(self, data: Any, *, is_update: bool) -> None:
        views = [data] if is_update else data
        closed = [Candle.of(view, self._length_ns) for view in views if view["closed"]]
        missed = [one for one in closed if one.open_ns > self._feed.newest_ns]
        if not is_update and missed and len(missed) == len(closed) and len(self._feed):
            missed = self._all_missed(missed)
        # Of what a snapshot brings only the newest is news, and only if it was not long in coming.
        outage_s = time.monotonic() - self._heard_s if self._heard_s else float("inf")
        is_fresh = is_update or outage_s * NS_PER_SECOND < self._length_ns
        for candle in self._standing_at(missed):
            self._host.muted = "" if is_fresh and candle is missed[-1] else _MISSED
            self._on_candle(candle)
            self._host.muted = ""
        if not is_update:
            what = "connected" if self._heard_s else "watching"
            self._say(what, {"symbol": self._feed.symbols[0], "timeframe": self._timeframe})
        self._heard_s = time.monotonic()

    def _all_missed(self, told: Sequence[Candle]) -> list[Candle]:
        """Return what the snapshot begins too late to tell, and what it tells."""
        start = moment(self._feed.newest_ns).isoformat()
        read = self._read_candles(limit=self._warmup, start=start)
        before = [one for one in read if self._feed.newest_ns < one.open_ns < told[0].open_ns]
        return [*before, *told]

    def _hear_order(self, view: Mapping[str, Any]) -> None:
        if self._host.learn(view) is None and view["parent_id"]:
            self._adopt(str(view["parent_id"]))

    def _hear_fill(self, fill: Mapping[str, Any]) -> None:
        if fill["symbol"] != self._feed.symbols[0]:
            return
        order_id = fill["order_id"]
        if not self._host.owns(order_id) and order_id not in self._foreign:
            self._adopt(order_id)
        if self._host.owns(order_id):
            self._book(fill)
        else:
            self._foreign.add(order_id)

    def _adopt(self, server_id: str) -> None:
        """Look whether an order that the server tells of is one of which no answer came."""
        for known in self._host.doubtful():
            views = list(self._desk.named(str(known.order.id)))
            if views and server_id in {view["id"] for view in views}:
                self._host.found(known, views)

    def catch_up(self) -> None:
        """Read what the stream may have told while nobody listened."""
        for known in self._host.doubtful():
            if not known.in_doubt:
                continue  # an exit whose entry was found just before
            if views := list(self._desk.named(str(known.order.id))):
                self._host.found(known, views)
            else:
                self._host.given_up(known)
        for fill in self._desk.executions():
            if self._host.owns(fill["order_id"]):
                self._book(fill)
        for known in self._host.open_known():
            if known.server_id:
                self._host.learn(self._desk.order(known.server_id))

    # The hooks.

    def _standing_at(self, candles: Sequence[Candle]) -> Iterator[Candle]:
        """Stand at one candle after the other; what comes behind it is not shown."""
        rows = self._feed.extend(candles) if candles else range(0)
        for line in self._host.lines:
            line.forget()
        for self._feed.row, candle in zip(rows, candles, strict=True):
            yield candle

    def _on_candle(self, candle: Candle) -> None:
        with blamed(self._strategy, self._feed):
            self._strategy.on_bar(self._bar)
            self._call_timers(candle.open_ns, candle.close_ns)
        self._host.flush()

    def _hear_quote(self, view: Mapping[str, Any]) -> None:
        values = (view["bid"], view["ask"], view["bid_size"], view["ask_size"])
        # The stream also tells of prints alone, which change neither bid nor ask.
        if values == self._quoted or not view["is_live"]:
            return
        self._quoted = values
        columns = [np.array([np.nan if one is None else float(one)]) for one in values]
        ts_ns = np.array([at_ns(view["at"])])
        self._feed.quote(Quotes(self._feed.symbols[0], ts_ns, *columns))
        with blamed(self._strategy, self._feed):
            self._strategy.on_quote(self._quote)
            self._call_timers(self._feed.now_ns, self._feed.now_ns)
        self._host.flush()

    def _call_timers(self, open_ns: int, now_ns: int) -> None:
        before = open_ns if self._passed_ns is None else self._passed_ns
        self._passed_ns = now_ns
        for length_ns, name in sorted(self._host.timers, key=lambda timer: timer[1]):
            if now_ns // length_ns > before // length_ns:
                self._strategy.on_timer(name)

    def _book(self, fill: Mapping[str, Any]) -> None:
        with blamed(self._strategy, self._feed):
            self._host.book(fill)
        self._host.flush()
