"""Refresh tokens: which session, which generation, and a proof that we made it.

The proof is an HMAC over both and a random salt of the session, so neither the database nor the key
alone makes a token, an old token is provably an old one (and not somebody's guess, which must not
end a session), and the successor of a token can be made again for a client whose answer was lost.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from alphintra.core.ids import SessionId

PREFIX: Final = "alr_"
SALT_BYTES: Final = 32
LENGTH_MAX: Final = 128
_GENERATION_BYTES: Final = 4
_PROOF_BYTES: Final = 32
_TOTAL_BYTES: Final = 16 + _GENERATION_BYTES + _PROOF_BYTES


@dataclass(frozen=True, slots=True)
class PresentedToken:
    """What a client sent; nothing of it is proven yet."""

    session_id: SessionId
    generation: int
    proof: bytes


class RefreshTokens:
    """Makes and proves refresh tokens under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def text(self, session_id: SessionId, generation: int, salt: bytes) -> str:
        """Return the token of that generation of the session."""
        head = session_id.bytes + generation.to_bytes(_GENERATION_BYTES)
        proof = self._proof(session_id, generation, salt)
        return PREFIX + base64.urlsafe_b64encode(head + proof).decode().rstrip("=")

    def is_genuine(self, token: PresentedToken, salt: bytes) -> bool:
        """Say whether we made this token for the session with that salt."""
        return hmac.compare_digest(
            token.proof, self._proof(token.session_id, token.generation, salt)
        )

    def _proof(self, session_id: SessionId, generation: int, salt: bytes) -> bytes:
        message = session_id.bytes + generation.to_bytes(_GENERATION_BYTES) + salt
        return hmac.digest(self._key, message, hashlib.sha256)


def new_salt() -> bytes:
    """Return the salt of a new session."""
    return secrets.token_bytes(SALT_BYTES)


def parse(presented: str) -> PresentedToken | None:
    """Read a presented token; `None` if it has not the form of one."""
    if not presented.startswith(PREFIX) or len(presented) > LENGTH_MAX:
        return None
    body = presented.removeprefix(PREFIX)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    # Base64 has several spellings of the same bytes; only ours is taken.
    if len(raw) != _TOTAL_BYTES or base64.urlsafe_b64encode(raw).decode().rstrip("=") != body:
        return None
    return PresentedToken(
        session_id=SessionId(UUID(bytes=raw[:16])),
        generation=int.from_bytes(raw[16 : 16 + _GENERATION_BYTES]),
        proof=raw[16 + _GENERATION_BYTES :],
    )
