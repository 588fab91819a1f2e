"""What a compiled graph is to the kernel: numbers for its operations and actions."""

from enum import IntEnum
from typing import Final

#: What `follow` returns when an order is too large for the simulator.
TOO_LARGE: Final = -100


class Op(IntEnum):
    """What an operation gives. Registers a, b; a whole number n; memory of the symbol."""

    COLUMN = 0  #: the value of column n at the row
    ADD = 1
    SUBTRACT = 2
    MULTIPLY = 3
    DIVIDE = 4
    SMALLER = 5
    LARGER = 6
    ABSOLUTE = 7
    ABOVE = 8
    AT_LEAST = 9
    BELOW = 10
    AT_MOST = 11
    EQUAL = 12
    DIFFERENT = 13
    AND = 14
    OR = 15
    NOT = 16
    CROSSING = 17  #: n: 1 up, -1 down, 0 either
    RECENTLY = 18
    LASTING = 19
    RISING = 20
    FALLING = 21
    SINCE = 22
    AGO = 23
    EVERY = 24
    CHANGED = 25
    HELD = 26
    QUANTITY = 27
    IS_LONG = 28
    IS_SHORT = 29
    IS_FLAT = 30
    ENTRY_PRICE = 31
    PROFIT = 32
    CASH = 33
    EQUITY = 34
    ORDERS = 35


#: Columns of an operation.
OP, OUT, A, B, N, MEMORY = range(6)


class Do(IntEnum):
    """What an action does."""

    CANCEL = 0
    LEAVE = 1
    REBALANCE = 2
    ENTER = 3


class Size(IntEnum):
    """How an entry is sized."""

    UNITS = 0
    PERCENT = 1
    RISK = 2


class Leg(IntEnum):
    """How far an exit is."""

    NONE = 0
    DISTANCE = 1
    PERCENT = 2


#: Columns of an action; registers, except the ones with a comment.
(
    DO,  # Do
    WHEN,
    SIDE,  # 1 long, -1 short, 0 any
    SIZE,  # Size
    AMOUNT,
    DISTANCE,
    MOST,
    SHARES,  # by how many an amount is divided
    LIMIT,  # or -1
    STOP,  # or -1
    AT,
    STOP_LEG,  # Leg
    STOP_BY,
    TARGET_LEG,  # Leg
    TARGET_BY,
    TRAIL_LEG,  # Leg
    TRAIL_BY,
    TAG,  # number of the tag
    ACTION_WIDTH,
) = range(19)

#: Columns of the loop's state.
DECIDED, TOLD, TOO_SMALL, STATE_WIDTH = range(4)
