"""What the code service asks its sandboxed process, and what that answers. Msgpack both ways.

Nothing in an answer is believed further than its type and its bounds go.
"""

from enum import StrEnum
from typing import Annotated, Any

import msgspec

SOURCE_LENGTH_MAX = 100_000
FINDINGS_MAX = 200
COMPLETIONS_MAX = 100

Text = Annotated[str, msgspec.Meta(max_length=4_000)]
Name = Annotated[str, msgspec.Meta(max_length=200)]
Source = Annotated[str, msgspec.Meta(max_length=4 * SOURCE_LENGTH_MAX)]
Place = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]


class Severity(StrEnum):
    """Whether a finding keeps a strategy from running."""

    ERROR = "error"
    WARNING = "warning"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something about a text. Lines and columns count from 1; 0 is: of no line in particular."""

    code: Name
    message: Text
    severity: Severity = Severity.ERROR
    line: Place = 0
    column: Place = 0


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter as a strategy declares it."""

    kind: Annotated[str, msgspec.Meta(pattern="^(bool|int|float|str)$")]
    default: bool | int | float | Text
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: Annotated[list[bool | int | float | Text], msgspec.Meta(max_length=1_000)] = []
    help: Text = ""


class Question(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of what can be asked."""


class Check(Question, frozen=True, kw_only=True):
    """What is wrong with a text, and what does it declare?"""

    source: str


class Format(Question, frozen=True, kw_only=True):
    """How does a text look in the usual style?"""

    source: str
    line_length: int = 100


class Complete(Question, frozen=True, kw_only=True):
    """What can stand at a place? The line counts from 1, the column from 0."""

    source: str
    line: int
    column: int


class Compare(Question, frozen=True, kw_only=True):
    """What differs between two texts?"""

    before: str
    after: str
    names: tuple[str, str] = ("before", "after")


class ReadGraph(Question, frozen=True, kw_only=True):
    """Which blocks does a text mean?"""

    source: str


Asked = Check | Format | Complete | Compare | ReadGraph


class Checked(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The answer to `Check`: what was found by reading, and whether the text is to be run next."""

    findings: Annotated[list[Finding], msgspec.Meta(max_length=FINDINGS_MAX)]
    #: Reading found no error; `Loaded` follows.
    goes_on: bool


class Loaded(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What came of running the text as a module."""

    finding: Finding | None = None
    name: Name = ""
    is_vectorised: bool = False
    declared: Annotated[dict[Name, Declared], msgspec.Meta(max_length=100)] = {}


class Formatted(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The answer to `Format`; with a finding when the text is not Python."""

    source: Source = ""
    finding: Finding | None = None


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can stand at a place."""

    name: Name
    #: What is still to be typed.
    rest: Name
    type: Name
    signature: Text = ""
    documentation: Text = ""


class Completed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The answer to `Complete`."""

    items: Annotated[list[Completion], msgspec.Meta(max_length=COMPLETIONS_MAX)]


class Compared(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The answer to `Compare`: a unified diff."""

    text: Annotated[str, msgspec.Meta(max_length=10 * SOURCE_LENGTH_MAX)]


class GraphRead(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The answer to `ReadGraph`; with a finding when the text is not one that blocks can say."""

    graph: dict[str, Any] = {}
    finding: Finding | None = None


Answer = Checked | Loaded | Formatted | Completed | Compared | GraphRead

encode = msgspec.msgpack.Encoder().encode
_questions: msgspec.msgpack.Decoder[Asked] = msgspec.msgpack.Decoder(Asked)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def question_of(body: bytes) -> Asked:
    """Read a question."""
    return _questions.decode(body)


def answer_of(body: bytes) -> Answer:
    """Read an answer.

    Raises:
        msgspec.DecodeError: it is none; the process that sent it is not to be believed.
    """
    return _answers.decode(body)
