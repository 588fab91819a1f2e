"""What a strategy consists of: code or blocks, and chosen values for its parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alphintra.platform.security import Principal
from alphintra.sdk.parameters import Parameter, Value, resolved
from alphintra.strategies import blocks
from alphintra.strategies.code.frames import Declared
from alphintra.strategies.code.service import CodeService
from alphintra.strategies.errors import CodeFaulty, WrongContent
from alphintra.strategies.models import StrategyRow, VersionRow
from alphintra.strategies.schemas import NewStrategy, StrategyChange, StrategyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Code or blocks, and parameters; `None` is not said."""

    code: str | None = None
    blocks: dict[str, Any] | None = None
    parameters: dict[str, Any] | None = None


def first_content(wanted: NewStrategy) -> tuple[StrategyType, Content]:
    """Return the kind and the content of a strategy that is not made of a template.

    Raises:
        WrongContent: there is neither code nor a graph, or both, or not that of its type.
    """
    if (wanted.code is None) == (wanted.blocks is None):
        raise WrongContent("give code, or blocks, or the name of a template")
    kind = StrategyType.CODE_BASED if wanted.blocks is None else StrategyType.NO_CODE
    if wanted.type not in {None, kind}:
        raise WrongContent(f"a {wanted.type} strategy is made of the other of code and blocks")
    return kind, Content(code=wanted.code, blocks=wanted.blocks, parameters=wanted.parameters)


async def checked_content(
    code: CodeService, caller: Principal, kind: StrategyType, wanted: StrategyChange
) -> Content:
    """Return what a change puts into a draft; Python for a graph is read back into blocks.

    Raises:
        WrongContent: a graph for a strategy of code, or code and a graph at once.
        CodeFaulty: the Python says what blocks cannot say.
    """
    if kind is StrategyType.CODE_BASED:
        if wanted.blocks is not None:
            raise WrongContent("a CODE_BASED strategy has no blocks; make a NO_CODE one")
        return Content(code=wanted.code, parameters=wanted.parameters)
    graph = wanted.blocks
    if wanted.code is not None:
        if graph is not None:
            raise WrongContent("give either blocks or the Python that means them")
        graph = await code.graph_of(caller, wanted.code)
    return Content(blocks=graph, parameters=wanted.parameters)


def take(row: StrategyRow, content: Content) -> None:
    """Put content into a draft; what it does not say stays."""
    before = (row.code, row.blocks, row.parameters)
    if content.code is not None:
        row.code = content.code
    if content.blocks is not None:
        row.blocks = content.blocks
    if content.parameters is not None:
        row.parameters = content.parameters
    row.changed = row.changed or (row.code, row.blocks, row.parameters) != before


def is_like(row: StrategyRow, version: VersionRow) -> bool:
    """Say whether a draft is what a version is."""
    same = row.blocks == version.blocks and row.parameters == version.parameters
    return same and (row.type == StrategyType.NO_CODE or row.code == version.code)


def python_of(kind: str, code: str, graph: Mapping[str, Any] | None) -> str:
    """Return the Python that runs: the code, or what the blocks mean.

    Raises:
        GraphRefused: the blocks do not make a strategy; it names every fault.
    """
    if kind == StrategyType.CODE_BASED:
        return code
    return blocks.python_of(blocks.graph_from(graph or {}))


def checked_parameters(
    declared: Mapping[str, Declared], given: Mapping[str, Any], *, strategy: str
) -> dict[str, Value]:
    """Return the given values as the strategy gets them; text is read as each one's kind.

    Raises:
        ParameterRefused: an unknown name, or a value outside its range.
    """
    known = {name: parameter_of(name, one) for name, one in declared.items()}
    chosen = resolved(known, given, strategy=strategy)
    return {name: chosen[name] for name in given}


def parameter_of(name: str, declared: Declared) -> Parameter:
    """Return a parameter as the SDK has it.

    Raises:
        StrategyRefused, ParameterRefused: its declaration contradicts itself.
    """
    default = declared.default
    return Parameter(
        float(default) if declared.kind == "float" else default,
        declared.low,
        declared.high,
        declared.step,
        tuple(declared.choices),
        declared.help,
        name,
    )


def refuse_faulty(findings: list[dict[str, Any]]) -> None:
    """Refuse a text of which something is wrong.

    Raises:
        CodeFaulty: with all findings.
    """
    first = next((one for one in findings if one["severity"] == "error"), None)
    if first is not None:
        raise CodeFaulty(f"line {first['line']}: {first['message']}", findings=findings)
