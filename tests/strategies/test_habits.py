"""What a beginner writes and Python lets pass: told with its place, and how it is done here."""

import ast
from pathlib import Path

import pytest

from alphintra.strategies.blocks import graph_from, python_of
from alphintra.strategies.code import checking, hooks
from alphintra.strategies.code.frames import Finding, Severity
from alphintra.strategies.templates import Template, all_templates

LIBRARY = Path(__file__).parents[2] / "examples" / "strategies"
HEAD = "from alphintra.sdk import Strategy, vectorised\n"
#: Each at line 5, column 9.
HOOK = HEAD + "class Mine(Strategy):\n    def on_bar(self, bar):\n        self.buy(1)\n        {}\n"


def findings(source: str) -> list[Finding]:
    tree, found = checking.read(source)
    assert tree is not None, found
    found = [*checking.found_in(tree), *hooks.found_in(tree)]
    return [one for one in found if not one.code.startswith("unused_")]


@pytest.mark.parametrize(
    ("statement", "code", "column", "hint"),
    [
        ("return 'BUY'", "return_ignored", 9, "self.buy"),
        ("return 1 if bar.close else -1", "return_ignored", 9, "self.sell"),
        ("self.seen = bar", "kept_without_copy", 21, "bar.copy()"),
        ("self.bars.append(bar)", "kept_without_copy", 26, "bar.copy()"),
        ("while True: self.sell(1)", "endless_loop", 9, "returns"),
        ("while 1:\n            for x in (): break", "endless_loop", 9, "never ends"),
        ("import time; time.sleep(60)", "wall_clock", 22, "self.every"),
        ("from datetime import datetime; datetime.now()", "wall_clock", 40, "self.now"),
        ("import numpy as np; np.random.default_rng()", "random_unseeded", 29, "self.random"),
        ("import random; random.Random()", "random_unseeded", 24, "seed"),
        ("bar.frame.shift(-1)", "looks_ahead", 9, ".shift(-1)"),
        ("bar.frame.shift(periods=-5)", "looks_ahead", 9, ".shift(-5)"),
        ("import numpy as np; np.roll([1], -1)", "looks_ahead", 29, ".roll(-1)"),
        ("bar.frame.rolling(5, center=True)", "looks_ahead", 9, "center"),
        ("bar.frame.bfill()", "looks_ahead", 9, "future"),
        ("self.order_target_percent(1.0)", "attribute_unknown", 9, "self.target_weight?"),
        ("self.by(1)", "attribute_unknown", 9, "self.buy?"),
        ("self.frobnicate(1)", "attribute_unknown", 9, "no such method"),
        ("print(self.sma.now)", "attribute_unknown", 15, "in setup"),
    ],
)
def test_habit_is_told_with_its_place(statement: str, code: str, column: int, hint: str) -> None:
    (found,) = [one for one in findings(HOOK.format(statement)) if one.code == code]
    assert (found.severity, found.line, found.column) == (Severity.WARNING, 5, column)
    assert hint in found.message


@pytest.mark.parametrize(
    "statement",
    [
        "return",
        "return None",
        "return self.buy(1)",
        "seen = bar",
        "self.seen = bar.copy()",
        "self.closes = [bar.close]; self.closes.append(bar.close)",
        "while True: break",
        "while True: return",
        "import numpy as np; np.random.default_rng(7); np.roll([1], 1)",
        "bar.frame.shift(1)",
        "def inner(): return 3",
        "setattr(self, 'sma', 1); self.sma",
        "self._own = 1; self._own",
    ],
)
def test_what_is_in_order_is_not_told(statement: str) -> None:
    found = [one.code for one in findings(HOOK.format(statement))]
    assert found == []


@pytest.mark.parametrize(
    ("name", "hook"),
    [("on_candle", "on_bar"), ("next", "on_bar"), ("init", "setup"), ("on_start", "setup")],
)
def test_hook_of_another_library_is_told_by_its_name_here(name: str, hook: str) -> None:
    source = HEAD + f"class Mine(Strategy):\n    def {name}(self, *a):\n        self.buy(1)\n"
    found = {one.code: one for one in findings(source)}
    assert found["hook_missing"].severity is Severity.ERROR
    unknown = found["hook_unknown"]
    assert (unknown.line, unknown.column) == (3, 5)
    assert unknown.message.endswith(f"did you mean {hook}?")
    # A method that is called is one's own.
    called = HOOK.format(f"self.{name}(bar)") + f"    def {name}(self, bar):\n        pass\n"
    assert [one.code for one in findings(called)] == []


def test_a_strategy_that_never_orders_is_told() -> None:
    source = HEAD + "class Mine(Strategy):\n    def on_bar(self, bar):\n        x = bar.close\n"
    assert [(one.code, one.line) for one in findings(source)] == [("never_orders", 2)]
    closes = source.replace("x = bar.close", "self.close()")
    assert findings(closes) == []


@pytest.mark.parametrize(
    ("declared", "used", "is_told"),
    [
        ("closes = []", "self.closes.append(bar.close)", True),
        ("held = {}", "self.held[bar.symbol] = 1", True),
        ("days: list[int] = list()", "self.days.pop()", True),
        ("days = [1, 2]", "self.log(str(self.days))", False),
        ("closes = []", "self.closes = []; self.closes.append(1)", False),
    ],
)
def test_what_a_class_shares_is_told(declared: str, used: str, is_told: bool) -> None:
    source = HOOK.format(used).replace("    def", f"    {declared}\n    def", 1)
    found = [one for one in findings(source) if one.code == "shared_state"]
    assert [one.line for one in found] == [3] * is_told


@pytest.mark.parametrize(
    ("module", "hint"),
    [
        ("pandas_ta", "self.indicator"),
        ("requests", "no network"),
        ("os.path", "no files"),
        ("yfinance", "prices come from the run"),
        ("backtrader", "on_bar(self, bar)"),
        ("logging", "self.log"),
    ],
)
def test_import_that_is_not_there_has_its_replacement(module: str, hint: str) -> None:
    (found,) = [one for one in findings(f"import {module}\n") if one.code == "import_forbidden"]
    assert (found.line, found.column) == (1, 1)
    assert hint in found.message


def test_a_vectorised_strategy_is_looked_at_too() -> None:
    source = HEAD + "@vectorised\ndef f(bars):\n    return bars.frame.shift(-1)\n"
    assert [(one.code, one.line) for one in findings(source)] == [("looks_ahead", 4)]


@pytest.mark.parametrize("template", all_templates(), ids=lambda one: str(one.name))
def test_nothing_is_found_in_a_template(template: Template) -> None:
    source = template.code or python_of(graph_from(template.blocks or {}))
    assert findings(source) == []


def test_nothing_is_found_in_the_library() -> None:
    texts = [path.read_text() for path in LIBRARY.glob("*.py")]
    strategies = [one for one in texts if "from alphintra.sdk import" in one]
    assert len(strategies) >= 5
    for text in strategies:
        assert findings(text) == [], text


def test_a_huge_text_is_read_in_a_bounded_time() -> None:
    lines = "\n".join(f"    a{n} = []" for n in range(4_000))
    calls = "\n".join(f"        self.b{n}.append(self.c{n})" for n in range(2_000))
    tree = ast.parse(
        HEAD + f"class Mine(Strategy):\n{lines}\n    def on_bar(self, bar):\n{calls}\n"
    )
    found = hooks.found_in(tree)
    assert 1 <= len(found) <= 200
