"""What the palette and the faults of a graph look like over HTTP."""

from typing import Any

from alphintra.platform.http import Schema
from alphintra.strategies.blocks.forms import BlockType, Category, FieldKind, PortType, Type
from alphintra.strategies.blocks.graph import Fault
from alphintra.strategies.blocks.writing import example_of


class FieldView(Schema):
    """A field of a block's form."""

    name: str
    title: str
    kind: FieldKind
    default: bool | int | float | str | list[str]
    low: float | None
    high: float | None
    step: float | None
    choices: list[str]
    help: str


class InputView(Schema):
    """An input; `field` names the field that it is while nothing is connected."""

    name: str
    title: str
    type: PortType
    required: bool
    field: str | None
    help: str


class OutputView(Schema):
    """An output. A SERIES may go to an input that takes a NUMBER."""

    name: str
    title: str
    type: PortType


class BlockTypeView(Schema):
    """A kind of block. `compiled`: graphs with it run compiled; `example` is its Python."""

    kind: str
    title: str
    group: str
    type: Type
    category: Category
    help: str
    note: str
    example: str
    compiled: bool
    fields: list[FieldView]
    inputs: list[InputView]
    outputs: list[OutputView]


class FaultView(Schema):
    """What is wrong: in which block (empty: in none) and field or port, and what to do."""

    block: str
    field: str
    code: str
    message: str


class ValidationView(Schema):
    """Whether a graph can be run, and everything that is wrong with it."""

    valid: bool
    faults: list[FaultView]


def block_type_view(kind: BlockType) -> BlockTypeView:
    """Return a kind of block as the palette shows it."""
    fields: list[dict[str, Any]] = [
        {name: getattr(one, name) for name in FieldView.model_fields} for one in kind.fields
    ]
    for one in fields:
        one["choices"] = list(one["choices"])
        if isinstance(one["default"], tuple):
            one["default"] = list(one["default"])
    return BlockTypeView(
        kind=kind.kind,
        title=kind.title,
        group=kind.group,
        type=kind.type,
        category=kind.category,
        help=kind.help,
        note=kind.note,
        example=example_of(kind),
        compiled=kind.compiled,
        fields=[FieldView(**one) for one in fields],
        inputs=[
            InputView(
                name=one.name, title=one.title, type=one.type, required=one.required,
                field=one.name if kind.field(one.name) else None, help=one.help,
            )
            for one in kind.inputs
        ],
        outputs=[
            OutputView(name=one.name, title=one.title, type=one.type) for one in kind.outputs
        ],
    )  # fmt: skip


def fault_view(fault: Fault) -> FaultView:
    """Return a fault as an editor gets it."""
    return FaultView(block=fault.block, field=fault.field, code=fault.code, message=fault.message)
