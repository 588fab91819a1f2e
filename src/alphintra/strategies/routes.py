"""The HTTP face of strategies: drafts, versions, sharing, templates, the code service."""

import time
from typing import Annotated, Any, cast
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from alphintra.platform.http import Cursor, Limit, Page
from alphintra.platform.security import Permission, Principal, requires
from alphintra.strategies.content import python_of
from alphintra.strategies.errors import RevisionNeeded
from alphintra.strategies.models import StrategyRow, VersionRow
from alphintra.strategies.runtime import Strategies
from alphintra.strategies.schemas import (
    CheckView,
    CodeBody,
    CompleteBody,
    CompletionsView,
    CompletionView,
    DifferenceView,
    FindingView,
    FormatBody,
    FormatView,
    NewStrategy,
    NewVersion,
    ParameterView,
    PythonView,
    RestoreRequest,
    Right,
    ShareBody,
    ShareView,
    StatusChange,
    StrategyChange,
    StrategyStatus,
    StrategySummary,
    StrategyType,
    StrategyView,
    TemplateSummary,
    TemplateView,
    VersionDetail,
    VersionSummary,
)
from alphintra.strategies.service import StrategyFilters
from alphintra.strategies.templates import all_templates, template_named

router = APIRouter(tags=["strategies"])

Reader = Annotated[Principal, requires(Permission.STRATEGIES_READ)]
Writer = Annotated[Principal, requires(Permission.STRATEGIES_WRITE)]
StrategyId = Annotated[UUID, Path(description="of the strategy")]
Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="of the version")]
Person = Annotated[str, Path(min_length=1, max_length=254, description="e-mail address or id")]
IfMatch = Annotated[
    str | None, Header(max_length=32, description="the revision that you have seen")
]


async def strategies_of(request: Request) -> Strategies:
    """Return the services of this process."""
    return cast(Strategies, request.app.state.strategies)


Services = Annotated[Strategies, Depends(strategies_of)]


@router.post("/strategies", status_code=201)
async def create_strategy(
    wanted: NewStrategy, caller: Writer, strategies: Services, response: Response
) -> StrategyView:
    """Make a strategy of code, of blocks, or of a template."""
    row, right = await strategies.drafts.create(caller, wanted)
    response.headers["Location"] = f"/api/v1/strategies/{row.id}"
    return _tagged(row, right, response)


@router.get("/strategies")
async def list_strategies(
    caller: Reader,
    strategies: Services,
    status: StrategyStatus | None = None,
    type: StrategyType | None = None,  # noqa: A002 - what the field is called
    shared: Annotated[bool, Query(description="those that others share with you")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[StrategySummary]:
    """Your strategies, the youngest first."""
    filters = StrategyFilters(status=status, type=type, shared=shared)
    rows, after = await strategies.drafts.page(caller, filters=filters, limit=limit, cursor=cursor)
    return Page(items=[StrategySummary(**_summary(row, right)) for row, right in rows], next=after)


@router.get("/strategies/{strategy_id}")
async def show_strategy(
    strategy_id: StrategyId, caller: Reader, strategies: Services, response: Response
) -> StrategyView:
    """One strategy: its draft, and what its newest version declares."""
    return _tagged(*await strategies.drafts.get(caller, strategy_id), response)


@router.put("/strategies/{strategy_id}")
async def change_strategy(
    strategy_id: StrategyId,
    wanted: StrategyChange,
    caller: Writer,
    strategies: Services,
    response: Response,
    if_match: IfMatch = None,
) -> StrategyView:
    """Change the draft. Say which revision you have seen; for NO_CODE, `code` is edited Python."""
    revision = _seen(wanted.revision, if_match)
    return _tagged(*await strategies.drafts.change(caller, strategy_id, wanted, revision), response)


@router.delete("/strategies/{strategy_id}", status_code=204)
async def delete_strategy(strategy_id: StrategyId, caller: Writer, strategies: Services) -> None:
    """Delete a strategy of which nothing was published or deployed."""
    await strategies.drafts.delete(caller, strategy_id)


@router.put("/strategies/{strategy_id}/status")
async def change_strategy_status(
    strategy_id: StrategyId,
    wanted: StatusChange,
    caller: Writer,
    strategies: Services,
    response: Response,
    if_match: IfMatch = None,
) -> StrategyView:
    """Publish, archive, or make a draft again. Publishing makes a version and freezes it."""
    revision = _seen(wanted.revision, if_match)
    return _tagged(
        *await strategies.drafts.set_status(caller, strategy_id, wanted.status, revision),
        response,
    )


@router.get("/strategies/{strategy_id}/python")
async def show_strategy_python(
    strategy_id: StrategyId, caller: Reader, strategies: Services
) -> PythonView:
    """The Python that the draft means: of blocks as they read, of code as it is."""
    row, _ = await strategies.drafts.get(caller, strategy_id)
    return PythonView(source=python_of(row.type, row.code, row.blocks))


@router.post("/strategies/{strategy_id}/versions", status_code=201)
async def create_version(
    strategy_id: StrategyId, wanted: NewVersion, caller: Writer, strategies: Services
) -> VersionDetail:
    """Make a version of the draft; when nothing has changed, the newest one is it."""
    return _version(await strategies.versions.make(caller, strategy_id, wanted.note))


@router.get("/strategies/{strategy_id}/versions")
async def list_versions(
    strategy_id: StrategyId,
    caller: Reader,
    strategies: Services,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[VersionSummary]:
    """The versions of a strategy, the newest first."""
    rows, after = await strategies.versions.page(caller, strategy_id, limit=limit, cursor=cursor)
    return Page(items=[VersionSummary.model_validate(row) for row in rows], next=after)


@router.get("/strategies/{strategy_id}/versions/{number}")
async def show_version(
    strategy_id: StrategyId, number: Number, caller: Reader, strategies: Services
) -> VersionDetail:
    """One version with the Python that runs."""
    return _version(await strategies.versions.get(caller, strategy_id, number))


@router.post("/strategies/{strategy_id}/versions/{number}/restore")
async def restore_version(
    strategy_id: StrategyId,
    number: Number,
    wanted: RestoreRequest,
    caller: Writer,
    strategies: Services,
    response: Response,
    if_match: IfMatch = None,
) -> StrategyView:
    """Take a version's content back into the draft."""
    revision = _seen(wanted.revision, if_match)
    return _tagged(
        *await strategies.versions.restore(caller, strategy_id, number, revision), response
    )


@router.get("/strategies/{strategy_id}/versions/{number}/diff")
async def compare_versions(
    strategy_id: StrategyId,
    number: Number,
    caller: Reader,
    strategies: Services,
    against: Annotated[
        int | None, Query(ge=1, le=2**31 - 1, description="another version; else the draft")
    ] = None,
) -> DifferenceView:
    """What differs between a version and another one, or the draft."""
    return DifferenceView.model_validate(
        await strategies.versions.difference(caller, strategy_id, number, against)
    )


@router.get("/strategies/{strategy_id}/shares")
async def list_shares(
    strategy_id: StrategyId, caller: Reader, strategies: Services
) -> Page[ShareView]:
    """Who else has a right to your strategy."""
    rows = await strategies.sharing.shares(caller, strategy_id)
    return Page(items=[ShareView.model_validate(row) for row in rows])


@router.put("/strategies/{strategy_id}/shares/{person}")
async def share_strategy(
    strategy_id: StrategyId, person: Person, wanted: ShareBody, caller: Writer, strategies: Services
) -> ShareView:
    """Share a strategy: VIEW, USE (backtest, deploy) or EDIT."""
    row = await strategies.sharing.share(caller, strategy_id, person, wanted.right)
    return ShareView.model_validate(row)


@router.delete("/strategies/{strategy_id}/shares/{person}", status_code=204)
async def unshare_strategy(
    strategy_id: StrategyId, person: Person, caller: Writer, strategies: Services
) -> None:
    """Take somebody's right away, or give up your own."""
    await strategies.sharing.unshare(caller, strategy_id, person)


@router.get("/strategy-templates")
async def list_templates(
    caller: Reader,
    type: StrategyType | None = None,  # noqa: A002 - what the field is called
) -> Page[TemplateSummary]:
    """Strategies to begin with, each with the data that it runs on and its result."""
    found = [one for one in all_templates() if type in {None, one.type}]
    return Page(items=[TemplateSummary.model_validate(one) for one in found])


@router.get("/strategy-templates/{name}")
async def show_template(
    name: Annotated[str, Path(max_length=64, pattern=r"^[a-z0-9_\-]+$")], caller: Reader
) -> TemplateView:
    """One template with its code or blocks."""
    return TemplateView.model_validate(template_named(name))


@router.post("/code/check")
async def check_code(wanted: CodeBody, caller: Writer, strategies: Services) -> CheckView:
    """What is wrong with a text, by line and column, and what it declares when nothing is."""
    began_s = time.perf_counter()
    checked = await strategies.code.check(caller, wanted.source)
    findings = [FindingView.model_validate(one) for one in checked.findings]
    return CheckView(
        ok=bool(checked.name),
        findings=findings,
        name=checked.name or None,
        vectorised=checked.is_vectorised,
        declared=_declared(msgspec.to_builtins(checked.declared)),
        duration_ms=_since_ms(began_s),
    )


@router.post("/code/format")
async def format_code(wanted: FormatBody, caller: Writer, strategies: Services) -> FormatView:
    """A text in the usual style."""
    source = await strategies.code.format(caller, wanted.source, line_length=wanted.line_length)
    return FormatView(source=source, changed=source != wanted.source)


@router.post("/code/complete")
async def complete_code(
    wanted: CompleteBody, caller: Writer, strategies: Services
) -> CompletionsView:
    """What can stand at a place in a text."""
    began_s = time.perf_counter()
    items = await strategies.code.complete(
        caller, wanted.source, line=wanted.line, column=wanted.column
    )
    return CompletionsView(
        items=[CompletionView.model_validate(one) for one in items],
        duration_ms=_since_ms(began_s),
    )


def _seen(revision: int | None, if_match: str | None) -> int | None:
    """Return the revision that the caller has seen, from the body or the header."""
    if revision is not None or if_match is None:
        return revision
    text = if_match.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise RevisionNeeded('If-Match is the revision, as in "3"')
    return int(text)


def _tagged(row: StrategyRow, right: Right, response: Response) -> StrategyView:
    response.headers["ETag"] = f'"{row.revision}"'
    return StrategyView(
        **_summary(row, right),
        code=row.code,
        blocks=row.blocks,
        parameters=row.parameters,
        declared=_declared(row.declared),
    )


def _summary(row: StrategyRow, right: Right) -> dict[str, Any]:
    return {
        "right": right,
        **{name: getattr(row, name) for name in StrategySummary.model_fields if name != "right"},
    }


def _version(row: VersionRow) -> VersionDetail:
    summary = VersionSummary.model_validate(row).model_dump()
    return VersionDetail(
        **summary,
        code=row.code,
        blocks=row.blocks,
        parameters=row.parameters,
        declared=_declared(row.declared),
    )


def _declared(declared: dict[str, Any]) -> dict[str, ParameterView]:
    return {name: ParameterView.model_validate(one) for name, one in declared.items()}


def _since_ms(began_s: float) -> float:
    return round((time.perf_counter() - began_s) * 1_000, 1)
