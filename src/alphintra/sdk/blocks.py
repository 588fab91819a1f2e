"""What strategies made of blocks say, for everybody: conditions that remember, sizes, entries.

    from alphintra.sdk.blocks import Crossing, Exits, Percent, enter, leave

    def setup(self) -> None:
        self.golden = Crossing(self, direction="up")

    def on_bar(self, bar: Bar) -> None:
        golden = self.golden(self.fast.now, self.slow.now)
        if golden:
            enter(self, "long", Percent(95), at=bar.close, exits=Exits(stop_percent=5))

What remembers is called once for each bar, whatever else the bar decides, and keeps its memory for
each symbol by itself. NaN is no answer: a comparison with it is false, and an entry whose price,
size or exits are not known is not made.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from math import isfinite, nan
from typing import Final
from zoneinfo import ZoneInfo

from alphintra.sdk.hosting import Order
from alphintra.sdk.strategy import Strategy

#: Lines that are nearer to each other than this share are equal: sums round.
EQUAL: Final = 1e-9
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTHS: Final = (
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
)  # fmt: skip
PERIODS: Final = ("hour", "day", "week", "month", "quarter", "year")
_DAY_S: Final = 86_400
_EPOCH: Final = date(1970, 1, 1).toordinal()


def smaller(a: float, b: float) -> float:
    """Return the smaller of two numbers; NaN when one of them is not known."""
    return nan if a != a or b != b else min(a, b)


def larger(a: float, b: float) -> float:
    """Return the larger of two numbers; NaN when one of them is not known."""
    return nan if a != a or b != b else max(a, b)


# Conditions that remember.


class Memory:
    """Remembers something of the bars before, of each symbol."""

    __slots__ = ("_strategy",)

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy

    def _place(self) -> int:
        return self._strategy._host.feed.symbol_at_hand


class Crossing(Memory):
    """Whether one value has come from below another to above it ("up"), "down", or "either".

    Values that are equal but for rounding are on neither side, and which side comes first is no
    cross, as in `Strategy.crossing`.
    """

    __slots__ = ("_direction", "_sides")

    def __init__(self, strategy: Strategy, direction: str = "up") -> None:
        super().__init__(strategy)
        self._direction = direction
        self._sides: dict[int, int] = {}

    def __call__(self, above: float, below: float) -> bool:
        apart = above - below
        if not abs(apart) > EQUAL * abs(below):
            return False
        side = 1 if apart > 0 else -1
        place = self._place()
        before = self._sides.get(place, 0)
        self._sides[place] = side
        if before in (0, side):
            return False
        return self._direction == "either" or (side > 0) == (self._direction == "up")


class Recently(Memory):
    """Whether something was true at one of the newest `bars` bars, this one included."""

    __slots__ = ("_bars", "_since")

    def __init__(self, strategy: Strategy, bars: int) -> None:
        super().__init__(strategy)
        self._bars = bars
        self._since: dict[int, int] = {}

    def __call__(self, condition: bool) -> bool:
        place = self._place()
        since = 0 if condition else self._since.get(place, self._bars) + 1
        self._since[place] = since
        return since < self._bars


class Lasting(Memory):
    """Whether something has been true for `bars` bars in a row, this one included."""

    __slots__ = ("_bars", "_row")

    def __init__(self, strategy: Strategy, bars: int) -> None:
        super().__init__(strategy)
        self._bars = bars
        self._row: dict[int, int] = {}

    def __call__(self, condition: bool) -> bool:
        place = self._place()
        row = self._row.get(place, 0) + 1 if condition else 0
        self._row[place] = row
        return row >= self._bars


class Rising(Memory):
    """Whether a value has risen from bar to bar, `bars` times in a row."""

    __slots__ = ("_bars", "_known")

    def __init__(self, strategy: Strategy, bars: int) -> None:
        super().__init__(strategy)
        self._bars = bars
        self._known: dict[int, tuple[float, int]] = {}

    def __call__(self, value: float) -> bool:
        place = self._place()
        before, row = self._known.get(place, (nan, 0))
        row = row + 1 if self._went_on(before, value) else 0
        self._known[place] = value, row
        return row >= self._bars

    def _went_on(self, before: float, value: float) -> bool:
        return value > before


class Falling(Rising):
    """Whether a value has fallen from bar to bar, `bars` times in a row."""

    __slots__ = ()

    def _went_on(self, before: float, value: float) -> bool:
        return value < before


class BarsSince(Memory):
    """How many bars ago something was true: 0 at this one, NaN before it ever was."""

    __slots__ = ("_since",)

    def __init__(self, strategy: Strategy) -> None:
        super().__init__(strategy)
        self._since: dict[int, float] = {}

    def __call__(self, condition: bool) -> float:
        place = self._place()
        since = 0.0 if condition else self._since.get(place, nan) + 1.0
        self._since[place] = since
        return since


class Ago(Memory):
    """The value `bars` bars ago; NaN before there was one."""

    __slots__ = ("_bars", "_values")

    def __init__(self, strategy: Strategy, bars: int) -> None:
        super().__init__(strategy)
        self._bars = bars
        self._values: dict[int, deque[float]] = {}

    def __call__(self, value: float) -> float:
        values = self._values.setdefault(self._place(), deque(maxlen=self._bars + 1))
        values.append(value)
        return values[0] if len(values) > self._bars else nan


class Every(Memory):
    """Whether this is one of each `bars` bars, counted from the beginning of the run."""

    __slots__ = ("_bars", "_count")

    def __init__(self, strategy: Strategy, bars: int) -> None:
        super().__init__(strategy)
        self._bars = bars
        self._count: dict[int, int] = {}

    def __call__(self) -> bool:
        place = self._place()
        count = self._count.get(place, 0) + 1
        self._count[place] = count
        return count % self._bars == 0


class Held(Memory):
    """For how many bars the position has been held, this one included; 0 when there is none."""

    __slots__ = ("_known",)

    def __init__(self, strategy: Strategy) -> None:
        super().__init__(strategy)
        self._known: dict[int, tuple[int, float]] = {}

    def __call__(self) -> float:
        place = self._place()
        quantity = self._strategy.position().quantity
        sign = (quantity > 0) - (quantity < 0)
        before, count = self._known.get(place, (0, 0.0))
        count = 0.0 if sign == 0 else count + 1.0 if sign == before else 1.0
        self._known[place] = sign, count
        return count


# Time.


@lru_cache(maxsize=4096)
def offset_s(quarter: int, zone: str) -> int:
    """Return how far a zone's clock is ahead of UTC in a quarter of an hour since the epoch.

    Offsets change at full quarters of an hour only.
    """
    offset = datetime.fromtimestamp(quarter * 900, ZoneInfo(zone)).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def local_s(ts_ns: int, zone: str) -> int:
    """Return what a zone's clock shows, in seconds since the epoch as if it were UTC."""
    seconds = ts_ns // 1_000_000_000
    return seconds if zone == "UTC" else seconds + offset_s(seconds // 900, zone)


def minutes_of(text: str) -> int:
    """Return "HH:MM" as minutes of the day.

    Raises:
        ValueError: it is no time of day.
    """
    hours, _, minutes = text.partition(":")
    if len(text) != 5 or not (hours.isdecimal() and minutes.isdecimal()):
        raise ValueError(f"{text!r} is not a time of day such as 09:30")
    if int(hours) > 23 or int(minutes) > 59:
        raise ValueError(f"there is no {text} on a clock")
    return int(hours) * 60 + int(minutes)


class TimeOfDay:
    """Whether a time is from `start` until before `end` on a zone's clock; also over midnight."""

    __slots__ = ("_end_s", "_start_s", "_zone")

    def __init__(self, start: str, end: str, zone: str = "UTC") -> None:
        self._start_s, self._end_s = minutes_of(start) * 60, minutes_of(end) * 60
        self._zone = zone

    def __call__(self, ts_ns: int) -> bool:
        second = local_s(ts_ns, self._zone) % _DAY_S
        if self._start_s <= self._end_s:
            return self._start_s <= second < self._end_s
        return second >= self._start_s or second < self._end_s


class Weekdays:
    """Whether a time is on one of some days: "mon", "tue", "wed", "thu", "fri", "sat", "sun"."""

    __slots__ = ("_days", "_zone")

    def __init__(self, days: Collection[str], zone: str = "UTC") -> None:
        self._days = frozenset(WEEKDAYS.index(day) for day in days)
        self._zone = zone

    def __call__(self, ts_ns: int) -> bool:
        # The epoch was a Thursday.
        return (local_s(ts_ns, self._zone) // _DAY_S + 3) % 7 in self._days


class Months:
    """Whether a time is in one of some months: "jan", "feb", "mar" …"""

    __slots__ = ("_months", "_zone")

    def __init__(self, months: Collection[str], zone: str = "UTC") -> None:
        self._months = frozenset(MONTHS.index(month) + 1 for month in months)
        self._zone = zone

    def __call__(self, ts_ns: int) -> bool:
        day = local_s(ts_ns, self._zone) // _DAY_S
        return date.fromordinal(_EPOCH + day).month in self._months


class NewPeriod(Memory):
    """Whether this is the first bar of a new "hour", "day", "week", "month", "quarter", "year".

    Weeks begin on Mondays. The first bar of all is not one: nobody knows what was before.
    """

    __slots__ = ("_numbers", "_period", "_zone")

    def __init__(self, strategy: Strategy, period: str, zone: str = "UTC") -> None:
        super().__init__(strategy)
        self._period = period
        self._zone = zone
        self._numbers: dict[int, int] = {}

    def __call__(self, ts_ns: int) -> bool:
        number = period_number(local_s(ts_ns, self._zone), self._period)
        place = self._place()
        before = self._numbers.get(place, number)
        self._numbers[place] = number
        return number != before


def period_number(seconds: int, period: str) -> int:
    """Return a number that is another one in each hour, day, week …"""
    if period == "hour":
        return seconds // 3600
    day = seconds // _DAY_S
    if period == "day":
        return day
    if period == "week":
        return (day + 3) // 7
    on = date.fromordinal(_EPOCH + day)
    if period == "year":
        return on.year
    return on.year * 12 + on.month if period == "month" else on.year * 4 + (on.month - 1) // 3


# How much.


@dataclass(frozen=True, slots=True)
class Units:
    """So many units."""

    quantity: float

    def units(self, strategy: Strategy, price: float) -> float:
        """Return how many units to trade at a price; NaN or less than nothing: none."""
        return self.quantity


@dataclass(frozen=True, slots=True)
class Percent:
    """A share of equity, in percent; `shared`: divided among all symbols of the run."""

    percent: float
    shared: bool = False

    def weight(self, strategy: Strategy) -> float:
        """Return it as a fraction of equity."""
        weight = self.percent / 100
        return weight / len(strategy.symbols) if self.shared else weight

    def units(self, strategy: Strategy, price: float) -> float:
        """See `Units.units`."""
        return strategy.equity * self.weight(strategy) / price


@dataclass(frozen=True, slots=True)
class Risk:
    """So much that a move of `distance` in price against it costs `percent` of equity.

    The position is worth at most `most` percent of equity, however near the stop is; `shared`:
    both are divided among all symbols of the run.
    """

    percent: float
    distance: float
    most: float = 100.0
    shared: bool = False

    def units(self, strategy: Strategy, price: float) -> float:
        """See `Units.units`."""
        if not self.distance > 0:
            return nan
        equity = strategy.equity
        if self.shared:
            equity /= len(strategy.symbols)
        wanted = equity * self.percent / 100 / self.distance
        most = equity * self.most / 100 / price
        return min(wanted, most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exits:
    """The exits that go with an entry: distances in price, or in percent of the entry's price.

    A fill of one takes back the others. A trailing stop follows the price.
    """

    stop: float | None = None
    target: float | None = None
    trail: float | None = None
    stop_percent: float = 0
    target_percent: float = 0
    trail_percent: float = 0

    def around(self, price: float, sign: int) -> dict[str, float]:
        """Return the terms of `Strategy.protect` for a long (+1) or short (-1) entry at a price."""
        legs: dict[str, float] = {}
        stop = price * self.stop_percent / 100 if self.stop is None else self.stop
        if self.stop is not None or self.stop_percent:
            legs["stop_loss"] = price - sign * stop if stop > 0 else nan
        target = price * self.target_percent / 100 if self.target is None else self.target
        if self.target is not None or self.target_percent:
            legs["take_profit"] = price + sign * target if target > 0 else nan
        if self.trail is not None:
            legs["trail"] = self.trail
        elif self.trail_percent:
            legs["trail_percent"] = self.trail_percent
        return legs


# What is done.


def enter(
    strategy: Strategy,
    side: str,
    size: Units | Percent | Risk,
    *,
    at: float,
    limit: float | None = None,
    stop: float | None = None,
    exits: Exits | None = None,
    tag: str = "",
) -> Order | None:
    """Enter the symbol at hand "long" or "short", unless it is held on that side already.

    What was open is taken back first, and a position on the other side is turned around.

    Args:
        size: how much is held afterwards. `Percent` without a price is a target weight, which is
            sized as it fills; everything else is sized here.
        at: the price at hand, from which sizes and exits are reckoned unless there is a price.
        limit, stop: prices of the entry.
        exits: come to life as the entry fills.
        tag: shows up with the trades.

    Returns:
        The entry; None where there was nothing to do, or a number is not known.
    """
    sign = 1 if side == "long" else -1
    held = strategy.position().quantity
    if held * sign > 0:
        return None
    price = limit if limit is not None else stop if stop is not None else at
    legs = exits.around(price, sign) if exits is not None else {}
    prices = [at, *(one for one in (limit, stop) if one is not None), *legs.values()]
    if not all(map(_is_positive, prices)):
        return None
    if isinstance(size, Percent) and limit is None and stop is None:
        weight = size.weight(strategy)
        if not _is_positive(weight):
            return None
        strategy.cancel()
        entry = strategy.target_weight(sign * weight, tag=tag)
    else:
        quantity = size.units(strategy, price)
        if not _is_positive(quantity):
            return None
        strategy.cancel()
        trade = strategy.buy if sign > 0 else strategy.sell
        entry = trade(quantity + abs(held), limit=limit, stop=stop, tag=tag)
    if legs:
        strategy.protect(entry, **legs, tag=tag)
    return entry


def leave(strategy: Strategy, side: str = "any", tag: str = "") -> Order | None:
    """Leave a position at the market, and take back what was open; only "long" or "short" ones.

    Returns:
        The order; None where there was nothing to leave.
    """
    position = strategy.position()
    if position.is_flat or side == ("short" if position.is_long else "long"):
        return None
    strategy.cancel()
    return strategy.close(tag=tag)


def rebalance(
    strategy: Strategy, percent: float, *, shared: bool = False, tag: str = ""
) -> Order | None:
    """Bring a position to a share of equity, negative for short, and take back what was open.

    Returns:
        The order; None where the share is not known.
    """
    weight = Percent(percent, shared).weight(strategy)
    if not isfinite(weight):
        return None
    strategy.cancel()
    return strategy.target_weight(weight, tag=tag)


def _is_positive(value: float) -> bool:
    return isfinite(value) and value > 0
