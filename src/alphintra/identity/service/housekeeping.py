"""Rows that nobody needs any more."""

import asyncio
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import delete

from alphintra.core.clock import now
from alphintra.core.errors import Unavailable
from alphintra.identity.models import RevocationRow, Session, ThrottleBucket
from alphintra.identity.revocations import KEPT_S
from alphintra.identity.runtime import Identity, build_identity
from alphintra.platform.services import Services

EVERY_S: Final = 300.0
#: Ended sessions are kept this long, for whoever asks what happened.
SESSIONS_KEPT: Final = timedelta(days=30)

log = structlog.get_logger(__name__)


async def clean_up(identity: Identity) -> None:
    """Remove revocations that no token can outlive, full buckets and old sessions."""
    services = identity.services
    at = now(services.clock)
    async with services.database.transaction() as session:
        for statement in (
            # Twice as long as the processes keep them, for one that has just started again.
            delete(RevocationRow).where(
                RevocationRow.revoked_at < at - timedelta(seconds=2 * KEPT_S)
            ),
            delete(ThrottleBucket).where(ThrottleBucket.full_at < at),
            delete(Session).where(Session.expires_at < at - SESSIONS_KEPT),
            delete(Session).where(Session.ended_at < at - SESSIONS_KEPT),
        ):
            await session.execute(statement)


async def run_housekeeping(services: Services, stop: asyncio.Event) -> None:
    """Clean up every few minutes until `stop` is set; any number of processes may do it."""
    identity = build_identity(services)
    try:
        while not stop.is_set():
            try:
                await clean_up(identity)
                await identity.keyring.jwks()  # replaces a signing key that has come of age
            except Unavailable as error:
                log.warning("housekeeping_interrupted", error=error.detail)
            try:
                async with asyncio.timeout(EVERY_S):
                    await stop.wait()
            except TimeoutError:
                continue
    finally:
        identity.passwords.close()
