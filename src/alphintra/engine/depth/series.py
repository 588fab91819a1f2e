"""What happened to the order book of one instrument, as columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from alphintra.engine.series import BadSeries, Floats, Times, _Series


class DepthKind(IntEnum):
    """What a row of a book's recording is."""

    SNAPSHOT = 0  #: a level of the whole book; rows of one `seq` are one snapshot
    DELTA = 1  #: a level that has changed; size 0 takes it away


class DepthSide(IntEnum):
    """On which side of the book a level lies."""

    BID = 0
    ASK = 1


_KINDS: Final = {"snapshot": DepthKind.SNAPSHOT, "delta": DepthKind.DELTA}
_SIDES: Final = {"bid": DepthSide.BID, "ask": DepthSide.ASK}


@dataclass(frozen=True, slots=True, eq=False)
class Depth(_Series):
    """Levels of an order book as they change, oldest first, shape (n,) each.

    `ts_ns` is the venue's time, `recv_ns` the time at which the recording saw the row, by its own
    clock. Rows that share `seq` came in one message. `size` is what the level holds from then on.

    Raises:
        BadSeries: columns of different lengths, times that go back, an unknown kind or side, a
            price that is not positive, a size that is negative or not a number.
    """

    ts_ns: Times
    recv_ns: Times
    kind: NDArray[np.int8]
    side: NDArray[np.int8]
    price: Floats
    size: Floats
    seq: Times

    _integers: ClassVar[Mapping[str, type]] = {
        "kind": np.int8, "side": np.int8, "seq": np.int64,
    }  # fmt: skip

    @classmethod
    def of_columns(cls, symbol: str, columns: Mapping[str, NDArray[Any]]) -> "Depth":
        """Return the series of columns named as recordings name them.

        Args:
            symbol: of the instrument.
            columns: ts, recv_ts (datetime64), kind ("snapshot", "delta"), side ("bid", "ask"),
                price, size, seq (whole numbers in any type).

        Raises:
            BadSeries: a column is missing or holds something else, or as the class.
        """
        wanted = ("ts", "recv_ts", "kind", "side", "price", "size", "seq")
        if missing := [name for name in wanted if name not in columns]:
            raise BadSeries(f"{symbol}: there is no column {', '.join(missing)}")
        return cls(
            symbol,
            ts_ns=nanoseconds(columns["ts"]),
            recv_ns=nanoseconds(columns["recv_ts"]),
            kind=_codes(symbol, "kind", columns["kind"], _KINDS),
            side=_codes(symbol, "side", columns["side"], _SIDES),
            price=columns["price"],
            size=columns["size"],
            seq=_whole(symbol, columns["seq"]),
        )

    def _check(self) -> None:
        self._check_order(strictly=False)
        for block in self._blocks():
            kind, side = self.kind[block], self.side[block]
            price, size = self.price[block], self.size[block]
            known = (kind >= 0) & (kind <= 1) & (side >= 0) & (side <= 1)
            self._refuse_first(known, block.start, "a row has a known kind and side")
            priced = (price > 0) & (price < np.inf)
            self._refuse_first(priced, block.start, "prices are positive numbers")
            sized = (size >= 0) & (size < np.inf)
            self._refuse_first(sized, block.start, "a size is a number, zero or more")


def nanoseconds(times: NDArray[Any]) -> Times:
    """Return datetime64 values as nanoseconds since the UNIX epoch."""
    return times.astype("datetime64[ns]").astype(np.int64)


def _codes(
    symbol: str, name: str, words: NDArray[Any], codes: Mapping[str, int]
) -> NDArray[np.int8]:
    found = np.full(len(words), -1, np.int8)
    for word, code in codes.items():
        found[words == word] = code
    if (found < 0).any():
        row = int(np.argmax(found < 0))
        raise BadSeries(f"{symbol}, row {row}: {name} is {words[row]!r}, not {' or '.join(codes)}")
    return found


def _whole(symbol: str, numbers: NDArray[Any]) -> Times:
    whole = np.rint(numbers) if numbers.dtype.kind == "f" else numbers
    if numbers.dtype.kind not in "iuf" or not np.array_equal(whole, numbers):
        raise BadSeries(f"{symbol}: seq holds {numbers.dtype}, not whole numbers")
    return whole.astype(np.int64)
