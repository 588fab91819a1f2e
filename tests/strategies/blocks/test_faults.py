"""Every fault of a graph is told by block and field, all at once, also of hostile graphs."""

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alphintra.strategies import blocks
from alphintra.strategies.blocks import GraphRefused, graph_from, validate

FOLDER = Path(blocks.__file__).parent / "examples"
RSI: dict[str, Any] = json.loads((FOLDER / "rsi_reversion.json").read_text())


def faults(change: Callable[[dict[str, Any]], object]) -> set[tuple[str, str, str]]:
    """Return block, field and code of each fault of a changed example."""
    document = copy.deepcopy(RSI)
    change(document)
    found = validate(document)
    assert all(one.message and one.message.endswith(".") for one in found)
    return {(one.block, one.field, one.code) for one in found}


def block(document: dict[str, Any], block_id: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in document["blocks"] if one["id"] == block_id)
    return found


def wire(document: dict[str, Any], source: str, target: str) -> object:
    (block_from, output), (block_to, port) = source.split("."), target.split(".")
    document["connections"].append(
        {"from": {"block": block_from, "output": output}, "to": {"block": block_to, "input": port}}
    )
    return None


def unwire(document: dict[str, Any], target: str) -> object:
    block_to, port = target.split(".")
    document["connections"] = [
        one for one in document["connections"]
        if (one["to"]["block"], one["to"]["input"]) != (block_to, port)
    ]  # fmt: skip
    return None


def setting(block_id: str, name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda document: block(document, block_id)["parameters"].update({name: value})


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda d: d.update(name=""), {("", "name", "name_missing")}),
        (lambda d: d.update(version=2), {("", "version", "version_unknown")}),
        (lambda d: d.update(colour=1), {("", "colour", "key_unknown")}),
        (setting("rsi", "timeperiod", 1), {("rsi", "timeperiod", "out_of_range")}),
        (setting("rsi", "timeperiod", 2.5), {("rsi", "timeperiod", "wrong_kind")}),
        (setting("rsi", "timeperiod", "14"), {("rsi", "timeperiod", "wrong_kind")}),
        (setting("rsi", "timeperiod", float("nan")), {("rsi", "timeperiod", "wrong_shape")}),
        (setting("rsi", "period", 14), {("rsi", "period", "field_unknown")}),
        (setting("rsi", "timeframe", "7x"), {("rsi", "timeframe", "out_of_range")}),
        (setting("rsi", "timeperiod", {"parameter": "none"}),
         {("rsi", "timeperiod", "parameter_unknown")}),
        (setting("rsi", "timeperiod", {"parameter": "stop_ranges"}),
         {("rsi", "timeperiod", "wrong_kind")}),
        (setting("risk", "percent", {"parameter": "bars_most"}),
         {("risk", "percent", "out_of_range")}),
        (setting("oversold", "operator", "=<"), {("oversold", "operator", "out_of_range")}),
        (lambda d: block(d, "rsi").update(kind="RSI2"), {("rsi", "kind", "kind_unknown")}),
        (lambda d: block(d, "rsi").update(id="buy"),
         {("buy", "id", "name_not_allowed"), ("oversold", "a", "block_unknown"),
          ("recovered", "a", "block_unknown"), ("buy", "", "unreachable")}),
        (lambda d: block(d, "last").update(id="rsi"),
         {("rsi", "id", "name_taken"), ("in_uptrend", "a", "block_unknown")}),
        (lambda d: (block(d, "last").update(kind="BBANDS"),
                    d["blocks"].append({"id": "last_upperband", "kind": "price"})),
         {("in_uptrend", "a", "port_unknown"), ("last_upperband", "id", "name_taken"),
          ("last_upperband", "", "unreachable")}),
        (lambda d: d["parameters"].append({"name": "rsi", "default": 1}),
         {("rsi", "id", "name_taken")}),
        (lambda d: d["parameters"].append({"name": "x", "default": 5, "low": 6, "high": 9}),
         {("", "x", "parameter_invalid")}),
        (lambda d: unwire(d, "dip.a"), {("dip", "a", "input_missing"),
                                        ("oversold", "", "unreachable")}),
        (lambda d: wire(d, "oversold.value", "dip.d"), {("dip", "c", "input_missing")}),
        (lambda d: wire(d, "rsi.real", "dip.c"), {("dip", "c", "type_mismatch")}),
        (lambda d: wire(d, "distance.value", "rsi.on"), {("rsi", "on", "type_mismatch")}),
        (lambda d: wire(d, "rsi.real", "in_uptrend.a"), {("in_uptrend", "a", "input_taken")}),
        (lambda d: wire(d, "rsi.signal", "dip.c"), {("dip", "c", "port_unknown")}),
        (lambda d: wire(d, "rsi.real", "dip.z"), {("dip", "z", "port_unknown")}),
        (lambda d: wire(d, "gone.value", "dip.c"), {("dip", "c", "block_unknown")}),
        (lambda d: d["blocks"].append({"id": "lonely", "kind": "price"}),
         {("lonely", "", "unreachable")}),
        (lambda d: unwire(d, "stop.stop"), {("stop", "stop_percent", "exits_empty")}),
        (lambda d: (unwire(d, "out.when"), wire(d, "dip.value", "out.when")),
         {("entry", "when", "actions_contradict"),
          *((name, "", "unreachable") for name in ("recovered", "held", "too_long", "done"))}),
        (lambda d: (wire(d, "last.value", "trend.on"), setting("trend", "timeframe", "1d")(d)),
         {("trend", "timeframe", "field_contradicts")}),
        (lambda d: d["connections"].append(5), {("", "connections", "wrong_shape")}),
        (lambda d: d["blocks"].append("x"), {("", "blocks", "wrong_shape")}),
        (lambda d: block(d, "rsi").update(position={"x": "left"}),
         {("rsi", "position", "wrong_shape")}),
        (lambda d: d.update(blocks=[], connections=[]), {("", "blocks", "no_action")}),
    ],
)  # fmt: skip
def test_each_fault_is_told_where_it_is(
    change: Callable[[dict[str, Any]], object], wanted: set[tuple[str, str, str]]
) -> None:
    assert faults(change) == wanted


def test_all_faults_are_told_at_once() -> None:
    def spoil(document: dict[str, Any]) -> None:
        setting("rsi", "timeperiod", 1)(document)
        setting("atr", "timeperiod", 0)(document)
        unwire(document, "dip.b")
        wire(document, "rsi.real", "oversold.b")
        wire(document, "rsi.real", "done.c")
        block(document, "out")["kind"] = "leave"

    assert faults(spoil) >= {
        ("rsi", "timeperiod", "out_of_range"),
        ("atr", "timeperiod", "out_of_range"),
        ("dip", "b", "input_missing"),
        ("done", "c", "type_mismatch"),
        ("out", "kind", "kind_unknown"),
        ("in_uptrend", "", "unreachable"),
    }


def test_only_the_blocks_of_a_circle_are_on_it() -> None:
    def circle(document: dict[str, Any]) -> None:
        document["blocks"] += [{"id": name, "kind": "or"} for name in ("one", "two", "after")]
        for source, target in (
            ("one.value", "two.a"), ("two.value", "one.a"), ("oversold.value", "one.b"),
            ("oversold.value", "two.b"), ("two.value", "after.a"), ("one.value", "after.b"),
            ("after.value", "dip.c"),
        ):  # fmt: skip
            wire(document, source, target)

    assert faults(circle) == {("one", "", "cycle"), ("two", "", "cycle")}


def test_a_refusal_carries_the_faults() -> None:
    with pytest.raises(GraphRefused) as refusal:
        graph_from({"version": 1, "name": "x", "blocks": [{"id": "a", "kind": "nothing"}]})
    assert {one.code for one in refusal.value.faults} == {"kind_unknown", "no_action"}
    told = refusal.value.extra["faults"]
    assert isinstance(told, list)
    assert told[0]["block"] == "a"


@pytest.mark.parametrize(
    "document",
    [
        b"[" * 10_000_000,
        b'{"blocks":' * 50_000,
        '{"name": "' + "x" * 600_000 + '"}',
        {"name": "x", "blocks": [{"id": f"a{n}", "kind": "price"} for n in range(100_000)]},
        {"name": "x", "blocks": [{"id": "a" * 10_000_000, "kind": "price"}]},
        {"name": "x", "blocks": [{"id": "a", "kind": "price", "parameters": {"column": [[[]]]}}]},
        {"name": "x", "connections": [{}] * 100_000},
        {str(n): n for n in range(100_000)},
        None, 1, [], "null", b"\xff\xfe", {"name": {}, "blocks": {}, "connections": 1},
    ],
    ids=lambda document: str(document)[:20],
)  # fmt: skip
def test_hostile_graphs_are_refused_quickly(document: object) -> None:
    began = time.perf_counter()
    found = validate(document)
    assert found
    assert time.perf_counter() - began < 2.0
    with pytest.raises(GraphRefused):
        graph_from(document)


def test_as_many_blocks_as_may_be_in_one_circle_are_told_quickly() -> None:
    document = {
        "version": 1,
        "name": "x",
        "blocks": [{"id": f"a{n}", "kind": "not"} for n in range(500)],
        "connections": [
            {"from": {"block": f"a{n}", "output": "value"},
             "to": {"block": f"a{(n + 1) % 500}", "input": "a"}}
            for n in range(500)
        ],
    }  # fmt: skip
    began = time.perf_counter()
    assert {one.code for one in validate(document)} <= {"cycle", "no_action"}
    assert time.perf_counter() - began < 5.0
