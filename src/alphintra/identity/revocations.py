"""How the end of a session reaches every process within a second.

Whoever ends a session, revokes a key or changes rights writes a row in that transaction and
notifies. Every process that authenticates reads the rows: at once by LISTEN, and by a poll where a
notification is lost. What was read is kept for as long as an access token could live. A process
that could not read for `STALE_AFTER_S` lets nobody in: it cannot know.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

import psycopg
import structlog
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import NS_PER_SECOND, Clock, now
from alphintra.identity.errors import AuthenticationUnavailable
from alphintra.identity.models import RevocationRow
from alphintra.platform.database import Database
from alphintra.platform.security import Principal

CHANNEL: Final = "identity_revocations"
POLL_S: Final = 0.3
READ_TIMEOUT_S: Final = 2.0
RETRY_S: Final = 0.2
STALE_AFTER_S: Final = 5.0
START_TIMEOUT_S: Final = 5.0
WAKE_TIMEOUT_S: Final = 1.0
#: Longer than any access token lives (`settings.access_token_s` is bounded by half an hour).
KEPT_S: Final = 3600
_PRUNE_EVERY_S: Final = 60.0

log = structlog.get_logger(__name__)


class Subject(StrEnum):
    """What a revocation is about."""

    SESSION = "SESSION"  #: this session has ended
    API_KEY = "API_KEY"  #: this API key was revoked
    USER = "USER"  #: this user's rights are those of `version`; what knows an older one is stale
    SIGNING_KEYS = "SIGNING_KEYS"  #: the signing keys changed


@dataclass(frozen=True, slots=True)
class Revocation:
    """One thing to be heard of."""

    subject: Subject
    subject_id: UUID
    version: int = 0


_NOBODY = UUID(int=0)
SIGNING_KEYS_CHANGED: Final = Revocation(Subject.SIGNING_KEYS, _NOBODY)


async def announce(session: AsyncSession, clock: Clock, revocations: Iterable[Revocation]) -> None:
    """Write revocations into the transaction; every process hears of them when it commits."""
    at = now(clock)
    rows = [
        {
            "subject": str(one.subject),
            "subject_id": one.subject_id,
            "version": one.version,
            "revoked_at": at,
        }
        for one in revocations
    ]
    if rows:
        await session.execute(insert(RevocationRow), rows)
        await session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})


class Revocations:
    """What this process knows to be revoked."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        #: Ended sessions and revoked keys, with the time we heard of it.
        self._ended_ns: dict[UUID, int] = {}
        #: The version of rights that a user has at least, with the time we heard of it.
        self._versions: dict[UUID, tuple[int, int]] = {}
        self._fresh_at_s = float("-inf")
        self._pruned_at_s = 0.0
        self._keys_changed_row = 0
        self._waiting_for_read: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._on_keys_changed: list[Callable[[], None]] = []

    def on_keys_changed(self, call: Callable[[], None]) -> None:
        """Call this whenever the signing keys have changed."""
        self._on_keys_changed.append(call)

    async def ready(self) -> None:
        """Begin to listen, where that has not happened yet, and make sure that what we know is
        fresh.

        Raises:
            AuthenticationUnavailable: it is not, and does not become so in time.
        """
        if self.is_fresh():
            return
        wait_s = WAKE_TIMEOUT_S
        if self._task is None or self._task.done():
            wait_s = START_TIMEOUT_S
            self._task = asyncio.create_task(self._listen(), name="revocations")
        # Also a process that was suspended comes by here: it is stale only until its next read.
        read: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting_for_read.append(read)
        await asyncio.wait([read], timeout=wait_s)
        if not self.is_fresh():
            raise AuthenticationUnavailable("revocations cannot be read at the moment")

    async def close(self) -> None:
        """Stop listening."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._fresh_at_s = float("-inf")

    def is_fresh(self) -> bool:
        """Whether we heard of everything that was committed until a few seconds ago."""
        return asyncio.get_running_loop().time() - self._fresh_at_s < STALE_AFTER_S

    def allows(self, principal: Principal) -> bool:
        """Say whether nothing that we heard of speaks against the principal."""
        return not self.has_ended(principal) and not self.knows_newer(principal)

    def has_ended(self, principal: Principal) -> bool:
        """Say whether the principal's session or API key was ended."""
        return (principal.session_id or principal.api_key_id) in self._ended_ns

    def knows_newer(self, principal: Principal) -> bool:
        """Say whether the user's rights have changed since the principal was made."""
        known = self._versions.get(principal.user_id)
        return known is not None and known[0] > principal.version

    def apply(self, revocations: Iterable[Revocation]) -> None:
        """Take note at once of what this process itself has committed."""
        heard_ns = self._clock.now_ns()
        for one in revocations:
            self._apply_one(one, heard_ns)

    def _apply_one(self, one: Revocation, heard_ns: int) -> None:
        match one.subject:
            case Subject.SESSION | Subject.API_KEY:
                self._ended_ns[one.subject_id] = heard_ns
            case Subject.USER:
                known, _ = self._versions.get(one.subject_id, (0, 0))
                self._versions[one.subject_id] = (max(known, one.version), heard_ns)
            case Subject.SIGNING_KEYS:
                for call in self._on_keys_changed:
                    call()

    async def _listen(self) -> None:
        while True:
            try:
                async with await self._database.connect_raw(autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    # From the start again: while we were away a restored server may have begun
                    # to count its transactions anew.
                    seen_xid = "0"
                    while True:
                        async with asyncio.timeout(READ_TIMEOUT_S):
                            seen_xid = await self._read(connection, seen_xid)
                        async for _ in connection.notifies(timeout=POLL_S, stop_after=1):
                            pass
            except (psycopg.Error, OSError, TimeoutError) as error:
                log.warning("revocations_interrupted", error=str(error).strip())
                await asyncio.sleep(RETRY_S)

    async def _read(self, connection: psycopg.AsyncConnection, seen_xid: str) -> str:
        """Read all rows of transactions that were not over at the last read; return where to go on.

        One statement has one snapshot, so a transaction that commits later than it has an id of at
        least the snapshot's `xmin` and is read the next time. Some rows come twice, which is
        harmless.
        """
        asked_at_s = asyncio.get_running_loop().time()
        cursor = await connection.execute(
            """WITH here AS (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xmin)
               SELECT here.xmin::text, r.id, r.subject, r.subject_id, r.version
               FROM here LEFT JOIN identity.revocations r ON r.xid >= %s::text::xid8""",
            [seen_xid],
        )
        rows = await cursor.fetchall()
        for _, row_id, subject, subject_id, version in rows:
            if subject == Subject.SIGNING_KEYS:
                # Changes of keys wait for each other, so their ids are in the order of commits;
                # to hear of one again is not harmless, as it costs the reading of the keys.
                if row_id > self._keys_changed_row:
                    self._keys_changed_row = row_id
                    self.apply([SIGNING_KEYS_CHANGED])
            elif subject in set(Subject):
                self.apply([Revocation(Subject(subject), subject_id, version)])
        self._fresh_at_s = asked_at_s
        waiting, self._waiting_for_read = self._waiting_for_read, []
        for read in waiting:
            if not read.done():
                read.set_result(None)
        self._prune(asked_at_s)
        return str(rows[0][0])

    def _prune(self, at_s: float) -> None:
        if at_s - self._pruned_at_s < _PRUNE_EVERY_S:
            return
        self._pruned_at_s = at_s
        limit_ns = self._clock.now_ns() - KEPT_S * NS_PER_SECOND
        self._ended_ns = {key: at for key, at in self._ended_ns.items() if at > limit_ns}
        self._versions = {key: at for key, at in self._versions.items() if at[1] > limit_ns}
