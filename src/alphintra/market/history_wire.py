"""The history service's protocol: messages and stubs, made from the .proto files when first needed.

Imported only by the server and its client: gRPC and its compiler are heavy.
"""

import hmac
import ipaddress
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import grpc

from alphintra.core.errors import Problem
from alphintra.market.errors import HistoryServiceUnprotected
from alphintra.platform.sealing import derive_key, master_key
from alphintra.platform.settings import Settings

CREDENTIAL_KEY: Final = "authorization"
PROBLEM_KEY: Final = "alphintra-code"
MESSAGE_BYTES_MAX: Final = 16 * 1024**2
CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
)

#: How a problem's HTTP status is said in gRPC.
STATUS: Final = {
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    503: grpc.StatusCode.UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Wire:
    """Modules as the protocol compiler makes them; it does not type them."""

    messages: Any
    services: Any


@cache
def history_wire() -> Wire:
    """Return messages and stubs of `HistoricalDataService`."""
    return Wire(*grpc.protos_and_services("alphintra/market/history.proto"))


@cache
def health_wire() -> Wire:
    """Return messages and stubs of the standard health service."""
    return Wire(*grpc.protos_and_services("alphintra/market/health.proto"))


def internal_token(settings: Settings) -> str:
    """Return what our processes show each other, or an empty string on a machine without a secret.

    Raises:
        HistoryServiceUnprotected: there is no master key and the service is not on loopback.
    """
    if settings.master_key.get_secret_value():
        return derive_key(master_key(settings), "history-rpc").hex()
    if not _is_loopback(settings.history_host):
        raise HistoryServiceUnprotected(
            f"the history service at {settings.history_host} needs ALPHINTRA_MASTER_KEY"
        )
    return ""


def token_is_valid(shown: str, token: str) -> bool:
    """Compare in constant time."""
    return not token or hmac.compare_digest(shown.encode(), f"Bearer {token}".encode())


def status_of(problem: Problem) -> Any:  # grpc has no types
    """Return the gRPC status of a problem."""
    return STATUS.get(problem.status, grpc.StatusCode.INTERNAL)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
