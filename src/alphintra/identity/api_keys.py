"""API keys: `alp_<id>_<secret>`. The id finds the row, the secret's hash proves the holder."""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from alphintra.core.ids import ApiKeyId

PREFIX: Final = "alp_"
_SECRET_BYTES: Final = 32
_FORM: Final = re.compile(r"alp_([0-9a-f]{32})_([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """What a caller sent."""

    id: ApiKeyId
    secret_hash: bytes

    def matches(self, stored_hash: bytes) -> bool:
        return hmac.compare_digest(self.secret_hash, stored_hash)


def new_secret() -> str:
    """Return 256 random bits; with that much, a plain SHA-256 is as good as a slow hash."""
    return base64.urlsafe_b64encode(secrets.token_bytes(_SECRET_BYTES)).decode().rstrip("=")


def secret_hash(secret: str) -> bytes:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def text(key_id: ApiKeyId, secret: str) -> str:
    """Return the key as its owner is shown it, once."""
    return f"{PREFIX}{key_id.hex}_{secret}"


def parse(presented: str) -> PresentedKey | None:
    """Read a presented key; `None` if it has not the form of one."""
    match = _FORM.fullmatch(presented)
    if match is None:
        return None
    return PresentedKey(ApiKeyId(UUID(match[1])), secret_hash(match[2]))
