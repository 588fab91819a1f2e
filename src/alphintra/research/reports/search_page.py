"""The page of a search: where the good parameters are, and how much of it is luck."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.research.doctor import Finding, Severity
from alphintra.research.metrics import periods_per_year
from alphintra.research.reports import svg
from alphintra.research.reports.charts import ChartData
from alphintra.research.reports.frame import page
from alphintra.research.reports.markup import Cell, Column, facts, panel, still, table
from alphintra.research.reports.run_page import finding_html, luck_figures
from alphintra.research.reports.wording import NOTHING, count, percent, ratio, safe
from alphintra.research.search.credibility import Credibility, assess
from alphintra.research.search.trials import Objective, Trial, Trials

Floats = NDArray[np.float64]

#: Rows of the table of trials, heat maps, and steps of one of their axes.
MAX_TRIAL_ROWS: Final = 500
MAX_MAPS: Final = 6
MAX_STEPS: Final = 40

_SHOWN: Final = ("total_return", "sharpe_ratio", "max_drawdown", "total_trades", "win_rate",
                 "profit_factor")  # fmt: skip


def search_page(
    trials: Trials, *, objective: str, title: str, credibility: Credibility | None
) -> str:
    """Return the page of a search.

    Args:
        objective: the figure that was searched for; a minus before it means that less is better.
        credibility: what is thought of the best trial; None to work it out.
    """
    wanted = Objective.parse(objective)
    measured = [trial for trial in trials if np.isfinite(wanted.score(trial))]
    best = trials.best(wanted)
    sections = {
        "Overview": _best(best, trials, wanted, credibility),
        "Heat maps": _maps(measured, wanted),
        "Distribution": _distribution(measured, wanted),
        "Trials": _trials(measured, wanted),
        "Failures": _failures(trials.failed()),
    }
    return page(
        title=title,
        heading=f'<h1>{safe(title)}</h1><p class="lead">{safe(_summary(trials, wanted))}</p>',
        sections=sections,
        data=ChartData((0, 60_000)),
        footer="Alphintra · every trial counts: the best of many looks better than it is.",
    )


def _summary(trials: Trials, wanted: Objective) -> str:
    failed = len(trials.failed())
    parts = [
        f"{trials.counted:,} trials",
        f"{'highest' if wanted.maximise else 'lowest'} {_words(wanted.metric)}",
    ]
    return " · ".join(parts + ([f"{failed:,} failed"] if failed else []))


def _best(
    best: Trial | None, trials: Trials, wanted: Objective, credibility: Credibility | None
) -> str:
    if best is None:
        return panel("No trial counts: all failed or broke a rule.")
    told = credibility or assess(trials, best, periods_per_year=periods_per_year(best.days))
    chosen = {name: str(value) for name, value in best.parameters.items()}
    figures = {_words(name): _text(name, best.metrics.get(name)) for name in _names(wanted)}
    note = (
        "The deflated Sharpe ratio is the probability that the best trial is better than luck, "
        "after so many trials. The probability of overfitting is how often the best of one half of "
        "the time is below the middle of all trials in the other half: 50 % is pure chance."
    )
    warnings = "".join(
        finding_html(
            Finding(
                code=warning.code, severity=Severity.WARNING, evidence=warning.message, advice=""
            )
        )
        for warning in told.warnings
    )
    return (
        f'{warnings}<div class="three">{panel(facts(chosen, title="Best parameters"))}'
        f"{panel(facts(figures, title='Its figures'))}"
        f"{panel(facts(luck_figures(told), title='Luck or skill'))}"
        f'</div><p class="lead">{safe(note)}</p>'
    )


def _maps(trials: Sequence[Trial], wanted: Objective) -> str:
    """Return a heat map for each pair of parameters that varied."""
    values: dict[str, list[Any]] = {}
    for trial in trials:
        for name, value in trial.parameters.items():
            values.setdefault(name, []).append(value)
    varied = [name for name, seen in values.items() if len(set(map(str, seen))) > 1]
    maps = [_heat_map(trials, wanted, x, y) for x, y in combinations(varied, 2)]
    if len(varied) == 1:
        maps = [_line(trials, wanted, varied[0])]
    note = (
        '<p class="lead">Other parameters at their best. A plateau is worth more than a peak.</p>'
    )
    return note + "".join(maps[:MAX_MAPS]) if maps else ""


def _heat_map(trials: Sequence[Trial], wanted: Objective, x: str, y: str) -> str:
    columns, rows = _Axis(trials, x), _Axis(trials, y)
    grid = np.full((len(rows.labels), len(columns.labels)), -np.inf)
    for trial in trials:
        place = rows.place(trial.parameters[y]), columns.place(trial.parameters[x])
        grid[place] = max(grid[place], wanted.score(trial))
    shown = np.where(np.isfinite(grid), grid if wanted.maximise else -grid, np.nan)
    known = grid[np.isfinite(grid)]
    low, high = float(known.min()), float(known.max())
    body = ""
    for row, label in enumerate(rows.labels):
        cells = ""
        for column in range(len(columns.labels)):
            score = grid[row, column]
            if not np.isfinite(score):
                cells += "<td></td>"
                continue
            share = round((score - low) / ((high - low) or 1.0) * 72 + 4)
            text = _text(wanted.metric, float(shown[row, column]))
            style = "best" if score == high else ""
            cells += (
                f'<td class="{style}" style="background:color-mix(in srgb, var(--s0) {share}%, '
                f'var(--card))" title="{safe(x)} {safe(columns.labels[column])}, {safe(y)} '
                f'{safe(label)}">{safe(text)}</td>'
            )
        body += f'<tr><th scope="row">{safe(label)}</th>{cells}</tr>'
    head = "".join(f'<th scope="col">{safe(label)}</th>' for label in columns.labels)
    name = f"{_words(wanted.metric)} by {y} (down) and {x} (across)"
    return panel(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{safe(name)}">'
        f'<table class="heat"><caption>{safe(name)}</caption><thead><tr><th></th>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>"
    )


class _Axis:
    """The steps of one parameter: its values, or as many ranges of them as fit."""

    def __init__(self, trials: Sequence[Trial], name: str) -> None:
        seen = {trial.parameters[name] for trial in trials}
        self._edges: Floats | None = None
        numbers = all(isinstance(value, int | float) for value in seen)
        if numbers and len(seen) > MAX_STEPS:
            self._edges = np.linspace(min(seen), max(seen), 21)
            self.labels = [f"{left:.4g}…" for left in self._edges[:-1]]
        else:
            ordered = sorted(seen) if numbers else sorted(seen, key=str)
            self._rows = {value: row for row, value in enumerate(ordered[:MAX_STEPS])}
            self.labels = [f"{value:g}" if numbers else str(value) for value in self._rows]

    def place(self, value: Any) -> int:
        """Return the step that a value is in; values beyond the last step are in it."""
        if self._edges is None:
            return self._rows.get(value, len(self.labels) - 1)
        return min(int(np.searchsorted(self._edges, value, side="right")) - 1, len(self.labels) - 1)


def _line(trials: Sequence[Trial], wanted: Objective, name: str) -> str:
    axis = _Axis(trials, name)
    best = np.full(len(axis.labels), -np.inf)
    for trial in trials:
        row = axis.place(trial.parameters[name])
        best[row] = max(best[row], wanted.score(trial))
    values = np.where(np.isfinite(best), best if wanted.maximise else -best, np.nan)
    drawing = svg.columns(
        axis.labels,
        values.tolist(),
        title=f"{_words(wanted.metric)} by {name}",
        text=lambda value: _text(wanted.metric, value),
        width=1080.0,
    )
    return still(f"{_words(wanted.metric).capitalize()} by {name}", drawing)


def _distribution(trials: Sequence[Trial], wanted: Objective) -> str:
    if len(trials) < 5:
        return ""
    values = np.array([trial.metrics[wanted.metric] for trial in trials], dtype=np.float64)
    drawing = svg.histogram(
        values,
        title=f"Distribution of {_words(wanted.metric)} over all trials",
        text=lambda value: _text(wanted.metric, value),
        rules={"middle": float(np.median(values))},
        width=1080.0,
    )
    note = "When the best stands alone far from the rest, it is luck more often than skill."
    return still(f"{_words(wanted.metric).capitalize()} of all trials", drawing, note=note)


def _trials(trials: Sequence[Trial], wanted: Objective) -> str:
    ranked = sorted(trials, key=wanted.score, reverse=True)[:MAX_TRIAL_ROWS]
    if not ranked:
        return ""
    names = list(dict.fromkeys(name for trial in ranked for name in trial.parameters))
    figures = _names(wanted)
    columns = [Column("Trial", "text"), *map(Column, names), *(Column(_words(n)) for n in figures)]
    rows: list[list[Cell | str]] = [
        [
            Cell(str(trial.number), trial.number),
            *(_value(trial.parameters.get(name)) for name in names),
            *(
                Cell(_text(name, trial.metrics.get(name)), trial.metrics.get(name) or 0.0)
                for name in figures
            ),
        ]
        for trial in ranked
    ]
    caption = "All trials" if len(ranked) == len(trials) else f"The best {len(ranked):,} trials"
    return panel(table(columns, rows, caption=caption, sortable=True, tall=True))


def _failures(failed: Sequence[Trial]) -> str:
    if not failed:
        return ""
    rows: list[list[Cell | str]] = [
        [str(trial.number), _parameters(trial.parameters), trial.failure or NOTHING]
        for trial in failed[:50]
    ]
    columns = [Column("Trial", "text"), Column("Parameters", "text"), Column("Why", "text wrap")]
    return panel(table(columns, rows, caption=f"{len(failed):,} trials failed"))


def _names(wanted: Objective) -> list[str]:
    return list(dict.fromkeys((wanted.metric, *_SHOWN)))


def _parameters(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _value(value: Any) -> Cell | str:
    return Cell(f"{value:g}", value) if isinstance(value, int | float) else str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")


_FRACTIONS: Final = frozenset({
    "total_return", "cagr", "max_drawdown", "win_rate", "volatility", "exposure", "alpha",
    "probabilistic_sharpe_ratio", "ulcer_index",
})  # fmt: skip


def _text(name: str, value: float | None) -> str:
    if name in _FRACTIONS:
        return percent(value, 1)
    return count(value) if name.startswith("total_") else ratio(value)
