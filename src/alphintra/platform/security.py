"""Who is calling and what they may do. Every route says so; a test walks the routes and fails on
silence.

@router.get("/orders")
async def list_orders(caller: Annotated[Principal, requires(Permission.ORDERS_READ)]) -> ...

@router.get("/auth/jwks", dependencies=[public()])
async def jwks() -> ...
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from alphintra.core.errors import Forbidden
from alphintra.core.ids import ApiKeyId, SessionId, UserId


class Permission(StrEnum):
    """One thing that a caller may be allowed to do. API keys carry a subset of their owner's."""

    PROFILE_READ = "profile:read"
    PROFILE_WRITE = "profile:write"
    API_KEYS_MANAGE = "api-keys:manage"
    SESSIONS_MANAGE = "sessions:manage"
    ORDERS_READ = "orders:read"
    ORDERS_WRITE = "orders:write"
    PORTFOLIO_READ = "portfolio:read"
    RISK_WRITE = "risk:write"
    SIGNALS_WRITE = "signals:write"
    MARKET_READ = "market:read"
    MARKET_WRITE = "market:write"
    DATASETS_READ = "datasets:read"
    DATASETS_WRITE = "datasets:write"
    RESEARCH_READ = "research:read"
    RESEARCH_WRITE = "research:write"
    STRATEGIES_READ = "strategies:read"
    STRATEGIES_WRITE = "strategies:write"
    STRATEGIES_DEPLOY = "strategies:deploy"
    PLATFORM_HALT = "platform:halt"
    PLATFORM_READ = "platform:read"
    USERS_READ = "users:read"
    USERS_MANAGE = "users:manage"


#: What an API key can never carry: whoever holds one must not make more of them, nor change the
#: account.
NOT_DELEGABLE = frozenset(
    {
        Permission.PROFILE_WRITE,
        Permission.API_KEYS_MANAGE,
        Permission.SESSIONS_MANAGE,
        Permission.USERS_MANAGE,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The authenticated caller. Exactly one of `session_id` and `api_key_id` is set.

    `version` counts the changes of the user's rights that this principal knows of; `ends_at_ns` is
    when the session or the API key ends by itself, if ever. A connection that lives longer than one
    request asks `Authenticator.still_valid` at least once a second.
    """

    user_id: UserId
    permissions: frozenset[Permission]
    roles: frozenset[str] = frozenset()
    session_id: SessionId | None = None
    api_key_id: ApiKeyId | None = None
    plan: str = "default"
    version: int = 0
    ends_at_ns: int | None = None


class Authenticator(Protocol):
    """What turns credentials into a principal; identity provides it, the gateway installs it."""

    async def authenticate(self, connection: HTTPConnection) -> Principal:
        """Return who is calling.

        Raises:
            NotAuthenticated: no credentials, or none that hold.
            Unavailable: whether they hold cannot be known at the moment.
        """
        ...

    def still_valid(self, principal: Principal) -> bool:
        """Say whether a principal from earlier still stands: not logged out, disabled, demoted or
        ended.

        False also when that cannot be known. Costs about a microsecond.
        """
        ...


@dataclass(frozen=True, slots=True)
class Access:
    """What a route demands: nothing (`is_public`), or all of `permissions`."""

    permissions: frozenset[Permission] = frozenset()
    is_public: bool = False


def requires(*permissions: Permission) -> Any:  # `Depends` is typed `Any` by FastAPI
    """Declare that a route needs a caller with all these permissions; injects the `Principal`."""
    needed = frozenset(permissions)

    async def check(connection: HTTPConnection) -> Principal:
        authenticator = cast(Authenticator, connection.app.state.authenticator)
        principal = await authenticator.authenticate(connection)
        if (admit := getattr(connection.app.state, "admit", None)) is not None:
            await admit(connection, principal)  # the gateway's rate limits
        if missing := needed - principal.permissions:
            raise Forbidden(
                f"this needs the permission {', '.join(sorted(missing))}", missing=sorted(missing)
            )
        connection.state.principal = principal
        return principal

    return Depends(_declared(check, Access(permissions=needed)))


def public() -> Any:  # `Depends` is typed `Any` by FastAPI
    """Declare that anyone may call a route."""

    async def check() -> None:
        return None

    return Depends(_declared(check, Access(is_public=True)))


def _declared(
    check: Callable[..., Awaitable[object]], access: Access
) -> Callable[..., Awaitable[object]]:
    check.__dict__["access"] = access
    return check


def declared_access(
    dependant: Any,
) -> Access | None:  # FastAPI's `Dependant`, which it does not export
    """Return what a route's dependency tree declares, or `None` where it is silent."""
    for sub in dependant.dependencies:
        access = getattr(sub.call, "access", None) or declared_access(sub)
        if isinstance(access, Access):
            return access
    return None
