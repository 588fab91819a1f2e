"""The edge: every context's routes behind one server, the WebSocket hub, health and metrics."""

from alphintra.gateway.app import create_app
from alphintra.gateway.server import run_http

__all__ = ["create_app", "run_http"]
