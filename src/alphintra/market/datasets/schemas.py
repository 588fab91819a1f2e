"""What the HTTP face of datasets speaks. Prices of research data are plain JSON numbers."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from pydantic import Field, model_validator

from alphintra.platform.http import Schema

NAME_LENGTH_MAX = 120
ACTIONS_MAX = 2_000


class FindingView(Schema):
    """One thing that was found; `rows` are the first it is about, from 1 below the header."""

    code: str
    severity: Literal["note", "warning", "decision", "refusal"]
    reason: str
    advice: str
    count: int
    rows: list[int]
    option: str
    choices: list[str]


class QualityView(Schema):
    """The verdict on a dataset. `rows` counts those of the file, `kept` those that are data."""

    verdict: Literal["accepted", "accepted_with_warnings", "needs_decision", "refused"]
    findings: list[FindingView]
    rows: int
    kept: int


class DatasetView(Schema):
    """One dataset. Its content is named by `sha256` and never changes."""

    id: UUID
    name: str
    visibility: Literal["platform", "private"]
    symbols: list[str]
    kind: Literal["candles", "quotes", "trades"]
    timeframe: str | None
    rows: int
    first_at: datetime
    last_at: datetime
    bytes: int
    sha256: str
    source: str
    file_name: str
    adjustment: str
    verdict: str
    warnings: int
    parent_id: UUID | None
    derivation: dict[str, object] | None
    created_at: datetime


class PreviewView(Schema):
    """The first and the last rows: `columns` name the cells of each row, the first is its time."""

    symbol: str
    rows: int
    columns: list[str]
    head: list[list[float | str | None]]
    tail: list[list[float | str | None]]


class StatisticsView(Schema):
    """Figures by symbol; null where the data do not allow one."""

    symbols: dict[str, dict[str, float | int | None]]


class ChartView(Schema):
    """Columns for drawing: `ts_ms` since the UNIX epoch, and `open` … `volume` or `value`."""

    symbol: str
    style: Literal["candles", "line"]
    rows: int
    columns: dict[str, list[float | int | None]]


class ActionBody(Schema):
    """A split (`ratio` shares for one) or a dividend (`amount` per share) on a day."""

    symbol: str = Field(default="", max_length=32, description="empty: the dataset's only one")
    ex_date: date
    ratio: float = Field(default=0.0, ge=0, le=1e6)
    amount: float = Field(default=0.0, ge=0, le=1e12)

    @model_validator(mode="after")
    def _is_one(self) -> "ActionBody":
        if (self.ratio > 0) == (self.amount > 0):
            raise ValueError("an action has either a ratio or an amount")
        return self


class ResampleBody(Schema):
    """What to make of a dataset: candles of a longer timeframe."""

    timeframe: str = Field(pattern=r"^[1-9][0-9]{0,4}(s|m|h|d|w|mo)$")
    calendar: str = Field(
        default="ALWAYS", pattern=r"^[A-Z0-9/_]{2,16}$", description="whose sessions are days"
    )
    name: str = Field(default="", max_length=NAME_LENGTH_MAX)


class AdjustBody(Schema):
    """What to adjust prices for. Without actions those are taken that came with the dataset."""

    to: Literal["raw", "split", "total_return"]
    before: Literal["", "raw", "split"] = Field(
        default="", description="what they are adjusted for, if the dataset does not know"
    )
    actions: list[ActionBody] = Field(default_factory=list, max_length=ACTIONS_MAX)
    name: str = Field(default="", max_length=NAME_LENGTH_MAX)


class RecordBody(Schema):
    """What to make a dataset of: candles or ticks that the platform has recorded."""

    symbol: str = Field(min_length=1, max_length=32)
    kind: Literal["candles", "quotes", "trades"] = "candles"
    timeframe: str = Field(default="1m", pattern=r"^[0-9a-z]{2,4}$", description="of candles")
    start: datetime
    end: datetime
    source: str = Field(default="", pattern=r"^[a-z0-9_:-]{0,32}$", description="of ticks")
    name: str = Field(default="", max_length=NAME_LENGTH_MAX)

    @model_validator(mode="after")
    def _is_range(self) -> "RecordBody":
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("start and end need an offset, e.g. 2024-01-31T00:00:00Z")
        if self.end <= self.start:
            raise ValueError("the end has to be after the start")
        return self
