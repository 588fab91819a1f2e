"""When an instrument trades."""

from collections.abc import Callable

import numpy as np

from alphintra.engine.portfolio.terms import BadTerms
from alphintra.engine.series import Times


class Sessions:
    """The trading sessions of an instrument, oldest first.

    Reading a calendar takes seconds, and few strategies ask for it: it may wait until one does.
    """

    __slots__ = ("_read", "_times")

    def __init__(self, times: Times | Callable[[], Times]) -> None:
        """Hold sessions, or the way to read them.

        Args:
            times: shape (n, 2), nanoseconds since the UNIX epoch: when each session opens and
                closes, the end excluded; or what returns that.

        Raises:
            BadTerms: times that are no sessions; of a way to read them, when they are read.
        """
        self._read = times if callable(times) else None
        self._times = None if callable(times) else _checked(times)

    @property
    def opens_ns(self) -> Times:
        """When the sessions open, shape (n,), rising."""
        opens: Times = self._known()[:, 0]
        return opens

    @property
    def closes_ns(self) -> Times:
        """When the sessions close, shape (n,), rising."""
        closes: Times = self._known()[:, 1]
        return closes

    def _known(self) -> Times:
        if self._times is None:
            assert self._read is not None
            self._times = _checked(self._read())
        return self._times


def _checked(times: Times) -> Times:
    given = np.asarray(times)
    if given.ndim != 2 or given.shape[1] != 2 or (given.size and given.dtype.kind not in "iu"):
        raise BadTerms("sessions are pairs of whole numbers: when each opens and closes")
    flat = given.ravel()
    if (np.diff(flat) < 0).any() or (given[:, 0] >= given[:, 1]).any():
        raise BadTerms("a session closes after it opened, and not after the next one opens")
    return np.ascontiguousarray(given, np.int64)
