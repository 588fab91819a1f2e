"""What strategies speak over HTTP."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import msgspec
from pydantic import AfterValidator, Field, StringConstraints

from alphintra.platform.http import Schema
from alphintra.strategies.code.frames import SOURCE_LENGTH_MAX, Severity

BLOCKS_BYTES_MAX = 200_000
PARAMETERS_MAX = 100
_Printable = r"^[^\x00-\x1f\x7f]*$"


class StrategyType(StrEnum):
    """What a strategy is written in."""

    CODE_BASED = "CODE_BASED"
    NO_CODE = "NO_CODE"


class StrategyStatus(StrEnum):
    """Where a strategy is in its life."""

    DRAFT = "DRAFT"
    PUBLISHED = "PUBLISHED"
    ARCHIVED = "ARCHIVED"


class Right(StrEnum):
    """What somebody may do with a strategy; each includes those before it.

    VIEW reads it, USE also backtests and deploys its versions, EDIT also changes the draft and
    makes versions. What else there is (publish, share, delete) is the owner's: OWN.
    """

    VIEW = "VIEW"
    USE = "USE"
    EDIT = "EDIT"
    OWN = "OWN"


def _bounded(blocks: dict[str, Any]) -> dict[str, Any]:
    try:
        body = msgspec.json.encode(blocks)
    except RecursionError as error:
        raise ValueError("the graph is nested too deeply") from error
    if len(body) > BLOCKS_BYTES_MAX:
        raise ValueError(f"a graph has at most {BLOCKS_BYTES_MAX} bytes of JSON")
    # Read back, so that what is kept is JSON: no NaN, no infinity.
    return cast(dict[str, Any], msgspec.json.decode(body))


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=120, pattern=_Printable, strip_whitespace=True),
]
Note = Annotated[str, StringConstraints(max_length=400, pattern=_Printable)]
Description = Annotated[str, StringConstraints(max_length=4_000)]
Source = Annotated[str, StringConstraints(max_length=SOURCE_LENGTH_MAX)]
Blocks = Annotated[dict[str, Any], AfterValidator(_bounded)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_\-]+$")]
Value = (
    bool
    | Annotated[int, Field(ge=-(2**53), le=2**53)]
    | Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
    | Annotated[str, StringConstraints(max_length=120, pattern=_Printable)]
)
Parameters = Annotated[dict[Word, Value], Field(max_length=PARAMETERS_MAX)]
Revision = Annotated[int, Field(ge=1, le=2**31 - 1)]


class NewStrategy(Schema):
    """A strategy to make: of code, of blocks, or of a template."""

    name: Name | None = None
    type: StrategyType | None = None
    description: Description = ""
    code: Source | None = None
    blocks: Blocks | None = None
    parameters: Parameters = Field(default_factory=dict)
    template: Word | None = None


class StrategyChange(Schema):
    """What to change; what is left out stays.

    For NO_CODE, `code` is edited Python that is read back into blocks.
    """

    revision: Revision | None = None
    name: Name | None = None
    description: Description | None = None
    code: Source | None = None
    blocks: Blocks | None = None
    parameters: Parameters | None = None


class StatusChange(Schema):
    """The status that a strategy is to have."""

    status: StrategyStatus
    revision: Revision | None = None


class NewVersion(Schema):
    """A version to make of the draft."""

    note: Note = ""


class RestoreRequest(Schema):
    """Take a version's content back into the draft."""

    revision: Revision | None = None


class ShareBody(Schema):
    """The right that somebody else is to have."""

    right: Literal[Right.VIEW, Right.USE, Right.EDIT]


class ShareView(Schema):
    """Somebody else's right to a strategy."""

    user_id: UUID
    right: Right
    created_at: datetime


class ParameterView(Schema):
    """A parameter as a strategy declares it."""

    kind: str
    default: bool | int | float | str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: list[bool | int | float | str] = Field(default_factory=list)
    help: str = ""


class StrategySummary(Schema):
    """A strategy as lists show it."""

    id: UUID
    user_id: UUID
    name: str
    type: StrategyType
    description: str
    status: StrategyStatus
    version: Annotated[int, Field(description="number of the newest version; 0: none yet")]
    published_version: int | None
    changed: Annotated[bool, Field(description="whether the draft differs from that version")]
    right: Annotated[Right, Field(description="what you may do with it")]
    template: str | None
    revision: int
    created_at: datetime
    updated_at: datetime


class StrategyView(StrategySummary):
    """A strategy: its draft, and what its newest version declares."""

    code: str
    blocks: dict[str, Any] | None
    parameters: dict[str, Any]
    declared: dict[str, ParameterView]


class VersionSummary(Schema):
    """A version as lists show it."""

    id: UUID
    strategy_id: UUID
    number: int
    sha256: Annotated[str, Field(description="of the Python that runs")]
    note: str
    created_by: UUID
    created_at: datetime
    frozen_at: Annotated[datetime | None, Field(description="when it was published or deployed")]


class VersionDetail(VersionSummary):
    """A version with its content."""

    code: Annotated[str, Field(description="the Python that runs")]
    blocks: dict[str, Any] | None
    parameters: dict[str, Any]
    declared: dict[str, ParameterView]


class PythonView(Schema):
    """The Python that a strategy means."""

    source: str


class DifferenceView(Schema):
    """What differs between two versions, or a version and the draft."""

    source: Annotated[str, Field(description="a unified diff; empty: the same")]
    parameters: Annotated[
        dict[str, tuple[Any, Any]], Field(description="before and after, of those that differ")
    ]


class TemplateSummary(Schema):
    """A strategy to begin with. `result` came of a backtest on `datasets` with `settings`."""

    name: str
    title: str
    description: str
    category: str
    type: StrategyType
    datasets: list[str]
    settings: dict[str, Any]
    result: dict[str, Any]


class TemplateView(TemplateSummary):
    """A template with what it consists of."""

    code: str
    blocks: dict[str, Any] | None


class FindingView(Schema):
    """Something about a text. Lines and columns count from 1; 0 is of no line in particular."""

    code: str
    message: str
    severity: Severity
    line: int
    column: int


class CodeBody(Schema):
    """A text to judge."""

    source: Source


class CompleteBody(CodeBody):
    """A place in a text."""

    line: Annotated[int, Field(ge=1, le=SOURCE_LENGTH_MAX, description="from 1")]
    column: Annotated[int, Field(ge=0, le=SOURCE_LENGTH_MAX, description="from 0")]


class FormatBody(CodeBody):
    """A text to bring into the usual style."""

    line_length: Annotated[int, Field(ge=60, le=160)] = 100


class CheckView(Schema):
    """What is wrong with a text, and what it declares when nothing is."""

    ok: bool
    findings: list[FindingView]
    name: str | None
    vectorised: bool
    declared: dict[str, ParameterView]
    duration_ms: float


class FormatView(Schema):
    """A text in the usual style."""

    source: str
    changed: bool


class CompletionView(Schema):
    """Something that can stand at a place; `rest` is what is still to be typed."""

    name: str
    rest: str
    type: str
    signature: str
    documentation: str


class CompletionsView(Schema):
    """What can stand at a place."""

    items: list[CompletionView]
    duration_ms: float
