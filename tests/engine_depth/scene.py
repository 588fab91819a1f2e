"""A recorded market as the scenarios of the tests write it down, and a desk in it."""

from typing import Any

import numpy as np

from alphintra.engine import Kind, Lifetime, Side
from alphintra.engine.depth import Depth, DepthKind, DepthSide, DepthSimulation, DepthTerms, tape_of
from alphintra.engine.depth.layout import News, Tape
from alphintra.engine.depth.simulation import Told
from alphintra.engine.depth.tape import Repairs
from alphintra.engine.series import Trades

TAKERS = {"sold": -1, "bought": 1, "traded": 0}


def recording(text: str) -> tuple[Depth, Trades, np.ndarray]:
    """Read a recording, one message or trade in a line; prices and sizes are in ticks and lots.

    A line is the time, then what happens: `book 98:5 99:10 | 101:3` (a snapshot), `bid 99:7 98:0`,
    `ask 101:3` or `bid 99:7 ask 101:3` (changes in one message), `sold 99:4`, `bought 101:2`,
    `traded 99:1`; at its end there may be `seen 15` and `seq 7`.

    Returns:
        The book, the trades and when those were seen.
    """
    rows: list[tuple[Any, ...]] = []
    trades: list[tuple[Any, ...]] = []
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines()))):
        words = line.split()
        ts = int(words.pop(0))
        seen, seq = ts, 10 * (number + 1)
        while words[-2] in ("seen", "seq"):
            value = int(words.pop())
            seen, seq = (value, seq) if words.pop() == "seen" else (seen, value)
        kind, side = DepthKind.DELTA, DepthSide.BID
        for word in words:
            match word:
                case "book":
                    kind = DepthKind.SNAPSHOT
                case "bid":
                    side = DepthSide.BID
                case "ask" | "|":
                    side = DepthSide.ASK
                case "sold" | "bought" | "traded":
                    taker = TAKERS[word]
                case _:
                    price, size = map(float, word.split(":"))
                    if words[0] in TAKERS:
                        trades.append((ts, price, size, taker, seen))
                    else:
                        rows.append((ts, seen, kind, side, price, size, seq))
    depth = Depth("X", *(np.array(column) for column in zip(*rows, strict=True)))
    if not trades:
        nothing: Any = np.zeros(0, np.int64)
        return depth, Trades("X", nothing, nothing, nothing, nothing), nothing
    *columns, receipts = (np.array(column) for column in zip(*trades, strict=True))
    return depth, Trades("X", *columns), receipts


def tape(text: str, **how: Any) -> tuple[Tape, Repairs]:
    depth, trades, receipts = recording(text)
    return tape_of(depth, trades, tick_size=1.0, lot_size=1.0, trades_recv_ns=receipts, **how)


class Scene:
    """A simulation whose orders have letters, and whose news are written as people do."""

    def __init__(self, text: str, feed_ns: int = 0, **terms: Any) -> None:
        self.tape, self.repairs = tape(text, feed_ns=feed_ns)
        self.simulation = DepthSimulation(
            self.tape, DepthTerms(tick_size=1.0, lot_size=1.0, **terms)
        )
        self.names: list[str] = []

    def order(self, name: str, side: Side, lots: int, at: int | None, **terms: Any) -> None:
        self.names.append(name)
        if at is None:
            self.simulation.submit(side, Kind.MARKET, lots, **terms)
        else:
            self.simulation.submit(side, Kind.LIMIT, lots, limit_price_ticks=at, **terms)

    def buy(self, name: str, lots: int, at: int | None = None, **terms: Any) -> None:
        self.order(name, Side.BUY, lots, at, **terms)

    def sell(self, name: str, lots: int, at: int | None = None, **terms: Any) -> None:
        self.order(name, Side.SELL, lots, at, **terms)

    def cancel(self, name: str) -> bool:
        return self.simulation.cancel(self.names.index(name))

    def modify(self, name: str, lots: int, at: int) -> bool:
        return self.simulation.modify(self.names.index(name), limit_price_ticks=at, lots=lots)

    def ahead(self, name: str) -> int:
        return self.simulation.ahead_lots(self.names.index(name))

    def to(self, ts_ns: int) -> list[str]:
        """Let time pass and return the news, but for plain acceptance."""
        news = self.simulation.advance_to(ts_ns)
        return [self.tell(told) for told in news if told.kind != News.ACCEPTED]

    def tell(self, told: Told) -> str:
        name = self.names[told.order_id]
        if told.kind == News.FILL:
            return f"{name}: {told.lots} at {told.price_ticks}, {'mt'[not told.is_maker]}"
        why = "" if told.kind == News.REPLACED else f", {told.why.name.lower()}"
        return f"{name}: {told.kind.name.lower()} {told.lots}{why}"


__all__ = ["Lifetime", "Scene", "Side", "recording", "tape"]
