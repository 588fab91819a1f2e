"""A moving-average cross on live candles, as a program of its own.

It follows candles on the WebSocket, and when the fast average of the closes crosses the slow one it
sends a signal. Alphintra sizes the order, checks the risk and trades. All of this is public API:

    export ALPHINTRA_API_KEY=…    # scopes: market:read signals:write
    python sma_cross_live.py AAPL --timeframe 1m --fast 5 --slow 20

Stop and start it whenever you like. Each signal has an id that follows from the candle it came
from, so a repeat is the same signal and trades nothing. A cross that nobody watched is not traded
late.
"""

import argparse
import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

RETRY_PAUSE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Signal:
    """What the strategy wants, and from which candle it follows."""

    id: UUID
    action: str
    candle: str


@dataclass(kw_only=True)
class SmaCross:
    """BUY when the fast average of the closes crosses above the slow one, SELL when below."""

    symbol: str
    timeframe: str
    fast: int
    slow: int
    closes: list[float] = field(default_factory=list)
    newest: str = ""

    def on_candle(self, candle: dict[str, Any]) -> Signal | None:
        """Take a candle; only a closed one that is not known yet can lead to a signal."""
        start = candle["starts_at"]
        # Times are ISO 8601 in UTC, so they sort as text.
        if not candle["closed"] or start <= self.newest:
            return None
        self.newest = start
        # Averages are statistics, so floats will do. Money never is one: it stays on the server.
        self.closes = [*self.closes[-self.slow :], float(candle["close"])]
        if len(self.closes) <= self.slow:
            return None
        before, after = self._spread(self.closes[:-1]), self._spread(self.closes[1:])
        if before <= 0 < after:
            return self._signal("BUY", start)
        if after < 0 <= before:
            return self._signal("SELL", start)
        return None

    def _spread(self, closes: list[float]) -> float:
        return sum(closes[-self.fast :]) / self.fast - sum(closes[-self.slow :]) / self.slow

    def _signal(self, action: str, start: str) -> Signal:
        name = f"sma-cross/{self.symbol}/{self.timeframe}/{self.fast}/{self.slow}/{start}"
        return Signal(id=uuid5(NAMESPACE_URL, name), action=action, candle=start)


def signals_of(strategy: SmaCross, message: dict[str, Any]) -> Iterator[Signal]:
    """Yield what a message of the stream leads to. Of a snapshot only the end is news."""
    if message.get("channel") != "candles":
        return
    candles = [message["data"]] if message["type"] == "update" else message["data"]
    closed = [candle for candle in candles if candle["closed"]]
    for candle in closed:
        signal = strategy.on_candle(candle)
        if signal is not None and candle is closed[-1]:
            yield signal


async def send(http: httpx.AsyncClient, strategy: SmaCross, signal: Signal) -> None:
    """Send a signal until there is an answer; its id makes the repeats harmless."""
    body = {
        "signal_id": str(signal.id),
        "symbol": strategy.symbol,
        "action": signal.action,
        "confidence": 1,
        "parameters": {"fast": strategy.fast, "slow": strategy.slow, "candle": signal.candle},
    }
    while True:
        try:
            answer = await http.post("/api/v1/signals", json=body)
        except httpx.TransportError as error:
            print(f"no answer ({error!r}), asking again", flush=True)
        else:
            if answer.status_code not in {429, 503}:
                print(
                    f"{signal.candle} {signal.action}: {answer.status_code} {answer.text}",
                    flush=True,
                )
                return
        await asyncio.sleep(RETRY_PAUSE_S)


async def run(strategy: SmaCross, url: str, api_key: str) -> None:
    """Follow the candles for ever; a lost connection is made again."""
    headers = {"X-API-Key": api_key}
    stream = url.replace("http", "ws", 1) + "/api/v1/stream"
    subscribe = {
        "op": "subscribe",
        "channel": "candles",
        "symbols": [strategy.symbol],
        "timeframe": strategy.timeframe,
    }
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=10) as http:
        async for socket in connect(stream, additional_headers=headers):
            try:
                await socket.send(json.dumps(subscribe))
                async for text in socket:
                    message = json.loads(text)
                    if message["type"] == "error":
                        raise SystemExit(f"{message['code']}: {message['detail']}")
                    for signal in signals_of(strategy, message):
                        await send(http, strategy, signal)
            except ConnectionClosed as end:
                print(f"the stream ended ({end}), connecting again", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Trade a moving-average cross on live candles.")
    parser.add_argument("symbol")
    parser.add_argument("--timeframe", default="1m")
    parser.add_argument("--fast", type=int, default=5, help="candles in the fast average")
    parser.add_argument("--slow", type=int, default=20, help="candles in the slow average")
    options = parser.parse_args()
    if not 0 < options.fast < options.slow:
        parser.error("--fast has to be smaller than --slow")
    url = os.environ.get("ALPHINTRA_URL", "http://127.0.0.1:8000")
    try:
        asyncio.run(run(SmaCross(**vars(options)), url, os.environ["ALPHINTRA_API_KEY"]))
    except InvalidStatus as refusal:
        raise SystemExit(bytes(refusal.response.body or b"").decode()) from refusal
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
