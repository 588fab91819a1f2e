"""A graph reads as Python, and Python reads as a graph; nothing is lost either way."""

import ast
import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphintra.strategies import blocks
from alphintra.strategies.blocks import GraphRefused, NotBlocks, graph_from, graph_of, python_of
from alphintra.strategies.blocks.graph import Graph
from alphintra.strategies.blocks.validation import checked, validate
from tests.strategies.blocks.graphs_at_random import graph_at_random

EXAMPLES = sorted((Path(blocks.__file__).parent / "examples").glob("*.json"))
RSI = graph_from((Path(blocks.__file__).parent / "examples" / "rsi_reversion.json").read_text())


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False))
def test_any_graph_comes_back_from_its_python(random: Random) -> None:
    graph = graph_at_random(random)
    assert validate(graph) == []
    graph = checked(graph)
    text = python_of(graph)
    assert graph_of(text) == graph
    assert python_of(graph_of(text)) == text
    assert graph_from(graph.as_json()) == graph


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid_and_come_back(path: Path) -> None:
    graph = graph_from(path.read_text())
    assert graph_of(python_of(graph)) == graph
    assert all(len(line) <= 120 for line in python_of(graph).splitlines())


def test_what_is_written_reads_like_a_persons_code() -> None:
    text = python_of(RSI)
    assert '    oversold_level = param(30.0, 5.0, 45.0, step=1.0, help="RSI below which' in text
    assert '        self.rsi = self.indicator("RSI", timeperiod=14)  # @40,40\n' in text
    assert "        oversold = self.rsi.now < self.oversold_level  # @280,40\n" in text
    assert "        dip = oversold and in_uptrend  # Dip in a rising trend @460,80\n" in text
    assert '        if dip:\n            enter(self, "long", risk, at=bar.close, exits=stop' in text


@pytest.mark.parametrize(
    ("before", "after", "block", "field", "value"),
    [
        ("timeperiod=14)  # @40,40", "timeperiod=9)  # @40,40", "rsi", "timeperiod", 9),
        ("self.rsi.now > 55", "self.rsi.now >= 55", "recovered", "operator", ">="),
        ("self.rsi.now > 55", "self.rsi.now > 60.5", "recovered", "b", 60.5),
        ("* self.stop_ranges", "* 3", "distance", "b", 3.0),
        ("* self.stop_ranges", "+ 3", "distance", "operator", "+"),
        ("Risk(1, ", "Risk(0.5, ", "risk", "percent", 0.5),
        ('leave(self, "long"', 'leave(self, "any"', "out", "side", "any"),
    ],
)
def test_a_small_change_by_hand_is_a_change_of_the_graph(
    before: str, after: str, block: str, field: str, value: object
) -> None:
    text = python_of(RSI)
    assert text.count(before) == 1
    changed = graph_of(text.replace(before, after))
    (found,) = (one for one in changed.blocks if one.id == block)
    assert found.fields[field] == value
    assert {one.id for one in changed.blocks} == {one.id for one in RSI.blocks}
    others = [one for one in changed.blocks if one.id != block]
    assert others == [one for one in RSI.blocks if one.id != block]


def test_a_statement_may_be_added_and_a_connection_moved() -> None:
    text = python_of(RSI).replace(
        "        dip = oversold and in_uptrend",
        "        monday = self.monday(bar.open_ns)\n"
        "        dip = oversold and in_uptrend and monday",
    )
    text = text.replace(
        "        self.held = Held(self)",
        '        self.held = Held(self)\n        self.monday = Weekdays(days=("mon",))',
    ).replace("import Exits", "import Weekdays, Exits")
    changed = graph_of(text)
    (monday,) = (one for one in changed.blocks if one.id == "monday")
    assert (monday.kind, monday.fields["days"]) == ("weekday", ("mon",))
    assert any((one.source, one.target, one.input) == ("monday", "dip", "c")
               for one in changed.connections)  # fmt: skip


def test_formatting_and_comments_do_not_matter() -> None:
    text = python_of(RSI)
    text = re.sub(r"  # (?=@460,240)", "  #    ", text)
    text = text.replace(
        "        dip = oversold and in_uptrend  #", "        dip = (\n            oversold\n"
        "            and in_uptrend\n        )  #"
    )  # fmt: skip
    assert graph_of(text) == RSI


@pytest.mark.parametrize(
    ("before", "after", "line_of", "what"),
    [
        ("self.rsi.now > 55", "self.rsi.now + 1 > 55", "recovered =", "one thing"),
        ("self.rsi.now > 55", "self.rsi[1] > 55", "recovered =", "'self.rsi[1]'"),
        ("self.rsi.now > 55", "print(self.rsi.now)", "recovered =", "no block reads like this"),
        ("if dip:", "while dip:", "while dip:", "before the first action"),
        ("if dip:", "if oversold and dip:", "if oversold", "oversold and dip"),
        ('tag="entry")', "tag=entry)", "enter(", "tag"),
        ("(Strategy):", "(Strategy, list):", "class ", "base Strategy"),
        ("from alphintra.sdk import Bar", "import os\nfrom alphintra.sdk import Bar", "import os",
         "only"),
        ("    def setup(self)", "    def other(self):\n        pass\n\n    def setup(self)",
         "def other", "setup and on_bar"),
        ('self.indicator("RSI"', 'self.indicator("RSIX"', "RSIX", "no indicator"),
        ("at=bar.close", "at=bar.open", "enter(", "at is bar.close"),
        ("self.held()", "self.held(1)", "held = self.held(1)", "0 values"),
        ("last = bar.close", "last = bar.close\n        last = bar.open", "bar.open",
         "there already"),
        ("class RSIMeanReversion", "class Other", "class Other", "RSIMeanReversion"),
        ("import Exits, Held", "import Held", "class ", "Exits is not imported"),
    ],
)  # fmt: skip
def test_what_blocks_cannot_say_is_refused_with_its_line(
    before: str, after: str, line_of: str, what: str
) -> None:
    text = python_of(RSI).replace(before, after, 1)
    wanted = next(n for n, line in enumerate(text.splitlines(), 1) if line_of in line)
    with pytest.raises(NotBlocks) as refusal:
        graph_of(text)
    assert refusal.value.line == wanted
    assert refusal.value.column >= 1
    assert what in refusal.value.detail


def test_actions_in_another_order_are_refused() -> None:
    text = python_of(RSI)
    head, _, actions = text.partition("        if done:")
    leaving, _, entering = actions.partition("        if dip:")
    moved = f"{head}        if dip:{entering}        if done:{leaving}"
    ast.parse(moved)
    with pytest.raises(NotBlocks, match="in this order"):
        graph_of(moved)


def test_a_value_out_of_range_is_a_fault_of_its_block() -> None:
    text = python_of(RSI).replace("timeperiod=14)  # @40,40", "timeperiod=1)  # @40,40")
    with pytest.raises(GraphRefused) as refusal:
        graph_of(text)
    assert [(one.block, one.field, one.code) for one in refusal.value.faults] == [
        ("rsi", "timeperiod", "out_of_range")
    ]


@pytest.mark.parametrize(
    "text",
    ["", "x = (", "\x00", "(" * 100_000, "x = " + "-" * 50_000 + "1", "def f(:", "'", "class A: 1",
     "class A(Strategy):\n    '''x'''\n", "\tx\n  y"],
)  # fmt: skip
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(NotBlocks):
        graph_of(text)


def test_a_graph_with_faults_is_not_written() -> None:
    with pytest.raises(GraphRefused):
        python_of(Graph(name="nothing"))
