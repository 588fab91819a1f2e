"""Who runs a deployment: one process at a time; a dead one is followed, a stale one is refused."""

import pytest
from sqlalchemy import text, update

from alphintra.platform.services import Services
from alphintra.strategies.deployments.models import DeploymentRow
from alphintra.strategies.deployments.status import Status, Wish
from alphintra.strategies.deployments.step import Line, NewFrame, Step, Superseded
from tests.strategies.deployments.leased import deployed, journal_of, opened


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
        await journal_of(services, stale).write(step, 0)
    with pytest.raises(Superseded):
        await journal_of(services, stale).standing()
    written = await journal_of(services, lease).write(step, 0)
    assert written.frames == 1
    # Told as if it followed on something else, it is not written either.
    with pytest.raises(Superseded):
        await journal_of(services, lease).write(step, 0)
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


async def test_who_has_just_died_has_no_share(services: Services) -> None:
    for _ in range(4):
        await deployed(services)
    one, other = await opened(services), await opened(services)
    assert (len(await one.take(2)), await other.share()) == (2, 2)
    assert one._connection is not None
    await one._connection.close()
    assert await other.share() == 4
    assert len(await other.take(4)) == 4
    await other.close()


async def test_a_wish_to_liquidate_is_not_overruled(services: Services) -> None:
    wanted = await deployed(services)
    one = await opened(services)
    (lease,) = await one.take(1)
    journal = journal_of(services, lease)
    # Its owner asks for it in the moment in which the strategy fails, or a limit is reached.
    async with services.database.transaction() as session:
        await session.execute(
            update(DeploymentRow)
            .where(DeploymentRow.id == wanted)
            .values(wish=Wish.LIQUIDATE, reason_code="by_owner")
        )
    failing = Step(changes={"wish": Wish.STOP, "ends_as": Status.FAILED})
    assert (await journal.write(failing, 0)).wish == Wish.LIQUIDATE
    # Nor does it end with what it holds when the wish comes at the last moment.
    await journal.write(Step(changes={"status": Status.STOPPING}), 0)
    ending = Step(changes={"status": Status.STOPPED})
    with pytest.raises(Superseded):
        await journal.write(ending, 0, if_wished=Wish.STOP)
    assert (await journal.standing()).row.status == Status.STOPPING
    written = await journal.write(ending, 0, if_wished=Wish.LIQUIDATE)
    assert written.status == Status.STOPPED
    await one.close()


async def test_what_may_not_follow_is_not_written(services: Services) -> None:
    await deployed(services, Status.STOPPING)
    one = await opened(services)
    (lease,) = await one.take(1)
    with pytest.raises(Superseded):
        await journal_of(services, lease).write(Step(changes={"status": Status.RUNNING}), 0)
    written = await journal_of(services, lease).write(Step(changes={"status": Status.STOPPED}), 0)
    assert written.status == Status.STOPPED
    await one.close()
