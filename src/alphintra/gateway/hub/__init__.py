"""The WebSocket hub: `/api/v1/stream`.

    client  {"type": "auth", "token": "…"}            only where the handshake had no credentials
    client  {"op": "subscribe", "channel": "orders" | "fills" | "positions", "id"?}
    client  {"op": "subscribe", "channel": "quotes", "symbols": […], "id"?}
    client  {"op": "subscribe", "channel": "candles", "symbols": […], "timeframe": "1m", "id"?}
    client  {"op": "unsubscribe", "channel", "timeframe"?, "id"?}     {"op": "ping", "id"?}
    server  {"channel", "id"?, "type": "snapshot", "seq": N, "data": […]}
    server  {"channel", "id"?, "type": "update", "seq": N + 1, "data": {…}}
    server  {"channel", "id"?, "type": "resync", "seq": M, "data": […]}
    server  {"type": "authenticated" | "unsubscribed" | "pong" | "heartbeat" | "error", …}

A subscription is named by its `id`, or by its channel (and timeframe) where it has none. Within
one, `seq` goes up by exactly one per message from the last snapshot or resync, which replaces all
that the client knew. A slow reader gets the latest quote and the latest state of a candle, with the
number of states it did not see in `conflated`. Orders, fills and positions are never left out: a
client that falls too far behind gets a resync when it reads again, and is disconnected (1013) when
it does not.

Close codes: 1008 policy (not authenticated, session ended, flood, origin), 1009 message too large,
1012 the server restarts, 1013 too slow or no room.
"""

from alphintra.gateway.hub.hub import Hub
from alphintra.gateway.hub.routes import stream_router

__all__ = ["Hub", "stream_router"]
