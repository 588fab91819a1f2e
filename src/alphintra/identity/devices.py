"""Devices that logged in before: they have attempts of their own, so nobody else can use them up.

A device token is given at login, kept by the client (as a cookie or in a file), and proves nothing
but that this device once logged in to this account. It is no credential.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from alphintra.core.clock import NS_PER_SECOND

LIFETIME_S: Final = 365 * 86_400
LENGTH_MAX: Final = 128
_TIME_BYTES: Final = 8
_PROOF_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Device:
    """A device, as its token tells it."""

    id: UUID
    issued_at_ns: int


class DeviceTokens:
    """Makes and proves device tokens under one key. A token holds for one e-mail address only."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def text(self, device_id: UUID, *, email: str, now_ns: int) -> str:
        """Return the token of a device for the account with that canonical address."""
        head = device_id.bytes + (now_ns // NS_PER_SECOND).to_bytes(_TIME_BYTES)
        return base64.urlsafe_b64encode(head + self._proof(head, email)).decode().rstrip("=")

    def read(self, token: str | None, *, email: str, now_ns: int) -> Device | None:
        """Return the device, or `None` for a token that is not ours, not for this address, or too
        old.
        """
        if not token or len(token) > LENGTH_MAX:
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        head, proof = raw[: 16 + _TIME_BYTES], raw[16 + _TIME_BYTES :]
        if not hmac.compare_digest(proof, self._proof(head, email)):
            return None
        issued_at_ns = int.from_bytes(head[16:]) * NS_PER_SECOND
        if now_ns - issued_at_ns > LIFETIME_S * NS_PER_SECOND:
            return None
        return Device(UUID(bytes=head[:16]), issued_at_ns)

    def _proof(self, head: bytes, email: str) -> bytes:
        return hmac.digest(self._key, head + email.encode(errors="replace"), hashlib.sha256)
