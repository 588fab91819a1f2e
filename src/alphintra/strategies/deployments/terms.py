"""What a deployment may do: its limits, when it may enter, and whose yes it needs.

Kept as JSON with the deployment; decimals are strings there.
"""

from datetime import datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

import msgspec


class OnBreach(StrEnum):
    """What a limit of losses does when it is reached."""

    STOP = "STOP"  #: takes back open orders; the position stays
    LIQUIDATE = "LIQUIDATE"  #: closes the position too


class MissedCandles(StrEnum):
    """What becomes of a candle that closed while nobody watched."""

    SKIP = "SKIP"  #: the strategy sees it and orders nothing at it
    TRADE = "TRADE"  #: it is traded late, as if it had just closed


class ApprovalMode(StrEnum):
    """Which signals wait for a person's yes."""

    NONE = "NONE"
    ENTRIES = "ENTRIES"  #: all but those that only make a position smaller
    ALL = "ALL"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one deployment, by its own book. `None` sets no bound."""

    daily_loss: Decimal | None = None
    #: A share of the highest equity so far, above 0 and below 1.
    drawdown: Decimal | None = None
    #: Units of any one symbol, long or short.
    position: Decimal | None = None
    #: Worth of all positions and of orders that may still open some; default: the capital.
    notional: Decimal | None = None
    orders_per_minute: int = 60
    on_breach: OnBreach = OnBreach.LIQUIDATE
    #: When the strategy raises, or its process keeps dying.
    on_failure: OnBreach = OnBreach.STOP


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """When the strategy may enter. Exits are never held back.

    Days are 1 (Monday) to 7. A session whose end is not after its start reaches into the next day,
    and belongs to the day on which it starts.
    """

    days: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    start: time = time(0)
    end: time = time(0)
    timezone: str = "UTC"

    def is_open(self, at: datetime) -> bool:
        """Say whether entries are allowed at an aware moment."""
        local = at.astimezone(ZoneInfo(self.timezone))
        day, clock = local.isoweekday(), local.time()
        if self.start < self.end:
            return day in self.days and self.start <= clock < self.end
        before = (day - 2) % 7 + 1
        return (day in self.days and clock >= self.start) or (
            before in self.days and clock < self.end
        )


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """Which signals wait for a yes, and for how long."""

    mode: ApprovalMode = ApprovalMode.NONE
    expires_s: int = 120


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """All terms of a deployment."""

    limits: Limits = Limits()
    schedule: Schedule | None = None
    approval: Approval = Approval()
    missed_candles: MissedCandles = MissedCandles.SKIP


def terms_json(terms: Terms) -> dict[str, Any]:
    """Return the terms as plain JSON values."""
    built: dict[str, Any] = msgspec.to_builtins(terms)
    return built


def read_terms(stored: dict[str, Any]) -> Terms:
    """Return the terms that were kept as JSON.

    Raises:
        msgspec.ValidationError: they are none.
    """
    return msgspec.convert(stored, Terms)
