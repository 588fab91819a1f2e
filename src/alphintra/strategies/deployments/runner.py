"""A deployment from the moment this process owns it: lives, deaths, and the end.

A process that dies is started again, after a pause that grows; one that keeps dying, or whose
strategy raises, ends the deployment.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog
from prometheus_client import Counter

from alphintra.core.clock import now
from alphintra.core.errors import Unavailable
from alphintra.market import MarketService
from alphintra.platform.sandbox import Sandbox, SandboxUnavailable
from alphintra.platform.services import Services
from alphintra.strategies.deployments.ending import Ending
from alphintra.strategies.deployments.feed import Feed
from alphintra.strategies.deployments.journal import Journal
from alphintra.strategies.deployments.life import BrokeRules
from alphintra.strategies.deployments.models import DeploymentRow
from alphintra.strategies.deployments.news import News
from alphintra.strategies.deployments.process import ProcessDied, StrategyFaulty
from alphintra.strategies.deployments.scribe import Scribe
from alphintra.strategies.deployments.status import Status, Wish
from alphintra.strategies.deployments.step import Lease, Line, Step, Superseded
from alphintra.strategies.deployments.terms import OnBreach
from alphintra.strategies.deployments.working import Working

BACK_OFF_FIRST_S: Final = 0.25
BACK_OFF_MAX_S: Final = 60.0
RETRY_S: Final = 0.5
#: How often a deployment that waits for its next try looks whether it is still wanted.
LOOK_S: Final = 1.0
SANDBOX_RETRY_S: Final = 10.0

DEATHS = Counter("alphintra_deployment_deaths_total", "Strategy processes that died", ["code"])
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a strategy's process may die.

    In a row: without having dealt with anything new in between.
    """

    in_a_row: int = 5
    per_hour: int = 30


@dataclass(slots=True)
class Runner:
    """See the module."""

    services: Services
    market: MarketService
    lease: Lease
    feed: Feed
    sandbox: Sandbox
    scribe: Scribe
    news: News
    patience: Patience = field(default_factory=Patience)
    _journal: Journal = field(init=False)
    _deaths: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._journal = Journal(self.services, self.lease, self.scribe, self.news)

    async def run(self) -> None:
        """Run until the deployment is over, or belongs to another process."""
        while True:
            try:
                standing = await self._journal.standing()
                if Status(standing.row.status).is_over:
                    return
                if standing.row.wish in {Wish.STOP, Wish.LIQUIDATE}:
                    await Ending(self.services, self._journal, self.feed).run(standing.row)
                    return
                if (pause_s := self._pause_s(standing.row)) > 0:
                    await asyncio.sleep(min(pause_s, LOOK_S))
                    continue
                await self._live_once(standing.row)
            except Superseded:
                log.info("deployment_superseded", deployment=str(self.lease.deployment_id))
                return
            except SandboxUnavailable as error:
                await self._wait_for_sandbox(error)
            except Unavailable as error:
                log.warning("deployment_interrupted", error=error.detail)
                await asyncio.sleep(RETRY_S)

    def _pause_s(self, row: DeploymentRow) -> float:
        """Return how long the next process is to wait."""
        if row.next_try_at is None:
            return 0.0
        return (row.next_try_at - now(self.services.clock)).total_seconds()

    async def _live_once(self, row: DeploymentRow) -> None:
        """Let one process live; return when it is to end, or after its death was dealt with."""
        at_work = Working(self.services, self.market, self._journal, self.feed, row)
        try:
            await at_work.run(self.sandbox)
        except ProcessDied as death:
            await self._after(death, at_work)
        except BrokeRules as error:
            await self._after(ProcessDied("process_broke_rules", str(error)), at_work)
        except StrategyFaulty as faulty:
            await self._fail(_fault_lines(faulty), "strategy_faulty", faulty.fault.detail)
        finally:
            self.feed.leave(at_work.inbox)
            at_work.end()

    async def _after(self, death: ProcessDied, at_work: "Working") -> None:
        DEATHS.labels(death.code).inc()
        now_s = time.monotonic()
        self._deaths.append(now_s)
        while self._deaths[0] < now_s - 3_600:
            self._deaths.popleft()
        row = (await self._journal.standing()).row
        in_a_row = 1 if at_work.has_progressed else row.deaths + 1
        lines = [Line("ERROR", f"its process has died: {death.detail}"), *_output(death.output)]
        if in_a_row >= self.patience.in_a_row or len(self._deaths) > self.patience.per_hour:
            detail = f"its process died {in_a_row} times in a row, at last: {death.detail}"
            if in_a_row < self.patience.in_a_row:
                detail = f"its process died {len(self._deaths)} times in an hour: {death.detail}"
            await self._fail(lines, death.code, detail)
            return
        pause_s = min(BACK_OFF_FIRST_S * 2 ** min(in_a_row - 1, 10), BACK_OFF_MAX_S)
        step = Step(lines=lines)
        step.changes = {
            "status": Status.STARTING,
            "deaths": in_a_row,
            "next_try_at": now(self.services.clock) + timedelta(seconds=pause_s),
        }
        await self._journal.write(step, row.frames)

    async def _fail(self, lines: Sequence[Line], code: str, detail: str) -> None:
        row = (await self._journal.standing()).row
        on_failure = row.terms["limits"].get("on_failure", OnBreach.STOP)
        step = Step(lines=[*lines])
        step.changes = {
            "wish": Wish.LIQUIDATE if on_failure == OnBreach.LIQUIDATE else Wish.STOP,
            "ends_as": Status.FAILED,
            "reason_code": code,
            "reason": detail[:2_000],
        }
        await self._journal.write(step, row.frames)

    async def _wait_for_sandbox(self, error: SandboxUnavailable) -> None:
        log.error("deployment_without_sandbox", error=error.detail)
        row = (await self._journal.standing()).row
        step = Step(lines=[Line("ERROR", f"strategies cannot be isolated here: {error.detail}")])
        step.changes = {"status": Status.STARTING}
        await self._journal.write(step, row.frames)
        await asyncio.sleep(SANDBOX_RETRY_S)


def _fault_lines(faulty: StrategyFaulty) -> list[Line]:
    fault = faulty.fault
    where = "" if fault.line is None else f" (line {fault.line})"
    lines = [Line("ERROR", f"the strategy has failed{where}: {fault.detail} [{fault.code}]")]
    if fault.traceback:
        lines.append(Line("ERROR", fault.traceback[-2_000:]))
    return [*lines, *_output(faulty.output)]


def _output(text: str) -> list[Line]:
    text = text.strip()
    return [Line("ERROR", f"it printed at last: {text[-1_900:]}")] if text else []
