"""The HTTP face of identity."""

from datetime import datetime
from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from alphintra.core.errors import Problem
from alphintra.core.ids import ApiKeyId, SessionId, UserId
from alphintra.identity import errors
from alphintra.identity.authenticator import IdentityAuthenticator
from alphintra.identity.devices import LIFETIME_S as DEVICE_LIFETIME_S
from alphintra.identity.runtime import Identity
from alphintra.identity.schemas import (
    ApiKeyCreate,
    ApiKeyView,
    JsonWebKeySet,
    LoginRequest,
    LoginView,
    LogoutRequest,
    NewApiKeyView,
    PasswordChangeRequest,
    ProfileUpdate,
    ProfileView,
    ProofFields,
    ReasonRequest,
    RecoveryCodesView,
    RefreshRequest,
    RegisterRequest,
    RolesUpdate,
    SessionView,
    TokensView,
    TotpSetupRequest,
    TotpSetupView,
    TotpVerifyRequest,
    UserView,
)
from alphintra.identity.service import (
    account,
    administration,
    keys_for_programs,
    login,
    registration,
    second_factor,
    sessions,
    step_up,
)
from alphintra.identity.service.rows import ADDRESS_LENGTH_MAX, USER_AGENT_LENGTH_MAX, Client
from alphintra.platform.http import (
    BadCursor,
    Cursor,
    Limit,
    Page,
    ProblemDocument,
    decode_cursor,
    encode_cursor,
)
from alphintra.platform.security import Permission, Principal, public, requires

DEVICE_COOKIE = "alphintra_device"

router = APIRouter()
#: For the root of the server, without the version prefix.
well_known_router = APIRouter(tags=["auth"])


async def _identity(request: Request) -> Identity:
    return cast(IdentityAuthenticator, request.app.state.authenticator).identity


async def _client(request: Request) -> Client:
    address = request.client.host if request.client else "unknown"
    agent = "".join(c for c in request.headers.get("user-agent", "") if c.isprintable())
    return Client(address=address[:ADDRESS_LENGTH_MAX], user_agent=agent[:USER_AGENT_LENGTH_MAX])


Runtime = Annotated[Identity, Depends(_identity)]
Origin = Annotated[Client, Depends(_client)]
ProfileReader = Annotated[Principal, requires(Permission.PROFILE_READ)]
# These permissions are not delegable, so the caller is a person in a session, never an API key.
Owner = Annotated[Principal, requires(Permission.PROFILE_WRITE)]
SessionOwner = Annotated[Principal, requires(Permission.SESSIONS_MANAGE)]
KeyOwner = Annotated[Principal, requires(Permission.API_KEYS_MANAGE)]
Administrator = Annotated[Principal, requires(Permission.USERS_MANAGE)]
UserReader = Annotated[Principal, requires(Permission.USERS_READ)]


def _session(caller: Principal) -> SessionId:
    assert caller.session_id is not None, "a permission that API keys cannot carry"
    return caller.session_id


def _problems(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:  # FastAPI's own type
    """Describe the refusals of a route for OpenAPI, by status."""
    codes: dict[int, list[str]] = {}
    for problem in problems:
        codes.setdefault(problem.status, []).append(f"`{problem.code}`")
    return {
        status: {"model": ProblemDocument, "description": ", ".join(names)}
        for status, names in sorted(codes.items())
    }


_PASSWORD_RULES = (
    errors.PasswordTooShort,
    errors.PasswordTooLong,
    errors.PasswordContainsEmail,
    errors.PasswordTooCommon,
    errors.PasswordMalformed,
)
_ATTEMPTS = (errors.TooManyAttempts, errors.LoginBusy)
_AUTHENTICATION = (
    errors.TokenInvalid,
    errors.TokenExpired,
    errors.TokenSuperseded,
    errors.SessionEnded,
    errors.ApiKeyInvalid,
    errors.AuthenticationUnavailable,
)
_STEP_UP = (errors.StepUpRequired, errors.StepUpFailed, *_ATTEMPTS)


@router.post(
    "/auth/register",
    tags=["auth"],
    status_code=201,
    dependencies=[public()],
    responses=_problems(errors.EmailInvalid, errors.EmailTaken, *_PASSWORD_RULES, *_ATTEMPTS),
)
async def register(body: RegisterRequest, identity: Runtime, client: Origin) -> ProfileView:
    """Open an account. Log in afterwards."""
    user = await registration.register(
        identity,
        email=body.email,
        password=body.password.get_secret_value(),
        first_name=body.first_name,
        last_name=body.last_name,
        address=client.address,
    )
    return ProfileView.of(account.Profile(user, totp_enabled=False))


@router.post(
    "/auth/login",
    tags=["auth"],
    dependencies=[public()],
    responses=_problems(
        errors.InvalidCredentials,
        errors.TotpRequired,
        errors.TotpInvalid,
        errors.AccountDisabled,
        *_ATTEMPTS,
    ),
)
async def log_in(
    body: LoginRequest, identity: Runtime, client: Origin, request: Request, response: Response
) -> LoginView:
    """Start a session.

    All factors come in one request: on `totp_required`, send it again with a code.
    """
    tokens = await login.log_in(
        identity,
        login.Attempt(
            email=body.email,
            password=body.password.get_secret_value(),
            client=client,
            totp_code=body.totp_code,
            recovery_code=body.recovery_code,
            device_token=body.device_token or request.cookies.get(DEVICE_COOKIE),
        ),
    )
    device_token = tokens.device_token or ""
    response.set_cookie(
        DEVICE_COOKIE,
        device_token,
        max_age=DEVICE_LIFETIME_S,
        httponly=True,
        secure=identity.services.settings.public_url.startswith("https:"),
        samesite="strict",
    )
    return LoginView(**TokensView.of(tokens).model_dump(), device_token=device_token)


@router.post(
    "/auth/refresh",
    tags=["auth"],
    dependencies=[public()],
    responses=_problems(
        errors.RefreshTokenInvalid,
        errors.RefreshTokenReused,
        errors.RefreshSuperseded,
        errors.AccountDisabled,
    ),
)
async def refresh(
    body: RefreshRequest,
    identity: Runtime,
    client: Origin,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=16,
            max_length=128,
            description="random and new for each refresh; the same request sent again with the same"
            " key within a minute gets the same refresh token, so an answer that was lost on the"
            " way does not cost the session",
        ),
    ] = None,
) -> TokensView:
    """Exchange a refresh token. An old one that comes back ends its session."""
    tokens = await sessions.refresh(
        identity,
        refresh_token=body.refresh_token.get_secret_value(),
        client=client,
        retry_key=idempotency_key,
    )
    return TokensView.of(tokens)


@router.post("/auth/logout", tags=["auth"], status_code=204, responses=_problems(*_AUTHENTICATION))
async def log_out(
    caller: SessionOwner, identity: Runtime, body: LogoutRequest | None = None
) -> None:
    """End this session, or with `everywhere` all of them. Tokens are void within a second."""
    if body is not None and body.everywhere:
        await sessions.log_out_everywhere(identity, user_id=caller.user_id)
    else:
        await sessions.log_out(identity, user_id=caller.user_id, session_id=_session(caller))


@router.put(
    "/auth/password",
    tags=["auth"],
    status_code=204,
    responses=_problems(*_AUTHENTICATION, *_PASSWORD_RULES, *_STEP_UP),
)
async def change_password(body: PasswordChangeRequest, caller: Owner, identity: Runtime) -> None:
    """Set another password. All other sessions end."""
    await account.change_password(
        identity,
        user_id=caller.user_id,
        session_id=_session(caller),
        proof=step_up.Proof(
            password=body.current_password.get_secret_value(),
            totp_code=body.totp_code,
            recovery_code=body.recovery_code,
        ),
        new_password=body.new_password.get_secret_value(),
    )


@router.post(
    "/auth/2fa/setup",
    tags=["auth"],
    responses=_problems(*_AUTHENTICATION, errors.TotpAlreadyEnabled, *_STEP_UP),
)
async def set_up_totp(
    caller: Owner, identity: Runtime, body: TotpSetupRequest | None = None
) -> TotpSetupView:
    """Get a secret for an authenticator app. It counts once `verify` has seen a code of it."""
    password = body.password if body is not None else None
    setup = await second_factor.set_up(
        identity,
        user_id=caller.user_id,
        session_id=_session(caller),
        password=None if password is None else password.get_secret_value(),
    )
    return TotpSetupView(secret=setup.secret, provisioning_uri=setup.provisioning_uri)


@router.post(
    "/auth/2fa/verify",
    tags=["auth"],
    responses=_problems(
        *_AUTHENTICATION,
        errors.TotpNotSetUp,
        errors.TotpAlreadyEnabled,
        errors.TotpCodeWrong,
        errors.TooManyAttempts,
    ),
)
async def verify_totp(
    body: TotpVerifyRequest, caller: Owner, identity: Runtime
) -> RecoveryCodesView:
    """Turn two-factor authentication on. All other sessions end."""
    codes = await second_factor.verify(
        identity, user_id=caller.user_id, session_id=_session(caller), code=body.code
    )
    return RecoveryCodesView(recovery_codes=codes)


@router.post(
    "/auth/2fa/disable",
    tags=["auth"],
    status_code=204,
    responses=_problems(*_AUTHENTICATION, errors.TotpNotEnabled, *_STEP_UP),
)
async def disable_totp(body: ProofFields, caller: Owner, identity: Runtime) -> None:
    """Turn two-factor authentication off, with the password and a code. All other sessions end."""
    await second_factor.disable(
        identity, user_id=caller.user_id, session_id=_session(caller), proof=_proof(body)
    )


@router.get("/auth/sessions", tags=["auth"], responses=_problems(*_AUTHENTICATION))
async def list_sessions(caller: SessionOwner, identity: Runtime) -> Page[SessionView]:
    """List the sessions that have not ended, the most recently used first."""
    found = await sessions.list_sessions(identity, user_id=caller.user_id)
    return Page(
        items=[
            SessionView(
                id=one.id,
                address=one.address,
                user_agent=one.user_agent,
                created_at=one.created_at,
                last_used_at=one.last_used_at,
                expires_at=one.expires_at,
                is_current=one.id == caller.session_id,
            )
            for one in found
        ]
    )


@router.delete(
    "/auth/sessions/{session_id}",
    tags=["auth"],
    status_code=204,
    responses=_problems(*_AUTHENTICATION, errors.SessionNotFound),
)
async def revoke_session(session_id: UUID, caller: SessionOwner, identity: Runtime) -> None:
    """End one session, for example of a lost device."""
    await sessions.revoke_session(
        identity, user_id=caller.user_id, session_id=SessionId(session_id)
    )


@router.get("/auth/jwks", tags=["auth"], dependencies=[public()])
async def jwks(identity: Runtime) -> JsonWebKeySet:
    """Return the public keys that verify access tokens: the one that signs first, then the next."""
    return JsonWebKeySet.model_validate(await identity.keyring.jwks())


well_known_router.get("/.well-known/jwks.json", dependencies=[public()])(jwks)


@router.get("/users/profile", tags=["users"], responses=_problems(*_AUTHENTICATION))
async def get_profile(caller: ProfileReader, identity: Runtime) -> ProfileView:
    """Return the caller's account."""
    return ProfileView.of(await account.profile(identity, user_id=caller.user_id))


@router.put("/users/profile", tags=["users"], responses=_problems(*_AUTHENTICATION))
async def update_profile(body: ProfileUpdate, caller: Owner, identity: Runtime) -> ProfileView:
    """Change the caller's name."""
    changed = await account.update_profile(
        identity,
        user_id=caller.user_id,
        first_name=body.first_name,
        last_name=body.last_name,
    )
    return ProfileView.of(changed)


@router.post(
    "/api-keys",
    tags=["api-keys"],
    status_code=201,
    responses=_problems(
        *_AUTHENTICATION,
        errors.ScopeNotDelegable,
        errors.ScopeNotHeld,
        errors.ExpiryInPast,
        errors.TooManyApiKeys,
        *_STEP_UP,
    ),
)
async def create_api_key(body: ApiKeyCreate, caller: KeyOwner, identity: Runtime) -> NewApiKeyView:
    """Make a key for a program. Its text is in this answer and nowhere else."""
    made = await keys_for_programs.create_api_key(
        identity,
        user_id=caller.user_id,
        session_id=_session(caller),
        proof=_proof(body),
        name=body.name,
        scopes=body.scopes,
        expires_at=body.expires_at,
    )
    view = ApiKeyView.model_validate(made.row)
    return NewApiKeyView(**view.model_dump(), key=made.text)


@router.get("/api-keys", tags=["api-keys"], responses=_problems(*_AUTHENTICATION))
async def list_api_keys(caller: KeyOwner, identity: Runtime) -> Page[ApiKeyView]:
    """List the keys that are not revoked, the newest first."""
    found = await keys_for_programs.list_api_keys(identity, user_id=caller.user_id)
    return Page(items=[ApiKeyView.model_validate(one) for one in found])


@router.delete(
    "/api-keys/{key_id}",
    tags=["api-keys"],
    status_code=204,
    responses=_problems(*_AUTHENTICATION, errors.ApiKeyNotFound),
)
async def revoke_api_key(key_id: UUID, caller: KeyOwner, identity: Runtime) -> None:
    """Revoke a key; it is void within a second."""
    await keys_for_programs.revoke_api_key(
        identity, user_id=caller.user_id, key_id=ApiKeyId(key_id)
    )


@router.get("/users", tags=["administration"], responses=_problems(*_AUTHENTICATION, BadCursor))
async def list_users(
    _: UserReader,
    identity: Runtime,
    limit: Limit = 100,
    cursor: Cursor = None,
    email: Annotated[str | None, Query(max_length=320, pattern=r"^[!-~]+$")] = None,
) -> Page[UserView]:
    """List users, the newest first."""
    found = await administration.list_users(
        identity, limit=limit + 1, after=_after(cursor), email=email
    )
    items = [UserView.model_validate(one) for one in found[:limit]]
    more = len(found) > limit
    return Page(
        items=items,
        next=encode_cursor(items[-1].created_at.isoformat(), items[-1].id) if more else None,
    )


@router.get(
    "/users/{user_id}",
    tags=["administration"],
    responses=_problems(*_AUTHENTICATION, errors.UserNotFound),
)
async def get_user(user_id: UUID, _: UserReader, identity: Runtime) -> UserView:
    """Return one user."""
    user = await administration.get_user(identity, user_id=UserId(user_id))
    return UserView.model_validate(user)


@router.put(
    "/users/{user_id}/roles",
    tags=["administration"],
    responses=_problems(
        *_AUTHENTICATION, errors.UserNotFound, errors.NotOnYourself, errors.LastAdministrator
    ),
)
async def set_roles(
    user_id: UUID, body: RolesUpdate, caller: Administrator, identity: Runtime
) -> UserView:
    """Replace a user's roles; tokens with the old ones are void within a second."""
    user = await administration.set_roles(
        identity, actor_id=caller.user_id, user_id=UserId(user_id), roles=body.roles
    )
    return UserView.model_validate(user)


@router.post(
    "/users/{user_id}/disable",
    tags=["administration"],
    responses=_problems(
        *_AUTHENTICATION, errors.UserNotFound, errors.NotOnYourself, errors.LastAdministrator
    ),
)
async def disable_user(
    user_id: UUID, body: ReasonRequest, caller: Administrator, identity: Runtime
) -> UserView:
    """Keep a user out: sessions end and API keys stop within a second."""
    user = await administration.disable_user(
        identity, actor_id=caller.user_id, user_id=UserId(user_id), reason=body.reason
    )
    return UserView.model_validate(user)


@router.post(
    "/users/{user_id}/enable",
    tags=["administration"],
    responses=_problems(*_AUTHENTICATION, errors.UserNotFound),
)
async def enable_user(
    user_id: UUID, body: ReasonRequest, caller: Administrator, identity: Runtime
) -> UserView:
    """Let a disabled user in again."""
    user = await administration.enable_user(
        identity, actor_id=caller.user_id, user_id=UserId(user_id), reason=body.reason
    )
    return UserView.model_validate(user)


def _proof(fields: ProofFields) -> step_up.Proof:
    return step_up.Proof(
        password=None if fields.password is None else fields.password.get_secret_value(),
        totp_code=fields.totp_code,
        recovery_code=fields.recovery_code,
    )


def _after(cursor: str | None) -> administration.After | None:
    if cursor is None:
        return None
    created_at, user_id = decode_cursor(cursor, 2)
    try:
        return administration.After(_aware(created_at), UUID(user_id))
    except ValueError as error:
        raise BadCursor("the cursor is not valid") from error


def _aware(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a naive time")
    return at
