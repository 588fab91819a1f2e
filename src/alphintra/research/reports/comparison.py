"""Several runs on one page: the same figures side by side, the curves over each other."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from alphintra.research import metrics
from alphintra.research.doctor import examine
from alphintra.research.reports import charts, tables
from alphintra.research.reports.frame import page
from alphintra.research.reports.markup import Cell, Column, moving, panel, table
from alphintra.research.reports.run_page import describe, spans
from alphintra.research.reports.wording import percent, ratio, safe, tone
from alphintra.research.result import BacktestResult

#: Figures of which the highest is the best, and those of which the lowest is.
_MORE: Final = frozenset({
    "total_return", "cagr", "final_capital", "sharpe_ratio", "sortino_ratio", "calmar_ratio",
    "omega_ratio", "win_rate", "profit_factor", "expectancy", "payoff_ratio", "max_drawdown",
    "stability", "probabilistic_sharpe_ratio", "alpha", "information_ratio",
    "system_quality_number", "recovery_factor", "tail_ratio",
})  # fmt: skip
_LESS: Final = frozenset({
    "volatility", "downside_risk", "ulcer_index", "max_drawdown_duration_s", "total_fees",
    "p_value",
})  # fmt: skip


def comparison_page(results: Sequence[BacktestResult]) -> str:
    """Return one page for two or more runs."""
    shown = [result for result in results if len(result.ts_ns)]
    data = charts.of_runs(shown) if shown else charts.ChartData((0, 60_000))
    curves = ""
    if shown:
        curves = (
            spans(data)
            + moving(data.charts[0], "Growth of 1", log=True)
            + moving(data.charts[1], "Drawdown")
        )
    listed = "".join(
        f'<p><span class="swatch {charts.style_of(row)}"></span><strong>{row + 1} '
        f"{safe(result.manifest.strategy)}</strong> "
        f'<span class="lead">{safe(describe(result))}</span></p>'
        for row, result in enumerate(results)
    )
    return page(
        title=f"{len(results)} runs compared",
        heading=f"<h1>{len(results)} runs compared</h1>{panel(listed)}",
        sections={
            "Curves": curves,
            "Figures": panel(_figures(results)),
            "Years": panel(_years(results)),
            "How alike": panel(_correlations(shown)) if len(shown) > 1 else "",
            "Check-up": panel(_findings(results)),
        },
        data=data,
        footer="Alphintra · all times UTC · a star marks the best of a row.",
    )


def _head(results: Sequence[BacktestResult], first: str) -> list[Column]:
    names = [f"{row + 1} {result.manifest.strategy}" for row, result in enumerate(results)]
    return [Column(first, "text"), *map(Column, names)]


def _figures(results: Sequence[BacktestResult]) -> str:
    rows: list[list[Cell | str]] = []
    parameters = dict.fromkeys(name for result in results for name in result.manifest.parameters)
    for name in parameters:
        texts = [str(result.manifest.parameters.get(name, "–")) for result in results]
        rows.append([f"parameter {name}", *texts])
    for group in tables.GROUPS.values():
        for key, label, text in group:
            values = [result.metrics[key] for result in results]
            best = _best(key, values)
            cells = [
                Cell(text(value), style="best" if row == best else "")
                for row, value in enumerate(values)
            ]
            rows.append([label, *cells])
    return table(_head(results, "Figure"), rows, caption="Figures side by side")


def _best(key: str, values: Sequence[float | None]) -> int | None:
    """Return which value is the best; None when none is or all are equal."""
    known = [value for value in values if value is not None]
    if len(known) < 2 or min(known) == max(known) or key not in _MORE | _LESS:
        return None
    return values.index(max(known) if key in _MORE else min(known))


def _years(results: Sequence[BacktestResult]) -> str:
    tables_: list[Mapping[str, Any]] = [result.metrics["yearly_returns"] for result in results]
    years = sorted({year for yearly in tables_ for year in yearly})
    rows: list[list[Cell | str]] = [
        [
            year,
            *(
                Cell(percent(yearly.get(year), 1, sign=True), style=tone(yearly.get(year)))
                for yearly in tables_
            ),
        ]
        for year in years
    ]
    return table(_head(results, "Year"), rows, caption="Return of each year")


def _correlations(results: Sequence[BacktestResult]) -> str:
    """Return how alike the daily returns are, over the days that both of two runs have."""
    daily = [metrics.daily_returns(result)[:2] for result in results]
    rows: list[list[Cell | str]] = []
    for number, (days, returns) in enumerate(daily):
        cells = []
        for other_days, other in daily:
            _, mine, theirs = np.intersect1d(days, other_days, return_indices=True)
            cells.append(ratio(_correlation(returns[mine], other[theirs])))
        rows.append([f"{number + 1} {results[number].manifest.strategy}", *cells])
    return table(_head(results, "Correlation"), rows, caption="Correlation of daily returns")


def _correlation(x: Any, y: Any) -> float:
    if len(x) < 3 or np.std(x) == 0.0 or np.std(y) == 0.0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _findings(results: Sequence[BacktestResult]) -> str:
    found = [{finding.code: finding for finding in examine(result)} for result in results]
    codes = dict.fromkeys(code for findings in found for code in findings)
    rows: list[list[Cell | str]] = [
        [
            code.replace("_", " "),
            *(
                Cell(str(findings[code].severity), style="loss") if code in findings else "–"
                for findings in found
            ),
        ]
        for code in codes
    ]
    return table(_head(results, "Finding"), rows, caption="What the check-up found")
