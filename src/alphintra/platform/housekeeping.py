"""What the platform throws away, and when: events and inbox entries that nobody can ask for
again.
"""

from typing import Any

import structlog
from procrastinate import Blueprint, JobContext
from sqlalchemy import text

from alphintra.platform.jobs import services_of

#: As long as the bus keeps its messages, with a day to spare: an event that can still be delivered
#: must still be known.
OUTBOX_DAYS = 8
INBOX_DAYS = 15
ROWS_PER_STATEMENT = 10_000

tasks = Blueprint()
log = structlog.get_logger(__name__)

_PURGE_OUTBOX = text("""
    DELETE FROM platform.outbox WHERE (xid, seq) IN (
        SELECT o.xid, o.seq FROM platform.outbox AS o, platform.relay_checkpoint AS c
        WHERE (o.xid, o.seq) <= (c.xid, c.seq)
          AND o.created_at < now() - make_interval(days => :days)
        LIMIT :rows)
""")
_PURGE_INBOX = text("""
    DELETE FROM platform.inbox WHERE (consumer, event_id) IN (
        SELECT consumer, event_id FROM platform.inbox
        WHERE handled_at < now() - make_interval(days => :days) LIMIT :rows)
""")


@tasks.periodic(cron="17 * * * *")
@tasks.task(name="purge_events", pass_context=True, queueing_lock="purge_events")
async def purge_events(context: JobContext, /, timestamp: int, **_: Any) -> int:
    """Delete published events and handled inbox entries that are past their keeping.

    Returns:
        How many rows were deleted.
    """
    database = services_of(context).database
    deleted = 0
    for statement, days in ((_PURGE_OUTBOX, OUTBOX_DAYS), (_PURGE_INBOX, INBOX_DAYS)):
        rows = ROWS_PER_STATEMENT
        while rows == ROWS_PER_STATEMENT:
            async with database.transaction() as session:
                result = await session.execute(
                    statement, {"days": days, "rows": ROWS_PER_STATEMENT}
                )
                rows = result.rowcount  # type: ignore[attr-defined]  # a DELETE's result has it
            deleted += rows
    log.info("events_purged", rows=deleted, scheduled_for=timestamp)
    return deleted
