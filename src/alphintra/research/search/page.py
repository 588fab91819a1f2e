"""Pages of searches, walk-forwards and simulations, made of the pieces that all reports share."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.research.reports import search_html, svg
from alphintra.research.reports.charts import ChartData
from alphintra.research.reports.frame import page
from alphintra.research.reports.markup import Cell, Column, facts, panel, still, table
from alphintra.research.reports.wording import NOTHING, money, safe
from alphintra.research.result import iso
from alphintra.research.search.errors import SearchRefused

if TYPE_CHECKING:
    from alphintra.research.search.montecarlo import MonteCarlo
    from alphintra.research.search.optimisation import Search
    from alphintra.research.search.walkforward import WalkForward

Floats = NDArray[np.float64]

_POINTS_MOST: Final = 1_000
_WIDTH: Final = 1080.0


def write_search(search: "Search", path: Path | str) -> Path:
    """Write a search as .html or .json; the file is there whole or not at all.

    Raises:
        SearchRefused: another ending.
    """
    return _write(path, lambda: search_page(search), search.to_dict)


def write_walk_forward(found: "WalkForward", path: Path | str) -> Path:
    """Write a walk-forward as `write_search` does."""
    return _write(path, lambda: _walk_page(found), found.to_dict)


def write_monte_carlo(found: "MonteCarlo", path: Path | str) -> Path:
    """Write a simulation as `write_search` does."""
    return _write(path, lambda: _monte_carlo_page(found), found.to_dict)


def _write(path: Path | str, html: Callable[[], str], values: Callable[[], dict[str, Any]]) -> Path:
    target = Path(path)
    if target.suffix.lower() == ".html":
        text = html()
    elif target.suffix.lower() == ".json":
        text = json.dumps(values(), indent=1, allow_nan=False)
    else:
        raise SearchRefused(f"{target.name}: a report of a search ends in .html or .json")
    with NamedTemporaryFile("w", dir=target.parent, suffix=".part", delete=False) as part:
        written = Path(part.name)
        try:
            part.write(text)
            part.close()
            written.chmod(0o644)
            written.replace(target)
        except BaseException:
            written.unlink(missing_ok=True)
            raise
    return target


def search_page(search: "Search") -> str:
    """Return a page with the heat map and the trials."""
    first = search.objectives[0]
    objective = first.metric if first.maximise else f"-{first.metric}"
    return search_html(
        search.trials,
        objective=objective,
        title=f"Search: {search.strategy}",
        credibility=search.credibility,
    )


def _walk_page(found: "WalkForward") -> str:
    kind = "anchored" if found.anchored else "rolling"
    title = f"Walk-forward: {found.strategy}"
    lead = f"{len(found.steps)} {kind} windows · {found.trials_counted:,} trials"
    note = (
        "Efficiency is the yearly return out of sample as a share of that in sample: near 100 % "
        "when what is found holds, near 0 or below when it does not."
    )
    shown = {name.replace("_", " "): cell(value) for name, value in found.metrics.items()}
    shown["efficiency"] = NOTHING if found.efficiency is None else f"{found.efficiency:.0%}"
    return page(
        title=title,
        heading=f'<h1>{safe(title)}</h1><p class="lead">{safe(lead)}</p>',
        sections={
            "Overview": panel(facts(shown, title="Out of sample")) + f"<p>{safe(note)}</p>",
            "Equity": _curves("Equity out of sample", [found.equity], found.ts_ns),
            "Windows": _windows(found),
        },
        data=ChartData((0, 60_000)),
        footer="Alphintra · every window was traded with what was known before it.",
    )


def _windows(found: "WalkForward") -> str:
    metric = found.objective.metric.replace("_", " ")
    columns = [
        Column("Searched", "text"),
        Column("Traded", "text"),
        Column("Parameters", "text"),
        Column(f"{metric} in sample"),
        Column("out of sample"),
        Column("Trades"),
    ]
    rows: list[list[Cell | str]] = []
    for step in found.steps:
        row = step.to_dict()
        chosen = row["parameters"] or {}
        rows.append(
            [
                f"{row['train_start'][:10]} – {row['train_end'][:10]}",
                f"{row['test_start'][:10]} – {row['test_end'][:10]}",
                ", ".join(f"{name} {cell(value)}" for name, value in chosen.items()) or NOTHING,
                cell(row["in_sample"]),
                cell(row["out_of_sample"]),
                cell(row["total_trades"]),
            ]
        )
    return panel(table(columns, rows, caption="Windows"))


def _monte_carlo_page(found: "MonteCarlo") -> str:
    from alphintra.research.search.montecarlo import PERCENTILES, summary_rows

    lead = f"{found.paths:,} paths by {found.method}, seed {found.seed}"
    shares = ", ".join(f"{share} %" for share in PERCENTILES)
    shown = {name: cell(value) for name, value in summary_rows(found)}
    return page(
        title="Monte Carlo",
        heading=f'<h1>Monte Carlo</h1><p class="lead">{safe(lead)}</p>',
        sections={
            "Overview": panel(facts(shown, title="All paths")),
            "Equity": _curves(f"Equity at {shares} of the paths", list(found.fan), None),
        },
        data=ChartData((0, 60_000)),
        footer="Alphintra · drawn from what happened; another market is not among the paths.",
    )


def _curves(title: str, curves: Sequence[Floats], ts_ns: NDArray[np.int64] | None) -> str:
    """Draw lines over time, or over their places."""
    length = min((len(curve) for curve in curves), default=0)
    if length < 2:
        return panel("There is nothing to draw.")
    rows = np.unique(np.linspace(0, length - 1, min(length, _POINTS_MOST)).astype(np.int64))
    xs = (rows if ts_ns is None else ts_ns[rows]).astype(np.float64)
    low, high = (float(bound([bound(curve) for curve in curves])) for bound in (np.min, np.max))
    margin = (high - low or 1.0) * 0.05
    drawing = svg.Drawing(
        x=(float(xs[0]), float(xs[-1])),
        y=(low - margin, high + margin),
        title=title,
        width=_WIDTH,
        height=320.0,
        colours=svg.PRINT_COLOURS,
    )
    places = xs[np.linspace(0, len(xs) - 1, 6).astype(np.int64)].tolist()
    labels = [
        (place, f"{place:.0f}" if ts_ns is None else iso(int(place))[:10]) for place in places
    ]
    drawing.axes(y_text=lambda value: money(value, 0), x_labels=labels[1:-1])
    for curve in curves:
        drawing.line(xs, curve[rows], kind="line s0")
    return still(title, drawing.svg())


def cell(value: Any) -> str:
    """Return a value as a person reads it."""
    if value is None:
        return NOTHING
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 or value == int(value) else f"{value:.4g}"
    return str(value)
