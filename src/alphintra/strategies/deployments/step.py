"""A step of a deployment: what is written together, all of it or nothing."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from alphintra.strategies.deployments.signals import NewSignal


class Superseded(Exception):
    """Another process owns the deployment; whatever this one still had to say is lost."""


@dataclass(frozen=True, slots=True)
class NewFrame:
    """A frame that was told, as it was sent."""

    kind: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """A line for the log."""

    kind: str
    message: str


@dataclass(slots=True)
class Step:
    """What is written together: some frames, and all that came of them."""

    frames: list[NewFrame] = field(default_factory=list)
    signals: list[NewSignal] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    #: Signals of which the strategy was told that nothing comes of them.
    told: list[UUID] = field(default_factory=list)
    #: Signals whose orders cannot change any more.
    finished: list[UUID] = field(default_factory=list)
    #: Waiting signals that the strategy has taken back.
    withdrawn: list[UUID] = field(default_factory=list)
    #: Equity, cash, exposure.
    point: tuple[Decimal, Decimal, Decimal] | None = None
    #: Columns of the deployment's row.
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (
            self.frames
            or self.signals
            or self.lines
            or self.told
            or self.finished
            or self.withdrawn
            or self.changes
        )


@dataclass(frozen=True, slots=True)
class Lease:
    """A deployment that this process owns, as long as the epoch stands."""

    deployment_id: UUID
    owner: UUID
    epoch: int
