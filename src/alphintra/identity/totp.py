"""Time-based one-time passwords (RFC 6238: SHA-1, six digits, 30 seconds) and recovery codes."""

import base64
import hashlib
import hmac
import secrets
from typing import Final

import pyotp

STEP_S: Final = 30
#: Clocks of telephones are off by a little: one step to either side is taken.
DRIFT_STEPS: Final = 1
SEED_BYTES: Final = 20
ISSUER: Final = "Alphintra"

RECOVERY_CODES: Final = 10
_RECOVERY_BYTES: Final = 10


def new_seed() -> bytes:
    """Return a secret for one user."""
    return secrets.token_bytes(SEED_BYTES)


def seed_text(seed: bytes) -> str:
    """Return the seed as a person types it into an app: base32."""
    return base64.b32encode(seed).decode()


def provisioning_uri(seed: bytes, *, email: str) -> str:
    """Return the `otpauth://` address that an app reads from a QR code."""
    return pyotp.TOTP(seed_text(seed), interval=STEP_S).provisioning_uri(
        name=email, issuer_name=ISSUER
    )


def matching_step(seed: bytes, code: str, *, now_ns: int, after_step: int) -> int | None:
    """Return the time step whose code this is, or `None`.

    Args:
        after_step: the last step whose code was used; it and all before it are spent.
    """
    generator = pyotp.TOTP(seed_text(seed), interval=STEP_S)
    present = now_ns // 1_000_000_000 // STEP_S
    found = None
    # All candidates are computed, so that the time taken says nothing about which one fitted.
    for step in range(present - DRIFT_STEPS, present + DRIFT_STEPS + 1):
        fits = hmac.compare_digest(generator.generate_otp(step).encode(), code.encode())
        if fits and step > after_step and found is None:
            found = step
    return found


def new_recovery_codes() -> list[str]:
    """Return codes of 80 random bits, in groups of four characters."""
    return [
        _grouped(base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode())
        for _ in range(RECOVERY_CODES)
    ]


def recovery_code_hash(key: bytes, code: str) -> bytes:
    """Return what is stored of a recovery code: keyed, so that the database alone cannot be
    searched.
    """
    plain = code.replace("-", "").replace(" ", "").upper()
    return hmac.digest(key, plain.encode(errors="replace"), hashlib.sha256)


def _grouped(code: str) -> str:
    return "-".join(code[i : i + 4] for i in range(0, len(code), 4))
