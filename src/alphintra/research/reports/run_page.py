"""The page of one run: what people look at first, then everything."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.research import metrics
from alphintra.research.doctor import Finding, Severity, examine, other_warnings
from alphintra.research.metrics.calendar import YEAR_NS
from alphintra.research.reports import charts, svg, tables
from alphintra.research.reports.frame import page
from alphintra.research.reports.markup import facts, moving, panel, still
from alphintra.research.reports.wording import (
    NOTHING,
    count,
    day,
    moment,
    money,
    percent,
    ratio,
    safe,
    tone,
)
from alphintra.research.result import BacktestResult

if TYPE_CHECKING:
    from alphintra.research.search.credibility import Credibility
    from alphintra.research.search.trials import Trials

Floats = NDArray[np.float64]

#: Points of a scatter; the largest gains and losses when there are more.
MAX_DOTS: Final = 1_200

#: What the buttons above the charts show, in milliseconds; a run must be longer to have one.
_SPANS: Final = (
    ("1D", 86_400_000), ("1W", 604_800_000), ("1M", 2_629_800_000), ("6M", 15_778_800_000),
    ("1Y", 31_557_600_000), ("5Y", 157_788_000_000),
)  # fmt: skip

_EMPTY: Final = "The run has no rows: there is nothing to show but how it was made."


def run_page(result: BacktestResult, trials: "Trials | None" = None) -> str:
    """Return the page of one run.

    Args:
        trials: the search that the run was chosen from, so that its luck can be discounted.
    """
    findings = examine(result)
    data = charts.of_run(result) if len(result.ts_ns) else charts.ChartData((0, 60_000))
    sections = {
        "Overview": _overview(result, findings, data),
        "Prices and trades": _prices(result, data),
        "Returns": _returns(result, data),
        "Risk": _risk(result, data),
        "Trades": _trades(result),
        "Breakdown": _breakdown(result),
        "Luck or skill": _luck(result, trials),
        "How it was made": _made(result),
    }
    return page(
        title=f"{result.manifest.strategy} · backtest",
        heading=_heading(result),
        sections=sections,
        data=data,
        footer=f"Alphintra {result.manifest.engine_version} · all times UTC · a backtest is a "
        "model of the past, not a promise.",
    )


def describe(result: BacktestResult) -> str:
    """Return in a line what was run on what, and when."""
    frames = sorted({data.timeframe for data in result.manifest.datasets if data.timeframe})
    names = ", ".join(result.symbols[:6]) + (" …" if len(result.symbols) > 6 else "")
    parts = [names, "/".join(frames)]
    if len(result.ts_ns):
        figures = result.metrics
        parts.append(f"{day(figures['start_date'])} to {day(figures['end_date'])}")
    parameters = ", ".join(f"{name} {value}" for name, value in result.manifest.parameters.items())
    return " · ".join(part for part in (*parts, parameters) if part)


def finding_html(finding: Finding) -> str:
    """Return a finding as the page shows it."""
    return (
        f'<div class="finding {finding.severity}"><span class="badge">{finding.severity}</span>'
        f'<div><p>{safe(finding.evidence)}</p><p class="advice">{safe(finding.advice)} '
        f"<code>{safe(finding.code)}</code></p></div></div>"
    )


def _heading(result: BacktestResult) -> str:
    figures = result.metrics
    cards = (
        ("Total return", percent(figures["total_return"], sign=True), tone(figures["total_return"]),
         f"buy and hold {percent(figures['benchmark_return'], 1, sign=True)}"),
        ("Return per year", percent(figures["cagr"], sign=True), tone(figures["cagr"]),
         f"volatility {percent(figures['volatility'], 1)}"),
        ("Deepest drawdown", percent(figures["max_drawdown"]), tone(figures["max_drawdown"]),
         f"buy and hold {percent(figures['benchmark_max_drawdown'], 1)}"),
        ("Sharpe ratio", ratio(figures["sharpe_ratio"]), "",
         f"buy and hold {ratio(figures['benchmark_sharpe_ratio'])}"),
        ("Final capital", money(figures["final_capital"], 0), "",
         f"from {money(figures['initial_capital'], 0)}"),
        ("Trades", count(figures["total_trades"]), "",
         f"{percent(figures['win_rate'], 1)} won"),
        ("Profit factor", ratio(figures["profit_factor"]), "",
         f"expectancy {money(figures['expectancy'], 0)}"),
        ("Costs", money(figures["total_fees"] + figures["total_slippage"], 0), "",
         f"{percent(figures['cost_ratio'], 3)} of what was traded"),
    )  # fmt: skip
    boxes = "".join(
        f'<div class="card"><div class="label">{safe(label)}</div>'
        f'<div class="number {style}">{safe(number)}</div>'
        f'<div class="beside">{safe(beside)}</div></div>'
        for label, number, style, beside in cards
    )
    return (
        f"<h1>{safe(result.manifest.strategy)}</h1>"
        f'<p class="lead">{safe(describe(result))}</p><div class="cards">{boxes}</div>'
    )


def _overview(result: BacktestResult, findings: Sequence[Finding], data: charts.ChartData) -> str:
    if findings:
        seen = "".join(map(finding_html, findings))
    else:
        seen = '<div class="panel fine">No rule of the check-up found anything suspicious.</div>'
    notes = "".join(
        finding_html(
            Finding(code=note.code, severity=Severity.NOTE, evidence=note.message, advice="")
        )
        for note in other_warnings(result, findings)
    )
    if not len(result.ts_ns):
        return f"{seen}{notes}{panel(safe(_EMPTY))}"
    return (
        f"{spans(data)}{_moving(data, 'equity', 'Equity', log=True)}"
        f"{_moving(data, 'drawdown', 'Drawdown')}"
        f'<h3 class="bar">Check-up</h3>{seen}{notes}'
    )


def spans(data: charts.ChartData) -> str:
    """Return the buttons that choose the time that all charts show."""
    length = data.view[1] - data.view[0]
    buttons = "".join(
        f'<button type="button" data-span="{span}" aria-pressed="false">{name}</button>'
        for name, span in _SPANS
        if span < length
    )
    return (
        '<div class="bar screen"><p class="lead">Drag to move, double-click for everything; click '
        "a chart and use the wheel, or ctrl and the wheel, to zoom.</p>"
        f'<div class="chips">{buttons}<button type="button" data-span="0" aria-pressed="true">All'
        "</button></div></div>"
    )


def _moving(data: charts.ChartData, name: str, title: str, *, note: str = "", **more: Any) -> str:
    """Return the place of a chart, or nothing when there is none of this name."""
    found = [chart for chart in data.charts if chart["id"] == name]
    return moving(found[0], title, note=note, **more) if found else ""


def _prices(result: BacktestResult, data: charts.ChartData) -> str:
    symbols = charts.charted_symbols(result) if len(result.ts_ns) else []
    if not symbols:
        return ""
    picker = ""
    if len(symbols) > 1:
        options = "".join(f"<option>{safe(name)}</option>" for name in symbols)
        picker = (
            '<div class="bar screen"><label for="symbol">Symbol</label>'
            f'<select id="symbol" class="quiet">{options}</select></div>'
        )
    places = "".join(
        _moving(
            data,
            f"price-{number}",
            symbol,
            note=_markers_note(result, symbol, len(symbols)),
            symbol=symbol,
            hidden=number > 0,
        )
        for number, symbol in enumerate(symbols)
    )
    return picker + places + _moving(data, "exposure", "Exposure", note="gross, of equity")


def _markers_note(result: BacktestResult, symbol: str, symbols: int) -> str:
    """Return what the marks mean, and which of very many trades are there."""
    number = int(np.sum(result.trades["symbol"] == result.symbols.index(symbol)))
    share = charts.MAX_TRADES // symbols
    few = f"; the {share:,} largest of {number:,} trades" if number > share else ""
    return f"▲ long and ▼ short entries, ○ exits; green lines won, red ones lost{few}"


def _returns(result: BacktestResult, data: charts.ChartData) -> str:
    if not len(result.ts_ns):
        return ""
    figures = result.metrics
    _, returns, _ = metrics.daily_returns(result)
    yearly = figures["yearly_returns"]
    years = svg.columns(
        list(yearly),
        [np.nan if value is None else value for value in yearly.values()],
        title="Return of each year",
        text=lambda value: percent(value, 0),
    )
    return (
        tables.months(figures)
        + '<div class="two">'
        + still("Return of each year", years)
        + still("Daily returns", distribution(returns), note="how often; tails in the last bars")
        + "</div>"
        + f'<div class="two">{tables.figures(figures, "Growth", "Ratios")}</div>'
    )


def distribution(
    returns: Floats, *, colours: Mapping[str, str] | None = None, width: float = 520.0
) -> str:
    """Return the histogram of daily returns, with the mean and the tail marked."""
    active = returns[np.isfinite(returns) & (returns != 0.0)]
    marks = {
        "5 % tail": metrics.value_at_risk(returns),
        "mean": float(np.mean(returns)) if len(returns) else np.nan,
    }
    return svg.histogram(
        active,
        title="Distribution of daily returns",
        text=lambda value: percent(value, 1),
        rules=marks,
        colours=colours,
        width=width,
    )


def _risk(result: BacktestResult, data: charts.ChartData) -> str:
    if not len(result.ts_ns):
        return ""
    days = result.metrics["days"]
    note = f"over {charts.rolling_window(days)} days"
    return (
        _moving(data, "rolling-sharpe", "Rolling Sharpe and Sortino", note=note)
        + _moving(data, "rolling-volatility", "Rolling volatility", note=note)
        + _moving(data, "rolling-beta", "Rolling beta", note=note)
        + '<div class="two"><div>'
        + tables.figures(result.metrics, "Risk")
        + f"</div><div>{tables.drawdowns(result.metrics)}</div></div>"
    )


def _trades(result: BacktestResult) -> str:
    if not len(result.trades):
        return panel("There were no trades.")
    scatters = "".join(
        still(title, drawing, note=note) for title, drawing, note in trade_scatters(result)
    )
    figures = tables.figures(result.metrics, "Trades", "Runs and time", "Costs and orders")
    return (
        f'<div class="three">{scatters}</div><div class="three">{figures}</div>'
        f"{tables.trades(result)}"
    )


def trade_scatters(
    result: BacktestResult, *, colours: Mapping[str, str] | None = None, width: float = 400.0
) -> list[tuple[str, str, str]]:
    """Return `(title, drawing, note)` of the trades over time, by MAE and by MFE."""
    trades = result.trades
    if len(trades) > MAX_DOTS:
        largest = np.argpartition(-np.abs(trades["pnl"]), MAX_DOTS)[:MAX_DOTS]
        trades = trades[np.sort(largest)]
    tips = [
        f"{result.symbols[trade['symbol']]} {moment(int(trade['entry_ns']))}: "
        f"{percent(trade['return'])}, {money(trade['pnl'])}"
        for trade in trades
    ]
    exits = trades["exit_ns"].astype(np.float64)
    views = (
        ("Each trade", exits, "return by time of the exit"),
        ("Worst while open (MAE)", trades["mae"], "return by the worst price seen"),
        ("Best while open (MFE)", trades["mfe"], "return by the best price seen"),
    )
    drawings = []
    for title, across, note in views:
        points = svg.Points(x=across, y=trades["return"], gains=trades["pnl"] >= 0.0, tips=tips)
        drawing = svg.scatter(
            points,
            title=f"{title}: {note}",
            x_text=lambda value: percent(value, 0),
            y_text=lambda value: percent(value, 0),
            x_labels=time_labels(exits) if across is exits else None,
            colours=colours,
            width=width,
        )
        drawings.append((title, drawing, note))
    return drawings


def time_labels(ts_ns: Floats, count: int = 2) -> list[tuple[float, str]]:
    """Return where on a still chart which date is written: months, or days in a short time."""
    low, high = float(ts_ns.min()), float(ts_ns.max())
    places = np.linspace(low, high, count + 2)[1:-1] if high > low else np.array([low])
    long = high - low > 1.5 * YEAR_NS
    return [(float(ns), moment(int(ns))[: 7 if long else 10]) for ns in places]


def _breakdown(result: BacktestResult) -> str:
    content = tables.breakdowns(result)
    return f'<div class="two">{content}</div>' if content else ""


def luck_figures(told: "Credibility") -> dict[str, str]:
    """Return what the search behind a result says of it, by name."""
    return {
        "Trials behind this result": count(told.trials_counted),
        "Deflated Sharpe ratio": percent(told.deflated_sharpe_ratio),
        "Sharpe ratio that luck shows": ratio(told.sharpe_of_luck),
        "Probability of overfitting": percent(told.probability_of_overfitting),
        "Probability of loss after it": percent(told.probability_of_loss),
        "Reality check, p-value": ratio(told.reality_check, 3),
    }


def _credibility(result: BacktestResult, trials: "Trials") -> "Credibility":
    from alphintra.research.search.credibility import assess
    from alphintra.research.search.trials import Trial

    days, returns, _ = metrics.daily_returns(result)
    chosen = Trial(
        number=0,
        parameters=result.manifest.parameters,
        metrics={"total_trades": len(result.trades)},
        days=days,
        returns=returns,
    )
    return assess(trials, chosen, periods_per_year=metrics.periods_per_year(days))


def _luck(result: BacktestResult, trials: "Trials | None") -> str:
    figures = result.metrics
    if trials is None:
        tried = {
            "Trials behind this result": "not known",
            "Deflated Sharpe ratio": NOTHING,
        }
        note = (
            "If these parameters were chosen after trying others, the figures flatter. Search with "
            "alphintra optimize: it counts every trial."
        )
    else:
        tried = luck_figures(_credibility(result, trials))
        note = (
            "The deflated Sharpe ratio is the probability that the true Sharpe ratio is above 0, "
            "after the luck of choosing the best of so many trials."
        )
    chance = tables.figures(figures, "Luck or skill")
    chosen = panel(facts(tried, title="The search"), f'<p class="advice lead">{safe(note)}</p>')
    return f'<div class="two"><div>{chance}</div><div>{chosen}</div></div>'


def _made(result: BacktestResult) -> str:
    stated = "".join(f"<li>{safe(text)}</li>" for text in result.manifest.assumptions)
    assumptions = panel(
        "<h3>Assumptions</h3>",
        f'<ul class="plain">{stated}</ul>' if stated else f"<p>{NOTHING}</p>",
    )
    logs = ""
    if result.logs:
        lines = "\n".join(safe(line) for line in result.logs[:200])
        logs = panel(f'<h3>Log</h3><pre class="mono scroll">{lines}</pre>')
    return assumptions + tables.manifest(result) + logs
