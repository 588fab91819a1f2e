"""What the desk's decisions depend on besides the account: prices, instruments, sessions, kill
switches.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from alphintra.core.clock import Clock
from alphintra.core.ids import IdFactory
from alphintra.core.instruments import Instrument
from alphintra.core.orders import TimeInForce, TradingState
from alphintra.trading.prices import Prices

ALWAYS = "ALWAYS"
PLATFORM = "*"


class Scope(StrEnum):
    """What a kill switch stops."""

    PLATFORM = "PLATFORM"
    ACCOUNT = "ACCOUNT"
    STRATEGY = "STRATEGY"


def strategy_subject(user_id: UUID, strategy_id: object) -> str:
    """Return what a strategy's kill switch is filed under: nobody can stop somebody else's
    strategy.
    """
    return f"{user_id}:{strategy_id}"


class Sessions:
    """Trading sessions by calendar. `ALWAYS` never closes; its day ends at midnight UTC."""

    def __init__(self, sessions: Mapping[str, Sequence[tuple[datetime, datetime]]]) -> None:
        self._sessions = {name: sorted(rows) for name, rows in sessions.items()}
        self._opens = {name: [row[0] for row in rows] for name, rows in self._sessions.items()}

    def is_open(self, calendar: str, at: datetime) -> bool:
        """Say whether the calendar trades at `at`; one that is not known does not."""
        if calendar == ALWAYS:
            return True
        index = bisect_right(self._opens.get(calendar, []), at) - 1
        return index >= 0 and at < self._sessions[calendar][index][1]

    def end_of_day(self, calendar: str, at: datetime) -> datetime:
        """Return when a DAY order of that moment expires: this session's close, or the next
        one's.
        """
        if calendar != ALWAYS:
            opens = self._opens.get(calendar, [])
            index = max(0, bisect_right(opens, at) - 1)
            for _, closes in self._sessions.get(calendar, [])[index : index + 2]:
                if closes > at:
                    return closes
        return datetime.combine(at.astimezone(UTC).date() + timedelta(days=1), time(), UTC)

    def next_auction(
        self, calendar: str, time_in_force: TimeInForce, at: datetime
    ) -> datetime | None:
        """Return when the auction is held that an OPG or CLS order of that moment is for.

        `None` where there is none: round the clock, or where no session is known to come.
        """
        if calendar == ALWAYS:
            return None
        opens, sessions = self._opens.get(calendar, []), self._sessions.get(calendar, [])
        if time_in_force is TimeInForce.OPG:
            # Who comes at the open itself comes in time; at the close nobody does.
            index = bisect_left(opens, at)
            return opens[index] if index < len(opens) else None
        index = max(0, bisect_right(opens, at) - 1)
        return next((closes for _, closes in sessions[index : index + 2] if closes > at), None)


@dataclass(slots=True)
class Surroundings:
    """Everything a decision may look at besides its account. Kept up to date by the desk's loop."""

    clock: Clock
    ids: IdFactory
    prices: Prices
    instruments: dict[str, Instrument] = field(default_factory=dict)
    sessions: Sessions = field(default_factory=lambda: Sessions({}))
    states: dict[tuple[Scope, str], TradingState] = field(default_factory=dict)
    #: The dearest fee that a fill can have, as a fraction of its value.
    fee_rate: Decimal = Decimal(0)
    paper_cash: Decimal = Decimal(100_000)
    paper_currency: str = "USD"

    def state_of(self, scope: Scope, subject: str) -> TradingState:
        return self.states.get((scope, subject), TradingState.ACTIVE)
