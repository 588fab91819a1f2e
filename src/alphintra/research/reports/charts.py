"""What the interactive charts of a page show: plain values, as the script in the page reads them.

Times are milliseconds since the UNIX epoch: a browser has no larger whole numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.research import metrics
from alphintra.research.reports.thinning import candles_of, rows_to_keep
from alphintra.research.result import BacktestResult

Floats = NDArray[np.float64]

#: Markers of trades and symbols with a price chart that a page carries.
MAX_TRADES: Final = 20_000
MAX_SYMBOLS: Final = 8

#: Days of a rolling window: half a year where there is enough, else a quarter of what there is.
_WINDOW_DAYS: Final = 126

_STYLES: Final = 8


@dataclass(slots=True)
class ChartData:
    """The document that a page carries for its script."""

    view: tuple[int, int]
    times: dict[str, list[int]] = field(default_factory=dict)
    charts: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the document."""
        return {"view": list(self.view), "times": self.times, "charts": self.charts}


def of_run(result: BacktestResult) -> ChartData:
    """Return the charts of one run: equity, drawdown, rolling figures, exposure, prices."""
    data = ChartData(_view([result]))
    below = metrics.underwater(result.equity, result.initial_capital)
    rows = rows_to_keep(result.equity, below)
    data.times["rows"] = _milliseconds(result.ts_ns[rows])
    line = {"times": "rows"}
    mine, theirs = _values(result.equity[rows]), _values(result.benchmark[rows])
    held, fallen = _values(result.exposure[rows]), _values(below[rows])
    data.charts += [
        {"id": "equity", "height": 400, "unit": "money", "series": [
            line | {"name": "Strategy", "style": "s0", "values": mine},
            line | {"name": "Buy and hold", "style": "s1", "values": theirs},
        ]},
        {"id": "drawdown", "height": 190, "unit": "percent", "zero": True, "series": [
            line | {"name": "Drawdown", "style": "s5", "area": True, "values": fallen},
        ]},
        {"id": "exposure", "height": 150, "unit": "percent", "zero": True, "series": [
            line | {"name": "Gross exposure", "style": "s4", "area": True, "values": held},
        ]},
    ]  # fmt: skip
    data.charts += _rolling(result, data)
    data.charts += [_prices(result, number) for number in range(len(charted_symbols(result)))]
    return data


def of_runs(results: Sequence[BacktestResult]) -> ChartData:
    """Return the charts that lay several runs over each other, as growth of one unit of money."""
    data = ChartData(_view(results))
    growth, falls = [], []
    for number, result in enumerate(results):
        below = metrics.underwater(result.equity, result.initial_capital)
        rows = rows_to_keep(result.equity, below)
        data.times[f"run{number}"] = _milliseconds(result.ts_ns[rows])
        line = {
            "times": f"run{number}",
            "name": f"{number + 1} {result.manifest.strategy}",
            "style": style_of(number),
        }
        gain = result.equity[rows] / result.initial_capital
        growth.append(line | {"values": _values(gain)})
        falls.append(line | {"values": _values(below[rows])})
    data.charts = [
        {"id": "equity", "height": 420, "unit": "ratio", "series": growth},
        {"id": "drawdown", "height": 220, "unit": "percent", "zero": True, "series": falls},
    ]
    return data


def charted_symbols(result: BacktestResult) -> list[str]:
    """Return the symbols that get a price chart: the most traded ones that have prices."""
    known = [name for name in result.symbols if name in result.prices and len(result.prices[name])]
    traded = np.bincount(result.trades["symbol"], minlength=len(result.symbols))
    known.sort(key=lambda name: -int(traded[result.symbols.index(name)]))
    return known[:MAX_SYMBOLS]


def rolling_window(days: int) -> int:
    """Return over how many days rolling figures look back; 0 when there are too few days."""
    window = min(_WINDOW_DAYS, days // 4)
    return window if window >= 10 else 0


def style_of(number: int) -> str:
    """Return the style of the line of a run; grey is the benchmark's."""
    return f"s{(0, 2, 3, 4, 5, 6, 7, 1)[number % _STYLES]}"


def _rolling(result: BacktestResult, data: ChartData) -> list[dict[str, Any]]:
    days, returns, benchmark = metrics.daily_returns(result)
    window = rolling_window(len(days))
    if not window:
        return []
    per_year = metrics.periods_per_year(days)
    data.times["days"] = ((days[window - 1 :] + 1) * 86_400_000).tolist()
    lines: tuple[tuple[str, str, tuple[tuple[str, str, Floats], ...]], ...] = (
        ("rolling-sharpe", "ratio", (
            ("Sharpe", "s0", metrics.rolling_sharpe(returns, window, per_year)),
            ("Sortino", "s2", metrics.rolling_sortino(returns, window, per_year)),
        )),
        ("rolling-volatility", "percent", (
            ("Strategy", "s0", metrics.rolling_volatility(returns, window, per_year)),
            ("Buy and hold", "s1", metrics.rolling_volatility(benchmark, window, per_year)),
        )),
        ("rolling-beta", "ratio", (
            ("Beta", "s3", metrics.rolling_beta(returns, benchmark, window)),
        )),
    )  # fmt: skip
    return [
        {
            "id": name,
            "height": 190,
            "unit": unit,
            "zero": True,
            "series": [
                {"name": label, "style": style, "times": "days", "values": _values(values)}
                for label, style, values in series
            ],
        }
        for name, unit, series in lines
    ]


def _prices(result: BacktestResult, number: int) -> dict[str, Any]:
    symbol = charted_symbols(result)[number]
    candles = candles_of(result.prices[symbol])
    trades = result.trades[result.trades["symbol"] == result.symbols.index(symbol)]
    share = MAX_TRADES // len(charted_symbols(result))
    if len(trades) > share:
        largest = np.argpartition(-np.abs(trades["pnl"]), share)[:share]
        trades = trades[np.sort(largest)]
    return {
        "id": f"price-{number}",
        "height": 420,
        "unit": "price",
        "series": [],
        "candles": {
            "times": _milliseconds(candles.open_ns),
            "length": candles.length_ns // 1_000_000,
            "open": _values(candles.open),
            "high": _values(candles.high),
            "low": _values(candles.low),
            "close": _values(candles.close),
        },
        "trades": [
            {
                "entry": int(trade["entry_ns"]) // 1_000_000,
                "exit": int(trade["exit_ns"]) // 1_000_000,
                "entryPrice": _round(float(trade["entry_price"])),
                "exitPrice": _round(float(trade["exit_price"])),
                "side": int(trade["side"]),
                "pnl": round(float(trade["pnl"]), 2),
                "label": result.tags[trade["tag"]],
            }
            for trade in trades
        ],
    }


def _view(results: Sequence[BacktestResult]) -> tuple[int, int]:
    first = min(int(result.ts_ns[0]) for result in results) // 1_000_000
    last = max(int(result.ts_ns[-1]) for result in results) // 1_000_000
    return first, max(last, first + 60_000)


def _milliseconds(ts_ns: NDArray[np.int64]) -> list[int]:
    times: list[int] = (ts_ns // 1_000_000).tolist()
    return times


def _values(values: Floats) -> list[float | None]:
    """Return the values to seven digits: finer than a screen, and half as long."""
    return [_round(value) if np.isfinite(value) else None for value in values.tolist()]


def _round(value: float) -> float:
    return float(f"{value:.7g}")
