"""Strategies to begin with: each with the data that it runs on, and what it came to there.

The results are not written by hand: `python -m alphintra.research.template_results` computes them,
and a test computes them again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final

from alphintra.strategies.errors import NoSuchTemplate
from alphintra.strategies.schemas import StrategyType
from alphintra.strategies.templates.catalogue import ENTRIES, Entry

RESULTS: Final = "results.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template: what it is, what it consists of, and what it came to."""

    name: str
    title: str
    description: str
    category: str
    type: StrategyType
    #: "demo:AAPL": daily prices that come with the product.
    datasets: tuple[str, ...]
    #: What the result was computed with, beside the defaults of a backtest.
    settings: Mapping[str, Any]
    result: Mapping[str, Any]
    code: str = ""
    blocks: dict[str, Any] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@cache
def all_templates() -> tuple[Template, ...]:
    """Return all templates, in the order in which they are shown."""
    results = json.loads(_text(RESULTS))
    return tuple(_template(entry, results.get(entry.name, {})) for entry in ENTRIES)


def template_named(name: str) -> Template:
    """Return one template.

    Raises:
        NoSuchTemplate: there is none of this name.
    """
    for template in all_templates():
        if template.name == name:
            return template
    raise NoSuchTemplate(f"there is no template {name}", template=name)


def _template(entry: Entry, result: Mapping[str, Any]) -> Template:
    is_code = entry.type is StrategyType.CODE_BASED
    return Template(
        name=entry.name,
        title=entry.title,
        description=entry.description,
        category=entry.category,
        type=entry.type,
        datasets=entry.datasets,
        settings=entry.settings,
        result=result,
        code=_text(f"code/{entry.name}.py") if is_code else "",
        blocks=None if is_code else json.loads(_text(f"graphs/{entry.name}.json")),
    )


def _text(path: str) -> str:
    return (files(__name__) / path).read_text(encoding="utf-8")
