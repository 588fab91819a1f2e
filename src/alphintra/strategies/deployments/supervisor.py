"""The part of the role `signals` that runs deployments: takes them, watches them, hands them over.

Several processes of the role share them out. What one of them cannot reach any more, the others
take: see `leases.py`.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
import structlog
from prometheus_client import Gauge

from alphintra.core.errors import Unavailable
from alphintra.market import MarketService
from alphintra.platform.consumers import Consumer, run_consumer
from alphintra.platform.events import Topic
from alphintra.platform.sandbox import Sandbox
from alphintra.platform.services import Services
from alphintra.strategies.deployments.commands import CHANNEL
from alphintra.strategies.deployments.feed import Feed
from alphintra.strategies.deployments.leases import RENEW_S, Leases
from alphintra.strategies.deployments.news import News
from alphintra.strategies.deployments.process import PRELOAD
from alphintra.strategies.deployments.runner import Patience, Runner
from alphintra.strategies.deployments.scribe import Scribe
from alphintra.strategies.deployments.signals import on_outcome, on_outcomes
from alphintra.strategies.deployments.step import Lease

RETRY_S = 1.0

RUNNING = Gauge("alphintra_deployments_running", "Deployments that this process runs")
log = structlog.get_logger(__name__)


async def run_deployments(
    services: Services, stop: asyncio.Event, *, patience: Patience | None = None
) -> None:
    """Run deployments until `stop` is set; outlives restarts of the database and of the bus."""
    outcomes = Consumer(
        name="deployment_outcomes",
        topics=(Topic.STRATEGY_SIGNALS,),
        handle=on_outcome,
        handle_together=on_outcomes,
    )
    supervisor = Supervisor(services, patience or Patience())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run_consumer(outcomes, services.database, services.bus, stop))
        tasks.create_task(supervisor.run(stop))


@dataclass(slots=True)
class Supervisor:
    """All deployments of this process."""

    services: Services
    patience: Patience
    _feed: Feed = field(default_factory=Feed)
    _scribe: Scribe = field(init=False)
    _news: News = field(init=False)
    _running: dict[UUID, tuple[Lease, asyncio.Task[None]]] = field(default_factory=dict)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._scribe = Scribe(self.services)
        self._news = News(self.services)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        await self._feed.listen(self.services.bus)
        market = MarketService(self.services)
        sandbox = Sandbox(preload=PRELOAD, isolation=self.services.settings.sandbox)
        listening = asyncio.create_task(self._listen())
        try:
            while not stop.is_set():
                try:
                    await self._incarnation(market, sandbox, stop)
                except Unavailable as error:
                    log.warning("supervisor_interrupted", error=error.detail)
                    await asyncio.sleep(RETRY_S)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await sandbox.close()

    async def _incarnation(
        self, market: MarketService, sandbox: Sandbox, stop: asyncio.Event
    ) -> None:
        """Own deployments under one id, until the database is lost or `stop` is set."""
        leases = Leases(self.services, self.services.ids())
        await leases.open()
        try:
            while not stop.is_set():
                self._keep(await leases.renew())
                await self._share_out(leases, market, sandbox)
                RUNNING.set(len(self._running))
                await self._pause(stop)
        finally:
            await self._end_all()
            with suppress(Unavailable):
                await leases.close()

    def _keep(self, held: Mapping[UUID, int]) -> None:
        """End what is not ours any more, and forget what has ended."""
        for deployment_id, (lease, task) in list(self._running.items()):
            if task.done():
                del self._running[deployment_id]
                if not task.cancelled() and (error := task.exception()) is not None:
                    # A fault of ours; another try, here or elsewhere, may go well.
                    log.error("deployment_runner_failed", exc_info=error)
            elif held.get(deployment_id) != lease.epoch:
                task.cancel()

    async def _share_out(self, leases: Leases, market: MarketService, sandbox: Sandbox) -> None:
        held = await leases.renew()
        for deployment_id in held.keys() - self._running.keys():
            await leases.give_back(deployment_id)  # its runner has failed
        share = await leases.share()
        if (surplus := len(self._running) - share) > 0:
            for deployment_id in list(self._running)[-surplus:]:
                await self._hand_over(leases, deployment_id)
        elif share > len(self._running):
            for lease in await leases.take(share - len(self._running)):
                runner = Runner(
                    self.services,
                    market,
                    lease,
                    self._feed,
                    sandbox,
                    self._scribe,
                    self._news,
                    patience=self.patience,
                )
                task = asyncio.create_task(runner.run(), name=f"deployment {lease.deployment_id}")
                task.add_done_callback(self._wake_unless_failed)
                self._running[lease.deployment_id] = (lease, task)

    async def _hand_over(self, leases: Leases, deployment_id: UUID) -> None:
        _, task = self._running.pop(deployment_id)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await leases.give_back(deployment_id, tells_others=True)
        log.info("deployment_handed_over", deployment=str(deployment_id))

    def _wake_unless_failed(self, task: asyncio.Task[None]) -> None:
        """See at once what to do next; a fault of ours is not tried again without a pause."""
        if task.cancelled() or task.exception() is None:
            self._woken.set()

    async def _end_all(self) -> None:
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()

    async def _pause(self, stop: asyncio.Event) -> None:
        stopping = asyncio.create_task(stop.wait())
        waking = asyncio.create_task(self._woken.wait())
        await asyncio.wait({stopping, waking}, timeout=RENEW_S, return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, waking):
            task.cancel()
        await asyncio.gather(stopping, waking, return_exceptions=True)
        self._woken.clear()

    async def _listen(self) -> None:
        """Hear of what people tell deployments as they do."""
        while True:
            try:
                async with await self.services.database.connect_raw(autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self._feed.suspect_all()
                    async for note in connection.notifies():
                        self._hear(note.payload)
            except psycopg.Error as error:
                log.warning("supervisor_deaf", error=str(error).strip())
                await asyncio.sleep(RETRY_S)

    def _hear(self, payload: str) -> None:
        try:
            deployment_id = UUID(payload)
        except ValueError:
            return
        if deployment_id in self._running:
            self._feed.nudge(deployment_id)
        else:
            self._woken.set()
