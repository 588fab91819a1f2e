"""Many write at the same moment: together, each whole or not at all, and nobody for another."""

import asyncio
from decimal import Decimal
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from alphintra.platform.services import Services
from alphintra.strategies.deployments.journal import Journal
from alphintra.strategies.deployments.models import DeploymentRow, FrameRow, LogRow
from alphintra.strategies.deployments.scribe import Scribe
from alphintra.strategies.deployments.step import Line, NewFrame, Step, Superseded
from tests.strategies.deployments.leased import deployed, journal_of, opened

LONG_S = 60.0


async def journals(services: Services, count: int) -> list[Journal]:
    for _ in range(count):
        await deployed(services)
    scribe = Scribe(services)
    leases = await opened(services)
    return [journal_of(services, one, scribe) for one in await leases.take(count)]


def step(number: int) -> Step:
    told = [NewFrame("Bars", b"%d-%d" % (number, at)) for at in range(number % 3 + 1)]
    return Step(frames=told, lines=[Line("LOG", f"line {number}")], point=(Decimal(number),) * 3)


async def frames_of(services: Services, deployment_id: UUID) -> list[bytes]:
    async with services.database.reading() as session:
        found = await session.scalars(
            select(FrameRow.body)
            .where(FrameRow.deployment_id == deployment_id)
            .order_by(FrameRow.number)
        )
        return list(found)


async def transactions(services: Services) -> int:
    async with services.database.reading() as session:
        count = await session.scalar(text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text"))
    return int(count)


async def test_what_is_written_at_once_takes_few_transactions(services: Services) -> None:
    writers = await journals(services, 40)
    before = await transactions(services)
    rows = await asyncio.gather(*(one.write(step(number), 0) for number, one in enumerate(writers)))
    # The first begins alone at once; the others gather while it is under way.
    assert await transactions(services) - before <= 3
    for number, (one, row) in enumerate(zip(writers, rows, strict=True)):
        wanted = [frame.body for frame in step(number).frames]
        assert (row.id, row.frames) == (one.lease.deployment_id, len(wanted))
        assert await frames_of(services, row.id) == wanted
    async with services.database.reading() as session:
        logs = await session.execute(select(LogRow.deployment_id, LogRow.message))
        assert {row.deployment_id: row.message for row in logs} == {
            row.id: f"line {number}" for number, row in enumerate(rows)
        }


async def test_one_that_does_not_own_it_any_more_is_alone_in_that(services: Services) -> None:
    writers = await journals(services, 5)
    async with services.database.transaction() as session:
        lost = await session.get(DeploymentRow, writers[2].lease.deployment_id)
        assert lost is not None
        lost.epoch += 1
    outcomes = await asyncio.gather(
        *(one.write(step(number), 0) for number, one in enumerate(writers)),
        return_exceptions=True,
    )
    assert [type(one) for one in outcomes] == [
        DeploymentRow,
        DeploymentRow,
        Superseded,
        DeploymentRow,
        DeploymentRow,
    ]
    assert await frames_of(services, writers[2].lease.deployment_id) == []


async def test_a_step_that_the_database_refuses_spoils_no_other(services: Services) -> None:
    writers = await journals(services, 5)
    steps = [step(number) for number in range(5)]
    steps[3].point = (Decimal(10) ** 30,) * 3  # more than the column holds
    outcomes = await asyncio.gather(
        *(one.write(each, 0) for one, each in zip(writers, steps, strict=True)),
        return_exceptions=True,
    )
    assert [isinstance(one, DeploymentRow) for one in outcomes] == [True, True, True, False, True]
    assert isinstance(outcomes[3], DBAPIError)
    assert await frames_of(services, writers[3].lease.deployment_id) == []
    assert await frames_of(services, writers[4].lease.deployment_id) == [b"4-0", b"4-1"]


async def test_who_waits_for_a_lock_keeps_nobody_else_waiting(services: Services) -> None:
    writers = await journals(services, 4)
    held = writers[1].lease.deployment_id
    async with asyncio.timeout(LONG_S):
        async with services.database.transaction() as session:
            await session.get(DeploymentRow, held, with_for_update=True)
            # The first of all is written alone, and this is not to be it.
            tasks = [
                asyncio.create_task(one.write(step(number), 0))
                for number, one in enumerate(writers)
            ]
            await asyncio.gather(tasks[0], *tasks[2:])
            assert not tasks[1].done()
        assert (await tasks[1]).id == held


async def test_a_writer_that_is_cancelled_leaves_all_or_nothing(services: Services) -> None:
    (writer,) = await journals(services, 1)
    first = 0
    for pauses in range(12):
        task = asyncio.create_task(writer.write(step(2), first))
        for _ in range(pauses):
            await asyncio.sleep(0.0005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        # Whoever goes on from what is there now finds nothing changing under it.
        row = (await writer.standing()).row
        assert row.frames - first in {0, 3}
        assert (await writer.write(Step(lines=[Line("LOG", "next")]), row.frames)).frames == (
            row.frames
        )
        first = row.frames
    assert len(await frames_of(services, writer.lease.deployment_id)) == first
