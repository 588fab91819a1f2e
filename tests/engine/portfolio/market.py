"""Small markets and accounts for tests of the portfolio simulator."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from alphintra.engine import Kind, Side
from alphintra.engine.portfolio import (
    AccountTerms,
    Costs,
    Simulation,
    SymbolTerms,
    What,
    tape_of,
    tick_size_of,
)
from alphintra.engine.series import Bars, CorporateActions, Quotes, Trades, median_step_ns

MINUTE_NS = 60_000_000_000
DAY_NS = 86_400_000_000_000


def bars(
    *rows: tuple[float, float, float, float],
    symbol: str = "A",
    length_ns: int = MINUTE_NS,
    volume: Sequence[float] | None = None,
    start_ns: int = 0,
) -> Bars:
    """Return bars of open, high, low, close, one after the other."""
    columns = np.array(rows, dtype=float).T
    return Bars.of_length(
        symbol,
        start_ns + np.arange(len(rows), dtype=np.int64) * length_ns,
        length_ns,
        open=columns[0],
        high=columns[1],
        low=columns[2],
        close=columns[3],
        volume=None if volume is None else np.array(volume, dtype=float),
    )


def flat(*prices: float, symbol: str = "A", length_ns: int = MINUTE_NS) -> Bars:
    """Return bars that do not move within, at the prices."""
    return bars(*((price,) * 4 for price in prices), symbol=symbol, length_ns=length_ns)


def quotes(*rows: tuple[int, float, float], symbol: str = "A", size: float = np.nan) -> Quotes:
    """Return quotes of time, bid, ask."""
    count = len(rows)
    return Quotes(
        symbol,
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], float),
        np.array([row[2] for row in rows], float),
        np.full(count, size),
        np.full(count, size),
    )


def prints(*rows: tuple[int, float, float], symbol: str = "A") -> Trades:
    """Return trades of time, price, size."""
    return Trades(
        symbol,
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], float),
        np.array([row[2] for row in rows], float),
        np.zeros(len(rows), np.int8),
    )


def action(
    ts_ns: int, kind: int, *, ratio: tuple[int, int] = (1, 1), amount: float = 0, symbol: str = "A"
) -> CorporateActions:
    """Return one corporate action."""
    return CorporateActions(
        symbol,
        np.array([ts_ns], np.int64),
        np.array([kind], np.int8),
        np.array([ratio[0]], np.int64),
        np.array([ratio[1]], np.int64),
        np.array([amount], float),
    )


class Run:
    """A simulation of series, with words for what tests do and ask."""

    def __init__(
        self,
        *series: Bars | Quotes | Trades,
        terms: Sequence[SymbolTerms] | None = None,
        costs: Costs | None = None,
        account: AccountTerms | None = None,
        cash: float = 10_000.0,
        actions: Sequence[CorporateActions] = (),
    ) -> None:
        symbols = dict.fromkeys(one.symbol for one in series)
        if terms is None:
            terms = [SymbolTerms(symbol=name, costs=costs or Costs()) for name in symbols]
        account = account or AccountTerms(cash={"USD": cash})
        self.tape = tape_of(series, terms, actions)
        self.simulation = Simulation(self.tape, terms, account)

    def order(self, side: str, lots: int = 0, kind: Kind = Kind.MARKET, **more: object) -> int:
        """Send an order for the first symbol (or `symbol=`), prices in ticks of a cent."""
        symbol = int(more.pop("symbol", 0))  # type: ignore[call-overload]
        return self.simulation.submit(symbol, Side[side], kind, lots, **more)  # type: ignore[arg-type]

    def step(self, groups: int = 1) -> None:
        """Let groups happen."""
        for _ in range(groups):
            self.simulation.process()

    def finish(self) -> None:
        """Go to the end of the tape."""
        while self.simulation.cursor < len(self.tape):
            self.simulation.process()

    def fills(self) -> list[tuple[int, str, float, float]]:
        """Return order, side, quantity and price of all fills."""
        return [
            (int(one["order_id"]), Side(one["side"]).name, float(one["quantity"]), one["price"])
            for one in self.simulation.fills()
        ]

    def told(self, what: What) -> list[tuple[int, int]]:
        """Return order and cause of all rows of the journal of one kind."""
        rows = self.simulation.journal()
        return [(int(row["order"]), int(row["cause"])) for row in rows[rows["what"] == what]]


def recorded(folder: Path, name: str) -> Bars:
    """Return recorded bars of the folder of market data."""
    table = pq.read_table(folder / f"{name}.parquet")
    open_ns = table["ts"].cast("int64").to_numpy() * 1000
    columns = {
        column: table[column].to_numpy().astype(float)
        for column in ("open", "high", "low", "close", "volume")
    }
    symbol = name.split("/")[1].split("_")[0]
    return Bars.of_length(symbol, open_ns, median_step_ns(open_ns), **columns)


def tick_of(series: Bars) -> float:
    """Return the tick of recorded bars."""
    return min(map(tick_size_of, (series.open, series.high, series.low, series.close)))


def random_bars(seed: int, count: int, symbol: str = "A", length_ns: int = MINUTE_NS) -> Bars:
    """Return bars of a random walk in cents."""
    rng = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.002, count))), 2)
    first = np.round(np.concatenate([[100.0], close[:-1]]) + rng.integers(-3, 4, count) / 100, 2)
    high = np.round(np.maximum(first, close) + rng.integers(0, 20, count) / 100, 2)
    low = np.round(np.minimum(first, close) - rng.integers(0, 20, count) / 100, 2)
    return Bars.of_length(
        symbol,
        np.arange(count, dtype=np.int64) * length_ns,
        length_ns,
        open=first,
        high=high,
        low=low,
        close=close,
        volume=rng.integers(50, 500, count).astype(float),
    )
