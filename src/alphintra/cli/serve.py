"""`alphintra serve ROLE…`: some or all parts of the product in one process.

A role is `async def run(services, stop)` and works until `stop` is set. The roles of a process
share its event loop, database pool and bus connection. When one of them fails or ends by itself,
the whole process ends with an error: it is started again, and nothing looks alive that is not.
"""

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import structlog
import uvloop

from alphintra.cli.errors import CommandFailed
from alphintra.cli.local import stop_on_signals
from alphintra.cli.roles import ROLES
from alphintra.platform import telemetry
from alphintra.platform.processes import announce_ready, expect_work, wait_for_start
from alphintra.platform.services import Role, Services, open_services
from alphintra.platform.settings import load_settings

#: How long roles may take to finish what they are at, after they were told to stop.
STOP_TIMEOUT_S = 3.0
#: New objects between two looks for cycles among the young ones.
COLLECT_AFTER = 20_000

log = structlog.get_logger(__name__)


class RoleEnded(CommandFailed):
    """A part of the process ended by itself. Read the log before this line."""


def run(names: Iterable[str]) -> None:
    """Run the roles until SIGTERM or SIGINT.

    Raises:
        CommandFailed: there is no such role.
        RoleEnded: one of them ended by itself.
    """
    wanted = tuple(dict.fromkeys(names))
    if unknown := [name for name in wanted if name not in ROLES]:
        raise CommandFailed(
            f"there is no role {', '.join(unknown)}",
            code="no_such_role",
            advice="\n".join(f"{name:<8} {does}" for name, does in ROLES.items()),
        )
    roles = load_roles(wanted)
    settle_memory()
    wait_for_start()
    uvloop.run(_serve(roles))
    # Everything is closed and nobody waits for more than the end. Taking two thousand modules apart
    # would take longer than all the rest of the stop.
    telemetry.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def settle_memory() -> None:
    """Keep the collector of reference cycles off what stays, and off the path of an order.

    Modules live as long as the process and make few cycles afterwards; to walk them all again and
    again costs a fifth of the time of a busy desk.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 100)


def load_roles(names: Iterable[str]) -> dict[str, Role]:
    """Import the contexts that these roles need, and no other."""
    roles: dict[str, Role] = {}
    wanted = set(names)
    if parts := wanted & {"api", "stream"}:
        roles["+".join(sorted(parts))] = _http(frozenset(parts))
    if "desk" in wanted:
        from alphintra.trading import run_desk

        roles["desk"] = run_desk
    if "market" in wanted:
        from alphintra.market import run_market

        roles["market"] = run_market
    if "signals" in wanted:
        roles["signals"] = _signals()
    if "worker" in wanted:
        from alphintra.cli.worker import run_worker

        roles["worker"] = run_worker
    if "relay" in wanted:
        roles["relay"] = _relay
    if "history" in wanted:
        from alphintra.market import run_history

        roles["history"] = run_history
    return roles


def _signals() -> Role:
    from alphintra.strategies import run_deployments
    from alphintra.trading import run_signals

    async def run_both(services: Services, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_signals(services, stop))
            tasks.create_task(run_deployments(services, stop))

    return run_both


def _http(parts: frozenset[str]) -> Role:
    from alphintra.gateway import run_http

    async def serve_http(services: Services, stop: asyncio.Event) -> None:
        await run_http(services, stop, parts)

    return serve_http


async def _relay(services: Services, stop: asyncio.Event) -> None:
    from alphintra.platform.relay import Relay

    await Relay(services.database, services.bus).run(stop)


async def _serve(roles: Mapping[str, Role]) -> None:
    settings = load_settings()
    name = "+".join(roles)
    telemetry.configure_logging(settings, process=name)
    telemetry.configure_tracing(settings, process=name)
    stop = stop_on_signals()
    async with open_services(settings, name=name) as services:
        if "desk" in roles:
            # It loads the simulator and the open orders; until then no order is accepted.
            expect_work("desk")
        log.info("process_started", roles=list(roles), pid=os.getpid())
        await run_roles(roles, services, stop, started=announce_ready)
    log.info("process_stopped")


async def run_roles(
    roles: Mapping[str, Role],
    services: Services,
    stop: asyncio.Event,
    *,
    started: Callable[[], None] = lambda: None,
) -> None:
    """Run roles together until `stop` is set; then give them time to finish.

    Raises:
        RoleEnded: one of them failed or returned although nobody had told it to stop.
    """

    async def run_one(role: Role) -> None:
        await role(services, stop)

    tasks = [asyncio.create_task(run_one(role), name=name) for name, role in roles.items()]
    stopping = asyncio.create_task(stop.wait(), name="stop")
    started()
    done, _ = await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
    ended = [task for task in done if task is not stopping]
    asked_to_stop = stop.is_set()
    stop.set()
    _, unfinished = await asyncio.wait(tasks, timeout=STOP_TIMEOUT_S)
    for task in unfinished:
        log.warning("role_did_not_stop", role=task.get_name())
        task.cancel()
    with suppress(asyncio.CancelledError):
        await stopping
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for task, outcome in zip(tasks, outcomes, strict=True):
        if isinstance(outcome, Exception):
            log.error("role_failed", role=task.get_name(), exc_info=outcome)
            raise RoleEnded(f"{task.get_name()} failed: {outcome}", code="role_failed") from outcome
    if ended and not asked_to_stop:
        names = ", ".join(task.get_name() for task in ended)
        raise RoleEnded(f"{names} ended without being told to", code="role_ended")
