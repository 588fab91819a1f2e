"""Reports: one page to look at, a PDF to send, JSON for programs.

`html` of several results is their comparison. Nothing here needs a network, and what a report is
made of is loaded only when one is asked for.
"""

import json as _json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alphintra.research.reports.errors import ReportFormatUnknown

if TYPE_CHECKING:
    from alphintra.research.result import BacktestResult
    from alphintra.research.search.credibility import Credibility
    from alphintra.research.search.trials import Trials

__all__ = ["html", "json", "pdf", "search_html", "write_report"]


def html(
    results: "BacktestResult | Sequence[BacktestResult]", *, trials: "Trials | None" = None
) -> str:
    """Return a page of one result, or the comparison of several.

    Args:
        trials: the search that the one result was chosen from.
    """
    from alphintra.research.reports.comparison import comparison_page
    from alphintra.research.reports.run_page import run_page
    from alphintra.research.result import BacktestResult

    if isinstance(results, BacktestResult):
        return run_page(results, trials)
    if len(results) == 1:
        return run_page(results[0], trials)
    return comparison_page(results)


def json(result: "BacktestResult", *, series: bool = True) -> str:
    """Return the result as JSON, with the findings of the check-up; no NaN in it.

    Args:
        series: with the equity curve and the trades; without, only figures.
    """
    from dataclasses import asdict

    from alphintra.research.doctor import examine, other_warnings

    document = result.to_dict(series=series)
    findings = examine(result)
    document["findings"] = [finding.to_dict() for finding in findings]
    document["warnings"] = [asdict(warning) for warning in other_warnings(result, findings)]
    return _json.dumps(document, ensure_ascii=False, allow_nan=False)


def pdf(result: "BacktestResult") -> bytes:
    """Return two or more pages to print or to send."""
    from alphintra.research.reports.document import document

    return document(result)


def search_html(
    trials: "Trials",
    *,
    objective: str = "sharpe_ratio",
    title: str = "Search",
    credibility: "Credibility | None" = None,
) -> str:
    """Return the page of a search: heat maps, all trials, and what luck explains.

    Args:
        objective: the figure that was searched for, as `Objective.parse` reads it.
        credibility: what was worked out of the best trial already.
    """
    from alphintra.research.reports.search_page import search_page

    return search_page(trials, objective=objective, title=title, credibility=credibility)


def write_report(results: "BacktestResult | Sequence[BacktestResult]", path: Path | str) -> Path:
    """Write a report; the file's ending says in which form. Several results need HTML.

    Raises:
        ReportFormatUnknown: the ending is none of .html, .pdf, .json, or there are several results
            and it is not .html.
    """
    from alphintra.research.result import BacktestResult

    target = Path(path)
    several = [results] if isinstance(results, BacktestResult) else list(results)
    suffix = target.suffix.lower()
    if suffix in {".html", ".htm"}:
        content = html(several).encode()
    elif suffix in {".pdf", ".json"} and len(several) > 1:
        raise ReportFormatUnknown("several results are compared on a page: name a file .html")
    elif suffix == ".pdf":
        content = pdf(several[0])
    elif suffix == ".json":
        content = json(several[0]).encode()
    else:
        raise ReportFormatUnknown(
            f"{target.name}: a report ends in .html, .pdf or .json", suffix=suffix
        )
    # Whole or not at all: a reader never sees half of a page.
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_bytes(content)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target
