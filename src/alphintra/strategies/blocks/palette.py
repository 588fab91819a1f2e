"""All kinds of blocks. Those of indicators follow from the indicators' own descriptions."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from alphintra import indicators
from alphintra.indicators import IndicatorInfo, ParameterInfo
from alphintra.sdk.blocks import MONTHS, PERIODS, WEEKDAYS
from alphintra.sdk.lines import PRICES
from alphintra.strategies.blocks.forms import (
    BlockType,
    Category,
    Chain,
    Done,
    Expression,
    Field,
    FieldKind,
    Input,
    Line,
    Made,
    Output,
    PortType,
    Remembered,
    Type,
)

#: Numbers that a form takes where nothing else bounds them.
_LARGE: Final = 1e12
_BARS_MOST: Final = 5_000
#: Reads a series of periods, which no column of the bars holds.
_LEFT_OUT: Final = frozenset({"MAVP"})

_NUMBER, _BOOLEAN = PortType.NUMBER, PortType.BOOLEAN


@cache
def kinds() -> Mapping[str, BlockType]:
    """Return every kind of block by its name, in the order of the palette."""
    found = [
        *_prices(), *_arithmetic(), *_comparison(), *_logic(), *_time(), *_portfolio(), *_sizes(),
        *_actions(), *_indicators(),
    ]  # fmt: skip
    return MappingProxyType({one.kind: one for one in found})


def palette() -> list[BlockType]:
    """Return every kind of block, in the order of the palette."""
    return list(kinds().values())


def _whole(name: str, title: str, default: int, low: int = 1, help: str = "") -> Field:  # noqa: A002
    return Field(
        name=name, title=title, kind=FieldKind.INTEGER, default=default, low=low, high=_BARS_MOST,
        step=1, help=help,
    )  # fmt: skip


def _number(
    name: str, title: str, default: float, low: float = -_LARGE, high: float = _LARGE,
    step: float = 0.1, help: str = "", quiet: bool = False,  # noqa: A002
) -> Field:  # fmt: skip
    return Field(
        name=name, title=title, kind=FieldKind.NUMBER, default=float(default), low=low, high=high,
        step=step, help=help, quiet=quiet,
    )  # fmt: skip


def _choice(name: str, title: str, choices: tuple[str, ...], help: str = "") -> Field:  # noqa: A002
    return Field(
        name=name, title=title, kind=FieldKind.CHOICE, default=choices[0], choices=choices,
        help=help,
    )  # fmt: skip


def _in(
    name: str, title: str, kind: PortType = _NUMBER, required: bool = True, help: str = "",  # noqa: A002
) -> Input:  # fmt: skip
    return Input(name=name, title=title, type=kind, required=required, help=help)


def _out(kind: PortType, name: str = "value") -> tuple[Output, ...]:
    return (Output(name=name, type=kind, title=name.capitalize()),)


_TIMEFRAME: Final = Field(
    name="timeframe", title="Timeframe", kind=FieldKind.TIMEFRAME, default="", quiet=True,
    help="Longer bars than the run's, such as 1h or 1d; their values show when they have closed.",
)  # fmt: skip
_SYMBOL: Final = Field(
    name="symbol", title="Symbol", kind=FieldKind.SYMBOL, default="", quiet=True,
    help="Another symbol of the run, such as an index; empty is the one at hand.",
)  # fmt: skip
_ZONE: Final = Field(
    name="zone", title="Time zone", kind=FieldKind.ZONE, default="UTC", quiet=True,
    help="Whose clock it is, with its summer time, such as America/New_York.",
)  # fmt: skip
_SHARED: Final = Field(
    name="shared", title="Shared", kind=FieldKind.BOOLEAN, default=False, quiet=True,
    help="Divide it among all symbols of the run.",
)  # fmt: skip
_ZONE_HINT: Final = " Daily bars begin at midnight UTC: leave the time zone at UTC for them."


def _prices() -> list[BlockType]:
    return [
        BlockType(
            kind="price", title="Price or volume", group="Prices", type=Type.CONDITION,
            category=Category.PRICE_ACTION, form=Line(), outputs=_out(PortType.SERIES),
            fields=(
                Field(name="column", title="Column", kind=FieldKind.CHOICE, default="close",
                      choices=("open", "high", "low", "close", "volume")),
                _TIMEFRAME, _SYMBOL,
            ),
            help="A price of the bar that has just closed, or how much was traded in it.",
        ),
        BlockType(
            kind="number", title="Number", group="Prices", type=Type.CONDITION,
            category=Category.PRICE_ACTION, form=Expression({"": "{value}"}),
            fields=(_number("value", "Value", 0.0),), outputs=_out(_NUMBER),
            help="A number, or a parameter of the strategy, for several blocks to use.",
        ),
    ]  # fmt: skip


def _arithmetic() -> list[BlockType]:
    group, category = "Arithmetic", Category.PRICE_ACTION
    return [
        BlockType(
            kind="arithmetic", title="Arithmetic", group=group, type=Type.LOGIC, category=category,
            form=Expression(
                {
                    "+": "{a} + {b}", "-": "{a} - {b}", "*": "{a} * {b}",
                    "/": "{a} / {b} if {b} else nan",
                    "min": "smaller({a}, {b})", "max": "larger({a}, {b})",
                },
                chosen="operator",
            ),
            fields=(
                _choice("operator", "Operator", ("+", "-", "*", "/", "min", "max")),
                _number("b", "Second number", 0.0, help="Used while nothing is connected."),
            ),
            inputs=(_in("a", "First"), _in("b", "Second", required=False)),
            outputs=_out(_NUMBER),
            help="Adds, subtracts, multiplies, divides, or takes the smaller or larger of two "
            "numbers. Nothing can be divided by zero: the answer is not known then.",
        ),
        BlockType(
            kind="absolute", title="Size of a number", group=group, type=Type.LOGIC,
            category=category, form=Expression({"": "abs({a})"}), inputs=(_in("a", "Number"),),
            outputs=_out(_NUMBER), help="The number without its sign.",
        ),
        BlockType(
            kind="ago", title="Bars ago", group=group, type=Type.LOGIC, category=category,
            form=Remembered("Ago", ("a",)), fields=(_whole("bars", "Bars", 1),),
            inputs=(_in("a", "Number"),), outputs=_out(_NUMBER),
            help="What a number was some bars ago.",
        ),
    ]  # fmt: skip


def _comparison() -> list[BlockType]:
    group, category = "Comparison", Category.PRICE_ACTION
    level = _number("b", "Level", 0.0, help="Used while nothing is connected.")
    row = _whole("bars", "Bars", 1, help="How many times in a row.")
    operators = (">", ">=", "<", "<=", "==", "!=")
    return [
        BlockType(
            kind="compare", title="Compare", group=group, type=Type.CONDITION, category=category,
            form=Expression({one: f"{{a}} {one} {{b}}" for one in operators}, chosen="operator"),
            fields=(_choice("operator", "Operator", operators), level),
            inputs=(_in("a", "Number"), _in("b", "Other number", required=False)),
            outputs=_out(_BOOLEAN),
            help="Whether a number is above, below or equal to another one or a level.",
        ),
        BlockType(
            kind="cross", title="Cross", group=group, type=Type.CONDITION, category=category,
            form=Remembered("Crossing", ("a", "b")),
            fields=(_choice("direction", "Direction", ("up", "down", "either")), level),
            inputs=(_in("a", "Number"), _in("b", "Other number", required=False)),
            outputs=_out(_BOOLEAN),
            help="Whether a number has come from one side of another one, or of a level, to the "
            "other side. Touching it is no cross.",
        ),
        *(
            BlockType(
                kind=name.lower(), title=name, group=group, type=Type.CONDITION,
                category=category, form=Remembered(name, ("a",)), fields=(row,),
                inputs=(_in("a", "Number"),), outputs=_out(_BOOLEAN),
                help=f"Whether a number has {verb} from bar to bar, so many times in a row.",
            )
            for name, verb in (("Rising", "risen"), ("Falling", "fallen"))
        ),
    ]  # fmt: skip


def _logic() -> list[BlockType]:
    group, category = "Logic", Category.PRICE_ACTION
    four = tuple(
        _in(name, f"Condition {place}", _BOOLEAN, required=place < 3)
        for place, name in enumerate("abcd", start=1)
    )
    one = (_in("a", "Condition", _BOOLEAN),)
    return [
        *(
            BlockType(
                kind=word, title=title, group=group, type=Type.LOGIC, category=category,
                form=Chain(word), inputs=four, outputs=_out(_BOOLEAN), help=text,
            )
            for word, title, text in (
                ("and", "All of", "Whether all of two to four conditions hold."),
                ("or", "Any of", "Whether one of two to four conditions holds, or several."),
            )
        ),
        BlockType(
            kind="not", title="Not", group=group, type=Type.LOGIC, category=category,
            form=Expression({"": "not {a}"}), inputs=one, outputs=_out(_BOOLEAN),
            help="Whether a condition does not hold. What is not known does not hold.",
        ),
        BlockType(
            kind="recently", title="Was true lately", group=group, type=Type.LOGIC,
            category=category, form=Remembered("Recently", ("a",)), inputs=one,
            fields=(_whole("bars", "Bars", 5, help="This bar is the first of them."),),
            outputs=_out(_BOOLEAN),
            help="Whether a condition has held at one of the newest bars.",
        ),
        BlockType(
            kind="lasting", title="True for some bars", group=group, type=Type.LOGIC,
            category=category, form=Remembered("Lasting", ("a",)), inputs=one,
            fields=(_whole("bars", "Bars", 3, help="This bar is the last of them."),),
            outputs=_out(_BOOLEAN),
            help="Whether a condition has held at so many bars in a row.",
        ),
        BlockType(
            kind="bars_since", title="Bars since", group=group, type=Type.LOGIC,
            category=category, form=Remembered("BarsSince", ("a",)), inputs=one,
            outputs=_out(_NUMBER),
            help="How many bars ago a condition held: 0 when it holds at this bar, not known "
            "before it ever held.",
        ),
    ]  # fmt: skip


def _time() -> list[BlockType]:
    group, category = "Time", Category.TIME
    days, months = WEEKDAYS[:5], MONTHS[:1]
    return [
        BlockType(
            kind="time_of_day", title="Time of day", group=group, type=Type.CONDITION,
            category=category, form=Remembered("TimeOfDay", ("bar.close_ns",), owned=False),
            fields=(
                Field(name="start", title="From", kind=FieldKind.TIME, default="09:30"),
                Field(name="end", title="Until", kind=FieldKind.TIME, default="16:00",
                      help="This minute is not part of it."),
                _ZONE,
            ),
            outputs=_out(_BOOLEAN),
            help="Whether the bar has closed, which is when orders are given, within a part of "
            "the day; it may go over midnight.",
        ),
        BlockType(
            kind="weekday", title="Day of the week", group=group, type=Type.CONDITION,
            category=category, form=Remembered("Weekdays", ("bar.open_ns",), owned=False),
            fields=(Field(name="days", title="Days", kind=FieldKind.CHOICES, default=days,
                          choices=WEEKDAYS), _ZONE),
            outputs=_out(_BOOLEAN),
            help="Whether the bar began on one of some days." + _ZONE_HINT,
        ),
        BlockType(
            kind="month", title="Month", group=group, type=Type.CONDITION, category=category,
            form=Remembered("Months", ("bar.open_ns",), owned=False),
            fields=(Field(name="months", title="Months", kind=FieldKind.CHOICES, default=months,
                          choices=MONTHS), _ZONE),
            outputs=_out(_BOOLEAN),
            help="Whether the bar began in one of some months." + _ZONE_HINT,
        ),
        BlockType(
            kind="new_period", title="New period", group=group, type=Type.CONDITION,
            category=category, form=Remembered("NewPeriod", ("bar.open_ns",)),
            fields=(
                Field(name="period", title="Period", kind=FieldKind.CHOICE, default="month",
                      choices=PERIODS),
                _ZONE,
            ),
            outputs=_out(_BOOLEAN),
            help="Whether the bar is the first of a new hour, day, week (from Monday), month, "
            "quarter or year." + _ZONE_HINT,
        ),
        BlockType(
            kind="every", title="Every so many bars", group=group, type=Type.CONDITION,
            category=category, form=Remembered("Every"), outputs=_out(_BOOLEAN),
            fields=(_whole("bars", "Bars", 20, help="Counted from the first bar of the run."),),
            help="True at one of so many bars.",
        ),
    ]  # fmt: skip


def _portfolio() -> list[BlockType]:
    group, category = "Portfolio", Category.PORTFOLIO

    def state(kind: str, title: str, text: str, help: str) -> BlockType:  # noqa: A002
        return BlockType(
            kind=kind, title=title, group=group, type=Type.CONDITION, category=category,
            form=Expression({"": text}), outputs=_out(_NUMBER), help=help,
        )  # fmt: skip

    return [
        BlockType(
            kind="position_is", title="Position is", group=group, type=Type.CONDITION,
            category=category,
            form=Expression(
                {one: f"self.position().is_{one}" for one in ("long", "short", "flat")},
                chosen="side",
            ),
            fields=(_choice("side", "Side", ("long", "short", "flat")),), outputs=_out(_BOOLEAN),
            help="Whether something is held, sold short, or neither.",
        ),
        state("position_size", "Position", "self.position().quantity",
              "How many units are held; negative when sold short."),
        state("entry_price", "Entry price", "self.position().average_price",
              "At which price the position was entered, on average; 0 when there is none."),
        state("profit_percent", "Profit in percent", "self.position().profit_percent(bar.close)",
              "What the position has gained, in percent of its entry price; 0 when there is none."),
        BlockType(
            kind="bars_held", title="Bars held", group=group, type=Type.CONDITION,
            category=category, form=Remembered("Held"), outputs=_out(_NUMBER),
            help="For how many bars the position has been held: 1 at the close of the bar in which "
            "it was entered, 0 when there is none.",
        ),
        state("cash", "Cash", "self.cash", "The money at hand."),
        state("equity", "Equity", "self.equity", "What the account is worth at this bar."),
        state("open_orders", "Open orders", "len(self.open_orders())",
              "How many orders of the symbol can still fill, exits that wait included."),
    ]  # fmt: skip


def _sizes() -> list[BlockType]:
    group, category = "Sizes and exits", Category.PORTFOLIO
    size = _out(PortType.SIZE, "size")
    fallback = "Used while nothing is connected."
    return [
        BlockType(
            kind="size_units", title="Units", group=group, type=Type.LOGIC, category=category,
            form=Made("Units", ("quantity",)),
            fields=(_number("quantity", "Units", 1.0, 0.0, 1e9, 1, fallback),),
            inputs=(_in("quantity", "Units", required=False),), outputs=size,
            help="So many shares, coins or contracts.",
        ),
        BlockType(
            kind="size_percent", title="Percent of equity", group=group, type=Type.LOGIC,
            category=category, form=Made("Percent", ("percent",)),
            fields=(_number("percent", "Percent", 95.0, 0.01, 1_000, 1, fallback), _SHARED),
            inputs=(_in("percent", "Percent", required=False),), outputs=size,
            help="A share of what the account is worth. Without a price it is sized at the price "
            "that the entry meets.",
        ),
        BlockType(
            kind="size_risk", title="Risk per trade", group=group, type=Type.LOGIC,
            category=category, form=Made("Risk", ("percent",)),
            fields=(
                _number("percent", "Percent at risk", 1.0, 0.01, 100, 0.1, fallback),
                _number("most", "At most, percent of equity", 100.0, 1, 1_000, 1, quiet=True,
                        help="How much the position may be worth, however near the stop is."),
                _SHARED,
            ),
            inputs=(
                _in("percent", "Percent at risk", required=False),
                _in("distance", "Distance of the stop",
                    help="In price, such as twice the average true range."),
            ),
            outputs=size,
            help="So much that a move of the distance against the position costs this share of "
            "equity.",
        ),
        BlockType(
            kind="exits", title="Stop, target, trailing stop", group=group, type=Type.LOGIC,
            category=category, form=Made("Exits"),
            fields=tuple(
                _number(f"{name}_percent", f"{title}, percent", 0.0, 0, most, 0.1, quiet=True,
                        help="From the entry's price; 0 is none. Used while no distance is "
                        "connected.")
                for name, title, most in (
                    ("stop", "Stop", 99), ("target", "Target", 10_000), ("trail", "Trail", 99)
                )
            ),
            inputs=tuple(
                _in(name, f"{title}, distance", required=False, help="In price.")
                for name, title in (("stop", "Stop"), ("target", "Target"), ("trail", "Trail"))
            ),
            outputs=_out(PortType.EXITS, "exits"),
            help="Orders that leave the position by themselves, from the moment the entry fills. "
            "When one fills the others are taken back.",
        ),
    ]  # fmt: skip


def _actions() -> list[BlockType]:
    group, category = "Actions", Category.PORTFOLIO
    when = _in("when", "When", _BOOLEAN)

    def action(
        kind: str, title: str, form: Done, text: str, *,
        fields: tuple[Field, ...] = (), inputs: tuple[Input, ...] = (),
    ) -> BlockType:  # fmt: skip
        return BlockType(
            kind=kind, title=title, group=group, type=Type.ACTION, category=category, form=form,
            inputs=(when, *inputs), fields=fields, help=text,
        )  # fmt: skip

    return [
        action(
            "cancel_orders", "Take back orders",
            Done("cancel", 0, is_method=True, tagged=False),
            "Takes back all open orders of the symbol, exits included.",
        ),
        action(
            "exit", "Leave", Done("leave", 1, ("side",)),
            "Leaves the position at the market and takes back what is open. Does nothing without "
            "a position on that side.",
            fields=(_choice("side", "Side", ("any", "long", "short")),),
        ),
        action(
            "rebalance", "Rebalance", Done("rebalance", 2, ("percent",)),
            "Brings the position to a share of equity, at the market; negative is short. Takes "
            "back what is open.",
            fields=(
                _number("percent", "Percent of equity", 100.0, -1_000, 1_000, 1,
                        "Used while nothing is connected."),
                _SHARED,
            ),
            inputs=(_in("percent", "Percent of equity", required=False),),
        ),
        action(
            "enter", "Enter", Done("enter", 3, ("side", "size"), (("at", "bar.close"),)),
            "Enters long or short, at the market or at prices. Does nothing while the position is "
            "on that side already; a position on the other side is turned around. What is open is "
            "taken back first. Nothing is done while a number it needs is not known.",
            fields=(_choice("side", "Side", ("long", "short")),),
            inputs=(
                _in("size", "Size", PortType.SIZE),
                _in("limit", "Limit price", required=False, help="Not worse than this price."),
                _in("stop", "Stop price", required=False, help="As soon as this price is met."),
                _in("exits", "Exits", PortType.EXITS, required=False),
            ),
        ),
    ]  # fmt: skip


def _indicators() -> list[BlockType]:
    return [_indicator(one) for one in indicators.catalogue().values() if one.name not in _LEFT_OUT]


def _indicator(info: IndicatorInfo) -> BlockType:
    single = [one.name for one in info.inputs] == ["real"]
    on = Input(
        name="on", title="On", type=PortType.SERIES, required=False,
        help="What it is computed on, in place of the close.",
    )  # fmt: skip
    return BlockType(
        kind=info.name,
        title=info.title,
        group=info.group,
        type=Type.CONDITION,
        category=Category.INDICATOR,
        form=Line(),
        fields=(*map(_parameter, info.parameters), _TIMEFRAME, _SYMBOL),
        inputs=(on,) if single else (),
        outputs=tuple(
            Output(name=one.name, type=PortType.SERIES, title=one.name) for one in info.outputs
        ),
        help=f"{info.title}, from {_columns(info)}." + (f" {info.note}" if info.note else ""),
        note="Goes on depending on where the data begins." if info.recursive else "",
    )


def _columns(info: IndicatorInfo) -> str:
    named = [one.column for one in info.inputs if one.column in PRICES]
    return "the " + (" and ".join((", ".join(named[:-1]), named[-1])) if named[1:] else named[0])


def _parameter(one: ParameterInfo) -> Field:
    if one.choices:
        return Field(
            name=one.name, title=one.title, kind=FieldKind.CHOICE,
            default=one.choices[int(one.default)], choices=one.choices,
        )  # fmt: skip
    is_whole = one.kind is int
    return Field(
        name=one.name,
        title=one.title,
        kind=FieldKind.INTEGER if is_whole else FieldKind.NUMBER,
        default=int(one.default) if is_whole else float(one.default),
        low=one.minimum,
        high=one.maximum,
        step=one.step,
    )
