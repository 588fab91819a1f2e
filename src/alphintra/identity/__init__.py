"""Identity: users, sessions, tokens, two-factor authentication, roles, API keys.

    authenticator = build_authenticator(services)  # one per process
    app.state.authenticator = authenticator
    app.include_router(router, prefix="/api/v1")
    app.include_router(well_known_router)
    principal = await authenticator.authenticate(connection)
    authenticator.still_valid(principal)  # every second, for as long as a socket is open
    await authenticator.close()

For commands: `identity = build_identity(services)`, then `create_user(identity, …)` and the others.
"""

from alphintra.identity.authenticator import IdentityAuthenticator
from alphintra.identity.events import AuditEvent, UserEvent, UserEventType
from alphintra.identity.permissions import ROLE_PERMISSIONS, Role, permissions_of
from alphintra.identity.routes import router, well_known_router
from alphintra.identity.runtime import Identity, build_authenticator, build_identity
from alphintra.identity.schemas import ProfileView
from alphintra.identity.service.account import profile
from alphintra.identity.service.administration import (
    disable_user,
    enable_user,
    get_user,
    list_users,
    set_roles,
)
from alphintra.identity.service.housekeeping import run_housekeeping
from alphintra.identity.service.login import password_matches
from alphintra.identity.service.registration import create_user, find_user, user_named
from alphintra.identity.service.signing_keys import rotate_signing_key
from alphintra.identity.service.step_up import Proof, confirm

__all__ = [
    "ROLE_PERMISSIONS",
    "AuditEvent",
    "Identity",
    "IdentityAuthenticator",
    "ProfileView",
    "Proof",
    "Role",
    "UserEvent",
    "UserEventType",
    "build_authenticator",
    "build_identity",
    "confirm",
    "create_user",
    "disable_user",
    "enable_user",
    "find_user",
    "get_user",
    "list_users",
    "password_matches",
    "permissions_of",
    "profile",
    "rotate_signing_key",
    "router",
    "run_housekeeping",
    "set_roles",
    "user_named",
    "well_known_router",
]
