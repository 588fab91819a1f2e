"""Each rule of the check-up sees what it must, and is silent where nothing is wrong."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from alphintra.engine.series import Bars
from alphintra.research.doctor import Finding, Limits, Severity, examine
from alphintra.research.result import BacktestResult, OrderState
from tests.research.realistic import DAY_NS, make_result, with_manifest


def _codes(result: BacktestResult, **limits: Any) -> set[str]:
    return {finding.code for finding in examine(result, Limits(**limits))}


def _sound() -> BacktestResult:
    """Return a result that nobody would ask about: long, costly, many trades, nothing open."""
    result = make_result(count=2_000, windows=(5, 15), seed=11, drift=0.0002)
    return replace(result, trades=result.trades[~result.trades["open_at_end"]])


def _with_bars(result: BacktestResult, **columns: Any) -> BacktestResult:
    bars = result.prices["ACME"]
    return replace(result, prices={"ACME": replace(bars, **columns)})


def _with_fills(result: BacktestResult, **columns: Any) -> BacktestResult:
    fills = result.fills.copy()
    for name, values in columns.items():
        fills[name] = values
    return replace(result, fills=fills)


def _with_pnl(result: BacktestResult, pnl: Any) -> BacktestResult:
    trades = result.trades.copy()
    trades["pnl"] = pnl
    return replace(result, trades=trades)


def _row_of(result: BacktestResult, fill: int) -> int:
    at = int(result.fills["ts_ns"][fill])
    return int(np.searchsorted(result.prices["ACME"].open_ns, at))


def _dead_bar() -> BacktestResult:
    result = _sound()
    volume = result.prices["ACME"].volume.copy()
    volume[_row_of(result, 3)] = 0.0
    return _with_bars(result, volume=volume)


def _frozen_price() -> BacktestResult:
    result = _sound()
    bars = result.prices["ACME"]
    row = _row_of(result, 4)
    columns = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close")}
    for values in columns.values():
        values[row - 4 : row + 4] = columns["close"][row - 4]
    # Nobody knows the volume, but eight bars in a row have one price.
    return _with_bars(result, volume=np.full(len(bars), np.nan), **columns)


def _below_the_low() -> BacktestResult:
    result = _sound()
    price = result.fills["price"].copy()
    buy = int(np.flatnonzero(result.fills["side"] > 0)[2])
    price[buy] = result.prices["ACME"].low[_row_of(result, buy)] * 0.99
    return _with_fills(result, price=price)


def _slipped_above_the_high() -> BacktestResult:
    """Bought at a worse price than the bar had, because of slippage: that is honest."""
    result = _sound()
    price, slippage = result.fills["price"].copy(), result.fills["slippage"].copy()
    buy = int(np.flatnonzero(result.fills["side"] > 0)[2])
    price[buy] = result.prices["ACME"].high[_row_of(result, buy)] * 1.01
    slippage[buy] = price[buy] * 0.01 * result.fills["quantity"][buy]
    return _with_fills(result, price=price, slippage=slippage)


def _thin_market() -> BacktestResult:
    result = _sound()
    return _with_bars(result, volume=np.full(len(result.prices["ACME"]), 1_000.0))


def _rejections(share: float) -> BacktestResult:
    result = _sound()
    orders = result.orders.copy()
    orders["status"][: int(share * len(orders))] = OrderState.REJECTED
    return replace(result, orders=orders)


def _gap(bars_missing: int) -> BacktestResult:
    result = _sound()
    bars = result.prices["ACME"]
    later = np.where(np.arange(len(bars)) >= 900, bars_missing * DAY_NS, 0)
    return _with_bars(result, open_ns=bars.open_ns + later, close_ns=bars.close_ns + later)


def _universe(*, dead: int) -> BacktestResult:
    result = make_result(symbols=tuple("ABCDEF"), count=1_500, windows=(5, 15))
    prices = dict(result.prices)
    for name in list(prices)[:dead]:
        prices[name] = prices[name].rows(0, 700)
    return replace(result, prices=prices)


def _levered(share: float) -> BacktestResult:
    result = _sound()
    return replace(result, exposure=result.exposure * share)


def _steady(daily: float) -> BacktestResult:
    """Return a run that gains a little nearly every day."""
    result = _sound()
    gains = np.random.default_rng(1).normal(daily, 0.002, len(result.equity))
    return replace(result, equity=100_000.0 * np.cumprod(1.0 + gains, dtype=np.float64))


def _one_good_day(size: float) -> BacktestResult:
    result = _sound()
    gains = np.full(len(result.equity), 5.0)
    gains[700] = size
    return replace(result, equity=100_000.0 + np.cumsum(gains))


def _pnl(*, best: float) -> BacktestResult:
    result = _sound()
    pnl = np.where(np.arange(len(result.trades)) % 2 == 0, 60.0, -50.0)
    pnl[0] = best
    return _with_pnl(result, pnl)


def _costly(share: float) -> BacktestResult:
    """Return a run in which costs took this share of what was earned before them."""
    result = _sound()
    costs = 10_000.0
    equity = result.equity.copy()
    equity[-1] = result.initial_capital + costs / share - costs
    fee = np.full(len(result.fills), costs / len(result.fills))
    return replace(_with_fills(result, fee=fee, slippage=0.0), equity=equity)


def _ruined() -> BacktestResult:
    result = _sound()
    equity = result.equity.copy()
    equity[-1] = -5.0
    return replace(result, equity=equity)


def _few_trades(count: int) -> BacktestResult:
    result = _sound()
    return replace(result, trades=result.trades[:count])


def _split(ratio: float, *, booked: bool = True) -> BacktestResult:
    """Return a run on prices with a jump; `booked` as a loss, or known and adjusted for."""
    result = _sound()
    bars = result.prices["ACME"]
    later = np.arange(len(bars)) >= 1_000
    factor = np.where(later, ratio * bars.close[999] / bars.open[1_000], 1.0)
    columns = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
    equity = result.equity * np.where(later & booked, ratio, 1.0)
    jumped = _with_bars(result, **columns)
    return replace(jumped, fills=result.fills[:0], equity=equity)


def _open_trade() -> BacktestResult:
    return make_result(count=2_000, windows=(5, 15), seed=11, drift=0.0002)


#: code -> (a result that has it, one that has not)
CASES: dict[str, tuple[Callable[[], BacktestResult], Callable[[], BacktestResult]]] = {
    "stale_fills": (_dead_bar, _sound),
    "fills_outside_range": (_below_the_low, _slipped_above_the_high),
    "impossible_volume": (_thin_market, _sound),
    "no_costs": (lambda: _with_fills(_sound(), fee=0.0), lambda: _with_fills(_sound(), fee=1.0)),
    "costs_eat_profit": (lambda: _costly(0.8), lambda: _costly(0.2)),
    "too_few_trades": (lambda: _few_trades(12), lambda: _few_trades(40)),
    "short_history": (
        lambda: make_result(count=200, windows=(2, 5)),
        lambda: make_result(count=300, windows=(2, 5)),
    ),
    "hangs_on_one_trade": (lambda: _pnl(best=5_000.0), lambda: _pnl(best=100.0)),
    "hangs_on_one_day": (lambda: _one_good_day(20_000.0), lambda: _one_good_day(500.0)),
    "too_good_to_be_true": (lambda: _steady(0.002), lambda: _steady(0.0002)),
    "survivorship": (lambda: _universe(dead=0), lambda: _universe(dead=2)),
    "data_gaps": (lambda: _gap(30), lambda: _gap(2)),
    "unadjusted_splits": (lambda: _split(0.5), lambda: _split(0.56)),
    "open_trades": (_open_trade, _sound),
    "leverage_beyond_terms": (lambda: _levered(2.0), lambda: _levered(1.0)),
    "ruined": (_ruined, _sound),
    "rejected_orders": (lambda: _rejections(0.2), lambda: _rejections(0.01)),
}


@pytest.mark.parametrize("code", sorted(CASES))
def test_a_rule_speaks_when_it_must_and_only_then(code: str) -> None:
    suspicious, sound = CASES[code]
    assert code in _codes(suspicious())
    assert code not in _codes(sound())


def test_a_trade_that_made_more_than_all_is_told_in_words() -> None:
    def told(pnl: list[float]) -> str:
        result = _with_pnl(_sound(), np.array(pnl))
        (found,) = [one for one in examine(result) if one.code == "hangs_on_one_trade"]
        return found.evidence

    trades = len(_sound().trades)
    losing = told([17_716.0, -8_731.0, *[0.0] * (trades - 2)])
    assert losing.endswith(
        "made 17,716, more than the whole profit of 8,985: all other trades together lost 8,731."
    )
    winning = told([900.0, 100.0, *[0.0] * (trades - 2)])
    assert winning.endswith("made 900 of the whole profit of 1,000 (90%).")


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert examine(_sound()) == []


def test_a_price_that_stands_still_is_stale_when_no_volume_is_known() -> None:
    assert "stale_fills" in _codes(_frozen_price())


def test_an_account_with_leverage_may_use_it() -> None:
    levered = with_manifest(_levered(2.0), account={"leverage": 2.0})
    assert "leverage_beyond_terms" not in _codes(levered)


def test_a_strategy_that_peeks_is_caught() -> None:
    # It holds tomorrow's direction today, so nearly every trade wins.
    result = _sound()
    peeking = _with_pnl(
        replace(result, equity=100_000.0 * np.cumprod(np.full(len(result.equity), 1.002))),
        np.where(np.arange(len(result.trades)) % 20 == 0, -1.0, 100.0),
    )
    noise = np.random.default_rng(0).normal(0, 1e-4, len(result.equity))
    peeking = replace(peeking, equity=peeking.equity * np.cumprod(1.0 + noise))
    found = {finding.code: finding for finding in examine(peeking)}
    assert found["too_good_to_be_true"].severity is Severity.ERROR
    assert "95%" in found["too_good_to_be_true"].evidence


def test_a_split_that_was_held_is_worse_than_one_that_was_not() -> None:
    held = _split(0.5)
    idle = replace(held, trades=held.trades[:0])
    severities = [
        {finding.code: finding.severity for finding in examine(result)}["unadjusted_splits"]
        for result in (held, idle)
    ]
    assert severities == [Severity.ERROR, Severity.WARNING]


def test_a_split_that_the_run_knew_of_is_no_finding() -> None:
    assert "unadjusted_splits" not in _codes(_split(0.5, booked=False))


def test_the_limits_can_be_set() -> None:
    assert "too_few_trades" in _codes(_sound(), min_trades=100_000)
    assert "impossible_volume" in _codes(_sound(), volume_share=1e-9)


def test_findings_come_worst_first_and_say_what_to_do() -> None:
    result = _with_fills(make_result(count=100, windows=(2, 5)), fee=0.0)
    findings = examine(result)
    order = list(Severity)
    ranks = [order.index(finding.severity) for finding in findings]
    assert ranks == sorted(ranks)
    assert len(findings) >= 2
    assert all(finding.evidence and finding.advice for finding in findings)
    assert set(findings[0].to_dict()) == {"code", "severity", "evidence", "advice"}


def test_a_run_that_did_nothing_is_examined_too() -> None:
    result = _sound()
    idle = replace(
        result,
        fills=result.fills[:0],
        orders=result.orders[:0],
        trades=result.trades[:0],
        prices={},
        equity=np.full(len(result.equity), 100_000.0),
        exposure=np.zeros(len(result.equity)),
    )
    assert [finding.code for finding in examine(idle)] == ["too_few_trades"]
    nothing = replace(
        idle,
        ts_ns=idle.ts_ns[:0],
        equity=idle.equity[:0],
        exposure=idle.exposure[:0],
        benchmark=idle.benchmark[:0],
        cash=idle.cash[:0],
    )
    assert {finding.code for finding in examine(nothing)} == {"too_few_trades", "short_history"}


def test_bars_of_a_session_have_no_gap_each_night() -> None:
    result = _sound()
    minutes = np.arange(390, dtype=np.int64) * 60_000_000_000
    days = result.prices["ACME"].open_ns[:40]
    open_ns = (days[:, None] + minutes).ravel()
    price = np.full(len(open_ns), 100.0)
    bars = Bars.of_length(
        "ACME", open_ns, 60_000_000_000, open=price, high=price, low=price, close=price
    )
    calm = replace(result, prices={"ACME": bars}, fills=result.fills[:0])
    assert "data_gaps" not in _codes(calm)
    kept = np.delete(np.arange(8_000), np.arange(5_000, 5_060))
    columns = {
        name: getattr(bars, name)[kept]
        for name in ("open_ns", "close_ns", "open", "high", "low", "close", "volume")
    }
    holed = replace(calm, prices={"ACME": Bars("ACME", **columns)})
    assert "data_gaps" in _codes(holed)


def test_findings_are_values() -> None:
    finding = Finding(code="a", severity=Severity.NOTE, evidence="b", advice="c")
    assert finding == Finding(code="a", severity=Severity.NOTE, evidence="b", advice="c")
