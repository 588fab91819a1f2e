"""A fresh proof of who somebody is, before what a stolen access token must not be able to do.

With the second factor on, that is a code; without it, the password. A code is spent by it. Attempts
are counted per session, so whoever stole a session cannot keep the owner's other ones from proving
anything.
"""

from dataclasses import dataclass, field
from typing import Literal

from alphintra.core.errors import BadRequest
from alphintra.core.ids import SessionId, UserId
from alphintra.identity import passwords
from alphintra.identity.errors import StepUpFailed, StepUpRequired
from alphintra.identity.runtime import Identity
from alphintra.identity.service.codes import spend_code
from alphintra.identity.service.rows import active_factor, lock_user
from alphintra.identity.throttle import proofs_in_session

Need = Literal["password", "code"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What came along with the request."""

    password: str | None = field(default=None, repr=False)
    totp_code: str | None = field(default=None, repr=False)
    recovery_code: str | None = field(default=None, repr=False)

    def has(self, need: Need) -> bool:
        if need == "password":
            return bool(self.password)
        return bool(self.totp_code or self.recovery_code)


async def confirm(
    identity: Identity,
    *,
    user_id: UserId,
    session_id: SessionId,
    proof: Proof,
    password_always: bool = False,
) -> None:
    """Check the proof and spend its code.

    Args:
        password_always: demand the password even where a code is demanded.

    Raises:
        StepUpRequired: something is missing; `needed` lists the fields, any one of each group.
        StepUpFailed: the password or the code is wrong.
        TooManyAttempts: this session has used up its attempts.
    """
    async with identity.services.database.reading() as session:
        has_factor = await active_factor(session, user_id) is not None
    needs: list[Need] = ["code"] if has_factor else ["password"]
    if password_always and "password" not in needs:
        needs.insert(0, "password")
    if missing := [need for need in needs if not proof.has(need)]:
        fields = {"password": "password", "code": "totp_code or recovery_code"}
        needed = [fields[need] for need in missing]
        raise StepUpRequired(f"send {' and '.join(needed)} as well", needed=needed)
    bucket = proofs_in_session(session_id)
    await identity.throttle.take(bucket)
    password_hash = None
    if "password" in needs and proof.password is not None:
        password_hash = await _check_password(identity, user_id, proof.password)
    await _check_state(identity, user_id, proof, password_hash, has_factor=has_factor)
    await identity.throttle.give_back(bucket)


async def _check_password(identity: Identity, user_id: UserId, password: str) -> str:
    async with identity.services.database.transaction() as session:
        stored = (await lock_user(session, user_id)).password_hash
    try:
        verdict = await identity.passwords.verify(passwords.normalise(password), stored)
    except BadRequest:
        raise StepUpFailed("the password is wrong") from None
    if not verdict.right:
        raise StepUpFailed("the password is wrong")
    return stored


async def _check_state(
    identity: Identity,
    user_id: UserId,
    proof: Proof,
    password_hash: str | None,
    *,
    has_factor: bool,
) -> None:
    """Under the user's lock: nothing has changed since the password was compared, and the code is
    good.
    """
    async with identity.services.database.transaction() as session:
        user = await lock_user(session, user_id)
        factor = await active_factor(session, user_id)
        if (factor is not None) != has_factor:
            raise StepUpFailed("the second factor was changed meanwhile")
        if password_hash is not None and user.password_hash != password_hash:
            raise StepUpFailed("the password was changed meanwhile")
        if factor is not None and not await spend_code(
            identity,
            session,
            factor,
            totp_code=proof.totp_code,
            recovery_code=proof.recovery_code,
        ):
            raise StepUpFailed("the code is wrong or was used before")
