"""One process of a deployment: what it is told, and what comes of it.

    wake up -> news of orders, refusals, parameters, candles, quotes, prints
            -> each is told to the strategy's process, which answers with what it decides
            -> the decisions are judged by the deployment's terms
            -> ONE transaction: what was told, the signals, their events, the log, the figures

A new process lives through everything once more, which gives the same state; what it decides then
was decided already and is not sent again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import msgspec
from prometheus_client import Histogram

from alphintra import market
from alphintra.core import money
from alphintra.core.clock import NS_PER_SECOND, now
from alphintra.platform.sandbox import Sandbox
from alphintra.platform.services import Services
from alphintra.strategies.deployments.candles import Group, histories, missed, warm_up
from alphintra.strategies.deployments.feed import Feed, Inbox
from alphintra.strategies.deployments.journal import Journal
from alphintra.strategies.deployments.life import Life, name_prefix
from alphintra.strategies.deployments.limits import MINUTE_S, ORDER_RATE, Withheld
from alphintra.strategies.deployments.models import DeploymentRow, FrameRow
from alphintra.strategies.deployments.process import StrategyProcess
from alphintra.strategies.deployments.signals import PLACE
from alphintra.strategies.deployments.status import Status, Wish
from alphintra.strategies.deployments.step import Line, NewFrame, Step
from alphintra.strategies.deployments.terms import MissedCandles, OnBreach
from alphintra.strategies.live import frames

#: Frames that are told before they are written; so many decisions wait for one transaction.
FRAMES_AT_ONCE: Final = 64
#: How long candles are told before they are written: what a process that dies has to do again.
STEP_S: Final = 0.1
#: How often what others want is looked at without having been told.
LOOK_S: Final = 5.0
#: How often losses are looked at when nothing is told.
PRICES_S: Final = 1.0
#: How long a candle that the bus has lost may take to be stored.
SETTLE_S: Final = 0.7
#: A candle that waited longer than this, or than its own length, is no news any more.
FRESH_S: Final = 5.0
#: A strategy hears of quotes so often at most, and then of the latest.
QUOTES_S: Final = 1.0
POINT_S: Final = 60.0
FIGURES_S: Final = 5.0
TRIM_S: Final = 600.0
BPS: Final = 10_000
#: Frames that show that a process deals with what is new.
_NEWS: Final = frozenset({"Bars", "QuoteTick", "TradeTick"})

DECIDED = Histogram(
    "alphintra_deployment_decision_seconds",
    "From a candle's arrival to its decisions being committed",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)


class Working:
    """One process of a deployment, from its start to its death or the deployment's end."""

    def __init__(
        self,
        services: Services,
        market_data: market.MarketService,
        journal: Journal,
        feed: Feed,
        row: DeploymentRow,
    ) -> None:
        self._services = services
        self._market = market_data
        self._journal = journal
        self._feed = feed
        self._length_ns = market.FIXED_NS[row.timeframe]
        self._life = Life.of(row, self._length_ns)
        self._process: StrategyProcess | None = None
        self.inbox = Inbox(
            row.id,
            row.user_id,
            frozenset(row.symbols),
            row.timeframe,
            self._length_ns,
            signals=self._life.live,
            source=row.feed,
        )
        self.has_progressed = False
        self._looked_s = self._figures_s = self._point_s = self._quotes_s = 0.0
        self._trimmed_s = time.monotonic()
        self._suspect_s: float | None = None
        self._is_over = False
        self._arrived_s: list[float] = []

    def end(self) -> None:
        """End the process, whatever it is at."""
        if self._process is not None:
            self._process.child.kill()

    async def run(self, sandbox: Sandbox) -> None:
        """Work until the deployment is to end.

        Raises:
            ProcessDied, StrategyFaulty, BrokeRules: the process, or the strategy in it.
            SandboxUnavailable, Unavailable, Superseded: see there.
        """
        settings, row = self._services.settings, self._life.row
        self._feed.join(self.inbox)
        self._process = await StrategyProcess.start(
            sandbox,
            name=f"deployment {row.id}",
            memory_mb=settings.deployment_memory_mb,
            frame_s=settings.deployment_frame_s,
        )
        if not await self._warm_unless_ended(self._process):
            return
        while not self._is_over:
            await self._wait()
            await self._once(self._process)
        await self._process.stop()

    # Its past.

    async def _warm_unless_ended(self, process: StrategyProcess) -> bool:
        """Live through the past; false where somebody has ended the deployment meanwhile."""
        warming = asyncio.create_task(self._warm(process))
        try:
            while not warming.done():
                await asyncio.wait({warming}, timeout=LOOK_S)
                if not warming.done():
                    wish = (await self._journal.standing()).row.wish
                    if wish in {Wish.STOP, Wish.LIQUIDATE}:
                        return False
            warming.result()
            return True
        finally:
            warming.cancel()
            await asyncio.gather(warming, return_exceptions=True)

    async def _warm(self, process: StrategyProcess) -> None:
        row = self._life.row
        row = await self._journal.write(Step(changes={"status": Status.WARMING}), row.frames)
        if row.frames == 0:
            begun = await self._first_life(process, row)
        else:
            begun = await self._live_again(process, row)
        self.inbox.wants_quotes, self.inbox.wants_trades = begun.wants_quotes, begun.wants_trades
        standing = await self._journal.standing()
        life = self._life
        life.row = standing.row
        life.know(standing.signals)
        at = now(self._services.clock)
        sent = await self._journal.orders_since(at - timedelta(seconds=MINUTE_S))
        life.judge.remember((at - one).total_seconds() for one in sent)
        is_paused = life.row.wish == Wish.PAUSE
        life.judge.is_paused = is_paused
        step = Step(changes={"status": Status.PAUSED if is_paused else Status.RUNNING})
        if life.row.started_at is None:
            step.changes["started_at"] = now(self._services.clock)
        await self._commit(step)

    async def _first_life(self, process: StrategyProcess, row: DeploymentRow) -> frames.Begun:
        begin = await self._begin(row)
        begun = await process.begin(begin)
        step = Step()
        # The source is in the deployment's row already.
        stripped = frames.encode(msgspec.structs.replace(begin, source=""))
        step.frames.append(NewFrame("Begin", stripped))
        self._life.absorb(begin)
        # What is stored is of another market than a replay's.
        symbols = row.symbols if row.feed is None else []
        rows = await warm_up(
            self._market,
            symbols,
            row.timeframe,
            self._length_ns,
            count=row.warmup,
            before=now(self._services.clock),
        )
        for history in histories(rows):
            body = frames.encode(history)
            reply = await process.tell(body, is_past=True)
            step.frames.append(NewFrame("History", body))
            self._life.absorb(history)
            self._hear_reply(reply, step, is_past=True)
        step.lines.append(Line("STATUS", f"warmed up with {len(rows)} candles"))
        if row.warmup and not rows:
            told = "nothing is known of the past; it waits for a feed to tell of its symbols"
            step.lines.append(Line("WARNING", told))
        step.changes = {"parameters_applied": row.parameters_revision}
        await self._commit(step)
        return begun

    async def _live_again(self, process: StrategyProcess, row: DeploymentRow) -> frames.Begun:
        """Tell a new process all that the ones before it were told."""
        begun: frames.Begun | None = None
        otherwise: int | None = None
        started_s = time.monotonic()
        while page := await self._journal.frames(self._life.number):
            rows = list(page)
            if begun is None:
                first = frames.from_parent(rows.pop(0).body)
                assert isinstance(first, frames.Begin)
                begun = await process.begin(msgspec.structs.replace(first, source=row.source))
                self._life.absorb(first)
            otherwise = otherwise or await self._relive(process, rows)
        assert begun is not None
        step = Step()
        seconds = time.monotonic() - started_s
        step.lines.append(
            Line("STATUS", f"went on after {self._life.number} events, in {seconds:.2f} s")
        )
        if otherwise is not None:
            step.lines.append(
                Line(
                    "WARNING",
                    f"told again what it had lived through, it decided otherwise at event"
                    f" {otherwise}: it depends on something else than what it is told",
                )
            )
        await self._commit(step)
        return begun

    async def _relive(self, process: StrategyProcess, rows: Sequence[FrameRow]) -> int | None:
        """Tell frames of the past; return the first at which it decides otherwise than then."""
        if not rows:
            return None
        replies = await process.relive([row.body for row in rows])
        known = await self._journal.names(range(rows[0].number, rows[-1].number + 1))
        otherwise: int | None = None
        for row, reply in zip(rows, replies, strict=True):
            self._life.absorb(frames.from_parent(row.body))
            decided = names_of(reply)
            if otherwise is None and known.get(row.number, set()) - decided:
                otherwise = row.number
        return otherwise

    async def _begin(self, row: DeploymentRow) -> frames.Begin:
        instruments = []
        async with self._services.database.reading() as session:
            for symbol in row.symbols:
                one = await market.load_instrument(session, symbol)
                instruments.append(
                    frames.Instrument(
                        symbol=symbol,
                        tick_size=f"{one.tick_size.normalize():f}",
                        lot_size=f"{one.lot_size.normalize():f}",
                    )
                )
        return frames.Begin(
            deployment_id=str(row.id),
            source=row.source,
            parameters=row.parameters,
            instruments=tuple(instruments),
            timeframe=row.timeframe,
            capital=float(row.capital),
            fee=float(self._services.settings.paper_taker_bps) / BPS,
            name_prefix=name_prefix(row.id),
            seed=row.seed,
        )

    # Its present.

    async def _wait(self) -> None:
        timeout_s = PRICES_S
        now_s = time.monotonic()
        if (due_s := self._life.candles.due_in_s(now_s)) is not None:
            timeout_s = min(timeout_s, due_s)
        if self._suspect_s is not None:
            timeout_s = min(timeout_s, SETTLE_S / 4)
        if self._life.waiting:
            first = min(self._life.waiting.values()) - now(self._services.clock)
            timeout_s = min(timeout_s, max(0.01, first.total_seconds()))
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.inbox.wake.wait()
        self.inbox.wake.clear()

    async def _once(self, process: StrategyProcess) -> None:
        """Deal with what waits, and write it down as one."""
        process.check()  # of a market that says nothing a death would not be noticed
        step = Step()
        life, inbox = self._life, self.inbox
        looks = inbox.is_nudged or time.monotonic() - self._looked_s >= LOOK_S
        told: list[frames.FromParent] = []
        if looks or (life.waiting and min(life.waiting.values()) <= now(self._services.clock)):
            told += await self._look(step)
            if self._is_over:
                return
        if life.live and (inbox.has_news or looks):
            inbox.has_news = False
            told = [*await self._journal.news.read(life, step), *told]
        for frame in told:
            await self._tell(process, frame, step)
        await self._tell_market(process, step)
        self._judge_losses(step)
        self._note_figures(step)
        if not step.is_empty:
            await self._commit(step)
            for arrived_s in self._arrived_s:
                DECIDED.observe(time.monotonic() - arrived_s)
        self._arrived_s.clear()
        if time.monotonic() - self._trimmed_s >= TRIM_S:
            self._trimmed_s = time.monotonic()
            await self._journal.trim_log()
        goes_on = self._suspect_s is None and life.candles.is_due(time.monotonic())
        if inbox.candles or inbox.is_nudged or goes_on:
            inbox.wake.set()  # there is more than one step took

    async def _look(self, step: Step) -> list[frames.FromParent]:
        """See what people want, and what became of signals; return what the strategy hears."""
        life = self._life
        self.inbox.is_nudged = False
        self._looked_s = time.monotonic()
        if any(until <= now(self._services.clock) for until in life.waiting.values()):
            await self._journal.lapse()
        standing = await self._journal.standing()
        row = life.row = standing.row
        life.know(standing.signals)
        if row.wish in {Wish.STOP, Wish.LIQUIDATE}:
            self._is_over = True
            return []
        life.judge.is_paused = row.wish == Wish.PAUSE
        status = Status.PAUSED if life.judge.is_paused else Status.RUNNING
        if row.status != status:
            step.changes["status"] = status
            step.lines.append(Line("STATUS", f"it is {status.lower()}"))
        told: list[frames.FromParent] = []
        for signal in standing.signals:
            if signal.is_told or signal.is_live:
                continue
            step.told.append(signal.id)
            if signal.kind == PLACE:
                reason = signal.detail or signal.code or signal.status.lower()
                told.append(frames.Refusal(name=signal.name, reason=reason[:2_000]))
        if row.parameters_revision > row.parameters_applied:
            step.changes["parameters_applied"] = row.parameters_revision
            told.append(frames.SetParameters(values=row.parameters))
        return told

    async def _tell_market(self, process: StrategyProcess, step: Step) -> None:
        life, inbox = self._life, self.inbox
        while inbox.candles:
            row, heard_s = inbox.candles.popleft()
            life.candles.add(row, now_s=heard_s, is_heard=True)
        if inbox.is_suspect and not await self._fill_gap():
            return
        until_s = time.monotonic() + STEP_S
        while (
            len(step.frames) < FRAMES_AT_ONCE
            and life.breach is None
            and (not step.frames or time.monotonic() < until_s)
        ):
            group = life.candles.take(time.monotonic())
            if group is None:
                break
            self._arrived_s.append(group.since_s)
            bars = tuple(group.bars[symbol] for symbol in sorted(group.bars))
            close_ns = max(group.close_ns, life.close_ns or 0)
            is_fresh = self._is_fresh(group)
            await self._tell(
                process, frames.Bars(close_ns=close_ns, bars=bars, fresh=is_fresh), step
            )
        now_s = time.monotonic()
        if (inbox.quotes or inbox.trades) and now_s - self._quotes_s >= QUOTES_S:
            self._quotes_s = now_s
            ticks: list[frames.FromParent] = [*inbox.quotes.values(), *inbox.trades]
            inbox.quotes.clear()
            inbox.trades.clear()
            for tick in ticks[-FRAMES_AT_ONCE:]:
                await self._tell(process, tick, step)

    async def _fill_gap(self) -> bool:
        """Read what the bus may have lost; say whether what waits may be told by now."""
        now_s = time.monotonic()
        life = self._life
        if life.row.feed is not None:
            self.inbox.is_suspect = False
            return True
        found = await missed(
            self._market,
            life.candles.told_ns,
            life.row.timeframe,
            self._length_ns,
            before=now(self._services.clock),
        )
        for row in found:
            life.candles.add(row, now_s=now_s, is_heard=False)
        if self._suspect_s is None:
            self._suspect_s = now_s
        if now_s - self._suspect_s >= SETTLE_S:
            self._suspect_s, self.inbox.is_suspect = None, False
            return True
        return life.candles.is_contiguous

    def _is_fresh(self, group: Group) -> bool:
        if self._life.judge.terms.missed_candles is MissedCandles.TRADE:
            return True
        length_s = self._length_ns / NS_PER_SECOND
        if group.is_heard:
            return time.monotonic() - group.since_s < max(FRESH_S, length_s)
        age_ns = self._services.clock.now_ns() - group.close_ns
        return age_ns < self._length_ns and not self._life.candles.has_waiting

    async def _tell(self, process: StrategyProcess, frame: frames.FromParent, step: Step) -> None:
        """Tell a frame, and then at once what the deployment's terms make of the decisions."""
        waiting = deque([frame])
        while waiting and self._life.breach is None:
            one = waiting.popleft()
            body = frames.encode(one)
            number = self._life.number
            reply = await process.tell(body)
            step.frames.append(NewFrame(type(one).__name__, body))
            self._life.absorb(one)
            if isinstance(reply, frames.Fault):
                self._hear_reply(reply, step, is_past=False)
                continue
            waiting.extend(
                self._life.decide(
                    reply,
                    number,
                    step,
                    at=now(self._services.clock),
                    now_s=time.monotonic(),
                )
            )

    def _hear_reply(
        self, reply: frames.Decided | frames.Fault, step: Step, *, is_past: bool
    ) -> None:
        """Note what is said beside decisions: of a frame that was refused, or of the past."""
        if isinstance(reply, frames.Fault):
            step.lines.append(Line("WARNING", reply.detail))
        elif is_past:
            lines = self._life.lines
            lines.take(reply.warnings, "WARNING", time.monotonic(), step)

    # What it has lost, and what is written.

    def _judge_losses(self, step: Step) -> None:
        life = self._life
        for symbol, price in self.inbox.marks.items():
            life.book.mark(symbol, price)
        self.inbox.marks.clear()
        life.tide.follow(life.book.equity, now(self._services.clock).date())
        breach = life.breach or life.judge.breach(life.tide)
        if breach is None or life.row.wish not in {Wish.RUN, Wish.PAUSE}:
            return
        step.changes |= self._ending(breach)
        step.lines.append(Line("ERROR", f"a limit was reached: {breach.reason}"))
        self._is_over = True

    def _ending(self, breach: Withheld) -> dict[str, Any]:
        limits = self._life.judge.terms.limits
        closes = breach.code != ORDER_RATE and limits.on_breach is OnBreach.LIQUIDATE
        return {
            "wish": Wish.LIQUIDATE if closes else Wish.STOP,
            "ends_as": Status.STOPPED,
            "reason_code": breach.code,
            "reason": breach.reason,
        }

    def _note_figures(self, step: Step) -> None:
        now_s = time.monotonic()
        life = self._life
        is_due = now_s - self._figures_s >= FIGURES_S and bool(life.book.open_symbols)
        if not step.frames and not is_due:
            return
        self._figures_s = now_s
        step.changes |= life.figures()
        if now_s - self._point_s >= POINT_S or not self._point_s:
            self._point_s = now_s
            book = life.book
            step.point = (money.to_amount(book.equity), book.cash, money.to_amount(book.exposure))

    async def _commit(self, step: Step) -> None:
        if self.has_progressed is False and any(one.kind in _NEWS for one in step.frames):
            step.changes |= {"deaths": 0, "next_try_at": None}
            self.has_progressed = True
        first = self._life.number - len(step.frames)
        self._life.row = await self._journal.write(step, first)


def names_of(reply: frames.Decided | frames.Fault) -> set[str]:
    """Return what a reply decides: kinds and names."""
    if isinstance(reply, frames.Fault):
        return set()
    return {f"{type(one).__name__.upper()} {one.name}" for one in reply.intents}
