"""From a graph to the program that the kernel runs, and the run itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.series import Floats, Times
from alphintra.sdk import Line, RunCancelled, Strategy, StrategyFailed
from alphintra.sdk.blocks import (
    MONTHS,
    PERIODS,
    WEEKDAYS,
    minutes_of,
)
from alphintra.sdk.feed import Feed
from alphintra.sdk.lines import Timeline
from alphintra.sdk.parameters import Parameter, resolved
from alphintra.sdk.parameters import Value as Chosen
from alphintra.sdk.watchdog import time_limit
from alphintra.strategies.blocks import clock
from alphintra.strategies.blocks.forms import BlockType, PortType
from alphintra.strategies.blocks.graph import Block, Graph, Reference, Value
from alphintra.strategies.blocks.normal import declared_lines, wiring
from alphintra.strategies.blocks.palette import kinds
from alphintra.strategies.blocks.program import (
    ACTION_WIDTH,
    DECIDED,
    STATE_WIDTH,
    TOO_LARGE,
    TOO_SMALL,
    Do,
    Leg,
    Op,
    Size,
)
from alphintra.strategies.blocks.validation import checked
from alphintra.strategies.blocks.writing import class_name, written

if TYPE_CHECKING:  # it brings the compiler along
    from alphintra.engine.portfolio import Simulation

#: Operations between two looks at whether the run is still wanted: some hundredths of a second.
_OPERATIONS: Final = 4_000_000
_ROWS_LEAST: Final = 4_096
_COMPARISONS: Final = {
    ">": Op.ABOVE, ">=": Op.AT_LEAST, "<": Op.BELOW, "<=": Op.AT_MOST, "==": Op.EQUAL,
    "!=": Op.DIFFERENT, "+": Op.ADD, "-": Op.SUBTRACT, "*": Op.MULTIPLY, "/": Op.DIVIDE,
    "min": Op.SMALLER, "max": Op.LARGER,
}  # fmt: skip
_PLAIN: Final = {
    "absolute": Op.ABSOLUTE, "not": Op.NOT, "position_size": Op.QUANTITY,
    "entry_price": Op.ENTRY_PRICE, "cash": Op.CASH, "equity": Op.EQUITY, "open_orders": Op.ORDERS,
}  # fmt: skip
_SIDES: Final = {
    "position_is": {"long": Op.IS_LONG, "short": Op.IS_SHORT, "flat": Op.IS_FLAT},
}  # fmt: skip
_DIRECTIONS: Final = {"up": 1, "down": -1, "either": 0}
_ENTRY_SIDES: Final = {"long": 1, "short": -1, "any": 0}


@dataclass(frozen=True, slots=True)
class Program:
    """What the kernel takes for one set of parameters; see `kernel.follow`."""

    columns: tuple[Floats, ...]  #: over all rows
    ops: NDArray[np.int64]
    actions: NDArray[np.int64]
    registers: Floats
    memory: Floats


@dataclass(frozen=True, slots=True, eq=False)
class CompiledGraph:
    """A graph that the compiled simulator runs, with the same orders as its Python."""

    graph: Graph
    parameters: Mapping[str, Parameter]
    tags: tuple[str, ...]  #: by their numbers in the simulation
    #: Nothing is decided before; indicators warm up meanwhile.
    waits_until_ns: int | None = None

    @property
    def name(self) -> str:
        """What the class is called that means the same."""
        return class_name(self.graph.name)

    @property
    def source(self) -> str:
        """The Python that means the same."""
        return written(self.graph)

    def run(
        self,
        simulation: "Simulation",
        feed: Feed,
        parameters: Mapping[str, object] | None = None,
        *,
        progress: Callable[[float], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        time_limit_s: float | None = None,
    ) -> int:
        """Trade what is on the simulation's tape, to its end; positions stay open.

        Args:
            feed: the columns behind the same tape.
            parameters: in place of the defaults.
            progress: called now and then with the share of rows that is done.
            cancelled: asked now and then; true ends the run.
            time_limit_s: wall time after which the run is ended.

        Returns:
            How many orders were for less than one lot.

        Raises:
            ParameterRefused: a parameter is unknown or has no such value.
            StrategyRefused: a symbol or timeframe that the run has not.
            StrategyFailed: an order is larger than the simulator's numbers.
            RunCancelled, StrategyOutOfTime: as they say.
        """
        chosen = resolved(self.parameters, parameters or {}, strategy=self.name)
        with time_limit(time_limit_s):
            program = _Builder(self.graph, self.tags, chosen, feed).program()
            first = 0
            if self.waits_until_ns is not None:
                first = int(np.searchsorted(feed.close_ns, self.waits_until_ns))
            return self._follow(program, simulation, first, progress, cancelled)

    def _follow(
        self,
        program: Program,
        simulation: "Simulation",
        first: int,
        progress: Callable[[float], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> int:
        """Run a program stretch by stretch; see `run`."""
        from alphintra.strategies.blocks.kernel import follow  # brings the compiler along
        from alphintra.strategies.blocks.simulator import calls_of

        steps = np.array([(one.tick_size, one.lot_size) for one in simulation.terms])
        held = np.zeros((len(simulation.terms), 2))
        state = np.zeros(STATE_WIDTH, np.int64)
        rows = len(simulation.tape)
        stretch = max(_ROWS_LEAST, _OPERATIONS // len(program.ops))
        state[DECIDED] = done = first
        while done < rows:
            if cancelled is not None and cancelled():
                raise RunCancelled(f"the run was cancelled after {done / rows:.0%}")
            until = min(done + stretch, rows)
            columns = np.array([column[done:until] for column in program.columns])
            while True:
                answer = follow(
                    calls_of(simulation), done, until, columns, program.ops, program.actions,
                    program.registers, program.memory, held, steps, state,
                )  # fmt: skip
                if answer >= 0:
                    break
                if answer == TOO_LARGE:
                    row = int(state[DECIDED])
                    raise StrategyFailed(f"{self.name}: an order is too large", row=row)
                simulation._grow(answer)
            done = until
            if progress is not None:
                progress(done / rows)
        simulation.cursor = rows
        return int(state[TOO_SMALL])


def compile_graph(graph: Graph) -> CompiledGraph:
    """Return what the compiled simulator runs for a graph.

    Raises:
        GraphRefused: something is wrong with the graph.
    """
    graph = checked(graph)
    parameters = {
        one.name: Parameter(
            one.default, one.low, one.high, one.step, one.choices, one.help, one.name
        )
        for one in graph.parameters
    }
    actions = [block.id for block in graph.blocks if kinds()[block.kind].is_action]
    return CompiledGraph(graph, parameters, ("", *actions))


class _Declaring(Strategy):
    """Makes lines as a strategy does, for columns over all rows."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._host = _LinesOnly(feed)  # type: ignore[assignment]  # lines need no more of a host


class _LinesOnly:
    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.lines: list[Line] = []

    def timeline(self, pinned: int | None, timeframe: str | None) -> Timeline:
        return Timeline(self.feed, pinned, timeframe)


class _Builder:
    """Turns blocks into operations, constants, columns and actions."""

    def __init__(
        self, graph: Graph, tags: tuple[str, ...], chosen: Mapping[str, Chosen], feed: Feed
    ) -> None:
        self._graph = graph
        self._chosen = chosen
        self._feed = feed
        self._wiring = wiring(graph)
        self._lines = declared_lines(graph)
        self._declaring = _Declaring(feed)
        self._made: dict[tuple[str, str], Line] = {}
        self._columns: list[Floats] = []
        self._ops: list[list[int]] = []
        self._actions: list[list[int]] = []
        self._registers: list[float] = []
        self._constants: dict[float, int] = {}
        self._memory: list[float] = []
        self._places: dict[tuple[str, str], int] = {}
        self._tags = {tag: number for number, tag in enumerate(tags)}
        self._close = -1

    def program(self) -> Program:
        """Return the program."""
        self._close = self._column(self._feed.column("close"))
        for block in self._graph.blocks:
            self._block(block)
        symbols = len(self._feed.symbols)
        return Program(
            columns=tuple(self._columns),
            ops=np.array(self._ops, np.int64).reshape(-1, 6),
            actions=np.array(self._actions, np.int64).reshape(-1, ACTION_WIDTH),
            registers=np.array(self._registers),
            memory=np.tile(np.array(self._memory), (symbols, 1)),
        )

    # Blocks.

    def _block(self, block: Block) -> None:
        kind = kinds()[block.kind]
        if kind.is_action:
            self._action(block)
        elif kind.outputs[0].type in (PortType.SIZE, PortType.EXITS):
            return  # a part of the entries that they go to
        elif block.id in self._lines:
            for output, line in self._declared(block, kind).items():
                self._made[block.id, output] = line
                if output in self._wanted(block.id):
                    self._places[block.id, output] = self._column(line._whole_over_rows())
        else:
            self._places[block.id, kind.outputs[0].name] = self._value(block)

    def _wanted(self, name: str) -> set[str]:
        """Return the outputs of a line whose values something reads."""
        return {
            one.output
            for one in self._graph.connections
            if one.source == name and one.input != "on"
        }

    def _declared(self, block: Block, kind: BlockType) -> Mapping[str, Line]:
        fields = {name: self._field(block, name) for name in block.fields}
        symbol, timeframe = (str(fields.pop(name)) or None for name in ("symbol", "timeframe"))
        if block.kind == "price":
            series = self._declaring.data(symbol, timeframe)
            return {kind.outputs[0].name: getattr(series, str(fields["column"]))}
        on = self._wiring.get(block.id, {}).get("on")
        lines = self._declaring.outputs(
            block.kind,
            on=None if on is None else self._made[on.source, on.output],
            symbol=symbol,
            timeframe=timeframe,
            **fields,
        )
        return {line.name: line for line in lines}

    def _value(self, block: Block) -> int:
        """Add the operations of a block and return the register of what it gives."""
        name = block.kind
        if name == "price":
            return self._column(self._feed.column(str(block.fields["column"])))
        if name == "number":
            return self._constant(self._number(block, "value"))
        if name in ("and", "or"):
            op = Op.AND if name == "and" else Op.OR
            ports = [self._input(block, port) for port in "abcd" if port in self._wiring[block.id]]
            place = ports[0]
            for other in ports[1:]:
                place = self._op(op, place, other)
            return place
        if name in ("arithmetic", "compare"):
            operator = _COMPARISONS[str(self._field(block, "operator"))]
            return self._op(operator, self._input(block, "a"), self._input(block, "b"))
        if name in _PLAIN:
            a = self._input(block, "a") if name in ("absolute", "not") else 0
            return self._op(_PLAIN[name], a)
        if name == "position_is":
            return self._op(_SIDES[name][str(self._field(block, "side"))])
        if name == "profit_percent":
            return self._op(Op.PROFIT, self._close)
        if name in ("time_of_day", "weekday", "month"):
            return self._column(self._time_column(block))
        return self._remembering(block)

    def _remembering(self, block: Block) -> int:
        """Add an operation with a memory: the cells that it begins with."""
        name = block.kind
        bars = self._whole(block, "bars") if "bars" in block.fields else 0
        a = self._input(block, "a") if "a" in self._wiring.get(block.id, {}) else 0
        match name:
            case "cross":
                direction = _DIRECTIONS[str(self._field(block, "direction"))]
                return self._op(Op.CROSSING, a, self._input(block, "b"), direction, [0.0])
            case "recently":
                return self._op(Op.RECENTLY, a, 0, bars, [float(bars)])
            case "lasting":
                return self._op(Op.LASTING, a, 0, bars, [0.0])
            case "rising" | "falling":
                op = Op.RISING if name == "rising" else Op.FALLING
                return self._op(op, a, 0, bars, [nan, 0.0])
            case "bars_since":
                return self._op(Op.SINCE, a, 0, 0, [nan])
            case "ago":
                return self._op(Op.AGO, a, 0, bars, [0.0] + [nan] * bars)
            case "every":
                return self._op(Op.EVERY, 0, 0, bars, [0.0])
            case "bars_held":
                return self._op(Op.HELD, 0, 0, 0, [0.0, 0.0])
            case "new_period":
                return self._op(Op.CHANGED, self._column(self._time_column(block)), 0, 0, [nan])
        raise AssertionError(f"{name} is not compiled")

    def _time_column(self, block: Block) -> Floats:
        fields = {name: self._field(block, name) for name in block.fields}
        zone = str(fields["zone"])
        if block.kind == "time_of_day":
            start, end = (minutes_of(str(fields[name])) for name in ("start", "end"))
            return clock.in_window(self._feed.close_ns, zone, start, end)
        opened: Times = self._feed.open_ns
        if block.kind == "weekday":
            return clock.on_weekdays(opened, zone, [WEEKDAYS.index(one) for one in fields["days"]])
        if block.kind == "month":
            return clock.in_months(opened, zone, [MONTHS.index(one) for one in fields["months"]])
        assert str(fields["period"]) in PERIODS
        return clock.periods(opened, zone, str(fields["period"]))

    # Actions.

    def _action(self, block: Block) -> None:
        row: dict[str, int] = {"WHEN": self._input(block, "when")}
        match block.kind:
            case "cancel_orders":
                row["DO"] = Do.CANCEL
            case "exit":
                row |= {"DO": Do.LEAVE, "SIDE": _ENTRY_SIDES[str(self._field(block, "side"))]}
            case "rebalance":
                row |= {"DO": Do.REBALANCE, "AMOUNT": self._input(block, "percent")}
                row["SHARES"] = self._shares(block)
            case "enter":
                row |= {"DO": Do.ENTER, "SIDE": _ENTRY_SIDES[str(self._field(block, "side"))]}
                row |= self._sized(self._source(block, "size")) | self._left(block)
                for name in ("limit", "stop"):
                    given = name in self._wiring[block.id]
                    row[name.upper()] = self._input(block, name) if given else -1
        row["TAG"] = self._tags[block.id]
        self._actions.append([row.get(name, 0) for name in _ACTION])

    def _source(self, block: Block, name: str) -> Block:
        source = self._wiring[block.id][name].source
        return next(one for one in self._graph.blocks if one.id == source)

    def _sized(self, block: Block) -> dict[str, int]:
        match block.kind:
            case "size_units":
                return {"SIZE": Size.UNITS, "AMOUNT": self._input(block, "quantity")}
            case "size_percent":
                size, more = Size.PERCENT, {}
            case _:
                size = Size.RISK
                more = {name.upper(): self._input(block, name) for name in ("distance", "most")}
        amount = self._input(block, "percent")
        return {"SIZE": size, "AMOUNT": amount, "SHARES": self._shares(block), **more}

    def _left(self, block: Block) -> dict[str, int]:
        """Return how an entry is left: its price at hand and the exits that go with it."""
        row = {"AT": self._close}
        if "exits" not in self._wiring[block.id]:
            return row
        exits = self._source(block, "exits")
        given = self._wiring.get(exits.id, {})
        for name in ("stop", "target", "trail"):
            leg, by = f"{name}_LEG".upper(), f"{name}_BY".upper()
            if name in given:
                row |= {leg: Leg.DISTANCE, by: self._input(exits, name)}
            elif percent := self._number(exits, f"{name}_percent"):
                row |= {leg: Leg.PERCENT, by: self._constant(percent)}
        return row

    def _shares(self, block: Block) -> int:
        return len(self._feed.symbols) if self._field(block, "shared") else 1

    # Values.

    def _input(self, block: Block, name: str) -> int:
        """Return the register of an input: of what is connected, or of the field of that name."""
        one = self._wiring.get(block.id, {}).get(name)
        if one is None:
            return self._constant(self._number(block, name))
        return self._places[one.source, one.output]

    def _field(self, block: Block, name: str) -> Any:
        value: Value = block.fields[name]
        return self._chosen[value.parameter] if isinstance(value, Reference) else value

    def _number(self, block: Block, name: str) -> float:
        return float(self._field(block, name))

    def _whole(self, block: Block, name: str) -> int:
        return int(self._field(block, name))

    def _constant(self, value: float) -> int:
        if value not in self._constants:
            self._constants[value] = self._register(value)
        return self._constants[value]

    def _register(self, value: float) -> int:
        self._registers.append(value)
        return len(self._registers) - 1

    def _column(self, values: Floats) -> int:
        self._columns.append(values)
        return self._op(Op.COLUMN, n=len(self._columns) - 1)

    def _op(
        self, op: Op, a: int = 0, b: int = 0, n: int = 0, memory: list[float] | None = None
    ) -> int:
        out = self._register(nan)
        self._ops.append([op, out, a, b, n, len(self._memory)])
        self._memory += memory or []
        return out


_ACTION: Final = (
    "DO", "WHEN", "SIDE", "SIZE", "AMOUNT", "DISTANCE", "MOST", "SHARES", "LIMIT", "STOP", "AT",
    "STOP_LEG", "STOP_BY", "TARGET_LEG", "TARGET_BY", "TRAIL_LEG", "TRAIL_BY", "TAG",
)  # fmt: skip
assert len(_ACTION) == ACTION_WIDTH
