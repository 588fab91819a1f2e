"""Events: what they look like in Python and on the bus (CloudEvents 1.0, JSON)."""

from enum import StrEnum
from typing import Any

import msgspec

from alphintra.core.clock import to_datetime
from alphintra.core.ids import EventId
from alphintra.platform import correlation


class Topic(StrEnum):
    """The topics whose events go through the outbox."""

    ORDER_EVENTS = "order_events"
    TRADE_EXECUTIONS = "trade_executions"
    POSITION_EVENTS = "position_events"
    STRATEGY_SIGNALS = "strategy_signals"
    USER_EVENTS = "user_events"
    NOTIFICATION_DISPATCH = "notification_dispatch"
    COMPLIANCE_ALERTS = "compliance_alerts"
    SYSTEM_METRICS = "system_metrics"
    AUDIT_EVENTS = "audit_events"
    PLACE_TRADE_REQUEST = "place_trade_request"
    HISTORICAL_DATA_REQUEST = "historical_data_request"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, to be written in the transaction in which it happened.

    `type` names the schema of `data`, with its version (`order_event.v1`). Events with the same
    `key` stay in order. `sequence` counts the events of one key without gaps, where the writer can
    tell.
    """

    id: EventId
    topic: Topic
    type: str
    key: str
    occurred_at_ns: int
    data: msgspec.Struct
    sequence: int | None = None
    correlation_id: str | None = None
    causation_id: str | None = None


class ReceivedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as a consumer reads it from the bus; `data` is still raw JSON."""

    id: EventId
    source: str
    type: str
    time: str
    data: msgspec.Raw
    partitionkey: str = ""
    sequence: int | None = None
    correlationid: str | None = None
    causationid: str | None = None


_encoder = msgspec.json.Encoder(decimal_format="string")
_batch_decoder = msgspec.json.Decoder(list[ReceivedEvent])


def encode(event: Event) -> bytes:
    """Return the CloudEvents envelope as JSON."""
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"alphintra/{event.topic}",
        "type": event.type,
        "time": to_datetime(event.occurred_at_ns),
        "datacontenttype": "application/json",
        "partitionkey": event.key,
        "correlationid": event.correlation_id or correlation.current(),
        "data": event.data,
    }
    if event.sequence is not None:
        envelope["sequence"] = event.sequence
    if event.causation_id is not None:
        envelope["causationid"] = event.causation_id
    return _encoder.encode(envelope)


def decode_batch(body: bytes) -> list[ReceivedEvent]:
    """Read a bus message: a JSON array of envelopes.

    Raises:
        msgspec.DecodeError: the body is not such an array; it belongs in the dead letters.
    """
    return _batch_decoder.decode(body)
