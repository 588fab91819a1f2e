"""Who runs a deployment: one process at a time; a dead one is followed, a stale one is refused."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from alphintra.platform.services import Services, open_services
from alphintra.strategies.deployments.journal import Journal, Line, NewFrame, Step, Superseded
from alphintra.strategies.deployments.leases import Leases
from alphintra.strategies.deployments.models import DeploymentRow
from alphintra.strategies.deployments.status import Status, Wish
from tests.gateway.harness import settings_for

NOW = datetime(2026, 1, 1, tzinfo=UTC)
D = Decimal


@pytest.fixture
async def services(database_url: str, bus_url: str) -> AsyncIterator[Services]:
    async with open_services(settings_for(database_url, bus_url), name="test") as opened:
        async with opened.database.transaction() as session:
            await session.execute(text("TRUNCATE strategies.deployments CASCADE"))
            await session.execute(text("TRUNCATE strategies.deployment_hosts"))
        yield opened


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


async def test_a_deployment_is_run_once(services: Services) -> None:
    wanted = await deployed(services)
    await deployed(services, Status.STOPPED)
    one, other = await opened(services), await opened(services)
    (lease,) = await one.take(10)
    assert (lease.deployment_id, lease.epoch) == (wanted, 1)
    assert await other.take(10) == []
    assert await one.renew() == {wanted: 1}
    assert await other.renew() == {}
    await one.close()
    (taken,) = await other.take(10)
    assert taken.epoch == 2
    await other.close()


async def test_a_dead_process_is_followed_at_once_and_cannot_write(services: Services) -> None:
    await deployed(services)
    one, other = await opened(services), await opened(services)
    (stale,) = await one.take(10)
    # Its process dies: the connection goes, and with it the lock that proves its life.
    assert one._connection is not None
    await one._connection.close()
    (lease,) = await other.take(10)
    assert lease.epoch == stale.epoch + 1

    step = Step(frames=[NewFrame("Bars", b"")], lines=[Line("LOG", "too late")])
    with pytest.raises(Superseded):
        await Journal(services, stale).write(step, 0)
    with pytest.raises(Superseded):
        await Journal(services, stale).standing()
    written = await Journal(services, lease).write(step, 0)
    assert written.frames == 1
    # Told as if it followed on something else, it is not written either.
    with pytest.raises(Superseded):
        await Journal(services, lease).write(step, 0)
    await other.close()


async def test_a_hanging_process_loses_what_has_expired(services: Services) -> None:
    await deployed(services)
    one, other = await opened(services), await opened(services)
    await one.take(10)
    async with services.database.transaction() as session:
        await session.execute(
            text("UPDATE strategies.deployments SET lease_expires_at = now() - interval '1 second'")
        )
    (lease,) = await other.take(10)
    assert lease.epoch == 2
    assert await one.renew() == {}
    await one.close()
    await other.close()


async def test_deployments_are_shared_out(services: Services) -> None:
    for _ in range(5):
        await deployed(services)
    one = await opened(services)
    assert await one.share() == 5
    other = await opened(services)
    assert (await one.share(), await other.share()) == (3, 3)
    assert len(await one.take(3)) == 3
    assert len(await other.take(3)) == 2
    await other.close()
    assert await one.share() == 5
    assert len(await one.take(5)) == 2
    await one.close()


async def test_what_may_not_follow_is_not_written(services: Services) -> None:
    await deployed(services, Status.STOPPING)
    one = await opened(services)
    (lease,) = await one.take(1)
    with pytest.raises(Superseded):
        await Journal(services, lease).write(Step(changes={"status": Status.RUNNING}), 0)
    written = await Journal(services, lease).write(Step(changes={"status": Status.STOPPED}), 0)
    assert written.status == Status.STOPPED
    await one.close()
