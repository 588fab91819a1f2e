"""What is wrong with a graph, or with Python that should be read as one."""

from collections.abc import Sequence

from alphintra.core.errors import BadRequest
from alphintra.strategies.blocks.graph import Fault


class GraphRefused(BadRequest):
    """The graph cannot be used as it is. `faults` names each block and field, and what to do."""

    code = "graph_refused"

    def __init__(self, faults: Sequence[Fault]) -> None:
        first = faults[0]
        where = " of ".join(part for part in (first.field, first.block) if part)
        more = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
        super().__init__(
            f"{where}: {first.message}{more}" if where else f"{first.message}{more}",
            faults=[
                {
                    "block": one.block, "field": one.field, "code": one.code,
                    "message": one.message,
                }
                for one in faults
            ],
        )  # fmt: skip
        self.faults = tuple(faults)


class NotBlocks(BadRequest):
    """This Python is more than blocks can say. Change the named line, or keep it as code."""

    code = "not_blocks"

    def __init__(self, detail: str, *, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {detail}", line=line, column=column)
        self.line = line
        self.column = column
