"""What identity publishes: `user_events` about users, `audit_events` about those who administer
them.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from alphintra.core.clock import now, to_ns
from alphintra.core.ids import EventId, UserId
from alphintra.platform import outbox
from alphintra.platform.events import Event, Topic
from alphintra.platform.services import Services


class UserEventType(StrEnum):
    """What happened to a user; the `event_type` of `user_events`."""

    USER_REGISTERED = "USER_REGISTERED"
    USER_LOGGED_IN = "USER_LOGGED_IN"
    USER_LOGGED_OUT = "USER_LOGGED_OUT"
    USER_DISABLED = "USER_DISABLED"
    USER_ENABLED = "USER_ENABLED"
    PROFILE_UPDATED = "PROFILE_UPDATED"
    ROLES_CHANGED = "ROLES_CHANGED"
    PASSWORD_CHANGED = "PASSWORD_CHANGED"  # noqa: S105 - the name of an event
    SESSION_REVOKED = "SESSION_REVOKED"
    REFRESH_TOKEN_REUSED = "REFRESH_TOKEN_REUSED"  # noqa: S105 - the name of an event
    TOTP_ENABLED = "TOTP_ENABLED"
    TOTP_DISABLED = "TOTP_DISABLED"
    RECOVERY_CODE_USED = "RECOVERY_CODE_USED"
    API_KEY_CREATED = "API_KEY_CREATED"
    API_KEY_REVOKED = "API_KEY_REVOKED"


class UserEvent(msgspec.Struct, frozen=True, kw_only=True):
    """`user_event.v1`. The address and the name are left out: read them where they are kept."""

    event_id: UUID
    user_id: UUID
    event_type: str
    timestamp: datetime


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True):
    """`audit_event.v1`: who did what to whom.

    `actor_id` is null for the operator's command line.
    """

    event_id: UUID
    actor_id: UUID | None
    action: str
    subject: str
    details: dict[str, str]
    timestamp: datetime


async def publish_user_event(
    session: AsyncSession, services: Services, user_id: UUID, event_type: UserEventType
) -> None:
    """Write a user event into the transaction."""
    event_id, at = EventId(services.ids()), now(services.clock)
    await outbox.add(
        session,
        Event(
            id=event_id,
            topic=Topic.USER_EVENTS,
            type="user_event.v1",
            key=str(user_id),
            occurred_at_ns=to_ns(at),
            data=UserEvent(event_id=event_id, user_id=user_id, event_type=event_type, timestamp=at),
        ),
    )


async def publish_audit_event(
    session: AsyncSession,
    services: Services,
    *,
    actor_id: UserId | None,
    action: str,
    subject: str,
    **details: str,
) -> None:
    """Write an audit event into the transaction."""
    event_id, at = EventId(services.ids()), now(services.clock)
    await outbox.add(
        session,
        Event(
            id=event_id,
            topic=Topic.AUDIT_EVENTS,
            type="audit_event.v1",
            key=subject,
            occurred_at_ns=to_ns(at),
            data=AuditEvent(
                event_id=event_id,
                actor_id=actor_id,
                action=action,
                subject=subject,
                details=details,
                timestamp=at,
            ),
        ),
    )
