"""What a kind of block is: its form in an editor, its ports, and how it reads as Python."""

from dataclasses import dataclass
from enum import StrEnum

from alphintra.strategies.blocks.graph import Value


class PortType(StrEnum):
    """What goes through a connection. A series is a number too, one with a known history."""

    SERIES = "SERIES"
    NUMBER = "NUMBER"
    BOOLEAN = "BOOLEAN"
    SIZE = "SIZE"
    EXITS = "EXITS"

    def fits(self, wanted: "PortType") -> bool:
        """Whether this output may be connected to an input of that type."""
        return self is wanted or (self is PortType.SERIES and wanted is PortType.NUMBER)


class FieldKind(StrEnum):
    """What a field of a form takes."""

    INTEGER = "INTEGER"
    NUMBER = "NUMBER"
    BOOLEAN = "BOOLEAN"
    CHOICE = "CHOICE"
    CHOICES = "CHOICES"  #: one or more
    TIME = "TIME"  #: "HH:MM"
    ZONE = "ZONE"  #: a time zone, "America/New_York"
    TIMEFRAME = "TIMEFRAME"  #: "1h", "1d" …; empty: that of the run
    SYMBOL = "SYMBOL"  #: empty: the one at hand


class Type(StrEnum):
    """What a block is for."""

    CONDITION = "CONDITION"
    LOGIC = "LOGIC"
    ACTION = "ACTION"


class Category(StrEnum):
    """What a block looks at."""

    INDICATOR = "INDICATOR"
    PRICE_ACTION = "PRICE_ACTION"
    TIME = "TIME"
    PORTFOLIO = "PORTFOLIO"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A value that is set in a block's form.

    `quiet`: it is left out of the Python where it has its default. A field with the name of an
    input is what the input is while nothing is connected to it.
    """

    name: str
    title: str
    kind: FieldKind
    default: Value
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    help: str = ""
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A port that one output may be connected to."""

    name: str
    title: str
    type: PortType
    required: bool = True
    help: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A port that may be connected to any number of inputs."""

    name: str
    type: PortType
    title: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """Declared in `setup` with `self.indicator` or `self.data`, read as `self.id.now`."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A line of `on_bar`; `{name}` is an input or a field.

    `texts`: by the value of the field `chosen`, or one text under "".
    """

    texts: dict[str, str]
    chosen: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    """Up to four conditions with `and` or `or` between them."""

    word: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """An object made in `setup` out of the fields, and called in `on_bar`.

    `calls`: what it is called with, inputs or something of the bar; `owned`: it is given the
    strategy, because it remembers something for each symbol.
    """

    name: str
    calls: tuple[str, ...] = ()
    owned: bool = True


@dataclass(frozen=True, slots=True)
class Made:
    """An object made in `on_bar` out of fields and inputs; the `first` ones go without a name."""

    name: str
    first: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What `on_bar` does if `when` holds: a function with the strategy, or a method of it.

    `rank`: lower ones are done first. `fixed`: arguments that are always there.
    """

    name: str
    rank: int
    first: tuple[str, ...] = ()
    fixed: tuple[tuple[str, str], ...] = ()
    is_method: bool = False
    tagged: bool = True


Form = Line | Expression | Chain | Remembered | Made | Done


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockType:
    """A kind of block.

    `compiled`: the compiled simulator runs it; if not, graphs with it run as Python.
    """

    kind: str
    title: str
    group: str
    type: Type
    category: Category
    help: str
    form: Form
    fields: tuple[Field, ...] = ()
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    compiled: bool = True
    note: str = ""

    def field(self, name: str) -> Field | None:
        """Return one of its fields."""
        return next((one for one in self.fields if one.name == name), None)

    def input(self, name: str) -> Input | None:
        """Return one of its inputs."""
        return next((one for one in self.inputs if one.name == name), None)

    def output(self, name: str) -> Output | None:
        """Return one of its outputs."""
        return next((one for one in self.outputs if one.name == name), None)

    @property
    def is_action(self) -> bool:
        """Whether it does something."""
        return isinstance(self.form, Done)
