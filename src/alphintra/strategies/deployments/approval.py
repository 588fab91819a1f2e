"""A person's yes or no to a signal that waits for it."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from alphintra import trading
from alphintra.core.clock import now
from alphintra.platform import outbox
from alphintra.platform.security import Principal
from alphintra.platform.services import Services
from alphintra.strategies.deployments.commands import owned, wake
from alphintra.strategies.deployments.errors import (
    DeploymentPaused,
    NoSuchSignal,
    SignalDecided,
    SignalLapsed,
)
from alphintra.strategies.deployments.models import DeploymentRow, LogRow, SignalRow
from alphintra.strategies.deployments.signals import signal_data
from alphintra.strategies.deployments.status import SignalStatus, Wish


@dataclass(frozen=True, slots=True)
class Approvals:
    """One method is one transaction. Two people who answer at once: the first is heard."""

    services: Services

    async def approve(self, caller: Principal, signal_id: UUID) -> SignalRow:
        """Publish a signal that waits.

        Raises:
            NoSuchSignal: there is none, or it is somebody else's.
            SignalDecided: it does not wait any more.
            SignalLapsed: it is too late.
            DeploymentPaused: it is an entry.
        """
        async with self.services.database.transaction() as session:
            row = await self._waiting(session, caller, signal_id)
            deployment = await session.get_one(DeploymentRow, row.deployment_id)
            if deployment.wish == Wish.PAUSE and not _only_reduces(row, deployment):
                raise DeploymentPaused("it is paused, and only exits go through; resume it first")
            at = now(self.services.clock)
            if row.expires_at is not None and row.expires_at <= at:
                raise SignalLapsed(f"it lapsed at {row.expires_at.isoformat()}")
            row.status, row.is_live, row.is_told = SignalStatus.PUBLISHED, True, True
            row.decided_by, row.decided_at = caller.user_id, at
            # Its age counts from the yes: the person has just judged the market.
            await outbox.add(
                session,
                trading.signal_event(
                    signal_data(row, at),
                    self.services.clock.now_ns(),
                    correlation_id=row.trace_id,
                ),
            )
            await self._note(session, row, "approved")
        return row

    async def reject(self, caller: Principal, signal_id: UUID) -> SignalRow:
        """Say no to a signal that waits; the strategy is told.

        Raises:
            NoSuchSignal, SignalDecided: see `approve`.
        """
        async with self.services.database.transaction() as session:
            row = await self._waiting(session, caller, signal_id)
            row.status, row.is_live, row.is_told = SignalStatus.DECLINED, False, False
            row.code, row.detail = "declined", "its owner said no"
            row.decided_by, row.decided_at = caller.user_id, now(self.services.clock)
            await self._note(session, row, "declined")
        return row

    async def _waiting(
        self, session: AsyncSession, caller: Principal, signal_id: UUID
    ) -> SignalRow:
        found = await session.get(SignalRow, signal_id)
        if found is None or found.user_id != caller.user_id:
            raise NoSuchSignal("there is no such signal")
        # In the order in which a runner takes them: the deployment, then its signals.
        deployment = await owned(session, caller, found.deployment_id, for_update=True)
        await session.refresh(found, with_for_update=True)
        if found.status != SignalStatus.WAITING:
            raise SignalDecided(f"it is {found.status}", status=found.status)
        if deployment.wish not in {Wish.RUN, Wish.PAUSE}:
            raise SignalDecided(f"its deployment is {deployment.status}", status=found.status)
        return found

    async def _note(self, session: AsyncSession, row: SignalRow, what: str) -> None:
        session.add(
            LogRow(
                deployment_id=row.deployment_id,
                at=now(self.services.clock),
                kind="STATUS",
                message=f"its owner has {what} {row.action} {row.symbol} ({row.name})",
            )
        )
        await wake(session, row.deployment_id)


def _only_reduces(signal: SignalRow, deployment: DeploymentRow) -> bool:
    """Whether an order can only make smaller what the deployment holds."""
    held = sum(
        (
            Decimal(one["quantity"])
            for one in deployment.positions
            if one["symbol"] == signal.symbol
        ),
        Decimal(0),
    )
    quantity = signal.body.get("quantity")
    is_against = (signal.action == "SELL") == (held > 0) and held != 0
    is_small = quantity is not None and Decimal(str(quantity)) <= abs(held)
    return is_against and (is_small or bool(signal.body.get("reduce_only")))
