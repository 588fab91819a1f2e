"""The id that ties a request to everything it caused: logs, events, jobs, orders."""

import os
from contextvars import ContextVar

_current: ContextVar[str] = ContextVar("correlation_id", default="")

LENGTH_MAX = 64
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def current() -> str:
    """Return the correlation id of what is being done, or an empty string."""
    return _current.get()


def begin(correlation_id: str | None = None) -> str:
    """Set and return the id for this task: the given one where it is sane, else a new one.

    A caller's id goes into logs as it is, so anything that could forge a line is not taken.
    """
    if (
        not correlation_id
        or len(correlation_id) > LENGTH_MAX
        or not _ALLOWED.issuperset(correlation_id)
    ):
        correlation_id = os.urandom(16).hex()
    _current.set(correlation_id)
    return correlation_id
