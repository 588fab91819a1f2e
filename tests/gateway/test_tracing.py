"""A request is a span of the caller's trace, when traces are collected."""

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from tests.gateway.harness import running_edge, settings_for

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_span_continues_the_callers_trace(
    database_url: str, bus_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    settings = settings_for(database_url, bus_url, otlp_endpoint="http://collector.invalid")
    async with (
        running_edge(settings) as edge,
        httpx.AsyncClient(base_url=edge.url) as client,
    ):
        await client.get(
            "/trade/1",
            headers={**edge.bearer(), "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"},
        )
        await client.get("/api/v1/nothing")
    finished = spans.get_finished_spans()
    served, unknown = [span for span in finished if span.kind is SpanKind.SERVER]
    assert served.context is not None
    assert trace.format_trace_id(served.context.trace_id) == TRACE_ID
    assert served.name == "GET /api/v1/trade/{order_id}"
    assert served.attributes is not None
    assert served.attributes["http.response.status_code"] == 200
    assert unknown.name == "GET"
