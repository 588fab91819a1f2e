"""What identity speaks over HTTP."""

import unicodedata
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field, SecretStr

from alphintra.identity.emails import LENGTH_MAX as EMAIL_LENGTH_MAX
from alphintra.identity.permissions import Role
from alphintra.identity.service.account import Profile
from alphintra.identity.service.login import Tokens
from alphintra.platform.http import Schema
from alphintra.platform.security import Permission

#: Longer than any password that is accepted, so that the rule is what answers, with its code.
PASSWORD_INPUT_MAX = 1_000
CODE_PATTERN = "^[0-9]{6}$"


def _printable(text: str) -> str:
    # Neither PostgreSQL nor UTF-8 takes NUL and lone surrogates; no name needs the others.
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        raise ValueError("control characters and lone surrogates are not taken")
    return text


Line = Annotated[str, AfterValidator(_printable)]
PersonName = Annotated[Line, Field(max_length=100)]
Email = Annotated[Line, Field(min_length=1, max_length=EMAIL_LENGTH_MAX + 66)]
# Not a `Line`: which characters a password may have is a rule of its own, with its own code.
Password = Annotated[SecretStr, Field(min_length=1, max_length=PASSWORD_INPUT_MAX)]
TotpCode = Annotated[
    str, Field(pattern=CODE_PATTERN, description="six digits of the authenticator app")
]
RecoveryCodeText = Annotated[
    Line, Field(min_length=1, max_length=64, description="one of the codes from the set-up")
]


class RegisterRequest(Schema):
    """Who wants an account."""

    email: Email
    password: Password
    first_name: PersonName = ""
    last_name: PersonName = ""


class LoginRequest(Schema):
    """All factors in one request; a code is needed once two-factor authentication is on."""

    email: Email
    password: Password
    totp_code: TotpCode | None = None
    recovery_code: RecoveryCodeText | None = None
    device_token: Annotated[Line, Field(max_length=256)] | None = Field(
        default=None,
        description="from an earlier login on this device, for clients without cookies; it keeps"
        " this device able to log in while others guess",
    )


class TokensView(Schema):
    """Tokens of a session. `expires_in` is the life of the access token in seconds."""

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a type, no token
    expires_in: int

    @staticmethod
    def of(tokens: Tokens) -> "TokensView":
        return TokensView(
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            expires_in=tokens.expires_in_s,
        )


class LoginView(TokensView):
    """Tokens of a new session, and what makes this device known at its next login."""

    device_token: str


class RefreshRequest(Schema):
    """A refresh token is good once."""

    refresh_token: Annotated[SecretStr, Field(min_length=1, max_length=512)]


class LogoutRequest(Schema):
    """Which sessions end: this one, or all."""

    everywhere: bool = False


class ProofFields(Schema):
    """A fresh proof: the password, and a code once two-factor authentication is on."""

    password: Password | None = None
    totp_code: TotpCode | None = None
    recovery_code: RecoveryCodeText | None = None


class PasswordChangeRequest(Schema):
    """The present password (and a code once two-factor authentication is on) and the new one."""

    current_password: Password
    new_password: Password
    totp_code: TotpCode | None = None
    recovery_code: RecoveryCodeText | None = None


class TotpSetupRequest(Schema):
    """The password, which is needed unless the login was within the last ten minutes."""

    password: Password | None = None


class TotpSetupView(Schema):
    """What an authenticator app needs; shown once."""

    secret: str
    provisioning_uri: str


class TotpVerifyRequest(Schema):
    """A code that the app shows."""

    code: TotpCode


class RecoveryCodesView(Schema):
    """Codes for the day when the app is lost; each works once, and they are shown once."""

    recovery_codes: list[str]


class ProfileView(Schema):
    """A user, as the user sees it."""

    id: UUID
    email: str
    first_name: str
    last_name: str
    kyc_status: str
    roles: list[str]
    totp_enabled: bool
    created_at: datetime
    updated_at: datetime

    @staticmethod
    def of(profile: Profile) -> "ProfileView":
        user = profile.user
        return ProfileView(
            id=user.id,
            email=user.email,
            first_name=user.first_name,
            last_name=user.last_name,
            kyc_status=user.kyc_status,
            roles=user.roles,
            totp_enabled=profile.totp_enabled,
            created_at=user.created_at,
            updated_at=user.updated_at,
        )


class ProfileUpdate(Schema):
    """What a user may change alone."""

    first_name: PersonName
    last_name: PersonName


class SessionView(Schema):
    """A login that has not ended."""

    id: UUID
    address: str
    user_agent: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    is_current: bool


class ApiKeyCreate(ProofFields):
    """A key for a program. With two-factor authentication a code is needed, else the password."""

    name: Annotated[Line, Field(min_length=1, max_length=100)]
    scopes: Annotated[frozenset[Permission], Field(min_length=1)]
    expires_at: AwareDatetime | None = None


class ApiKeyView(Schema):
    """A key, without its secret."""

    id: UUID
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class NewApiKeyView(ApiKeyView):
    """A key with its text, which is shown this once. Send it as `X-API-Key`."""

    key: str


class UserView(Schema):
    """A user, as administrators see it."""

    id: UUID
    email: str
    first_name: str
    last_name: str
    kyc_status: str
    roles: list[str]
    plan: str
    disabled_at: datetime | None
    disabled_reason: str | None
    created_at: datetime
    updated_at: datetime


class RolesUpdate(Schema):
    """All roles that the user has from now on."""

    roles: Annotated[frozenset[Role], Field(min_length=1)]


class ReasonRequest(Schema):
    """Why; kept in the audit trail."""

    reason: Annotated[Line, Field(min_length=1, max_length=500)]


class JsonWebKey(Schema):
    """A public key (RFC 7517)."""

    kty: Literal["RSA"]
    n: str
    e: str
    kid: str
    use: Literal["sig"]
    alg: Literal["RS256"]


class JsonWebKeySet(Schema):
    """The keys that verify access tokens."""

    keys: list[JsonWebKey]
