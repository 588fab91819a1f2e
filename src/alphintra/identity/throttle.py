"""Attempts are counted in PostgreSQL, before they are made, so that the count holds for all
replicas.

Each bucket is a generic cell rate algorithm: `capacity` attempts at once, then one per `refill_s`.
An attempt takes from all its buckets or from none; one that succeeds is given back.
"""

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final

from prometheus_client import Counter
from sqlalchemy import case, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import NS_PER_SECOND, Clock, now
from alphintra.identity.errors import TooManyAttempts
from alphintra.identity.models import ThrottleBucket
from alphintra.platform.database import Database

#: How long a refusal is answered from memory without asking again, and how many are remembered.
_REMEMBERED_S: Final = 10.0
_REMEMBERED_MAX: Final = 20_000
#: How far the clocks of replicas may be apart.
_SKEW: Final = timedelta(seconds=60)

REFUSED = Counter("alphintra_throttled_attempts_total", "Attempts refused by a bucket", ["kind"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What is counted together: `kind` and `subject` name it."""

    kind: str
    subject: str
    capacity: int
    refill_s: float

    @property
    def key(self) -> str:
        # Hashed: addresses of people are no keys to leave lying around, and the length is bounded.
        return f"{self.kind}:{hashlib.sha256(self.subject.encode()).hexdigest()}"


class Throttle:
    """Takes and gives back attempts."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._refused_until_ns: dict[str, int] = {}

    async def take(self, *buckets: Bucket) -> None:
        """Count one attempt in all the buckets.

        Raises:
            TooManyAttempts: one of them is empty; none was touched.
        """
        self.check_memory(*buckets)
        async with self._database.transaction() as session:
            # Always in the same order, so that two attempts never wait for each other.
            for bucket in sorted(buckets, key=lambda bucket: bucket.key):
                await self._take_one(session, bucket)

    async def check(self, bucket: Bucket) -> None:
        """Refuse if the bucket is empty, without counting.

        Raises:
            TooManyAttempts: it is empty.
        """
        self.check_memory(bucket)
        async with self._database.reading() as session:
            full_at = await session.scalar(
                select(ThrottleBucket.full_at).where(ThrottleBucket.key == bucket.key)
            )
        at = now(self._clock)
        refill = timedelta(seconds=bucket.refill_s)
        if full_at is None or full_at <= at + refill * (bucket.capacity - 1):
            return
        if full_at > at + refill * bucket.capacity + _SKEW:
            return
        wait_s = self._wait_s(bucket, full_at, at)
        self._remember(bucket, wait_s)
        raise self._refusal(bucket, wait_s)

    async def give_back(self, *buckets: Bucket) -> None:
        """Undo one `take`: the attempt was a right one."""
        async with self._database.transaction() as session:
            for bucket in sorted(buckets, key=lambda bucket: bucket.key):
                self._refused_until_ns.pop(bucket.key, None)
                await session.execute(
                    update(ThrottleBucket)
                    .where(ThrottleBucket.key == bucket.key)
                    .values(full_at=ThrottleBucket.full_at - timedelta(seconds=bucket.refill_s))
                )

    async def _take_one(self, session: AsyncSession, bucket: Bucket) -> None:
        at = now(self._clock)
        refill = timedelta(seconds=bucket.refill_s)
        statement = insert(ThrottleBucket).values(key=bucket.key, full_at=at + refill)
        # A bucket cannot be emptier than empty: what says so was written before the clock jumped
        # back, and would keep people out until the time has caught up.
        impossible = ThrottleBucket.full_at > at + refill * bucket.capacity + _SKEW
        full_at = case((impossible, at), else_=func.greatest(ThrottleBucket.full_at, at)) + refill
        taken = await session.execute(
            statement.on_conflict_do_update(
                index_elements=[ThrottleBucket.key],
                set_={"full_at": full_at},
                where=full_at <= at + refill * bucket.capacity,
            ).returning(ThrottleBucket.key)
        )
        if taken.first() is not None:
            return
        blocked_at = await session.scalar(
            select(ThrottleBucket.full_at).where(ThrottleBucket.key == bucket.key)
        )
        wait_s = self._wait_s(bucket, blocked_at or at, at)
        self._remember(bucket, wait_s)
        raise self._refusal(bucket, wait_s)

    @staticmethod
    def _wait_s(bucket: Bucket, full_at: datetime, at: datetime) -> float:
        room = timedelta(seconds=bucket.refill_s) * (bucket.capacity - 1)
        return max(1.0, (full_at - room - at).total_seconds())

    def _remember(self, bucket: Bucket, wait_s: float) -> None:
        if len(self._refused_until_ns) >= _REMEMBERED_MAX:
            self._refused_until_ns.clear()
        self._refused_until_ns[bucket.key] = self._clock.now_ns() + round(
            min(wait_s, _REMEMBERED_S) * NS_PER_SECOND
        )

    def check_memory(self, *buckets: Bucket) -> None:
        """Repeat a refusal that is only seconds old, without asking the database.

        Raises:
            TooManyAttempts: one of them was empty just now.
        """
        now_ns = self._clock.now_ns()
        for bucket in buckets:
            if (until_ns := self._refused_until_ns.get(bucket.key)) is not None:
                wait_s = (until_ns - now_ns) / NS_PER_SECOND
                # A clock that jumped backwards must not prolong a refusal.
                if 0 < wait_s <= _REMEMBERED_S:
                    raise self._refusal(bucket, wait_s)
                del self._refused_until_ns[bucket.key]

    @staticmethod
    def _refusal(bucket: Bucket, wait_s: float) -> TooManyAttempts:
        REFUSED.labels(bucket.kind).inc()
        return TooManyAttempts(
            "too many failed attempts; wait before the next one", retry_after_s=math.ceil(wait_s)
        )


# What an attacker may try. Together an account takes 15 guesses at once from devices that never
# logged in to it, of which 5 from one address, so that an attacker at one address leaves some to
# the owner at another; a device that logged in before has its own.


def network(address: str) -> str:
    """Return what one subscriber is given: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed) >> 64 << 64, 64)))


def guesses_on_account(email: str) -> Bucket:
    """Guesses on one account from all unknown devices."""
    return Bucket(kind="account", subject=email, capacity=15, refill_s=300)


def guesses_on_account_from(email: str, address: str) -> Bucket:
    """Guesses on one account from unknown devices at one address."""
    return Bucket(
        kind="account-address", subject=f"{email}\x1f{network(address)}", capacity=5, refill_s=300
    )


def guesses_from(address: str) -> Bucket:
    """Guesses on any account from unknown devices at one address: spraying."""
    return Bucket(kind="address", subject=network(address), capacity=30, refill_s=30)


def guesses_of_device(email: str, device_id: str) -> Bucket:
    """Guesses on one account from a device that logged in to it before."""
    return Bucket(kind="device", subject=f"{email}\x1f{device_id}", capacity=10, refill_s=300)


def codes_of(user_id: object, holder: str) -> Bucket:
    """One-time codes of whoever has the password already; `holder` is a known device or not."""
    return Bucket(kind="code", subject=f"{user_id}\x1f{holder}", capacity=5, refill_s=300)


def proofs_in_session(session_id: object) -> Bucket:
    """Passwords and codes sent along with a request that needs them."""
    return Bucket(kind="step-up", subject=str(session_id), capacity=5, refill_s=300)


def taken_addresses_from(address: str) -> Bucket:
    """Registrations that met an existing account: what a search for accounts looks like."""
    return Bucket(kind="register", subject=network(address), capacity=20, refill_s=180)
