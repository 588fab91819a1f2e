"""The report on paper: a PDF of a few pages, set by Typst, with the drawings of `svg`.

Nothing of a user's text becomes Typst markup: all of it is handed over as data.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.research import metrics
from alphintra.research.doctor import examine, other_warnings
from alphintra.research.reports import svg, tables
from alphintra.research.reports.run_page import (
    describe,
    distribution,
    time_labels,
    trade_scatters,
)
from alphintra.research.reports.thinning import rows_to_keep
from alphintra.research.reports.wording import day, duration, money, percent
from alphintra.research.result import BacktestResult

Floats = NDArray[np.float64]

#: Points of a line on paper: more than a printer shows in its width.
_POINTS: Final = 1_500
_WIDTH: Final = 640.0

#: Which figures stand below each other in the three columns.
_COLUMNS: Final = (
    ("Growth", "Luck or skill", "Costs and orders"),
    ("Risk", "Ratios"),
    ("Trades", "Runs and time"),
)


def document(result: BacktestResult) -> bytes:
    """Return the report of one run as a PDF."""
    import typst

    # Typst reads files only below its root, so the folder is all that it can see.
    with TemporaryDirectory(prefix="alphintra-report-") as folder:
        root = Path(folder)
        drawings = _drawings(result)
        for name, drawing in drawings.items():
            (root / f"{name}.svg").write_text(drawing, encoding="utf-8")
        content = _content(result, list(drawings))
        (root / "report.json").write_text(json.dumps(content), encoding="utf-8")
        template = files(__package__).joinpath("report.typ").read_bytes()
        (root / "report.typ").write_bytes(template)
        made: bytes = typst.compile(str(root / "report.typ"), root=str(root))
        return made


def _drawings(result: BacktestResult) -> dict[str, str]:
    if not len(result.ts_ns):
        return {}
    below = metrics.underwater(result.equity, result.initial_capital)
    rows = rows_to_keep(result.equity, below, limit=_POINTS)
    times = result.ts_ns[rows].astype(np.float64)
    drawings = {
        "equity": _lines(
            times, {"line s1": result.benchmark[rows], "line s0": result.equity[rows]}, height=230.0
        ),
        "drawdown": _fall(times, below[rows]),
        "years": _years(result.metrics["yearly_returns"]),
        "distribution": distribution(
            metrics.daily_returns(result)[1], colours=svg.PRINT_COLOURS, width=380.0
        ),
    }
    if len(result.trades):
        scatters = trade_scatters(result, colours=svg.PRINT_COLOURS, width=270.0)
        drawings |= {f"scatter{row}": drawing for row, (_, drawing, _) in enumerate(scatters)}
    return drawings


def _lines(times: Floats, lines: Mapping[str, Floats], *, height: float) -> str:
    values = np.concatenate(list(lines.values()))
    values = values[np.isfinite(values)]
    margin = (float(values.max() - values.min()) or 1.0) * 0.05
    drawing = svg.Drawing(
        x=(float(times[0]), float(times[-1])),
        y=(float(values.min()) - margin, float(values.max()) + margin),
        title="Equity",
        width=_WIDTH,
        height=height,
        colours=svg.PRINT_COLOURS,
    )
    drawing.axes(y_text=lambda value: money(value, 0), x_labels=time_labels(times, 6))
    for kind, line in lines.items():
        drawing.line(times, line, kind=kind)
    return drawing.svg()


def _fall(times: Floats, below: Floats) -> str:
    drawing = svg.Drawing(
        x=(float(times[0]), float(times[-1])),
        y=(min(float(below.min()) * 1.05, -1e-6), 0.0),
        title="Drawdown",
        width=_WIDTH,
        height=110.0,
        colours=svg.PRINT_COLOURS,
    )
    drawing.axes(y_text=lambda value: percent(value, 0), x_labels=time_labels(times, 6), y_ticks=3)
    drawing.line(times, below, kind="line s0", filled=True)
    return drawing.svg()


def _years(yearly: Mapping[str, float | None]) -> str:
    return svg.columns(
        list(yearly),
        [np.nan if value is None else value for value in yearly.values()],
        title="Return of each year",
        text=lambda value: percent(value, 0),
        colours=svg.PRINT_COLOURS,
        width=380.0,
    )


def _content(result: BacktestResult, drawings: list[str]) -> dict[str, Any]:
    figures = result.metrics
    findings = examine(result)
    headline = ("total_return", "cagr", "max_drawdown", "sharpe_ratio",
                "final_capital", "total_trades", "win_rate", "profit_factor")  # fmt: skip
    labels = {key: (label, text) for group in tables.GROUPS.values() for key, label, text in group}
    made = result.manifest
    return {
        "title": made.strategy,
        "subtitle": describe(result),
        "headline": [[labels[key][0], labels[key][1](figures[key])] for key in headline],
        "drawings": drawings,
        "groups": [
            [
                [name, [[label, text(figures[key])] for key, label, text in tables.GROUPS[name]]]
                for name in column
            ]
            for column in _COLUMNS
        ],
        "months": _months(figures),
        "findings": [
            [str(finding.severity), finding.evidence, finding.advice]
            for finding in findings
        ]
        + [["note", warning.message, ""] for warning in other_warnings(result, findings)],
        "drawdowns": [
            [
                day(fall["peak"]), day(fall["trough"]),
                day(fall["recovery"]) if fall["recovery"] else "not yet",
                percent(fall["depth"]), money(fall["amount"], 0), duration(fall["duration_s"]),
            ]
            for fall in figures["drawdowns"]
        ],
        "assumptions": list(made.assumptions),
        "manifest": [
            ["Strategy", made.strategy],
            ["Code (SHA-256)", made.strategy_sha256],
            ["Parameters", json.dumps(dict(made.parameters), default=str)],
            ["Account", json.dumps(dict(made.account), default=str)],
            *([f"Data {data.symbol}", f"{data.name}, {data.rows:,} rows, {data.sha256}"]
              for data in made.datasets[:20]),
            ["Engine", f"{made.engine_version} ({made.engine_digest})"],
            ["Seed", str(made.seed)],
            ["Computed", f"{made.created_at:%Y-%m-%d %H:%M} UTC, {tables.computed_in(made)}"],
        ],
    }  # fmt: skip


def _months(figures: Mapping[str, Any]) -> list[list[Any]]:
    """Return a row per year: its name, `[text, value]` of each month, and the year's."""
    monthly, yearly = figures["monthly_returns"], figures["yearly_returns"]
    rows = []
    for year in yearly:
        values = [monthly.get(f"{year}-{number:02}") for number in range(1, 13)]
        cells = [["" if value is None else percent(value, 1), value or 0.0] for value in values]
        rows.append([year, cells, percent(yearly[year], 1)])
    return rows
