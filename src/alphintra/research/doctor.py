"""What is suspicious about a backtest, with the evidence and what to do about it.

Each rule looks at one thing and has a stable code. A finding is no proof: it says what a careful
reader would ask. The thresholds are in `Limits`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.series import Bars
from alphintra.research.gaps import MISSING_BARS, gaps_in
from alphintra.research.metrics.calendar import DAY_NS, day_ends
from alphintra.research.result import BacktestResult, OrderState, Warning_, readable

Rows = NDArray[np.void]

#: What is left of a price after the usual splits and reverse splits, and how near is near enough.
_SPLITS: Final = np.array([1 / 20, 1 / 10, 1 / 7, 1 / 5, 1 / 4, 1 / 3, 1 / 2, 2, 3, 4, 5, 10, 20])
_SPLIT_TOLERANCE: Final = 0.025


class Severity(StrEnum):
    """How much a finding takes from a result, worst first."""

    ERROR = "error"  #: the figures are not to be believed
    WARNING = "warning"  #: they may be, after what the finding asks was answered
    NOTE = "note"  #: good to know


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One suspicion."""

    code: str
    severity: Severity
    evidence: str
    advice: str

    def to_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return {name: str(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From where on a rule speaks."""

    volume_share: float = 0.1  #: of a bar's volume that one fill may take
    min_trades: int = 30
    min_days: int = 252  #: one year of trading
    share_of_one: float = 0.5  #: of the net profit that one trade or day may make
    cost_share: float = 0.5  #: of the profit before costs that costs may take
    max_sharpe: float = 4.0
    max_win_rate: float = 0.9
    max_gap_bars: int = MISSING_BARS  #: bars in a row that may be missing
    flat_bars: int = 5  #: bars in a row with one price and nothing traded: nobody was there
    alive_symbols: int = 5  #: from so many on, that all live to the end is suspicious
    alive_years: float = 3.0


def examine(result: BacktestResult, limits: Limits | None = None) -> list[Finding]:
    """Return what is suspicious about a result, worst first; nothing when nothing is."""
    limits = limits or Limits()
    findings = [finding for rule in RULES for finding in rule(result, limits)]
    order = list(Severity)
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def other_warnings(result: BacktestResult, findings: Iterable[Finding]) -> list[Warning_]:
    """Return the warnings of the run itself that no finding has told already."""
    told = {finding.code for finding in findings}
    return [warning for warning in result.warnings if warning.code not in told]


def _stale_fills(result: BacktestResult, limits: Limits) -> Iterator[Finding]:
    stale: list[str] = []
    for symbol, bars, fills in _by_symbol(result):
        rows, inside = _bars_of_fills(bars, fills)
        still = (bars.high == bars.low) & ~(bars.volume > 0.0)
        runs = _lengths_of_runs(still)
        dead = (bars.volume[rows] == 0.0) | (runs[rows] >= limits.flat_bars)
        stale += [_where(symbol, fill) for fill in fills[inside & dead]]
    if stale:
        yield Finding(
            code="stale_fills",
            severity=Severity.ERROR,
            evidence=f"{_count(stale, 'fill')} on bars in which nothing was traded: {_few(stale)}.",
            advice="Nobody was there to trade with. Leave such bars out of the data, trade only "
            "where volume is above 0, or limit the participation in the volume.",
        )


def _fills_outside_range(result: BacktestResult, limits: Limits) -> Iterator[Finding]:
    outside: list[str] = []
    for symbol, bars, fills in _by_symbol(result):
        rows, inside = _bars_of_fills(bars, fills)
        # What slippage and spread took may lie beyond the bar; it cost, it did not help.
        unit = fills["slippage"] / np.maximum(fills["quantity"], 1e-300)
        raw = fills["price"] - fills["side"] * np.nan_to_num(unit, nan=0.0)
        slack = 1e-6 * raw
        strange = (raw > bars.high[rows] + slack) & (fills["side"] < 0)
        strange |= (raw < bars.low[rows] - slack) & (fills["side"] > 0)
        outside += [_where(symbol, fill) for fill in fills[inside & strange]]
    if outside:
        yield Finding(
            code="fills_outside_range",
            severity=Severity.ERROR,
            evidence=f"{_count(outside, 'fill')} at a better price than the bar had: "
            f"{_few(outside)}.",
            advice="No market gave that price. Look for adjusted prices mixed with raw ones, or "
            "for a fill model of your own.",
        )


def _impossible_volume(result: BacktestResult, limits: Limits) -> Iterator[Finding]:
    large: list[str] = []
    worst = 0.0
    for symbol, bars, fills in _by_symbol(result):
        rows, inside = _bars_of_fills(bars, fills)
        # All fills in one bar together take from its volume.
        taken = np.zeros(len(bars))
        np.add.at(taken, rows[inside], fills["quantity"][inside])
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(bars.volume > 0.0, taken / bars.volume, 0.0)
        above = np.flatnonzero(share > limits.volume_share)
        worst = max(worst, float(share.max(initial=0.0)))
        large += [
            f"{symbol} {readable(int(bars.open_ns[row]))} ({share[row]:.0%})" for row in above
        ]
    if large:
        yield Finding(
            code="impossible_volume",
            severity=Severity.ERROR if worst > 1.0 else Severity.WARNING,
            evidence=f"In {_count(large, 'bar')} more than {limits.volume_share:.0%} of all that "
            f"was traded is this strategy's, at most {worst:.0%}: {_few(large)}.",
            advice="Trade smaller, trade what is more liquid, or limit the participation "
            "(participation_bps) so that fills are spread over bars.",
        )


def _no_costs(result: BacktestResult, limits: Limits) -> Iterator[Finding]:
    paid = float(result.fills["fee"].sum()) + float(np.nansum(result.fills["slippage"]))
    if len(result.fills) and paid == 0.0:
        yield Finding(
            code="no_costs",
            severity=Severity.ERROR,
            evidence=f"{_count(result.fills, 'fill')} cost nothing: no fee, no slippage.",
            advice="Set the costs of your broker and market, such as --fee 0.001; many edges are "
            "smaller than what trading them costs.",
        )


def _costs_eat_profit(result: BacktestResult, limits: Limits) -> Iterator[Finding]:
    costs = float(result.fills["fee"].sum()) + float(np.nansum(result.fills["slippage"]))
    net = result.final_capital - result.initial_capital
    before = net + costs
    if costs > 0.0 and before > 0.0 and costs > limits.cost_share * before:
        yield Finding(
            code="costs_eat_profit",
            severity=Severity.WARNING,
            evidence=f"Costs of {costs:,.0f} took {costs / before:.0%} of a profit of "
            f"{before:,.0f} before costs.",
            advice="Trade less often or only on stronger signals; a little more slippage than "
            "assumed turns this around.",
        )


def _too_few_trades(result: BacktestResult, limits: Limits) -> Iterator[Finding]:
    number = len(result.trades)
    if number < limits.min_trades:
        yield Finding(
            code="too_few_trades",
            severity=Severity.WARNING if number else Severity.ERROR,
            evidence=f"There {'is' if number == 1 else 'are'} {_count(result.trades, 'trade')}; "
            f"with fewer than {limits.min_trades} the win rate and the ratios say little.",
            advice="Use more history or more symbols. Without any trade, look whether the warm-up "
            "is longer than the data, and at the rejected orders.",
        )


def _short_history(result: BacktestResult, limits: Limits) -> Iterator[Finding]:
    days = len(day_ends(result.ts_ns)[0])
    if days < limits.min_days:
        yield Finding(
            code="short_history",
            severity=Severity.WARNING,
            evidence=f"The run covers {days} days of trading, less than {limits.min_days}; annual "
            "figures are extrapolated.",
            advice="Use at least a year, better one with a falling market in it.",
        )


def _one_trade(result: BacktestResult, limits: Limits) -> Iterator[Finding]:
    pnl = result.trades["pnl"]
    net = float(pnl.sum())
    if len(pnl) < 2 or net <= 0.0:
        return
    best = int(np.argmax(pnl))
    if pnl[best] > limits.share_of_one * net:
        trade = result.trades[best]
        name = result.symbols[trade["symbol"]]
        yield Finding(
            code="hangs_on_one_trade",
            severity=Severity.WARNING,
            evidence=f"One trade, {name} from {readable(int(trade['entry_ns']))}, "
            f"{_of_all(float(pnl[best]), net, 'trades')}.",
            advice="Look at it: an error in the data, a split, or luck? Leave it out and see what "
            "remains.",
        )


def _one_day(result: BacktestResult, limits: Limits) -> Iterator[Finding]:
    days, rows = day_ends(result.ts_ns)
    closes = np.concatenate(([result.initial_capital], result.equity[rows]))
    gains = np.diff(closes)
    net = float(gains.sum())
    if len(gains) < 10 or net <= 0.0:
        return
    best = int(np.argmax(gains))
    if gains[best] > limits.share_of_one * net:
        yield Finding(
            code="hangs_on_one_day",
            severity=Severity.WARNING,
            evidence=f"One day, {readable(int(days[best]) * DAY_NS)}, "
            f"{_of_all(float(gains[best]), net, 'days')}.",
            advice="Look at that day's prices. A result that needs one day may not see another.",
        )


def _of_all(best: float, net: float, what: str) -> str:
    """Return what one made of a profit, in words that hold when the others have lost."""
    if best > net:
        return (
            f"made {best:,.0f}, more than the whole profit of {net:,.0f}: all other {what} "
            f"together lost {best - net:,.0f}"
        )
    return f"made {best:,.0f} of the whole profit of {net:,.0f} ({best / net:.0%})"


def _lookahead_suspicion(result: BacktestResult, limits: Limits) -> Iterator[Finding]:
    figures = result.metrics
    signs = []
    sharpe = figures["sharpe_ratio"]
    if figures["days"] >= 20 and sharpe is not None and sharpe > limits.max_sharpe:
        signs.append(f"a Sharpe ratio of {sharpe:.1f}")
    if len(result.trades) >= limits.min_trades and figures["win_rate"] > limits.max_win_rate:
        signs.append(f"{figures['win_rate']:.0%} of {len(result.trades)} trades won")
    if signs:
        yield Finding(
            code="too_good_to_be_true",
            severity=Severity.ERROR if len(signs) > 1 else Severity.WARNING,
            evidence=f"It shows {' and '.join(signs)}.",
            advice="Strategies that see the future look like this. Run the look-ahead check "
            "(alphintra check), and look for prices that were adjusted afterwards.",
        )


def _survivorship(result: BacktestResult, limits: Limits) -> Iterator[Finding]:
    bars = [series for series in result.prices.values() if len(series)]
    if len(bars) < limits.alive_symbols:
        return
    last = max(int(series.close_ns[-1]) for series in bars)
    first = min(int(series.open_ns[0]) for series in bars)
    years = (last - first) / (365.25 * DAY_NS)
    alive = sum(last - int(series.close_ns[-1]) < 10 * DAY_NS for series in bars)
    if years >= limits.alive_years and alive == len(bars):
        yield Finding(
            code="survivorship",
            severity=Severity.WARNING,
            evidence=f"All {len(bars)} symbols live to the end of {years:.1f} years; in a universe "
            "as it was then, some would have been delisted or taken over.",
            advice="Add the symbols that died, or choose the universe by what was known at each "
            "time. Otherwise the result is an upper bound.",
        )


def _data_gaps(result: BacktestResult, limits: Limits) -> Iterator[Finding]:
    gaps: list[str] = []
    for symbol, bars in result.prices.items():
        rows = gaps_in(bars, limits.max_gap_bars)
        gaps += [f"{symbol} {readable(int(bars.close_ns[row]))}" for row in rows]
    if gaps:
        yield Finding(
            code="data_gaps",
            severity=Severity.WARNING,
            evidence=f"{_count(gaps, 'gap')} of more than {limits.max_gap_bars} bars, after: "
            f"{_few(gaps)}.",
            advice="What happened meanwhile is missing: stops did not trigger and losses do not "
            "show. Complete the data or cut the period.",
        )


def _unadjusted_splits(result: BacktestResult, limits: Limits) -> Iterator[Finding]:
    jumps: list[str] = []
    held = False
    for number, symbol in enumerate(result.symbols):
        bars = result.prices.get(symbol)
        if bars is None or len(bars) < 2:
            continue
        trades = result.trades[result.trades["symbol"] == number]
        ratio = bars.open[1:] / bars.close[:-1]
        nearest = np.min(np.abs(ratio[:, None] / _SPLITS - 1.0), axis=1)
        for row in np.flatnonzero(nearest < _SPLIT_TOLERANCE):
            at = int(bars.open_ns[row + 1])
            spans = bool(((trades["entry_ns"] < at) & (trades["exit_ns"] > at)).any())
            if spans and not _moved(result, at, by=float(ratio[row]) - 1.0):
                continue  # the run knew of it: the position was adjusted with the price
            held = held or spans
            jumps.append(f"{symbol} {readable(at)} (×{ratio[row]:.2f})")
    if jumps:
        yield Finding(
            code="unadjusted_splits",
            severity=Severity.ERROR if held else Severity.WARNING,
            evidence=f"{_count(jumps, 'jump')} of the price as a split makes it: {_few(jumps)}"
            f"{', while a position was open' if held else ''}.",
            advice="Use prices that are adjusted for splits, or give the run the corporate "
            "actions; otherwise a split is booked as a gain or a loss.",
        )


def _open_trades(result: BacktestResult, limits: Limits) -> Iterator[Finding]:
    still = result.trades[result.trades["open_at_end"]]
    if len(still):
        names = sorted({result.symbols[row] for row in still["symbol"]})
        yield Finding(
            code="open_trades",
            severity=Severity.NOTE,
            evidence=f"{_count(still, 'trade')} still open at the end ({_few(names)}), worth "
            f"{float(still['pnl'].sum()):+,.0f} when closed there.",
            advice="The run closed them, at its usual costs; the strategy has not decided when.",
        )


def _leverage(result: BacktestResult, limits: Limits) -> Iterator[Finding]:
    allowed = float(result.manifest.account.get("leverage", 1.0))
    if not len(result.exposure):
        return
    highest = float(np.nanmax(result.exposure))
    broke = bool((result.equity <= 0.0).any())
    if broke:
        yield Finding(
            code="ruined",
            severity=Severity.ERROR,
            evidence=f"The equity falls to {float(result.equity.min()):,.0f}.",
            advice="The account is gone at that moment; nothing after it counts. Trade smaller.",
        )
    # Prices move after the order was sized: a little above the terms is not beyond them.
    elif highest > allowed * 1.5 + 0.05:
        yield Finding(
            code="leverage_beyond_terms",
            severity=Severity.ERROR,
            evidence=f"Positions reach {highest:.2f} times the equity; the account allows "
            f"{allowed:.2f}.",
            advice="A broker would have closed positions before that. Trade smaller, or give the "
            "account the leverage it has.",
        )


def _rejected_orders(result: BacktestResult, limits: Limits) -> Iterator[Finding]:
    rejected = int(np.sum(result.orders["status"] == OrderState.REJECTED))
    if rejected > 0.05 * len(result.orders):
        yield Finding(
            code="rejected_orders",
            severity=Severity.WARNING,
            evidence=f"{rejected:,} of {len(result.orders):,} orders were rejected.",
            advice="The strategy asks for what the account cannot do; what ran is not what was "
            "meant. Look into the log for the reasons.",
        )


Rule = Callable[[BacktestResult, Limits], Iterable[Finding]]

#: Every rule; the order is that of equal severities in a report.
RULES: Final[tuple[Rule, ...]] = (
    _leverage,
    _lookahead_suspicion,
    _no_costs,
    _stale_fills,
    _fills_outside_range,
    _unadjusted_splits,
    _impossible_volume,
    _survivorship,
    _too_few_trades,
    _short_history,
    _one_trade,
    _one_day,
    _costs_eat_profit,
    _data_gaps,
    _rejected_orders,
    _open_trades,
)


def _moved(result: BacktestResult, at_ns: int, *, by: float) -> bool:
    """Return whether the equity moved at a moment as if a position took a jump of the price."""
    row = int(np.searchsorted(result.ts_ns, at_ns, side="right"))
    if not 0 < row < len(result.equity):
        return False
    change = abs(float(result.equity[row]) / float(result.equity[row - 1]) - 1.0)
    return change > 0.5 * abs(by) * float(result.exposure[row - 1]) / max(len(result.symbols), 1)


def _by_symbol(result: BacktestResult) -> Iterator[tuple[str, Bars, Rows]]:
    """Yield the bars and fills of each symbol that has both."""
    for number, symbol in enumerate(result.symbols):
        bars = result.prices.get(symbol)
        fills = result.fills[result.fills["symbol"] == number]
        if bars is not None and len(bars) and len(fills):
            yield symbol, bars, fills


def _bars_of_fills(bars: Bars, fills: Rows) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the row of the bar that each fill happened in, and whether there is one."""
    ts_ns = fills["ts_ns"]
    # A fill at a bar's close has the same time as the next one's opening, where they touch: it is
    # of the bar that opens unless none does.
    rows = np.searchsorted(bars.open_ns, ts_ns, side="right") - 1
    inside = (rows >= 0) & (ts_ns <= bars.close_ns[np.maximum(rows, 0)])
    return np.maximum(rows, 0), inside


def _lengths_of_runs(hits: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each row the length of the run of True that it is in, 0 outside."""
    edges = np.diff(hits.astype(np.int8), prepend=np.int8(0), append=np.int8(0))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    lengths = np.zeros(len(hits), dtype=np.int64)
    lengths[hits] = np.repeat(ends - starts, ends - starts)
    return lengths


def _where(symbol: str, fill: Any) -> str:
    return f"{symbol} {readable(int(fill['ts_ns']))}"


def _few(texts: list[str], most: int = 3) -> str:
    more = f" and {len(texts) - most:,} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _count(things: Any, name: str) -> str:
    return f"{len(things):,} {name}{'' if len(things) == 1 else 's'}"
