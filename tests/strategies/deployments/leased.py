"""Rows of deployments and leases on them, without any strategy at work."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

from alphintra.platform.services import Services
from alphintra.strategies.deployments.journal import Journal
from alphintra.strategies.deployments.leases import Leases
from alphintra.strategies.deployments.models import DeploymentRow
from alphintra.strategies.deployments.news import News
from alphintra.strategies.deployments.scribe import Scribe
from alphintra.strategies.deployments.status import Status, Wish
from alphintra.strategies.deployments.step import Lease

NOW = datetime(2026, 1, 1, tzinfo=UTC)
D = Decimal


async def deployed(services: Services, status: Status = Status.RUNNING) -> UUID:
    row = DeploymentRow(
        id=uuid4(),
        user_id=uuid4(),
        strategy_id=uuid4(),
        version_id=uuid4(),
        version=1,
        name="Tested",
        source="",
        sha256="",
        declared={},
        mode="PAPER",
        symbols=["SPY"],
        timeframe="1m",
        capital=D(1),
        warmup=0,
        feed=None,
        seed=0,
        parameters={},
        parameters_revision=0,
        parameters_applied=0,
        terms={},
        wish=Wish.RUN,
        status=status,
        frames=0,
        deaths=0,
        epoch=0,
        cash=D(1),
        equity=D(1),
        peak_equity=D(1),
        day=NOW.date(),
        day_equity=D(1),
        realized_pnl=D(0),
        fees=D(0),
        fills=0,
        positions=[],
        created_at=NOW,
        updated_at=NOW,
    )
    async with services.database.transaction() as session:
        session.add(row)
    return row.id


async def opened(services: Services) -> Leases:
    leases = Leases(services, uuid4())
    await leases.open()
    await leases.renew()
    return leases


def journal_of(services: Services, lease: Lease, scribe: Scribe | None = None) -> Journal:
    return Journal(services, lease, scribe or Scribe(services), News(services))
