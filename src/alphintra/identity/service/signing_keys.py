"""The signing keys, for the operator."""

from alphintra.core.ids import UserId
from alphintra.identity.runtime import Identity


async def rotate_signing_key(
    identity: Identity, *, actor_id: UserId | None = None, compromised: bool = False
) -> str:
    """Let the key that is published as the next one sign from now on; return its id.

    Args:
        actor_id: who does it; `None` is the operator at the command line.
        compromised: forget the key that signed until now, and so void all access tokens within a
            second. Sessions stay: clients refresh.

    Raises:
        SealBroken: the stored keys were sealed with another master key.
    """
    await identity.keyring.signing()  # makes the first keys where there are none
    return await identity.keyring.rotate(actor_id=actor_id, compromised=compromised)
