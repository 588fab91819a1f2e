"""Results as a backtest leaves them, made with NumPy alone: moving averages on a random walk.

Everything in them belongs together: fills lie on the bars, trades come from the fills, the equity
is the cash and the positions at the close.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.series import Bars
from alphintra.research.result import (
    FILL,
    ORDER,
    TRADE,
    BacktestResult,
    DatasetReference,
    ExitReason,
    Manifest,
    OrderState,
)

Floats = NDArray[np.float64]

DAY_NS = 86_400_000_000_000
START_NS = 1_577_836_800_000_000_000  # 2020-01-01
TAGS = ("", "breakout", "trend")


def bars_of(
    symbol: str, *, count: int, step_ns: int, seed: int, drift: float = 0.0, swing: float = 0.01
) -> Bars:
    """Return a random walk; days without weekends when the step is a day."""
    generator = np.random.default_rng(seed)
    open_ns = START_NS + np.arange(count, dtype=np.int64) * step_ns
    if step_ns == DAY_NS:
        weeks, weekday = np.divmod(np.arange(count, dtype=np.int64), 5)
        open_ns = START_NS + 5 * DAY_NS + (weeks * 7 + weekday) * DAY_NS  # from a Monday
    steps = generator.normal(drift, swing, count)
    close = 100.0 * np.exp(np.cumsum(steps))
    opened = np.concatenate(([100.0], close[:-1])) * np.exp(generator.normal(0, swing / 20, count))
    spread = np.exp(np.abs(generator.normal(0, swing / 2, (2, count))))
    high, low = np.maximum(opened, close) * spread[0], np.minimum(opened, close) / spread[1]
    volume = np.round(generator.lognormal(13, 0.5, count))
    return Bars.of_length(
        symbol, open_ns, step_ns, open=opened, high=high, low=low, close=close, volume=volume
    )


def make_result(
    *,
    symbols: tuple[str, ...] = ("ACME",),
    count: int = 1_000,
    step_ns: int = DAY_NS,
    seed: int = 1,
    drift: float = 0.0004,
    swing: float = 0.012,
    fee_rate: float = 0.001,
    windows: tuple[int, int] = (10, 40),
    strategy: str = "SMA cross",
    capital: float = 100_000.0,
) -> BacktestResult:
    """Return the result of a moving-average cross, long and short, on random walks."""
    each = capital / len(symbols)
    prices = {
        name: bars_of(name, count=count, step_ns=step_ns, seed=seed + row, drift=drift, swing=swing)
        for row, name in enumerate(symbols)
    }
    legs = [
        _leg(bars, row, each, fee_rate=fee_rate, windows=windows)
        for row, bars in enumerate(prices.values())
    ]
    equity = np.sum([leg["equity"] for leg in legs], axis=0)
    gross = np.sum([np.abs(leg["value"]) for leg in legs], axis=0)
    closes = np.array([bars.close / bars.close[0] for bars in prices.values()])
    fills = np.concatenate([leg["fills"] for leg in legs])
    fills = fills[np.argsort(fills["ts_ns"], kind="stable")]
    fills["order_id"] = np.arange(len(fills))
    trades = np.concatenate([leg["trades"] for leg in legs])
    first = next(iter(prices.values()))
    return BacktestResult(
        manifest=_manifest(strategy, prices, capital, fee_rate, windows, seed, step_ns),
        symbols=symbols,
        initial_capital=capital,
        ts_ns=first.close_ns,
        equity=equity,
        cash=equity - np.sum([leg["value"] for leg in legs], axis=0),
        exposure=gross / equity,
        benchmark=closes.mean(axis=0) * capital,
        fills=fills,
        orders=_orders(fills),
        trades=trades[np.argsort(trades["exit_ns"], kind="stable")],
        tags=TAGS,
        prices=prices,
    )


def with_manifest(result: BacktestResult, **changes: Any) -> BacktestResult:
    """Return the result with another manifest."""
    return replace(result, manifest=replace(result.manifest, **changes))


def _leg(
    bars: Bars, symbol: int, capital: float, *, fee_rate: float, windows: tuple[int, int]
) -> dict[str, Any]:
    """Trade one symbol with its own money: target at a close, fill at the next open."""
    wanted = _targets(bars.close, windows)
    changes = np.flatnonzero(np.diff(wanted)) + 1
    rows = changes[changes + 1 < len(bars)] + 1  # the bar whose open fills
    sides = wanted[rows - 1]
    equity, value = np.full(len(bars), capital), np.zeros(len(bars))
    fills, trades = [], []
    money = capital
    for number, row in enumerate(rows):
        last = number + 1 == len(rows)
        end = len(bars) if last else int(rows[number + 1])
        side, price = int(sides[number]), float(bars.open[row])
        if side == 0:
            equity[row:end] = money
            continue
        quantity = np.floor(0.95 * money / price)
        out = float(bars.close[-1]) if last else float(bars.open[end])
        fees = fee_rate * quantity * np.array([price, 0.0 if last else out])
        held = slice(row, end)
        equity[held] = money + side * quantity * (bars.close[held] - price) - fees[0]
        value[held] = side * quantity * bars.close[held]
        fills.append((bars.open_ns[row], 0, symbol, side, quantity, price, fees[0], False, 0.0))
        if not last:
            fills.append((bars.open_ns[end], 0, symbol, -side, quantity, out, fees[1], False, 0.0))
        seen = np.concatenate((bars.low[held] / price - 1, bars.high[held] / price - 1)) * side
        pnl = side * quantity * (out - price) - fees.sum()
        reason = ExitReason.STOP if pnl < 0 else ExitReason.SIGNAL
        trades.append(
            (
                symbol, side, bars.open_ns[row], bars.close_ns[-1] if last else bars.open_ns[end],
                quantity, price, out, pnl, pnl / (quantity * price), fees.sum(), end - row,
                min(seen.min(), 0.0), max(seen.max(), 0.0), 1 + number % 2,
                ExitReason.END_OF_DATA if last else reason, last,
            )
        )  # fmt: skip
        money += pnl
    return {
        "equity": equity,
        "value": value,
        "fills": np.array(fills, dtype=FILL),
        "trades": np.array(trades, dtype=TRADE),
    }


def _targets(close: Floats, windows: tuple[int, int]) -> Floats:
    sums = np.concatenate(([0.0], np.cumsum(close)))
    fast, slow = (
        np.concatenate((np.full(window - 1, np.nan), (sums[window:] - sums[:-window]) / window))
        for window in windows
    )
    return np.where(np.isnan(slow), 0.0, np.sign(fast - slow))


def _orders(fills: NDArray[np.void]) -> NDArray[np.void]:
    orders = np.zeros(len(fills), dtype=ORDER)
    for name in ("order_id", "symbol", "side", "quantity"):
        orders[name] = fills[name]
    orders["filled"], orders["average_price"] = fills["quantity"], fills["price"]
    orders["limit_price"] = orders["stop_price"] = np.nan
    orders["status"] = OrderState.FILLED
    orders["created_ns"] = orders["closed_ns"] = fills["ts_ns"]
    orders["parent"] = -1
    return orders


def _manifest(
    strategy: str,
    prices: dict[str, Bars],
    capital: float,
    fee_rate: float,
    windows: tuple[int, int],
    seed: int,
    step_ns: int,
) -> Manifest:
    timeframe = {DAY_NS: "1d", DAY_NS // 1440: "1m"}.get(step_ns, f"{step_ns // 1_000_000_000}s")
    return Manifest(
        strategy=strategy,
        strategy_sha256="8f14e45fceea167a5a36dedd4bea2543" * 2,
        parameters={"fast": windows[0], "slow": windows[1], "side": "both"},
        datasets=tuple(
            DatasetReference(
                name=f"{name.lower()}-{timeframe}",
                sha256=f"{row:064x}",
                symbol=name,
                rows=len(bars),
                first_ns=int(bars.open_ns[0]),
                last_ns=int(bars.close_ns[-1]),
                timeframe=timeframe,
            )
            for row, (name, bars) in enumerate(prices.items())
        ),
        engine_version="0.1.0",
        engine_digest="c4ca4238a0b92382",
        account={"cash": {"USD": capital}, "base": "USD", "leverage": 1.0, "allow_short": True},
        costs={name: {"rate": fee_rate, "half_spread_bps": 0.0} for name in prices},
        seed=seed,
        created_at=datetime(2026, 1, 5, 12, 0, tzinfo=UTC),
        duration_s=0.42,
        assumptions=(
            "Market orders fill at the next bar's open.",
            "Whole units; all money in one position.",
        ),
    )
