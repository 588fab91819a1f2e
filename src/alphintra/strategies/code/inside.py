"""What runs in the sandboxed process of the code service: one question, its answer, the end.

The nursery imports this module once, and every process is a copy of it: what is slow the first time
(the parser's tables, the reading of the SDK) is done here, before there are any copies.
"""

import difflib
import re
import sys
from collections.abc import Iterator
from typing import Final, Protocol

import black
import jedi
import parso.cache
import pyflakes.checker  # noqa: F401 - read once, for all the copies
from black.mode import TargetVersion
from black.parsing import InvalidInput

from alphintra import sdk
from alphintra.core.errors import Problem
from alphintra.sdk.parameters import Parameter
from alphintra.sdk.source import SOURCE_FILE, line_in, load_source
from alphintra.sdk.watchdog import time_limit
from alphintra.strategies import blocks
from alphintra.strategies.code import checking, hooks
from alphintra.strategies.code.frames import (
    COMPLETIONS_MAX,
    FINDINGS_MAX,
    Answer,
    Asked,
    Check,
    Checked,
    Compare,
    Compared,
    Complete,
    Completed,
    Completion,
    Declared,
    Finding,
    Format,
    Formatted,
    GraphRead,
    Loaded,
    ReadGraph,
    Severity,
    encode,
    question_of,
)

#: A module that takes longer than this to run does not declare a strategy, it works.
LOAD_S: Final = 3.0
_DETAILED_MAX: Final = 8
_TEXT_MAX: Final = 2_000
_ENVIRONMENT: Final = jedi.InterpreterEnvironment()
#: A folder that is not there: the text is all there is, nothing beside it is searched.
_PROJECT: Final = jedi.Project("/strategy", sys_path=sys.path, smart_sys_path=False)
jedi.settings.dynamic_params_for_other_modules = False
# What was read stays in memory. On disk there is no place to write to, and nothing to be unpickled.
parso.cache._save_to_file_system = lambda *_, **__: None
parso.cache._load_from_file_system = lambda *_, **__: None
parso.cache._remove_cache_and_update_lock = lambda *_, **__: None


class Channel(Protocol):
    """The sandbox's end of the pipe, as far as it is needed here."""

    def receive(self) -> bytes | None: ...

    def send(self, body: bytes) -> None: ...


def serve(channel: Channel) -> None:
    """Answer one question."""
    body = channel.receive()
    if body is None:
        return
    for answer in answers(question_of(body)):
        channel.send(encode(answer))


def answers(question: Asked) -> Iterator[Answer]:
    """Yield the answer to a question; to `Check` it may have two parts."""
    match question:
        case Check():
            yield from _checked(question.source)
        case Format():
            yield _formatted(question)
        case Complete():
            yield _completed(question)
        case Compare():
            yield _compared(question)
        case ReadGraph():
            yield _graph_read(question)


def _checked(source: str) -> Iterator[Answer]:
    tree, findings = checking.read(source)
    if tree is not None:
        findings = [*checking.found_in(tree), *hooks.found_in(tree)]
        findings.sort(key=lambda one: (one.line, one.column))
        findings = findings[:FINDINGS_MAX]
    goes_on = all(one.severity is not Severity.ERROR for one in findings)
    yield Checked(findings=findings, goes_on=goes_on)
    if goes_on:
        yield _loaded(source)


def _loaded(source: str) -> Loaded:
    """Run a text as a module and say what it declares."""
    try:
        with time_limit(LOAD_S):
            strategy = load_source(source)
    except sdk.StrategyOutOfTime as error:
        return Loaded(
            finding=Finding(
                code="code_out_of_time",
                line=line_in(error.__cause__ or error, SOURCE_FILE) or 0,
                message=f"the code took longer than {LOAD_S:g} s before there was a strategy: a "
                "loop outside the hooks does not end",
            )
        )
    except Problem as problem:
        return Loaded(finding=_finding("does_not_load", problem))
    except BaseException as error:  # SystemExit and its like are the user's as well
        return Loaded(
            finding=Finding(code="does_not_load", message=f"{type(error).__name__}"[:_TEXT_MAX])
        )
    declared = sdk.parameters_of(strategy)
    return Loaded(
        name=strategy.__name__[:200],
        is_vectorised=isinstance(strategy, sdk.Vectorised),
        declared={name[:200]: declared_of(one) for name, one in list(declared.items())[:100]},
    )


def _finding(code: str, problem: Problem) -> Finding:
    """Return a refusal as a finding; its place, where it has one, is in the fields."""
    line = problem.extra.get("line") or line_in(problem, SOURCE_FILE)
    column = problem.extra.get("column")
    return Finding(
        code=code,
        message=re.sub(r"^(strategy\.py, )?line \d+(, column \d+)?: ", "", problem.detail)[
            :_TEXT_MAX
        ],
        line=line if isinstance(line, int) else 0,
        column=column if isinstance(column, int) else 0,
    )


def declared_of(parameter: Parameter) -> Declared:
    """Return what a parameter says of itself."""
    return Declared(
        kind=type(parameter.default).__name__,
        default=parameter.default,
        low=parameter.low,
        high=parameter.high,
        step=parameter.step,
        choices=list(parameter.choices),
        help=parameter.help,
    )


def _formatted(question: Format) -> Formatted:
    mode = black.Mode(line_length=question.line_length, target_versions={TargetVersion.PY311})
    try:
        return Formatted(source=black.format_str(question.source, mode=mode))
    except (InvalidInput, RecursionError) as error:
        _, findings = checking.read(question.source)
        found = findings[0] if findings else Finding(code="syntax_error", message=str(error)[:300])
        return Formatted(finding=found)


def _completed(question: Complete) -> Completed:
    lines = question.source.split("\n")
    line = min(max(question.line, 1), len(lines))
    column = min(max(question.column, 0), len(lines[line - 1]))
    script = jedi.Script(question.source, environment=_ENVIRONMENT, project=_PROJECT)
    try:
        found = script.complete(line, column)
        # Names with an underscore are shown to whoever begins to type one.
        shown = [one for one in found if not one.name.startswith("_") or one.name != one.complete]
        # What is behind a name takes time to find; of a long list nobody reads it.
        in_detail = len(shown) <= _DETAILED_MAX
        items = [_completion(one, in_detail=in_detail) for one in shown[:COMPLETIONS_MAX]]
    except Exception:
        # The completer knows no more. It is advice: texts it cannot read are most of what is typed.
        items = []
    return Completed(items=items)


def _completion(found: "jedi.api.classes.Completion", *, in_detail: bool) -> Completion:
    signature = documentation = ""
    if in_detail and found.type in {"function", "class"}:
        signatures = found.get_signatures()
        signature = signatures[0].to_string()[:_TEXT_MAX] if signatures else ""
        documentation = found.docstring(raw=True)[:_TEXT_MAX]
    return Completion(
        name=found.name[:200],
        rest=(found.complete or "")[:200],
        type=found.type,
        signature=signature,
        documentation=documentation,
    )


def _compared(question: Compare) -> Compared:
    before, after = (text.splitlines(keepends=True) for text in (question.before, question.after))
    names = question.names
    lines = difflib.unified_diff(before, after, names[0], names[1])
    return Compared(text="".join(line if line.endswith("\n") else f"{line}\n" for line in lines))


def _graph_read(question: ReadGraph) -> GraphRead:
    try:
        return GraphRead(graph=blocks.graph_of(question.source).as_json())
    except Problem as problem:
        return GraphRead(finding=_finding(problem.code, problem))


_FIRST = """
from alphintra.sdk import Bar, Strategy, param, indicators
import numpy as np
import math


class Mine(Strategy):
    fast = param(10, 2, 200)

    def setup(self) -> None:
        self.line = self.indicator("SMA", timeperiod=self.fast)

    def on_bar(self, bar: Bar) -> None:
        self.buy(np.mean(1), math.floor(bar.close))
"""
#: What is typed first by most; each makes the completer read another library.
_TYPED = ("r", "self.", "self.bu", "self.line.", "bar.", "np.", "np.me", "math.fl", "indicators.")


def _warm() -> None:
    """Do everything once."""
    list(answers(Check(source=_FIRST)))
    list(answers(Format(source=_FIRST)))
    last = len(_FIRST.split("\n"))
    for text in _TYPED:
        source = f"{_FIRST}        {text}"
        list(answers(Complete(source=source, line=last, column=8 + len(text))))


_warm()
