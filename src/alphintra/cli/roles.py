"""The roles of `alphintra serve`: what each does. Importable without importing any of them."""

from collections.abc import Mapping

ROLES: Mapping[str, str] = {
    "api": "the HTTP API",
    "stream": "the WebSocket hub",
    "desk": "orders, risk, fills, positions: the single writer of the accounts it leases",
    "market": "market feeds, candles and the watchdog of feeds",
    "signals": "runs deployed strategies, and turns strategy signals into orders",
    "worker": "what reacts to events, and background jobs",
    "relay": "publishes committed events on the bus",
    "history": "the gRPC service of historical data",
}
