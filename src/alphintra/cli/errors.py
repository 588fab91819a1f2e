"""How commands fail: what is printed, and with which exit code the process ends.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | refused, or something is wrong; the text says what to do |
| 2 | the command line itself is wrong |
| 3 | the server could not be reached, or the outcome is unknown |
"""

from collections.abc import Mapping
from typing import Any, Self

from alphintra.core.errors import Problem

#: Members of a problem document that are shown in their own place or mean nothing to a person.
_STANDARD_MEMBERS = frozenset(
    {"type", "title", "status", "code", "detail", "correlation_id", "retryable"}
)


class CommandFailed(Exception):
    """A command did not do what it was asked to."""

    exit_code: int = 1

    def __init__(self, detail: str, *, code: str = "", advice: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.advice = advice

    def text(self) -> str:
        """What is printed on standard error."""
        marked = f"{self.detail}  [{self.code}]" if self.code else self.detail
        return f"✗ {marked}" + "".join(f"\n  {line}" for line in self.advice.splitlines())

    @classmethod
    def from_problem(cls, problem: Problem) -> Self:
        """Turn a refusal of our own code, raised in this process, into a failure of the command."""
        return cls(problem.detail, code=problem.code, advice=problem.title)


class Unreachable(CommandFailed):
    """The server could not be reached or did not say how it ended; the command may be run again."""

    exit_code = 3


class Refused(CommandFailed):
    """The server answered with a problem document; `retry_after` is that header."""

    def __init__(
        self, status: int, document: Mapping[str, Any], retry_after: str | None = None
    ) -> None:
        advice = [str(document.get("title", ""))]
        if retry_after is not None:
            advice.append(f"Try again in {retry_after} s.")
        advice += [
            f"{fault.get('field')}: {fault.get('message')}" for fault in document.get("errors", [])
        ]
        advice += [
            f"{name}: {_plain(value)}"
            for name, value in document.items()
            if name not in _STANDARD_MEMBERS and name != "errors" and not _says(value, document)
        ]
        if status >= 500 and (correlation_id := document.get("correlation_id")):
            advice.append(f"correlation id: {correlation_id}")
        super().__init__(
            str(document.get("detail") or f"the server answered {status}"),
            code=str(document.get("code", f"http_{status}")),
            advice="\n".join(line for line in advice if line),
        )
        self.status = status
        if status in {502, 503, 504}:
            self.exit_code = 3
        self.document = document


def _says(value: Any, document: Mapping[str, Any]) -> bool:
    """Say whether a member only repeats what the detail says."""
    return isinstance(value, Mapping) and value.get("detail") == document.get("detail")


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_plain(inner) for inner in value)
    return str(value)
