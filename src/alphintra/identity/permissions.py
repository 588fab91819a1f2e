"""What each role may do. A user's permissions are those of all the user's roles together."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from alphintra.platform.security import NOT_DELEGABLE, Permission


class Role(StrEnum):
    """What a user is on this platform."""

    TRADER = "TRADER"
    DEVELOPER = "DEVELOPER"
    COMPLIANCE = "COMPLIANCE"
    SUPPORT = "SUPPORT"
    ADMIN = "ADMIN"


_EVERYONE: Final = frozenset(
    {
        Permission.PROFILE_READ,
        Permission.PROFILE_WRITE,
        Permission.SESSIONS_MANAGE,
        Permission.API_KEYS_MANAGE,
        Permission.MARKET_READ,
    }
)
_TRADING: Final = frozenset(
    {
        Permission.ORDERS_READ,
        Permission.ORDERS_WRITE,
        Permission.PORTFOLIO_READ,
        Permission.RISK_WRITE,
        Permission.SIGNALS_WRITE,
        Permission.DATASETS_READ,
        Permission.DATASETS_WRITE,
        Permission.RESEARCH_READ,
        Permission.RESEARCH_WRITE,
        Permission.STRATEGIES_READ,
        Permission.STRATEGIES_WRITE,
        Permission.STRATEGIES_DEPLOY,
    }
)
_STAFF: Final = frozenset({Permission.USERS_READ, Permission.PLATFORM_READ})

ROLE_PERMISSIONS: Final[dict[Role, frozenset[Permission]]] = {
    Role.TRADER: _EVERYONE | _TRADING,
    Role.DEVELOPER: _EVERYONE | _TRADING,
    Role.COMPLIANCE: _EVERYONE | _STAFF,
    Role.SUPPORT: _EVERYONE | _STAFF,
    Role.ADMIN: frozenset(Permission),
}


def permissions_of(roles: Iterable[str]) -> frozenset[Permission]:
    """Return what the roles allow; a role that this version does not know allows nothing."""
    known = set(Role)
    granted: frozenset[Permission] = frozenset()
    for role in roles:
        if role in known:
            granted |= ROLE_PERMISSIONS[Role(role)]
    return granted


def delegable(permissions: Iterable[Permission]) -> frozenset[Permission]:
    """Return those that an API key may carry."""
    return frozenset(permissions) - NOT_DELEGABLE
