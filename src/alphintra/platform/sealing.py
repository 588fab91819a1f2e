"""Secrets at rest: AES-256-GCM under keys derived from the master key.

A sealed value is bound to its place (table, row, column): copied to another row it does not open.
"""

import base64
import binascii
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from alphintra.core.errors import Problem
from alphintra.platform.settings import Settings

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
#: First byte of every sealed value: the form of what follows.
_FORM: Final = b"\x01"


class MasterKeyInvalid(Problem):
    """The master key is missing or malformed.

    Set ALPHINTRA_MASTER_KEY to 32 bytes in URL-safe base64.
    """

    code = "master_key_invalid"
    status = 503


class SealBroken(Problem):
    """A stored secret does not open: another master key, another row, or damage.

    Restore the key that sealed it.
    """

    code = "seal_broken"
    status = 503


def master_key(settings: Settings) -> bytes:
    """Return the 32 bytes of the master key.

    Raises:
        MasterKeyInvalid: not set, or not 32 bytes of base64.
    """
    text = settings.master_key.get_secret_value()
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise MasterKeyInvalid("the master key is not URL-safe base64") from error
    if len(key) != KEY_BYTES:
        raise MasterKeyInvalid(f"the master key has {len(key)} bytes instead of {KEY_BYTES}")
    return key


def derive_key(master: bytes, purpose: str) -> bytes:
    """Return the 32-byte key for one purpose (HKDF-SHA256); the master key itself encrypts
    nothing.
    """
    return HKDF(
        algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"alphintra/{purpose}".encode()
    ).derive(master)


class Sealer:
    """Encrypts and opens the secrets of one purpose."""

    def __init__(self, master: bytes, *, purpose: str) -> None:
        self._cipher = AESGCM(derive_key(master, purpose))

    def seal(self, plaintext: bytes, *, place: str) -> bytes:
        """Encrypt. `place` names table, row and column and is needed to open the value again."""
        # 96 random bits per value: a repeat is expected only after 2^48 values of one purpose.
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _FORM + nonce + self._cipher.encrypt(nonce, plaintext, place.encode())

    def open(self, sealed: bytes, *, place: str) -> bytes:
        """Decrypt.

        Raises:
            SealBroken: another key, another place, or changed bytes.
        """
        nonce, body = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if sealed[:1] != _FORM or len(nonce) != _NONCE_BYTES:
            raise SealBroken(f"the secret at {place} has an unknown form")
        try:
            return self._cipher.decrypt(nonce, body, place.encode())
        except InvalidTag as error:
            raise SealBroken(f"the secret at {place} does not open") from error
