"""Who is really calling: the peer's address, or what a trusted proxy says in its place."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

_FORWARDING = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"x-forwarded-host"})
#: Where a scope keeps the peer's own address once `client` is the caller's.
PEER = "alphintra.peer"
#: A customer of an IPv6 provider has a network of this size, not an address.
IPV6_CALLER_PREFIX = 64


class ClientAddresses:
    """Reads the caller's address. `X-Forwarded-For` counts only from the proxies that settings
    name.
    """

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        """Take addresses or networks (`10.0.0.0/8`).

        Raises:
            ValueError: one of them is neither.
        """
        self._trusted = tuple(ip_network(proxy, strict=False) for proxy in trusted_proxies)
        self.is_trusted = lru_cache(maxsize=4096)(self._is_trusted)

    def of(self, scope: Scope) -> str:
        """Return the caller's address; the peer's own where it is not a proxy of ours.

        The header is read from the right: every proxy appends the address it saw, so the first
        entry that is not a proxy of ours is the last one that nobody could forge.
        """
        client = scope.get("client")
        address = str(client[0]) if client else ""
        if not self._trusted or not self.is_trusted(address):
            return address
        for hop in reversed(_hops(scope)):
            parsed = _parse(hop)
            if parsed is None:
                break
            address = str(parsed)
            if not self.is_trusted(address):
                break
        return address

    def reveal(self, scope: Scope) -> None:
        """Put the caller's address and scheme into the scope, for everything behind the edge."""
        if not self._trusted:
            return
        scope[PEER] = scope.get("client")
        if self.came_over_tls(scope):
            scope["scheme"] = "wss" if scope["type"] == "websocket" else "https"
        scope["client"] = (self.of(scope), 0)

    def of_direct_caller(self, scope: Scope) -> str | None:
        """Return the address only where no unknown proxy stands between; otherwise `None`.

        A reverse proxy on this machine that settings do not name makes every caller look local.
        """
        client = scope.get("client")
        peer = scope.get(PEER) or client
        peer_is_trusted = peer is not None and self.is_trusted(str(peer[0]))
        was_forwarded = any(name in _FORWARDING for name, _ in scope["headers"])
        if client is None or (was_forwarded and not peer_is_trusted):
            return None
        return str(client[0])

    def came_over_tls(self, scope: Scope) -> bool:
        """Say whether the caller spoke TLS, to us or to a proxy of ours."""
        if scope.get("scheme") in {"https", "wss"}:
            return True
        client = scope.get("client")
        if not self._trusted or not client or not self.is_trusted(str(client[0])):
            return False
        return any(
            name == b"x-forwarded-proto" and value.strip().lower() == b"https"
            for name, value in scope["headers"]
        )

    def _is_trusted(self, address: str) -> bool:
        parsed = _parse(address)
        return parsed is not None and any(parsed in network for network in self._trusted)


@lru_cache(maxsize=4096)
def is_loopback(address: str | None) -> bool:
    """Say whether the address is this machine's own."""
    parsed = _parse(address or "")
    return parsed is not None and parsed.is_loopback


@lru_cache(maxsize=65_536)
def bucket(address: str) -> str:
    """Return what one caller is counted under: the address, or its /64 for IPv6."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, IPV6_CALLER_PREFIX), strict=False).network_address)
    return address


def _hops(scope: Scope) -> list[str]:
    return [
        hop.strip()
        for name, value in scope["headers"]
        if name == b"x-forwarded-for"
        for hop in value.decode("latin-1").split(",")
    ]


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed
