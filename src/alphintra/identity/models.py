"""The tables of identity."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from alphintra.platform.database import Base, Timestamp
from alphintra.platform.outbox import Xid8

_SCHEMA = {"schema": "identity"}
_USER = "identity.users.id"


class User(Base):
    """A person.

    `version` grows with every change of rights; access tokens name the one they knew.
    """

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("email"),
        CheckConstraint(
            "kyc_status IN ('PENDING', 'IN_REVIEW', 'APPROVED', 'REJECTED', 'EXPIRED')",
            name="kyc_status",
        ),
        CheckConstraint("email = lower(email)", name="email_canonical"),
        Index("ix_users_created_at_id", "created_at", "id"),
        _SCHEMA,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    password_hash: Mapped[str]
    password_changed_at: Mapped[datetime] = mapped_column(Timestamp)
    first_name: Mapped[str]
    last_name: Mapped[str]
    kyc_status: Mapped[str] = mapped_column(server_default="PENDING")
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text))
    plan: Mapped[str] = mapped_column(server_default="default")
    version: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    disabled_at: Mapped[datetime | None] = mapped_column(Timestamp)
    disabled_reason: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(Timestamp)
    updated_at: Mapped[datetime] = mapped_column(Timestamp)


class Session(Base):
    """One login: a family of refresh tokens, of which the one of `generation` is good.

    `handed_out_at` is when that one was given to the client; `retry_key_hash` is the hash of the
    `Idempotency-Key` of the request that it answered.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_user_id", "user_id"),
        Index("ix_sessions_expires_at", "expires_at"),
        _SCHEMA,
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(_USER, ondelete="CASCADE"))
    salt: Mapped[bytes] = mapped_column(LargeBinary)
    generation: Mapped[int] = mapped_column(Integer)
    handed_out_at: Mapped[datetime] = mapped_column(Timestamp)
    retry_key_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    device_id: Mapped[UUID]
    address: Mapped[str]
    user_agent: Mapped[str]
    authenticated_at: Mapped[datetime] = mapped_column(Timestamp)
    created_at: Mapped[datetime] = mapped_column(Timestamp)
    last_used_at: Mapped[datetime] = mapped_column(Timestamp)
    expires_at: Mapped[datetime] = mapped_column(Timestamp)
    ended_at: Mapped[datetime | None] = mapped_column(Timestamp)
    end_reason: Mapped[str | None]


class TotpFactor(Base):
    """A user's TOTP secret, sealed. It counts once `confirmed_at` is set; `last_step` is spent."""

    __tablename__ = "totp_factors"
    __table_args__ = _SCHEMA

    user_id: Mapped[UUID] = mapped_column(ForeignKey(_USER, ondelete="CASCADE"), primary_key=True)
    seed_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    last_step: Mapped[int] = mapped_column(BigInteger)
    confirmed_at: Mapped[datetime | None] = mapped_column(Timestamp)
    created_at: Mapped[datetime] = mapped_column(Timestamp)


class RecoveryCode(Base):
    """A keyed hash of a recovery code; the row goes when the code is used."""

    __tablename__ = "recovery_codes"
    __table_args__ = _SCHEMA

    user_id: Mapped[UUID] = mapped_column(ForeignKey(_USER, ondelete="CASCADE"), primary_key=True)
    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    created_at: Mapped[datetime] = mapped_column(Timestamp)


class ApiKey(Base):
    """A key for a program."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_user_id", "user_id"), _SCHEMA)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(_USER, ondelete="CASCADE"))
    name: Mapped[str]
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(Timestamp)
    expires_at: Mapped[datetime | None] = mapped_column(Timestamp)
    last_used_at: Mapped[datetime | None] = mapped_column(Timestamp)
    revoked_at: Mapped[datetime | None] = mapped_column(Timestamp)


class SigningKeyRow(Base):
    """A key for access tokens: NEXT is published, CURRENT signs, RETIRED still verifies for a
    while.
    """

    __tablename__ = "signing_keys"
    __table_args__ = (
        CheckConstraint("status IN ('NEXT', 'CURRENT', 'RETIRED')", name="status"),
        Index(
            "uq_signing_keys_live_status",
            "status",
            unique=True,
            postgresql_where=text("status <> 'RETIRED'"),
        ),
        _SCHEMA,
    )

    kid: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str]
    private_key_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    public_jwk: Mapped[dict[str, Any]] = mapped_column(JSONB)  # a JSON object (RFC 7517)
    created_at: Mapped[datetime] = mapped_column(Timestamp)
    activated_at: Mapped[datetime | None] = mapped_column(Timestamp)
    retired_at: Mapped[datetime | None] = mapped_column(Timestamp)


class ThrottleBucket(Base):
    """A bucket of attempts: full again at `full_at` (generic cell rate algorithm)."""

    __tablename__ = "throttle_buckets"
    __table_args__ = (Index("ix_throttle_buckets_full_at", "full_at"), _SCHEMA)

    key: Mapped[str] = mapped_column(primary_key=True)
    full_at: Mapped[datetime] = mapped_column(Timestamp)


class RevocationRow(Base):
    """Something that access tokens and open connections must hear of at once.

    See `revocations.py`.
    """

    __tablename__ = "revocations"
    __table_args__ = (Index("ix_revocations_xid", "xid"), _SCHEMA)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    xid: Mapped[int] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))
    subject: Mapped[str]
    subject_id: Mapped[UUID]
    version: Mapped[int] = mapped_column(Integer)
    revoked_at: Mapped[datetime] = mapped_column(Timestamp)
