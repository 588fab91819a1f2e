"""Spending a one-time code; the same for login and for whatever needs a fresh proof."""

from typing import cast

from sqlalchemy import CursorResult, delete
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.identity import totp
from alphintra.identity.events import UserEventType, publish_user_event
from alphintra.identity.models import RecoveryCode, TotpFactor
from alphintra.identity.runtime import Identity


def seed_place(user_id: object) -> str:
    """Return the place that a user's sealed seed is bound to."""
    return f"identity.totp_factors/{user_id}/seed_sealed"


async def spend_code(
    identity: Identity,
    session: AsyncSession,
    factor: TotpFactor,
    *,
    totp_code: str | None,
    recovery_code: str | None,
) -> bool:
    """Say whether the code is right, and make it useless from now on.

    Holds the user's row locked.
    """
    if totp_code:
        seed = identity.seeds.open(factor.seed_sealed, place=seed_place(factor.user_id))
        step = totp.matching_step(
            seed,
            totp_code,
            now_ns=identity.services.clock.now_ns(),
            after_step=factor.last_step,
        )
        if step is None:
            return False
        factor.last_step = step
        return True
    if recovery_code:
        code_hash = totp.recovery_code_hash(identity.recovery_code_key, recovery_code)
        gone = cast(
            CursorResult[tuple[()]],  # what a DELETE returns; the stubs know only its base
            await session.execute(
                delete(RecoveryCode).where(
                    RecoveryCode.user_id == factor.user_id, RecoveryCode.code_hash == code_hash
                )
            ),
        )
        if gone.rowcount == 1:
            await publish_user_event(
                session, identity.services, factor.user_id, UserEventType.RECOVERY_CODE_USED
            )
            return True
    return False
