"""The life of a deployment: its states, and the two tables of what may follow what."""

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """Where a deployment is in its life."""

    STARTING = "STARTING"  #: waits for a process, or for the next try after one has died
    WARMING = "WARMING"  #: lives through the past; nothing is sent
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"  #: follows the market; only orders that reduce its position go through
    STOPPING = "STOPPING"  #: takes back its open orders
    LIQUIDATING = "LIQUIDATING"  #: takes back its open orders, then closes its positions
    STOPPED = "STOPPED"
    FAILED = "FAILED"

    @property
    def is_over(self) -> bool:
        """Whether nobody runs it."""
        return self in OVER


class Wish(StrEnum):
    """What its owner, or one of its limits, wants a deployment to do; the runner obeys."""

    RUN = "RUN"
    PAUSE = "PAUSE"
    STOP = "STOP"
    LIQUIDATE = "LIQUIDATE"


OVER: Final = frozenset({Status.STOPPED, Status.FAILED})

_ACTIVE: Final = frozenset({Status.STARTING, Status.WARMING, Status.RUNNING, Status.PAUSED})

#: In which states a wish can be made. What is over can still be told to close what it holds.
WISHES: Final[dict[Wish, frozenset[Status]]] = {
    Wish.RUN: _ACTIVE,
    Wish.PAUSE: _ACTIVE,
    Wish.STOP: _ACTIVE | {Status.STOPPING, Status.LIQUIDATING},
    Wish.LIQUIDATE: _ACTIVE | {Status.STOPPING, Status.LIQUIDATING} | OVER,
}

#: What a runner may make of a state. An active one may begin anew: a process has died.
TRANSITIONS: Final[dict[Status, frozenset[Status]]] = {
    **dict.fromkeys(_ACTIVE, _ACTIVE | {Status.STOPPING, Status.LIQUIDATING}),
    Status.STOPPING: frozenset({Status.LIQUIDATING, Status.STOPPED, Status.FAILED}),
    Status.LIQUIDATING: frozenset({Status.STOPPING, Status.STOPPED, Status.FAILED}),
    Status.STOPPED: frozenset({Status.LIQUIDATING}),
    Status.FAILED: frozenset({Status.LIQUIDATING}),
}


def may_follow(before: Status, after: Status) -> bool:
    """Say whether a deployment may go from `before` to `after`."""
    return before is after or after in TRANSITIONS[before]


class SignalStatus(StrEnum):
    """What became of a decision of a strategy."""

    WAITING = "WAITING"  #: for a person's yes
    PUBLISHED = "PUBLISHED"  #: on its way to the desk
    ORDERED = "ORDERED"
    CANCELED = "CANCELED"  #: what it wanted taken back was taken back, or had ended
    NOTHING_TO_DO = "NOTHING_TO_DO"
    REFUSED = "REFUSED"  #: by the desk
    TOO_OLD = "TOO_OLD"
    WITHHELD = "WITHHELD"  #: by the deployment itself: a limit, a pause, its schedule
    DECLINED = "DECLINED"  #: a person said no
    LAPSED = "LAPSED"  #: nobody said yes in time
    WITHDRAWN = "WITHDRAWN"  #: taken back by the strategy while it waited


#: The strategy is told that nothing comes of these.
FRUITLESS: Final = frozenset(
    {
        SignalStatus.NOTHING_TO_DO,
        SignalStatus.REFUSED,
        SignalStatus.TOO_OLD,
        SignalStatus.WITHHELD,
        SignalStatus.DECLINED,
        SignalStatus.LAPSED,
    }
)
