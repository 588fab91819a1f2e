"""The one exception family of the product.

    Problem                     an answer that a caller is meant to read
    ├── BadRequest      422     the request itself is wrong; sending it again changes nothing
    ├── NotAuthenticated 401    no valid credentials
    ├── Forbidden       403     known caller, missing permission
    ├── NotFound        404     absent, or somebody else's: the answer is the same
    ├── Conflict        409     the state does not allow it
    ├── TooManyRequests 429     slow down, `Retry-After` says how long
    └── Unavailable     503     unknown outcome or a dependency is away; ask again

Each subclass sets a stable `code`; its docstring tells the reader what to do and is published in
the docs.
"""

from collections.abc import Mapping
from typing import ClassVar


class Problem(Exception):
    """Something the caller must know; rendered as an RFC 9457 problem document."""

    code: ClassVar[str] = "problem"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, /, **extra: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra: Mapping[str, object] = extra

    @property
    def title(self) -> str:
        """The first line of the docstring: what happened, independent of this occurrence."""
        return (type(self).__doc__ or self.code).strip().splitlines()[0]

    def headers(self) -> dict[str, str]:
        """Extra HTTP headers of the answer."""
        return {}


class BadRequest(Problem):
    """The request is not valid. Correct it as the detail says and send it again."""

    code = "bad_request"
    status = 422


class NotAuthenticated(Problem):
    """Credentials are missing, expired or wrong. Log in again or send a valid API key."""

    code = "not_authenticated"
    status = 401

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class Forbidden(Problem):
    """The caller may not do this. Ask an administrator for the permission or use another key."""

    code = "forbidden"
    status = 403


class NotFound(Problem):
    """There is no such thing here, or it is not yours."""

    code = "not_found"
    status = 404


class Conflict(Problem):
    """The present state does not allow this. Read the current state, then decide again."""

    code = "conflict"
    status = 409


class TooManyRequests(Problem):
    """Too many requests. Wait as long as `Retry-After` says."""

    code = "too_many_requests"
    status = 429
    retryable = True

    def __init__(self, detail: str, /, *, retry_after_s: int, **extra: object) -> None:
        super().__init__(detail, **extra)
        self.retry_after_s = retry_after_s

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after_s)}


class Unavailable(Problem):
    """The outcome is unknown or a dependency is away. Ask again with the same client order id."""

    code = "unavailable"
    status = 503
    retryable = True

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}
