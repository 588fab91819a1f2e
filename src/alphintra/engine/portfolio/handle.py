"""How compiled code gets at a desk: by one address, instead of a dozen arrays.

Handing over an array costs compiled code 50 ns and every call between compiled functions a lock and
an unlock; for one address it is nothing. The arrays live as long as the `Handle` that knows them.
`NUMBA_DISABLE_JIT=1` hands over the desk itself.
"""

from typing import Any, Final

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import carray  # type: ignore[attr-defined]
from numba.core import cgutils, types
from numba.extending import (
    intrinsic,
    models,
    overload_attribute,
    register_model,
)

from alphintra.engine.compile import compiled, part
from alphintra.engine.layout import EVENT, HIT, ORDER, SIDE, STATE
from alphintra.engine.portfolio.records import (
    CURRENCY,
    HEAD,
    JOURNAL,
    REQUEST,
    SYMBOL,
    TICKET,
    Desk,
)

#: Numba's types describe how an intrinsic is written, not how it is called.
_intrinsic: Any = intrinsic
_carray: Any = carray


def _itself(desk: Desk) -> Desk:
    return desk


def _no_row(desk: Desk, row: int) -> None:
    pass


_IS_COMPILED: Final = compiled(_itself) is not _itself
_NUMBERS: Final = np.dtype(np.int64)
_FLOATS: Final = np.dtype(np.float64)

#: For each array of a desk: its element, and its shape; a name is a row's worth of the table.
_FORMS: Final[dict[str, tuple[np.dtype[Any], int]]] = {
    "cells": (_NUMBERS, 2),
    "head": (HEAD, 1),
    "symbols": (SYMBOL, 1),
    "currencies": (CURRENCY, 1),
    "tiers": (_FLOATS, 3),
    "tickets": (TICKET, 1),
    "requests": (REQUEST, 1),
    "journal": (JOURNAL, 1),
    "states": (STATE, 2),
    "sides": (SIDE, 2),
    "slots": (ORDER, 2),
    "hits": (HIT, 1),
    "events": (EVENT, 1),
}
#: Address and up to three lengths for each array.
_WIDTH: Final = 4
_CELLS: Final = _WIDTH * len(_FORMS)
#: How many decisions or entries of the journal before a row is needed it is fetched.
AHEAD: Final = 2
#: Of the tape.
_COLUMNS: Final = 9


class Handle:
    """The address of a desk's arrays, and the arrays."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._table = np.zeros((len(_FORMS), _WIDTH), np.int64)
        for row, (name, (dtype, dimensions)) in enumerate(_FORMS.items()):
            array = getattr(desk, name)
            assert (array.dtype, array.ndim) == (dtype, dimensions)
            assert array.flags.c_contiguous
            self._table[row, 0] = array.ctypes.data
            self._table[row, 1 : 1 + dimensions] = array.shape
        #: What compiled functions take for the desk.
        self.address: Any = self._table.ctypes.data if _IS_COMPILED else desk


class _DeskType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="PortfolioDesk")


_DESK: Final[Any] = _DeskType()


@register_model(_DeskType)
class _DeskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        number = manager.lookup(types.int64).get_value_type()
        super().__init__(manager, kind, number)  # type: ignore[no-untyped-call]


@_intrinsic  # type: ignore[untyped-decorator]
def _desk_of(context: Any, address: Any) -> Any:
    return _DESK(types.int64), lambda target, builder, signature, given: given[0]


@_intrinsic  # type: ignore[untyped-decorator]
def _address_of(context: Any, desk: Any) -> Any:
    return types.int64(_DESK), lambda target, builder, signature, given: given[0]


@_intrinsic  # type: ignore[untyped-decorator]
def _pointer_to(context: Any, address: Any) -> Any:
    def generate(target: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.inttoptr(given[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


@_intrinsic  # type: ignore[untyped-decorator]
def _prefetch(context: Any, address: Any) -> Any:
    def generate(target: Any, builder: Any, signature: Any, given: Any) -> Any:
        word = ir.IntType(32)
        form = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, word, word, word])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], form)
        builder.call(
            fetch, [builder.inttoptr(given[0], cgutils.voidptr_t), word(0), word(3), word(1)]
        )
        return target.get_dummy_value()

    return types.none(types.int64), generate


def _offer(name: str, row: int, dtype: np.dtype[Any], dimensions: int) -> None:
    """Make `desk.name` mean the array in compiled code."""
    at = _WIDTH * row

    def one(desk: Any) -> Any:
        table = _carray(_pointer_to(_address_of(desk)), (_CELLS,), _NUMBERS)
        return _carray(_pointer_to(table[at]), (table[at + 1],), dtype)

    def two(desk: Any) -> Any:
        table = _carray(_pointer_to(_address_of(desk)), (_CELLS,), _NUMBERS)
        shape = (table[at + 1], table[at + 2])
        return _carray(_pointer_to(table[at]), shape, dtype)

    def three(desk: Any) -> Any:
        table = _carray(_pointer_to(_address_of(desk)), (_CELLS,), _NUMBERS)
        shape = (table[at + 1], table[at + 2], table[at + 3])
        return _carray(_pointer_to(table[at]), shape, dtype)

    def access(desk: Any) -> Any:
        return (one, two, three)[dimensions - 1]

    overload_attribute(_DeskType, name)(access)


for _row, (_name, (_dtype, _dimensions)) in enumerate(_FORMS.items()):
    _offer(_name, _row, _dtype, _dimensions)


def _fetch_row_compiled(desk: Any, row: int) -> None:
    table = _carray(_pointer_to(_address_of(desk)), (_CELLS,), _NUMBERS)
    for column in range(_COLUMNS):
        _prefetch(table[0] + 8 * (column * table[2] + row))


#: Lets the processor fetch a row of the tape that will be looked at soon: it lies in nine places.
fetch_row: Any = part(_fetch_row_compiled) if _IS_COMPILED else _no_row

#: Returns the desk at an address, in compiled code.
desk_at: Any = _desk_of if _IS_COMPILED else _itself
