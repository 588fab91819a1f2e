"""What is forgotten: what deployments that ended long ago had lived through."""

from datetime import timedelta
from typing import Final

from sqlalchemy import delete, select, tuple_

from alphintra.core.clock import now
from alphintra.platform.services import Services
from alphintra.strategies.deployments.models import DeploymentRow, FrameRow

#: Rows that one transaction deletes, so that none takes long.
ROWS_AT_ONCE: Final = 20_000


async def forget(services: Services) -> int:
    """Delete the frames of deployments that ended too long ago; return how many there were.

    Their signals, log, curve and certificates stay; a day of theirs cannot be certified any more.

    Raises:
        Unavailable: the database is away; the rest is deleted another time.
    """
    before = now(services.clock) - timedelta(days=services.settings.deployment_record_days)
    old = (
        select(FrameRow.deployment_id, FrameRow.number)
        .join(DeploymentRow, DeploymentRow.id == FrameRow.deployment_id)
        .where(DeploymentRow.ended_at < before)
        .limit(ROWS_AT_ONCE)
    )
    total = 0
    while True:
        async with services.database.transaction() as session:
            gone = await session.execute(
                delete(FrameRow)
                .where(tuple_(FrameRow.deployment_id, FrameRow.number).in_(old))
                .returning(FrameRow.number)
            )
            count = len(gone.all())
        total += count
        if count < ROWS_AT_ONCE:
            return total
