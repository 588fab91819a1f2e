"""The tables of a report: figures, drawdowns, trades, breakdowns, months, manifest."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from alphintra.research import metrics
from alphintra.research.metrics.calendar import DAY_NS, period_of, weekday_of
from alphintra.research.reports.markup import Cell, Column, facts, panel, table
from alphintra.research.reports.wording import (
    NOTHING,
    count,
    day,
    duration,
    moment,
    money,
    percent,
    price,
    ratio,
    safe,
    tone,
)
from alphintra.research.result import BacktestResult, ExitReason, Manifest

#: Rows of the table of trades; the largest gains and losses when there are more.
MAX_TRADE_ROWS: Final = 400

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = [
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
]

#: Which figures stand together, what they are called, and how they are written.
GROUPS: Final[Mapping[str, tuple[tuple[str, str, Callable[..., str]], ...]]] = {
    "Growth": (
        ("total_return", "Total return", percent),
        ("cagr", "Return per year", percent),
        ("benchmark_return", "Buy and hold", percent),
        ("initial_capital", "Initial capital", money),
        ("final_capital", "Final capital", money),
        ("peak_capital", "Highest", money),
        ("lowest_capital", "Lowest", money),
        ("best_day", "Best day", percent),
        ("worst_day", "Worst day", percent),
        ("positive_days", "Days with a gain", percent),
        ("best_month", "Best month", percent),
        ("worst_month", "Worst month", percent),
        ("positive_months", "Months with a gain", percent),
    ),
    "Risk": (
        ("volatility", "Volatility per year", percent),
        ("downside_risk", "Downside risk per year", percent),
        ("max_drawdown", "Deepest drawdown", percent),
        ("max_drawdown_amount", "… in money", money),
        ("max_drawdown_duration_s", "Longest drawdown", duration),
        ("average_drawdown", "Average drawdown", percent),
        ("ulcer_index", "Ulcer index", percent),
        ("value_at_risk", "Value at risk, 5 %, a day", percent),
        ("conditional_value_at_risk", "… mean beyond it", percent),
        ("skew", "Skew", ratio),
        ("kurtosis", "Kurtosis (3 is normal)", ratio),
        ("tail_ratio", "Tail ratio", ratio),
    ),
    "Ratios": (
        ("sharpe_ratio", "Sharpe", ratio),
        ("sortino_ratio", "Sortino", ratio),
        ("calmar_ratio", "Calmar", ratio),
        ("omega_ratio", "Omega", ratio),
        ("recovery_factor", "Recovery factor", ratio),
        ("stability", "Stability (R²)", ratio),
        ("alpha", "Alpha per year", percent),
        ("beta", "Beta", ratio),
        ("r_squared", "R² to the benchmark", ratio),
        ("information_ratio", "Information ratio", ratio),
        ("tracking_error", "Tracking error", percent),
        ("up_capture", "Up capture, by month", ratio),
        ("down_capture", "Down capture, by month", ratio),
    ),
    "Luck or skill": (
        ("probabilistic_sharpe_ratio", "Probability that Sharpe > 0", percent),
        ("minimum_track_record_days", "Days needed to show it", count),
        ("p_value", "p-value of the mean", lambda value: ratio(value, 4)),
        ("days", "Days of trading", count),
    ),
    "Trades": (
        ("total_trades", "Trades", count),
        ("trades_per_day", "… a day", ratio),
        ("win_rate", "Win rate", percent),
        ("winning_trades", "Won", count),
        ("losing_trades", "Lost", count),
        ("drawn_trades", "Neither", count),
        ("profit_factor", "Profit factor", ratio),
        ("expectancy", "Expectancy", money),
        ("payoff_ratio", "Payoff ratio", ratio),
        ("system_quality_number", "System quality (SQN)", ratio),
        ("average_win", "Average win", money),
        ("average_loss", "Average loss", money),
        ("best_trade", "Best", money),
        ("worst_trade", "Worst", money),
    ),
    "Runs and time": (
        ("max_consecutive_wins", "Most wins in a row", count),
        ("max_consecutive_losses", "Most losses in a row", count),
        ("average_consecutive_wins", "Wins in a row, average", ratio),
        ("average_consecutive_losses", "Losses in a row, average", ratio),
        ("average_duration_s", "Average duration", duration),
        ("average_duration_winners_s", "… of winners", duration),
        ("average_duration_losers_s", "… of losers", duration),
        ("average_bars", "Average bars", ratio),
        ("exposure", "Time in the market", percent),
        ("average_leverage", "Average exposure", percent),
        ("max_leverage", "Highest exposure", percent),
    ),
    "Costs and orders": (
        ("total_fees", "Fees", money),
        ("total_slippage", "Slippage", money),
        ("cost_ratio", "Costs of what was traded", lambda value: percent(value, 3)),
        ("traded_value", "Traded", money),
        ("turnover", "Turnover per year", ratio),
        ("total_orders", "Orders", count),
        ("total_fills", "Fills", count),
        ("canceled_orders", "Canceled", count),
        ("expired_orders", "Expired", count),
        ("rejected_orders", "Rejected", count),
    ),
}  # fmt: skip


def figures(values: Mapping[str, Any], *groups: str) -> str:
    """Return the named groups of figures, a box for each."""
    return "".join(
        panel(
            facts({label: text(values.get(key)) for key, label, text in GROUPS[group]}, title=group)
        )
        for group in groups
    )


def months(values: Mapping[str, Any]) -> str:
    """Return the returns by month as a table coloured by how much it was, and the years."""
    monthly: Mapping[str, float | None] = values["monthly_returns"]
    known = [abs(value) for value in monthly.values() if value is not None]
    scale = float(np.quantile(known, 0.95)) if known else 1.0
    rows = []
    for year in dict.fromkeys(name[:4] for name in monthly):
        cells = []
        for number in range(1, 13):
            value = monthly.get(f"{year}-{number:02}")
            cells.append(_shaded(value, scale))
        whole = values["yearly_returns"].get(year)
        cells.append(f'<td class="year {tone(whole)}">{percent(whole, 1)}</td>')
        rows.append(f'<tr><th scope="row">{safe(year)}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Year", *_MONTHS, "Total"))
    return panel(
        '<div class="scroll" tabindex="0" role="region" aria-label="Monthly returns">'
        '<table class="heat"><caption>Monthly returns</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def drawdowns(values: Mapping[str, Any]) -> str:
    """Return the deepest drawdowns."""
    columns = [
        Column("Peak", "text"), Column("Trough", "text"), Column("Recovered", "text"),
        Column("Depth"), Column("Money"), Column("Duration"), Column("Recovery"),
    ]  # fmt: skip
    rows: list[list[Cell | str]] = [
        [
            day(fall["peak"]),
            day(fall["trough"]),
            day(fall["recovery"]) if fall["recovery"] else "not yet",
            Cell(percent(fall["depth"]), fall["depth"], "loss"),
            Cell(money(fall["amount"], 0), fall["amount"]),
            Cell(duration(fall["duration_s"]), fall["duration_s"]),
            Cell(duration(fall["recovery_duration_s"]), fall["recovery_duration_s"] or 0.0),
        ]
        for fall in values["drawdowns"]
    ]
    return panel(table(columns, rows, caption="Deepest drawdowns", sortable=True))


def trades(result: BacktestResult) -> str:
    """Return the trades, or the ones with the largest gains and losses."""
    chosen = result.trades
    caption = "All trades"
    if len(chosen) > MAX_TRADE_ROWS:
        largest = np.argpartition(-np.abs(chosen["pnl"]), MAX_TRADE_ROWS)[:MAX_TRADE_ROWS]
        caption = f"The {MAX_TRADE_ROWS} largest of {len(chosen):,} trades"
        chosen = chosen[np.sort(largest)]
    columns = [
        Column("Entry", "text"), Column("Exit", "text"), Column("Symbol", "text"),
        Column("Side", "text"), Column("Quantity"), Column("Entry price"), Column("Exit price"),
        Column("P&L"), Column("Return"), Column("Fees"), Column("Bars"), Column("MAE"),
        Column("MFE"), Column("Tag", "text"), Column("Ended by", "text"),
    ]  # fmt: skip
    rows = [_trade_row(result, trade) for trade in chosen]
    return panel(table(columns, rows, caption=caption, sortable=True, tall=True))


def breakdowns(result: BacktestResult) -> str:
    """Return how the trades did by symbol, tag, exit reason, side, weekday and month."""
    rows = result.trades
    if not len(rows):
        return ""
    # An exit at midnight is at the opening of that day, unless it is only the end of the data.
    exits = (rows["exit_ns"] - rows["open_at_end"]) // DAY_NS
    named: dict[str, list[str]] = {
        "Symbol": [result.symbols[row] for row in rows["symbol"]],
        "Tag": [result.tags[row] or NOTHING for row in rows["tag"]],
        "Exit reason": [_reason(row) for row in rows["exit_reason"]],
        "Side": ["long" if side > 0 else "short" for side in rows["side"]],
    }
    months = period_of(exits, metrics.Period.MONTH) % 12
    return "".join(
        [_breakdown(result, name, labels) for name, labels in named.items() if len(set(labels)) > 1]
        + [
            _breakdown(result, "Weekday", [WEEKDAYS[row] for row in weekday_of(exits)], WEEKDAYS),
            _breakdown(result, "Month", [_MONTHS[row] for row in months], _MONTHS),
        ]
    )


def manifest(result: BacktestResult) -> str:
    """Return all that the run depended on."""
    made = result.manifest
    values = {
        "Strategy": made.strategy,
        "Code (SHA-256)": made.strategy_sha256,
        "Parameters": _one_line(made.parameters),
        "Seed": str(made.seed),
        "Account": _one_line(made.account),
        **{f"Costs of {name}": _one_line(model) for name, model in list(made.costs.items())[:20]},
        "Engine": f"{made.engine_version} ({made.engine_digest})",
        "Computed at": made.created_at.isoformat(timespec="seconds"),
        "Computed in": computed_in(made),
    }
    rows: list[list[Cell | str]]
    columns = [
        Column("Dataset", "text"), Column("Symbol", "text"), Column("Timeframe", "text"),
        Column("Rows"), Column("First", "text"), Column("Last", "text"),
        Column("SHA-256 of the columns", "text"),
    ]  # fmt: skip
    rows = [
        [
            data.name, data.symbol, data.timeframe, count(data.rows), moment(data.first_ns),
            moment(data.last_ns), Cell(data.sha256[:16] + "…", style="mono"),
        ]
        for data in made.datasets
    ]  # fmt: skip
    return panel(facts(values, title="Manifest", left=True)) + panel(
        table(columns, rows, caption="Data")
    )


def computed_in(made: Manifest) -> str:
    """Return how long a run took, and in which form the strategy ran."""
    return f"{made.duration_s:.2f} s" + (f", {made.form}" if made.form else "")


def _breakdown(
    result: BacktestResult, name: str, labels: Sequence[str], order: Sequence[str] = ()
) -> str:
    columns = [
        Column(name, "text"), Column("Trades"), Column("Won"), Column("P&L"),
        Column("Average"), Column("Profit factor"), Column("Fees"),
    ]  # fmt: skip
    groups = metrics.breakdown(result.trades, labels)
    if order:
        groups.sort(key=lambda row: order.index(row["label"]))
    rows: list[list[Cell | str]] = [
        [
            row["label"],
            Cell(count(row["trades"]), row["trades"]),
            Cell(percent(row["win_rate"], 1), row["win_rate"]),
            Cell(money(row["pnl"], 0, sign=True), row["pnl"], tone(row["pnl"])),
            Cell(percent(row["average_return"]), row["average_return"]),
            Cell(ratio(row["profit_factor"]), _sortable(row["profit_factor"])),
            Cell(money(row["fees"], 0), row["fees"]),
        ]
        for row in groups
    ]
    return panel(table(columns, rows, caption=f"By {name.lower()}", sortable=True))


def _trade_row(result: BacktestResult, trade: Any) -> list[Cell | str]:
    pnl = float(trade["pnl"])
    return [
        Cell(moment(int(trade["entry_ns"])), int(trade["entry_ns"])),
        Cell(moment(int(trade["exit_ns"])), int(trade["exit_ns"])),
        result.symbols[trade["symbol"]],
        "long" if trade["side"] > 0 else "short",
        Cell(f"{float(trade['quantity']):,.10g}", float(trade["quantity"])),
        Cell(price(trade["entry_price"]), float(trade["entry_price"])),
        Cell(price(trade["exit_price"]), float(trade["exit_price"])),
        Cell(money(pnl, sign=True), pnl, tone(pnl)),
        Cell(percent(trade["return"], sign=True), float(trade["return"]), tone(pnl)),
        Cell(money(trade["fees"]), float(trade["fees"])),
        Cell(count(trade["bars"]), int(trade["bars"])),
        Cell(percent(trade["mae"]), float(trade["mae"])),
        Cell(percent(trade["mfe"]), float(trade["mfe"])),
        result.tags[trade["tag"]] or NOTHING,
        _reason(trade["exit_reason"]),
    ]


def _shaded(value: float | None, scale: float) -> str:
    if value is None:
        return "<td></td>"
    share = round(min(abs(value) / scale, 1.0) * 62 + 6) if scale else 6
    colour = f"color-mix(in srgb, var(--{tone(value) or 'grid'}) {share}%, var(--card))"
    return f'<td style="background:{colour}">{percent(value, 1)}</td>'


def _reason(number: int) -> str:
    return ExitReason(int(number)).name.lower().replace("_", " ")


def _sortable(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _one_line(values: Mapping[str, Any]) -> str:
    text = json.dumps(dict(values), ensure_ascii=False, default=str)
    return text[1:-1].replace('"', "") or NOTHING
