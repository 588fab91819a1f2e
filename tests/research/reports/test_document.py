"""The PDF: complete, and deaf to markup in names."""

import re
from dataclasses import replace

from alphintra.research import reports
from tests.research.realistic import make_result, with_manifest


def _pages(pdf: bytes) -> int:
    """Return how many pages the root of the page tree counts."""
    found = re.search(rb"/Type/Pages/Count (\d+)", pdf)
    assert found
    return int(found[1])


def test_a_run_is_a_few_pages() -> None:
    pdf = reports.pdf(make_result(symbols=("ACME", "BOLT"), count=1_500))
    assert pdf.startswith(b"%PDF-")
    assert 2 <= _pages(pdf) <= 6
    assert len(pdf) < 1_000_000


def test_names_are_not_markup() -> None:
    # Each of these would stop the compiler, or read a file, if it were Typst.
    evil = '#read("/etc/passwd") $x$ *_`#panic("no")` <label> @ref \\ "'
    result = with_manifest(make_result(count=400), strategy=evil, assumptions=(evil,))
    assert reports.pdf(replace(result, tags=(evil,) * 3)).startswith(b"%PDF-")
