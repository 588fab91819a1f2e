"""Logs, metrics and traces of a process: structured, correlated, without secrets."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from opentelemetry import trace

from alphintra.platform import correlation
from alphintra.platform.settings import Settings

#: Keys whose values never reach a log, whoever passes them.
SECRET_KEYS = frozenset(
    {
        "password",
        "token",
        "access_token",
        "refresh_token",
        "secret",
        "api_key",
        "authorization",
        "code",
    }
)


def _correlate(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if correlation_id := correlation.current():
        event.setdefault("correlation_id", correlation_id)
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = f"{span.trace_id:032x}"
        event["span_id"] = f"{span.span_id:016x}"
    return event


def _redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in SECRET_KEYS.intersection(event):
        event[key] = "[redacted]"
    return event


def configure_logging(settings: Settings, *, process: str) -> None:
    """Send every log line of this process, ours and the libraries', to standard error as JSON."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _correlate,
        _redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _named(process, settings.environment),
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for noisy in (
        "uvicorn.access",
        "nats.aio.client",
        "procrastinate",
        "numba",
        "exchange_calendars",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _named(process: str, environment: str) -> Any:
    def add(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        event["environment"] = environment
        return event

    return add


def configure_tracing(settings: Settings, *, process: str) -> None:
    """Send spans to the collector that the settings name; without one, tracing costs nothing."""
    if not settings.otlp_endpoint:
        return
    # Not at the top: this takes longer to import than most of the rest, and few use it.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(
        resource=Resource.create(
            {"service.name": f"alphintra-{process}", "deployment.environment": settings.environment}
        )
    )
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint}/v1/traces"))
    )
    trace.set_tracer_provider(provider)


def flush() -> None:
    """Send the spans and write the log lines that still wait; the last act of a process."""
    provider = trace.get_tracer_provider()
    if hasattr(provider, "shutdown"):  # without a collector there is only a placeholder
        provider.shutdown()
    logging.shutdown()


tracer = trace.get_tracer("alphintra")
