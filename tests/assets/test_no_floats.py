"""Money is never a float: no `float`, no float literal and no true division where money lives.

Every exception is listed with its reason; one that is no longer needed fails as well, so the list
cannot outlive what it excuses.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import alphintra

ROOT = Path(alphintra.__path__[0])
PACKAGES = ("assets", "trading")

FLOAT, LITERAL, DIVISION, MODULE = "float", "a float literal", "a true division", "a float module"
SECONDS = "seconds to wait; no amount"
DECIMALS = "Decimal by Decimal or int: exact to 28 digits, rounded by name before it is kept"

#: (file, function or class, what) -> why it may.
ALLOWED = {
    ("trading/client.py", "", LITERAL): SECONDS,
    ("trading/client.py", "DeskServer.stop", LITERAL): SECONDS,
    ("trading/desk.py", "", LITERAL): "buckets of a histogram of seconds",
    ("trading/journal_store.py", "", LITERAL): SECONDS,
    ("trading/journal_store.py", "JournalWriter.run", LITERAL): SECONDS,
    ("trading/listening.py", "", LITERAL): SECONDS,
    ("trading/listening.py", "_draw_curves", DIVISION): SECONDS,
    ("trading/marks.py", "mark_of", DIVISION): DECIMALS,
    ("trading/parity.py", "_Comparison._latency", DIVISION): "nanoseconds as milliseconds, to show",
    ("trading/parity.py", "_Comparison._latency", LITERAL): "nanoseconds as milliseconds, to show",
    ("trading/parity_report.py", "Latency", FLOAT): "milliseconds, to show",
    ("trading/placing.py", "size", DIVISION): DECIMALS,
    ("trading/prices.py", "Prices.__init__", FLOAT): SECONDS,
    ("trading/prices.py", "Prices.age_s", FLOAT): "the age of a price in seconds",
    ("trading/prices.py", "Prices.age_s", DIVISION): "the age of a price in seconds",
    ("trading/prices.py", "Prices.update", DIVISION): DECIMALS,
    ("trading/risk.py", "_order_checks", DIVISION): DECIMALS,
    ("trading/running.py", "", LITERAL): SECONDS,
    ("trading/running.py", "DeskRunner.__init__", DIVISION): DECIMALS,
    ("trading/running.py", "DeskRunner._every", FLOAT): SECONDS,
    ("trading/running.py", "DeskRunner._watch_states", LITERAL): SECONDS,
    ("trading/schemas.py", "LatencyView", FLOAT): "milliseconds, to show",
    ("trading/settlement.py", "required_cash", DIVISION): DECIMALS,
    ("trading/venue.py", "FeeSchedule.fee", DIVISION): DECIMALS,
}


def findings(source: str) -> Iterator[tuple[str, str]]:
    """Yield (enclosing function or class, what was found)."""

    def visit(node: ast.AST, where: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            where = f"{where}.{node.name}".lstrip(".")
        if isinstance(node, ast.Name) and node.id == "float":
            yield where, FLOAT
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield where, LITERAL
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield where, DIVISION
        if isinstance(node, ast.ImportFrom | ast.Import) and any(
            alias.name in {"math", "numpy"} for alias in node.names
        ):
            yield where, MODULE
        for child in ast.iter_child_nodes(node):
            yield from visit(child, where)

    return visit(ast.parse(source), "")


def found_in_product() -> set[tuple[str, str, str]]:
    return {
        (f"{package}/{path.relative_to(ROOT / package)}", where, what)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for where, what in findings(path.read_text())
    }


def test_no_float_touches_money() -> None:
    assert not found_in_product() - ALLOWED.keys()


def test_every_exception_is_still_needed() -> None:
    assert not ALLOWED.keys() - found_in_product()


@pytest.mark.parametrize(
    "source",
    [
        "def fee(value): return value * 0.0005",
        "def fee(value): return float(value)",
        "def price(value: float) -> None: ...",
        "def average(cost, quantity): return cost / quantity",
        "def halve(cost):\n    cost /= 2",
        "import math",
    ],
)
def test_check_finds_a_float(source: str) -> None:
    assert list(findings(source))
