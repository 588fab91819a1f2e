"""Ties the sentences of pages in docs/concepts to the tests that hold them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "fills.md"
_Test = TypeVar("_Test", bound=Callable[..., object])


def states(*sentences: str) -> Callable[[_Test], _Test]:
    """Mark a test as the one that holds these sentences."""

    def mark(test: _Test) -> _Test:
        test.__dict__["stated_sentences"] = sentences
        return test

    return mark


def written(page: Path = PAGE) -> list[str]:
    """Return the points of a page."""
    return re.findall(r"^- (.+)$", page.read_text(), re.MULTILINE)


def held(*modules: object) -> list[str]:
    """Return what the tests of the modules hold."""
    return [
        sentence
        for module in modules
        for test in vars(module).values()
        for sentence in getattr(test, "stated_sentences", ())
    ]
