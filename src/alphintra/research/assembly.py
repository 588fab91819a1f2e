"""From what the simulator leaves behind to the result that everybody reads."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.engine import Kind, Side
from alphintra.engine.portfolio import NO_ORDER, Cause, Simulation, Status, SymbolTerms, What
from alphintra.engine.series import Bars, Floats, Quotes, Series, Times
from alphintra.research.result import (
    FILL,
    ORDER,
    TRADE,
    BacktestResult,
    ExitReason,
    Manifest,
    OrderState,
    Warning_,
)

if TYPE_CHECKING:
    from alphintra.research.backtest import Market

_EXITS: Final = {
    Kind.MARKET: ExitReason.SIGNAL,
    Kind.LIMIT: ExitReason.LIMIT,
    Kind.STOP: ExitReason.STOP,
    Kind.STOP_LIMIT: ExitReason.STOP,
    Kind.TRAILING_STOP: ExitReason.TRAILING_STOP,
}
_STATES: Final = {
    Status.SENT: OrderState.OPEN,
    Status.WAITING: OrderState.OPEN,
    Status.OPEN: OrderState.OPEN,
    Status.FILLED: OrderState.FILLED,
    Status.CANCELED: OrderState.CANCELED,
    Status.EXPIRED: OrderState.EXPIRED,
    Status.REJECTED: OrderState.REJECTED,
}
_REASONS: Final = {
    Cause.BUYING_POWER: "the account could not pay or carry them",
    Cause.SHORT_NOT_ALLOWED: "selling short is not allowed",
    Cause.NOTHING_TO_REDUCE: "there was no position to reduce",
    Cause.DELISTED: "the instrument was delisted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A finished simulation and what the strategy said along the way."""

    simulation: Simulation
    tags: tuple[str, ...] = ("",)
    logs: tuple[str, ...] = ()
    too_small: int = 0  #: orders for less than one lot


def assembled(
    outcome: Outcome, market: "Market", manifest: Manifest, *, trades_only: bool
) -> BacktestResult:
    """Return the result of a run."""
    simulation = outcome.simulation
    told = simulation.outcome()
    benchmark = _benchmark(market.series, market.symbols, told.ts_ns)
    capital = sum(market.account.cash.values())
    # With `trades_only` the first and the last row stay, from which the figures begin and end.
    kept = [0, -1] if trades_only and len(told.ts_ns) > 1 else slice(None)
    return BacktestResult(
        manifest=manifest,
        symbols=market.symbols,
        initial_capital=capital,
        ts_ns=told.ts_ns[kept],
        equity=told.equity[kept],
        cash=told.cash[kept],
        exposure=told.exposure[kept],
        benchmark=capital * benchmark[kept],
        fills=_fills(simulation),
        orders=_orders(simulation, market.terms),
        trades=_trades(told.trades, simulation.orders()),
        tags=outcome.tags,
        prices=market.bars,
        logs=outcome.logs,
        warnings=(*market.warnings, *_warnings(outcome)),
    )


def _fills(simulation: Simulation) -> NDArray[np.void]:
    told = simulation.fills()
    fills = np.empty(len(told), FILL)
    for name in FILL.names or ():
        fills[name] = told[name]
    fills["side"] = np.where(told["side"] == Side.BUY, 1, -1)
    return fills


def _orders(simulation: Simulation, terms: Sequence[SymbolTerms]) -> NDArray[np.void]:
    tickets = simulation.orders()
    tick, lot, multiplier = (
        np.array([getattr(one, name) for one in terms])[tickets["symbol"]]
        for name in ("tick_size", "lot_size", "multiplier")
    )
    orders = np.empty(len(tickets), ORDER)
    orders["order_id"] = np.arange(len(tickets))
    for name in ("symbol", "kind", "parent", "tag"):
        orders[name] = tickets[name]
    orders["side"] = np.where(tickets["side"] == Side.BUY, 1, -1)
    orders["filled"] = tickets["filled_lots"] * lot
    sized = tickets["lots"] > 0
    # What was asked for: the simulator takes off what the account could not carry.
    asked = tickets["lots"].copy()
    cut = _cut(simulation)
    np.add.at(asked, cut["order"], cut["lots"])
    orders["quantity"] = np.where(sized, asked * lot, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        orders["average_price"] = tickets["value"] / (orders["filled"] * multiplier)
    limited = np.isin(tickets["kind"], (Kind.LIMIT, Kind.STOP_LIMIT))
    stopped = np.isin(tickets["kind"], (Kind.STOP, Kind.STOP_LIMIT))
    orders["limit_price"] = np.where(limited, tickets["limit_price_ticks"] * tick, np.nan)
    orders["stop_price"] = np.where(stopped, tickets["stop_price_ticks"] * tick, np.nan)
    states = np.array([_STATES[status] for status in Status])
    orders["status"] = states[tickets["status"]]
    # The end of the run cancels what is open; to a reader it was open at the end.
    left = (tickets["cause"] == Cause.END) & (tickets["status"] == Status.CANCELED)
    orders["status"][left] = OrderState.OPEN
    orders["created_ns"] = tickets["submitted_ns"]
    orders["closed_ns"] = np.where(orders["status"] == OrderState.OPEN, -1, tickets["ended_ns"])
    return orders


def _cut(simulation: Simulation) -> NDArray[np.void]:
    """Return the journal's rows that took something off an order for want of means."""
    journal = simulation.journal()
    causes = (Cause.BUYING_POWER, Cause.SHORT_NOT_ALLOWED, Cause.NOTHING_TO_REDUCE)
    is_cut = (journal["what"] == What.REDUCED) & np.isin(journal["cause"], causes)
    return np.compress(is_cut, journal)


def _trades(trips: NDArray[np.void], tickets: NDArray[np.void]) -> NDArray[np.void]:
    trades = np.empty(len(trips), TRADE)
    for name in TRADE.names or ():
        if name != "exit_reason":
            trades[name] = trips[name]
    kinds = np.full(len(trips), -1)
    by_order = trips["exit_order"] != NO_ORDER
    kinds[by_order] = tickets["kind"][trips["exit_order"][by_order]]
    reasons = np.full(len(trips), int(ExitReason.LIQUIDATION))
    for kind, reason in _EXITS.items():
        reasons[kinds == kind] = reason
    reasons[trips["open_at_end"] != 0] = ExitReason.END_OF_DATA
    trades["exit_reason"] = reasons
    return trades


def _benchmark(series: Sequence[Series], symbols: Sequence[str], ts_ns: Times) -> Floats:
    """Return what one unit of money has become by buying and holding, shape of `ts_ns`."""
    growth = np.zeros(len(ts_ns))
    for symbol in symbols:
        times, prices = prices_of([part for part in series if part.symbol == symbol])
        at = np.searchsorted(times, ts_ns, side="right") - 1
        growth += np.where(at >= 0, prices[np.maximum(at, 0)] / prices[0], 1.0)
    return growth / max(1, len(symbols))


def prices_of(series: Sequence[Series]) -> tuple[Times, Floats]:
    """Return the prices of one symbol by which holding it is judged: closes, mids or prints."""
    part = next((one for one in series if isinstance(one, Bars)), series[0])
    if isinstance(part, Bars):
        return part.close_ns, part.close
    if isinstance(part, Quotes):
        both = np.isfinite(part.bid) & np.isfinite(part.ask)
        known = both if both.any() else np.isfinite(part.bid) | np.isfinite(part.ask)
        mid = np.nanmean(np.stack([part.bid[known], part.ask[known]]), axis=0)
        return part.ts_ns[known], mid
    return part.ts_ns, part.price


def _warnings(outcome: Outcome) -> Iterator[Warning_]:
    tickets = outcome.simulation.orders()
    rejected: Mapping[int, int] = dict(
        zip(
            *np.unique(tickets["cause"][tickets["status"] == Status.REJECTED], return_counts=True),
            strict=True,
        )
    )
    for cause, count in rejected.items():
        reason = _REASONS.get(Cause(cause), Cause(cause).name.lower().replace("_", " "))
        yield Warning_(code="rejected_orders", message=f"{count} orders were rejected: {reason}")
    cut = _cut(outcome.simulation)["cause"]
    for cause, count in zip(*np.unique(cut, return_counts=True), strict=True):
        yield Warning_(
            code="orders_cut",
            message=f"{count} orders were filled for less than was asked: {_REASONS[Cause(cause)]}",
        )
    if outcome.too_small:
        yield Warning_(
            code="orders_too_small",
            message=f"{outcome.too_small} orders were for less than one lot and were not sent",
        )
    if (outcome.simulation.journal()["cause"] == Cause.LIQUIDATION).any():
        yield Warning_(
            code="liquidated",
            message="equity fell below the maintenance margin and positions were closed by force",
        )
