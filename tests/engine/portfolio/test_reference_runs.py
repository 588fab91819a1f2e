"""Whole runs: against an independent engine, in both forms, swept, and repeated."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from alphintra.engine import Kind, Side
from alphintra.engine.portfolio import (
    AccountTerms,
    BadTerms,
    Costs,
    Simulation,
    Sweep,
    SymbolTerms,
    can_sweep,
    tape_of,
)
from alphintra.engine.series import Bars, Floats
from tests.engine.portfolio.market import random_bars, recorded, tick_of

REFERENCE = (
    "us_daily/GOOG_1d_wiki",
    "us_daily/SPY_1d_lean",
    "us_daily/IBM_1d_lean",
    "us_daily/SPY502_1d_stockindicators-default",
    "crypto/BTCUSDT_15m_binance-2024",
)


def exact_average(close: Floats, tick_size: float, length: int) -> Floats:
    """Return the moving average × 30 in ticks: whole numbers, so that equal ones are equal."""
    sums = np.concatenate([[0], np.cumsum(np.rint(close / tick_size).astype(np.int64))])
    average = np.full(len(close), np.nan)
    average[length - 1 :] = (sums[length:] - sums[:-length]) * (30 // length)
    return average


def crossings(fast: Floats, slow: Floats, above: float, below: float) -> Floats:
    """Return the targets where two lines cross strictly between one close and the next."""
    targets = np.full(len(fast), np.nan)
    targets[1:][(fast[1:] > slow[1:]) & (fast[:-1] < slow[:-1])] = above
    targets[1:][(fast[1:] < slow[1:]) & (fast[:-1] > slow[:-1])] = below
    return targets


def stepped(simulation: Simulation, targets: Floats) -> None:
    """Run the targets as a strategy would: look for the next stop, act behind it."""
    rows, wanted = len(targets), np.flatnonzero(~np.isnan(targets))
    for row in (*wanted.tolist(), rows):
        limit = min(row + 1, rows)
        while simulation.cursor < limit:
            stop = simulation.next_stop(limit)
            simulation.advance(stop)
            if stop < limit:
                simulation.process()
        if row < rows:
            simulation.submit(0, Side.BUY, Kind.MARKET, weight=float(targets[row]))


@pytest.mark.parametrize("name", REFERENCE)
def test_a_cross_of_averages_is_traded_as_by_an_independent_engine(
    name: str, market_data_dir: Path
) -> None:
    cases = json.loads((market_data_dir / "reference" / "smacross.json").read_text())
    case = next(case for case in cases if case["file"] == name)
    series = recorded(market_data_dir, name)
    tick_size = tick_of(series)
    costs = Costs(rate=case["commission"])
    terms = SymbolTerms(symbol=series.symbol, tick_size=tick_size, costs=costs)
    account = AccountTerms(cash={"USD": case["cash"]})
    tape = tape_of([series], [terms])
    fast, slow = (exact_average(series.close, tick_size, length) for length in (10, 30))
    targets = crossings(fast, slow, 1.0, -1.0)
    compiled = Simulation(tape, [terms], account)
    compiled.run_targets(targets)
    by_steps = Simulation(tape, [terms], account)
    stepped(by_steps, targets)
    for simulation in (compiled, by_steps):
        # That engine closes what is open in the end at the last bar's open.
        simulation.finish(prices=series.open[-1:])
        outcome = simulation.outcome()
        assert len(series) == case["bars"]
        assert len(outcome.trades) == case["trades"]
        assert outcome.equity[-1] == pytest.approx(case["final_equity"], abs=0.005)
        assert simulation.equity() == outcome.equity[-1]
        assert simulation.fills()["fee"].sum() == pytest.approx(case["commissions"], abs=0.005)
        wins = (outcome.trades["pnl"] > 0).mean() * 100
        assert wins == pytest.approx(case["win_rate_pct"], abs=1e-4)
    assert compiled.journal().tobytes() == by_steps.journal().tobytes()
    sweep = Sweep(tape, terms, account, last_price=float(series.open[-1]))
    swept = sweep.crosses(np.stack([fast, slow]), np.array([[0, 1]]), above=1.0, below=-1.0)[0]
    assert swept["final_equity"] == compiled.equity()
    assert swept["trades"] == case["trades"]


TERMS = (
    (Costs(rate=0.001), AccountTerms(cash={"USD": 100_000.0})),
    (Costs(per_unit=0.005, minimum=1.0, maximum=40.0), AccountTerms(cash={"USD": 50_000.0})),
    (
        Costs(rate=0.0005, per_order=2.0, slippage_ticks=1, half_spread_bps=0.5, slippage_bps=1.0),
        AccountTerms(cash={"USD": 5_000.0}, leverage=3.0),
    ),
    (Costs(rate=0.0002), AccountTerms(cash={"USD": 9_000.0}, allow_short=False, shrink=False)),
    (Costs(), AccountTerms(cash={"USD": 9_000.0}, leverage=10.0)),
)


@pytest.mark.parametrize(("costs", "account"), TERMS)
@pytest.mark.parametrize("seed", range(4))
def test_a_swept_run_ends_as_the_full_one(costs: Costs, account: AccountTerms, seed: int) -> None:
    series = random_bars(seed, 1500)
    terms = SymbolTerms(symbol="A", costs=costs)
    tape = tape_of([series], [terms])
    rng = np.random.default_rng(seed)
    choices = np.array([1.0, -1.0, 0.5, 0.0, -0.3, 2.5])
    chosen = rng.choice(choices, (5, len(series)))
    targets = np.where(rng.random((5, len(series))) < 0.05, chosen, np.nan)
    swept = Sweep(tape, terms, account, threads=2).targets(targets)
    for row, one in zip(targets, swept, strict=True):
        simulation = Simulation(tape, [terms], account)
        simulation.run_targets(row)
        simulation.finish()
        outcome, fills = simulation.outcome(), simulation.fills()
        by_steps = Simulation(tape, [terms], account)
        stepped(by_steps, row)
        by_steps.finish()
        assert simulation.journal().tobytes() == by_steps.journal().tobytes()
        assert one["final_equity"] == outcome.equity[-1]
        assert one["fills"] == len(fills)
        assert one["trades"] == len(outcome.trades)
        assert one["wins"] == (outcome.trades["pnl"] > 0).sum()
        assert one["fees"] == pytest.approx(fills["fee"].sum())
        curve = np.concatenate([[account.cash["USD"]], outcome.equity])
        depth = (curve / np.maximum.accumulate(curve) - 1).min()
        assert one["max_drawdown"] == pytest.approx(depth, abs=1e-12)
        returns = np.diff(curve) / curve[:-1]
        assert one["periods"] == len(returns)
        assert one["sum_returns"] == pytest.approx(returns.sum())
        assert one["sum_squares"] == pytest.approx((returns**2).sum())


def test_a_sweep_refuses_terms_that_it_does_not_know() -> None:
    series = random_bars(0, 10)
    terms = SymbolTerms(symbol="A", costs=Costs(borrow_rate=0.01))
    tape = tape_of([series], [terms])
    assert not can_sweep(tape, terms, AccountTerms())
    with pytest.raises(BadTerms):
        Sweep(tape, terms, AccountTerms())


def session(seed: int, series: list[Bars]) -> Simulation:
    """Return a finished run of a busy, random strategy on several symbols."""
    rng = np.random.default_rng(seed)
    costs = Costs(rate=0.0005, minimum=0.5, slippage_ticks=1, impact=0.01, borrow_rate=0.1)
    terms = [
        SymbolTerms(symbol=one.symbol, costs=costs, unlimited_volume=False, participation_bps=2000)
        for one in series
    ]
    simulation = Simulation(tape_of(series, terms), terms, AccountTerms(leverage=2.0))
    rows = len(simulation.tape)
    sent: list[int] = []
    while simulation.cursor < rows:
        limit = min(rows, simulation.cursor + len(series) * int(rng.integers(1, 30)))
        stop = simulation.next_stop(limit)
        simulation.advance(stop)
        if stop < limit:
            simulation.process()
        number = int(rng.integers(len(series)))
        ticks = round(simulation.mark(number) * 100)
        kind = Kind(int(rng.integers(5)))
        prices: dict[str, int] = {}
        if kind in (Kind.LIMIT, Kind.STOP_LIMIT):
            prices["limit_price_ticks"] = ticks + int(rng.integers(-60, 60))
        if kind in (Kind.STOP, Kind.STOP_LIMIT):
            prices["stop_price_ticks"] = ticks + int(rng.integers(-60, 60))
        if kind == Kind.TRAILING_STOP:
            prices["trail_ticks"] = int(rng.integers(5, 80))
        side = Side(int(rng.integers(2)))
        sent.append(
            simulation.submit(number, side, kind, int(rng.integers(1, 200)), **prices)  # type: ignore[arg-type]
        )
        if rng.random() < 0.3:
            simulation.cancel(sent[int(rng.integers(len(sent)))])
    simulation.finish()
    return simulation


def fingerprint(seed: int) -> str:
    """Return a hash of everything a busy run has done and come to."""
    series = [random_bars(seed + number, 600, symbol=f"S{number}") for number in range(3)]
    simulation = session(seed, series)
    outcome = simulation.outcome()
    digest = hashlib.sha256(simulation.journal().tobytes())
    for array in (simulation.fills(), outcome.equity, outcome.cash, outcome.trades):
        digest.update(array.tobytes())
    return digest.hexdigest()


def test_a_run_repeated_gives_the_same_bytes_also_in_another_process() -> None:
    code = (
        "from tests.engine.portfolio.test_reference_runs import fingerprint; print(fingerprint(5))"
    )
    again = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    ).stdout.strip()
    assert fingerprint(5) == fingerprint(5) == again


def test_a_run_does_not_depend_on_how_far_the_next_stop_is_looked_for() -> None:
    series = [random_bars(number, 400, symbol=f"S{number}") for number in range(2)]
    terms = [SymbolTerms(symbol=one.symbol, costs=Costs(borrow_rate=0.2)) for one in series]
    tape = tape_of(series, terms)
    journals = []
    for stride in (2, 14, 800):
        simulation = Simulation(tape, terms, AccountTerms(leverage=2.0))
        simulation.submit(0, Side.SELL, Kind.MARKET, 50)
        simulation.submit(1, Side.BUY, Kind.TRAILING_STOP, 70, trail_ticks=30)
        simulation.submit(1, Side.SELL, Kind.LIMIT, 50, limit_price_ticks=10_150)
        while simulation.cursor < len(tape):
            limit = min(len(tape), simulation.cursor + stride)
            stop = simulation.next_stop(limit)
            simulation.advance(stop)
            if stop < limit:
                simulation.process()
        journals.append((simulation.journal().tobytes(), simulation.equity()))
    assert journals[0] == journals[1] == journals[2]
