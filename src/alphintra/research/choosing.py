"""In which form a job's strategy runs: as it is, or what is made of blocks compiled."""

from collections.abc import Sequence
from dataclasses import dataclass

from alphintra.engine.series import Bars, Series
from alphintra.research.jobfile import Job
from alphintra.research.loading import AnyStrategy, load_strategy
from alphintra.sdk.source import load_source
from alphintra.strategies.blocks import (
    Graph,
    GraphRefused,
    compile_graph,
    graph_from,
    python_of,
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What runs; of blocks that do not run compiled also why."""

    strategy: AnyStrategy
    reason: str = ""


def chosen_form(job: Job, series: Sequence[Series]) -> Chosen:
    """Return what a job runs over its data.

    A graph runs compiled, which gives the orders of its Python many times faster. Otherwise a text
    of a user's is run here.

    Raises:
        StrategyNotFound, StrategyRefused: there is none in the text.
    """
    if job.source is None:
        return Chosen(load_strategy(job.strategy))
    if job.blocks is None:
        return Chosen(load_source(job.source))
    try:
        graph = graph_from(job.blocks)
    except GraphRefused as refusal:
        reason = f"this release does not take the graph: {refusal.detail}"
    else:
        reason = _hindrance(graph, job.source, series)
        if not reason:
            return Chosen(compile_graph(graph))
    return Chosen(load_source(job.source), reason)


def _hindrance(graph: Graph, source: str, series: Sequence[Series]) -> str:
    """Return why a graph does not run compiled; empty: it does."""
    # What is deployed is the version's Python, and a backtest has to show what that does.
    if python_of(graph) != source:
        return "this release makes other Python of the blocks than the version has"
    if not all(isinstance(part, Bars) for part in series):
        return "the data has quotes or prints, and not bars only"
    return ""
