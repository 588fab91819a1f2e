"""Passwords: which are taken, and how they are hashed without stopping anything else.

Hashing is slow on purpose. It runs in its own few threads, at a lower priority than the event loop,
behind a queue with a bound: a flood of logins makes logins slow, and nothing else.
"""

import asyncio
import os
import sys
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from prometheus_client import Counter
from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

from alphintra.identity.common_passwords import COMMON
from alphintra.identity.errors import (
    LoginBusy,
    PasswordContainsEmail,
    PasswordMalformed,
    PasswordTooCommon,
    PasswordTooLong,
    PasswordTooShort,
)

LENGTH_MIN: Final = 10
LENGTH_MAX: Final = 128
#: Whoever waits longer than this queue takes gives up anyway; devices known to us may use all of
#: it.
WAITING_MAX: Final = 48
WAITING_MAX_UNKNOWN_DEVICES: Final = 32
#: A local part shorter than this is in too many passwords by chance.
_LOCAL_PART_MIN: Final = 4

T = TypeVar("T")

HASHED = Counter("alphintra_password_hashes_total", "Passwords that were hashed or verified")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Parameters of argon2id. The default is OWASP's: 46 MiB, one pass, one lane."""

    memory_kib: int = 47_104
    passes: int = 1
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a password was right; `replacement` is its hash at today's cost, if it differs."""

    right: bool
    replacement: str | None = None


def normalise(password: str) -> str:
    """Return the password as it is hashed: NFKC, so that every keyboard's `é` is the same.

    Raises:
        PasswordMalformed: control characters or lone surrogates.
    """
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in password):
        raise PasswordMalformed("the password holds control characters")
    return unicodedata.normalize("NFKC", password)


def check_rules(password: str, *, email: str) -> str:
    """Return the normalised password, if it may be chosen by the owner of `email` (canonical form).

    Raises:
        PasswordMalformed, PasswordTooShort, PasswordTooLong, PasswordContainsEmail,
        PasswordTooCommon: the first rule that it breaks.
    """
    chosen = normalise(password)
    if len(chosen) < LENGTH_MIN:
        raise PasswordTooShort(f"the password needs {LENGTH_MIN} characters or more")
    if len(chosen) > LENGTH_MAX:
        raise PasswordTooLong(f"the password may have {LENGTH_MAX} characters or fewer")
    folded = chosen.casefold()
    local = email.partition("@")[0]
    leftover = folded.replace(email, "").replace(local, "")
    if (len(local) >= _LOCAL_PART_MIN and len(leftover) < _LOCAL_PART_MIN) or folded == email:
        raise PasswordContainsEmail("the password is made from the e-mail address")
    if folded in COMMON or len(set(folded)) < 4 or folded in "01234567890123456789":
        raise PasswordTooCommon("the password is among the first that an attacker tries")
    return chosen


class Passwords:
    """Hashes and verifies, off the event loop."""

    def __init__(self, *, cost: Cost | None = None, threads: int | None = None) -> None:
        cost = cost or Cost()
        self._hasher = PasswordHash(
            (
                Argon2Hasher(
                    time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes
                ),
            )
        )
        # Half of the processors, so that requests always find one.
        count = threads or max(1, (os.cpu_count() or 2) // 2)
        self._threads = ThreadPoolExecutor(count, "password", initializer=_yield_to_others)
        self._waiting = 0
        # What a password is compared with where there is no user: the same work, never a match.
        self._nobody = self._hasher.hash(os.urandom(32).hex())

    async def hash(self, password: str) -> str:
        """Return the argon2id hash of a normalised password.

        Raises:
            LoginBusy: the queue is full.
        """
        return await self._run(self._hasher.hash, password)

    async def verify(self, password: str, stored: str | None) -> Verdict:
        """Compare a normalised password with a stored hash; `None`, no such user, takes as long.

        Raises:
            LoginBusy: the queue is full.
        """
        return await self._run(self._compare, password, stored)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _compare(self, password: str, stored: str | None) -> Verdict:
        try:
            right, replacement = self._hasher.verify_and_update(password, stored or self._nobody)
        except UnknownHashError:
            return Verdict(right=False)
        return Verdict(right=right and stored is not None, replacement=replacement)

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        if self._waiting >= WAITING_MAX:
            raise LoginBusy("more logins wait than this process takes on")
        self._waiting += 1
        HASHED.inc()
        try:
            future = asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        except RuntimeError:
            self._waiting -= 1
            raise
        # Counted until the thread is done, also when the caller has gone away meanwhile.
        future.add_done_callback(self._done)
        return await asyncio.shield(future)

    def _done(self, _: asyncio.Future[T]) -> None:
        self._waiting -= 1


def _yield_to_others() -> None:
    # Linux keeps a priority per thread; elsewhere it would be the whole process that steps back.
    if sys.platform == "linux":
        os.nice(5)
