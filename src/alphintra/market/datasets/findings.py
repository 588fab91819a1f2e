"""What an upload was found to be: the verdict, and findings with rows, reason and advice."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from alphintra.market.datasets.errors import UploadNeedsDecision, UploadRefused

#: Row numbers that one finding names; its count says how many there are.
ROWS_SHOWN: Final = 20


class Severity(StrEnum):
    """What a finding means for the upload."""

    NOTE = "note"  #: something was understood that a reader may want to know
    WARNING = "warning"  #: taken, but a person should look
    DECISION = "decision"  #: not taken until a person has decided
    REFUSAL = "refusal"  #: cannot be taken


class Verdict(StrEnum):
    """What becomes of an upload: the gravest of its findings."""

    ACCEPTED = "accepted"
    ACCEPTED_WITH_WARNINGS = "accepted_with_warnings"
    NEEDS_DECISION = "needs_decision"
    REFUSED = "refused"


_VERDICTS: Final = {
    Severity.NOTE: Verdict.ACCEPTED,
    Severity.WARNING: Verdict.ACCEPTED_WITH_WARNINGS,
    Severity.DECISION: Verdict.NEEDS_DECISION,
    Severity.REFUSAL: Verdict.REFUSED,
}
_GRAVITY: Final = {severity: place for place, severity in enumerate(Severity)}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was found.

    `rows` are the first of the rows it is about, counted from 1 below the header; `count` is how
    many there are (0: it is about the file). `option` names what decides it, `choices` what that
    may be set to, as far as the file tells.
    """

    code: str
    severity: Severity
    reason: str
    advice: str = ""
    count: int = 0
    rows: tuple[int, ...] = ()
    option: str = ""
    choices: tuple[str, ...] = ()


class QualityReport(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a file. `rows` counts those of the file, `kept` those that are data."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    rows: int = 0
    kept: int = 0


def refusal_of(report: QualityReport) -> UploadNeedsDecision | UploadRefused:
    """Return what to raise for a file that was not taken, with the report on it."""
    first = report.findings[0].reason if report.findings else "the file is not taken"
    told = msgspec.to_builtins(report)
    if report.verdict is not Verdict.NEEDS_DECISION:
        return UploadRefused(first, report=told)
    asked = {one.option for one in report.findings if one.severity is Severity.DECISION}
    return UploadNeedsDecision(f"{first} (options: {', '.join(sorted(asked))})", report=told)


class Findings:
    """Collects what is found."""

    def __init__(self) -> None:
        self._found: list[Finding] = []

    def note(self, code: str, reason: str, *, rows: Iterable[int] = (), count: int = 0) -> None:
        self._add(Severity.NOTE, code, reason, rows=rows, count=count)

    def warn(
        self, code: str, reason: str, advice: str, *, rows: Iterable[int] = (), count: int = 0
    ) -> None:
        self._add(Severity.WARNING, code, reason, advice, rows=rows, count=count)

    def ask(
        self,
        code: str,
        reason: str,
        advice: str,
        *,
        option: str,
        choices: Iterable[str] = (),
        rows: Iterable[int] = (),
        count: int = 0,
    ) -> None:
        self._add(
            Severity.DECISION, code, reason, advice,
            rows=rows, count=count, option=option, choices=choices,
        )  # fmt: skip

    def refuse(
        self, code: str, reason: str, advice: str, *, rows: Iterable[int] = (), count: int = 0
    ) -> None:
        self._add(Severity.REFUSAL, code, reason, advice, rows=rows, count=count)

    @property
    def is_open(self) -> bool:
        """Whether the upload can still be taken as it is."""
        return all(one.severity in {Severity.NOTE, Severity.WARNING} for one in self._found)

    def report(self, *, rows: int = 0, kept: int = 0) -> QualityReport:
        """Return the verdict, the gravest findings first."""
        found = sorted(self._found, key=lambda one: -_GRAVITY[one.severity])
        verdict = _VERDICTS[found[0].severity] if found else Verdict.ACCEPTED
        return QualityReport(verdict=verdict, findings=tuple(found), rows=rows, kept=kept)

    def _add(
        self,
        severity: Severity,
        code: str,
        reason: str,
        advice: str = "",
        *,
        rows: Iterable[int] = (),
        count: int = 0,
        option: str = "",
        choices: Iterable[str] = (),
    ) -> None:
        every = [int(row) for row in rows]
        self._found.append(
            Finding(
                code=code,
                severity=severity,
                reason=reason,
                advice=advice,
                count=count or len(every),
                rows=tuple(every[:ROWS_SHOWN]),
                option=option,
                choices=tuple(choices),
            )
        )
