"""`alphintra trade`: the strategy that was backtested, live on paper."""

import hashlib
import json as json_module
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

from alphintra.cli.client import Api
from alphintra.cli.errors import CommandFailed
from alphintra.cli.live.desk import Desk
from alphintra.cli.live.session import TradingSession
from alphintra.cli.parameters import parameter_values
from alphintra.core.errors import Problem
from alphintra.research.loading import load_strategy
from alphintra.sdk.live.feed import LiveFeed
from alphintra.sdk.live.host import LiveHost, Say
from alphintra.sdk.live.orders import Grid, Names
from alphintra.sdk.live.run import LiveRun
from alphintra.sdk.resampling import duration_ns
from alphintra.sdk.strategy import Strategy
from alphintra.sdk.views import moment

#: What the stream has candles of: their ends lie on a grid.
TIMEFRAMES: Final = ("1s", "5s", "15s", "1m", "5m", "15m", "30m", "1h", "4h", "1d")
#: Client order ids have 128 characters.
_SYMBOLS_IN_NAMES_MAX: Final = 40
_SETTLE_PAUSES_S: Final = (0.05, 0.15, 0.4, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeOptions:
    """What a session is told on the command line."""

    strategy: str
    symbol: str
    timeframe: str
    parameters: Sequence[str]
    capital: float
    fee: float
    warmup: int
    name: str | None = None
    state: Path | None = None
    dry_run: bool = False
    close: bool = False
    cancel_on_stop: bool = False


class Stop:
    """Whether somebody wants the session to end: Ctrl-C or SIGTERM, once."""

    def __init__(self) -> None:
        self.wanted = False

    def __call__(self) -> bool:
        """Return whether it shall end."""
        return self.wanted

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals while the block runs; a second one interrupts at once."""
        before = {kind: signal.signal(kind, self._heard) for kind in _SIGNALS}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True


_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def run_trade(options: TradeOptions, *, url: str | None, json: bool) -> None:
    """Trade until somebody stops it.

    Raises:
        CommandFailed, Problem: as they say; what is open at the server stays.
    """
    stop = Stop()
    with Api(url) as api, stop.listening():
        trade(options, api, say=_say_json if json else _say_text, stop=stop)


def trade(options: TradeOptions, api: Api, *, say: Say, stop: Stop) -> LiveHost:
    """Run a session to its end and return what it was run in.

    Raises:
        StrategyFailed, StrategyRefused, ParameterRefused, StrategyNotFound: the strategy's.
        CommandFailed: the server's.
    """
    strategy = _strategy(options)
    symbols = _symbols(options)
    feed = LiveFeed(symbols)
    names = Names(_prefix(options, strategy))
    instruments = [api.get(f"/market-data/instruments/{symbol}") for symbol in symbols]
    host = LiveHost(
        strategy,
        feed,
        None if options.dry_run else Desk(api, symbols),
        grids=[Grid(one["tick_size"], one["lot_size"]) for one in instruments],
        names=names,
        capital=options.capital,
        fee=options.fee,
        say=say,
    )
    session = TradingSession(
        LiveRun(strategy, host, feed, names),
        host,
        feed,
        api,
        timeframe=options.timeframe,
        length_ns=duration_ns(options.timeframe),
        warmup=options.warmup,
        start=_first_candle(options, strategy),
        say=say,
        stopping=stop,
        watches_orders=not options.dry_run,
    )
    session.prepare()
    _keep_first_candle(options, strategy, feed)
    try:
        session.run()
    except Problem:
        _finish(session, host, strategy, cancel=options.cancel_on_stop, close=False, say=say)
        raise
    _finish(session, host, strategy, cancel=options.cancel_on_stop, close=options.close, say=say)
    return host


def _symbols(options: TradeOptions) -> list[str]:
    symbols = [text.strip().upper() for text in options.symbol.split(",")]
    if not all(symbols) or len(set(symbols)) < len(symbols):
        raise CommandFailed(
            f"--symbol {options.symbol}: give each symbol once", code="unknown_symbol"
        )
    return symbols


def _prefix(options: TradeOptions, strategy: Strategy) -> str:
    """Return how the names of a session's orders begin."""
    symbols = "+".join(_symbols(options))
    if len(symbols) > _SYMBOLS_IN_NAMES_MAX:
        digest = hashlib.sha256(symbols.encode()).hexdigest()[:8]
        symbols = f"{symbols.partition('+')[0]}+{digest}"
    return f"{options.name or type(strategy).__name__}/{symbols}/{options.timeframe}/"


def _strategy(options: TradeOptions) -> Strategy:
    found = load_strategy(options.strategy)
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise CommandFailed(
            f"{options.strategy} is a function over arrays, which cannot run live",
            code="strategy_refused",
            advice="Write it as a class with on_bar: docs/tutorial/first-strategy.md",
        )
    if options.timeframe not in TIMEFRAMES:
        raise CommandFailed(
            f"there is no stream of {options.timeframe} candles",
            code="unknown_timeframe",
            advice=f"There is: {', '.join(TIMEFRAMES)}",
        )
    if found.on_trade is not Strategy.on_trade:
        raise CommandFailed(
            f"{found.__name__} has on_trade, and the stream does not tell of single prints",
            code="strategy_refused",
            advice="It tells of candles (on_bar) and of bid and ask (on_quote).",
        )
    return found(**parameter_values(options.parameters))


# Where the lines begin. An average that remembers everything differs by where it began, so that a
# restart has to begin at the same candle to get the same values to the last bit.


def _about(options: TradeOptions, strategy: Strategy) -> dict[str, Any]:
    return {
        "strategy": repr(strategy),
        "symbol": ",".join(_symbols(options)),
        "timeframe": options.timeframe,
        "capital": options.capital,
    }


def _first_candle(options: TradeOptions, strategy: Strategy) -> str | None:
    if options.state is None or not options.state.exists():
        return None
    try:
        kept = json_module.loads(options.state.read_text())
        first = str(kept.pop("first_candle"))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise CommandFailed(
            f"{options.state} is not the state of a session: {error}", code="state_unreadable"
        ) from error
    if kept != _about(options, strategy):
        raise CommandFailed(
            f"{options.state} belongs to another session: {kept}",
            code="state_of_another_session",
            advice="Name another file, or give the same strategy, parameters and capital.",
        )
    return first


def _keep_first_candle(options: TradeOptions, strategy: Strategy, feed: LiveFeed) -> None:
    if options.state is None or options.state.exists() or len(feed) == 0:
        return
    begins = [feed.bars(place).open_ns[:1] for place in range(len(feed.symbols))]
    first = moment(int(min(times[0] for times in begins if len(times)))).isoformat()
    partial = options.state.with_name(f"{options.state.name}.partial")
    partial.write_text(json_module.dumps({**_about(options, strategy), "first_candle": first}))
    partial.replace(options.state)


# The end.


def _finish(
    session: TradingSession,
    host: LiveHost,
    strategy: Strategy,
    *,
    cancel: bool,
    close: bool,
    say: Say,
) -> None:
    """End as it was asked, and say what is open."""
    if cancel or close:
        for known in host.open_known():
            host.cancel(known.order)
    if close:
        # An event of its own: a restart lives through the last candle again, and not through this.
        host.begin((host.feed.now_ns, "s"))
        for symbol in host.feed.symbols:
            strategy.close(symbol, tag="stop")
        host.flush()
        for pause_s in _SETTLE_PAUSES_S:
            if not host.open_known():
                break
            time.sleep(pause_s)
            session.catch_up()
    say(
        "stopped",
        {
            **_held(host),
            "cash": round(host.cash(), 8),
            "equity": round(host.equity(), 8),
            "open_orders": [known.server_id or str(known.order.id) for known in host.open_known()],
        },
    )


def _held(host: LiveHost) -> dict[str, object]:
    if len(host.positions) == 1:
        (position,) = host.positions
        return {"position": position.quantity, "average_price": position.average_price}
    return {"positions": {one.symbol: one.quantity for one in host.positions if one}}


def _say_json(what: str, about: Mapping[str, object]) -> None:
    at = datetime.now(UTC).isoformat()
    print(json_module.dumps({"at": at, "event": what, **about}), flush=True)


def _say_text(what: str, about: Mapping[str, object]) -> None:
    parts = (f"{name} {_plain(value)}" for name, value in about.items())
    print(f"{datetime.now(UTC):%H:%M:%S} {what}: {', '.join(parts)}", flush=True)
    sys.stdout.flush()


def _plain(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={inner}" for name, inner in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)
