"""Strategies people make and run: versions, blocks, code, templates, deployments, signals.

    strategies = build_strategies(services)  # one per server process
    app.state.strategies = strategies
    app.include_router(router, prefix="/api/v1")
    version = await load_version(session, principal, version_or_strategy_id)
    await strategies.close()

Importing this package is cheap; what is asked for is loaded with its first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from alphintra.strategies.blocks.routes import router as blocks_router
    from alphintra.strategies.code.errors import CodeBrokeOff
    from alphintra.strategies.code.frames import Declared, Severity
    from alphintra.strategies.code.room import Process, Room
    from alphintra.strategies.content import checked_parameters, python_of
    from alphintra.strategies.deployments.certifying import tasks as deployment_tasks
    from alphintra.strategies.deployments.routes import router as deployments_router
    from alphintra.strategies.deployments.supervisor import run_deployments
    from alphintra.strategies.routes import router
    from alphintra.strategies.runtime import Strategies, build_strategies
    from alphintra.strategies.templates import Template, all_templates, template_named
    from alphintra.strategies.versions import (
        VersionService,
        VersionView,
        freeze_version,
        load_version,
    )

_HOMES: Final = {
    "CodeBrokeOff": "code.errors",
    "Declared": "code.frames",
    "Process": "code.room",
    "Room": "code.room",
    "Severity": "code.frames",
    "Strategies": "runtime",
    "Template": "templates",
    "VersionService": "versions",
    "VersionView": "versions",
    "all_templates": "templates",
    "blocks_router": "blocks.routes",
    "build_strategies": "runtime",
    "checked_parameters": "content",
    "deployment_tasks": "deployments.certifying",
    "deployments_router": "deployments.routes",
    "freeze_version": "versions",
    "load_version": "versions",
    "python_of": "content",
    "router": "routes",
    "run_deployments": "deployments.supervisor",
    "template_named": "templates",
}

#: What is called otherwise where it is at home.
_NAMES: Final = {
    "blocks_router": "router",
    "deployment_tasks": "tasks",
    "deployments_router": "router",
}

__all__ = [
    "CodeBrokeOff",
    "Declared",
    "Process",
    "Room",
    "Severity",
    "Strategies",
    "Template",
    "VersionService",
    "VersionView",
    "all_templates",
    "blocks_router",
    "build_strategies",
    "checked_parameters",
    "deployment_tasks",
    "deployments_router",
    "freeze_version",
    "load_version",
    "python_of",
    "router",
    "run_deployments",
    "template_named",
]


def __getattr__(name: str) -> object:
    """Load what is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), _NAMES.get(name, name))
    globals()[name] = value
    return value
