"""What people tell deployments: deploy, pause, go on, stop, liquidate, other parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra import market, trading
from alphintra.core.clock import now
from alphintra.core.ids import EventId
from alphintra.core.instruments import Instrument
from alphintra.core.money import ZERO
from alphintra.identity import AuditEvent
from alphintra.platform import outbox
from alphintra.platform.events import Event, Topic
from alphintra.platform.security import Principal
from alphintra.platform.services import Services
from alphintra.strategies.code.frames import Declared
from alphintra.strategies.content import checked_parameters
from alphintra.strategies.deployments.errors import (
    BrokerNeeded,
    CertificateNeeded,
    DeploymentInvalid,
    DeploymentStatusRefused,
    NoSuchDeployment,
    TooManyDeployments,
)
from alphintra.strategies.deployments.funds import Notice, funds_of
from alphintra.strategies.deployments.models import CertificateRow, DeploymentRow, LogRow
from alphintra.strategies.deployments.schemas import DeployRequest
from alphintra.strategies.deployments.status import OVER, WISHES, Status, Wish
from alphintra.strategies.deployments.terms import Approval, Limits, Schedule, Terms, terms_json
from alphintra.strategies.versions import VersionView, freeze_version

#: Deployments of one user that are at work at a time.
ACTIVE_MAX: Final = 100
#: Told whenever a person has changed something of a deployment; the payload is its id.
CHANNEL: Final = "deployments"
AUDIT_EVENT: Final = "audit_event.v1"


class Versions(Protocol):
    """Where the version that is to run comes from."""

    async def to_run(
        self, caller: Principal, strategy_id: UUID, number: int | None = None
    ) -> VersionView:
        """Return a version that the caller may run; without a number, one of the draft."""
        ...


async def owned(
    session: AsyncSession, caller: Principal, deployment_id: UUID, *, for_update: bool = False
) -> DeploymentRow:
    """Return a deployment of the caller.

    Raises:
        NoSuchDeployment: there is none, or it is somebody else's.
    """
    row = await session.get(DeploymentRow, deployment_id, with_for_update=for_update or None)
    if row is None or row.user_id != caller.user_id:
        raise NoSuchDeployment("there is no such deployment")
    return row


async def wake(session: AsyncSession, deployment_id: UUID) -> None:
    """Tell whoever runs the deployment, once this transaction commits, that something changed."""
    await session.execute(
        text("SELECT pg_notify(:channel, :id)"), {"channel": CHANNEL, "id": str(deployment_id)}
    )


@dataclass(frozen=True, slots=True)
class DeploymentCommands:
    """One method is one transaction; whoever runs the deployment obeys within a second."""

    services: Services
    versions: Versions
    desk: trading.TradingService

    async def deploy(
        self, caller: Principal, strategy_id: UUID, wanted: DeployRequest
    ) -> tuple[DeploymentRow, list[Notice]]:
        """Put a strategy to work; it begins as soon as a process takes it.

        Returns:
            The deployment, and what its owner should know of its money.

        Raises:
            NoSuchStrategy, NoSuchVersion, CodeFaulty, …: whatever `Versions` raises.
            CertificateNeeded, BrokerNeeded: it cannot trade at a broker.
            DeploymentInvalid, UnknownInstrument, ParameterRefused: it cannot be as described.
            CapitalExceedsAccount: the account is not worth its capital.
            TooManyDeployments: the caller has too many at work.
        """
        version = await self.versions.to_run(caller, strategy_id, wanted.version)
        funds = await funds_of(self.desk, caller, wanted.symbols)
        async with self.services.database.transaction() as session:
            if wanted.mode == "LIVE":
                await self._refuse_live(session, caller, version)
            at_work = await self._bound(session, caller)
            instruments = await _check_symbols(session, wanted)
            notices = funds.notices(wanted.capital, at_work, instruments)
            given = _checked(version.declared, wanted.parameters, strategy=version.name)
            parameters = {**version.parameters, **given}
            row = self._row(caller, version, wanted, parameters)
            session.add(row)
            await session.flush()
            await freeze_version(session, version.id, row.created_at)
            self._log(session, row, f"deployed by its owner: version {version.number}")
            for notice in notices:
                self._log(session, row, notice.message, kind="WARNING")
            await outbox.add(session, self._audit(caller, row, "deploy"))
            await wake(session, row.id)
        return row, notices

    async def wish(self, caller: Principal, deployment_id: UUID, wish: Wish) -> DeploymentRow:
        """Say what a deployment is to do; the same wish twice changes nothing.

        Raises:
            NoSuchDeployment: see there.
            DeploymentStatusRefused: it is too late for that.
        """
        async with self.services.database.transaction() as session:
            row = await owned(session, caller, deployment_id, for_update=True)
            status = Status(row.status)
            if row.wish == wish and not status.is_over:
                return row
            if status not in WISHES[wish] or (row.wish == Wish.LIQUIDATE and wish is Wish.STOP):
                raise DeploymentStatusRefused(
                    f"a deployment that is {status} cannot be told to {wish.lower()}",
                    status=status,
                )
            if wish in {Wish.RUN, Wish.PAUSE} and row.wish not in {Wish.RUN, Wish.PAUSE}:
                raise DeploymentStatusRefused(f"it was told to {row.wish.lower()}", status=status)
            row.wish, row.updated_at = wish, now(self.services.clock)
            ends = wish in {Wish.STOP, Wish.LIQUIDATE}
            if ends and row.reason_code in {None, "by_owner"}:
                row.reason_code, row.reason = "by_owner", f"its owner asked to {wish.lower()} it"
            if status.is_over:
                # Somebody has to run it once more, to close what it holds; it ends as it had ended.
                row.ends_as, row.status, row.ended_at = status, Status.LIQUIDATING, None
                row.next_try_at = None
            self._log(session, row, f"its owner wants it to {wish.lower()}")
            await outbox.add(session, self._audit(caller, row, wish.lower()))
            await wake(session, row.id)
        return row

    async def set_parameters(
        self, caller: Principal, deployment_id: UUID, values: Mapping[str, Any]
    ) -> DeploymentRow:
        """Change parameters while it runs, from the next candle on.

        Raises:
            NoSuchDeployment, ParameterRefused: see there.
            DeploymentStatusRefused: it is over, or about to be.
        """
        async with self.services.database.transaction() as session:
            row = await owned(session, caller, deployment_id, for_update=True)
            if row.wish not in {Wish.RUN, Wish.PAUSE} or Status(row.status) in OVER:
                raise DeploymentStatusRefused(f"it is {row.status}", status=row.status)
            given = _checked(row.declared, values, strategy=row.name)
            row.parameters = {**row.parameters, **given}
            row.parameters_revision += 1
            row.updated_at = now(self.services.clock)
            told = ", ".join(f"{name} = {value}" for name, value in given.items())
            self._log(session, row, f"parameters from the next candle on: {told}"[:2_000])
            await outbox.add(session, self._audit(caller, row, "set_parameters"))
            await wake(session, row.id)
        return row

    async def _refuse_live(
        self, session: AsyncSession, caller: Principal, version: VersionView
    ) -> None:
        if self.services.settings.live_needs_certificate:
            passed = await session.scalar(
                select(func.count()).where(
                    CertificateRow.user_id == caller.user_id,
                    CertificateRow.version_id == version.id,
                    CertificateRow.verdict == "PASSED",
                    CertificateRow.is_whole_day,
                )
            )
            if not passed:
                raise CertificateNeeded(f"version {version.number} has no passed certificate")
        raise BrokerNeeded("there is no broker connection to trade at")

    async def _bound(self, session: AsyncSession, caller: Principal) -> Decimal:
        """Return the capital of all deployments that are at work, if there may be one more."""
        active = await session.execute(
            select(func.count(), func.coalesce(func.sum(DeploymentRow.capital), ZERO)).where(
                DeploymentRow.user_id == caller.user_id, DeploymentRow.status.not_in(OVER)
            )
        )
        count, capital = active.one()
        if count >= ACTIVE_MAX:
            raise TooManyDeployments(f"{ACTIVE_MAX} of your deployments are at work")
        return Decimal(capital)

    def _row(
        self,
        caller: Principal,
        version: VersionView,
        wanted: DeployRequest,
        parameters: Mapping[str, Any],
    ) -> DeploymentRow:
        at = now(self.services.clock)
        capital = wanted.capital
        return DeploymentRow(
            id=self.services.ids(),
            user_id=caller.user_id,
            strategy_id=version.strategy_id,
            version_id=version.id,
            version=version.number,
            name=wanted.name or version.name,
            source=version.source,
            sha256=version.sha256,
            declared=dict(version.declared),
            mode=wanted.mode,
            symbols=list(wanted.symbols),
            timeframe=wanted.timeframe,
            capital=capital,
            warmup=wanted.warmup,
            feed=wanted.feed,
            seed=wanted.seed,
            parameters=dict(parameters),
            parameters_revision=0,
            parameters_applied=0,
            terms=terms_json(_terms(wanted)),
            wish=Wish.RUN,
            status=Status.STARTING,
            frames=0,
            deaths=0,
            epoch=0,
            cash=capital,
            equity=capital,
            peak_equity=capital,
            day=at.date(),
            day_equity=capital,
            realized_pnl=ZERO,
            fees=ZERO,
            fills=0,
            positions=[],
            created_at=at,
            updated_at=at,
        )

    def _log(
        self, session: AsyncSession, row: DeploymentRow, message: str, *, kind: str = "STATUS"
    ) -> None:
        session.add(
            LogRow(
                deployment_id=row.id,
                at=now(self.services.clock),
                kind=kind,
                message=message,
            )
        )

    def _audit(self, caller: Principal, row: DeploymentRow, action: str) -> Event:
        event_id = EventId(self.services.ids())
        return Event(
            id=event_id,
            topic=Topic.AUDIT_EVENTS,
            type=AUDIT_EVENT,
            key=str(caller.user_id),
            occurred_at_ns=self.services.clock.now_ns(),
            data=AuditEvent(
                event_id=event_id,
                actor_id=caller.user_id,
                action=f"deployment.{action}",
                subject=str(row.id),
                details={"strategy_id": str(row.strategy_id), "version": str(row.version)},
                timestamp=now(self.services.clock),
            ),
        )


def _terms(wanted: DeployRequest) -> Terms:
    schedule = wanted.schedule
    return Terms(
        limits=msgspec.convert(wanted.limits, Limits, from_attributes=True),
        schedule=None
        if schedule is None
        else Schedule(
            days=tuple(sorted(set(schedule.days))),
            start=schedule.start,
            end=schedule.end,
            timezone=schedule.timezone,
        ),
        approval=msgspec.convert(wanted.approval, Approval, from_attributes=True),
        missed_candles=wanted.missed_candles,
    )


async def _check_symbols(session: AsyncSession, wanted: DeployRequest) -> list[Instrument]:
    instruments = [await market.load_instrument(session, symbol) for symbol in wanted.symbols]
    for instrument in instruments:
        if not instrument.tradable:
            raise DeploymentInvalid(f"{instrument.symbol} cannot be traded")
    quotes = {instrument.quote for instrument in instruments}
    if len(quotes) > 1:
        raise DeploymentInvalid(
            f"its symbols are priced in {', '.join(sorted(quotes))}; one deployment has one"
            " currency"
        )
    return instruments


def _checked(
    declared: Mapping[str, Any], values: Mapping[str, Any], *, strategy: str
) -> dict[str, Any]:
    """Return values as the strategy gets them; its own process checks them once more."""
    known = msgspec.convert(declared, dict[str, Declared])
    return checked_parameters(known, values, strategy=strategy)
