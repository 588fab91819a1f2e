"""Every "no" of identity, each with a stable code."""

from alphintra.core.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotAuthenticated,
    NotFound,
    TooManyRequests,
    Unavailable,
)


class EmailInvalid(BadRequest):
    """This is not an e-mail address that we can use. Send one like `name@example.com`, in ASCII."""

    code = "email_invalid"


class EmailTaken(Conflict):
    """There is an account with this e-mail address already.

    Log in, or register with another address.
    """

    code = "email_taken"


class PasswordTooShort(BadRequest):
    """The password is too short. Send 10 characters or more."""

    code = "password_too_short"


class PasswordTooLong(BadRequest):
    """The password is too long. Send 128 characters or fewer."""

    code = "password_too_long"


class PasswordContainsEmail(BadRequest):
    """The password is made from the e-mail address. Choose one that does not follow from it."""

    code = "password_contains_email"


class PasswordTooCommon(BadRequest):
    """The password is among the first that an attacker tries. Choose another one."""

    code = "password_too_common"


class PasswordMalformed(BadRequest):
    """The password holds characters that no keyboard makes.

    Send text without control characters.
    """

    code = "password_malformed"


class InvalidCredentials(NotAuthenticated):
    """E-mail address or password is wrong; which of them is not told.

    Correct them and log in again.
    """

    code = "invalid_credentials"


class TotpRequired(NotAuthenticated):
    """The password is right, the second factor is missing.

    Log in again with `totp_code` or `recovery_code`.
    """

    code = "totp_required"


class TotpInvalid(NotAuthenticated):
    """The one-time code is wrong, too old, or was used before.

    Log in with the code that is shown next.
    """

    code = "totp_invalid"


class TooManyAttempts(TooManyRequests):
    """Too many failed attempts.

    Wait as long as `Retry-After` says; a device that logged in before may go on.
    """

    code = "too_many_attempts"


class LoginBusy(Unavailable):
    """More logins wait than this process takes on. Ask again in a second."""

    code = "login_busy"


class AccountDisabled(Forbidden):
    """The account is disabled. Ask an administrator."""

    code = "account_disabled"


class TokenInvalid(NotAuthenticated):
    """The access token is not one of ours. Log in and send the token as it was given."""

    code = "token_invalid"


class TokenExpired(NotAuthenticated):
    """The access token has expired. Get a new one from POST /auth/refresh."""

    code = "token_expired"


class TokenSuperseded(NotAuthenticated):
    """The user's rights have changed since this token was issued.

    Get a new one from POST /auth/refresh.
    """

    code = "token_superseded"


class SessionEnded(NotAuthenticated):
    """The session was ended by a logout, a revocation or its age. Log in again."""

    code = "session_ended"


class ApiKeyInvalid(NotAuthenticated):
    """The API key is unknown, revoked or expired. Make a new one with POST /api-keys."""

    code = "api_key_invalid"


class CredentialsAmbiguous(NotAuthenticated):
    """Several credentials came at once. Send either `Authorization` or `X-API-Key`, once."""

    code = "credentials_ambiguous"


class AuthenticationUnavailable(Unavailable):
    """Revocations cannot be read at the moment, so nobody is let in. Ask again in a second."""

    code = "authentication_unavailable"


class RefreshTokenInvalid(NotAuthenticated):
    """The refresh token is not one of ours, or its session has ended. Log in again."""

    code = "refresh_token_invalid"


class RefreshTokenReused(NotAuthenticated):
    """This refresh token was used before, so it may be stolen; its session has been ended.

    Log in again.
    """

    code = "refresh_token_reused"


class RefreshSuperseded(Conflict):
    """Another refresh with the same token was faster.

    Use the tokens that it was given; nothing was revoked.
    """

    code = "refresh_superseded"


class StepUpRequired(Forbidden):
    """This needs a fresh proof of who you are.

    Send the fields that `needed` lists along with the request.
    """

    code = "step_up_required"


class StepUpFailed(Forbidden):
    """The password or code that came along with the request is wrong. Send the right one."""

    code = "step_up_failed"


class TotpAlreadyEnabled(Conflict):
    """Two-factor authentication is on already. Turn it off before setting it up again."""

    code = "totp_already_enabled"


class TotpNotEnabled(Conflict):
    """Two-factor authentication is off; there is nothing to turn off."""

    code = "totp_not_enabled"


class TotpNotSetUp(Conflict):
    """There is no secret to verify. Begin with POST /auth/2fa/setup."""

    code = "totp_not_set_up"


class TotpCodeWrong(BadRequest):
    """The code does not belong to the secret from the setup.

    Check the clock of your device and send the next code.
    """

    code = "totp_code_wrong"


class ScopeNotHeld(Forbidden):
    """An API key cannot do what its owner cannot. Leave out the scopes in `missing`."""

    code = "scope_not_held"


class ScopeNotDelegable(BadRequest):
    """These scopes are for logged-in people only. Leave out the scopes in `refused`."""

    code = "scope_not_delegable"


class ExpiryInPast(BadRequest):
    """The expiry lies in the past or too far ahead.

    Send a time within the next five years, or none.
    """

    code = "expiry_out_of_range"


class TooManyApiKeys(Conflict):
    """The account has as many API keys as it may have. Revoke one first."""

    code = "too_many_api_keys"


class UserNotFound(NotFound):
    """There is no such user."""

    code = "user_not_found"


class SessionNotFound(NotFound):
    """There is no such session, or it is not yours."""

    code = "session_not_found"


class ApiKeyNotFound(NotFound):
    """There is no such API key, or it is not yours."""

    code = "api_key_not_found"


class NotOnYourself(Conflict):
    """Administrators do not change their own rights. Ask another administrator."""

    code = "not_on_yourself"


class LastAdministrator(Conflict):
    """Without this user nobody could administer the platform. Make another administrator first."""

    code = "last_administrator"
